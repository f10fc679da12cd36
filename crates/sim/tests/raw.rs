//! A client that reads bytes off a socket, so that nothing mends what a fault broke.

use crate::client::{Azure, ENROLLMENT, VERSION, link, location, quick};
use costlake_sim::server::ServerConfig;
use serde_json::{Value, json};
use std::io::ErrorKind;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Closed,
    Reset,
    /// Nothing more came for a while.
    Silence,
}

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: String,
    /// All bytes behind the head, with the marks of chunks.
    pub(crate) body: Vec<u8>,
    pub(crate) end: End,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap_or("0").parse().unwrap()
    }

    /// The values of a header.
    pub(crate) fn headers(&self, name: &str) -> Vec<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .collect()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers(name).first().copied().unwrap_or_default()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Long enough for an answer on a busy machine, where one is expected to fail to come.
pub(crate) const QUIET: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(20);

/// A server with one complete report of one blob.
pub(crate) struct Lab {
    pub(crate) azure: Azure,
    /// Path and query of the report and of its blob.
    pub(crate) poll: String,
    pub(crate) blob: String,
    pub(crate) content: Vec<u8>,
}

impl Lab {
    pub(crate) async fn new() -> Self {
        let config = ServerConfig { polls_before_completion: 0, blobs_per_report: 1, ..quick() };
        let azure = Azure::start(config).await;
        let poll = location(&azure.submit(ENROLLMENT, &json!({})).await);
        let report: Value = azure.poll(&poll).await.json().await.unwrap();
        let url = link(&report["manifest"]["blobs"][0]).to_owned();
        let content = azure.client.get(&url).send().await.unwrap().bytes().await.unwrap().to_vec();
        let path = |url: &str| url.strip_prefix(azure.server.origin()).unwrap().to_owned();
        Self { poll: path(&poll), blob: path(&url), content, azure }
    }

    /// Queues a fault for the next request, whatever it is.
    pub(crate) async fn queue(&self, action: &Value) {
        let faults = json!([{ "route": "any", "action": action }]);
        let reply = self.azure.control("faults", &faults).await;
        assert_eq!(reply.status(), 204, "{}", reply.text().await.unwrap());
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.azure.server.address()).await.unwrap()
    }

    /// Sends a request over a connection of its own and reads all that comes.
    pub(crate) async fn exchange(&self, request: &str, quiet: Duration) -> Answer {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        read(&mut stream, quiet).await
    }

    /// The blob, with more headers, each with its line end.
    pub(crate) fn blob_request(&self, headers: &str) -> String {
        format!("GET {} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n", self.blob)
    }

    pub(crate) fn poll_request(&self) -> String {
        let (poll, token) = (&self.poll, &self.azure.token);
        format!(
            "GET {poll} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
        )
    }

    pub(crate) fn submit_request(&self) -> String {
        format!(
            "POST /{ENROLLMENT}/providers/Microsoft.CostManagement/generateCostDetailsReport?{VERSION} HTTP/1.1\r\n\
             Host: x\r\nConnection: close\r\nAuthorization: Bearer {}\r\nContent-Length: 2\r\n\r\n{{}}",
            self.azure.token
        )
    }

    /// The blob with a fault.
    pub(crate) async fn blob_with(&self, action: Value) -> Answer {
        self.queue(&action).await;
        self.exchange(&self.blob_request(""), PATIENCE).await
    }

    /// A range of the blob with a fault.
    pub(crate) async fn range_with(&self, action: Value, range: &str) -> Answer {
        self.queue(&action).await;
        self.exchange(&self.blob_request(&format!("Range: bytes={range}\r\n")), PATIENCE).await
    }

    /// The complete report with a fault.
    pub(crate) async fn poll_with(&self, action: Value) -> Answer {
        self.queue(&action).await;
        self.exchange(&self.poll_request(), PATIENCE).await
    }

    /// Another report with a fault.
    pub(crate) async fn submit_with(&self, action: Value) -> Answer {
        self.queue(&action).await;
        self.exchange(&self.submit_request(), PATIENCE).await
    }

    pub(crate) async fn control(&self, command: &str) -> Value {
        let url = self.azure.url(&format!("_simulator/{command}"));
        self.azure.client.get(url).send().await.unwrap().json().await.unwrap()
    }

    /// How many reports were asked for.
    pub(crate) async fn reports(&self) -> usize {
        self.control("reports").await.as_array().unwrap().len()
    }
}

/// Reads until the connection ends or nothing comes for a while.
pub(crate) async fn read(stream: &mut TcpStream, quiet: Duration) -> Answer {
    let mut bytes = Vec::new();
    let end = loop {
        match tokio::time::timeout(quiet, stream.read_buf(&mut bytes)).await {
            Err(_) => break End::Silence,
            Ok(Ok(0)) => break End::Closed,
            Ok(Ok(_)) => {}
            Ok(Err(error)) if error.kind() == ErrorKind::ConnectionReset => break End::Reset,
            Ok(Err(error)) => panic!("{error}"),
        }
    };
    let mark = b"\r\n\r\n";
    let head_bytes = bytes.windows(mark.len()).position(|window| window == mark);
    let body = bytes.split_off(head_bytes.map_or(bytes.len(), |start| start + mark.len()));
    Answer { head: String::from_utf8(bytes).unwrap(), body, end }
}
