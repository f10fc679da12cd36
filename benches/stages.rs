//! The stages of a conversion, one by one, on one core: 32 MiB of amortized cost rows as the simulator makes
//! them (57 columns, 890 bytes a row, high-cardinality resource ids, tags, AdditionalInfo) in random order.
//!
//! | bench | measures |
//! |---|---|
//! | split/bounds | where records end, as chunks are cut |
//! | split/fields | where fields end |
//! | decode | chunks to typed batches: fields, values, dictionaries, charge classes, ledger |
//! | encode | batches to Parquet row groups: zstd, statistics |
//! | rollup | batches to the partial sums of `department_month`, by Polars |
//! | intern/resource_id, intern/charge_type | texts of a column to dictionary codes, many and few of them |
//! | decimal | texts of quantity, price and cost to exact decimals |
//!
//! Throughput is in bytes of the source, so that the stages add up; that of `intern` and `decimal` in values.
//! What cannot be prepared ends the program with an error. Compare with a saved baseline:
//! `cargo bench --features internals --bench stages -- --save-baseline before`, then `-- --baseline before`.

use std::error::Error;
use std::hint::black_box;
use std::time::Duration;

use arrow::array::RecordBatch;
use costlake_model::Metric;
use costlake_model::columns::line_item_schema;
use costlake_model::decimal::ExactDecimal;
use costlake_model::rollup::Definition;
use costlake_sim::generator::{
    self, COLUMNS, Enrollment, EnrollmentConfig, Month, RowOrder, Selection,
};
use costlake_sink::{EncodedRowGroup, RowGroupEncoder};
use costlake_transform::blob::DEFAULT_CHUNK_BYTES;
use costlake_transform::internals::{self, TextColumn};
use costlake_transform::rollup::Partial;
use costlake_transform::{BlobOptions, BlobReader, Chunk};
use criterion::{BenchmarkGroup, Criterion, Throughput, measurement::WallTime};

/// Usage rows of a metric and month, and the blobs that they lie in: those of `compare.py`, so that values
/// repeat as often as there.
const ROWS_PER_MONTH: u64 = 500_000;
const BLOBS: usize = 4;
/// How much of the first blob is read.
const MOST_BYTES: usize = 32 << 20;
/// Records located at a time, as the decoder does.
const STRIP_ROWS: usize = 1024;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(4))
        .configure_from_args();
    let subject = Subject::prepare()?;
    let mut group = criterion.benchmark_group("stages");
    group.throughput(Throughput::Bytes(subject.blob.len() as u64));
    split(&mut group, &subject);
    decode(&mut group, &subject);
    encode(&mut group, &subject)?;
    rollup(&mut group, &subject)?;
    intern(&mut group, &subject)?;
    decimal(&mut group, &subject)?;
    group.finish();
    criterion.final_summary();
    Ok(())
}

/// What the stages work on: the same rows in each form.
struct Subject {
    blob: Vec<u8>,
    /// The rows of the blob, the header left out.
    rows: usize,
    chunks: Vec<Chunk>,
    batches: Vec<RecordBatch>,
}

impl Subject {
    fn prepare() -> Outcome<Self> {
        let blob = blob()?;
        let chunks = chunks(&blob)?;
        let mut batches = Vec::new();
        for chunk in &chunks {
            let decoded = chunk.decode()?;
            if !decoded.quarantined.is_empty() {
                return Err("rows of the simulator are in quarantine".into());
            }
            batches.push(decoded.batch);
        }
        let rows = batches.iter().map(RecordBatch::num_rows).sum();
        if rows == 0 {
            return Err("there are no rows to measure".into());
        }
        Ok(Self { blob, rows, chunks, batches })
    }
}

fn split(group: &mut BenchmarkGroup<'_, WallTime>, subject: &Subject) {
    let blob = subject.blob.as_slice();
    group.bench_function("split/bounds", |bencher| {
        bencher.iter(|| internals::count_records(black_box(blob)));
    });
    group.bench_function("split/fields", |bencher| {
        bencher.iter(|| internals::locate_fields(black_box(blob), COLUMNS.len(), STRIP_ROWS));
    });
}

fn decode(group: &mut BenchmarkGroup<'_, WallTime>, subject: &Subject) {
    group.bench_function("decode", |bencher| {
        bencher.iter(|| subject.chunks.iter().all(|chunk| black_box(chunk.decode()).is_ok()));
    });
}

fn encode(group: &mut BenchmarkGroup<'_, WallTime>, subject: &Subject) -> Outcome<()> {
    let encoder = RowGroupEncoder::new(line_item_schema())?;
    row_groups(&encoder, &subject.batches)?;
    group.bench_function("encode", |bencher| {
        bencher.iter(|| black_box(row_groups(&encoder, &subject.batches)).is_ok());
    });
    Ok(())
}

/// Encodes batches: a row group for each.
fn row_groups(encoder: &RowGroupEncoder, batches: &[RecordBatch]) -> Outcome<Vec<EncodedRowGroup>> {
    batches.iter().map(|batch| Ok(encoder.encode(batch)?)).collect()
}

fn rollup(group: &mut BenchmarkGroup<'_, WallTime>, subject: &Subject) -> Outcome<()> {
    let all = Definition::all_shipped()?;
    for (name, definitions) in [("rollup/department_month", &all[..1]), ("rollup/shipped", &all)] {
        let sums = || -> Outcome<Vec<Partial>> {
            let batches = subject.batches.iter();
            let pairs = batches.flat_map(|batch| definitions.iter().map(move |d| (d, batch)));
            pairs.map(|(d, batch)| Ok(Partial::of_batch(d, Metric::Amortized, batch)?)).collect()
        };
        sums()?;
        group.bench_function(name, |bencher| bencher.iter(|| black_box(sums()).is_ok()));
    }
    Ok(())
}

fn intern(group: &mut BenchmarkGroup<'_, WallTime>, subject: &Subject) -> Outcome<()> {
    for (bench, column) in [("resource_id", "ResourceId"), ("charge_type", "ChargeType")] {
        let texts = TextColumn::read(&subject.blob, COLUMNS.len(), column_number(column)?);
        if texts.intern() < 2 {
            return Err(format!("{column} has one value only").into());
        }
        group.throughput(Throughput::Elements(subject.rows as u64));
        group.bench_function(format!("intern/{bench}"), |bencher| {
            bencher.iter(|| black_box(&texts).intern());
        });
    }
    Ok(())
}

fn decimal(group: &mut BenchmarkGroup<'_, WallTime>, subject: &Subject) -> Outcome<()> {
    let texts = numbers(&subject.blob)?;
    if texts.len() < subject.rows {
        return Err("fewer numbers than rows".into());
    }
    let parse_all = || {
        let sum = |sum: i128, text: &Vec<u8>| -> Outcome<i128> {
            let value = ExactDecimal::parse(text)?;
            Ok(sum.wrapping_add(value.stored()).wrapping_add(value.residue()))
        };
        texts.iter().try_fold(0, sum)
    };
    parse_all()?;
    group.throughput(Throughput::Elements(texts.len() as u64));
    group.bench_function("decimal", |bencher| bencher.iter(|| black_box(parse_all()).is_ok()));
    Ok(())
}

/// The texts of quantities, prices and costs, row by row.
fn numbers(blob: &[u8]) -> Outcome<Vec<Vec<u8>>> {
    let columns = [
        column_number("Quantity")?,
        column_number("EffectivePrice")?,
        column_number("CostInBillingCurrency")?,
    ];
    let mut texts = Vec::new();
    for record in csv::Reader::from_reader(blob).byte_records() {
        let record = record?;
        texts.extend(columns.iter().filter_map(|column| record.get(*column)).map(<[u8]>::to_vec));
    }
    Ok(texts)
}

fn column_number(name: &str) -> Outcome<usize> {
    let found = COLUMNS.iter().position(|column| *column == name);
    Ok(found.ok_or_else(|| format!("the simulator has no column {name}"))?)
}

/// The first rows of a blob, header and all, at least `MOST_BYTES` of them.
fn blob() -> Outcome<Vec<u8>> {
    let config = EnrollmentConfig {
        rows_per_month: ROWS_PER_MONTH,
        open_month: None,
        row_order: RowOrder::Random,
        ..EnrollmentConfig::default()
    };
    let month: Month = config.first_month;
    let enrollment = Enrollment::new(config);
    let selection = Selection::month(generator::Metric::AmortizedCost, month);
    let plans = enrollment.plan(&selection, BLOBS);
    let plan = plans.first().ok_or("the simulator has no rows for the month")?;
    let mut blob = Vec::new();
    // Full is no failure: the rest of the blob is not wanted.
    let _ = enrollment.write_blob(plan, |rows| {
        blob.extend_from_slice(rows);
        if blob.len() < MOST_BYTES { Ok(()) } else { Err(Full) }
    });
    if blob.len() < MOST_BYTES { Err("the blob is too short".into()) } else { Ok(blob) }
}

struct Full;

fn chunks(blob: &[u8]) -> Outcome<Vec<Chunk>> {
    let mut reader = BlobReader::new(BlobOptions {
        ordinal: 0,
        metric: Metric::Amortized,
        currency: None,
        chunk_bytes: DEFAULT_CHUNK_BYTES,
    });
    let mut chunks = Vec::new();
    let mut input = blob;
    while let Some(chunk) = reader.feed(&mut input)? {
        chunks.push(chunk);
    }
    chunks.extend(reader.finish()?.0);
    Ok(chunks)
}
