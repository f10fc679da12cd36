//! Replies in the shapes of Azure Resource Manager (JSON) and Azure Storage (XML).

use super::blobs::BlobPart;
use bytes::Bytes;
use serde_json::{Value, json};

/// An answer before it is put into HTTP.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
    /// Which part of which blob the body is, for counting.
    pub(super) part: Option<BlobPart>,
}

/// A reply that ends the handling of a request early; boxed because replies are large.
pub(super) type Refused = Box<Reply>;

impl Reply {
    /// Returns a header; names are compared without case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Sets a header in place of those of the same name.
    pub(super) fn set_header(&mut self, name: &str, value: &str) {
        self.remove_header(name);
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    /// Removes a header.
    pub(super) fn remove_header(&mut self, name: &str) {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
    }
}

/// Returns a reply with a JSON body.
pub(super) fn json_reply(status: u16, body: &Value) -> Reply {
    typed_reply(status, "application/json; charset=utf-8", body.to_string())
}

/// Returns `{"error": {"code", "message"}}`, as all ARM errors look.
pub(super) fn arm_error(status: u16, code: &str, message: &str) -> Reply {
    json_reply(status, &json!({ "error": { "code": code, "message": message } }))
}

/// Returns an error as Azure Storage writes it.
pub(super) fn storage_error(status: u16, code: &str, message: &str) -> Reply {
    let body = format!(
        "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    );
    with_header(typed_reply(status, "application/xml", body), "x-ms-error-code", code)
}

/// Returns a reply without body.
pub(super) fn empty_reply(status: u16) -> Reply {
    typed_reply(status, "", Bytes::new())
}

/// Returns a reply with a body of some media type; an empty type leaves the header out.
pub(super) fn typed_reply(status: u16, media_type: &str, body: impl Into<Bytes>) -> Reply {
    let reply = Reply { status, headers: Vec::new(), body: body.into(), part: None };
    if media_type.is_empty() { reply } else { with_header(reply, "content-type", media_type) }
}

/// Sets a header.
pub(super) fn with_header(mut reply: Reply, name: &str, value: &str) -> Reply {
    reply.set_header(name, value);
    reply
}
