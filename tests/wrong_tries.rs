//! What can go wrong does, and each time: the exit code, a text that says what and where, no secret,
//! and a lake that is as it was.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;
use tempfile::TempDir;

use crate::harness::{
    Outcome, PIPELINE, World, commits, costlake, finish, gzipped, lake_files, published, run,
    small_file, small_row, sound_rows, text, wait_until,
};
use crate::reading::ParquetRows;

/// One report of one month: one submit, so that retries can be counted.
const ONE: [&str; 4] = ["--period", "2025-05", "--metric", "actual"];
const ACTUAL: &str =
    "cost_line_items/metric=actual/billing_period=2025-05/scope=billing-account-1234567/data.parquet";
const QUARANTINE: &str =
    "quarantine/metric=actual/billing_period=2025-05/scope=billing-account-1234567/data.parquet";

// ---- Configuration: exit 2, and nobody is asked.

fn plan_of(pipeline: &str, args: &[&str], variables: &[(&str, &str)]) -> Outcome {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("pipeline.toml");
    fs::write(&file, pipeline).unwrap();
    let lake = directory.path().join("lake");
    let mut command = costlake();
    command.args(["run", "--config"]).arg(&file).args(args).arg("--lake").arg(&lake);
    let names = PIPELINE.split('"').filter(|name| {
        name.starts_with("AZURE_") || name.starts_with("COSTLAKE_")
    });
    command.envs(names.map(|name| match name {
        "COSTLAKE_DEMO_BILLING_ACCOUNT" => (name, "1234567"),
        "AZURE_TENANT_ID" | "AZURE_CLIENT_ID" => (name, "6e8d1c5a-0b1f-4a55-9a3e-2f6c0d7e4b10"),
        "AZURE_CLIENT_SECRET" => (name, "correct-horse-battery"),
        _ => (name, "http://127.0.0.1:9"),
    }));
    command.envs(variables.iter().copied());
    let outcome = finish(command.spawn().unwrap());
    assert!(!lake.exists(), "no lake is made");
    outcome
}

#[test]
fn without_a_pipeline_file_the_program_says_how_to_give_one() {
    run(&["run"]).exits(2).says(&["--config"]);
    run(&["run", "--config", "/no/such/file.toml"]).exits(2).says(&["/no/such/file.toml"]);
    run(&["plan"]).exits(2).says(&["--config"]);
}

#[test]
fn unknown_commands_and_flags_are_wrong_usage() {
    run(&["rnu"]).exits(2);
    run(&["run", "--no-such-flag"]).exits(2).says(&["--no-such-flag"]);
    run(&["status"]).exits(2).says(&["--lake"]);
}

#[test]
fn unknown_keys_are_errors() {
    let wrong = PIPELINE.replace("periods =", "perods =");
    plan_of(&wrong, &[], &[]).exits(2).says(&["perods"]);
    let wrong = format!("{PIPELINE}\n[landign]\nkeep = true\n");
    plan_of(&wrong, &[], &[]).exits(2).says(&["landign"]);
    plan_of("this is no TOML", &[], &[]).exits(2).says(&["pipeline.toml"]);
}

#[test]
fn an_inline_secret_is_refused_and_not_repeated() {
    let inline = PIPELINE
        .replace(r#"client_secret = { env = "AZURE_CLIENT_SECRET" }"#, r#"client_secret = "hunter2-in-file""#);
    assert_ne!(inline, PIPELINE);
    let outcome = plan_of(&inline, &[], &[]).exits(2).says(&["secret", "env"]);
    let told = format!("{}{}", outcome.stdout, outcome.stderr);
    assert!(!told.contains("hunter2-in-file"), "the secret is in the log now:\n{told}");
}

#[test]
fn a_variable_that_is_not_set_is_named() {
    plan_of(PIPELINE, &[], &[("AZURE_CLIENT_SECRET", "")]).exits(2).says(&["AZURE_CLIENT_SECRET"]);
    plan_of(PIPELINE, &[], &[("COSTLAKE_DEMO_BILLING_ACCOUNT", "")])
        .exits(2)
        .says(&["COSTLAKE_DEMO_BILLING_ACCOUNT"]);
    let token = r#"
        [azure.auth]
        kind = "bearer-token"
        token = { env = "SOME_TOKEN" }
        [[scope]]
        billing_account = "1234567"
        [pull]
        periods = ["2025-05"]
    "#;
    plan_of(token, &[], &[]).exits(2).says(&["SOME_TOKEN"]);
}

#[test]
fn scopes_that_overlap_are_refused_with_the_reason() {
    for args in [
        &["--scope", "/providers/Microsoft.Billing/billingAccounts/1234567", "--department", "7"][..],
        &["--department", "7", "--department", "7"],
        &["--department", "7", "--enrollment-account", "9"],
        &["--billing-account", "1234567", "--subscription", "6e8d1c5a-0b1f-4a55-9a3e-2f6c0d7e4b10"],
    ] {
        let outcome = plan_of(PIPELINE, args, &[]).exits(2);
        let reason = ["twice", "overlap", "same"].iter().any(|word| outcome.stderr.contains(word));
        assert!(reason, "{args:?}: {}", outcome.stderr);
    }
}

#[test]
fn values_that_are_none_are_refused_with_those_that_are() {
    for (flag, value, hint) in [
        ("--metric", "billed", "amortized"),
        ("--period", "2025-13", "2025-07"),
        ("--period", "2025-07..2025-05", "2025-05..2025-07"),
        ("--period", "yesterday", "last-month"),
        ("--memory-limit", "plenty", "MB"),
        ("--department", "../..", "department"),
        ("--jobs", "0", "--jobs"),
    ] {
        plan_of(PIPELINE, &[flag, value], &[]).exits(2).says(&[hint]);
    }
}

// ---- Azure says no, or something else answers.

#[test]
fn a_wrong_client_secret_is_a_matter_of_rights() {
    let world = World::small();
    let mut command = world.run_command(&ONE);
    command.env("AZURE_CLIENT_SECRET", "wrong-horse-battery");
    let outcome = finish(command.spawn().unwrap()).exits(3).says(&["secret"]);
    assert!(!outcome.stderr.contains("wrong-horse-battery"), "{}", outcome.stderr);
    assert_eq!(published(&world.lake()).len(), 0);
    assert!(world.simulator.requests("token") <= 2, "a lockout is near");
    assert_eq!(world.simulator.requests("submit"), 0);
}

#[test]
fn a_department_that_is_not_there_fails_in_the_words_of_azure() {
    let world = World::small();
    let outcome = world.run(&[&ONE[..], &["--department", "99999"]].concat());
    assert!(matches!(outcome.code, Some(1 | 3)), "{outcome:?}");
    let outcome = outcome.says(&["99999", "because"]);
    assert!(outcome.stderr.contains("404") || outcome.stderr.contains("40"), "{}", outcome.stderr);
    assert_eq!(published(&world.lake()).len(), 0);
}

#[test]
fn a_page_in_place_of_a_report_is_no_data() {
    let world = World::small();
    world.run(&ONE).exits(0);
    let before = published(&world.lake());
    for (route, count) in [("blob", 1), ("submit", 1), ("poll", 1), ("token", 1)] {
        let action = json!({ "type": "html", "status": 200 });
        world.simulator.fault(&json!({ "route": route, "count": count, "action": action }));
        let outcome = world.run(&ONE);
        assert!(matches!(outcome.code, Some(1 | 3 | 5)), "{route}: {outcome:?}");
        let told = outcome.stderr.to_lowercase();
        assert!(told.contains("html") || told.contains("page"), "{route}: {told}");
        assert!(!told.contains("sig="), "links keep their signatures to themselves: {told}");
        assert_eq!(before, published(&world.lake()), "{route}");
        world.simulator.forget_faults();
    }
}

#[test]
fn what_passes_is_waited_for() {
    let world = World::small();
    world.run(&ONE).exits(0);
    let before = lake_files(&world.lake());
    let throttled = json!({ "type": "reply", "status": 429, "headers": { "Retry-After": "1" } });
    for (route, action) in [
        ("submit", throttled.clone()),
        ("poll", throttled),
        ("blob", json!({ "type": "html", "status": 503 })),
        ("blob", json!({ "type": "truncate", "bytes": 5000 })),
        ("blob", json!({ "type": "close" })),
        ("blob", json!({ "type": "expire_links" })),
        ("poll", json!({ "type": "expire_tokens" })),
        ("submit", json!({ "type": "complete_at_once" })),
    ] {
        world.simulator.fault(&json!({ "route": route, "action": action }));
        world.run(&ONE).exits(0).shows(&["Nothing new"]);
        assert_eq!(before, lake_files(&world.lake()), "{route} {action}");
    }
}

#[test]
fn throttling_without_end_is_bounded() {
    let world = World::small();
    world.simulator.fault(&json!({
        "route": "submit", "count": 1000,
        "action": { "type": "reply", "status": 429, "headers": { "Retry-After": "1" } },
    }));
    world.run(&ONE).exits(4).says(&["429", "2025-05"]);
    let submits = world.simulator.requests("submit");
    assert!((2..=20).contains(&submits), "{submits} submits");
    assert_eq!(published(&world.lake()).len(), 0);
}

#[test]
fn a_report_that_azure_fails_is_an_error_with_its_reason() {
    let world = World::small();
    world.run(&["--period", "2025-05..2025-06"]).exits(0);
    let before = published(&world.lake());
    world.simulator.fault(&json!({
        "route": "poll", "count": 1000,
        "action": { "type": "failed_report", "code": "ReportTooSad", "message": "The report was too sad." },
    }));
    world.run(&ONE).exits(1).says(&["ReportTooSad", "The report was too sad.", "2025-05"]);
    assert_eq!(before, published(&world.lake()));
}

#[test]
fn a_month_with_one_metric_is_not_published() {
    let world = World::small();
    world.simulator.fault(&json!({ "route": "submit", "action": { "type": "no_data_found" } }));
    world.run(&["--period", "2025-05"]).exits(5).says(&["no data", "2025-05"]);
    assert_eq!(published(&world.lake()).len(), 0);
}

#[test]
fn a_month_that_never_had_data_is_said_and_not_published() {
    let world = World::small();
    let outcome = world.run(&["--period", "2020-01", "-o", "json"]);
    match outcome.code {
        Some(0) => {
            let result = outcome.json();
            assert_eq!(result["without_data"][0]["billing_period"], "2020-01");
            assert_eq!(result["changed"], false);
        }
        // Azure may refuse months that are too old.
        _ => {
            outcome.exits(1).says(&["2020-01"]);
        }
    }
    assert_eq!(published(&world.lake()).len(), 0);
}

#[test]
fn a_report_that_vanished_does_not_empty_the_lake() {
    let world = World::small();
    world.run(&["--period", "2025-05"]).exits(0);
    let before = lake_files(&world.lake());
    let gone = json!({ "type": "no_data_found" });
    world.simulator.fault(&json!({ "route": "submit", "count": 2, "action": gone }));
    world.run(&["--period", "2025-05"]).exits(5).says(&["no data", "2025-05"]);
    assert_eq!(before, lake_files(&world.lake()));
}

#[test]
fn a_byte_count_that_lies_is_found() {
    let world = World::small();
    let lie = json!({ "type": "overstate_bytes", "by": 1000 });
    world.simulator.fault(&json!({ "route": "poll", "count": 1000, "action": lie }));
    let outcome = world.run(&ONE);
    assert!(matches!(outcome.code, Some(1 | 5)), "{outcome:?}");
    outcome.says(&["bytes"]);
    assert_eq!(published(&world.lake()).len(), 0);
}

#[test]
fn one_month_that_fails_does_not_keep_the_others_back() {
    let world = World::small();
    let sad = json!({ "type": "failed_report", "code": "Sad" });
    world.simulator.fault(&json!({ "route": "poll", "count": 1, "action": sad }));
    let result_file = world.directory.path().join("result.json");
    let args = ["--metric", "actual", "-o", "json", "--result-file", text(&result_file)];
    let outcome = world.run(&args).exits(1).says(&["Sad"]);
    let result = outcome.json();
    assert_eq!(result["months"].as_array().unwrap().len(), 2, "{result}");
    assert_eq!(result["errors"].as_array().unwrap().len(), 1, "{result}");
    let months = published(&world.lake()).into_keys().filter(|path| path.starts_with("cost_line"));
    assert_eq!(months.count(), 2);
    assert!(result_file.exists(), "the result is written although a month failed");
    world.run(&["--metric", "actual"]).exits(0);
}

#[test]
fn azure_that_goes_away_leaves_the_lake_as_it_was() {
    let mut world = World::new(&["--polls", "1000", "--rows-per-month", "300"]);
    world.simulator.fault(&json!({ "route": "submit", "action": { "type": "complete_at_once" } }));
    world.run(&ONE).exits(0);
    let before = lake_files(&world.lake());
    let child = world.run_command(&ONE).spawn().unwrap();
    wait_until("the report is asked for", || (world.simulator.requests("poll") > 0).then_some(()));
    world.simulator.shut_down();
    let outcome = finish(child);
    assert!(matches!(outcome.code, Some(1 | 4)), "{outcome:?}");
    outcome.says(&["error: actual costs", "2025-05", "hint:"]);
    assert_eq!(before, lake_files(&world.lake()));
}

// ---- The program is ended from outside.

/// A lake with one state of 2025-07, and a run stuck in the middle of the next.
fn stuck_run(world: &World) -> std::process::Child {
    world.run(&["--period", "2025-07"]).exits(0);
    world.simulator.advance();
    let blobs = world.simulator.requests("blob");
    let stall = json!({ "type": "stall", "seconds": 600, "after_bytes": 2000 });
    world.simulator.fault(&json!({ "route": "blob", "skip": 2, "count": 1000, "action": stall }));
    let child = world.run_command(&["--period", "2025-07"]).spawn().unwrap();
    wait_until("a blob is being read", || (world.simulator.requests("blob") > blobs + 2).then_some(()));
    child
}

fn signal(child: &std::process::Child, name: &str) {
    let status = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

#[test]
fn ctrl_c_stops_cleanly_and_the_next_run_goes_on() {
    let world = World::small();
    let child = {
        let child = stuck_run(&world);
        let before = lake_files(&world.lake());
        signal(&child, "-INT");
        let outcome = finish(child).exits(130);
        assert!(!outcome.stderr.contains("panicked"), "{}", outcome.stderr);
        assert_eq!(before, lake_files(&world.lake()));
        before
    };
    world.simulator.forget_faults();
    world.run(&["--period", "2025-07"]).exits(0).shows(&["Published"]);
    assert_ne!(child, lake_files(&world.lake()));
    run(&["verify", "--lake", text(&world.lake())]).exits(0);
}

#[test]
fn a_killed_run_leaves_nothing_that_readers_see() {
    let world = World::small();
    let mut child = stuck_run(&world);
    let before = lake_files(&world.lake());
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(before, lake_files(&world.lake()));
    run(&["verify", "--lake", text(&world.lake())]).exits(0);
    world.simulator.forget_faults();
    world.run(&["--period", "2025-07"]).exits(0).shows(&["Published"]);
    let other = world.directory.path().join("other");
    world.run(&["--period", "2025-07", "--lake", text(&other)]).exits(0);
    assert_eq!(published(&world.lake()), published(&other), "the same bytes as without the kill");
}

#[test]
fn a_reader_that_closes_the_pipe_ends_the_program_quietly() {
    let files = Files::new();
    let lake = files.lake();
    let convert = ["convert", "--metric", "actual", "--progress", "none", "--lake", text(&lake)];
    let file = files.csv("sound.csv", &sound_rows());
    for args in [&["schema"][..], &["completions", "bash"], &[&convert[..], &[text(&file)]].concat()] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let outcome = finish(costlake().args(args).stdout(writer).spawn().unwrap()).exits(0);
        assert!(!outcome.stderr.contains("panicked"), "{args:?}: {}", outcome.stderr);
        assert!(!outcome.stderr.contains("error"), "{args:?}: {}", outcome.stderr);
    }
}

// ---- Files that are no cost files, or damaged.

/// A folder for files, and a lake beside them.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn lake(&self) -> PathBuf {
        self.0.path().join("lake")
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    fn csv(&self, name: &str, rows: &[String]) -> PathBuf {
        self.write(name, small_file(rows).as_bytes())
    }

    fn convert(&self, file: &Path, args: &[&str]) -> Outcome {
        let lake = self.lake();
        let common = ["convert", text(file), "--lake", text(&lake), "--metric", "actual"];
        run(&[&common[..], args].concat())
    }
}

#[test]
fn damaged_files_are_refused_whole() {
    let sound = small_file(&sound_rows());
    let without_header = sound.split_once("\r\n").unwrap().1.to_owned();
    let zipped = gzipped(sound.repeat(50).as_bytes());
    let unclosed = format!("{sound}1234567,7,\"Never closed,05/01/2025,05/01/2025,1,EUR,Usage,OnDemand,1,x\r\n");
    let utf16: Vec<u8> = sound.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let twice = sound.replace("Team", "Cost");
    for (name, bytes, words) in [
        ("no-header.csv", without_header.as_bytes(), &["header", "columns"][..]),
        ("empty.csv", b"", &["empty", "header"]),
        ("bom-only.csv", b"\xef\xbb\xbf", &["empty", "header"]),
        ("cut.csv.gz", &zipped[..zipped.len() - 20], &["gzip", "cut", "ends"]),
        ("unclosed.csv", unclosed.as_bytes(), &["quote"]),
        ("page.csv", b"<!DOCTYPE html><html><body>Sign in</body></html>", &["page", "HTML", "columns"]),
        ("utf16.csv", &utf16, &["UTF-16"]),
        ("twice.csv", twice.as_bytes(), &["two", "both", "twice", "same"]),
        ("header-again.csv", sound.repeat(2).as_bytes(), &["header"]),
    ] {
        let files = Files::new();
        let good = files.csv("good.csv", &sound_rows()[..1]);
        files.convert(&good, &[]).exits(0);
        let before = lake_files(&files.lake());
        let bad = files.write(name, bytes);
        println!("{name}");
        let outcome = files.convert(&bad, &["--period", "2025-05", "--scope-name", "x"]).exits(5).says(&[name]);
        let told = words.iter().any(|word| outcome.stderr.contains(word));
        assert!(told, "{name}: none of {words:?} in\n{}", outcome.stderr);
        assert_eq!(before, lake_files(&files.lake()), "{name}");
    }
}

#[test]
fn one_damaged_file_keeps_the_sound_one_beside_it_back() {
    let files = Files::new();
    let good = files.csv("a.csv", &sound_rows());
    let bad = files.write("b.csv", b"not,a,cost,file\r\n1,2,3,4\r\n");
    files.convert(&good, &[text(&bad)]).exits(5).says(&["b.csv"]);
    assert_eq!(published(&files.lake()).len(), 0);
}

#[test]
fn files_that_do_not_say_what_they_are_need_flags() {
    let files = Files::new();
    let lake = files.lake();
    let sound = files.csv("sound.csv", &sound_rows());
    let args = ["convert", text(&sound), "--lake", text(&lake)];
    run(&args).exits(2).says(&["--metric actual"]);

    let mut rows = sound_rows();
    rows.push(small_row("7", "Öl, Gas", 3, "1").replace("05/01/2025", "06/01/2025"));
    let months = files.csv("months.csv", &rows);
    files.convert(&months, &[]).exits(2).says(&["--period"]);

    let mut rows = sound_rows();
    rows.push(small_row("7", "Öl, Gas", 3, "1").replace("1234567", "7654321"));
    let accounts = files.csv("accounts.csv", &rows);
    files.convert(&accounts, &[]).exits(2).says(&["--scope-name"]);
    assert_eq!(published(&lake).len(), 0);

    files.convert(&months, &["--period", "2025-05"]).exits(0);
    files.convert(&accounts, &["--scope-name", "Both Accounts"]).exits(0);
    let scopes = published(&lake).into_keys().filter(|path| path.contains("scope=both-accounts"));
    assert_eq!(scopes.count(), 2);
}

#[test]
fn paths_that_are_not_there_are_wrong_usage() {
    let files = Files::new();
    files.convert(Path::new("/no/such/file.csv"), &[]).exits(2).says(&["/no/such/file.csv"]);
    let sound = files.csv("sound.csv", &sound_rows());
    let args = ["convert", text(&sound), "--metric", "actual", "--lake", text(&sound)];
    let outcome = run(&args).says(&["sound.csv"]);
    assert!(matches!(outcome.code, Some(1 | 2)), "{outcome:?}");
    assert_eq!(fs::read_to_string(&sound).unwrap(), small_file(&sound_rows()), "the file is as it was");
    run(&["status", "--lake", "s3://bucket/lake"]).exits(2).says(&["s3://bucket/lake"]);
}

#[test]
fn strict_decimals_refuses_what_would_be_rounded() {
    let files = Files::new();
    let fine = small_row("7", "Öl", 1, "0.0000000000000000000000012345");
    let file = files.csv("fine.csv", &[fine]);
    let strict = files.convert(&file, &["--strict-decimals"]);
    assert!(matches!(strict.code, Some(5 | 8)), "{strict:?}");
    let relaxed = files.convert(&file, &["-o", "json"]).exits(0).json();
    let totals = &relaxed["months"][0]["reports"][0]["decimals"]["cost"];
    assert_eq!(totals["rounded"], 1);
    assert_eq!(totals["exact_total"], "0.0000000000000000000000012345");
    assert_eq!(totals["stored_total"], "0.000000000000000000000001");
    assert_eq!(totals["difference"], "0.0000000000000000000000002345");
}

// ---- Rows that cannot be typed.

#[test]
fn rows_that_cannot_be_typed_go_to_quarantine_until_they_are_mended() {
    let files = Files::new();
    let bad = [
        small_row("7", "Öl, Gas", 4, "1,000.00").replace("1,000.00", "twelve"),
        small_row("7", "Öl, Gas", 31, "2").replace("05/31/2025", "05/32/2025"),
        small_row("8", "Retail", 4, "123456789012345.5"),
        small_row("8", "Retail", 4, "3").replace(",blue", ""),
        small_row("8", "Retail", 4, "NaN"),
    ];
    let mut rows = sound_rows();
    rows.extend_from_slice(&bad);
    let file = files.csv("some.csv", &rows);
    let result = files.convert(&file, &["-o", "json"]).exits(8).says(&["quarantine"]).json();
    assert_eq!(result["quarantined_rows"], 5);
    let report = &result["months"][0]["reports"][0];
    assert_eq!(report["records"], 8);
    assert_eq!(report["rows"], 3);
    assert_eq!(report["quarantined_rows"], 5);
    assert_eq!(report["cost"]["EUR"], "0.500000000000000000000001");

    let line_items = ParquetRows::read(&files.lake().join(ACTUAL));
    let quarantine = ParquetRows::read(&files.lake().join(QUARANTINE));
    assert_eq!(line_items.len() + quarantine.len(), rows.len(), "rows in are rows out");
    let raw: Vec<Vec<u8>> = quarantine.bytes("raw").into_iter().map(Option::unwrap).collect();
    let raw: Vec<&[u8]> = raw.iter().map(|row| row.trim_ascii_end()).collect();
    assert_eq!(raw, bad.iter().map(String::as_bytes).collect::<Vec<_>>());
    assert_eq!(quarantine.integers("record"), [4, 5, 6, 7, 8].map(Some));
    let text_before: usize = small_file(&rows[..3]).len();
    assert_eq!(quarantine.integers("byte_offset")[0], i64::try_from(text_before).ok());
    let columns = quarantine.texts("column");
    let columns: Vec<Option<&str>> = columns.iter().map(Option::as_deref).collect();
    assert_eq!(columns, [Some("cost"), Some("charge_date"), Some("cost"), None, Some("cost")]);
    assert_eq!(quarantine.texts("found")[0].as_deref(), Some("twelve"));
    run(&["verify", "--lake", text(&files.lake())]).exits(0);
    let again = lake_files(&files.lake());
    files.convert(&file, &[]).exits(8);
    assert_eq!(again, lake_files(&files.lake()), "again: still quarantined, nothing new");

    let mended = files.csv("mended.csv", &sound_rows());
    files.convert(&mended, &[]).exits(0);
    let paths = lake_files(&files.lake());
    let left = paths.keys().filter(|path| path.contains("quarantine/metric=actual"));
    assert_eq!(left.count(), 0, "object and manifest are gone");
    let commits = commits(&files.lake());
    let removed = commits.last().unwrap()["partitions"].as_array().unwrap().clone();
    let removed = removed.iter().find(|entry| entry["outcome"] == "removed").unwrap();
    assert_eq!(removed["partition"]["table"], "quarantine");
    assert!(removed["object"].is_null() && removed["previous_sha256"].is_string(), "{removed}");
}

// ---- The disk.

/// A small disk of its own; unmounted when dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount(size: &str) -> Option<Self> {
        let directory = TempDir::new().unwrap();
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(directory.path());
        let mounted = command.stderr(Stdio::null()).status();
        mounted.is_ok_and(|status| status.success()).then(|| Self(directory))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount").arg(self.0.path()).status().unwrap();
    }
}

#[test]
fn a_full_disk_is_said_and_the_old_month_stays() {
    let Some(disk) = SmallDisk::mount("300k") else {
        println!("skipped: a small disk cannot be mounted here");
        return;
    };
    let files = Files::new();
    let lake = disk.0.path().join("lake");
    let sound = files.csv("sound.csv", &sound_rows());
    let convert = |file: &Path| {
        let args = ["convert", text(file), "--metric", "actual", "--lake", text(&lake)];
        run(&[&args[..], &["--period", "2025-05", "--scope-name", "x"]].concat())
    };
    convert(&sound).exits(0);
    let before = lake_files(&lake);
    let generated = files.0.path().join("generated");
    run(&["simulate", "generate", "--rows", "4000", "--months", "1", "--out", text(&generated)]).exits(0);
    let big = generated.join("actual/202505/part_0.csv");
    let outcome = run(&[
        "convert", text(&big), text(&generated.join("actual/202505/part_1.csv")), "--metric", "actual",
        "--lake", text(&lake), "--period", "2025-05", "--scope-name", "x",
    ]);
    outcome.exits(1).says(&["hint:", "space"]);
    assert_eq!(before, lake_files(&lake), "the old month is as it was");
    run(&["verify", "--lake", text(&lake)]).exits(0);
    convert(&sound).exits(0).shows(&["Nothing new"]);
}
