//! Headers in odd places: among the rows, behind titles, at the edge of what is looked at first.

use super::{Case, SHORT, file, read, refused};

pub(super) fn cases() -> Vec<Case> {
    let one = "Date,Cost,Currency\n07/01/2025,1,EUR\n";
    let quoted = "\"Date\",\"Cost\",\"Currency\"\n";
    let with_quantity = "Date,Cost,Currency,Quantity\n07/01/2025,1,EUR,9\n";
    let mostly_unknown = "Date,Cost,Currency,a,b,c,d\n";
    let again = |name, bytes: String| refused(name, bytes, "repeats the header");
    let long_header = |name, header_bytes: usize| {
        let header = format!("{SHORT},{}", "n".repeat(header_bytes - SHORT.len() - 3));
        read(name, file(&header, &["\u{feff}07/01/2025,1,EUR,", "07/02/2025,2,EUR,"]), 2, "3")
    };
    vec![
        long_header("a second mark behind a header of 4094 bytes", 4094),
        long_header("a second mark behind a header of 4095 bytes", 4095),
        long_header("a second mark behind a header of 8191 bytes", 8191),
        again("the header again, most names unknown", mostly_unknown.repeat(2)),
        again(
            "the header again in quotes behind a byte-order mark",
            format!("{one}\u{feff}{quoted}"),
        ),
        again(
            "another header as a row, a nameless column first",
            format!("{with_quantity},Date,Cost,Currency\n"),
        ),
        again(
            "another header as a row, a name with a digit first",
            format!("{with_quantity}2nd,Date,Cost,Currency\n"),
        ),
        again(
            "a FOCUS header among native rows",
            "Date,Cost,BillingCurrency,Owner\n07/01/2025,1,EUR,me\n\
             ChargePeriodStart,BilledCost,BillingCurrency,EffectiveCost\n2025-07-01,100,EUR,7\n"
                .to_owned(),
        ),
        read("a title of two names of one column", format!("Cost,PreTaxCost\n{one}"), 1, "1"),
        read("a title with the same text twice", format!("July,July\n{one}"), 1, "1"),
        refused(
            "a row with a cell twice before the header",
            format!("07/01/2025,1,1\n{one}"),
            "no header of a cost file: it starts with `07/01/2025,1,1`",
        ),
        refused(
            "data in the first line, two fields alike",
            "07/01/2025,1,EUR,1\n".to_owned(),
            "no header of a cost file: it starts with `07/01/2025,1,EUR,1`",
        ),
    ]
}
