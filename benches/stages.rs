//! The stages of a conversion, one by one, on one core and generated data: about 30 MB of amortized
//! cost rows as the simulator makes them (57 columns, 890 bytes a row, tags, AdditionalInfo).
//!
//! | bench | measures |
//! |---|---|
//! | split | bytes to chunks: byte-order mark, header, record boundaries |
//! | decode | a chunk to a typed batch: fields, values, dictionaries, charge classes, ledger |
//! | encode | a batch to a Parquet row group: zstd 1, statistics |
//! | rollup | a batch to the partial sums of `department_month`, by Polars |
//!
//! Throughput is in source bytes for all of them, so that the stages add up. Compare with a saved
//! baseline: `cargo bench --bench stages -- --save-baseline before`, then `-- --baseline before`.

use std::hint::black_box;

use costlake_model::Metric;
use costlake_model::columns::line_item_schema;
use costlake_model::rollup::Definition;
use costlake_sim::generator::{self, Enrollment, EnrollmentConfig, Month, Selection};
use costlake_sink::RowGroupEncoder;
use costlake_transform::rollup::Partial;
use costlake_transform::{BlobOptions, BlobReader, Chunk};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const ROWS: u64 = 34_000;

fn blob() -> Vec<u8> {
    let config =
        EnrollmentConfig { rows_per_month: ROWS, open_month: None, ..EnrollmentConfig::default() };
    let month: Month = config.first_month;
    let enrollment = Enrollment::new(config);
    let selection = Selection::month(generator::Metric::AmortizedCost, month);
    let plans = enrollment.plan(&selection, 1);
    plans.first().map(|plan| enrollment.render_blob(plan)).unwrap_or_default()
}

fn chunks(blob: &[u8]) -> Vec<Chunk> {
    let chunk_bytes = costlake_transform::blob::DEFAULT_CHUNK_BYTES;
    let mut reader = BlobReader::new(BlobOptions {
        ordinal: 0,
        metric: Metric::Actual,
        currency: None,
        chunk_bytes,
    });
    let mut chunks = Vec::new();
    let mut input = blob;
    while let Ok(Some(chunk)) = reader.feed(&mut input) {
        chunks.push(chunk);
    }
    chunks.extend(reader.finish().map(|(last, _)| last).unwrap_or_default());
    chunks
}

fn stages(criterion: &mut Criterion) {
    let text = include_str!("../pipelines/rollups/department_month.toml");
    let definition = Definition::parse(text);
    let encoder = RowGroupEncoder::new(line_item_schema());
    let blob = blob();
    let whole = chunks(&blob);
    let decoded = whole.first().map(Chunk::decode);
    let (Ok(definition), Ok(encoder), [chunk], Some(Ok(decoded))) =
        (definition, encoder, whole.as_slice(), decoded)
    else {
        return;
    };
    let mut group = criterion.benchmark_group("stages");
    group.throughput(Throughput::Bytes(blob.len() as u64)).sample_size(20);
    group.bench_function("split", |bencher| bencher.iter(|| black_box(chunks(&blob))));
    group.bench_function("decode", |bencher| bencher.iter(|| black_box(chunk.decode())));
    group.bench_function("encode", |bencher| {
        bencher.iter(|| black_box(encoder.encode(&decoded.batch)));
    });
    group.bench_function("rollup", |bencher| {
        bencher
            .iter(|| black_box(Partial::of_batch(&definition, Metric::Amortized, &decoded.batch)));
    });
    group.finish();
}

criterion_group!(benches, stages);
criterion_main!(benches);
