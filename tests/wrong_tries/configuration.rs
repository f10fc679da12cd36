//! Wrong usage and configuration: exit 2, and nobody is asked.

use std::fs;

use tempfile::TempDir;

use crate::harness::{Outcome, PIPELINE, costlake, finish, run};

fn plan_of(pipeline: &str, args: &[&str], variables: &[(&str, &str)]) -> Outcome {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("pipeline.toml");
    fs::write(&file, pipeline).unwrap();
    let lake = directory.path().join("lake");
    let mut command = costlake();
    command.args(["run", "--config"]).arg(&file).args(args).arg("--lake").arg(&lake);
    let names = PIPELINE
        .split('"')
        .filter(|name| name.starts_with("AZURE_") || name.starts_with("COSTLAKE_"));
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
    let inline = PIPELINE.replace(
        r#"client_secret = { env = "AZURE_CLIENT_SECRET" }"#,
        r#"client_secret = "hunter2-in-file""#,
    );
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
        ("--department", "../..", "../.."),
        ("--jobs", "0", "--jobs"),
    ] {
        plan_of(PIPELINE, &[flag, value], &[]).exits(2).says(&[hint]);
    }
}
