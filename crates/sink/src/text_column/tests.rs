use std::sync::Arc;

use arrow::array::{Array, DictionaryArray, Int32Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int32Type, Schema};
use bytes::Bytes;
use costlake_model::columns::text_type;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
};
use parquet::basic::{Encoding, PageType};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};
use parquet::file::properties::WriterProperties;
use proptest::prelude::*;

use super::PLAIN_PAGE_BYTES;
use crate::column_chunk::PAGE_ROWS;
use crate::encode::{RowGroupEncoder, WriteOptions, file_writer};

type Text = DictionaryArray<Int32Type>;

#[test]
fn values_that_no_row_uses_are_left_out() {
    let array = text(&[Some("unused"), Some("b"), Some("zz unused"), Some("a")], &[3, 1, 3, 3, 3]);
    let (metadata, bytes) = written(&array);
    assert_eq!(values_of(&array), read(&bytes));
    let chunk = metadata.row_group(0).column(0);
    let statistics = chunk.statistics().unwrap();
    assert_eq!(statistics.min_bytes_opt(), Some(&b"a"[..]));
    assert_eq!(statistics.max_bytes_opt(), Some(&b"b"[..]));
    assert!(!bytes.windows(6).any(|window| window == b"unused"));
}

#[test]
fn a_null_in_the_dictionary_is_a_null() {
    let array = text(&[Some("a"), None, Some("b")], &[0, 1, 2, 1, 0, 0, 0]);
    let (metadata, bytes) = written(&array);
    assert_eq!(values_of(&array), read(&bytes));
    assert_eq!(metadata.row_group(0).column(0).statistics().unwrap().null_count_opt(), Some(2));
}

#[test]
fn a_column_of_nulls_or_of_one_value_takes_next_to_nothing() {
    let nulls: Text = (0..40_000).map(|_| None::<&str>).collect();
    let one: Text = (0..40_000).map(|_| Some("EUR")).collect();
    for (array, most) in [(&nulls, 100), (&one, 150)] {
        let (metadata, bytes) = written(array);
        assert_eq!(values_of(array), read(&bytes));
        let chunk = metadata.row_group(0).column(0);
        assert!(chunk.compressed_size() <= most, "{}", chunk.compressed_size());
    }
}

#[test]
fn a_required_column_has_no_levels_and_refuses_nulls() {
    let array = text(&[Some("a"), Some("b")], &[0, 1, 1, 0, 0, 1]);
    let schema = Arc::new(Schema::new(vec![Field::new("text", text_type(), false)]));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(array.clone())]).unwrap();
    let (_, bytes) = written_batch(&batch);
    assert_eq!(values_of(&array), read(&bytes));
    let encoder = RowGroupEncoder::new(schema).unwrap();
    let nulls: Text = [Some("a"), None].into_iter().collect();
    let nullable = Arc::new(Schema::new(vec![Field::new("text", text_type(), true)]));
    let batch = RecordBatch::try_new(nullable, vec![Arc::new(nulls)]).unwrap();
    assert!(encoder.encode(&batch).is_err());
}

#[test]
fn plain_pages_end_by_their_bytes() {
    let long =
        |row: usize| (!row.is_multiple_of(3)).then(|| format!("{row} {}", "long ".repeat(100)));
    let array: Text =
        (0..9000).map(long).collect::<Vec<_>>().iter().map(Option::as_deref).collect();
    let (metadata, bytes) = written(&array);
    assert_eq!(values_of(&array), read(&bytes));
    let chunk = metadata.row_group(0).column(0);
    assert_eq!(chunk.dictionary_page_offset(), None);
    let pages = metadata.offset_index().unwrap()[0][0].page_locations().len();
    assert_eq!(pages, usize::try_from(chunk.uncompressed_size()).unwrap() / PLAIN_PAGE_BYTES + 1);
    assert!(pages > 2);
}

#[test]
fn large_dictionaries_of_values_that_repeat_stay() {
    let values: Vec<_> = (0..10_000).map(|at| format!("{at} {}", "x".repeat(200))).collect();
    let array: Text = (0..40_000).map(|row| Some(values[row * 7 % 10_000].as_str())).collect();
    let (metadata, bytes) = written(&array);
    assert_eq!(values_of(&array), read(&bytes));
    let chunk = metadata.row_group(0).column(0);
    assert!(chunk.uncompressed_size() > 2 * 1024 * 1024);
    let pages = chunk.page_encoding_stats().unwrap();
    assert!(pages.iter().all(|page| page.page_type == PageType::DICTIONARY_PAGE
        || page.encoding == Encoding::RLE_DICTIONARY));
    assert_eq!(pages[0].page_type, PageType::DICTIONARY_PAGE);
}

#[test]
fn the_same_rows_with_other_keys_give_the_same_bytes() {
    let rows = [0, 1, 0, 2, 2, 2, 1, 1, 0];
    let first = text(&[Some("a"), Some("b"), Some("c")], &rows);
    let values = &[Some("unused"), Some("c"), Some("b"), Some("unused too"), Some("a")];
    let second = text(values, &rows.map(|key| [4, 2, 1][usize::try_from(key).unwrap()]));
    assert_eq!(written(&first).1, written(&first).1);
    assert_eq!(written(&first).1, written(&second).1);
}

#[test]
fn rows_are_found_by_the_offset_index() {
    let array: Text = (0..3 * PAGE_ROWS)
        .map(|row| (!row.is_multiple_of(5)).then(|| format!("{}", row / 50)))
        .collect::<Vec<_>>()
        .iter()
        .map(Option::as_deref)
        .collect();
    let (_, bytes) = written(&array);
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
    let selection = RowSelection::from(vec![
        RowSelector::skip(PAGE_ROWS + 17),
        RowSelector::select(5),
        RowSelector::skip(PAGE_ROWS),
        RowSelector::select(3),
    ]);
    let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(bytes, options)
        .unwrap()
        .with_row_selection(selection)
        .build()
        .unwrap();
    let found: Vec<_> = reader.flat_map(|batch| strings(batch.unwrap().column(0))).collect();
    let all = values_of(&array);
    let (first, second) = (PAGE_ROWS + 17, 2 * PAGE_ROWS + 22);
    assert_eq!(found, [&all[first..first + 5], &all[second..second + 3]].concat());
}

#[test]
fn long_bounds_are_cut_as_parquet_cuts_them() {
    for values in [
        vec!["x".repeat(64), "y".repeat(64)],
        vec!["x".repeat(65), "y".repeat(200)],
        vec!["ä".repeat(40), "\u{10ffff}".repeat(40)],
        vec!["a".to_owned() + &"ä".repeat(40), "z".repeat(60) + "\u{7f}\u{7f}\u{7f}\u{7f}more"],
        vec!["z".repeat(61) + "\u{d7ff}x", "zz".repeat(40)],
    ] {
        let array: Text = (0..10).map(|row| Some(values[row % 2].as_str())).collect();
        differs_in_nothing_that_readers_see(&array);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_column_is_what_parquet_writes(array in any_text()) {
        differs_in_nothing_that_readers_see(&array);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, ..ProptestConfig::default() })]

    #[test]
    fn columns_of_several_pages_are_what_parquet_writes(
        distinct in prop_oneof![1..4_usize, 100..400_usize, 70_000..90_000_usize],
        rows in PAGE_ROWS - 2..5 * PAGE_ROWS,
        run in prop_oneof![Just(1_usize), 1..40_usize, Just(30_000)],
        nulls in prop_oneof![Just(0_usize), 2..50_usize, Just(100_000)],
        sorted in any::<bool>(),
    ) {
        let value = |row: usize| {
            let step = row / run;
            let number = if sorted { step * distinct / rows } else { step * 7919 % distinct };
            let is_null = nulls > 0 && step.is_multiple_of(nulls);
            (!is_null).then(|| format!("{number:06}"))
        };
        let texts: Vec<_> = (0..rows).map(value).collect();
        let array: Text = texts.iter().map(Option::as_deref).collect();
        differs_in_nothing_that_readers_see(&array);
    }
}

/// Some values, some of them used, in runs and at random, some of them null.
fn any_text() -> impl Strategy<Value = Text> {
    let value = prop_oneof![
        3 => "[a-c]{0,2}",
        2 => "\\PC{0,20}",
        1 => "\\PC{60,90}",
        1 => Just("\u{10ffff}".repeat(30)),
        1 => Just("/subscriptions/".repeat(9)),
    ];
    let values = prop::collection::vec(prop::option::weighted(0.95, value), 1..40);
    let runs = prop::collection::vec((any::<prop::sample::Index>(), 1..30_usize), 0..60);
    (values, runs, prop_oneof![Just(0), Just(3), Just(1)], 0..9_usize).prop_map(
        |(values, runs, null_every, skipped)| {
            let keys = runs.iter().enumerate().flat_map(|(at, (index, length))| {
                let key = i32::try_from(index.index(values.len())).unwrap();
                let is_null = null_every > 0 && at % null_every == 0;
                std::iter::repeat_n((!is_null).then_some(key), *length)
            });
            let keys: Int32Array = keys.collect();
            let skipped = skipped.min(keys.len());
            let values = StringArray::from(values);
            let array = Text::try_new(keys, Arc::new(values)).unwrap();
            // Slices begin anywhere in the null bitmap.
            array.slice(skipped, array.len() - skipped)
        },
    )
}

fn differs_in_nothing_that_readers_see(array: &Text) {
    let (ours, bytes) = written(array);
    let (theirs, _) = written_by_parquet(array);
    assert_eq!(values_of(array), read(&bytes));
    if array.is_empty() {
        assert_eq!(ours.num_row_groups(), 1);
        return;
    }
    let (our_chunk, their_chunk) = (ours.row_group(0).column(0), theirs.row_group(0).column(0));
    assert_eq!(our_chunk.statistics(), their_chunk.statistics());
    assert_eq!(our_chunk.num_values(), their_chunk.num_values());
    assert_eq!(our_chunk.compression(), their_chunk.compression());
    let definition_levels = their_chunk.definition_level_histogram();
    assert_eq!(our_chunk.definition_level_histogram(), definition_levels);
    assert_eq!(our_chunk.repetition_level_histogram(), None);
    let text_bytes = their_chunk.unencoded_byte_array_data_bytes();
    if array.logical_null_count() < array.len() {
        assert_eq!(our_chunk.unencoded_byte_array_data_bytes(), text_bytes);
    }
    assert_eq!(ours.column_index(), theirs.column_index());
    let first_rows = |metadata: &ParquetMetaData| {
        let pages = metadata.offset_index().unwrap()[0][0].page_locations();
        pages.iter().map(|page| page.first_row_index).collect::<Vec<_>>()
    };
    assert_eq!(first_rows(&ours), first_rows(&theirs));
    pages_lie_one_after_the_other(&ours);
}

fn pages_lie_one_after_the_other(metadata: &ParquetMetaData) {
    let chunk = metadata.row_group(0).column(0);
    let (start, length) = chunk.byte_range();
    let mut at = chunk.data_page_offset();
    for page in metadata.offset_index().unwrap()[0][0].page_locations() {
        assert_eq!(page.offset, at);
        at += i64::from(page.compressed_page_size);
    }
    assert_eq!(u64::try_from(at).unwrap(), start + length);
    let data_pages = metadata.offset_index().unwrap()[0][0].page_locations().len();
    let counted: i32 = chunk
        .page_encoding_stats()
        .unwrap()
        .iter()
        .filter(|pages| pages.page_type == PageType::DATA_PAGE)
        .map(|pages| pages.count)
        .sum();
    assert_eq!(usize::try_from(counted).unwrap(), data_pages);
}

fn text(values: &[Option<&str>], keys: &[i32]) -> Text {
    let values = StringArray::from(values.to_vec());
    Text::try_new(Int32Array::from(keys.to_vec()), Arc::new(values)).unwrap()
}

fn batch(array: &Text) -> RecordBatch {
    let schema = Schema::new(vec![Field::new("text", text_type(), true)]);
    RecordBatch::try_new(Arc::new(schema), vec![Arc::new(array.clone())]).unwrap()
}

fn written(array: &Text) -> (ParquetMetaData, Bytes) {
    written_batch(&batch(array))
}

fn written_batch(batch: &RecordBatch) -> (ParquetMetaData, Bytes) {
    let encoder = RowGroupEncoder::new(batch.schema()).unwrap();
    let mut file = file_writer(&batch.schema(), WriteOptions::default()).unwrap();
    encoder.encode(batch).unwrap().append_to(&mut file).unwrap();
    let bytes = Bytes::from(file.into_inner().unwrap());
    (metadata(&bytes), bytes)
}

/// Pages end at the same rows, and nothing else makes them end.
fn written_by_parquet(array: &Text) -> (ParquetMetaData, Bytes) {
    let properties = WriterProperties::builder()
        .set_compression(parquet::basic::Compression::ZSTD(Default::default()))
        .set_dictionary_page_size_limit(usize::MAX)
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_write_batch_size(PAGE_ROWS)
        .build();
    let batch = batch(array);
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    let bytes = Bytes::from(writer.into_inner().unwrap());
    (metadata(&bytes), bytes)
}

fn metadata(bytes: &Bytes) -> ParquetMetaData {
    let options = ArrowReaderOptions::new()
        .with_page_index_policy(PageIndexPolicy::Required)
        .with_encoding_stats_as_mask(false);
    let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(bytes.clone(), options);
    reader.unwrap().metadata().as_ref().clone()
}

fn read(bytes: &Bytes) -> Vec<Option<String>> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).unwrap().build().unwrap();
    reader.flat_map(|batch| strings(batch.unwrap().column(0))).collect()
}

fn values_of(array: &Text) -> Vec<Option<String>> {
    strings(&(Arc::new(array.clone()) as Arc<dyn Array>))
}

fn strings(array: &Arc<dyn Array>) -> Vec<Option<String>> {
    let plain = cast(array, &DataType::Utf8).unwrap();
    let plain = plain.as_any().downcast_ref::<StringArray>().unwrap();
    plain.iter().map(|text| text.map(str::to_owned)).collect()
}
