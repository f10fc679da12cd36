//! Azure says no, or something else answers.

use serde_json::json;

use super::ONE;
use crate::harness::{World, finish, lake_files, published, text, wait_until};

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
    outcome.says(&["The department '99999' was not found."]);
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
        let anew = [&ONE[..], &["--force"]].concat();
        let outcome =
            world.run(&anew).exits(1).says(&["a web page came in place of", "hint: a proxy"]);
        let told = &outcome.stderr;
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
    let result = world.run(&["--period", "2025-01", "-o", "json"]).exits(0).json();
    assert_eq!(result["without_data"][0]["billing_period"], "2025-01");
    assert_eq!(result["changed"], false);
    world.run(&["--period", "2025-01"]).exits(0).shows(&["2025-01", "no data"]);
    assert_eq!(published(&world.lake()).len(), 0);
}

#[test]
fn a_month_that_azure_refuses_fails_in_the_words_of_azure() {
    let world = World::small();
    world.run(&["--period", "2020-01"]).exits(1).says(&["2020-01", "Start date must be after"]);
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
    // Asking again, or for parts, would not help.
    let sad = json!({ "type": "failed_report", "code": "AccountCostDisabled" });
    world.simulator.fault(&json!({ "route": "poll", "count": 1, "action": sad }));
    let result_file = world.directory.path().join("result.json");
    let args = ["--metric", "actual", "-o", "json", "--result-file", text(&result_file)];
    let outcome = world.run(&args).exits(1).says(&["AccountCostDisabled"]);
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
