//! What becomes of files: rows, quarantine, refusals.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Date32Type, Decimal128Type, Int32Type, Int64Type};
use arrow::util::display::array_value_to_string;
use costlake_model::ExactSum;
use costlake_model::ledger::Ledger;
use costlake_transform::{BlobOptions, DecodedChunk, Error};
use proptest::prelude::*;

use super::{options, read, read_in_pieces};

const HEADER: &str =
    "Date,CostInBillingCurrency,BillingCurrencyCode,Tags,ChargeType,PricingModel,MeterCategory\r\n";

fn file(rows: &[&str]) -> String {
    format!("{HEADER}{}\r\n", rows.join("\r\n"))
}

pub(crate) fn ledger(chunks: &[DecodedChunk]) -> Ledger {
    let mut sum = Ledger::default();
    chunks.iter().for_each(|chunk| sum.merge(&chunk.ledger));
    sum.check().unwrap();
    sum
}

pub(crate) fn values(chunks: &[DecodedChunk], column: &str) -> Vec<String> {
    let of_batch = |batch: &RecordBatch| -> Vec<String> {
        let array = batch.column_by_name(column).unwrap();
        (0..array.len())
            .map(|row| {
                if array.is_null(row) {
                    "null".to_owned()
                } else {
                    array_value_to_string(array, row).unwrap()
                }
            })
            .collect()
    };
    chunks.iter().flat_map(|chunk| of_batch(&chunk.batch)).collect()
}

#[test]
fn a_row_is_typed() {
    let chunks =
        read(&file(&[r#"07/01/2025,1.5E-03,EUR,"""env"": ""a,b""",Usage,OnDemand,"#])).unwrap();
    let batch = &chunks[0].batch;
    let cost = batch.column_by_name("cost").unwrap().as_primitive::<Decimal128Type>();
    assert_eq!(ExactSum::from_stored(cost.value(0)).to_string(), "0.0015");
    assert_eq!(
        batch.column_by_name("charge_date").unwrap().as_primitive::<Date32Type>().value(0),
        20270
    );
    assert_eq!(values(&chunks, "tags"), [r#"{"env": "a,b"}"#]);
    assert_eq!(values(&chunks, "charge_class"), ["on_demand_usage"]);
    assert_eq!(values(&chunks, "meter_category"), ["null"]);
    assert_eq!(values(&chunks, "record"), ["1"]);
    assert_eq!(values(&chunks, "source_kind"), ["other"]);
}

#[test]
fn rows_that_cannot_be_typed_are_kept_with_place_and_reason() {
    let text = file(&[
        "07/01/2025,1,EUR,,Usage,OnDemand,a",
        "07/01/2025,1.000,5,EUR,,Usage,OnDemand,a",
        "2025-07-01,2,EUR,,Usage,OnDemand,a",
        "07/01/2025,NaN,EUR,,Usage,OnDemand,a",
        "07/01/2025,3,,,Usage,OnDemand,a",
        "07/01/2025,,EUR,,Usage,OnDemand,a",
        "07/01/2025,4,\"EU\"R,,Usage,OnDemand,a",
        "07/01/2025,100000000000000,EUR,,Usage,OnDemand,a",
        "",
        "07/01/2025,5,EUR,,Usage,OnDemand,a",
    ]);
    let chunks = read(&text).unwrap();
    let found: Vec<_> = chunks
        .iter()
        .flat_map(|chunk| &chunk.quarantined)
        .map(|row| (row.place.record, row.rule.id(), row.column, row.found.as_str()))
        .collect();
    assert_eq!(
        found,
        [
            (2, "field-count", None, "8 fields"),
            (3, "date", Some("charge_date"), "2025-07-01"),
            (4, "number-form", Some("cost"), "NaN"),
            (5, "missing", Some("billing_currency"), ""),
            (6, "missing", Some("cost"), ""),
            (7, "quote-form", None, "other text"),
            (8, "number-range", Some("cost"), "100000000000000"),
        ]
    );
    for row in chunks.iter().flat_map(|chunk| &chunk.quarantined) {
        let start = usize::try_from(row.place.byte_offset).unwrap();
        assert_eq!(&text.as_bytes()[start..start + row.raw.len()], row.raw);
    }
    let ledger = ledger(&chunks);
    assert_eq!((ledger.records, ledger.published.rows, ledger.blank_lines), (9, 2, 1));
    assert_eq!(ledger.published.decimals["cost"].exact.to_string(), "6");
    assert_eq!(ledger.quarantined.decimals["cost"].exact.to_string(), "5");
    assert_eq!(values(&chunks, "record"), ["1", "9"]);
}

#[test]
fn invalid_text_is_quarantined_each_time() {
    let mut text = HEADER.as_bytes().to_vec();
    for _ in 0..2 {
        text.extend(b"07/01/2025,1,EUR,,Usage,OnDemand,\xff\r\n");
    }
    let (chunks, _) = read_in_pieces(&text, 7, options()).unwrap();
    assert_eq!(ledger(&chunks).quarantined.rows, 2);
    assert_eq!(chunks[0].quarantined[1].rule.id(), "encoding");
}

#[test]
fn files_that_are_none_are_refused() {
    for (text, expected) in [
        ("", "the file is empty"),
        ("\u{feff}\r\n", "the file is empty"),
        ("<!DOCTYPE html><title>Sign in</title>", "an HTML page that starts with `<!DOCTYPE html>"),
        ("<?xml version=\"1.0\"?><Error/>", "an XML page"),
        ("PK\u{3}\u{4}abc", "found a zip archive"),
        ("07/01/2025,1.5,EUR,a\n", "is no header of a cost file"),
        (
            "BilledCost,EffectiveCost,ChargePeriodStart\n",
            "billing_currency (header BillingCurrency)",
        ),
        ("EffectiveCost,ChargePeriodStart,Tags,BillingCurrency\n", "cost (header BilledCost)"),
        ("Date,Cost,SubscriptionId\n", "billing_currency"),
        ("Date,Cost,PreTaxCost,Currency\n", "`Cost` and `PreTaxCost` both mean column cost"),
        ("Date,Cost,Currency\n07/01/2025,1,\"EUR", "record 1 at byte 19 is not closed"),
        (
            "Date,Cost,Currency\n07/01/2025,1,EUR\nDate,Cost,Currency\n",
            "record 2 at byte 36 repeats the header",
        ),
    ] {
        let error = read(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text:?}: {error}");
    }
    let utf16: Vec<u8> = "Date,Cost".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let error = read_in_pieces(&utf16, 3, options()).unwrap_err();
    assert!(matches!(error, Error::Encoding { .. }), "{error}");
}

#[test]
fn a_header_alone_is_no_rows() {
    for text in [HEADER, HEADER.trim_end(), &format!("\u{feff}{HEADER}")] {
        let (chunks, summary) = read_in_pieces(text.as_bytes(), 5, options()).unwrap();
        assert!(chunks.is_empty());
        assert_eq!((summary.records, summary.bytes), (0, text.len() as u64));
    }
}

#[test]
fn title_lines_before_the_header_are_skipped() {
    let title = "Usage data for enrollment 12, July\r\n\r\n";
    let text = format!("\u{feff}{title}{HEADER}07/01/2025,1,EUR,,Usage,OnDemand,a\r\n");
    let (chunks, summary) = read_in_pieces(text.as_bytes(), 3, options()).unwrap();
    assert_eq!((summary.title_lines, summary.records), (1, 1));
    assert_eq!(values(&chunks, "meter_category"), ["a"]);
}

#[test]
fn unknown_columns_are_kept_as_extra() {
    let chunks = read("Date,Cost,Currency,Owner \"x\",,\n07/01/2025,1,EUR,\"a \"\"b\"\"\",,\n07/01/2025,1,EUR,,c,\n").unwrap();
    assert_eq!(values(&chunks, "extra"), [r#"{"Owner \"x\"":"a \"b\""}"#, r#"{"column_5":"c"}"#]);
}

#[test]
fn a_given_currency_fills_files_without_one() {
    let given = BlobOptions { currency: Some("USD".to_owned()), ..options() };
    let text = "Date,Cost,MeterId\n2021-10-16,1.2,a\n";
    let (chunks, _) = read_in_pieces(text.as_bytes(), 9, given).unwrap();
    assert_eq!(values(&chunks, "billing_currency"), ["USD"]);
    assert_eq!(ledger(&chunks).cost_by_currency["USD"].to_string(), "1.2");
}

fn any_file() -> impl Strategy<Value = String> {
    let field = prop_oneof!["[a-z]{0,20}", "\"[a-z,\n]{0,20}\"", Just(String::new())];
    let cost = prop_oneof!["-?[0-9]{1,5}\\.[0-9]{1,27}", "x", Just("1e-7".to_owned())];
    let row = (cost, field.clone(), field).prop_map(|(cost, tags, meter)| {
        format!("07/01/2025,{cost},EUR,{tags},Usage,OnDemand,{meter}")
    });
    prop::collection::vec(row, 0..16).prop_map(|rows| {
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        file(&rows)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn cutting_anywhere_gives_the_same_batches(text in any_file(), piece in 1_usize..400) {
        let (whole, summary) = read_in_pieces(text.as_bytes(), usize::MAX, options()).unwrap();
        let (cut, cut_summary) = read_in_pieces(text.as_bytes(), piece, options()).unwrap();
        prop_assert_eq!(summary, cut_summary);
        prop_assert_eq!(whole.len(), cut.len());
        for (one, other) in whole.iter().zip(&cut) {
            prop_assert_eq!(&one.batch, &other.batch);
            prop_assert_eq!(&one.quarantined, &other.quarantined);
            prop_assert_eq!(&one.ledger, &other.ledger);
        }
        ledger(&whole);
    }

    #[test]
    fn rows_are_those_of_the_csv_crate(text in any_file()) {
        let (chunks, _) = read_in_pieces(text.as_bytes(), 50, options()).unwrap();
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let sound: Vec<String> = reader
            .records()
            .map(|record| record.unwrap())
            .filter(|record| &record[1] != "x")
            .map(|record| if record[6].is_empty() { "null".to_owned() } else { record[6].to_owned() })
            .collect();
        prop_assert_eq!(values(&chunks, "meter_category"), sound);
        let numbers: usize = chunks
            .iter()
            .map(|chunk| chunk.batch.column_by_name("record").unwrap().as_primitive::<Int64Type>().len())
            .sum();
        let blobs = chunks.iter().all(|chunk| {
            chunk.batch.column_by_name("blob").unwrap().as_primitive::<Int32Type>().iter().all(|b| b == Some(0))
        });
        prop_assert!(blobs);
        prop_assert_eq!(numbers, values(&chunks, "cost").len());
    }
}
