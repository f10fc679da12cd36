//! Times `RowGroupEncoder::encode` against parquet's own writer, by column.
//!
//! ```text
//! costlake simulate generate --rows 200000 --out /tmp/enc
//! costlake convert /tmp/enc --lake /tmp/enc-lake
//! cargo run --release -p costlake-sink --example encode -- /tmp/enc-lake
//! cargo run --release -p costlake-sink --example encode -- unlike    # text that hardly repeats
//! ```
//!
//! A second argument is a lake to stage the rows in once more, for other readers to look at.
//!
//! Times are those of the fastest of some passes, on one thread.

#![expect(clippy::print_stdout, reason = "the table is what it is for")]

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, DictionaryArray, RecordBatch};
use arrow::datatypes::{Field, Int32Type, Schema};
use chrono::DateTime;
use costlake_model::Table;
use costlake_model::columns::{line_item_schema, text_type};
use costlake_sink::{Lake, RowGroupEncoder};
use futures::TryStreamExt;
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::{ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;

const PASSES: usize = 25;
const ROWS: usize = 40_000;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let batches = match std::env::args().nth(1) {
        Some(location) if location != "unlike" => line_items(&location).await?,
        _ => vec![unlike_rows()?],
    };
    let first = batches.first().ok_or("no rows")?;
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let memory: usize = batches.iter().map(RecordBatch::get_array_memory_size).sum();
    println!("{} batches, {rows} rows, {memory} bytes of arrays\n", batches.len());
    println!("{:32} {:>10} {:>10} {:>10} {:>10}", "", "us before", "us now", "B before", "B now");
    for at in 0..first.num_columns() {
        let column: Vec<_> = batches
            .iter()
            .map(|batch| batch.project(&[at]))
            .collect::<std::result::Result<_, _>>()?;
        print(first.schema().field(at).name(), &column)?;
    }
    print("all", &batches)?;
    if let Some(location) = std::env::args().nth(2) {
        let lake = Lake::open(&location, true).await?;
        let publication = lake.begin("encode".parse()?, DateTime::UNIX_EPOCH);
        let staged = publication.stage_table(first.schema(), &batches, Vec::new()).await?;
        println!("{location}/{}", staged.path());
    }
    Ok(())
}

fn print(name: &str, batches: &[RecordBatch]) -> Result<()> {
    let schema = batches.first().ok_or("no rows")?.schema();
    let encoder = RowGroupEncoder::new(schema)?;
    let now =
        best(|| batches.iter().try_fold(0, |sum, batch| Ok(sum + encoder.encode(batch)?.bytes())))?;
    let before = best(|| batches.iter().try_fold(0, |sum, batch| Ok(sum + by_parquet(batch)?)))?;
    let count = u64::try_from(batches.len())?;
    println!(
        "{name:32} {:10} {:10} {:10} {:10}",
        before.0 / 1000 / count,
        now.0 / 1000 / count,
        before.1 / count,
        now.1 / count
    );
    Ok(())
}

/// Nanoseconds of the best pass, and what a pass returns.
fn best(mut pass: impl FnMut() -> Result<u64>) -> Result<(u64, u64)> {
    let mut best = (u64::MAX, 0);
    for _ in 0..PASSES {
        let start = Instant::now();
        let result = pass()?;
        best = best.min((u64::try_from(start.elapsed().as_nanos())?, result));
    }
    Ok(best)
}

fn by_parquet(batch: &RecordBatch) -> Result<u64> {
    let schema = batch.schema();
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .build();
    let root = ArrowSchemaConverter::new().convert(&schema)?.root_schema_ptr();
    let file = SerializedFileWriter::new(Vec::new(), root, Arc::new(properties))?;
    let factory = ArrowRowGroupWriterFactory::new(&file, Arc::clone(&schema));
    let mut writers = factory.create_column_writers(0)?.into_iter();
    let mut bytes = 0;
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        for leaf in compute_leaves(field, column)? {
            let mut writer = writers.next().ok_or("no writer")?;
            writer.write(&leaf)?;
            bytes += writer.close()?.close().bytes_written;
        }
    }
    Ok(bytes)
}

async fn line_items(location: &str) -> Result<Vec<RecordBatch>> {
    let lake = Lake::open(location, false).await?;
    let names = line_item_schema();
    let names = names.fields().iter().map(|field| field.name().as_str()).collect();
    let mut batches = Vec::new();
    for partition in lake.partitions().await? {
        if partition.table == Table::LineItems {
            let stream = lake.read_line_items(&partition, &names).await?;
            batches.extend(stream.try_collect::<Vec<_>>().await?);
        }
    }
    Ok(batches)
}

/// Resource ids, tags and additional info as a large enrollment has them, at random, each repeated
/// so many times on the average.
fn unlike_rows() -> Result<RecordBatch> {
    let mut random = fastrand::Rng::with_seed(1);
    let mut fields = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for tenths in [10, 12, 15, 17, 20, 25, 30, 40, 80, 320] {
        for (kind, make) in
            [("id", resource_id as fn(u64) -> String), ("tags", tags), ("guid", guid)]
        {
            let values: Vec<String> =
                (0..ROWS * 10 / tenths).map(|_| make(random.u64(..))).collect();
            let mut rows: Vec<&str> =
                (0..ROWS).map(|row| values[row % values.len()].as_str()).collect();
            random.shuffle(&mut rows);
            let column: DictionaryArray<Int32Type> = rows.into_iter().map(Some).collect();
            fields.push(Field::new(
                format!("{kind} {}.{}", tenths / 10, tenths % 10),
                text_type(),
                true,
            ));
            columns.push(Arc::new(column));
        }
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

fn resource_id(seed: u64) -> String {
    let (subscription, group) = (seed % 97 * 0x9e37_79b9_7f4a, seed / 97 % 3000);
    format!(
        "/subscriptions/{subscription:08x}-3b1c-4f7e-9d20-{subscription:012x}/resourceGroups/rg-{group:04}-prod/providers/Microsoft.Compute/virtualMachines/vm-{seed:016x}"
    )
}

fn tags(seed: u64) -> String {
    let (owner, centre) = (seed % 700, seed / 700 % 300);
    format!(
        "{{\"owner\":\"user{owner}@example.com\",\"costCenter\":\"CC-{centre:05}\",\"environment\":\"prod\",\"run\":\"{seed:x}\"}}"
    )
}

fn guid(seed: u64) -> String {
    let other = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("{:08x}-{:04x}-4{:03x}-{:016x}", seed >> 32, seed >> 16 & 0xffff, seed & 0xfff, other)
}
