use std::collections::BTreeSet;
use std::fs::File;
use std::sync::Arc;

use arrow::array::{Decimal128Array, Int64Array, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema};
use costlake_model::columns::{decimal_type, line_item_schema};
use costlake_model::{Partition, ScopeSlug, Table};
use costlake_sink::{Error, PartitionAccount, TableTotals};
use futures::TryStreamExt;
use parquet::basic::Compression;
use parquet::data_type::AsBytes;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};

use crate::samples::{batch, begin, line_items, new_lake, run, stage, time};

#[tokio::test]
async fn every_type_and_null_comes_back() {
    let (_folder, lake) = new_lake().await;
    let batches = [batch(1000, 1), batch(1, 2), batch(0, 3), batch(313, 4)];
    run(&lake, "a", &batches, 0).await.unwrap();
    let read = lake.read_table(&line_items("2025-07")).await.unwrap();
    let schema = line_item_schema();
    let (written, read) =
        (concat_batches(&schema, &batches).unwrap(), concat_batches(&schema, &read).unwrap());
    for ((field, written), read) in
        schema.fields().iter().zip(written.columns()).zip(read.columns())
    {
        assert_eq!(written.data_type(), read.data_type(), "{field}");
        assert_eq!(&plain(written), &plain(read), "{field}");
    }
}

/// Dictionaries may be numbered anew.
fn plain(array: &arrow::array::ArrayRef) -> arrow::array::ArrayRef {
    match array.data_type() {
        DataType::Dictionary(_, value) => arrow::compute::cast(array, value).unwrap(),
        _ => Arc::clone(array),
    }
}

#[tokio::test]
async fn columns_are_read_in_the_order_of_the_schema() {
    let (_folder, lake) = new_lake().await;
    run(&lake, "a", &[batch(100, 1), batch(50, 2)], 0).await.unwrap();
    let columns = BTreeSet::from(["record", "cost", "department_id", "charge_date"]);
    let stream = lake.read_line_items(&line_items("2025-07"), &columns).await.unwrap();
    let batches: Vec<RecordBatch> = stream.try_collect().await.unwrap();
    let schema = line_item_schema();
    let at = ["charge_date", "department_id", "cost", "record"]
        .map(|name| schema.index_of(name).unwrap());
    assert!(at.is_sorted());
    let expected = schema.project(&at).unwrap();
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 150);
    for batch in &batches {
        let names = |schema: &Schema| {
            schema
                .fields()
                .iter()
                .map(|f| (f.name().clone(), f.data_type().clone()))
                .collect::<Vec<_>>()
        };
        assert_eq!(names(batch.schema_ref()), names(&expected));
    }
    let missing = lake.read_line_items(&line_items("2025-07"), &BTreeSet::from(["colour"])).await;
    assert!(
        matches!(missing.err(), Some(Error::ColumnMissing { column, .. }) if column == "colour")
    );
    let missing = lake.read_line_items(&line_items("2025-08"), &columns).await;
    assert!(matches!(missing.err(), Some(Error::PartitionMissing { .. })));
}

#[tokio::test]
async fn the_same_batches_give_the_same_bytes() {
    let (_folder, lake) = new_lake().await;
    let batches = [batch(2000, 1), batch(100, 2)];
    let first = stage(&begin(&lake, "a", 0), &batches).await.unwrap();
    let second = stage(&begin(&lake, "b", 1), &batches).await.unwrap();
    assert_eq!(first.facts(), second.facts());
    let other = stage(&begin(&lake, "c", 2), &[batch(100, 2), batch(2000, 1)]).await.unwrap();
    assert_ne!(first.facts().sha256, other.facts().sha256);
}

#[tokio::test]
async fn an_object_without_rows_has_the_schema() {
    let (_folder, lake) = new_lake().await;
    let publication = begin(&lake, "a", 0);
    let staged = stage(&publication, &[]).await.unwrap();
    assert_eq!((staged.facts().rows, staged.facts().row_groups), (0, 0));
    let metadata = footer(&lake, staged.path());
    assert_eq!(
        metadata.file_metadata().schema_descr().num_columns(),
        line_item_schema().fields().len()
    );
    publication.audit(staged, &TableTotals::default()).await.unwrap();
}

#[tokio::test]
async fn the_footer_says_what_readers_need() {
    let (_folder, lake) = new_lake().await;
    let staged = stage(&begin(&lake, "a", 0), &[batch(1000, 1), batch(500, 2)]).await.unwrap();
    let metadata = footer(&lake, staged.path());
    let file = metadata.file_metadata();
    assert_eq!(file.created_by(), Some("costlake version 0.1.0"));
    let pairs = file.key_value_metadata().unwrap();
    let keys: Vec<_> = pairs.iter().map(|pair| pair.key.as_str()).collect();
    assert_eq!(
        keys,
        ["costlake.format_version", "costlake.source_digest", "costlake.rows", "costlake.decimals"]
    );
    assert_eq!(pairs[2].value.as_deref(), Some("1500"));
    let decimals: serde_json::Value =
        serde_json::from_str(pairs[3].value.as_ref().unwrap()).unwrap();
    assert!(decimals["cost"]["exact"].is_string());
    assert_eq!((metadata.num_row_groups(), file.num_rows()), (2, 1500));
    for chunk in metadata.row_group(0).columns() {
        assert!(matches!(chunk.compression(), Compression::ZSTD(_)), "{}", chunk.column_path());
        assert!(chunk.column_index_offset().is_some() && chunk.offset_index_offset().is_some());
    }
    let subscription = metadata
        .row_group(0)
        .columns()
        .iter()
        .find(|c| c.column_path().string() == "subscription_id")
        .unwrap();
    assert!(subscription.dictionary_page_offset().is_some());
}

#[tokio::test]
async fn decimal_statistics_are_there_and_right() {
    let (_folder, lake) = new_lake().await;
    let rows = batch(1000, 2);
    let staged = stage(&begin(&lake, "a", 0), std::slice::from_ref(&rows)).await.unwrap();
    let metadata = footer(&lake, staged.path());
    for name in costlake_model::columns::decimal_columns() {
        let at = line_item_schema().index_of(name).unwrap();
        let amounts = rows.column(at).as_any().downcast_ref::<Decimal128Array>().unwrap();
        let (min, max) =
            (amounts.iter().flatten().min().unwrap(), amounts.iter().flatten().max().unwrap());
        let statistics = metadata.row_group(0).column(at).statistics().unwrap();
        let number = |bytes: &[u8]| i128::from_be_bytes(bytes.try_into().unwrap());
        assert_eq!(number(statistics.min_bytes_opt().unwrap()), min, "{name}");
        assert_eq!(number(statistics.max_bytes_opt().unwrap()), max, "{name}");
        assert!(statistics.min_is_exact() && statistics.max_is_exact());
        assert_eq!(
            statistics.null_count_opt(),
            Some(u64::try_from(arrow::array::Array::null_count(amounts)).unwrap())
        );
        let pages = &metadata.column_index().unwrap()[0][at];
        let parquet::file::page_index::column_index::ColumnIndexMetaData::FIXED_LEN_BYTE_ARRAY(
            pages,
        ) = pages
        else {
            panic!("{name} has no page statistics");
        };
        let page_min = pages.min_values_iter().flatten().map(|v| number(v.as_bytes())).min();
        assert_eq!(page_min, Some(min), "{name}");
    }
}

#[tokio::test]
async fn rollups_without_amounts_and_with_them_are_read_back() {
    let (_folder, lake) = new_lake().await;
    let schema = Arc::new(Schema::new(vec![
        Field::new("department_id", DataType::Utf8, false),
        Field::new("rows", DataType::Int64, false),
    ]));
    let counts = RecordBatch::try_new(
        Arc::clone(&schema),
        vec![Arc::new(StringArray::from(vec!["a", "b"])), Arc::new(Int64Array::from(vec![1, 2]))],
    )
    .unwrap();
    let schema = Arc::new(Schema::new(vec![Field::new("cost", decimal_type(), false)]));
    let amounts = Decimal128Array::from(vec![5, -7]).with_precision_and_scale(38, 24).unwrap();
    let amounts = RecordBatch::try_new(schema, vec![Arc::new(amounts)]).unwrap();
    let publication = begin(&lake, "a", 0);
    for (name, table) in [("department_rows", counts), ("department_cost", amounts)] {
        let partition = Partition {
            table: Table::Rollup(name.to_owned()),
            metric: None,
            period: "2025-07".parse().unwrap(),
            scope: ScopeSlug::from_name("a"),
        };
        let tables = [table];
        let staged =
            publication.stage_table(tables[0].schema(), &tables, Vec::new()).await.unwrap();
        let audited = publication.audit(staged, &TableTotals::of_batches(&tables)).await.unwrap();
        let account = PartitionAccount::of_rollup(
            partition.clone(),
            "definition",
            "departments",
            Vec::new(),
            time(0),
        );
        publication.publish(audited, account).await.unwrap();
        assert_eq!(lake.read_table(&partition).await.unwrap(), tables);
    }
    publication.commit(time(0)).await.unwrap();
    assert!(lake.verify(|_| true).await.unwrap().iter().all(|checked| checked.findings.is_empty()));
}

fn footer(lake: &costlake_sink::Lake, path: &str) -> ParquetMetaData {
    let file = File::open(std::path::Path::new(lake.location()).join(path)).unwrap();
    ParquetMetaDataReader::new()
        .with_page_index_policy(PageIndexPolicy::Required)
        .parse_and_finish(&file)
        .unwrap()
}
