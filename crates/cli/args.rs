//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use costlake_sim::server::DEFAULT_MONTHS_BACK;
use costlake_transform::reconcile::Policy;

use crate::contract::Contract;
use crate::ingest::Limits;

/// Azure Enterprise Agreement cost reports as typed, partitioned Parquet, exact to the last digit.
#[derive(Debug, Parser)]
#[command(
    name = "costlake",
    version,
    max_term_width = 100,
    after_help = "Exit codes: 0 done, 1 failed, 2 usage, 3 rights, 4 try later, 5 data check failed, 8 rows quarantined, 9 run again, 130 interrupted."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub common: Common,
}

/// Flags of every command.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// How results are printed on stdout.
    #[arg(short, long, global = true, value_enum, default_value_t = OutputFormat::Table)]
    pub output: OutputFormat,
    /// How log lines are written on stderr.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, env = "COSTLAKE_LOG_FORMAT")]
    pub log_format: LogFormat,
    /// Shows more on stderr; twice for all.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Shows errors only.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// How progress is shown on stderr.
    #[arg(long, global = true, value_enum, default_value_t = ProgressMode::Auto, env = "COSTLAKE_PROGRESS")]
    pub progress: ProgressMode,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// For people; amounts are rounded to two digits.
    Table,
    /// One JSON document; amounts are exact texts.
    Json,
    /// One JSON object per row.
    Ndjson,
    /// Comma-separated values with a header.
    Csv,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressMode {
    /// Bars on a terminal, else lines.
    Auto,
    /// Lines.
    Plain,
    /// Nothing.
    None,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Pull, convert, publish and roll up; print the department table.
    Run(RunArgs),
    /// Show what `run` would do; change nothing.
    Plan(RunArgs),
    /// Try sign-in, rights and destination, and say how to mend what fails; make no report.
    Doctor(DoctorArgs),
    /// Convert cost files that are already there; needs no Azure.
    Convert(ConvertArgs),
    /// Compute rollups of months that are in the lake, and publish them.
    Rollup(RollupArgs),
    /// Explain why actual and amortized costs differ, per department and per commitment.
    Reconcile(ReconcileArgs),
    /// Show what the lake holds.
    Status(LakeArgs),
    /// Re-read every published object and prove it against its manifest.
    Verify(LakeArgs),
    /// Run a local Azure, or generate cost files.
    Simulate(SimulateArgs),
    /// Print the schema of a table, or what the header of a file maps to.
    Schema(SchemaArgs),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Which reports, and where to.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The pipeline file.
    #[arg(short, long, env = "COSTLAKE_CONFIG")]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub scopes: ScopeArgs,
    /// Months: 2025-07, 2025-01..2025-07, open, last-month, last-N-months. Replaces those of the file.
    #[arg(long = "period", value_name = "PERIOD", env = "COSTLAKE_PERIOD", value_delimiter = ',')]
    pub periods: Vec<String>,
    /// actual, amortized or both. Replaces those of the file.
    #[arg(long = "metric", value_name = "METRIC", env = "COSTLAKE_METRIC")]
    pub metric: Option<String>,
    /// Pulls every month, also those that have settled, and goes on with no report of an earlier run.
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub work: WorkArgs,
}

/// What to try.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// The pipeline file.
    #[arg(short, long, env = "COSTLAKE_CONFIG")]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub scopes: ScopeArgs,
    /// The lake: a folder or a file:// URL.
    #[arg(long, value_name = "URL", env = "COSTLAKE_LAKE")]
    pub lake: Option<String>,
}

/// Scopes; given ones replace those of the pipeline file.
#[derive(Debug, Args)]
pub(crate) struct ScopeArgs {
    /// An enrollment, by its number.
    #[arg(long, value_name = "NUMBER")]
    pub billing_account: Vec<String>,
    /// A department, by its id.
    #[arg(long, value_name = "ID")]
    pub department: Vec<String>,
    /// An enrollment account, by its id.
    #[arg(long, value_name = "ID")]
    pub enrollment_account: Vec<String>,
    /// A subscription, by its GUID.
    #[arg(long, value_name = "GUID")]
    pub subscription: Vec<String>,
    /// A scope, by its resource path.
    #[arg(long = "scope", value_name = "PATH")]
    pub paths: Vec<String>,
}

/// How to work, for commands that publish.
#[derive(Debug, Args)]
pub(crate) struct WorkArgs {
    /// The lake: a folder or a file:// URL.
    #[arg(long, value_name = "URL", env = "COSTLAKE_LAKE")]
    pub lake: Option<String>,
    /// A rollup to build: a shipped one by its name, or a file; may be given several times. Replaces those of the
    /// pipeline file.
    #[arg(long = "definition", value_name = "NAME|FILE")]
    pub definitions: Vec<PathBuf>,
    /// Writes the result as JSON into a file.
    #[arg(long, value_name = "FILE")]
    pub result_file: Option<PathBuf>,
    /// Threads that decode and encode; all cores by default. The output does not depend on it.
    #[arg(long, value_name = "N", env = "COSTLAKE_JOBS")]
    pub jobs: Option<std::num::NonZeroUsize>,
    /// About how much memory to use, such as 256MB or 1GB; at least 160MB. Rows with much text take more.
    #[arg(long, value_name = "SIZE", default_value = "512MB", env = "COSTLAKE_MEMORY_LIMIT")]
    pub memory_limit: String,
    /// Publishes nothing of a report of which more rows than this go to quarantine.
    #[arg(long, value_name = "ROWS")]
    pub max_quarantined: Option<u64>,
    /// Refuses values that must be rounded to be stored.
    #[arg(long)]
    pub strict_decimals: bool,
    /// What becomes of a report whose columns are not those of the last published month.
    #[arg(long, value_enum, default_value_t, env = "COSTLAKE_CONTRACT")]
    pub contract: Contract,
}

impl WorkArgs {
    /// What keeps a report from being published.
    pub(crate) fn limits(&self) -> Limits {
        Limits { strict_decimals: self.strict_decimals, max_quarantined: self.max_quarantined }
    }
}

/// Which files, and where to.
#[derive(Debug, Args)]
pub(crate) struct ConvertArgs {
    /// Cost files: CSV, plain, gzipped or in zip archives, and Parquet; folders of them; patterns, in quotes; URLs
    /// such as az://container/folder. A folder with an export manifest.json is one report, with its metric, period
    /// and scope.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// The pipeline file: of it, the lake, the rollups and the departments.
    #[arg(short, long, env = "COSTLAKE_CONFIG")]
    pub config: Option<PathBuf>,
    /// actual or amortized, for files without a manifest. FOCUS files show both; of them it takes one, or both.
    #[arg(long, value_name = "METRIC")]
    pub metric: Option<String>,
    /// The month of the bill, for files without a manifest; else from the rows, if all agree.
    #[arg(long, value_name = "PERIOD")]
    pub period: Option<String>,
    /// The name of the scope, for files without a manifest; else from the rows, if all agree.
    #[arg(long, value_name = "NAME")]
    pub scope_name: Option<String>,
    /// The billing currency, for files that have no such column.
    #[arg(long, value_name = "CODE")]
    pub currency: Option<String>,
    #[command(flatten)]
    pub work: WorkArgs,
}

/// Which lake, and which part of it.
#[derive(Debug, Args)]
pub(crate) struct LakeArgs {
    /// The lake: a folder or a file:// URL.
    #[arg(long, value_name = "URL", env = "COSTLAKE_LAKE")]
    pub lake: Option<String>,
    /// The pipeline file: of it, the lake and, where it matters, rollups, departments and policy.
    #[arg(short, long, env = "COSTLAKE_CONFIG")]
    pub config: Option<PathBuf>,
    /// Only these months: 2025-07, 2025-01..2025-07, open, last-month, last-N-months.
    #[arg(long = "period", value_name = "PERIOD", value_delimiter = ',')]
    pub periods: Vec<String>,
}

/// Which rollups, of which lake.
#[derive(Debug, Args)]
pub(crate) struct RollupArgs {
    #[command(flatten)]
    pub lake: LakeArgs,
    /// A rollup to compute: a shipped one by its name, or a file; may be given several times. Replaces those of the
    /// pipeline file.
    #[arg(long = "definition", value_name = "NAME|FILE")]
    pub definitions: Vec<PathBuf>,
    /// Writes the result as JSON into a file.
    #[arg(long, value_name = "FILE")]
    pub result_file: Option<PathBuf>,
}

/// What to reconcile, and how.
#[derive(Debug, Args)]
pub(crate) struct ReconcileArgs {
    #[command(flatten)]
    pub lake: LakeArgs,
    /// Shares unused commitment back: `owner`, to the departments that bought it; `by-usage`, to those that used
    /// it; `central`, to nobody. Replaces that of the pipeline file.
    #[arg(long, value_name = "POLICY")]
    pub unused: Option<Policy>,
    /// A second lake, with the scopes of departments: shows what only the enrollment has.
    #[arg(long, value_name = "URL")]
    pub department_lake: Option<String>,
    /// Ends well even if the two reports differ in more than commitments.
    #[arg(long)]
    pub allow_other: bool,
    /// Shows, and publishes nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Writes the result as JSON into a file.
    #[arg(long, value_name = "FILE")]
    pub result_file: Option<PathBuf>,
}

/// A local Azure.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct SimulateArgs {
    #[command(subcommand)]
    pub command: Option<SimulateCommand>,
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Writes endpoints and credentials into a file, once ready.
    #[arg(long, value_name = "FILE")]
    pub env_file: Option<PathBuf>,
    /// Polls that are answered with "not yet".
    #[arg(long, default_value_t = 2)]
    pub polls: u32,
    /// Seconds that Retry-After asks for.
    #[arg(long, default_value_t = 1)]
    pub retry_after: u32,
    /// Blobs per report.
    #[arg(long, default_value_t = 3)]
    pub blobs: usize,
    /// Seconds until links expire.
    #[arg(long, default_value_t = 3600)]
    pub link_lifetime: u64,
    /// Usage rows of a whole month.
    #[arg(long, default_value_t = 6000)]
    pub rows_per_month: u64,
    /// Leaves no month open: all are whole, as `generate` writes them.
    #[arg(long)]
    pub closed: bool,
    /// Renders all months before answering and keeps them in memory, to measure what downloads them.
    #[arg(long)]
    pub prerender: bool,
    /// What goes wrong, and when: a JSON list, see docs/simulator.md.
    #[arg(long, value_name = "FILE")]
    pub faults: Option<PathBuf>,
    /// Requests and polls allowed per scope and window; without limit by default.
    #[arg(long, value_name = "N")]
    pub entity_quota: Option<u32>,
    /// Requests and polls allowed over all scopes per window; without limit by default.
    #[arg(long, value_name = "N")]
    pub tenant_quota: Option<u32>,
    /// Length of a window.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub quota_seconds: u64,
    /// Reports with more rows fail, as those that take Azure too long.
    #[arg(long, value_name = "N")]
    pub most_rows: Option<u64>,
    /// How many months before the open one a report may start.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_MONTHS_BACK)]
    pub months_back: u32,
    /// The certificate, in PEM, with whose key a client may sign in.
    #[arg(long, value_name = "FILE")]
    pub client_certificate: Option<PathBuf>,
    /// Seconds until tokens expire.
    #[arg(long, value_name = "SECONDS", default_value_t = 3599)]
    pub token_lifetime: u64,
    /// Forbids everything but signing in, as for a client without a role.
    #[arg(long)]
    pub no_role: bool,
    /// How far the clock of the server is ahead; negative if it is behind.
    #[arg(long, value_name = "SECONDS", default_value_t = 0, allow_negative_numbers = true)]
    pub clock_skew: i64,
    #[command(flatten)]
    pub enrollment: EnrollmentArgs,
}

/// The simulated enrollment.
#[derive(Clone, Debug, Args)]
pub(crate) struct EnrollmentArgs {
    /// Chooses names, prices and quantities.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The first month with data.
    #[arg(long, default_value = "2025-05")]
    pub first_month: String,
    /// Months with data.
    #[arg(long, default_value_t = 3)]
    pub months: u32,
    /// The billing currency.
    #[arg(long, default_value = "EUR")]
    pub currency: String,
    /// How the rows of a file follow each other: day by day, or shuffled.
    #[arg(long, value_enum, default_value_t)]
    pub row_order: RowOrder,
}

/// How the rows of a simulated file follow each other.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum RowOrder {
    /// Day by day; within a day, resource by resource.
    #[default]
    Source,
    /// Shuffled, by the seed; the rows are the same.
    Random,
}

/// What else the simulator does.
#[derive(Debug, Subcommand)]
pub(crate) enum SimulateCommand {
    /// Write the cost files of the simulated enrollment.
    Generate {
        /// Rows per metric, over all months.
        #[arg(long)]
        rows: u64,
        /// The folder to write into.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Files per metric and month.
        #[arg(long, default_value_t = 3)]
        blobs: usize,
        #[command(flatten)]
        enrollment: EnrollmentArgs,
    },
}

/// Which schema.
#[derive(Debug, Args)]
pub(crate) struct SchemaArgs {
    /// A table (cost_line_items, quarantine, a shipped rollup, reconciliation, commitment_reconciliation) or a cost file.
    #[arg(default_value = "cost_line_items", value_name = "TABLE|FILE")]
    pub subject: String,
    /// The billing currency, for a file that has no such column.
    #[arg(long, value_name = "CODE")]
    pub currency: Option<String>,
}
