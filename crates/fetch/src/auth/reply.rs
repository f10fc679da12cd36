//! What an authority or a managed identity answers in place of a token.

use serde::Deserialize;

use crate::error::{Error, Place};
use crate::text;
use crate::transport::Reply;

#[derive(Deserialize, Default)]
#[serde(default)]
struct TokenErrorBody {
    error: String,
    error_description: String,
}

/// Returns the error that an answer without a usable token means.
pub(crate) fn refusal(reply: &Reply, place: Box<Place>) -> Error {
    if reply.status != 200 {
        let (code, message) = code_and_message(reply);
        return Error::Authentication { code, message, place };
    }
    if reply.is_page() {
        let title = text::html_title(&reply.body);
        return Error::UnexpectedPage { expected: "a token", title, place };
    }
    Error::Protocol { violation: "the body is no token".to_owned(), place }
}

/// Returns the AADSTS code, or else the OAuth one, and the first line of the description.
pub(crate) fn code_and_message(reply: &Reply) -> (String, String) {
    let body: TokenErrorBody = serde_json::from_slice(&reply.body).unwrap_or_default();
    let description = body.error_description.as_str();
    let (code, message) = match description.split_once(':') {
        Some((code, rest)) if code.starts_with("AADSTS") => (code, rest.trim_start()),
        _ => (body.error.as_str(), description),
    };
    let message = match message {
        "" => format!("status {}", reply.status),
        message => text::first_line(message),
    };
    (text::first_line(code), message)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use reqwest::header::HeaderMap;

    use super::*;
    use crate::retry::{Job, Replay};

    fn check(status: u16, body: &'static str) -> Error {
        let body = Bytes::from_static(body.as_bytes());
        let reply = Reply { status, headers: HeaderMap::new(), body };
        let address = "https://login.example/t/oauth2/v2.0/token";
        let job = Job { method: "POST", address, blob: None, replay: Replay::Safe };
        refusal(&reply, Box::new(job.place(1, Duration::ZERO)))
    }

    #[test]
    fn refusals_name_the_code() {
        for (body, expected) in [
            (
                r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid secret.\r\nTrace ID: 1"}"#,
                ("AADSTS7000215", "Invalid secret."),
            ),
            (r#"{"error":"invalid_scope"}"#, ("invalid_scope", "status 401")),
            ("<html>", ("", "status 401")),
        ] {
            match check(401, body) {
                Error::Authentication { code, message, .. } => {
                    assert_eq!((code.as_str(), message.as_str()), expected);
                }
                other => panic!("{other}"),
            }
        }
    }

    #[test]
    fn an_answer_that_is_no_token_is_not_quoted() {
        assert!(matches!(check(200, "<html>canary"), Error::UnexpectedPage { .. }));
        let error = check(200, r#"{"access_token":3,"canary":1}"#);
        assert!(matches!(error, Error::Protocol { .. }));
        assert!(!format!("{error:?}").contains("canary"));
    }
}
