//! What the reader does against the written verdict, today. A case that is put right fails here, and
//! moves to the list it belongs to.

use costlake_transform::BlobOptions;

use super::{
    Case, Feeding, METER, SHORT, Verdict, around, cells, departures, difference, file, read,
    read_pieces, refused, rejected, replaced,
};

struct Disagreement {
    /// With the verdict that should be.
    case: Case,
    /// The verdict that is.
    today: Case,
    wrong: &'static str,
}

/// A disagreement on one text: the makers of the two cases, and what is wrong.
fn on(
    bytes: Vec<u8>,
    should: impl FnOnce(Vec<u8>) -> Case,
    today: impl FnOnce(Vec<u8>) -> Case,
    wrong: &'static str,
) -> Disagreement {
    Disagreement { case: should(bytes.clone()), today: today(bytes), wrong }
}

fn disagreements() -> Vec<Disagreement> {
    let unknown = replaced(&around(&format!("{SHORT},Owner"), "07/02/2025,2,EUR,@"), b"@", b"\xff");
    let one = "Date,Cost,Currency\n07/01/2025,1,EUR\n";
    let with_quantity = "Date,Cost,Currency,Quantity\n07/01/2025,1,EUR,9\n";
    let swapped = "Date,Quantity,Currency,Cost\n07/02/2025,9,EUR,2\n";
    let utf16_be: Vec<u8> = one.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let again = |name| move |bytes| refused(name, bytes, "repeats the header");
    let kept = |quarantined: &'static [(i64, &'static str)], rows, cost| {
        move |bytes| read("", bytes, rows, cost).quarantined(quarantined)
    };
    vec![
        on(
            unknown,
            |bytes| {
                read("a bad byte in an unknown column", bytes, 2, "5")
                    .quarantined(&[(2, "encoding")])
            },
            |bytes| {
                read("", bytes, 3, "7")
                    .column("extra", &["null", "{\"Owner\":\"\u{fffd}\"}", "null"])
            },
            "the byte is replaced in `extra`, and its row published: the source is lost",
        ),
        on(
            format!("\u{feff}{one}\u{feff}{one}").into(),
            again("the header again with a byte-order mark"),
            kept(&[(2, "date")], 2, "2"),
            "glued files are read, the second header as a rejected row",
        ),
        on(
            format!("\u{feff}\u{feff}{one}{one}").into(),
            again("the header again behind two byte-order marks"),
            kept(&[(2, "date")], 2, "2"),
            "the second mark counts as part of the header, which is then not known again",
        ),
        on(
            format!("{one}\"Date\",\"Cost\",\"Currency\"\n").into(),
            again("the header again in quotes"),
            kept(&[(2, "date")], 1, "1"),
            "the header is known again by its bytes, not by its names",
        ),
        on(
            format!("{with_quantity}{swapped}").into(),
            again("another header as a row, columns in another order"),
            kept(&[(2, "date")], 2, "10"),
            "the rows behind it are read under the first header: a quantity of 9 counts as money",
        ),
        on(
            format!("07/01/2025,1,EUR\n{}", one.replace(",1,", ",2,")).into(),
            |bytes| refused("a row before the header", bytes, ""),
            kept(&[], 1, "2"),
            "the row counts as a title line and its money is lost; a line with as many fields as the \
             header is no title",
        ),
        on(
            utf16_be,
            |bytes| refused("UTF-16 BE without a mark", bytes, "UTF-16"),
            |bytes| refused("", bytes, "no header"),
            "refused, but not as UTF-16",
        ),
        on(
            "\u{feff}<?xml version=\"1.0\"?><Error><Code>AuthenticationFailed</Code></Error>"
                .into(),
            |bytes| refused("XML behind a byte-order mark", bytes, "an XML page"),
            |bytes| refused("", bytes, "no header of a cost file"),
            "storage errors come with a mark: refused, but without the hint on link and sign-in",
        ),
        on(
            format!("{SHORT},Owner,Owner\n07/01/2025,1,EUR,a,b\n").into(),
            |bytes| refused("an unknown header twice", bytes, "Owner"),
            |bytes| read("", bytes, 1, "1").column("extra", &[r#"{"Owner":"a","Owner":"b"}"#]),
            "an object with one key twice: most readers see one of the values",
        ),
        on(
            format!("{SHORT},column_5,\n07/01/2025,1,EUR,a,b\n").into(),
            |bytes| {
                read("a name that a nameless column is given", bytes, 1, "1")
                    .column("extra", &[r#"{"column_5":"a","column_5_2":"b"}"#])
            },
            |bytes| {
                read("", bytes, 1, "1").column("extra", &[r#"{"column_5":"a","column_5":"b"}"#])
            },
            "an object with one key twice, as above; any other key, or a refusal, would do",
        ),
        on(
            around(SHORT, "07/02/2025,2,  "),
            |bytes| read("a blank currency", bytes, 2, "5").quarantined(&[(2, "missing")]),
            |bytes| read("", bytes, 3, "7").column("billing_currency", &["EUR", "  ", "EUR"]),
            "blanks are no number and no day, but a currency",
        ),
        on(
            format!("\n\n{one}").into(),
            |bytes| read("empty lines before the header are counted", bytes, 1, "1").blank_lines(2),
            |bytes| read("", bytes, 1, "1").blank_lines(0),
            "empty lines before the header are skipped without being counted",
        ),
        on(
            around(SHORT, "07/02/2025 :,2,EUR"),
            |bytes| read("a day and half a clock", bytes, 2, "5").quarantined(&[(2, "date")]),
            |bytes| read("", bytes, 3, "7"),
            "any zeros, colons and points are midnight, such as ` :` or `T:.:0`",
        ),
        on(
            around(&format!("{SHORT},Tags"), "07/02/2025,2,EUR,   "),
            |bytes| {
                read("blank tags are none", bytes, 3, "7").column("tags", &["null", "null", "null"])
            },
            |bytes| read("", bytes, 3, "7").column("tags", &["null", "{}", "null"]),
            "empty tags are null and blank ones `{}`",
        ),
    ]
}

#[test]
fn each_is_as_it_was_written_down() {
    for Disagreement { case, today, wrong } in disagreements() {
        let name = case.name;
        assert!(departures(&case, &case.verdict).is_err(), "put right: {name} ({wrong})");
        assert_eq!(departures(&case, &today.verdict), Ok(()), "{name} ({wrong})");
        assert!(!matches!(today.verdict, Verdict::Refused("")), "{name}");
    }
}

fn options(chunk_bytes: usize) -> BlobOptions {
    BlobOptions { ordinal: 0, currency: None, chunk_bytes }
}

/// Should be: one format per column and file. Is: the first chunk decides, and where it has no day,
/// each later chunk for itself.
#[test]
fn the_format_of_days_is_decided_by_chunk() {
    let empty = "07/01/2025,1,EUR,\n".repeat(8);
    let text = format!(
        "{SHORT},BillingPeriodStartDate\n{empty}07/01/2025,1,EUR,2025-07-01\n{empty}\
         07/01/2025,1,EUR,07/01/2025\n"
    );
    let quarantined = |text: &str, chunk_bytes| {
        let (chunks, _) = read_pieces([text.as_bytes()].into_iter(), options(chunk_bytes)).unwrap();
        rejected(&chunks).count()
    };
    assert_eq!((quarantined(&text, 4096), quarantined(&text, 64)), (1, 0));
    // The same of charge dates, behind a chunk of empty lines.
    let text = format!(
        "{SHORT}\n{}2025-07-01,1,EUR\n{}07/01/2025,1,EUR\n",
        "\n".repeat(100),
        "\n".repeat(100)
    );
    assert_eq!((quarantined(&text, 4096), quarantined(&text, 64)), (1, 0));
}

/// Should be: chunks depend on the bytes alone. Is: a record longer than a chunk is cut off where a
/// piece ends, and a header twice as long leaves more than a chunk behind it.
#[test]
fn chunks_depend_on_feeding_where_records_are_long() {
    let row = format!("07/01/2025,1,EUR,{}", "x".repeat(60));
    let long_records = file(METER, &[row.as_str(); 4]);
    let long_header = file(&format!("{SHORT},{}", "n".repeat(160)), &["07/01/2025,1,EUR,"; 8]);
    for text in [long_records, long_header] {
        let whole = Feeding::Pieces(usize::MAX).read(&text, options(64));
        let bytes = Feeding::Pieces(1).read(&text, options(64));
        assert!(difference(&whole, &bytes, true).is_err());
        assert_eq!(difference(&whole, &bytes, false), Ok(()));
        let records = |output: &super::Output| cells(&output.as_ref().unwrap().0, "record");
        assert_eq!(records(&whole), records(&bytes));
    }
}

/// Should be: one error for one file. Is: the first four bytes or more decide, whatever came.
#[test]
fn the_error_on_a_page_depends_on_feeding() {
    let error = |piece: usize| {
        let text = b"\n\n<?xml version=\"1.0\"?>\n<Error/>\n";
        Feeding::Pieces(piece).read(text, options(64)).unwrap_err().to_string()
    };
    assert!(error(usize::MAX).contains("an XML page that starts with `<?xml version="));
    assert!(error(1).contains("an HTML page that starts with `<?`"), "{}", error(1));
}
