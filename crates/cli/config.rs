//! The pipeline file, and how it is resolved with flags and environment.
//!
//! Command line, then environment, then file, then default: merged once, here. After that nothing is
//! optional without meaning.

use std::collections::BTreeMap;
use std::num::{NonZeroU16, NonZeroU32, NonZeroU64};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use costlake_fetch::{Config as FetchConfig, Credentials, Secret};
use costlake_model::departments::{Departments, DepartmentsFile};
use costlake_model::rollup::{Definition, SHIPPED};
use costlake_model::{BillingPeriod, Metric, Scope, ScopeSlug};
use costlake_sink::{Lake, Publication};
use costlake_transform::reconcile::{ParsePolicyError, Policy as UnusedPolicy};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::args::{RunArgs, ScopeArgs};
use crate::azure::AzureFile;
use crate::error::Error;
use crate::lifecycle::PuttingInPlace;
use crate::output::hex;
use crate::planner::Policy;
use crate::reconcile::{self, Definitions, Reconciler};
use crate::rollups::Months;

/// A run, with every question answered.
pub(crate) struct Plan {
    /// The scopes, sorted by slug.
    pub scopes: Vec<Scope>,
    /// The months, sorted.
    pub periods: Vec<BillingPeriod>,
    /// The metrics, sorted.
    pub metrics: Vec<Metric>,
    /// The lake.
    pub lake: String,
    /// The rollups to build.
    pub definitions: Vec<Arc<Definition>>,
    /// How months are reconciled at the end, if they are.
    pub reconciliation: Option<Reconciliation>,
    /// Which months are left alone, and which reports are split.
    pub policy: Policy,
    /// How old a report may be to be gone on with.
    pub reuse: TimeDelta,
    /// Reports that are on their way at the same time.
    pub concurrent_reports: usize,
    /// Where blobs lie until their month is published, if not in the lake.
    pub landing: Option<PathBuf>,
}

impl Plan {
    /// The id of what is asked for: runs that ask for the same go on with each other's work.
    pub(crate) fn job(&self) -> String {
        let mut text = String::new();
        let scopes = self.scopes.iter().map(Scope::path);
        let periods = self.periods.iter().map(ToString::to_string);
        let metrics = self.metrics.iter().map(|metric| metric.name().to_owned());
        let definitions = self.definitions.iter().map(|definition| definition.name.clone());
        for part in scopes.chain(periods).chain(metrics).chain(definitions) {
            text.push_str(&part);
            text.push('\n');
        }
        hex(&Sha256::digest(text.as_bytes())[..8])
    }
}

/// How months are reconciled.
pub(crate) struct Reconciliation {
    /// The rollups that it stands on.
    pub definitions: Definitions,
    /// What becomes of unused shares.
    pub policy: Option<UnusedPolicy>,
}

impl Reconciliation {
    /// Reconciles months that were just published, if months are to be reconciled.
    ///
    /// # Errors
    /// The lake, and sums that do not fit.
    pub(crate) async fn after_publishing(
        this: Option<&Self>,
        lake: &Lake,
        publication: &Publication,
        putting: &PuttingInPlace,
        published: &Months,
        now: DateTime<Utc>,
    ) -> Result<Vec<reconcile::Month>, Error> {
        let Some(this) = this else { return Ok(Vec::new()) };
        let reconciler = Reconciler::new(lake, this.definitions.clone(), this.policy, now);
        reconciler.after_publishing(publication, putting, published).await
    }
}

/// A pipeline file as written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PipelineFile {
    azure: Option<AzureFile>,
    #[serde(default, rename = "scope")]
    scopes: Vec<ScopeFile>,
    pull: Option<PullFile>,
    #[serde(default)]
    landing: LandingFile,
    lake: Option<LakeFile>,
    #[serde(default, rename = "rollup")]
    rollups: Vec<RollupFile>,
    departments: Option<DepartmentsFile>,
    #[serde(default)]
    reconcile: ReconcileFile,
    #[serde(skip)]
    directory: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScopeFile {
    billing_account: Option<Value>,
    department: Option<Value>,
    enrollment_account: Option<Value>,
    subscription: Option<Value>,
    path: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PullFile {
    metrics: Option<Vec<String>>,
    periods: Option<Vec<String>>,
    client_type: Option<String>,
    concurrent_requests: Option<NonZeroU16>,
    concurrent_downloads: Option<NonZeroU16>,
    concurrent_reports: Option<NonZeroU16>,
    reuse_hours: Option<u32>,
    settle_pulls: Option<NonZeroU32>,
    settle_days: Option<u32>,
    split_above_rows: Option<NonZeroU64>,
    split_above_bytes: Option<String>,
    retry_attempts: Option<NonZeroU32>,
    retry_seconds: Option<u32>,
    stall_seconds: Option<NonZeroU32>,
    blob_seconds: Option<NonZeroU32>,
    // Up to a minute: more would be no patience but standing still.
    first_backoff_ms: Option<u16>,
    least_wait_ms: Option<u16>,
    report_seconds: Option<NonZeroU32>,
}

impl PullFile {
    fn apply(&self, config: &mut FetchConfig) {
        if let Some(client_type) = &self.client_type {
            config.client_type.clone_from(client_type);
        }
        if let Some(requests) = self.concurrent_requests {
            config.concurrent_requests = requests.into();
        }
        if let Some(downloads) = self.concurrent_downloads {
            config.concurrent_downloads = downloads.into();
        }
        if let Some(attempts) = self.retry_attempts {
            config.retry.attempts = attempts.get();
        }
        if let Some(seconds) = self.retry_seconds {
            config.retry.total = Duration::from_secs(seconds.into());
        }
        let seconds = |seconds: NonZeroU32| Duration::from_secs(u64::from(seconds.get()));
        if let Some(stall) = self.stall_seconds {
            config.timeouts.read = seconds(stall);
            config.timeouts.connect = config.timeouts.connect.min(seconds(stall));
        }
        if let Some(blob) = self.blob_seconds {
            config.timeouts.blob = seconds(blob);
        }
        if let Some(millis) = self.first_backoff_ms {
            config.retry.base_wait = Duration::from_millis(millis.into());
        }
        if let Some(millis) = self.least_wait_ms {
            config.retry.min_asked_wait = Duration::from_millis(millis.into());
        }
        if let Some(report) = self.report_seconds {
            config.poll.deadline = seconds(report);
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LandingFile {
    path: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LakeFile {
    url: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RollupFile {
    shipped: Option<String>,
    definition: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReconcileFile {
    enabled: Option<bool>,
    unused: Option<String>,
}

/// A text, or where to find it.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum Value {
    /// As it is.
    Text(String),
    /// Where it is.
    Reference(Reference),
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reference {
    /// A variable that holds it.
    pub env: Option<String>,
    /// A file that holds it, relative to the pipeline file.
    pub file: Option<PathBuf>,
}

/// A secret: never inline.
#[derive(Clone, Deserialize)]
#[serde(try_from = "Value")]
pub(crate) struct SecretReference(Reference);

impl TryFrom<Value> for SecretReference {
    type Error = &'static str;

    fn try_from(value: Value) -> Result<Self, Self::Error> {
        match value {
            Value::Reference(reference) => Ok(Self(reference)),
            Value::Text(_) => Err(
                "a secret is never written into the file: use { env = \"NAME\" } or { file = \"PATH\" }",
            ),
        }
    }
}

const MEMORY_UNITS: [(&str, u64); 5] =
    [("KB", 1 << 10), ("MB", 1 << 20), ("GB", 1 << 30), ("TB", 1 << 40), ("B", 1)];

impl PipelineFile {
    /// Reads a pipeline file.
    ///
    /// # Errors
    /// If it cannot be read, is no TOML, or has unknown keys or inline secrets.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Error::usage(
                format!("cannot read the pipeline file {}: {error}", path.display()),
                "give a pipeline file with --config, such as pipelines/ea-daily.toml",
            )
        })?;
        let mut file: Self = toml::from_str(&text).map_err(|source| Error::Configuration {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
        file.directory = path.parent().unwrap_or(Path::new("")).to_owned();
        Ok(file)
    }

    /// Reads the pipeline file of a command that needs one.
    ///
    /// # Errors
    /// As for [`Self::read`], and if none is given.
    pub(crate) fn read_given(path: Option<&Path>) -> Result<Self, Error> {
        let path = path.ok_or_else(|| {
            Error::usage(
                "no pipeline file is given",
                "add --config FILE, such as pipelines/ea-daily.toml, or set COSTLAKE_CONFIG",
            )
        })?;
        Self::read(path)
    }

    /// Reads a pipeline file, or takes an empty one where none is given.
    ///
    /// # Errors
    /// As for [`Self::read`].
    pub(crate) fn read_if_given(path: Option<&Path>) -> Result<Self, Error> {
        path.map_or_else(|| Ok(Self::default()), Self::read)
    }

    /// Resolves scopes, months, metrics, lake and rollups. `today` is the UTC day of the start.
    ///
    /// # Errors
    /// What is missing or wrong, with what would do.
    pub(crate) fn plan(&self, args: &RunArgs, today: NaiveDate) -> Result<Plan, Error> {
        let scopes = self.scopes(&args.scopes)?;
        check_scopes(&scopes)?;
        let pull = self.pull.as_ref();
        let periods = match args.periods.as_slice() {
            [] => pull.and_then(|pull| pull.periods.clone()).unwrap_or_default(),
            given => given.to_vec(),
        };
        if periods.is_empty() {
            return Err(Error::usage(
                "no month is given",
                "add --period 2025-07, or periods = [\"last-3-months\"] under [pull]",
            ));
        }
        let metrics = match &args.metric {
            Some(metric) => vec![metric.clone()],
            None => pull
                .and_then(|pull| pull.metrics.clone())
                .unwrap_or_else(|| vec!["both".to_owned()]),
        };
        Ok(Plan {
            scopes,
            periods: parse_periods(&periods, today)?,
            metrics: parse_metrics(&metrics)?,
            lake: self.lake(args.work.lake.as_deref())?,
            definitions: self.definitions_of_run(&args.work.definitions)?,
            reconciliation: self.reconciliation()?,
            policy: self.policy(args.force)?,
            reuse: TimeDelta::hours(i64::from(
                pull.and_then(|pull| pull.reuse_hours).unwrap_or(DEFAULT_REUSE_HOURS),
            )),
            concurrent_reports: pull
                .and_then(|pull| pull.concurrent_reports)
                .map_or(DEFAULT_CONCURRENT_REPORTS, |reports| usize::from(reports.get())),
            landing: self.landing()?,
        })
    }

    fn policy(&self, force: bool) -> Result<Policy, Error> {
        let mut policy = Policy { force, ..Policy::default() };
        let Some(pull) = &self.pull else { return Ok(policy) };
        if let Some(pulls) = pull.settle_pulls {
            policy.settle_pulls = pulls.get();
        }
        if let Some(days) = pull.settle_days {
            policy.settle_for = TimeDelta::days(i64::from(days));
        }
        if let Some(rows) = pull.split_above_rows {
            policy.split_above_rows = rows.get();
        }
        if let Some(bytes) = &pull.split_above_bytes {
            policy.split_above_bytes = parse_bytes(bytes)?;
            if policy.split_above_bytes == 0 {
                return Err(Error::usage("split_above_bytes is 0", "write \"2GB\""));
            }
        }
        Ok(policy)
    }

    fn landing(&self) -> Result<Option<PathBuf>, Error> {
        let path = self.landing.path.as_ref();
        let path = path.map(|path| self.text("landing.path", path)).transpose()?;
        Ok(path.map(PathBuf::from))
    }

    /// The URL of the lake.
    ///
    /// # Errors
    /// If neither flag, environment nor file names one.
    pub(crate) fn lake(&self, given: Option<&str>) -> Result<String, Error> {
        match (given, &self.lake) {
            (Some(given), _) => Ok(given.to_owned()),
            (None, Some(lake)) => self.text("lake.url", &lake.url),
            (None, None) => Err(Error::usage(
                "no lake is given",
                "add --lake DIR, set COSTLAKE_LAKE, or write url under [lake]",
            )),
        }
    }

    /// The rollups to build: those given, by name or file, else those of the file, else all that are shipped.
    ///
    /// # Errors
    /// The definition or the department rule that cannot be used.
    pub(crate) fn definitions(&self, given: &[PathBuf]) -> Result<Vec<Arc<Definition>>, Error> {
        let definitions: Vec<Definition> = match (given, self.rollups.as_slice()) {
            ([], []) => Definition::all_shipped().map_err(internal)?,
            ([], of_file) => {
                of_file.iter().map(|rollup| self.rollup(rollup)).collect::<Result<_, _>>()?
            }
            (given, _) => {
                given.iter().map(|given| given_definition(given)).collect::<Result<_, _>>()?
            }
        };
        let mut names = std::collections::BTreeSet::new();
        if let Some(twice) = definitions.iter().find(|d| !names.insert(d.name.as_str())) {
            return Err(Error::usage(
                format!("two rollups are named {}", twice.name),
                "give each definition a name of its own",
            ));
        }
        self.with_departments(definitions)
    }

    /// The rollups that a run builds: those that are asked for, and those that it reconciles with.
    fn definitions_of_run(&self, given: &[PathBuf]) -> Result<Vec<Arc<Definition>>, Error> {
        let mut definitions = self.definitions(given)?;
        if self.reconciles() {
            let is_new = |other: &Arc<Definition>| {
                definitions.iter().all(|definition| definition.name != other.name)
            };
            let Definitions { of_departments, of_commitments } = self.definitions_of_reconcile()?;
            let needed = of_departments.into_iter().chain(of_commitments);
            let missing: Vec<_> = needed.filter(is_new).collect();
            definitions.extend(missing);
        }
        Ok(definitions)
    }

    /// The rollups that a reconciliation stands on.
    ///
    /// # Errors
    /// The department rule that cannot be used.
    pub(crate) fn definitions_of_reconcile(&self) -> Result<Definitions, Error> {
        let shipped = |names: [&str; 2]| {
            let definitions = names.map(|name| Definition::shipped(name).map_err(internal));
            self.with_departments(definitions.into_iter().collect::<Result<_, _>>()?)
        };
        Ok(Definitions {
            of_departments: shipped(reconcile::OF_DEPARTMENTS)?,
            of_commitments: shipped(reconcile::OF_COMMITMENTS)?,
        })
    }

    /// How months are reconciled at the end, if they are.
    ///
    /// # Errors
    /// The department rule or the policy that cannot be used.
    pub(crate) fn reconciliation(&self) -> Result<Option<Reconciliation>, Error> {
        let of_file = || {
            let definitions = self.definitions_of_reconcile()?;
            Ok(Reconciliation { definitions, policy: self.unused_policy(None)? })
        };
        self.reconciles().then(of_file).transpose()
    }

    /// The same, for commands that build the rollups which are asked for and nothing else.
    ///
    /// # Errors
    /// As for [`Self::reconciliation`].
    pub(crate) fn reconciliation_unless(
        &self,
        given: &[PathBuf],
    ) -> Result<Option<Reconciliation>, Error> {
        if given.is_empty() { self.reconciliation() } else { Ok(None) }
    }

    fn reconciles(&self) -> bool {
        self.reconcile.enabled.unwrap_or(true)
    }

    /// What becomes of unused shares: given, else as the file says, else nothing.
    ///
    /// # Errors
    /// A text that names no policy.
    pub(crate) fn unused_policy(
        &self,
        given: Option<UnusedPolicy>,
    ) -> Result<Option<UnusedPolicy>, Error> {
        let parse = |text: &String| {
            text.parse().map_err(|error: ParsePolicyError| {
                Error::usage(error.to_string(), "see [reconcile] in docs/reconciliation.md")
            })
        };
        match (given, &self.reconcile.unused) {
            (Some(policy), _) => Ok(Some(policy)),
            (None, of_file) => of_file.as_ref().map(parse).transpose(),
        }
    }

    fn rollup(&self, file: &RollupFile) -> Result<Definition, Error> {
        match (&file.shipped, &file.definition) {
            (Some(name), None) => shipped(name),
            (None, Some(path)) => read_definition(&self.directory.join(path)),
            _ => Err(Error::usage(
                "a [[rollup]] needs exactly one of shipped and definition",
                "write shipped = \"department_month\", or definition = \"FILE\"",
            )),
        }
    }

    fn with_departments(
        &self,
        definitions: Vec<Definition>,
    ) -> Result<Vec<Arc<Definition>>, Error> {
        let Some(file) = &self.departments else {
            return Ok(definitions.into_iter().map(Arc::new).collect());
        };
        let departments = Departments::try_from(file.clone()).map_err(|error| {
            Error::usage(error.to_string(), "see [departments] in docs/rollups.md")
        })?;
        let departments = Arc::new(departments);
        let with = |definition: Definition| {
            Arc::new(definition.with_departments(Arc::clone(&departments)))
        };
        Ok(definitions.into_iter().map(with).collect())
    }

    /// The client's configuration and credentials.
    ///
    /// # Errors
    /// What is missing: the section, a variable, a file.
    pub(crate) fn azure(&self) -> Result<(FetchConfig, Credentials), Error> {
        let azure = self.azure.as_ref().ok_or_else(|| {
            Error::usage("the pipeline file has no [azure] section", "see pipelines/ea-daily.toml")
        })?;
        let mut config = FetchConfig::new(azure.endpoints(self)?);
        if let Some(pull) = &self.pull {
            pull.apply(&mut config);
        }
        Ok((config, azure.credentials(self)?))
    }

    /// The scopes that are given, else those of the file.
    ///
    /// # Errors
    /// What is no scope, or that there is none.
    pub(crate) fn scopes(&self, args: &ScopeArgs) -> Result<Vec<Scope>, Error> {
        let given = scopes_of_args(args)?;
        let mut scopes = match given.is_empty() {
            false => given,
            true => self.scopes.iter().map(|scope| self.scope(scope)).collect::<Result<_, _>>()?,
        };
        scopes.sort_by_key(Scope::slug);
        if scopes.is_empty() {
            return Err(Error::usage(
                "no scope is given",
                "add --billing-account NUMBER, or a [[scope]] section to the pipeline file",
            ));
        }
        Ok(scopes)
    }

    fn scope(&self, file: &ScopeFile) -> Result<Scope, Error> {
        let text = |key: &str, value: &Option<Value>| {
            value.as_ref().map(|value| self.text(&format!("scope.{key}"), value)).transpose()
        };
        let account = text("billing_account", &file.billing_account)?;
        let account = account.as_deref();
        let department = text("department", &file.department)?;
        let enrollment_account = text("enrollment_account", &file.enrollment_account)?;
        let subscription = text("subscription", &file.subscription)?;
        let path = text("path", &file.path)?;
        let scope = match (account, department, enrollment_account, subscription, path) {
            (Some(account), None, None, None, None) => Scope::billing_account(account),
            (account, Some(id), None, None, None) => Scope::department(account, &id),
            (account, None, Some(id), None, None) => Scope::enrollment_account(account, &id),
            (None, None, None, Some(id), None) => Scope::subscription(&id),
            (None, None, None, None, Some(path)) => path.parse(),
            _ => {
                return Err(Error::usage(
                    "a [[scope]] names no scope, or several",
                    "name one of billing_account, department, enrollment_account, subscription, path",
                ));
            }
        };
        scope.map_err(|error| Error::usage(error.to_string(), "see [[scope]] in the pipeline file"))
    }

    /// A path, from the folder of the pipeline file.
    pub(crate) fn beside(&self, path: &Path) -> PathBuf {
        self.directory.join(path)
    }

    /// A value, wherever it is.
    ///
    /// # Errors
    /// A variable that is not set, or a file that cannot be read.
    pub(crate) fn text(&self, key: &str, value: &Value) -> Result<String, Error> {
        match value {
            Value::Text(text) => Ok(text.clone()),
            Value::Reference(reference) => self.referred(key, reference),
        }
    }

    /// A secret.
    ///
    /// # Errors
    /// As for [`Self::text`].
    pub(crate) fn secret(&self, key: &str, reference: &SecretReference) -> Result<Secret, Error> {
        self.referred(key, &reference.0).map(Secret::new)
    }

    fn referred(&self, key: &str, reference: &Reference) -> Result<String, Error> {
        match (&reference.env, &reference.file) {
            (Some(variable), None) => {
                std::env::var(variable).ok().filter(|value| !value.is_empty()).ok_or_else(|| {
                    Error::usage(
                        format!(
                            "{key} refers to the environment variable {variable}, which is not set"
                        ),
                        format!("set {variable} before the call"),
                    )
                })
            }
            (None, Some(file)) => {
                let path = self.directory.join(file);
                let text = std::fs::read_to_string(&path);
                text.map(|text| text.trim_end().to_owned()).map_err(|source| Error::File {
                    action: "read",
                    path,
                    source,
                })
            }
            _ => Err(Error::usage(
                format!("{key} needs exactly one of env and file"),
                "write { env = \"NAME\" } or { file = \"PATH\" }",
            )),
        }
    }
}

/// Shipped definitions are part of the program: that one is wrong does not happen.
fn internal(error: costlake_model::rollup::Error) -> Error {
    Error::Internal(error.to_string())
}

fn shipped(name: &str) -> Result<Definition, Error> {
    Definition::shipped(name)
        .map_err(|error| Error::usage(error.to_string(), "see docs/rollups.md"))
}

/// A definition as `--definition` gives it: the name of a shipped one, or a file.
fn given_definition(given: &Path) -> Result<Definition, Error> {
    let name = given.to_str().filter(|name| SHIPPED.iter().any(|(shipped, _)| shipped == name));
    match name {
        Some(name) if !given.is_file() => shipped(name),
        _ => read_definition(given),
    }
}

fn read_definition(path: &Path) -> Result<Definition, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| {
        let names: Vec<&str> = SHIPPED.iter().map(|(name, _)| *name).collect();
        Error::usage(
            format!("cannot read the rollup definition {}: {source}", path.display()),
            format!("give a file, or the name of a shipped rollup: {}", names.join(", ")),
        )
    })?;
    let wrong = |source: costlake_model::rollup::Error| Error::Configuration {
        path: path.to_owned(),
        source: Box::new(source),
    };
    let definition = Definition::parse(&text).map_err(wrong)?;
    // Whoever reads a table by its name relies on what is shipped under it.
    let is_other = |(name, _): &(&str, &str)| {
        *name == definition.name
            && Definition::shipped(name).map_or(true, |shipped| shipped != definition)
    };
    if SHIPPED.iter().any(is_other) {
        return Err(wrong(costlake_model::rollup::Error::NameTaken { found: definition.name }));
    }
    Ok(definition)
}

fn scopes_of_args(args: &ScopeArgs) -> Result<Vec<Scope>, Error> {
    // With a department or account, the enrollment is part of their path, not a scope of its own.
    let children = args.department.len() + args.enrollment_account.len();
    let account = match (args.billing_account.as_slice(), children) {
        ([account], 1..) => Some(account.as_str()),
        (_, 0) | ([], _) => None,
        _ => {
            return Err(Error::usage(
                "departments of several enrollments cannot be told apart",
                "give each as --scope /providers/Microsoft.Billing/billingAccounts/…/departments/…",
            ));
        }
    };
    let accounts = args.billing_account.iter().filter(|_| children == 0);
    let scopes = accounts
        .map(|id| Scope::billing_account(id))
        .chain(args.department.iter().map(|id| Scope::department(account, id)))
        .chain(args.enrollment_account.iter().map(|id| Scope::enrollment_account(account, id)))
        .chain(args.subscription.iter().map(|id| Scope::subscription(id)))
        .chain(args.paths.iter().map(|path| path.parse()));
    scopes
        .map(|scope| {
            scope.map_err(|error| Error::usage(error.to_string(), "see `costlake run --help`"))
        })
        .collect()
}

/// Refuses scopes whose rows could overlap: sums over them would count charges twice.
fn check_scopes(scopes: &[Scope]) -> Result<(), Error> {
    let mut slugs: BTreeMap<ScopeSlug, &Scope> = BTreeMap::new();
    for scope in scopes {
        if let Some(other) = slugs.insert(scope.slug(), scope) {
            return Err(Error::usage(
                format!("{scope} and {other} are the same partition of the lake"),
                "give each scope once",
            ));
        }
    }
    let level = |scope: &Scope| match scope {
        Scope::BillingAccount(_) => "an enrollment",
        Scope::EaDepartment { .. } => "a department",
        Scope::EnrollmentAccount { .. } => "an enrollment account",
        Scope::Subscription(_) => "a subscription",
    };
    let levels: std::collections::BTreeSet<&str> = scopes.iter().map(level).collect();
    match levels.into_iter().collect::<Vec<_>>().as_slice() {
        [first, second, ..] => Err(Error::usage(
            format!(
                "scopes may overlap: {first} can contain {second}, and its charges would count twice"
            ),
            "pull them into lakes of their own",
        )),
        _ => Ok(()),
    }
}

/// Reads metrics: `actual`, `amortized`, Azure's spellings, or `both`.
///
/// # Errors
/// The text that is none.
pub(crate) fn parse_metrics(texts: &[String]) -> Result<Vec<Metric>, Error> {
    let mut metrics = Vec::new();
    for text in texts {
        match text.as_str() {
            "both" => metrics.extend(Metric::ALL),
            text => metrics.push(text.parse::<Metric>().map_err(|error| {
                Error::usage(error.to_string(), "write actual, amortized or both")
            })?),
        }
    }
    metrics.sort_unstable();
    metrics.dedup();
    if metrics.is_empty() {
        return Err(Error::usage("no metric is given", "write metrics = [\"both\"]"));
    }
    Ok(metrics)
}

/// Reads months: `2025-07`, `2025-01..2025-07`, `open`, `last-month`, `last-N-months` (the open month
/// included).
///
/// # Errors
/// The text that is none, or a range that ends before it starts.
pub(crate) fn parse_periods(
    texts: &[String],
    today: NaiveDate,
) -> Result<Vec<BillingPeriod>, Error> {
    let open = BillingPeriod::of(today);
    let mut periods = Vec::new();
    for text in texts {
        let (first, last) = match text.as_str() {
            "open" => (open, open),
            "last-month" => (open.previous(), open.previous()),
            text => match last_months(text) {
                Some(months) => (open.plus_months(1 - months), open),
                None => parse_range(text)?,
            },
        };
        let months = std::iter::successors(Some(first), |period| Some(period.next()));
        periods.extend(months.take_while(|period| *period <= last).take(MAX_MONTHS));
    }
    periods.sort_unstable();
    periods.dedup();
    Ok(periods)
}

fn last_months(text: &str) -> Option<i32> {
    let months = text.strip_prefix("last-")?.strip_suffix("-months")?.parse().ok()?;
    (1..=120).contains(&months).then_some(months)
}

fn parse_range(text: &str) -> Result<(BillingPeriod, BillingPeriod), Error> {
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    let parse = |text: &str| {
        text.parse::<BillingPeriod>().map_err(|error| {
            Error::usage(
                error.to_string(),
                "write 2025-07, 2025-01..2025-07, open, last-month or last-3-months",
            )
        })
    };
    let (first, last) = (parse(first)?, parse(last)?);
    if first.plus_months(600) <= last {
        return Err(Error::usage(
            format!("the range {text} has more than {MAX_MONTHS} months"),
            "ask for fewer at a time",
        ));
    }
    if first > last {
        return Err(Error::usage(
            format!("the range {text} ends before it starts"),
            format!("write {last}..{first}"),
        ));
    }
    Ok((first, last))
}

/// Reads a size such as `512MB`, in units of 1024.
///
/// # Errors
/// If it is none.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, Error> {
    let upper = text.trim().to_ascii_uppercase();
    let (digits, unit) = MEMORY_UNITS
        .into_iter()
        .find_map(|(suffix, unit)| upper.strip_suffix(suffix).map(|digits| (digits, unit)))
        .unwrap_or((&upper, 1));
    let value = digits.trim().parse::<u64>().ok().and_then(|value| value.checked_mul(unit));
    value.ok_or_else(|| Error::usage(format!("`{text}` is no size"), "write 512MB or 1GB"))
}

/// Azure refreshes its data every four hours: what was asked for not much longer ago is as good as new.
const DEFAULT_REUSE_HOURS: u32 = 6;

/// Reports on their way at the same time, unless the file says otherwise.
const DEFAULT_CONCURRENT_REPORTS: usize = 6;

/// The longest range of months.
const MAX_MONTHS: usize = 600;

/// The longest look-back of the Cost Details API (`azure-apis.md`, 1).
pub(crate) const MAX_LOOK_BACK: TimeDelta = TimeDelta::days(13 * 31);

#[cfg(test)]
mod tests {
    use super::*;

    fn periods(texts: &[&str]) -> Result<Vec<String>, Error> {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        let today = NaiveDate::from_ymd_opt(2025, 7, 9).unwrap();
        Ok(parse_periods(&texts, today)?.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn periods_are_months_ranges_and_relative() {
        assert_eq!(periods(&["2025-01", "2024-12..2025-01"]).unwrap(), ["2024-12", "2025-01"]);
        assert_eq!(periods(&["open"]).unwrap(), ["2025-07"]);
        assert_eq!(periods(&["last-month"]).unwrap(), ["2025-06"]);
        assert_eq!(periods(&["last-2-months"]).unwrap(), ["2025-06", "2025-07"]);
        for wrong in ["2025", "2025-07..2025-01", "last-0-months", "next-month", ""] {
            assert!(periods(&[wrong]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(parse_bytes("512MB").unwrap(), 512 << 20);
        assert_eq!(parse_bytes("1gb").unwrap(), 1 << 30);
        assert_eq!(parse_bytes("77").unwrap(), 77);
        assert!(parse_bytes("many").is_err());
    }

    #[test]
    fn overlapping_scopes_are_refused() {
        let scope = |path: &str| path.parse::<Scope>().unwrap();
        let account = scope("/providers/Microsoft.Billing/billingAccounts/1");
        let department = scope("/providers/Microsoft.Billing/departments/2");
        assert!(check_scopes(&[account.clone(), department.clone()]).is_err());
        assert!(check_scopes(&[account.clone(), account]).is_err());
        assert!(
            check_scopes(&[department, scope("/providers/Microsoft.Billing/departments/3")])
                .is_ok()
        );
    }

    #[test]
    fn inline_secrets_and_unknown_keys_are_refused() {
        let inline = "[azure.auth]\nkind = \"bearer-token\"\ntoken = \"abc\"";
        let error = toml::from_str::<PipelineFile>(inline).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("never written into the file"), "{error}");
        assert!(toml::from_str::<PipelineFile>("[pull]\nmetric = 1").is_err());
    }
}
