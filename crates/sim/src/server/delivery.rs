//! Writing answers: as HTTP has it, or broken as a fault wants it.

use super::blobs::BlobPart;
use super::dispatch::Errand;
use super::faults::Action;
use super::replies::Reply;
use super::state::{Simulator, lock};
use std::io;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    KeepOpen,
    Close,
}

/// For bytes to arrive before a reset: those that are on their way are lost with it.
const ARRIVAL: Duration = Duration::from_millis(50);
/// Smaller bodies go out together with the head.
const SMALL_BODY_BYTES: usize = 16 << 10;

/// Answers a request.
pub(super) async fn send(
    stream: &mut TcpStream,
    simulator: &Simulator,
    errand: &Errand,
    reply: &Reply,
) -> io::Result<After> {
    let mut answer = Answer::new(stream, simulator, errand, reply);
    let Some(fault) = &errand.fault else {
        return answer.whole().await;
    };
    match fault {
        Action::Refuse { milliseconds } => {
            simulator.close_listener(Duration::from_millis(*milliseconds)).await;
            Ok(After::Close)
        }
        Action::Close { .. } => Ok(After::Close),
        Action::Reset { after_bytes, .. } => answer.reset(*after_bytes).await,
        Action::Truncate { bytes } => answer.truncated(*bytes).await,
        Action::CloseDelimited { bytes } => answer.close_delimited(*bytes).await,
        Action::Chunked { bytes, ends_well } => answer.chunked(*bytes, *ends_well).await,
        Action::Surplus { bytes, declared } => answer.surplus(*bytes, *declared).await,
        Action::TwoLengths => answer.two_lengths().await,
        Action::LengthAndChunked => answer.length_and_chunked().await,
        Action::Stall { after_bytes: Some(bytes), .. } => {
            answer.stalled(*bytes, fault.stall().unwrap_or_default()).await
        }
        Action::Stall { effect: true, .. } => {
            simulator.pause(fault.stall().unwrap_or_default()).await;
            answer.whole().await
        }
        Action::Drip { milliseconds } => answer.drip(Duration::from_millis(*milliseconds)).await,
        Action::CloseAfter => answer.whole().await.map(|_| After::Close),
        _ => answer.whole().await,
    }
}

/// Answers a request that cannot be read, and ends the connection.
pub(super) async fn refuse(
    stream: &mut TcpStream,
    simulator: &Simulator,
    reply: &Reply,
) -> io::Result<After> {
    let head = head(simulator, reply, &[length(0), CLOSE.to_owned()]);
    stream.write_all(&head).await?;
    Ok(After::Close)
}

const CLOSE: &str = "connection: close";
const CHUNKED: &str = "transfer-encoding: chunked";

fn length(bytes: usize) -> String {
    format!("content-length: {bytes}")
}

/// An answer on its way.
struct Answer<'a> {
    stream: &'a mut TcpStream,
    simulator: &'a Simulator,
    reply: &'a Reply,
    /// Empty where HTTP has no body.
    body: &'a [u8],
    /// Whether a length is announced.
    has_length: bool,
    keep_alive: bool,
    sent: usize,
}

impl<'a> Answer<'a> {
    fn new(
        stream: &'a mut TcpStream,
        simulator: &'a Simulator,
        errand: &Errand,
        reply: &'a Reply,
    ) -> Self {
        let has_body = errand.call.method != "HEAD";
        Self {
            stream,
            simulator,
            reply,
            body: if has_body { &reply.body } else { &[] },
            has_length: !matches!(reply.status, 204 | 304),
            keep_alive: errand.call.keep_alive,
            sent: 0,
        }
    }

    async fn whole(&mut self) -> io::Result<After> {
        let head = self.usual_head();
        let body = self.body;
        if self.reply.part.is_none() && body.len() < SMALL_BODY_BYTES {
            self.stream.write_all(&[&head, body].concat()).await?;
        } else {
            self.stream.write_all(&head).await?;
            self.send_body(body).await?;
        }
        Ok(self.after())
    }

    async fn reset(&mut self, after_bytes: Option<usize>) -> io::Result<After> {
        if let Some(bytes) = after_bytes {
            self.send_start(bytes).await?;
            tokio::time::sleep(ARRIVAL).await;
        }
        self.stream.set_zero_linger()?;
        Ok(After::Close)
    }

    async fn truncated(&mut self, bytes: usize) -> io::Result<After> {
        self.send_start(bytes).await?;
        Ok(After::Close)
    }

    async fn close_delimited(&mut self, bytes: Option<usize>) -> io::Result<After> {
        self.send_head(&[CLOSE.to_owned()]).await?;
        self.send_body(self.first(bytes)).await?;
        Ok(After::Close)
    }

    /// One chunk that announces the whole body. With a proper end the chunk has what is sent, and all seems well.
    async fn chunked(&mut self, bytes: Option<usize>, ends_well: bool) -> io::Result<After> {
        let part = self.first(bytes);
        let is_whole = part.len() == self.body.len();
        self.send_head(&[CHUNKED.to_owned()]).await?;
        let announced = if ends_well { part.len() } else { self.body.len() };
        if announced > 0 {
            self.stream.write_all(format!("{announced:x}\r\n").as_bytes()).await?;
            self.send_body(part).await?;
        }
        if !ends_well && !is_whole {
            return Ok(After::Close);
        }
        self.stream.write_all(if announced > 0 { b"\r\n0\r\n\r\n" } else { b"0\r\n\r\n" }).await?;
        Ok(self.after())
    }

    async fn surplus(&mut self, bytes: usize, declared: bool) -> io::Result<After> {
        let announced = self.body.len() + if declared { bytes } else { 0 };
        self.send_head(&[length(announced)]).await?;
        self.send_body(self.body).await?;
        self.stream.write_all(&vec![b'x'; bytes]).await?;
        Ok(if declared { self.after() } else { After::Close })
    }

    async fn two_lengths(&mut self) -> io::Result<After> {
        let bytes = self.body.len();
        self.send_head(&[length(bytes), length(bytes + 1)]).await?;
        self.send_body(self.body).await?;
        Ok(After::Close)
    }

    async fn length_and_chunked(&mut self) -> io::Result<After> {
        let bytes = self.body.len();
        self.send_head(&[length(bytes), CHUNKED.to_owned()]).await?;
        if bytes > 0 {
            self.stream.write_all(format!("{bytes:x}\r\n").as_bytes()).await?;
            self.send_body(self.body).await?;
            self.stream.write_all(b"\r\n").await?;
        }
        self.stream.write_all(b"0\r\n\r\n").await?;
        Ok(After::Close)
    }

    async fn stalled(&mut self, bytes: usize, pause: Duration) -> io::Result<After> {
        self.send_start(bytes).await?;
        self.simulator.pause(pause).await;
        self.send_body(&self.body[self.sent..]).await?;
        Ok(self.after())
    }

    async fn drip(&mut self, pause: Duration) -> io::Result<After> {
        let head = self.usual_head();
        if self.body.is_empty() {
            for byte in &head {
                self.stream.write_all(std::slice::from_ref(byte)).await?;
                self.simulator.pause(pause).await;
            }
        } else {
            self.stream.write_all(&head).await?;
        }
        for byte in self.body {
            self.send_body(std::slice::from_ref(byte)).await?;
            self.simulator.pause(pause).await;
        }
        Ok(self.after())
    }

    /// What the client expects, unless the fault is another.
    fn after(&self) -> After {
        if self.keep_alive { After::KeepOpen } else { After::Close }
    }

    fn first(&self, bytes: Option<usize>) -> &'a [u8] {
        &self.body[..bytes.unwrap_or(usize::MAX).min(self.body.len())]
    }

    fn usual_head(&self) -> Vec<u8> {
        let mut framing = Vec::new();
        if self.has_length {
            framing.push(length(self.reply.body.len()));
        }
        if !self.keep_alive {
            framing.push(CLOSE.to_owned());
        }
        head(self.simulator, self.reply, &framing)
    }

    /// Sends the head that promises the whole body, and its first bytes.
    async fn send_start(&mut self, bytes: usize) -> io::Result<()> {
        let head = self.usual_head();
        self.stream.write_all(&head).await?;
        self.send_body(self.first(Some(bytes))).await
    }

    async fn send_head(&mut self, framing: &[String]) -> io::Result<()> {
        let head = head(self.simulator, self.reply, framing);
        self.stream.write_all(&head).await
    }

    /// Sends bytes of the body. The last one is counted before it goes: whoever has read it finds it counted.
    async fn send_body(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some((last, mut rest)) = bytes.split_last() else {
            return Ok(());
        };
        while !rest.is_empty() {
            let written = self.stream.write(rest).await?;
            self.count(written);
            rest = &rest[written..];
        }
        self.count(1);
        self.stream.write_all(std::slice::from_ref(last)).await
    }

    fn count(&mut self, bytes: usize) {
        self.sent += bytes;
        if let Some(BlobPart { path, reaches_end }) = &self.reply.part {
            let is_read = *reaches_end && self.sent == self.body.len();
            lock(&self.simulator.blobs).count_sent(path, bytes as u64, is_read);
        }
    }
}

fn head(simulator: &Simulator, reply: &Reply, framing: &[String]) -> Vec<u8> {
    let date = simulator.now().format("%a, %d %b %Y %H:%M:%S GMT");
    let mut text = format!("HTTP/1.1 {} {}\r\n", reply.status, reason(reply.status));
    for (name, value) in &reply.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    for line in framing {
        text.push_str(&format!("{line}\r\n"));
    }
    if reply.header("date").is_none() {
        text.push_str(&format!("date: {date}\r\n"));
    }
    text.push_str("\r\n");
    text.into_bytes()
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        412 => "Precondition Failed",
        416 => "Range Not Satisfiable",
        429 => "Too Many Requests",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        _ => "Status",
    }
}
