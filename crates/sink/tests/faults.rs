use std::sync::Arc;

use arrow::array::{BinaryArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use costlake_sink::{Error, Lake, RowGroupEncoder};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;

use crate::failing_store::{FailingStore, Failure};
use crate::publishing::files;
use crate::samples::{batch, begin, line_items, run, time};

#[tokio::test]
async fn a_failed_part_never_shows_an_object() {
    for at in 0..3 {
        let folder = tempfile::tempdir().unwrap();
        let disk = Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap());
        let store = FailingStore::of_operation("part", disk, Failure::Refused, at);
        let lake = Lake::in_store(Arc::new(store.clone()), "test");
        let publication = begin(&lake, "a", 0);
        let noise = noise();
        let encoder = RowGroupEncoder::new(noise.schema()).unwrap();
        let mut writer = publication.object_writer(noise.schema()).await.unwrap();

        let mut failed = false;
        for _ in 0..4 {
            match writer.append(encoder.encode(&noise).unwrap()).await {
                Ok(()) => assert!(!failed),
                Err(Error::Store { .. }) => failed = true,
                Err(error) => assert!(failed && matches!(error, Error::Aborted { .. }), "{error}"),
            }
        }
        let error = writer.finish(Vec::new()).await.unwrap_err();
        assert!(matches!(error, Error::Aborted { .. }) == failed, "{error}");
        assert!(store.has_failed());
        assert_eq!(files(folder.path()), [], "part {at}");
    }
}

/// A row group of a little more than half a part.
fn noise() -> RecordBatch {
    let mut bytes = vec![0; 5 * 1024 * 1024];
    fastrand::Rng::with_seed(3).fill(&mut bytes);
    let schema = Arc::new(Schema::new(vec![Field::new("noise", DataType::Binary, false)]));
    RecordBatch::try_new(schema, vec![Arc::new(BinaryArray::from_vec(vec![&bytes]))]).unwrap()
}

#[tokio::test]
async fn a_full_disk_is_told_apart() {
    let store = FailingStore::new(Arc::new(InMemory::new()), Failure::Refused, 1);
    let lake = Lake::in_store(Arc::new(store), "test");
    let error = run(&lake, "a", &[batch(10, 1)], 0).await.unwrap_err();
    assert!(error.is_storage_full());
    assert_eq!(error.to_string(), "cannot write `_costlake/staging/a/0.parquet`");
    let missing = Error::LakeMissing { path: "x".into() };
    assert!(!missing.is_storage_full());
}

/// Fails the n-th operation of a run for every n, until a run passes untouched.
#[tokio::test]
async fn a_failure_anywhere_leaves_old_or_new_and_the_next_run_mends_it() {
    for failure in Failure::ALL {
        let mut outcomes = Vec::new();
        for at in 0.. {
            let folder = tempfile::tempdir().unwrap();
            match one_failure(&folder, failure, at).await {
                Some(survived) => outcomes.push(survived),
                None => break,
            }
        }
        assert!(outcomes.len() > 10, "{failure:?}: only {} operations", outcomes.len());
        // The lost answers of the three renames: object, manifest, commit record.
        let survived = outcomes.iter().filter(|survived| **survived).count();
        let expected = if matches!(failure, Failure::AnswerLost) { 3 } else { 0 };
        assert_eq!(survived, expected, "{failure:?}");
    }
}

/// Returns whether the run survived the failure, or `None` if it did not come to it.
async fn one_failure(folder: &tempfile::TempDir, failure: Failure, at: i64) -> Option<bool> {
    let disk: Arc<dyn ObjectStore> =
        Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap());
    let lake = Lake::in_store(Arc::clone(&disk), "test");
    let data = folder.path().join(line_items("2025-07").data_path());
    let (old, new) = ([batch(20, 1)], [batch(30, 2), batch(5, 3)]);
    run(&lake, "old", &old, 0).await.unwrap();
    let old_bytes = std::fs::read(&data).unwrap();

    let store = FailingStore::new(Arc::clone(&disk), failure, at);
    let result = run(&Lake::in_store(Arc::new(store.clone()), "test"), "failing", &new, 1).await;
    let seen = std::fs::read(&data).unwrap();
    assert!(result.is_ok() || store.has_failed(), "{failure:?} at {at}: {result:?}");
    assert!(result.is_err() || seen != old_bytes, "{failure:?} at {at}: said to be published");

    run(&lake, "next", &new, 2).await.unwrap();
    let new_bytes = std::fs::read(&data).unwrap();
    assert!(seen == old_bytes || seen == new_bytes, "{failure:?} at {at}: torn");
    let checked = lake.verify(|_| true).await.unwrap();
    assert!(
        checked.iter().all(|checked| checked.findings.is_empty()),
        "{failure:?} at {at}: {checked:?}"
    );
    let commits = lake.commits().await.unwrap();
    let last = commits.last().unwrap();
    assert_eq!(last.partitions[0].object.unwrap().rows, 35, "{failure:?} at {at}");

    let swept = Lake::open(folder.path().to_str().unwrap(), false).await.unwrap();
    swept.sweep(time(0) + chrono::TimeDelta::days(10_000)).await.unwrap();
    assert!(
        files(folder.path()).iter().all(|(path, _)| !path.contains("staging")),
        "{failure:?} at {at}"
    );
    store.has_failed().then_some(result.is_ok())
}

/// Futures that tasks of several threads may run.
#[test]
fn publications_are_shared_by_tasks() {
    fn is_send<T: Send>(_: T) {}
    fn is_sync<T: Sync>() {}
    is_sync::<costlake_sink::Publication>();
    is_sync::<Lake>();
    let lake = Lake::in_store(Arc::new(InMemory::new()), "test");
    is_send(lake.verify(|_| true));
    is_send(lake.read_table(&line_items("2025-07")));
    is_send(run(&lake, "a", &[], 0));
}
