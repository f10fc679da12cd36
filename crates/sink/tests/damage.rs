use std::fs;
use std::path::PathBuf;

use costlake_sink::{Error, Finding, Lake, TableTotals};

use crate::samples::{
    audited, batch, begin, line_items, new_lake, publish, published_facts, run, stage, time,
    totals_of,
};

#[tokio::test]
async fn audit_catches_a_flipped_byte() {
    let (folder, lake) = new_lake().await;
    let publication = begin(&lake, "a", 0);
    let rows = [batch(200, 1)];
    let staged = stage(&publication, &rows).await.unwrap();
    let path = folder.path().join(staged.path());
    let mut bytes = fs::read(&path).unwrap();
    bytes[1000] ^= 1;
    fs::write(&path, bytes).unwrap();
    let error = publication.audit(staged, &TableTotals::of_batches(&rows)).await.unwrap_err();
    assert!(
        matches!(&error, Error::Audit { findings, .. } if matches!(findings[..], [Finding::Digest { .. }]))
    );
    assert!(error.to_string().contains("sha-256: expected"));
}

#[tokio::test]
async fn audit_catches_a_missing_row_group() {
    let (_folder, lake) = new_lake().await;
    let publication = begin(&lake, "a", 0);
    let staged = stage(&publication, &[batch(200, 1)]).await.unwrap();
    let totals = TableTotals::of_batches(&[batch(200, 1), batch(50, 2)]);
    let error = publication.audit(staged, &totals).await.unwrap_err();
    let Error::Audit { findings, .. } = error else { panic!("{error}") };
    assert!(findings.iter().any(|f| matches!(f, Finding::Rows { expected: 250, found: 200 })));
    assert!(
        findings.iter().any(|f| matches!(f, Finding::Values { column, .. } if column == "cost"))
    );
}

#[tokio::test]
async fn audit_names_every_wrong_sum() {
    let (_folder, lake) = new_lake().await;
    let publication = begin(&lake, "a", 0);
    let staged = stage(&publication, &[batch(200, 1)]).await.unwrap();
    let mut totals = TableTotals::of_batches(&[batch(200, 1)]);
    let smallest = totals_of(0, "cost", "0.000000000000000000000001").decimals["cost"].stored;
    for column in ["cost", "quantity"] {
        totals.decimals.get_mut(column).unwrap().stored += smallest;
    }
    totals.decimals.remove("unit_price");
    totals.decimals.extend(totals_of(1, "bitcoin_price", "1").decimals);
    let error = publication.audit(staged, &totals).await.unwrap_err();
    let Error::Audit { findings, .. } = error else { panic!("{error}") };
    let shown: Vec<String> =
        findings.iter().map(|f| f.to_string().split(':').next().unwrap().to_owned()).collect();
    assert_eq!(
        shown,
        [
            "sum of quantity",
            "values of unit_price",
            "sum of unit_price",
            "sum of cost",
            "the object has no decimal column bitcoin_price"
        ]
    );
}

#[tokio::test]
async fn verify_finds_every_flipped_bit() {
    let (folder, lake) = new_lake().await;
    run(&lake, "a", &[batch(500, 1)], 0).await.unwrap();
    let path = data(&folder, "2025-07");
    let sound = fs::read(&path).unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..300 {
        let mut bytes = sound.clone();
        bytes[random.usize(..sound.len())] ^= 1 << random.u8(..8);
        fs::write(&path, bytes).unwrap();
        assert!(matches!(findings(&lake).await[..], [Finding::Digest { .. }]));
    }
    fs::write(&path, sound).unwrap();
    assert!(findings(&lake).await.is_empty());
}

#[tokio::test]
async fn verify_names_every_kind_of_damage() {
    let (folder, lake) = new_lake().await;
    let publication = begin(&lake, "a", 0);
    for period in ["2025-01", "2025-02", "2025-03", "2025-04", "2025-05", "2025-06"] {
        publish(&publication, period, &[batch(100, 1)], 0).await.unwrap();
    }
    publication.commit(time(0)).await.unwrap();

    let truncated = fs::read(data(&folder, "2025-02")).unwrap();
    fs::write(data(&folder, "2025-02"), &truncated[..truncated.len() / 2]).unwrap();
    fs::remove_file(data(&folder, "2025-03")).unwrap();
    fs::remove_file(manifest(&folder, "2025-04")).unwrap();
    fs::write(manifest(&folder, "2025-05"), "{").unwrap();
    let text = fs::read_to_string(manifest(&folder, "2025-06")).unwrap();
    fs::write(manifest(&folder, "2025-06"), text.replacen("\"rows\": 100", "\"rows\": 101", 1))
        .unwrap();
    fs::write(data(&folder, "2025-01").with_file_name("part-0.parquet"), "").unwrap();
    fs::create_dir(folder.path().join("exports")).unwrap();
    fs::write(folder.path().join("exports/mine.csv"), "").unwrap();

    let checked = lake.verify(|_| true).await.unwrap();
    let shown: Vec<(String, Vec<String>)> = checked
        .iter()
        .map(|c| {
            (
                c.path.split('/').nth(2).unwrap().replace("billing_period=", ""),
                c.findings.iter().map(kind).collect(),
            )
        })
        .collect();
    let expected: [(&str, &[&str]); 7] = [
        ("2025-01", &[]),
        ("2025-02", &["length", "sha-256"]),
        ("2025-03", &["the object is missing"]),
        ("2025-04", &["the object has no manifest"]),
        ("2025-05", &["the object or its manifest cannot be read"]),
        ("2025-06", &["rows"]),
        ("2025-01", &["the file does not belong to the table"]),
    ];
    assert_eq!(
        shown,
        expected.map(|(period, kinds)| (
            period.to_owned(),
            kinds.iter().map(ToString::to_string).collect()
        ))
    );

    let filtered =
        lake.verify(|partition| partition.period.to_string() == "2025-04").await.unwrap();
    assert_eq!(filtered.len(), 2, "one partition, and the foreign file that belongs to none");
}

#[tokio::test]
async fn a_crash_between_rename_and_manifest_is_named_and_mended() {
    let (folder, lake) = new_lake().await;
    run(&lake, "a", &[batch(100, 1)], 0).await.unwrap();
    let (old_manifest, old_object) = (
        fs::read(manifest(&folder, "2025-07")).unwrap(),
        fs::read(data(&folder, "2025-07")).unwrap(),
    );
    run(&lake, "b", &[batch(150, 2)], 1).await.unwrap();
    fs::write(manifest(&folder, "2025-07"), &old_manifest).unwrap();

    assert!(findings(&lake).await.iter().any(|f| matches!(f, Finding::Digest { .. })));
    assert!(matches!(lake.read_table(&line_items("2025-07")).await, Err(Error::Audit { .. })));

    // Whatever the next report says, the newer one or the older one again, object and manifest agree.
    run(&lake, "c", &[batch(150, 2)], 2).await.unwrap();
    assert_eq!(published_facts(&lake, "2025-07").await.rows, 150);
    assert!(findings(&lake).await.is_empty());

    fs::write(manifest(&folder, "2025-07"), &old_manifest).unwrap();
    run(&lake, "d", &[batch(100, 1)], 3).await.unwrap();
    assert_eq!(fs::read(data(&folder, "2025-07")).unwrap(), old_object);
    assert!(findings(&lake).await.is_empty());
}

#[tokio::test]
async fn a_lost_manifest_and_a_damaged_object_are_mended_by_publishing_again() {
    let (folder, lake) = new_lake().await;
    run(&lake, "a", &[batch(100, 1)], 0).await.unwrap();
    fs::remove_file(manifest(&folder, "2025-07")).unwrap();
    run(&lake, "b", &[batch(100, 1)], 1).await.unwrap();
    assert!(findings(&lake).await.is_empty());

    let mut bytes = fs::read(data(&folder, "2025-07")).unwrap();
    bytes[500] ^= 4;
    fs::write(data(&folder, "2025-07"), bytes).unwrap();
    run(&lake, "c", &[batch(100, 1)], 2).await.unwrap();
    assert!(findings(&lake).await.is_empty());
}

#[tokio::test]
async fn damaged_objects_give_an_error_or_rows_but_never_a_panic() {
    let (folder, lake) = new_lake().await;
    run(&lake, "a", &[batch(300, 1)], 0).await.unwrap();
    let path = data(&folder, "2025-07");
    let sound = fs::read(&path).unwrap();
    let mut random = fastrand::Rng::with_seed(11);
    for _ in 0..100 {
        let mut bytes = sound.clone();
        bytes[random.usize(..sound.len())] ^= 1 << random.u8(..8);
        fs::write(&path, bytes).unwrap();
        drop(lake.read_table(&line_items("2025-07")).await);
    }
}

#[tokio::test]
async fn a_partition_replaced_while_it_is_read_is_an_error() {
    use futures::StreamExt;
    let (_folder, lake) = new_lake().await;
    run(&lake, "a", &[batch(100, 1), batch(100, 2)], 0).await.unwrap();
    let columns = ["cost"].into();
    let mut stream = lake.read_line_items(&line_items("2025-07"), &columns).await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap().num_rows(), 100);
    run(&lake, "b", &[batch(100, 3), batch(100, 4)], 1).await.unwrap();
    assert!(matches!(stream.next().await, Some(Err(Error::Changed { .. }))));
}

#[tokio::test]
async fn an_audited_object_keeps_its_facts() {
    let (_folder, lake) = new_lake().await;
    let publication = begin(&lake, "a", 0);
    let audited = audited(&publication, &[batch(10, 1), batch(20, 1)]).await.unwrap();
    assert_eq!((audited.facts().rows, audited.facts().row_groups), (30, 2));
}

/// The findings of a lake with one partition.
async fn findings(lake: &Lake) -> Vec<Finding> {
    let checked = lake.verify(|_| true).await.unwrap();
    assert_eq!(checked.len(), 1);
    checked.into_iter().flat_map(|checked| checked.findings).collect()
}

fn kind(finding: &Finding) -> String {
    finding.to_string().split(':').next().unwrap().to_owned()
}

fn data(folder: &tempfile::TempDir, period: &str) -> PathBuf {
    folder.path().join(line_items(period).data_path())
}

fn manifest(folder: &tempfile::TempDir, period: &str) -> PathBuf {
    folder.path().join(format!("_costlake/manifests/{}.json", line_items(period)))
}
