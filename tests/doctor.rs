//! `costlake doctor` against the simulator: what works, what does not, and the way to mend it.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Outcome, World, costlake, finish, run, text};

/// Where the simulator is, without a word on who we are.
const HOSTS: &str = r#"
[azure]
arm_endpoint = { env = "COSTLAKE_ARM_ENDPOINT" }
storage_endpoints = [{ env = "COSTLAKE_STORAGE_ENDPOINT" }]
authority = { env = "AZURE_AUTHORITY_HOST" }
"#;

const SCOPE: &str = r#"
[[scope]]
billing_account = { env = "COSTLAKE_DEMO_BILLING_ACCOUNT" }
"#;

const CERTIFICATE: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/crates/fetch/tests/certificate.pem");

fn command(world: &World) -> Command {
    let mut command = world.command(&["doctor", "--output", "json", "--config"]);
    command.arg(world.pipeline());
    command
}

fn doctor(world: &World) -> Outcome {
    finish(command(world).spawn().unwrap())
}

/// A world whose pipeline file signs in as given.
fn world_with(auth: &str, args: &[&str]) -> World {
    let world = World::new(args);
    fs::write(world.pipeline(), format!("{HOSTS}{auth}{SCOPE}")).unwrap();
    world
}

/// The verdict of a check; of the first one, if there are several.
#[track_caller]
fn check<'a>(diagnosis: &'a Value, name: &str) -> &'a Value {
    let checks = diagnosis["checks"].as_array().unwrap();
    let found = checks.iter().find(|check| check["check"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {diagnosis:#}"))
}

#[track_caller]
fn assert_check(diagnosis: &Value, name: &str, verdict: &str, texts: &[&str]) {
    let check = check(diagnosis, name);
    assert_eq!(check["verdict"], verdict, "{check:#}");
    for text in texts {
        assert!(check.to_string().contains(text), "{text} in {check:#}");
    }
}

/// Whether the simulator has a flag yet; else says so.
fn can(flag: &str) -> bool {
    let is_known = run(&["simulate", "--help"]).stdout.contains(flag);
    if !is_known {
        println!("skipped: the simulator does not know {flag}");
    }
    is_known
}

#[test]
fn all_is_well_and_nothing_is_left_behind() {
    let world = World::small();
    let outcome = doctor(&world).exits(0);
    let secret = world.simulator.variable("AZURE_CLIENT_SECRET");
    assert!(!outcome.stdout.contains(secret));
    let diagnosis = outcome.json();
    let application = world.simulator.variable("AZURE_CLIENT_ID");
    assert_check(&diagnosis, "pipeline file", "ok", &["1 scope"]);
    assert_check(&diagnosis, "credential", "ok", &["client-secret", application]);
    assert_check(&diagnosis, "token audience", "ok", &[]);
    assert_check(&diagnosis, "clock", "ok", &[]);
    assert_check(&diagnosis, "reports", "ok", &["may be made"]);
    assert_check(&diagnosis, "destination", "ok", &["not there yet"]);
    assert_ne!(check(&diagnosis, "scope")["verdict"], "failed");
    assert_eq!(world.simulator.requests("submit"), 1);
    assert_eq!(world.simulator.requests("poll"), 0);
    assert!(!world.lake().exists());

    fs::create_dir_all(world.lake().join("_costlake/staging")).unwrap();
    assert_check(&doctor(&world).exits(0).json(), "destination", "ok", &["can be written"]);
    assert_eq!(fs::read_dir(world.lake().join("_costlake/staging")).unwrap().count(), 0);
}

#[test]
fn people_get_a_line_per_check() {
    let world = World::small();
    let mut command = world.command(&["doctor", "--config", text(&world.pipeline())]);
    let outcome = finish(command.spawn().unwrap()).exits(0);
    outcome.shows(&[
        "ok       pipeline file: ",
        "ok       credential: client-secret: application ",
        "ok       reports /providers/Microsoft.Billing/billingAccounts/",
    ]);
    command.arg("--nonsense");
    finish(command.spawn().unwrap()).exits(2);
}

#[test]
fn a_wrong_secret_is_refused_and_not_shown() {
    let world = World::small();
    let mut command = command(&world);
    command.env("AZURE_CLIENT_SECRET", "canary-wrong-secret");
    let outcome = finish(command.spawn().unwrap()).exits(3);
    assert!(!format!("{outcome:?}").contains("canary"));
    let diagnosis = outcome.json();
    assert_check(&diagnosis, "credential", "failed", &["AADSTS7000215", "secret"]);
    assert_check(&diagnosis, "reports", "skipped", &[]);
    assert_check(&diagnosis, "destination", "ok", &[]);
    assert_eq!(diagnosis["exit_code"], 3);
}

#[test]
fn a_file_that_cannot_be_used_is_the_first_finding() {
    let world = World::small();
    let mut unset = command(&world);
    unset.env_remove("AZURE_CLIENT_SECRET");
    let diagnosis = finish(unset.spawn().unwrap()).exits(2).json();
    assert_check(&diagnosis, "pipeline file", "failed", &["AZURE_CLIENT_SECRET", "not set"]);
    assert_check(&diagnosis, "credential", "skipped", &[]);
    assert_check(&diagnosis, "destination", "ok", &[]);

    fs::write(world.pipeline(), "[azure]\ncloud = \"moon\"").unwrap();
    assert_check(&doctor(&world).exits(2).json(), "pipeline file", "failed", &["us-government"]);
    run(&["doctor"]).exits(2).shows(&["no pipeline file is given"]);
}

#[test]
fn an_azure_that_is_away_is_not_a_missing_right() {
    let mut world = World::small();
    world.simulator.shut_down();
    let diagnosis = doctor(&world).exits(4).json();
    assert_check(&diagnosis, "credential", "failed", &["unavailable"]);
}

#[test]
fn charges_that_are_switched_off_name_the_switch() {
    let world = World::small();
    let body = json!({ "error": { "code": "DepartmentCostDisabled", "message": "Off." } });
    world.simulator.fault(&json!({
        "route": "submit",
        "action": { "type": "reply", "status": 400, "body": body.to_string() },
    }));
    let diagnosis = doctor(&world).exits(3).json();
    let texts = ["DepartmentCostDisabled", "Department admins can view charges"];
    assert_check(&diagnosis, "reports", "failed", &texts);
}

#[test]
fn an_accepted_request_is_a_warning() {
    let world = World::small();
    world.simulator.fault(&json!({
        "route": "submit",
        "action": { "type": "reply", "status": 202, "headers": { "Location": "/x" } },
    }));
    let diagnosis = doctor(&world).exits(0).json();
    assert_check(&diagnosis, "reports", "warning", &["a report may have been made"]);
}

#[test]
fn a_destination_that_is_a_file_is_refused() {
    let world = World::small();
    fs::write(world.lake(), "").unwrap();
    assert_check(&doctor(&world).exits(2).json(), "destination", "failed", &["folder"]);
}

#[test]
fn without_auth_the_environment_signs_in() {
    for auth in ["", "[azure.auth]\nkind = \"chain\"\n"] {
        let world = world_with(auth, &[]);
        let diagnosis = doctor(&world).exits(0).json();
        assert_check(&diagnosis, "credential", "ok", &["client-secret"]);
    }
}

#[test]
fn a_chain_without_members_tells_what_it_looked_for() {
    let world = world_with("", &[]);
    let mut command = command(&world);
    command.env_remove("AZURE_CLIENT_SECRET");
    // A machine that is none of Azure, wherever the tests run.
    command.env("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:1");
    let diagnosis = finish(command.spawn().unwrap()).exits(3).json();
    let texts = [
        "neither AZURE_CLIENT_SECRET nor AZURE_CLIENT_CERTIFICATE_PATH is set",
        "AZURE_FEDERATED_TOKEN_FILE is not set",
        "managed-identity: no answer from http://127.0.0.1:1/",
        "azure-cli: `az` was not found",
    ];
    assert_check(&diagnosis, "credential", "failed", &texts);
}

#[test]
fn an_identity_endpoint_elsewhere_gets_no_key() {
    let world = world_with("[azure.auth]\nkind = \"managed-identity\"\n", &[]);
    let mut command = command(&world);
    command.env("IDENTITY_ENDPOINT", "http://10.0.0.1/msi").env("IDENTITY_HEADER", "canary-key");
    let outcome = finish(command.spawn().unwrap()).exits(2);
    assert!(!format!("{outcome:?}").contains("canary"));
    assert_check(&outcome.json(), "pipeline file", "failed", &["loopback or link-local"]);
}

/// An `az` that runs a script.
#[cfg(unix)]
fn with_az(world: &World, script: &str) -> Outcome {
    use std::os::unix::fs::PermissionsExt;
    let path = world.directory.path().join("az");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = command(world);
    command.arg("-vv").env("RUST_LOG", "trace");
    command.env("PATH", format!("{}:/usr/bin:/bin", text(world.directory.path())));
    finish(command.spawn().unwrap())
}

#[cfg(unix)]
#[test]
fn the_azure_cli_is_asked_by_its_own_words() {
    let world = world_with("[azure.auth]\nkind = \"azure-cli\"\nsubscription = \"Shop\"\n", &[]);
    let absent = finish(command(&world).spawn().unwrap()).exits(3).json();
    assert_check(&absent, "credential", "failed", &["`az` was not found"]);

    let outcome =
        with_az(&world, "echo \"ERROR: Please run 'az login' to setup account.\" >&2; exit 1");
    assert_check(&outcome.exits(3).json(), "credential", "failed", &["nobody is signed in"]);

    let refused = "echo 'ERROR: AADSTS50076: canary is needed. Run az login.' >&2; exit 1";
    let diagnosis = with_az(&world, &refused.replace("canary", "MFA")).exits(3).json();
    assert_check(&diagnosis, "credential", "failed", &["AADSTS50076", "MFA is needed"]);

    let arguments = world.directory.path().join("arguments");
    let token = format!(
        "echo \"$@\" > {}; echo '{{\"accessToken\":\"canary-token\",\"expires_on\":32503680000,\"tokenType\":\"Bearer\"}}'",
        text(&arguments)
    );
    let outcome = with_az(&world, &token).exits(3);
    assert!(!format!("{outcome:?}").contains("canary"), "{outcome:?}");
    let diagnosis = outcome.json();
    assert_check(&diagnosis, "credential", "ok", &["azure-cli", "does not say whom"]);
    assert_check(&diagnosis, "reports", "failed", &["InvalidAuthenticationToken"]);
    let asked = fs::read_to_string(arguments).unwrap();
    let scope = format!("{}/.default", world.simulator.variable("COSTLAKE_ARM_ENDPOINT"));
    assert!(asked.contains(&scope) && asked.contains("--subscription Shop"), "{asked}");

    let outcome =
        with_az(&world, "echo '{\"accessToken\":\"canary-token\",\"expires_on\":\"canary\"}'");
    assert!(!format!("{outcome:?}").contains("canary"), "{outcome:?}");
    assert_check(&outcome.json(), "credential", "failed", &["2.54"]);
}

#[test]
fn a_certificate_signs_in() {
    if !can("--client-certificate") {
        return;
    }
    let auth = format!(
        "[azure.auth]\nkind = \"client-certificate\"\ntenant_id = {{ env = \"AZURE_TENANT_ID\" }}\n\
         client_id = {{ env = \"AZURE_CLIENT_ID\" }}\ncertificate = {{ file = \"{CERTIFICATE}\" }}\n"
    );
    let world = world_with(&auth, &["--client-certificate", CERTIFICATE]);
    let diagnosis = doctor(&world).exits(0).json();
    assert_check(&diagnosis, "credential", "ok", &["client-certificate"]);

    let stranger = world_with(&auth, &[]);
    let diagnosis = doctor(&stranger).exits(3).json();
    assert_check(&diagnosis, "credential", "failed", &["AADSTS700027"]);
}

#[test]
fn a_federated_token_signs_in() {
    let world = world_with("[azure.auth]\nkind = \"workload-identity\"\n", &[]);
    let Some(token) = optional(&world, "COSTLAKE_SIM_FEDERATED_TOKEN") else { return };
    let file = world.directory.path().join("token");
    fs::write(&file, token).unwrap();
    let signed_in = |file: &Path| {
        let mut command = command(&world);
        command.env("AZURE_FEDERATED_TOKEN_FILE", file);
        finish(command.spawn().unwrap())
    };
    let diagnosis = signed_in(&file).exits(0).json();
    assert_check(&diagnosis, "credential", "ok", &["workload-identity"]);

    fs::write(&file, "canary-federated-token").unwrap();
    let outcome = signed_in(&file).exits(3);
    assert!(!format!("{outcome:?}").contains("canary"));
    let missing = signed_in(&world.directory.path().join("none")).exits(3).json();
    assert_check(&missing, "credential", "failed", &["cannot read"]);
}

#[test]
fn an_identity_of_app_service_signs_in() {
    let world = world_with("[azure.auth]\nkind = \"managed-identity\"\n", &[]);
    let Some(endpoint) = optional(&world, "COSTLAKE_SIM_IDENTITY_ENDPOINT") else { return };
    let header = optional(&world, "COSTLAKE_SIM_IDENTITY_HEADER").unwrap();
    for (header, code) in [(header.as_str(), 0), ("canary-other-key", 3)] {
        let mut command = command(&world);
        command.env("IDENTITY_ENDPOINT", &endpoint).env("IDENTITY_HEADER", header);
        command.env("RUST_LOG", "trace");
        let outcome = finish(command.spawn().unwrap()).exits(code);
        assert!(!format!("{outcome:?}").contains(header));
        let verdict = if code == 0 { "ok" } else { "failed" };
        assert_check(&outcome.json(), "credential", verdict, &[]);
    }
}

#[test]
fn an_identity_of_a_virtual_machine_signs_in() {
    if !can("--no-role") {
        return;
    }
    let world = world_with("[azure.auth]\nkind = \"managed-identity\"\n", &[]);
    let mut command = command(&world);
    let simulator = world.simulator.variable("COSTLAKE_ARM_ENDPOINT");
    command.env("AZURE_POD_IDENTITY_AUTHORITY_HOST", simulator);
    let diagnosis = finish(command.spawn().unwrap()).exits(0).json();
    assert_check(&diagnosis, "credential", "ok", &["managed-identity"]);
}

/// A variable that the simulator sets, if it does already; else says so.
fn optional(world: &World, name: &str) -> Option<String> {
    let found = world.simulator.environment().find(|(known, _)| *known == name);
    if found.is_none() {
        println!("skipped: the simulator does not set {name}");
    }
    found.map(|(_, value)| value.to_owned())
}

#[test]
fn a_missing_role_is_named_with_the_command_that_grants_it() {
    if !can("--no-role") {
        return;
    }
    let world = World::new(&["--no-role"]);
    let diagnosis = doctor(&world).exits(3).json();
    assert_check(&diagnosis, "credential", "ok", &[]);
    let texts = ["EnrollmentReader", "az rest --method put", "enterprise administrator"];
    assert_check(&diagnosis, "reports", "failed", &texts);
}

#[test]
fn a_clock_that_differs_is_found() {
    if !can("--clock-skew") {
        return;
    }
    for (seconds, verdict, code) in [("5", "ok", 0), ("120", "warning", 0), ("900", "failed", 1)] {
        let world = World::new(&["--clock-skew", seconds]);
        assert_check(&doctor(&world).exits(code).json(), "clock", verdict, &["behind"]);
    }
}

#[test]
fn an_object_is_found_by_its_name() {
    if !can("--no-role") {
        return;
    }
    let world = World::small();
    assert_check(&doctor(&world).exits(0).json(), "scope", "ok", &["found"]);
    let mut elsewhere = costlake();
    elsewhere.args(["doctor", "--output", "json", "--billing-account", "7", "--config"]);
    elsewhere.arg(world.pipeline()).envs(world.simulator.environment());
    elsewhere.env("COSTLAKE_LAKE", world.lake());
    let outcome = finish(elsewhere.spawn().unwrap());
    assert_ne!(outcome.code, Some(0));
    assert_ne!(check(&outcome.json(), "scope")["verdict"], "ok");
}
