//! `costlake doctor`: tries what a run needs, one after the other, and says how to mend what fails.
//!
//! Nothing is changed: no report is made, and what is written to the destination is removed at once.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use costlake_fetch::{
    Client, Config, Credentials, Endpoints, Error as FetchError, Identity, NoMonitor, Readable,
    Right,
};
use costlake_model::Scope;
use costlake_sink::{Error as LakeError, Lake};
use serde_json::{Value, json};

use crate::args::DoctorArgs;
use crate::config::PipelineFile;
use crate::error::Error;
use crate::exit::ExitCode;
use crate::output::{self, Row, Show};

/// Differences between clocks that are worth a word, and that make tokens useless.
const NOTABLE_SKEW: TimeDelta = TimeDelta::seconds(60);
const HARMFUL_SKEW: TimeDelta = TimeDelta::seconds(300);

/// A doctor does not wait for better times.
const RETRY_ATTEMPTS: u32 = 3;
const RETRY_TIME: Duration = Duration::from_secs(60);

/// Where objects on their way lie in a lake (`docs/format.md`).
const STAGING: &str = "_costlake/staging";

/// The role of a reader of a whole enrollment, and of a department (Microsoft, "Assign Enterprise Agreement
/// roles to service principals").
const ENROLLMENT_READER: &str = "24f8edb6-1668-4659-b5e2-40bb5f3a7d7e";
const DEPARTMENT_READER: &str = "db609904-a47f-4794-9be8-9bd86fbffd8a";

/// Azure's resource manager as an application; tokens of version 1 may name it so.
const RESOURCE_MANAGER_ID: &str = "797f4846-ba00-4fd7-ba43-dac1f8f63013";

const WRONG_SCOPE: &str = "check the number or id, and the tenant that the credential belongs to";

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Ok,
    Warning,
    Failed(ExitCode),
    Skipped,
}

impl Verdict {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed(_) => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// A check, and what came of it.
struct Check {
    name: &'static str,
    scope: Option<String>,
    verdict: Verdict,
    found: String,
    hint: Option<String>,
}

impl Check {
    fn new(name: &'static str, verdict: Verdict, found: impl Into<String>) -> Self {
        Self { name, scope: None, verdict, found: found.into(), hint: None }
    }

    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, Verdict::Ok, found)
    }

    fn skipped(name: &'static str, why: &str) -> Self {
        Self::new(name, Verdict::Skipped, why)
    }

    fn failed(name: &'static str, error: &Error) -> Self {
        let mut found = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            let _ = write!(found, ": {}", error.to_string().trim_end());
            cause = error.source();
        }
        let check = Self::new(name, Verdict::Failed(error.exit_code()), found);
        Self { hint: error.hint(), ..check }
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    fn of(self, scope: &Scope) -> Self {
        Self { scope: Some(scope.path()), ..self }
    }
}

/// All that was tried.
pub(crate) struct Diagnosis {
    checks: Vec<Check>,
}

impl Diagnosis {
    /// The code of the first check that failed.
    pub(crate) fn exit_code(&self) -> ExitCode {
        let failed = |check: &Check| match check.verdict {
            Verdict::Failed(code) => Some(code),
            _ => None,
        };
        self.checks.iter().find_map(failed).unwrap_or(ExitCode::Done)
    }
}

/// Tries what a run needs.
///
/// # Errors
/// None: what fails is in the result.
pub(crate) async fn doctor(args: &DoctorArgs) -> Result<Diagnosis, Error> {
    let (check, setup) = read(args);
    let mut checks = vec![check];
    match setup.azure {
        Some((config, credentials)) => {
            checks.extend(check_azure(config, credentials, &setup.scopes).await);
        }
        None => checks.push(Check::skipped("credential", "the pipeline file comes first")),
    }
    checks.push(match setup.lake {
        Some(lake) => check_destination(&lake).await,
        None => Check::skipped("destination", "no lake is known"),
    });
    Ok(Diagnosis { checks })
}

/// What the pipeline file and flags say, as far as they can be used.
#[derive(Default)]
struct Setup {
    azure: Option<(Config, Credentials)>,
    scopes: Vec<Scope>,
    lake: Option<String>,
}

fn read(args: &DoctorArgs) -> (Check, Setup) {
    const NAME: &str = "pipeline file";
    let path = args.config.as_deref();
    let file = match PipelineFile::read_given(path) {
        Ok(file) => file,
        Err(error) => return (Check::failed(NAME, &error), Setup::default()),
    };
    let (azure, scopes, lake) =
        (file.azure(), file.scopes(&args.scopes), file.lake(args.lake.as_deref()));
    let error = azure.as_ref().err().or(scopes.as_ref().err()).or(lake.as_ref().err());
    let check = match error {
        Some(error) => Check::failed(NAME, error),
        None => {
            let scopes = scopes.as_ref().map_or(0, Vec::len);
            let path = path.unwrap_or(Path::new("")).display();
            Check::ok(NAME, format!("{path}: {}", output::counted(scopes, "scope")))
        }
    };
    let setup = Setup { azure: azure.ok(), scopes: scopes.unwrap_or_default(), lake: lake.ok() };
    (check, setup)
}

/// Signs in and asks for each scope.
async fn check_azure(mut config: Config, credentials: Credentials, scopes: &[Scope]) -> Vec<Check> {
    config.retry.attempts = config.retry.attempts.min(RETRY_ATTEMPTS);
    config.retry.total = config.retry.total.min(RETRY_TIME);
    let endpoints = config.endpoints.clone();
    let client = match Client::new(config, credentials, std::sync::Arc::new(NoMonitor)) {
        Ok(client) => client,
        Err(error) => return vec![Check::failed("credential", &error.into())],
    };
    let identity = match client.identity().await {
        Ok(identity) => identity,
        Err(error) => {
            let why = "no token";
            let mut checks = vec![Check::failed("credential", &error.into())];
            checks.push(Check::skipped("token audience", why));
            checks.extend(scopes.iter().map(|scope| Check::skipped("reports", why).of(scope)));
            return checks;
        }
    };
    let mut of_scopes = Vec::new();
    let mut has_answered = false;
    for scope in scopes {
        let right = client.check_right(scope).await;
        let readable = client.check_scope(scope).await;
        has_answered |= is_answer(&right) || is_answer(&readable);
        of_scopes.push(readable_check(scope, readable, &right));
        of_scopes.push(right_check(scope, right, &identity, &endpoints));
    }
    let clock = match has_answered {
        true => clock_check(client.clock_skew()),
        false => Check::skipped("clock", "no answer to compare with"),
    };
    let mut checks = vec![credential_check(&identity, client.clock_skew())];
    checks.push(audience_check(&identity, &endpoints));
    checks.push(clock);
    checks.extend(of_scopes);
    checks
}

/// Whether Azure was heard, whatever it said.
fn is_answer<T>(result: &Result<T, FetchError>) -> bool {
    !matches!(
        result,
        Err(FetchError::Unavailable { status: None, .. }
            | FetchError::Insecure { .. }
            | FetchError::CredentialUnavailable { .. }
            | FetchError::Configuration { .. })
    )
}

fn credential_check(identity: &Identity, skew: TimeDelta) -> Check {
    const NAME: &str = "credential";
    if !identity.is_readable {
        let found = format!("{}: a token that does not say whom it is for", identity.kind);
        return Check::ok(NAME, found);
    }
    let named =
        |name: &str, value: &Option<String>| value.as_ref().map(|value| format!("{name} {value}"));
    let parts = [
        named("user", &identity.user),
        named("application", &identity.application_id),
        named("object", &identity.object_id),
        named("tenant", &identity.tenant_id),
    ];
    let whom = parts.into_iter().flatten().collect::<Vec<_>>().join(", ");
    match identity.expires_at {
        Some(end) if end <= Utc::now() + skew => {
            let failed = Verdict::Failed(ExitCode::Access);
            let found =
                format!("{}: {whom}; the token ended at {}", identity.kind, output::time(end));
            Check::new(NAME, failed, found).hint("fetch a new token")
        }
        Some(end) => {
            let end = output::time(end);
            Check::ok(NAME, format!("{}: {whom}; good until {end}", identity.kind))
        }
        None => Check::ok(NAME, format!("{}: {whom}", identity.kind)),
    }
}

fn audience_check(identity: &Identity, endpoints: &Endpoints) -> Check {
    const NAME: &str = "token audience";
    let Some(audience) = &identity.audience else {
        return Check::skipped(NAME, "the token does not say for which service it is");
    };
    if is_expected(audience, endpoints) {
        return Check::ok(NAME, audience);
    }
    let wanted = endpoints.arm();
    let failed = Verdict::Failed(ExitCode::Access);
    Check::new(NAME, failed, format!("the token is for {audience}, not for {wanted}")).hint(
        "set `cloud`, or `token_scope`, under [azure]; a bearer token has to be asked for this service",
    )
}

/// Whether a token of this audience is for the resource manager. One on this machine is a simulator, which
/// stands for that of public Azure.
fn is_expected(audience: &str, endpoints: &Endpoints) -> bool {
    let plain = |text: &str| text.trim_end_matches('/').to_ascii_lowercase();
    let scope = endpoints.token_scope();
    let mut expected = vec![
        plain(endpoints.arm().as_str()),
        plain(scope.strip_suffix("/.default").unwrap_or(scope)),
        RESOURCE_MANAGER_ID.to_owned(),
    ];
    let is_public = plain(endpoints.arm().as_str()) == "https://management.azure.com";
    if is_public || endpoints.arm().scheme() == "http" {
        expected.push("https://management.azure.com".to_owned());
        expected.push("https://management.core.windows.net".to_owned());
    }
    expected.contains(&plain(audience))
}

fn clock_check(skew: TimeDelta) -> Check {
    const NAME: &str = "clock";
    let seconds = skew.num_seconds().abs();
    let side = if skew < TimeDelta::zero() { "ahead of" } else { "behind" };
    let found = format!("{seconds} s {side} Azure's");
    let check = match skew.abs() {
        skew if skew > HARMFUL_SKEW => Check::new(NAME, Verdict::Failed(ExitCode::Failed), found),
        skew if skew > NOTABLE_SKEW => Check::new(NAME, Verdict::Warning, found),
        _ => return Check::ok(NAME, found),
    };
    check.hint("set this machine's clock, best by NTP: tokens are refused when clocks differ")
}

fn readable_check(
    scope: &Scope,
    readable: Result<Readable, FetchError>,
    right: &Result<Right, FetchError>,
) -> Check {
    const NAME: &str = "scope";
    let reports_work = matches!(right, Ok(Right::Given | Right::ReportMade { .. }));
    let check = match readable {
        Ok(Readable::Yes { display_name: Some(name) }) => Check::ok(NAME, format!("found: {name}")),
        Ok(Readable::Yes { display_name: None }) => Check::ok(NAME, "found"),
        Ok(Readable::NotAsked) => {
            Check::skipped(NAME, "its path does not name the enrollment; see the next line")
        }
        Ok(Readable::NotFound { code }) => {
            let found = format!("Azure does not find it (404{})", after(" ", &code));
            match is_unknown(right) {
                true => Check::new(NAME, Verdict::Failed(ExitCode::Usage), found).hint(WRONG_SCOPE),
                false => {
                    let found = format!("{found}, but knows it where reports are made");
                    Check::new(NAME, Verdict::Warning, found)
                }
            }
        }
        Err(FetchError::Authorization { code, .. }) if reports_work => {
            let found = format!("it may not be looked at{}, but takes reports", after(": ", &code));
            Check::new(NAME, Verdict::Warning, found)
        }
        Err(error) => Check::failed(NAME, &error.into()),
    };
    check.of(scope)
}

/// Whether Azure knows nothing of a scope where reports are made.
fn is_unknown(right: &Result<Right, FetchError>) -> bool {
    matches!(right, Ok(Right::Unclear { status: 404, .. }))
}

fn right_check(
    scope: &Scope,
    right: Result<Right, FetchError>,
    identity: &Identity,
    endpoints: &Endpoints,
) -> Check {
    const NAME: &str = "reports";
    let check = match right {
        Ok(Right::Given) => Check::ok(NAME, "may be made (a request that has to be refused was)"),
        Ok(Right::ReportMade { status }) => {
            let found = format!("may be made; Azure took a wrong request (status {status})");
            Check::new(NAME, Verdict::Warning, found)
                .hint("a report may have been made by this check; nobody waits for it")
        }
        Ok(Right::Unclear { status: 404, code, message }) => {
            let found = format!(
                "Azure does not find the scope (404{}{})",
                after(" ", &code),
                after(": ", &message)
            );
            Check::new(NAME, Verdict::Failed(ExitCode::Usage), found).hint(WRONG_SCOPE)
        }
        Ok(Right::Unclear { status, code, message }) => {
            let found = format!(
                "not known: Azure found another fault (status {status}{}{})",
                after(" ", &code),
                after(": ", &message)
            );
            Check::new(NAME, Verdict::Warning, found).hint("`costlake run` will tell")
        }
        Err(error) => {
            let hint = match &error {
                FetchError::Authorization { code, .. } => {
                    Some(right_hint(scope, code, identity, endpoints))
                }
                _ => None,
            };
            let check = Check::failed(NAME, &error.into());
            Check { hint: hint.or(check.hint), ..check }
        }
    };
    check.of(scope)
}

fn after(separator: &str, text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("{separator}{text}") }
}

/// Which right is missing on a scope, who can give it, and how.
fn right_hint(scope: &Scope, code: &str, identity: &Identity, endpoints: &Endpoints) -> String {
    let is = |known: &str| code.eq_ignore_ascii_case(known);
    if is("AccountCostDisabled") || is("DepartmentCostDisabled") {
        let who = if is("AccountCostDisabled") { "Account owners" } else { "Department admins" };
        return format!(
            "an enterprise administrator must switch on \"{who} can view charges\": Azure portal, Cost \
             Management + Billing, the billing account, Policies"
        );
    }
    if is("IndirectCostDisabled") {
        return "the partner of this enrollment must publish its prices (\"markup\")".to_owned();
    }
    let object = identity.object_id.as_deref().unwrap_or("OBJECT-ID");
    let tenant = identity.tenant_id.as_deref().unwrap_or("TENANT-ID");
    let grant = |role: &str| grant_command(endpoints, scope, role, object, tenant);
    match scope {
        Scope::BillingAccount(_) => format!(
            "the role Enrollment Reader (EnrollmentReader) is missing. An enterprise administrator grants it: {}",
            grant(ENROLLMENT_READER)
        ),
        Scope::EaDepartment { billing_account: Some(_), .. } => format!(
            "the role Department Reader (DepartmentReader) is missing. An enterprise or department \
             administrator grants it: {}",
            grant(DEPARTMENT_READER)
        ),
        Scope::EaDepartment { billing_account: None, .. } => {
            "the role Department Reader (DepartmentReader) is missing. An enterprise or department \
             administrator grants it; with billing_account beside department, this shows the command"
                .to_owned()
        }
        Scope::EnrollmentAccount { .. } => {
            "an enrollment account is read by its account owner, or with the role Enrollment Reader \
             (EnrollmentReader) on the whole enrollment, which an enterprise administrator grants: Azure \
             portal, Cost Management + Billing, the billing account, Access control (IAM)"
                .to_owned()
        }
        Scope::Subscription(_) => format!(
            "the role Cost Management Reader is missing. An Owner or User Access Administrator of the \
             subscription grants it: az role assignment create --assignee-object-id {object} --role \
             \"Cost Management Reader\" --scope {}",
            scope.path()
        ),
    }
}

/// The call that gives a principal a role of the Enterprise Agreement; the portal gives them to users only.
fn grant_command(
    endpoints: &Endpoints,
    scope: &Scope,
    role: &str,
    object: &str,
    tenant: &str,
) -> String {
    let (arm, path) = (endpoints.arm().as_str().trim_end_matches('/'), scope.path());
    let body = json!({ "properties": {
        "principalId": object,
        "principalTenantId": tenant,
        "roleDefinitionId": format!("{path}/billingRoleDefinitions/{role}"),
    }});
    format!(
        "az rest --method put --url \"{arm}{path}/billingRoleAssignments/NEW-GUID?api-version=2019-10-01-preview\" \
         --body '{body}'"
    )
}

/// Writes a small file where the lake keeps objects on their way, reads it back and removes it.
async fn check_destination(location: &str) -> Check {
    const NAME: &str = "destination";
    let (root, is_there) = match Lake::open(location, false).await {
        Ok(lake) => (PathBuf::from(lake.location()), true),
        Err(LakeError::LakeMissing { path }) => (path, false),
        Err(error) => return Check::failed(NAME, &error.into()),
    };
    let folder = existing(&root.join(STAGING));
    let tried = folder.clone();
    let tried = tokio::task::spawn_blocking(move || write_and_read(&tried)).await;
    match tried.map_err(|error| Error::Internal(error.to_string())) {
        Ok(Ok(())) if is_there => Check::ok(NAME, format!("{} can be written", root.display())),
        Ok(Ok(())) => {
            let (root, folder) = (root.display(), folder.display());
            Check::ok(NAME, format!("{root} is not there yet; {folder} can be written"))
        }
        Ok(Err(source)) => {
            let error = Error::File { action: "write into", path: folder, source };
            Check::failed(NAME, &error)
                .hint("the lake is written by whoever runs costlake: check its owner and rights")
        }
        Err(error) => Check::failed(NAME, &error),
    }
}

/// Returns the nearest folder above a path, or the path itself, that is there.
fn existing(path: &Path) -> PathBuf {
    let is_there = |path: &&Path| path.as_os_str().is_empty() || path.is_dir();
    let found = path.ancestors().find(is_there).unwrap_or(Path::new(""));
    if found.as_os_str().is_empty() { PathBuf::from(".") } else { found.to_owned() }
}

fn write_and_read(folder: &Path) -> std::io::Result<()> {
    const CONTENT: &[u8] = b"costlake doctor\n";
    let file = tempfile::Builder::new().prefix(".costlake-doctor-").tempfile_in(folder)?;
    std::fs::write(file.path(), CONTENT)?;
    let read = std::fs::read(file.path())?;
    file.close()?;
    if read == CONTENT {
        Ok(())
    } else {
        Err(std::io::Error::other("what was read is not what was written"))
    }
}

impl Show for Diagnosis {
    fn for_people(&self) -> String {
        let mut text = String::new();
        for check in &self.checks {
            let scope = check.scope.as_ref().map(|scope| format!(" {scope}")).unwrap_or_default();
            let found = output::printable(&check.found);
            let _ = writeln!(text, "{:<8} {}{scope}: {found}", check.verdict.name(), check.name);
            if let Some(hint) = &check.hint {
                let _ = writeln!(text, "         hint: {}", output::printable(hint));
            }
        }
        text
    }

    fn to_json(&self) -> Value {
        let checks: Vec<Value> = self.rows().into_iter().map(output::object).collect();
        json!({ "command": "doctor", "checks": checks, "exit_code": self.exit_code() as u8 })
    }

    fn rows(&self) -> Vec<Row> {
        let row = |check: &Check| {
            [
                ("check", Value::from(check.name)),
                ("scope", Value::from(check.scope.clone())),
                ("verdict", Value::from(check.verdict.name())),
                ("found", Value::from(check.found.clone())),
                ("hint", Value::from(check.hint.clone())),
            ]
            .map(|(name, value)| (name.to_owned(), value))
            .into()
        };
        self.checks.iter().map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_judged_by_their_difference() {
        for (seconds, verdict, found) in [
            (0, "ok", "0 s behind Azure's"),
            (60, "ok", "60 s behind Azure's"),
            (61, "warning", "61 s behind Azure's"),
            (-300, "warning", "300 s ahead of Azure's"),
            (-301, "failed", "301 s ahead of Azure's"),
        ] {
            let check = clock_check(TimeDelta::seconds(seconds));
            assert_eq!((check.verdict.name(), check.found.as_str()), (verdict, found));
        }
    }

    #[test]
    fn audiences_are_those_of_the_cloud() {
        let public = Endpoints::public_azure().unwrap();
        let china = Endpoints::of_cloud("china".parse().unwrap()).unwrap();
        for (audience, of_public, of_china) in [
            ("https://management.azure.com/", true, false),
            ("https://management.core.windows.net", true, false),
            ("https://management.chinacloudapi.cn", false, true),
            (RESOURCE_MANAGER_ID, true, true),
            ("https://graph.microsoft.com", false, false),
        ] {
            assert_eq!(is_expected(audience, &public), of_public, "{audience}");
            assert_eq!(is_expected(audience, &china), of_china, "{audience}");
        }
    }

    #[test]
    fn each_scope_names_its_role_and_who_grants_it() {
        let endpoints = Endpoints::public_azure().unwrap();
        let identity = Identity { object_id: Some("obj".to_owned()), ..Identity::default() };
        let hint = |path: &str, code: &str| {
            right_hint(&path.parse().unwrap(), code, &identity, &endpoints)
        };
        let account = "/providers/Microsoft.Billing/billingAccounts/1";
        for (path, code, texts) in [
            (account, "AuthorizationFailed", ["EnrollmentReader", "\"principalId\":\"obj\""]),
            (
                &format!("{account}/departments/2"),
                "",
                ["DepartmentReader", "/departments/2/billing"],
            ),
            (
                "/providers/Microsoft.Billing/departments/2",
                "",
                ["DepartmentReader", "billing_account"],
            ),
            ("/providers/Microsoft.Billing/enrollmentAccounts/3", "", ["account owner", "IAM"]),
            (
                "/subscriptions/4",
                "RBACAccessDenied",
                ["Cost Management Reader", "--assignee-object-id obj"],
            ),
            (account, "AccountCostDisabled", ["Account owners can view charges", "Policies"]),
            (account, "departmentcostdisabled", ["Department admins can view charges", "Policies"]),
        ] {
            for text in texts {
                assert!(hint(path, code).contains(text), "{text}: {}", hint(path, code));
            }
        }
    }
}
