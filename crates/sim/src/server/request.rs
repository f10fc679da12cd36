//! Reading requests off a connection.

use bytes::{Bytes, BytesMut};
use std::collections::HashMap;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Larger request heads and bodies are refused.
const MOST_HEAD_BYTES: usize = 64 << 10;
const MOST_BODY_BYTES: usize = 4 << 20;
const MOST_HEADERS: usize = 100;

/// A request with its body.
pub(super) struct Call {
    pub(super) method: String,
    /// Path and query as sent.
    pub(super) target: String,
    /// As sent, still percent-encoded.
    pub(super) path: String,
    pub(super) query: HashMap<String, String>,
    headers: Vec<(String, String)>,
    pub(super) body: Bytes,
    /// Whether the client may send another request over the same connection.
    pub(super) keep_alive: bool,
}

/// What came over a connection.
pub(super) enum Incoming {
    Call(Call),
    /// Not a request that can be read, and the status that says why.
    Refused(u16),
    /// The client has no more requests.
    End,
}

impl Call {
    /// Returns a header as text; names are compared without case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// Reads the next request; `buffer` holds what has arrived of it.
pub(super) async fn read(stream: &mut TcpStream, buffer: &mut BytesMut) -> io::Result<Incoming> {
    let (mut call, head_bytes) = loop {
        match parse_head(buffer) {
            Ok(Some(parsed)) => break parsed,
            Ok(None) if buffer.len() > MOST_HEAD_BYTES => return Ok(Incoming::Refused(431)),
            Ok(None) => {}
            Err(_) => return Ok(Incoming::Refused(400)),
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(Incoming::End);
        }
    };
    let body_bytes = match body_bytes(&call) {
        Ok(bytes) => bytes,
        Err(status) => return Ok(Incoming::Refused(status)),
    };
    if call.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    drop(buffer.split_to(head_bytes));
    while buffer.len() < body_bytes {
        if stream.read_buf(buffer).await? == 0 {
            return Ok(Incoming::End);
        }
    }
    call.body = buffer.split_to(body_bytes).freeze();
    Ok(Incoming::Call(call))
}

/// Returns the request without its body and the size of its head, or nothing before the head is whole.
fn parse_head(bytes: &[u8]) -> Result<Option<(Call, usize)>, httparse::Error> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head_bytes) = request.parse(bytes)? else {
        return Ok(None);
    };
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let headers: Vec<(String, String)> =
        request.headers.iter().map(|header| (header.name.to_owned(), text(header.value))).collect();
    let target = origin_form(request.path.unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut call = Call {
        method: request.method.unwrap_or_default().to_owned(),
        target: target.to_owned(),
        path: path.to_owned(),
        query: url::form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
        headers,
        body: Bytes::new(),
        keep_alive: request.version == Some(1),
    };
    call.keep_alive &=
        !call.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    Ok(Some((call, head_bytes)))
}

/// Clients of proxies send the whole address.
fn origin_form(target: &str) -> &str {
    let Some(rest) = target.strip_prefix("http://") else {
        return target;
    };
    rest.find('/').map_or("/", |start| &rest[start..])
}

/// Returns the size of the body, or the status that refuses it.
fn body_bytes(call: &Call) -> Result<usize, u16> {
    if call.header("transfer-encoding").is_some() {
        return Err(411);
    }
    match call.header("content-length").map(str::parse::<usize>) {
        None => Ok(0),
        Some(Ok(bytes)) if bytes <= MOST_BODY_BYTES => Ok(bytes),
        Some(Ok(_)) => Err(413),
        Some(Err(_)) => Err(400),
    }
}
