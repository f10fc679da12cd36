//! The files of the journal as JSON (`docs/format.md`, "The journal").

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use costlake_model::TimePeriod;
use serde::{Deserialize, Serialize};

use super::{
    Entry, JournaledBlob, JournaledFailure, JournaledOperation, PullRecord, ReportKey, State,
};
use crate::governor::BudgetState;

/// The version of all files; a program that meets a higher one goes no further.
pub(super) const FORMAT_VERSION: u32 = 1;

const STATES: [(State, &str); 10] = [
    (State::Planned, "planned"),
    (State::Submitting, "submitting"),
    (State::Polling, "polling"),
    (State::Completed, "completed"),
    (State::Downloading, "downloading"),
    (State::Converted, "converted"),
    (State::Published, "published"),
    (State::NoData, "no_data"),
    (State::Split, "split"),
    (State::Failed, "failed"),
];

impl State {
    /// Its name in the journal.
    pub fn name(self) -> &'static str {
        STATES.iter().find(|(state, _)| *state == self).map_or("", |(_, name)| name)
    }
}

#[derive(Serialize, Deserialize)]
struct EntryFile {
    format_version: u32,
    scope: String,
    billing_period: String,
    metric: String,
    days: Option<DaysFile>,
    state: String,
    changed_at: String,
    pull: String,
    submissions: u32,
    submitted_at: Option<String>,
    completed_at: Option<String>,
    operation: Option<OperationFile>,
    polls: u32,
    blobs: Vec<BlobFile>,
    parts: Vec<DaysFile>,
    failure: Option<FailureFile>,
}

#[derive(Serialize, Deserialize)]
struct DaysFile {
    first: String,
    last: String,
}

#[derive(Serialize, Deserialize)]
struct OperationFile {
    id: String,
    address: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct BlobFile {
    name: String,
    bytes: u64,
    crc32: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct FailureFile {
    at: String,
    message: String,
    asked_seconds: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct PullFile {
    format_version: u32,
    pull: String,
    started_at: String,
    finished_at: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct BudgetsFile {
    format_version: u32,
    budgets: Vec<BudgetState>,
}

/// The text of a file, for people.
pub(super) fn pretty(file: &impl Serialize) -> Vec<u8> {
    // Texts, numbers and lists of them: there is always JSON for these.
    let mut text = serde_json::to_vec_pretty(file).unwrap_or_default();
    text.push(b'\n');
    text
}

/// The version of a file, if it says one.
pub(super) fn version(bytes: &[u8]) -> Option<u32> {
    #[derive(Deserialize)]
    struct Version {
        format_version: u32,
    }
    serde_json::from_slice(bytes).ok().map(|version: Version| version.format_version)
}

/// Reads a file of the version that is known.
pub(super) fn parse<T: for<'a> Deserialize<'a>>(bytes: &[u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|error| {
        format!("it is no journal file (line {}, column {})", error.line(), error.column())
    })
}

/// A time as it is written, UTC.
pub(crate) fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Reads a time.
pub(crate) fn parse_time(text: &str) -> Result<DateTime<Utc>, String> {
    let time = DateTime::parse_from_rfc3339(text).map(|time| time.with_timezone(&Utc));
    time.map_err(|_| "one of its times is none".to_owned())
}

pub(super) fn write_entry(entry: &Entry) -> Vec<u8> {
    let key = &entry.key;
    let blob = |blob: &JournaledBlob| BlobFile {
        name: blob.name.clone(),
        bytes: blob.bytes,
        crc32: blob.crc32.map(|crc| format!("{crc:08x}")),
    };
    pretty(&EntryFile {
        format_version: FORMAT_VERSION,
        scope: key.scope.path(),
        billing_period: key.month.to_string(),
        metric: key.metric.name().to_owned(),
        days: key.days.map(DaysFile::from),
        state: entry.state.name().to_owned(),
        changed_at: time(entry.changed_at),
        pull: entry.pull.clone(),
        submissions: entry.submissions,
        submitted_at: entry.submitted_at.map(time),
        completed_at: entry.completed_at.map(time),
        operation: entry.operation.as_ref().map(|operation| OperationFile {
            id: operation.id.clone(),
            address: operation.address.clone(),
        }),
        polls: entry.polls,
        blobs: entry.blobs.iter().map(blob).collect(),
        parts: entry.parts.iter().copied().map(DaysFile::from).collect(),
        failure: entry.failure.as_ref().map(|failure| FailureFile {
            at: time(failure.at),
            message: failure.message.clone(),
            asked_seconds: failure.asked_seconds,
        }),
    })
}

pub(super) fn parse_entry(bytes: &[u8]) -> Result<Entry, String> {
    let file: EntryFile = parse(bytes)?;
    let key = ReportKey {
        scope: file.scope.parse().map_err(|_| "its scope is none")?,
        month: file.billing_period.parse().map_err(|_| "its billing_period is none")?,
        metric: file.metric.parse().map_err(|_| "its metric is none")?,
        days: file.days.map(TimePeriod::try_from).transpose()?,
    };
    let state = STATES.iter().find(|(_, name)| *name == file.state);
    Ok(Entry {
        key,
        state: state.map(|(state, _)| *state).ok_or("its state is unknown")?,
        changed_at: parse_time(&file.changed_at)?,
        pull: file.pull,
        submissions: file.submissions,
        submitted_at: file.submitted_at.as_deref().map(parse_time).transpose()?,
        completed_at: file.completed_at.as_deref().map(parse_time).transpose()?,
        operation: file
            .operation
            .map(|operation| JournaledOperation { id: operation.id, address: operation.address }),
        polls: file.polls,
        blobs: file.blobs.into_iter().map(BlobFile::into_blob).collect::<Result<_, _>>()?,
        parts: file.parts.into_iter().map(TimePeriod::try_from).collect::<Result<_, _>>()?,
        failure: file.failure.map(FailureFile::into_failure).transpose()?,
    })
}

pub(super) fn write_pull(record: &PullRecord) -> Vec<u8> {
    pretty(&PullFile {
        format_version: FORMAT_VERSION,
        pull: record.pull.clone(),
        started_at: time(record.started_at),
        finished_at: record.finished_at.map(time),
    })
}

pub(super) fn parse_pull(bytes: &[u8]) -> Result<PullRecord, String> {
    let file: PullFile = parse(bytes)?;
    Ok(PullRecord {
        pull: file.pull,
        started_at: parse_time(&file.started_at)?,
        finished_at: file.finished_at.as_deref().map(parse_time).transpose()?,
    })
}

pub(super) fn write_budgets(budgets: &[BudgetState]) -> Vec<u8> {
    pretty(&BudgetsFile { format_version: FORMAT_VERSION, budgets: budgets.to_vec() })
}

pub(super) fn parse_budgets(bytes: &[u8]) -> Result<Vec<BudgetState>, String> {
    parse(bytes).map(|file: BudgetsFile| file.budgets)
}

impl BlobFile {
    fn into_blob(self) -> Result<JournaledBlob, String> {
        let parse = |text: &str| u32::from_str_radix(text, 16).map_err(|_| "a crc32 is none");
        let crc32 = self.crc32.as_deref().map(parse).transpose()?;
        Ok(JournaledBlob { name: self.name, bytes: self.bytes, crc32 })
    }
}

impl FailureFile {
    fn into_failure(self) -> Result<JournaledFailure, String> {
        let at = parse_time(&self.at)?;
        Ok(JournaledFailure { at, message: self.message, asked_seconds: self.asked_seconds })
    }
}

impl From<TimePeriod> for DaysFile {
    fn from(days: TimePeriod) -> Self {
        Self { first: days.start().to_string(), last: days.end().to_string() }
    }
}

impl TryFrom<DaysFile> for TimePeriod {
    type Error = String;

    fn try_from(days: DaysFile) -> Result<Self, Self::Error> {
        let day = |text: &str| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
        let days = day(&days.first).zip(day(&days.last));
        let days = days.and_then(|(first, last)| Self::new(first, last));
        days.ok_or_else(|| "its days are none, or end before they begin".to_owned())
    }
}
