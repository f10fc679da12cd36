use std::fs;
use std::path::Path;

use chrono::{DateTime, Utc};
use costlake_model::{Metric, Partition, Table};
use costlake_sink::{
    Error, Lake, Outcome, OutcomeKind, PartitionAccount, Sha256Digest, Source, TableTotals,
};

use crate::samples::{
    account, audited, batch, begin, ledger, line_items, new_lake, publish, published_facts, run,
    stage, time,
};

#[tokio::test]
async fn publishing_twice_changes_nothing() {
    let (folder, lake) = new_lake().await;
    assert_eq!(
        run(&lake, "a", &[batch(100, 1)], 0).await.unwrap(),
        Outcome::Published { previous: None }
    );
    let before = files(folder.path());
    assert_eq!(run(&lake, "b", &[batch(100, 1)], 1).await.unwrap(), Outcome::Unchanged);
    assert_eq!(files(folder.path()), before);
    assert_eq!(lake.commits().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_partition_is_replaced_whole() {
    let (folder, lake) = new_lake().await;
    run(&lake, "a", &[batch(100, 1)], 0).await.unwrap();
    let previous = published_facts(&lake, "2025-07").await;
    let outcome = run(&lake, "b", &[batch(120, 2)], 1).await.unwrap();
    assert_eq!(outcome, Outcome::Published { previous: Some(previous) });
    assert_eq!(published_facts(&lake, "2025-07").await.rows, 120);
    let data: Vec<_> =
        files(folder.path()).into_iter().filter(|(path, _)| path.ends_with(".parquet")).collect();
    assert_eq!(data.len(), 1);
    let commits = lake.commits().await.unwrap();
    assert_eq!(commits[1].partitions[0].previous, Some(previous.sha256));
    assert_eq!((commits[1].started_at, commits[1].run_id.as_str()), (time(1), "b"));
}

#[tokio::test]
async fn another_account_of_the_same_object_is_published() {
    let (_folder, lake) = new_lake().await;
    let rows = [batch(100, 1)];
    run(&lake, "a", &rows, 0).await.unwrap();
    let publication = begin(&lake, "b", 1);
    let mut account = account(line_items("2025-07"), &rows, 1);
    let conservation = account.conservation.as_mut().unwrap();
    (conservation.records, conservation.quarantined.rows) = (101, 1);
    let outcome =
        publication.publish(audited(&publication, &rows).await.unwrap(), account).await.unwrap();
    assert!(matches!(outcome, Outcome::Published { previous: Some(_) }));
    assert_eq!(lake.status().await.unwrap()[0].quarantined_rows, 1);
}

#[tokio::test]
async fn an_emptied_quarantine_is_removed() {
    let (folder, lake) = new_lake().await;
    let partition = Partition {
        table: Table::Quarantine,
        metric: Some(Metric::Amortized),
        ..line_items("2025-07")
    };
    let publication = begin(&lake, "a", 0);
    let audited = audited(&publication, &[batch(5, 1)]).await.unwrap();
    publication.publish(audited, account(partition.clone(), &[batch(5, 1)], 0)).await.unwrap();
    publication.commit(time(0)).await.unwrap();
    assert_eq!(lake.partitions().await.unwrap(), std::slice::from_ref(&partition));

    let publication = begin(&lake, "b", 1);
    assert!(publication.remove(&partition).await.unwrap());
    assert!(!publication.remove(&partition).await.unwrap());
    let record = publication.commit(time(1)).await.unwrap().unwrap();
    assert_eq!(record.partitions[0].outcome, OutcomeKind::Removed);
    assert_eq!(lake.partitions().await.unwrap(), []);
    assert!(files(folder.path()).iter().all(|(path, _)| path.contains("/commits/")));
    assert_eq!(lake.commits().await.unwrap()[1], record);
}

#[tokio::test]
async fn manifests_come_back_as_they_were_written() {
    let (_folder, lake) = new_lake().await;
    let rows = [batch(100, 1)];
    let mut account = account(line_items("2025-07"), &rows, 0);
    account.report_id = Some("3b8f1c52".to_owned());
    account.unknown_columns = vec!["New \"Column\"".to_owned()];
    let publication = begin(&lake, "a", 0);
    let audited = audited(&publication, &rows).await.unwrap();
    let facts = *audited.facts();
    publication.publish(audited, account.clone()).await.unwrap();
    let manifest = lake.manifest(&line_items("2025-07")).await.unwrap().unwrap();
    assert_eq!((&manifest.account, manifest.object), (&account, facts));
    assert_eq!(manifest.totals(), TableTotals::of_batches(&rows));
    assert_eq!(manifest.run_id.as_str(), "a");
    let Source::CostDetails(blobs) = &manifest.account.source else { panic!("another source") };
    assert_eq!(blobs[0].name.as_str(), "https://host/container/part_0_0001.csv");
    let digests = Sha256Digest::of(Sha256Digest::of(b"blob").as_bytes());
    assert_eq!(manifest.account.source.digest(), digests);
}

#[tokio::test]
async fn amounts_in_manifests_are_strings() {
    let (folder, lake) = new_lake().await;
    run(&lake, "a", &[batch(100, 1)], 0).await.unwrap();
    let path = folder.path().join(format!("_costlake/manifests/{}.json", line_items("2025-07")));
    let json: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    for field in ["exact", "stored", "difference"] {
        assert!(json["decimals"]["cost"][field].is_string(), "{field}");
    }
    assert_eq!(json["decimals"]["cost"]["difference"], "0");
    assert!(json["cost_by_currency"]["EUR"].is_string());
    assert_eq!(json["published_at"], "2025-07-01T06:30:00.125Z");
    assert!(!json.to_string().contains("secret"));
}

#[tokio::test]
async fn records_of_a_newer_format_are_refused_and_damaged_ones_replaced() {
    let (folder, lake) = new_lake().await;
    run(&lake, "a", &[batch(100, 1)], 0).await.unwrap();
    let path = folder.path().join(format!("_costlake/manifests/{}.json", line_items("2025-07")));
    let sound = fs::read_to_string(&path).unwrap();

    fs::write(&path, sound.replace("\"format_version\": 1", "\"format_version\": 2")).unwrap();
    assert!(matches!(
        run(&lake, "b", &[batch(100, 1)], 1).await,
        Err(Error::FormatVersion { found: 2, .. })
    ));

    for (from, to) in [
        ("\"metric\": \"actual\"", "\"metric\": \"amortized\""),
        ("\"difference\": \"0\"", "\"difference\": \"1\""),
        ("}", ""),
    ] {
        fs::write(&path, sound.replacen(from, to, 1)).unwrap();
        assert!(lake.manifest(&line_items("2025-07")).await.is_err(), "{from}");
        assert_eq!(
            run(&lake, "c", &[batch(100, 1)], 2).await.unwrap(),
            Outcome::Published { previous: None }
        );
    }
}

#[tokio::test]
async fn status_is_what_the_manifests_say() {
    let (_folder, lake) = new_lake().await;
    let publication = begin(&lake, "a", 0);
    for period in ["2025-07", "2025-06"] {
        publish(&publication, period, &[batch(100, 1)], 0).await.unwrap();
    }
    publication.commit(time(0)).await.unwrap();
    let status = lake.status().await.unwrap();
    assert_eq!(
        status.iter().map(|s| s.partition.period.to_string()).collect::<Vec<_>>(),
        ["2025-06", "2025-07"]
    );
    assert_eq!(status[0].rows, 100);
    assert_eq!(
        status[0].cost_by_currency["EUR"],
        ledger(&[batch(100, 1)]).published.decimals["cost"].exact
    );
    assert_eq!(status[0].published_at, time(0));
    assert_eq!(status[0].first_date, "2025-07-01".parse().ok());
}

#[tokio::test]
async fn a_later_run_commits_what_a_dead_one_published() {
    let (_folder, lake) = new_lake().await;
    let dead = begin(&lake, "dead", 0);
    publish(&dead, "2025-07", &[batch(100, 1)], 0).await.unwrap();
    drop(dead);
    assert_eq!(run(&lake, "next", &[batch(100, 1)], 1).await.unwrap(), Outcome::Unchanged);
    let commits = lake.commits().await.unwrap();
    assert_eq!(commits.len(), 1);
    assert_eq!(commits[0].partitions[0].published_by.as_str(), "dead");
    run(&lake, "later", &[batch(100, 1)], 2).await.unwrap();
    assert_eq!(lake.commits().await.unwrap().len(), 2);
    run(&lake, "next", &[batch(100, 1)], 3).await.unwrap();
}

#[tokio::test]
async fn only_old_leftovers_of_our_own_are_swept() {
    let (folder, lake) = new_lake().await;
    let publication = begin(&lake, "dead", 0);
    stage(&publication, &[batch(10, 1)]).await.unwrap();
    let staging = folder.path().join("_costlake/staging");
    fs::write(staging.join("dead/1.parquet#1"), "torn").unwrap();
    fs::create_dir(staging.join("mixed")).unwrap();
    fs::write(staging.join("mixed/0.json"), "ours").unwrap();
    fs::write(staging.join("mixed/notes.txt"), "theirs").unwrap();
    fs::write(staging.join("file"), "theirs").unwrap();
    fs::create_dir(staging.join("not a run")).unwrap();

    assert_eq!(lake.sweep(DateTime::UNIX_EPOCH).await.unwrap(), []);
    assert!(staging.join("dead/0.parquet").exists());

    let future = Utc::now() + chrono::TimeDelta::days(1);
    let swept: Vec<_> = lake.sweep(future).await.unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(swept, ["dead", "mixed"]);
    let left: Vec<_> = files(&staging).into_iter().map(|(path, _)| path).collect();
    assert_eq!(left, ["/file", "/mixed/notes.txt"]);
    assert!(staging.join("not a run").exists());
}

#[tokio::test]
async fn a_run_clears_its_own_staging_folder() {
    let (folder, lake) = new_lake().await;
    run(&lake, "a", &[batch(10, 1)], 0).await.unwrap();
    assert!(!folder.path().join("_costlake/staging/a").exists());
}

#[tokio::test]
async fn lakes_open_where_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("new/lake");
    let text = place.to_str().unwrap();
    assert!(matches!(Lake::open(text, false).await, Err(Error::LakeMissing { .. })));
    Lake::open(text, true).await.unwrap();
    Lake::open(&format!("file://{text}"), false).await.unwrap();
    fs::write(place.join("file"), "").unwrap();
    assert!(matches!(
        Lake::open(&format!("{text}/file"), true).await,
        Err(Error::NotADirectory { .. })
    ));
    assert!(matches!(
        Lake::open("abfss://c@a.dfs.core.windows.net/lake", true).await,
        Err(Error::Location { .. })
    ));
}

#[tokio::test]
async fn rollups_say_what_they_were_computed_from() {
    let (_folder, lake) = new_lake().await;
    run(&lake, "a", &[batch(10, 1)], 0).await.unwrap();
    let input = costlake_sink::InputObject {
        partition: line_items("2025-07"),
        sha256: published_facts(&lake, "2025-07").await.sha256,
    };
    let partition = Partition {
        table: Table::Rollup("department_month".to_owned()),
        metric: None,
        ..line_items("2025-07")
    };
    let account = PartitionAccount::of_rollup(
        partition.clone(),
        "definition",
        "departments",
        vec![input],
        time(1),
    );
    let publication = begin(&lake, "b", 1);
    let audited = audited(&publication, &[batch(3, 1)]).await.unwrap();
    publication.publish(audited, account.clone()).await.unwrap();
    assert_eq!(lake.manifest(&partition).await.unwrap().unwrap().account, account);
}

/// Every file below a folder, sorted, with its bytes.
pub(crate) fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path
                    .to_str()
                    .unwrap()
                    .strip_prefix(folder.to_str().unwrap())
                    .unwrap()
                    .to_owned();
                found.push((name, fs::read(path).unwrap()));
            }
        }
    }
    found.sort();
    found
}
