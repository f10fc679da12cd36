//! Number forms, each read as the cost and as the quantity of a whole file.
//!
//! Accepted: `-?digits[.digits][(e|E)[+-]?digits{1,3}]`, at most 64 bytes, blanks around it aside;
//! at most 14 digits before the point, at most 38 behind it and 38 in all, zeros at the ends aside.

use costlake_model::{ExactSum, Metric};
use costlake_transform::BlobOptions;

use super::{cells, file, ledger, read_pieces, rejected};

/// What becomes of a number: its exact and its stored value, or the rule that it breaks.
type Fate = Result<(&'static str, &'static str), &'static str>;

const fn exact(value: &'static str) -> Fate {
    Ok((value, value))
}

const fn rounded(exact: &'static str, stored: &'static str) -> Fate {
    Ok((exact, stored))
}

const FORM: Fate = Err("number-form");
const RANGE: Fate = Err("number-range");

const NUMBERS: &[(&str, Fate)] = &[
    ("0", exact("0")),
    ("-0", exact("0")),
    ("0.0", exact("0")),
    ("-0.000", exact("0")),
    ("000", exact("0")),
    ("0e999", exact("0")),
    ("0E-999", exact("0")),
    ("1", exact("1")),
    ("-1", exact("-1")),
    ("007", exact("7")),
    ("-007.50", exact("-7.5")),
    ("1234.5", exact("1234.5")),
    ("1234.56", exact("1234.56")),
    ("0.1", exact("0.1")),
    ("-0.01288992000", exact("-0.01288992")),
    ("6.251400000000004", exact("6.251400000000004")),
    ("0.03571200000000001", exact("0.03571200000000001")),
    ("145.00000000000003000000", exact("145.00000000000003")),
    ("0.000000036000000000000000000", exact("0.000000036")),
    ("0.000307902839548409172", exact("0.000307902839548409172")),
    ("0.123456789012345678901234", exact("0.123456789012345678901234")),
    ("0.000000000000000000000001", exact("0.000000000000000000000001")),
    ("99999999999999", exact("99999999999999")),
    ("-99999999999999", exact("-99999999999999")),
    ("99999999999999.999999999999999999999999", exact("99999999999999.999999999999999999999999")),
    ("00000000000000000000000000000000000000000000000000000000000000.5", exact("0.5")),
    ("0.50000000000000000000000000000000000000000000000000000000000000", exact("0.5")),
    ("8.42E-05", exact("0.0000842")),
    ("5.99772e-07", exact("0.000000599772")),
    ("2E-06", exact("0.000002")),
    ("1e3", exact("1000")),
    ("1E+3", exact("1000")),
    ("1e003", exact("1000")),
    ("-1.5e1", exact("-15")),
    ("1.50E0", exact("1.5")),
    ("1e13", exact("10000000000000")),
    ("1e-24", exact("0.000000000000000000000001")),
    ("0.00001e18", exact("10000000000000")),
    (" 2", exact("2")),
    ("2 ", exact("2")),
    ("   -2.5   ", exact("-2.5")),
    (
        "0.2618755954811488071493712087",
        rounded("0.2618755954811488071493712087", "0.261875595481148807149371"),
    ),
    ("0.0000000072922557592391990000", exact("0.000000007292255759239199")),
    (
        "0.36944104026009623638931456",
        rounded("0.36944104026009623638931456", "0.369441040260096236389315"),
    ),
    ("1e-25", rounded("0.0000000000000000000000001", "0")),
    ("5e-25", rounded("0.0000000000000000000000005", "0")),
    ("15e-25", rounded("0.0000000000000000000000015", "0.000000000000000000000002")),
    ("25e-25", rounded("0.0000000000000000000000025", "0.000000000000000000000002")),
    ("-15e-25", rounded("-0.0000000000000000000000015", "-0.000000000000000000000002")),
    ("0.99999999999999999999999999", rounded("0.99999999999999999999999999", "1")),
    (
        "0.99999999999999999999999999999999999999",
        rounded("0.99999999999999999999999999999999999999", "1"),
    ),
    ("1e-38", rounded("0.00000000000000000000000000000000000001", "0")),
    ("1e-39", RANGE),
    ("1e-400", RANGE),
    ("1e-999", RANGE),
    ("0.999999999999999999999999999999999999999", RANGE),
    ("1.00000000000000000000000000000000000001", RANGE),
    ("99999999999999.9999999999999999999999999", RANGE),
    ("100000000000000", RANGE),
    ("-100000000000000", RANGE),
    ("1e14", RANGE),
    ("1e400", RANGE),
    ("123456789012345678901234567890123456789012345678901234567890", RANGE),
    ("170141183460469231731687303715884105728", RANGE),
    ("000000000000000000000000000000000000000000000000000000000000000.5", FORM),
    ("+1.5", FORM),
    (".5", FORM),
    ("5.", FORM),
    ("-.5", FORM),
    ("-", FORM),
    ("+", FORM),
    (".", FORM),
    ("--1", FORM),
    ("- 1", FORM),
    ("1-", FORM),
    ("1 000", FORM),
    ("1_000", FORM),
    ("1,234.50", FORM),
    ("1.234,50", FORM),
    ("1,5", FORM),
    ("1'000", FORM),
    ("(1.50)", FORM),
    ("$1.50", FORM),
    ("1.50 EUR", FORM),
    ("50%", FORM),
    ("0x10", FORM),
    ("1e", FORM),
    ("e5", FORM),
    ("1e+", FORM),
    ("1e5.0", FORM),
    ("1e1000", FORM),
    ("1e0001", FORM),
    ("1ee5", FORM),
    ("1.2.3", FORM),
    ("1.e5", FORM),
    ("1f", FORM),
    ("1L", FORM),
    ("\u{2212}1", FORM),
    ("\u{661}\u{662}", FORM),
    ("\u{ff11}\u{ff12}", FORM),
    ("\u{a0}1", FORM),
    ("1\u{2009}000", FORM),
    ("\u{feff}1", FORM),
    ("\u{200b}1", FORM),
    ("1\t", FORM),
    ("\u{c}1", FORM),
    ("1\u{b}", FORM),
    ("1\n", FORM),
    ("1\r\n", FORM),
    ("1\0", FORM),
    ("NaN", FORM),
    ("-nan", FORM),
    ("Infinity", FORM),
    ("-inf", FORM),
    ("NULL", FORM),
    ("null", FORM),
    ("None", FORM),
    ("\\N", FORM),
    ("N/A", FORM),
    ("#REF!", FORM),
    ("=1+1", FORM),
    ("=cmd|'/c calc'!A1", FORM),
    ("@1", FORM),
    ("true", FORM),
    ("'1", FORM),
    ("\"1\"", FORM),
    ("\u{221e}", FORM),
    ("\u{bd}", FORM),
];

/// Forms without digits: nothing where a number must be, and none where one may be.
const NOTHING: [&str; 4] =
    ["", " ", "    ", "                                                                  "];

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// The forms of a field that hold this text: quoted, and bare where nothing in it asks for quotes.
fn fields(text: &str) -> Vec<String> {
    let is_bare = !text.contains([',', '"', '\r', '\n']);
    is_bare.then(|| text.to_owned()).into_iter().chain([quoted(text)]).collect()
}

fn check(header: &str, row: &str, column: &'static str, text: &str, fate: Fate) {
    for field in fields(text) {
        let row = row.replace('@', &field);
        let bytes = file(header, &["07/01/2025,1,EUR,1", &row, "07/03/2025,1,EUR,1"]);
        for piece in [1, usize::MAX] {
            let options = BlobOptions {
                ordinal: 0,
                metric: Metric::Actual,
                currency: None,
                chunk_bytes: 256,
            };
            let (chunks, _) = read_pieces(bytes.chunks(piece), options).unwrap();
            let ledger = ledger(&chunks);
            ledger.check().unwrap();
            let found: Vec<_> = rejected(&chunks).map(|row| (row.rule.id(), row.column)).collect();
            match fate {
                Ok((exact, stored)) => {
                    assert_eq!(found, [], "{text}");
                    assert_eq!(cells(&chunks, column), ["1", stored, "1"], "{text}");
                    let totals = ledger.published.decimals[column];
                    let two = ExactSum::parse("2").unwrap();
                    assert_eq!((totals.exact - two).to_string(), exact, "{text}");
                    assert_eq!((totals.stored - two).to_string(), stored, "{text}");
                    assert_eq!(totals.rounded, u64::from(exact != stored), "{text}");
                }
                Err(rule) => {
                    assert_eq!(found, [(rule, Some(column))], "{text}");
                    assert_eq!(cells(&chunks, column), ["1", "1"], "{text}");
                }
            }
        }
    }
}

const HEADER: &str = "Date,Cost,Currency,Quantity";

#[test]
fn each_form_has_its_fate_as_a_cost() {
    assert!(NUMBERS.len() >= 60, "{}", NUMBERS.len());
    for (text, fate) in NUMBERS {
        check(HEADER, "07/02/2025,@,EUR,1", "cost", text, *fate);
    }
    for text in NOTHING {
        check(HEADER, "07/02/2025,@,EUR,1", "cost", text, Err("missing"));
    }
}

#[test]
fn each_form_has_its_fate_as_a_quantity() {
    for (text, fate) in NUMBERS {
        check(HEADER, "07/02/2025,1,EUR,@", "quantity", text, *fate);
    }
}

#[test]
fn nothing_is_no_quantity() {
    for field in NOTHING.iter().flat_map(|text| fields(text)) {
        let bytes = file(HEADER, &[&format!("07/01/2025,1,EUR,{field}")]);
        let options =
            BlobOptions { ordinal: 0, metric: Metric::Actual, currency: None, chunk_bytes: 256 };
        let (chunks, _) = read_pieces(bytes.chunks(5), options).unwrap();
        assert_eq!(cells(&chunks, "quantity"), ["null"]);
    }
}

#[test]
fn all_forms_in_one_file_keep_the_account() {
    let rows: Vec<String> =
        NUMBERS.iter().map(|(text, _)| format!("07/01/2025,{},EUR,1", quoted(text))).collect();
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    let bytes = file(HEADER, &rows);
    let sum = |part: fn(&(&'static str, &'static str)) -> &'static str| -> ExactSum {
        let sound = NUMBERS.iter().filter_map(|(_, fate)| fate.as_ref().ok());
        sound.map(|values| ExactSum::parse(part(values)).unwrap()).sum()
    };
    for chunk_bytes in super::CHUNK_BYTES {
        let options =
            BlobOptions { ordinal: 0, metric: Metric::Actual, currency: None, chunk_bytes };
        let (chunks, _) = read_pieces(bytes.chunks(13), options).unwrap();
        let ledger = ledger(&chunks);
        ledger.check().unwrap();
        let sound = NUMBERS.iter().filter(|(_, fate)| fate.is_ok()).count() as u64;
        assert_eq!(ledger.published.rows, sound);
        assert_eq!(ledger.quarantined.rows, NUMBERS.len() as u64 - sound);
        let cost = ledger.published.decimals["cost"];
        assert_eq!(cost.exact, sum(|(exact, _)| exact));
        assert_eq!(cost.stored, sum(|(_, stored)| stored));
        assert_eq!(cost.values, sound);
    }
}
