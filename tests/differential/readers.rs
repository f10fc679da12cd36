//! What costlake and the `csv` crate make of a file, as JSON for the comparison.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Decimal128Type};
use arrow::util::display::array_value_to_string;
use costlake_model::ExactSum;
use costlake_model::ledger::{Ledger, RowTotals};
use costlake_transform::{BlobReader, BlobSummary, DecodedChunk, Error};
use serde_json::{Map, Value, json};

use super::generator::{File, Random};
use crate::harness::blob_options;

/// What costlake makes of a file that is fed in odd pieces.
pub(super) fn costlake(random: &mut Random, file: &File) -> Value {
    match read(random, file) {
        Ok((chunks, summary)) => normal_form(&chunks, &summary),
        Err(error) => json!({ "refused": kind(&error), "record": place(&error) }),
    }
}

fn read(random: &mut Random, file: &File) -> Result<(Vec<DecodedChunk>, BlobSummary), Error> {
    let chunk_bytes = random.pick(&[64, 256, 4096, 1 << 20]);
    let mut reader = BlobReader::new(blob_options(file.currency, "actual", chunk_bytes));
    let mut chunks = Vec::new();
    let mut rest = &*file.bytes;
    while !rest.is_empty() {
        let (mut piece, behind) = rest.split_at(rest.len().min(1 + random.below(3000)));
        while let Some(chunk) = reader.feed(&mut piece)? {
            chunks.push(chunk);
        }
        rest = behind;
    }
    let (last, summary) = reader.finish()?;
    chunks.extend(last);
    let decoded = chunks.iter().map(|chunk| chunk.decode()).collect::<Result<_, _>>()?;
    Ok((decoded, summary))
}

fn kind(error: &Error) -> &'static str {
    match error {
        Error::Empty => "empty",
        Error::Markup { .. } => "markup",
        Error::Encoding { .. } => "encoding",
        Error::HeaderTooLong { .. } => "header-too-long",
        Error::NoHeader { .. } => "no-header",
        Error::MissingColumns { .. } => "missing-columns",
        Error::AmbiguousHeader { .. } => "ambiguous-header",
        Error::RepeatedName { .. } => "repeated-name",
        Error::UnclosedQuote { .. } => "unclosed-quote",
        Error::RepeatedHeader { .. } => "repeated-header",
        _ => "other",
    }
}

fn place(error: &Error) -> Option<(u64, u64)> {
    match error {
        Error::UnclosedQuote { record, byte_offset }
        | Error::RepeatedHeader { record, byte_offset } => Some((*record, *byte_offset)),
        _ => None,
    }
}

fn normal_form(chunks: &[DecodedChunk], summary: &BlobSummary) -> Value {
    let mut ledger = Ledger::default();
    chunks.iter().for_each(|chunk| ledger.merge(&chunk.ledger));
    ledger.check().unwrap();
    let texts = |sums: &mut dyn Iterator<Item = (String, ExactSum)>| -> Map<String, Value> {
        sums.map(|(name, sum)| (name, Value::from(sum.to_string()))).collect()
    };
    let currencies = ledger.cost_by_currency.iter().map(|(name, sum)| (name.clone(), *sum));
    let classes = ledger.cost_by_class.iter().map(|(class, sum)| (class.to_string(), *sum));
    let (currencies, classes) = (&mut { currencies }, &mut { classes });
    json!({
        "records": summary.records,
        "blank_lines": summary.blank_lines,
        "title_lines": summary.title_lines,
        "second_mark": summary.has_second_mark,
        "quarantined": quarantined(chunks),
        "columns": columns(chunks),
        "source": totals(&ledger.source),
        "published": totals(&ledger.published),
        "withheld": totals(&ledger.quarantined),
        "first_date": ledger.first_date.map(|day| day.to_string()),
        "last_date": ledger.last_date.map(|day| day.to_string()),
        "currencies": texts(currencies),
        "classes": texts(classes),
    })
}

fn quarantined(chunks: &[DecodedChunk]) -> Vec<Value> {
    let rows = chunks.iter().flat_map(|chunk| &chunk.quarantined);
    rows.map(|row| {
        let cost = row.cost.map(|cost| ExactSum::from_stored(cost).to_string());
        let (place, rule) = (row.place, row.rule.id());
        json!([place.record, rule, row.column, place.byte_offset, cost, characters(&row.raw)])
    })
    .collect()
}

fn totals(totals: &RowTotals) -> Map<String, Value> {
    let of_column = |(name, sum): (&&str, &costlake_model::ledger::DecimalTotals)| {
        let figures =
            json!([sum.values, sum.exact.to_string(), sum.stored.to_string(), sum.rounded]);
        ((*name).to_owned(), figures)
    };
    totals.decimals.iter().map(of_column).collect()
}

/// The cells of all columns that are not empty, in the order of the table.
fn columns(chunks: &[DecodedChunk]) -> Map<String, Value> {
    let mut columns = Map::new();
    let schema = costlake_model::columns::line_item_schema();
    for (at, field) in schema.fields().iter().enumerate() {
        let arrays = || chunks.iter().map(|chunk| chunk.batch.column(at));
        if arrays().all(|array| array.logical_null_count() == array.len()) {
            continue;
        }
        let cells = arrays().flat_map(cells).collect();
        columns.insert(field.name().clone(), cells);
    }
    columns
}

fn cells(array: &ArrayRef) -> Vec<Option<String>> {
    let cell = |row| match array.data_type() {
        DataType::Decimal128(..) => {
            ExactSum::from_stored(array.as_primitive::<Decimal128Type>().value(row)).to_string()
        }
        _ => array_value_to_string(array, row).unwrap(),
    };
    (0..array.len()).map(|row| array.is_valid(row).then(|| cell(row))).collect()
}

/// The records that the `csv` crate finds, header and titles included.
pub(super) fn csv_crate(file: &File) -> Value {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(file.bytes.as_slice());
    let records: Result<Vec<Vec<String>>, csv::Error> =
        reader.byte_records().map(|record| Ok(record?.iter().map(characters).collect())).collect();
    match records {
        Ok(records) => json!(records),
        Err(error) => json!({ "error": error.to_string() }),
    }
}

/// Bytes as characters of the same number, so that JSON carries any of them.
fn characters(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}
