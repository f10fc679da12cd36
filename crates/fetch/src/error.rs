//! What can go wrong between costlake and Azure, one variant per thing a caller treats differently.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::cost_details::ReportRequest;
use crate::policy::Refusal;

/// A failed call. Display gives this level only; the cause, if any, is the source. No variant holds
/// a query string, a token or a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration cannot work.
    #[error("{problem}")]
    Configuration {
        /// What is wrong with it.
        problem: String,
    },
    /// Azure says that the request is wrong; sending it again is no use.
    #[error("{place}: refused with status {status}{}", reason(.code, .message))]
    Rejected {
        /// HTTP status.
        status: u16,
        /// Azure's code, empty if none.
        code: String,
        /// Azure's message, first line.
        message: String,
        /// Where.
        place: Box<Place>,
    },
    /// Azure does not accept who we say we are.
    #[error("{place}: not authenticated{}", reason(.code, .message))]
    Authentication {
        /// The AADSTS or Azure code, empty if none.
        code: String,
        /// Azure's message, first line.
        message: String,
        /// Where.
        place: Box<Place>,
    },
    /// No credential is there to ask with.
    #[error("no credential is available: {}", .tried.join("; "))]
    CredentialUnavailable {
        /// Each credential that was looked for, and why it is not there.
        tried: Vec<String>,
    },
    /// The identity has no right to this.
    #[error("{place}: not authorized{}", reason(.code, .message))]
    Authorization {
        /// HTTP status.
        status: u16,
        /// Azure's code, empty if none.
        code: String,
        /// Azure's message, first line.
        message: String,
        /// Where.
        place: Box<Place>,
    },
    /// The service asked for patience (429, 503) beyond the retry limits.
    #[error("{place}: throttled with status {status}{}", asked(.asked_wait))]
    Throttled {
        /// HTTP status, 429 or 503.
        status: u16,
        /// What the last answer asked for, before any cap.
        asked_wait: Option<Duration>,
        /// Where.
        place: Box<Place>,
    },
    /// The service could not be reached or kept failing, beyond the retry limits.
    #[error("{place}: unavailable{}", status_part(.status))]
    Unavailable {
        /// The last status, if there was an answer.
        status: Option<u16>,
        /// Where.
        place: Box<Place>,
        /// What the connection said, without its address.
        #[source]
        source: Option<reqwest::Error>,
    },
    /// No trusted connection: the certificate or the TLS answer is wrong.
    #[error("{place}: no trusted connection")]
    Insecure {
        /// Where.
        place: Box<Place>,
        /// What TLS said, without the address.
        #[source]
        source: reqwest::Error,
    },
    /// Azure could not make the report.
    #[error("{place}: operation {operation_id} failed{}", reason(.code, .message))]
    ReportFailed {
        /// Azure's name of the work.
        operation_id: String,
        /// Azure's code, empty if none.
        code: String,
        /// Azure's message, first line.
        message: String,
        /// Where.
        place: Box<Place>,
    },
    /// The report was not ready when the poll deadline passed. It may become ready later.
    #[error("{place}: operation {operation_id} is not done after {polls} polls")]
    PollDeadline {
        /// Azure's name of the work.
        operation_id: String,
        /// Polls made.
        polls: u32,
        /// Where.
        place: Box<Place>,
    },
    /// Azure no longer knows the operation, or it cannot be asked again: create the report anew.
    #[error("operation {operation_id} is gone")]
    ReportGone {
        /// Azure's name of the work.
        operation_id: String,
        /// Where, if it was asked.
        place: Option<Box<Place>>,
    },
    /// The renewed report is not the one that the first links were of: start over.
    #[error("operation {operation_id} changed when asked again: {change}")]
    ReportChanged {
        /// Azure's name of the work.
        operation_id: String,
        /// What differs.
        change: String,
    },
    /// A blob link no longer works: renew the manifest, or create the report anew.
    #[error("{place}: the link has expired{}", status_part(.status))]
    LinkExpired {
        /// The status that was answered; `None` if `valid_till` had passed before asking.
        status: Option<u16>,
        /// The storage service's code, empty if none.
        code: String,
        /// Until when the manifest promised the link.
        valid_till: DateTime<Utc>,
        /// Where.
        place: Box<Place>,
    },
    /// A blob changed, or cannot be proven unchanged, between two parts: download it from the start.
    #[error("{place}: cannot be resumed at byte {received_bytes}, restart it: {problem}")]
    BlobChanged {
        /// Bytes received before.
        received_bytes: u64,
        /// What was answered instead of the rest.
        problem: String,
        /// Where.
        place: Box<Place>,
    },
    /// A blob is not as long as announced; its bytes must not be used.
    #[error("{place}: {what} is {found_bytes} bytes, the manifest says {expected_bytes}")]
    LengthMismatch {
        /// Which length.
        what: &'static str,
        /// `byteCount` of the manifest.
        expected_bytes: u64,
        /// What was announced or received.
        found_bytes: u64,
        /// Where.
        place: Box<Place>,
    },
    /// A blob has the right length and the wrong bytes; they must not be used.
    #[error("{place}: the bytes do not have the announced MD5")]
    DigestMismatch {
        /// Where.
        place: Box<Place>,
    },
    /// A web page came in place of an answer: a proxy's, a portal's, a sign-in form.
    #[error("{place}: a web page came in place of {expected}{}", titled(.title))]
    UnexpectedPage {
        /// What was expected.
        expected: &'static str,
        /// The page's title, escaped; empty if none.
        title: String,
        /// Where.
        place: Box<Place>,
    },
    /// The answer breaks the published contract.
    #[error("{place}: unexpected answer: {violation}")]
    Protocol {
        /// What is wrong with it.
        violation: String,
        /// Where.
        place: Box<Place>,
    },
    /// A file of the journal cannot be read or written.
    #[error("cannot {operation} the journal `{file}`")]
    Journal {
        /// What was tried.
        operation: &'static str,
        /// The file or folder, below the journal's.
        file: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// A file of the journal is not what it should be.
    #[error("the journal `{file}` cannot be used: {problem}")]
    JournalSyntax {
        /// The file, below the journal's folder.
        file: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A file of the journal is of a newer format.
    #[error("the journal `{file}` has format version {found}, this costlake knows {known}")]
    JournalVersion {
        /// The file, below the journal's folder.
        file: String,
        /// Its version.
        found: u32,
        /// The version that is known.
        known: u32,
    },
    /// The landing area cannot be used.
    #[error("cannot {operation} `{}` of the landing area", path.display())]
    Landing {
        /// What was tried.
        operation: &'static str,
        /// The file or folder.
        path: std::path::PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// An answer pointed to an address that gets nothing from us.
    #[error("{place}: refused to follow {what} to {destination}: {refusal}")]
    RefusedDestination {
        /// What pointed there: a `Location` header, a blob link, a redirect.
        what: &'static str,
        /// The redacted destination.
        destination: String,
        /// Why.
        refusal: Refusal,
        /// Where.
        place: Box<Place>,
    },
}

/// Groups of errors that end a program in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// Wrong configuration.
    Configuration,
    /// Authentication or rights.
    Access,
    /// Throttled, busy or unreachable beyond the limits: try later.
    Busy,
    /// The links or the operation aged out: renew or create again.
    Stale,
    /// Anything else.
    Failed,
}

/// The place in an error, shared or to be changed: one list of variants for both.
macro_rules! place_of {
    ($error:expr, $as_deref:ident) => {
        match $error {
            Self::Configuration { .. }
            | Self::CredentialUnavailable { .. }
            | Self::ReportChanged { .. }
            | Self::Journal { .. }
            | Self::JournalSyntax { .. }
            | Self::JournalVersion { .. }
            | Self::Landing { .. } => None,
            Self::ReportGone { place, .. } => place.$as_deref(),
            Self::Rejected { place, .. }
            | Self::Authentication { place, .. }
            | Self::Authorization { place, .. }
            | Self::Throttled { place, .. }
            | Self::Unavailable { place, .. }
            | Self::Insecure { place, .. }
            | Self::ReportFailed { place, .. }
            | Self::PollDeadline { place, .. }
            | Self::LinkExpired { place, .. }
            | Self::BlobChanged { place, .. }
            | Self::LengthMismatch { place, .. }
            | Self::DigestMismatch { place }
            | Self::UnexpectedPage { place, .. }
            | Self::Protocol { place, .. }
            | Self::RefusedDestination { place, .. } => Some(place),
        }
    };
}

impl Error {
    /// The group that the error belongs to.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Configuration { .. } => ErrorKind::Configuration,
            Self::Authentication { .. }
            | Self::CredentialUnavailable { .. }
            | Self::Authorization { .. } => ErrorKind::Access,
            Self::Throttled { .. } | Self::Unavailable { .. } | Self::PollDeadline { .. } => {
                ErrorKind::Busy
            }
            Self::LinkExpired { .. } | Self::ReportGone { .. } => ErrorKind::Stale,
            Self::Rejected { .. }
            | Self::Insecure { .. }
            | Self::ReportFailed { .. }
            | Self::ReportChanged { .. }
            | Self::BlobChanged { .. }
            | Self::LengthMismatch { .. }
            | Self::DigestMismatch { .. }
            | Self::UnexpectedPage { .. }
            | Self::Protocol { .. }
            | Self::Journal { .. }
            | Self::JournalSyntax { .. }
            | Self::JournalVersion { .. }
            | Self::Landing { .. }
            | Self::RefusedDestination { .. } => ErrorKind::Failed,
        }
    }

    /// The wait that Azure asked for when patience ended, before any cap.
    pub fn asked_wait(&self) -> Option<Duration> {
        match self {
            Self::Throttled { asked_wait, .. } => *asked_wait,
            _ => None,
        }
    }

    /// Whether fetching the report again may mend it: what was received is of no use, or the report is gone.
    pub fn may_pass_when_fetched_again(&self) -> bool {
        matches!(
            self,
            Self::LinkExpired { .. }
                | Self::ReportGone { .. }
                | Self::ReportChanged { .. }
                | Self::BlobChanged { .. }
                | Self::LengthMismatch { .. }
                | Self::DigestMismatch { .. }
                | Self::Landing { operation: "read", .. }
        )
    }

    /// Returns the error with the report that it is about.
    pub(crate) fn about(mut self, request: &ReportRequest) -> Self {
        if let Some(place) = self.place_mut() {
            place.request = Some(request.clone());
        }
        self
    }

    /// Returns the error with the member of a chain that it is about.
    pub(crate) fn of_credential(mut self, name: &str) -> Self {
        if let Self::Authentication { message, .. } = &mut self {
            *message = format!("{name}: {message}");
        }
        self
    }

    /// Returns the error of a last attempt with the count and time of all.
    pub(crate) fn after(mut self, all: &Place) -> Self {
        if let Some(place) = self.place_mut().filter(|place| place.address == all.address) {
            place.attempts = all.attempts;
            place.elapsed = all.elapsed;
        }
        self
    }

    /// Where it happened, where that is known.
    pub fn place(&self) -> Option<&Place> {
        place_of!(self, as_deref)
    }

    fn place_mut(&mut self) -> Option<&mut Place> {
        place_of!(self, as_deref_mut)
    }
}

/// Where something happened: for which report or blob, in which request, after how much trying.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The report that was asked for, where known.
    pub request: Option<ReportRequest>,
    /// The ordinal of the blob, where it is about one.
    pub blob: Option<u32>,
    /// HTTP method.
    pub method: &'static str,
    /// The address without user, query and fragment.
    pub address: String,
    /// Times sent.
    pub attempts: u32,
    /// From the first sending to giving up, waits included.
    pub elapsed: Duration,
    /// Azure's id of the last answer, for a support ticket.
    pub request_id: Option<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(request) = &self.request {
            write!(f, "{request}: ")?;
        }
        if let Some(blob) = self.blob {
            write!(f, "blob {blob}: ")?;
        }
        write!(f, "{} {}", self.method, self.address)?;
        if self.attempts > 1 {
            write!(f, " ({} attempts in {:.1?})", self.attempts, self.elapsed)?;
        }
        Ok(())
    }
}

fn reason(code: &str, message: &str) -> String {
    match (code.is_empty(), message.is_empty()) {
        (true, true) => String::new(),
        (false, true) => format!(": {code}"),
        (true, false) => format!(": {message}"),
        (false, false) => format!(": {code}: {message}"),
    }
}

fn asked(wait: &Option<Duration>) -> String {
    wait.map(|wait| format!(", asked to wait {} s", wait.as_secs())).unwrap_or_default()
}

fn status_part(status: &Option<u16>) -> String {
    status.map(|status| format!(" (status {status})")).unwrap_or_default()
}

fn titled(title: &str) -> String {
    if title.is_empty() { String::new() } else { format!(", titled `{title}`") }
}
