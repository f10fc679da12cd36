//! Why a store did not give what was asked for, and what can be told of it.
//!
//! The library keeps what a service answered in private types, so its texts are read; and it repeats
//! URLs with their signatures, so little of them is shown.

use costlake_sink::BlobName;

/// What kept a store from answering. Holds no secrets: of an answer only its status and code are kept,
/// since services repeat signatures and keys in their texts.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(crate) struct Failure {
    /// What to do about it.
    pub kind: FailureKind,
    text: String,
}

/// What can be done about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// There is no such bucket, container or object.
    Missing,
    /// No credentials, wrong ones, or no rights.
    Access,
    /// The service is busy or cannot be reached.
    Busy,
    /// The object is no longer the one that was listed.
    Changed,
    /// Anything else.
    Failed,
}

/// What the library says where it asks for a token or reads credentials.
const ABOUT_CREDENTIALS: [&str; 5] =
    ["token request", "token response", "federated token", "credential error", "az account"];

impl Failure {
    /// What an error of the library means.
    pub(super) fn of(error: &object_store::Error) -> Self {
        let text = error.to_string();
        let status = status_of(&text);
        let kind = match error {
            object_store::Error::NotFound { .. } => FailureKind::Missing,
            object_store::Error::Precondition { .. } => FailureKind::Changed,
            object_store::Error::PermissionDenied { .. }
            | object_store::Error::Unauthenticated { .. } => FailureKind::Access,
            _ => match status {
                Some(408 | 429 | 500..) => FailureKind::Busy,
                // Requests for tokens fail in their own ways; all are about credentials.
                _ if ABOUT_CREDENTIALS.iter().any(|words| text.contains(words)) => {
                    FailureKind::Access
                }
                Some(401 | 403) => FailureKind::Access,
                Some(404) => FailureKind::Missing,
                Some(_) => FailureKind::Failed,
                // Trying again does not mend a certificate.
                None if causes(error).any(|cause| cause.contains("certificate")) => {
                    FailureKind::Failed
                }
                None if is_about_connection(error) => FailureKind::Busy,
                None => FailureKind::Failed,
            },
        };
        let told = match (status, last_cause(error)) {
            // Of a connection, the last cause is the one that says something.
            (None, Some(cause)) if is_about_connection(error) => {
                format!("no connection: {}", without_queries(&cause))
            }
            _ => told(&text, status),
        };
        Self { kind, text: told }
    }

    /// As [`Failure::of`]; an object that was listed and is gone has changed, too.
    pub(super) fn while_reading(error: &object_store::Error) -> Self {
        match Self::of(error) {
            Self { kind: FailureKind::Missing | FailureKind::Changed, .. } => Self::changed(),
            failure => failure,
        }
    }

    /// An object that is another than the one that was listed.
    pub(super) fn changed() -> Self {
        let text = "it was replaced or deleted after it had been listed".to_owned();
        Self { kind: FailureKind::Changed, text }
    }

    /// An answer that ended early without an error.
    pub(super) fn cut(found: u64, expected: u64) -> Self {
        let text = format!("{found} bytes came of {expected}");
        Self { kind: FailureKind::Failed, text }
    }

    /// What the user can do about it.
    pub(crate) fn hint(&self) -> &'static str {
        match self.kind {
            FailureKind::Missing => "check the names of bucket or container and of the folder",
            FailureKind::Access => {
                "credentials come from AZURE_…, AWS_… or GOOGLE_… variables, see docs/inputs.md; they need the right to list and to read"
            }
            FailureKind::Busy => {
                "try again later: nothing was published, and the lake is as it was"
            }
            FailureKind::Changed => "run again, when nothing writes there",
            FailureKind::Failed => "see docs/inputs.md for the variables of each store",
        }
    }
}

fn causes(error: &object_store::Error) -> impl Iterator<Item = String> {
    let first = std::error::Error::source(error);
    std::iter::successors(first, |error| error.source()).map(ToString::to_string)
}

fn is_about_connection(error: &object_store::Error) -> bool {
    causes(error).any(|text| text.starts_with("HTTP error"))
}

fn last_cause(error: &object_store::Error) -> Option<String> {
    causes(error).last()
}

/// The status of an answer, as object_store's text has it; its errors hold it in private types.
fn status_of(text: &str) -> Option<u16> {
    let (_, rest) = text.split_once("status code: ")?;
    rest.get(..3)?.parse().ok()
}

/// What is told of an error's text.
fn told(text: &str, status: Option<u16>) -> String {
    let between = |start, end| Some(text.split_once(start)?.1.split_once(end)?.0);
    let code = between("<Code>", "</Code>").filter(|code| code.len() < 100);
    match (status, code) {
        (Some(status), Some(code)) => format!("the service answered {status}, {code}"),
        (Some(status), None) => format!("the service answered {status}"),
        (None, _) => without_queries(text),
    }
}

/// A text without queries of URLs, and without the places that are named already.
fn without_queries(text: &str) -> String {
    let text = text.lines().next().unwrap_or_default();
    let text = text.rsplit_once(" - ").map_or(text, |(_, cause)| cause);
    // "Generic S3 error: " says nothing.
    let text = match text.strip_prefix("Generic ").and_then(|text| text.split_once(" error: ")) {
        Some((_, text)) => text,
        None => text,
    };
    text.split(' ')
        .map(|word| BlobName::of_link(word).as_str().to_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(source: &str, kind: FailureKind, told: &str) {
        let error = object_store::Error::Generic { store: "S3", source: source.into() };
        let failure = Failure::of(&error);
        assert_eq!((failure.kind, failure.text.as_str()), (kind, told));
    }

    #[test]
    fn failures_say_what_to_do_and_no_secret() {
        check(
            "Error performing list request: Error performing GET https://h/c?sig=secret in 1ms - Server returned non-2xx status code: 403 Forbidden: <Error><Code>AuthenticationFailed</Code><Detail>sig=secret</Detail></Error>",
            FailureKind::Access,
            "the service answered 403, AuthenticationFailed",
        );
        check(
            "Error performing GET https://h/c?sig=secret in 1ms - Server returned non-2xx status code: 404 Not Found: ",
            FailureKind::Missing,
            "the service answered 404",
        );
        check(
            "Server returned non-2xx status code: 503 Busy: <Code>ServerBusy</Code>",
            FailureKind::Busy,
            "the service answered 503, ServerBusy",
        );
        check(
            "Error performing token request: Error performing GET http://169.254.169.254/x?y=secret in 60s - HTTP error: error sending request",
            FailureKind::Access,
            "HTTP error: error sending request",
        );
        check("odd https://h/c?sig=secret x", FailureKind::Failed, "odd https://h/c x");
    }
}
