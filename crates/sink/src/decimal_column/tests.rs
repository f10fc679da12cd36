use std::sync::Arc;

use arrow::array::{AsArray, Decimal128Array, RecordBatch};
use arrow::datatypes::{Decimal128Type, Field, Schema};
use bytes::Bytes;
use costlake_model::columns::decimal_type;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};
use parquet::file::properties::WriterProperties;
use proptest::prelude::*;

use crate::column_chunk::PAGE_ROWS;
use crate::encode::{RowGroupEncoder, WriteOptions, file_writer};

#[test]
fn prices_have_a_dictionary_and_costs_have_none() {
    let prices = decimals((0..10_000).map(|row| Some(row % 90 * 10_i128.pow(22))));
    let costs = decimals((0..10_000).map(|row| Some(row * 10_i128.pow(20) - 77)));
    assert!(written(&prices).0.row_group(0).column(0).dictionary_page_offset().is_some());
    assert!(written(&costs).0.row_group(0).column(0).dictionary_page_offset().is_none());
    assert!(written(&decimals([])).0.row_group(0).column(0).statistics().is_some());
}

#[test]
fn values_whose_hashes_meet_stay_apart() {
    let multiples = decimals((0..30_000).map(|row| Some((row % 9000 - 4000) << 100)));
    differs_in_nothing_that_readers_see(&multiples);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn any_column_is_what_parquet_writes(
        distinct in prop_oneof![1..4_usize, 100..400_usize, 3000..9000_usize, Just(usize::MAX)],
        rows in prop_oneof![0..40_usize, PAGE_ROWS - 2..PAGE_ROWS + 2, 2 * PAGE_ROWS..3 * PAGE_ROWS],
        run in prop_oneof![Just(1_usize), 1..40_usize, Just(30_000)],
        nulls in prop_oneof![Just(0_usize), Just(1), 2..50_usize],
        factor in any::<i64>(),
        skipped in 0..9_usize,
    ) {
        let value = |row: usize| {
            let step = row / run;
            let number = i128::try_from(step.wrapping_mul(7919) % distinct).unwrap();
            let sign = if step.is_multiple_of(3) { -1 } else { 1 };
            let is_null = nulls > 0 && step.is_multiple_of(nulls);
            (!is_null).then(|| (sign * (i128::from(factor) + number)) << 60)
        };
        let array = decimals((0..rows).map(value));
        let skipped = skipped.min(rows);
        differs_in_nothing_that_readers_see(&array.slice(skipped, rows - skipped));
    }
}

fn differs_in_nothing_that_readers_see(array: &Decimal128Array) {
    let (ours, bytes) = written(array);
    assert_eq!(array, &read(&bytes));
    assert_eq!(bytes, written(array).1);
    if array.is_empty() {
        return;
    }
    let theirs = written_by_parquet(array);
    let (our_chunk, their_chunk) = (ours.row_group(0).column(0), theirs.row_group(0).column(0));
    assert_eq!(our_chunk.statistics(), their_chunk.statistics());
    assert_eq!(our_chunk.num_values(), their_chunk.num_values());
    let levels = their_chunk.definition_level_histogram();
    assert_eq!(our_chunk.definition_level_histogram(), levels);
    assert_eq!(our_chunk.unencoded_byte_array_data_bytes(), None);
    assert_eq!(ours.column_index(), theirs.column_index());
}

fn decimals(values: impl IntoIterator<Item = Option<i128>>) -> Decimal128Array {
    let array: Decimal128Array = values.into_iter().collect();
    array.with_data_type(decimal_type())
}

fn batch(array: &Decimal128Array) -> RecordBatch {
    let schema = Schema::new(vec![Field::new("amount", decimal_type(), true)]);
    RecordBatch::try_new(Arc::new(schema), vec![Arc::new(array.clone())]).unwrap()
}

fn written(array: &Decimal128Array) -> (ParquetMetaData, Bytes) {
    let batch = batch(array);
    let encoder = RowGroupEncoder::new(batch.schema()).unwrap();
    let mut file = file_writer(&batch.schema(), WriteOptions::default()).unwrap();
    encoder.encode(&batch).unwrap().append_to(&mut file).unwrap();
    let bytes = Bytes::from(file.into_inner().unwrap());
    (metadata(&bytes), bytes)
}

/// Pages end at the same rows, and nothing else makes them end.
fn written_by_parquet(array: &Decimal128Array) -> ParquetMetaData {
    let properties = WriterProperties::builder()
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_write_batch_size(PAGE_ROWS)
        .build();
    let batch = batch(array);
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    metadata(&Bytes::from(writer.into_inner().unwrap()))
}

fn metadata(bytes: &Bytes) -> ParquetMetaData {
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
    let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(bytes.clone(), options);
    reader.unwrap().metadata().as_ref().clone()
}

fn read(bytes: &Bytes) -> Decimal128Array {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).unwrap().build().unwrap();
    let values = reader.flat_map(|batch| {
        let column = Arc::clone(batch.unwrap().column(0));
        column.as_primitive::<Decimal128Type>().iter().collect::<Vec<_>>()
    });
    decimals(values)
}
