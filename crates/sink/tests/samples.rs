use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Int32Array, Int64Array,
    RecordBatch, StringArray,
};
use arrow::datatypes::{DataType, Field, Int32Type};
use chrono::{DateTime, NaiveDate, Utc};
use costlake_model::columns::line_item_schema;
use costlake_model::ledger::{DecimalTally, DecimalTotals, Ledger, RowTotals};
use costlake_model::{ExactDecimal, ExactSum, Metric, Partition, ScopeSlug, Table};
use costlake_sink::{
    AuditedObject, BlobAccount, BlobName, BlobRecord, BlobSums, Lake, ObjectFacts, Outcome,
    PartitionAccount, Publication, RowGroupEncoder, Sha256Digest, Source, StagedObject,
    TableTotals, footer_metadata,
};

/// A lake in a new directory.
pub(crate) async fn new_lake() -> (tempfile::TempDir, Lake) {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(folder.path().to_str().unwrap(), false).await.unwrap();
    (folder, lake)
}

pub(crate) fn line_items(period: &str) -> Partition {
    Partition {
        table: Table::LineItems,
        metric: Some(Metric::Actual),
        period: period.parse().unwrap(),
        scope: ScopeSlug::from_name("billing-account-1"),
    }
}

/// A day of the run, `day` days after 2025-07-01.
pub(crate) fn time(day: u32) -> DateTime<Utc> {
    let text = format!("2025-07-{:02}T06:30:00.125Z", day + 1);
    DateTime::parse_from_rfc3339(&text).unwrap().with_timezone(&Utc)
}

pub(crate) fn begin(lake: &Lake, run: &str, day: u32) -> Publication {
    lake.begin(run.parse().unwrap(), time(day))
}

/// Rows with every column, nulls in every third row where they may be. `seed` changes the values.
pub(crate) fn batch(rows: usize, seed: i64) -> RecordBatch {
    let schema = line_item_schema();
    let columns = schema.fields().iter().map(|field| column(field, rows, seed)).collect();
    RecordBatch::try_new(schema, columns).unwrap()
}

fn column(field: &Field, rows: usize, seed: i64) -> ArrayRef {
    let is_null = |row: usize| field.is_nullable() && row % 3 == 2;
    let value = |row: usize| i64::try_from(row).unwrap() * 31 + seed;
    let values = || (0..rows).map(|row| (!is_null(row)).then(|| value(row)));
    match field.data_type() {
        DataType::Boolean => {
            Arc::new(BooleanArray::from_iter(values().map(|v| v.map(|v| v % 2 == 0))))
        }
        DataType::Date32 => Arc::new(Date32Array::from_iter(
            values().map(|v| v.map(|v| 20_270 + i32::try_from(v % 31).unwrap())),
        )),
        DataType::Int32 => Arc::new(Int32Array::from_iter(
            values().map(|v| v.map(|v| i32::try_from(v % 7).unwrap())),
        )),
        DataType::Int64 => Arc::new(Int64Array::from_iter(values())),
        DataType::Decimal128(precision, scale) => {
            let amounts = values().map(|v| v.map(amount));
            Arc::new(
                Decimal128Array::from_iter(amounts)
                    .with_precision_and_scale(*precision, *scale)
                    .unwrap(),
            )
        }
        _ => dictionary(field.name(), values()),
    }
}

/// Amounts of both signs, with all 24 fraction digits, up to the largest that there are.
fn amount(value: i64) -> i128 {
    match value % 11 {
        0 => 10_i128.pow(38) - 1,
        1 => -(10_i128.pow(38) - 1),
        sign => i128::from(value) * 1_234_567_890_123_456_789 * if sign % 2 == 0 { 1 } else { -1 },
    }
}

fn dictionary(name: &str, values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    let distinct: StringArray = (0..5).map(|at| Some(format!("{name} „{at}“ 😀"))).collect();
    let keys = values.map(|value| value.map(|value| i32::try_from(value % 5).unwrap()));
    Arc::new(DictionaryArray::<Int32Type>::new(Int32Array::from_iter(keys), Arc::new(distinct)))
}

/// The account of some batches as of one blob.
pub(crate) fn ledger(batches: &[RecordBatch]) -> Ledger {
    let totals = TableTotals::of_batches(batches);
    let name = |column: &String| {
        costlake_model::columns::decimal_columns().find(|name| name == column).unwrap()
    };
    let decimals = totals.decimals.iter().map(|(column, totals)| (name(column), *totals)).collect();
    let published = RowTotals { rows: totals.rows, decimals };
    Ledger {
        bytes: 1000,
        records: totals.rows,
        source: published.clone(),
        cost_by_currency: [("EUR".to_owned(), published.decimals["cost"].exact)].into(),
        first_date: "2025-07-01".parse().ok(),
        last_date: "2025-07-31".parse().ok(),
        published,
        ..Ledger::default()
    }
}

pub(crate) fn account(partition: Partition, batches: &[RecordBatch], day: u32) -> PartitionAccount {
    PartitionAccount::of_ledger(partition, source(), &ledger(batches), time(day))
}

/// A report of one blob.
pub(crate) fn source() -> Source {
    Source::CostDetails(vec![BlobRecord {
        ordinal: 0,
        name: BlobName::of_link("https://host/container/part_0_0001.csv?sig=secret"),
        bytes: 1000,
        sha256: Sha256Digest::of(b"blob"),
        records: 100,
        published: 100,
        quarantined: 0,
        account: Some(BlobAccount {
            layout: "ea 2024-08-01".to_owned(),
            columns: vec!["Date".to_owned(), "Cost \"x\"".to_owned()],
            decimals: BTreeMap::from([("cost".to_owned(), BlobSums::default())]),
            first_date: NaiveDate::from_ymd_opt(2025, 7, 1),
            last_date: None,
            cost_by_currency: BTreeMap::from([("EUR".to_owned(), ExactSum::from_stored(1))]),
        }),
    }])
}

/// Stages batches, each as a row group.
pub(crate) async fn stage(
    publication: &Publication,
    batches: &[RecordBatch],
) -> Result<StagedObject, costlake_sink::Error> {
    let encoder = RowGroupEncoder::new(line_item_schema()).unwrap();
    let mut writer = publication.object_writer(line_item_schema()).await?;
    for batch in batches {
        writer.append(encoder.encode(batch).unwrap()).await?;
    }
    writer.finish(footer_metadata(&source(), &TableTotals::of_batches(batches))?).await
}

pub(crate) async fn audited(
    publication: &Publication,
    batches: &[RecordBatch],
) -> Result<AuditedObject, costlake_sink::Error> {
    let staged = stage(publication, batches).await?;
    publication.audit(staged, &TableTotals::of_batches(batches)).await
}

pub(crate) async fn publish(
    publication: &Publication,
    period: &str,
    batches: &[RecordBatch],
    day: u32,
) -> Result<Outcome, costlake_sink::Error> {
    let audited = audited(publication, batches).await?;
    publication.publish(audited, account(line_items(period), batches, day)).await
}

/// A whole run that publishes one month.
pub(crate) async fn run(
    lake: &Lake,
    run: &str,
    batches: &[RecordBatch],
    day: u32,
) -> Result<Outcome, costlake_sink::Error> {
    let publication = begin(lake, run, day);
    let outcome = publish(&publication, "2025-07", batches, day).await?;
    publication.commit(time(day)).await?;
    Ok(outcome)
}

pub(crate) async fn published_facts(lake: &Lake, period: &str) -> ObjectFacts {
    lake.manifest(&line_items(period)).await.unwrap().unwrap().object
}

/// Totals with one column that sums to `text`.
pub(crate) fn totals_of(rows: u64, column: &str, text: &str) -> TableTotals {
    let mut tally = DecimalTally::default();
    tally.add(ExactDecimal::parse(text.as_bytes()).unwrap());
    let decimals: [(String, DecimalTotals); 1] = [(column.to_owned(), tally.totals())];
    TableTotals { rows, decimals: decimals.into() }
}
