//! What can go wrong, in one type, and the one place that renders it for people.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use chrono::NaiveDate;
use costlake_fetch as fetch;
use costlake_model::ledger::Imbalance;
use costlake_model::rollup::Error as RollupError;
use costlake_model::{BillingPeriod, TimePeriod};
use costlake_sink as sink;
use costlake_transform as transform;

use crate::exit::ExitCode;
use crate::inputs::{Failure, FailureKind};
use crate::output;

/// An error of the program, with what the user can do about it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Wrong usage or configuration.
    #[error("{message}")]
    Usage {
        /// What is wrong.
        message: String,
        /// What would be right.
        hint: Option<String>,
    },
    /// A pipeline or rollup file that cannot be used.
    #[error("{} cannot be used", path.display())]
    Configuration {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A local file that cannot be read or written.
    #[error("cannot {action} {}", path.display())]
    File {
        /// Read, write, create.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A store that does not give what lies in it.
    #[error("cannot {action} {place}")]
    Store {
        /// Find, list, read.
        action: &'static str,
        /// The URL, without secrets.
        place: String,
        /// Why.
        source: Failure,
    },
    /// A cost file that is refused whole.
    #[error("{file}")]
    Refused {
        /// The file or blob.
        file: String,
        /// Why.
        source: transform::Error,
    },
    /// A cost file that breaks off or is not what its manifest says.
    #[error("{file}: {problem}")]
    Damaged {
        /// The file or blob.
        file: String,
        /// What is wrong.
        problem: String,
    },
    /// A cost file in a form that is not read.
    #[error("{file}: {problem}")]
    Unsupported {
        /// The file or blob.
        file: String,
        /// What is not read.
        problem: String,
    },
    /// A report with rows of another month.
    #[error("{report}: some rows belong to the billing period {month}")]
    OtherMonth {
        /// The report.
        report: String,
        /// The month of the rows.
        month: String,
    },
    /// A part of a month with charges of other days.
    #[error("{file}: asked for the days {days}, it has a charge of {day}")]
    OtherDays {
        /// The blob.
        file: String,
        /// The days of the part.
        days: TimePeriod,
        /// A day that is none of them.
        day: NaiveDate,
    },
    /// A report beyond a limit that was set.
    #[error("{report}: {problem}")]
    BeyondLimit {
        /// The report.
        report: String,
        /// Which limit, and how far.
        problem: String,
    },
    /// A FOCUS file where none is expected, or the other way about.
    #[error(
        "{file}: expected {expected}, as in the other files or as its manifest says; found {found}"
    )]
    OtherNaming {
        /// The file.
        file: String,
        /// Whose names were expected.
        expected: &'static str,
        /// Whose names it has.
        found: &'static str,
    },
    /// A report whose columns are not those that were agreed on.
    #[error("{report}: {problem}")]
    Contract {
        /// The report.
        report: String,
        /// What changed.
        problem: String,
    },
    /// Rows or money in are not rows or money out.
    #[error("{report}: the account does not balance")]
    Conservation {
        /// The report.
        report: String,
        /// The figure.
        source: Imbalance,
    },
    /// A rollup that could not be computed or differs from its control sums.
    #[error("{0}")]
    Rollup(transform::Error),
    /// Anything about a report.
    #[error("{report}")]
    Report {
        /// Scope, period and metric.
        report: String,
        /// What.
        source: Box<Error>,
    },
    /// Azure has data for one metric but not for the other.
    #[error("{report}: no data, although {other} has {rows} rows")]
    MetricMissing {
        /// The report without data.
        report: String,
        /// The other metric.
        other: &'static str,
        /// Its rows.
        rows: u64,
    },
    /// Azure has data for some days of a month but not for others.
    #[error("{report}: no data for the days {days}, although those of {other} have some")]
    PartMissing {
        /// The part without data.
        report: String,
        /// Its days.
        days: TimePeriod,
        /// Days with data.
        other: TimePeriod,
    },
    /// Another run is at work on the lake.
    #[error("another run is at work on {lake}")]
    Locked {
        /// The lake.
        lake: String,
    },
    /// A report came back empty although the lake holds rows of it.
    #[error("{report}: no data, although the lake holds {rows} rows of it")]
    Vanished {
        /// The report.
        report: String,
        /// What the lake holds.
        rows: u64,
    },
    /// Several reports failed, each for itself.
    #[error("{} reports failed", .0.len())]
    Several(Vec<Error>),
    /// A month that the lake does not have.
    #[error("{lake} has no line items of {period}")]
    MonthMissing {
        /// The lake.
        lake: String,
        /// The month.
        period: BillingPeriod,
    },
    /// Rollups by the department rules of a pipeline file that is not given now.
    #[error("the departments of {period} are by the rules of a pipeline file, which is not given")]
    OtherDepartments {
        /// The month.
        period: BillingPeriod,
    },
    /// Tables of the lake that cannot be reconciled.
    #[error("cannot reconcile")]
    Reconcile(#[from] transform::reconcile::Error),
    /// Sums that are not what they must be.
    #[error("{} cannot be reconciled: sums differ from the line items, or have no cause", output::counted(*months, "month"))]
    Residual {
        /// How many months.
        months: usize,
    },
    /// Months of which only one metric is in the lake.
    #[error("{} cannot be reconciled: the lake has one metric only", output::counted(*months, "month"))]
    MetricUnknown {
        /// How many months.
        months: usize,
    },
    /// The two reports differ in more than commitments.
    #[error("actual and amortized differ in more than commitments in {}", output::counted(*months, "month"))]
    OtherDifference {
        /// How many months.
        months: usize,
    },
    /// Some objects of the lake are not what their manifests say.
    #[error("{damaged} of {checked} objects are not what their manifests say")]
    Unproven {
        /// Objects with findings.
        damaged: usize,
        /// Objects looked at.
        checked: usize,
    },
    /// Fetching failed.
    #[error(transparent)]
    Fetch(#[from] fetch::Error),
    /// The lake failed.
    #[error(transparent)]
    Lake(#[from] sink::Error),
    /// The simulator failed.
    #[error("the simulator failed")]
    Simulator(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// An error of costlake itself.
    #[error("internal error: {0}")]
    Internal(String),
    /// Stopped by Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// Nobody reads the output any more.
    #[error("the output was closed")]
    OutputClosed,
}

impl Error {
    /// Wrong usage, with a hint.
    pub(crate) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), hint: Some(hint.into()) }
    }

    /// The exit code.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage { .. }
            | Self::Configuration { .. }
            | Self::MonthMissing { .. }
            | Self::OtherDepartments { .. } => ExitCode::Usage,
            Self::File { .. } | Self::Simulator(_) | Self::Internal(_) => ExitCode::Failed,
            Self::Store { source, .. } => match source.kind {
                FailureKind::Missing => ExitCode::Usage,
                FailureKind::Access => ExitCode::Access,
                FailureKind::Busy => ExitCode::Busy,
                FailureKind::Changed => ExitCode::Conflict,
                FailureKind::Failed => ExitCode::Failed,
            },
            Self::Refused { .. }
            | Self::Damaged { .. }
            | Self::Unsupported { .. }
            | Self::BeyondLimit { .. }
            | Self::Contract { .. }
            | Self::OtherNaming { .. }
            | Self::OtherMonth { .. }
            | Self::OtherDays { .. }
            | Self::Conservation { .. }
            | Self::Rollup(_)
            | Self::MetricMissing { .. }
            | Self::PartMissing { .. }
            | Self::Vanished { .. }
            | Self::Reconcile(_)
            | Self::Residual { .. }
            | Self::OtherDifference { .. }
            | Self::MetricUnknown { .. }
            | Self::Unproven { .. } => ExitCode::DataCheck,
            Self::Locked { .. } => ExitCode::Conflict,
            Self::Report { source, .. } => source.exit_code(),
            Self::Several(errors) => errors.first().map_or(ExitCode::Failed, Self::exit_code),
            Self::Fetch(
                fetch::Error::LengthMismatch { .. } | fetch::Error::DigestMismatch { .. },
            ) => ExitCode::DataCheck,
            Self::Fetch(error) => match error.kind() {
                fetch::ErrorKind::Configuration => ExitCode::Usage,
                fetch::ErrorKind::Access => ExitCode::Access,
                fetch::ErrorKind::Busy => ExitCode::Busy,
                fetch::ErrorKind::Stale => ExitCode::Conflict,
                fetch::ErrorKind::Failed => ExitCode::Failed,
            },
            Self::Lake(error) => match error {
                sink::Error::Location { .. }
                | sink::Error::LakeMissing { .. }
                | sink::Error::NotADirectory { .. } => ExitCode::Usage,
                sink::Error::Audit { .. } => ExitCode::DataCheck,
                _ => ExitCode::Failed,
            },
            Self::Interrupted => ExitCode::Interrupted,
            Self::OutputClosed => ExitCode::Done,
        }
    }

    /// Whether it is for what a report holds that it cannot be published.
    pub(crate) fn is_about_data(&self) -> bool {
        self.exit_code() == ExitCode::DataCheck
    }

    /// The wait that Azure asked for, if it did.
    pub(crate) fn asked_wait(&self) -> Option<Duration> {
        match self {
            Self::Report { source, .. } => source.asked_wait(),
            Self::Fetch(fetch::Error::Throttled { asked_wait, .. }) => *asked_wait,
            _ => None,
        }
    }

    /// Whether every other report would fail in the same way: who we are and where Azure is do not depend
    /// on the report, rights may.
    pub(crate) fn is_about_all_reports(&self) -> bool {
        match self {
            Self::Report { source, .. } => source.is_about_all_reports(),
            Self::Fetch(error) => matches!(
                error,
                fetch::Error::Authentication { .. }
                    | fetch::Error::CredentialUnavailable { .. }
                    | fetch::Error::Configuration { .. }
            ),
            _ => false,
        }
    }

    /// What the user can do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Usage { hint, .. } => return hint.clone(),
            Self::Configuration { source, .. } if source.is::<RollupError>() => {
                "docs/rollups.md shows every part of a definition"
            }
            Self::Configuration { .. } => "pipelines/ea-daily.toml explains every key",
            Self::Refused { source, .. } => source.hint()?,
            Self::Store { source, .. } => source.hint(),
            Self::Report { source, .. } => return source.hint(),
            Self::Fetch(error) => fetch_hint(error)?,
            Self::Lake(error) if error.is_storage_full() => {
                "free some space and publish again: no object is half-written, and what is staged is cleared"
            }
            Self::Lake(sink::Error::NotADirectory { .. }) => {
                "a lake is a folder: name another path"
            }
            Self::Lake(sink::Error::LakeMissing { .. }) => {
                "check the path, or publish into it with `costlake run` or `costlake convert`"
            }
            Self::OtherMonth { .. } => {
                "a partition holds one month: give each month's files by themselves"
            }
            Self::OtherDays { .. } => {
                "Azure's parts of a month overlap or are not by day: pull the month whole, with a larger split_above_rows"
            }
            Self::BeyondLimit { .. } => {
                "nothing was published; `costlake schema FILE` shows what each header maps to"
            }
            Self::Contract { .. } => {
                "nothing of that month was published; --contract warn publishes it and tells what changed"
            }
            Self::OtherNaming { .. } => {
                "convert FOCUS files and Azure's own files in calls of their own"
            }
            Self::Locked { .. } => "wait until it has ended, and run again",
            Self::MetricMissing { .. } | Self::PartMissing { .. } | Self::Vanished { .. } => {
                "the report is empty: fetch it again later; nothing was published for this month"
            }
            Self::Damaged { .. } => "fetch the file again",
            Self::OtherDepartments { .. } => {
                "give it with --config: the rows would go back to the departments of the files"
            }
            Self::MonthMissing { .. } => "`costlake status` shows the months that are there",
            Self::Reconcile(_) => "recompute the rollups with `costlake rollup`",
            Self::Residual { .. } => "`costlake verify` proves what is stored",
            Self::MetricUnknown { .. } => "pull or convert the other metric of these months",
            Self::OtherDifference { .. } => {
                "the warnings name departments and classes; pull both reports again, or accept it with --allow-other"
            }
            Self::Unsupported { .. } => {
                "export it as CSV, or as Parquet the way Azure does: flat columns, Snappy, not encrypted"
            }
            Self::Unproven { .. } => {
                "a damaged month is mended by publishing it again, with `costlake run --force`; what a newer costlake wrote needs that one"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }

    /// The text for people: what failed, the causes below it, and a hint.
    pub(crate) fn render(&self) -> String {
        let mut text = String::new();
        if let Self::Several(errors) = self {
            for error in errors {
                text.push_str(&error.render());
            }
        }
        let _ = writeln!(text, "error: {}", printable(&self.to_string()));
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let _ = writeln!(text, "  because: {}", printable(error.to_string().trim_end()));
            cause = error.source();
        }
        if let Some(hint) = self.hint() {
            let _ = writeln!(text, "  hint: {hint}");
        }
        text
    }
}

fn fetch_hint(error: &fetch::Error) -> Option<&'static str> {
    match error {
        fetch::Error::Authentication { .. } => {
            Some("check tenant, client id and secret or certificate, and that it has not expired")
        }
        fetch::Error::CredentialUnavailable { .. } => {
            Some("docs/signing-in.md shows each kind of credential; `costlake doctor` tries it")
        }
        fetch::Error::Authorization { .. } => Some(
            "the caller needs Enrollment Reader on a billing account, Department Reader on a department, or Cost Management Reader on a subscription",
        ),
        fetch::Error::Throttled { .. }
        | fetch::Error::Unavailable { .. }
        | fetch::Error::PollDeadline { .. } => {
            Some("try again later: nothing was published for this month, and the lake is as it was")
        }
        fetch::Error::JournalSyntax { .. } => {
            Some("delete the file, below _costlake/journal: what it knows is asked for anew")
        }
        fetch::Error::JournalVersion { .. } => {
            Some("a newer costlake has written it: use that one, or one newer still")
        }
        fetch::Error::Landing { .. } => {
            Some("the landing area must be a folder that can be written: see [landing] path")
        }
        fetch::Error::ReportGone { .. } => {
            Some("run again: Azure no longer knew the reports that it had made")
        }
        fetch::Error::UnexpectedPage { .. } => Some(
            "a proxy or a sign-in page answered in place of Azure: check proxy settings and endpoints",
        ),
        _ => None,
    }
}

/// Escapes control characters of texts from outside; line breaks stay.
fn printable(text: &str) -> String {
    text.split('\n').map(output::printable).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_show_what_why_and_what_to_do() {
        let error = Error::Report {
            report: "actual 2025-07".to_owned(),
            source: Box::new(Error::Refused {
                file: "part_0.csv".to_owned(),
                source: transform::Error::UnclosedQuote { record: 3, byte_offset: 99 },
            }),
        };
        assert_eq!(error.exit_code(), ExitCode::DataCheck);
        let text = error.render();
        assert!(text.starts_with(
            "error: actual 2025-07\n  because: part_0.csv\n  because: the file ends inside quotes"
        ));
        assert!(
            text.trim_end()
                .ends_with("hint: the file was cut or damaged on its way: fetch it again")
        );
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(printable("a\u{1b}[31mb"), "a\\u{1b}[31mb");
    }
}
