//! What a run does besides the main job: it splits what is too large, leaves alone what has settled, goes on
//! with what was left unfinished, and shows all of it (`docs/fetching.md`).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::harness::{World, finish, lake_files, published, run, text, wait_until};

const MAY: [&str; 2] = ["--period", "2025-05"];

fn journal(world: &World, name: &str) -> PathBuf {
    world.lake().join("_costlake/journal").join(name)
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Rows and exact costs of the line items, by metric.
fn figures(world: &World) -> BTreeMap<String, (Value, Value)> {
    let lake = world.lake();
    let status = run(&["status", "--lake", text(&lake), "-o", "json"]).exits(0).json();
    let line_items = status["partitions"].as_array().unwrap().iter().cloned();
    let line_items = line_items.filter(|row| row["table"] == "cost_line_items");
    let figures = |row: Value| {
        let name = format!("{}/{}", row["billing_period"], row["metric"]);
        (name, (row["rows"].clone(), row["cost"].clone()))
    };
    line_items.map(figures).collect()
}

/// What `costlake plan` says, as JSON.
fn plan(world: &World) -> Value {
    let mut command = world.command(&["plan", "--config"]);
    command.arg(world.pipeline()).args(MAY).args(["-o", "json"]);
    finish(command.spawn().unwrap()).exits(0).json()
}

#[test]
fn a_report_that_is_too_large_comes_in_parts_that_are_the_whole() {
    let whole = World::small();
    whole.run(&MAY).exits(0);

    // Half a month of either metric has more rows than this, a week has not.
    let split = World::new(&["--polls", "0", "--rows-per-month", "300", "--most-rows", "120"]);
    split.run(&MAY).exits(0).says(&["GatewayTimeout", "in 2 parts"]);
    assert_eq!(figures(&whole), figures(&split));
    let entry = read(&journal(&split, "reports/billing-account-8608480/2025-05/actual.json"));
    assert_eq!(
        (entry["state"].as_str(), &entry["parts"][1]["last"]),
        (Some("published"), &json!("2025-05-31"))
    );
    assert!(!split.lake().join("_costlake/landing").exists(), "nothing stays landed");

    // The result of the next pull is the same, in the same parts, byte for byte but for blob names.
    let before = published(&split.lake());
    split.run(&MAY).exits(0).shows(&["Nothing new"]);
    assert_eq!(before, published(&split.lake()));
}

#[test]
fn a_month_that_was_too_large_is_asked_for_in_parts_from_the_start() {
    let world = World::small();
    let pipeline = fs::read_to_string(world.pipeline()).unwrap();
    let advised = pipeline.replace("[pull]", "[pull]\nsplit_above_rows = 200");
    assert_ne!(pipeline, advised);
    fs::write(world.pipeline(), advised).unwrap();
    world.run(&MAY).exits(0);
    let whole = figures(&world);
    let submits = world.simulator.requests("submit");
    assert_eq!(submits, 2, "nothing is known of its size before");

    let plan = plan(&world);
    let parts = plan["reports"][0]["parts"].as_u64().unwrap();
    assert!(parts > 1, "{plan}");
    assert!(plan["reports"][0]["expected_rows"].as_u64().unwrap() > 200, "{plan}");
    world.run(&MAY).exits(0);
    assert_eq!(world.simulator.requests("submit"), submits + 2 * parts);
    assert_eq!(figures(&world), whole);
}

#[test]
fn days_that_azure_cannot_do_either_end_in_its_words() {
    let world = World::new(&["--polls", "0", "--rows-per-month", "300", "--most-rows", "1"]);
    world.run(&[&MAY[..], &["--metric", "actual"]].concat()).exits(1).says(&[
        "in 2 parts",
        "GatewayTimeout",
        "2025-05-01",
    ]);
    assert_eq!(published(&world.lake()).len(), 0);
    let submits = world.simulator.requests("submit");
    assert!(submits < 40, "{submits} reports asked for in vain");
}

#[test]
fn a_month_that_has_settled_is_left_alone_until_it_is_forced() {
    let world = World::small();
    world.run(&MAY).exits(0);
    world.run(&MAY).exits(0).shows(&["Nothing new"]);
    assert_eq!(world.simulator.requests("submit"), 4, "one pull without news settles nothing");

    // As if the first pull had been eleven days ago.
    let history = journal(&world, "months/billing-account-8608480/2025-05.json");
    let mut pulls = read(&history);
    let at: DateTime<Utc> = pulls["pulls"][0]["at"].as_str().unwrap().parse().unwrap();
    pulls["pulls"][0]["at"] = json!((at - TimeDelta::days(11)).to_rfc3339());
    fs::write(&history, pulls.to_string()).unwrap();

    let plan = plan(&world);
    assert_eq!(plan["months"][0]["decision"], "settled", "{plan}");
    assert_eq!(plan["reports"], json!([]));
    let result = world.run(&[&MAY[..], &["-o", "json"]].concat()).exits(0).json();
    assert_eq!(result["left_alone"][0]["decision"], "settled", "{result}");
    assert_eq!(world.simulator.requests("submit"), 4);
    world.run(&MAY).exits(0).shows(&["2025-05", "not pulled", "settled"]);

    world.run(&[&MAY[..], &["--force"]].concat()).exits(0);
    assert_eq!(world.simulator.requests("submit"), 6);

    // A partition that is gone is pulled, however settled its month was.
    fs::remove_dir_all(world.lake().join("_costlake/manifests/cost_line_items")).unwrap();
    world.run(&MAY).exits(0);
    assert_eq!(world.simulator.requests("submit"), 8);
}

#[test]
fn a_run_that_failed_is_gone_on_with() {
    let world = World::small();
    let months = ["--period", "2025-05..2025-06"];
    let forbidden = json!({ "type": "reply", "status": 403, "body": "{}" });
    // The last two of four submits.
    world.simulator.fault(&json!({
        "route": "submit", "skip": 2, "count": 2, "action": forbidden,
    }));
    let first = world.run(&[&months[..], &["-o", "json"]].concat());
    assert_eq!(first.code, Some(3), "{first:?}");
    let published_first = first.json()["months"].as_array().unwrap().len();
    let submits = world.simulator.requests("submit");
    let lake = world.lake();
    let status = run(&["status", "--lake", text(&lake)]);
    status.exits(0).shows(&["failed:", "not authorized"]);

    let result = world.run(&[&months[..], &["-o", "json"]].concat()).exits(0).json();
    assert_eq!(result["left_alone"].as_array().unwrap().len(), published_first, "{result}");
    assert_eq!(world.simulator.requests("submit"), submits + 2, "only what had failed");
    let files = lake_files(&lake);
    assert!(files.keys().any(|path| path.contains("2025-05")));
    assert!(files.keys().any(|path| path.contains("2025-06")));

    // What was asked for is in place: the next run is a pull of its own.
    world.run(&months).exits(0).shows(&["Nothing new"]);
    assert_eq!(world.simulator.requests("submit"), submits + 6);
}

#[test]
fn throttling_ends_with_the_wait_that_was_asked_for() {
    let world = World::small();
    let patience = json!({
        "type": "reply", "status": 429,
        "headers": { "x-ms-ratelimit-microsoft.costmanagement-tenant-retry-after": "77" },
    });
    world.simulator.fault(&json!({ "route": "submit", "forever": true, "action": patience }));
    let pipeline = fs::read_to_string(world.pipeline()).unwrap();
    let impatient = pipeline.replace("[pull]", "[pull]\nretry_seconds = 2");
    fs::write(world.pipeline(), impatient).unwrap();
    let outcome = world.run(&[&MAY[..], &["-o", "json"]].concat()).exits(4);
    assert_eq!(outcome.json()["retry_after_seconds"], 77, "{outcome:?}");
    outcome.says(&["asked to wait 77 s"]);
    let sent = world.simulator.requests("submit");

    // The next run knows that it is to wait, and does not even ask.
    world.simulator.forget_faults();
    world.run(&MAY).exits(4);
    assert_eq!(world.simulator.requests("submit"), sent);
}

#[test]
fn days_without_data_among_days_with_some_are_not_believed() {
    let world = World::new(&["--polls", "0", "--rows-per-month", "300", "--most-rows", "120"]);
    let actual = [&MAY[..], &["--metric", "actual"]].concat();
    // Asked for are the whole, the whole again, and its halves.
    let nothing = json!({ "type": "no_data_found" });
    world.simulator.fault(&json!({ "route": "submit", "skip": 3, "action": nothing }));
    world.run(&actual).exits(5).says(&["no data for the days 2025-05-", "in 2 parts"]);
    assert_eq!(published(&world.lake()).len(), 0);
    world.run(&actual).exits(0);
    let whole = World::small();
    whole.run(&actual).exits(0);
    assert_eq!(figures(&whole), figures(&world));
}

#[test]
fn the_landing_area_touches_nothing_but_its_own() {
    let world = World::small();
    let landing = world.directory.path().join("landing");
    let own = landing.join("photos/2024-05/actual/00001");
    fs::create_dir_all(own.parent().unwrap()).unwrap();
    fs::write(&own, "mine").unwrap();
    let pipeline = fs::read_to_string(world.pipeline()).unwrap();
    let pipeline = format!("{pipeline}\n[landing]\npath = {:?}\n", text(&landing));
    fs::write(world.pipeline(), pipeline).unwrap();
    world.run(&MAY).exits(0);
    assert_eq!(fs::read_to_string(own).unwrap(), "mine");
    assert_eq!(fs::read_dir(landing).unwrap().count(), 1, "nothing of the lake stays");
}

#[test]
fn a_second_run_on_a_lake_is_told_to_wait() {
    let world = World::new(&["--polls", "1000", "--rows-per-month", "300"]);
    let mut first = world.run_command(&MAY).spawn().unwrap();
    wait_until("a report is asked for", || (world.simulator.requests("poll") > 0).then_some(()));
    world.run(&MAY).exits(9).says(&["another run is at work on", "hint: wait"]);
    // By its own id.
    first.kill().unwrap();
    first.wait().unwrap();
}
