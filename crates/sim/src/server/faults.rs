//! Faults on request: what goes wrong, on which request. `docs/simulator.md` has the list.

use super::dispatch::RouteKind;
use super::packing::{Packing, Variant};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// Faults in the form of `POST /_simulator/faults`, to begin with.
#[derive(Clone, Debug, Default)]
pub struct FaultList(pub(super) Vec<Fault>);

impl FaultList {
    /// Reads a JSON list of faults.
    ///
    /// # Errors
    /// Text that is not JSON, an unknown action or field, a fault that can never be due.
    pub fn from_json(json: &[u8]) -> Result<Self, serde_json::Error> {
        let faults: Vec<Fault> = serde_json::from_slice(json)?;
        for (number, fault) in faults.iter().enumerate() {
            fault.check().map_err(|wrong| {
                serde_json::Error::custom(format!("fault {}: {wrong}", number + 1))
            })?;
        }
        Ok(Self(faults))
    }
}

/// A fault and the requests it hits.
///
/// Without `nth` it waits in a queue: it hits requests of its kind, after `skip` of them, `count` times. With `nth` it
/// hits that request of all, and `count - 1` more behind it, if they are of its kind.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fault {
    /// `None` is every kind.
    #[serde(default, deserialize_with = "route")]
    route: Option<RouteKind>,
    #[serde(default)]
    skip: u32,
    /// Counted from 1 over all requests but those of the control plane.
    #[serde(default)]
    nth: Option<u64>,
    #[serde(default = "once")]
    count: u32,
    #[serde(default)]
    forever: bool,
    action: Action,
}

/// What goes wrong.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Action {
    /// Another reply: any status, headers and body. Throttling is 429 with retry headers.
    Reply {
        status: u16,
        #[serde(default)]
        headers: BTreeMap<String, HeaderText>,
        #[serde(default)]
        body: String,
        #[serde(default)]
        effect: bool,
    },
    /// A page for people, as proxies and gateways send.
    Html {
        #[serde(default = "bad_gateway")]
        status: u16,
        #[serde(default)]
        effect: bool,
    },
    /// Nobody listens for a while, and this connection ends.
    Refuse { milliseconds: u64 },
    /// The connection ends without a reply.
    Close {
        #[serde(default)]
        effect: bool,
    },
    /// The connection is reset: without a reply, or after so many bytes of the body.
    Reset {
        #[serde(default)]
        after_bytes: Option<usize>,
        #[serde(default)]
        effect: bool,
    },
    /// The connection ends after so many bytes of the body; `Content-Length` promises all of them.
    Truncate { bytes: usize },
    /// No length; the body ends with the connection, cut to so many bytes.
    CloseDelimited {
        #[serde(default)]
        bytes: Option<usize>,
    },
    /// Chunked, cut after so many bytes: in the middle of a chunk, or with the end that a whole body has.
    Chunked {
        #[serde(default)]
        bytes: Option<usize>,
        #[serde(default)]
        ends_well: bool,
    },
    /// More bytes than there are: behind the length that was promised, or within it.
    Surplus {
        bytes: usize,
        #[serde(default)]
        declared: bool,
    },
    /// Two lengths that differ by one.
    TwoLengths,
    /// A length, and chunks.
    LengthAndChunked,
    /// Nothing comes for a while: before the reply, or after so many bytes of its body.
    Stall {
        #[serde(default)]
        seconds: u64,
        #[serde(default)]
        milliseconds: u64,
        #[serde(default)]
        after_bytes: Option<usize>,
        #[serde(default)]
        effect: bool,
    },
    /// The body, or the head where there is no body, comes byte by byte.
    Drip { milliseconds: u64 },
    /// The connection is closed behind the reply, which does not say so.
    CloseAfter,
    /// So many more headers, each with a value of so many bytes.
    Headers { count: usize, bytes: usize },
    /// On blob: it has another `ETag` from now on.
    Etag,
    /// On blob: the whole is sent, although a range was asked for.
    IgnoreRange,
    /// On blob: a range that starts so many bytes behind the one that was asked for.
    WrongRange {
        #[serde(default = "one_byte")]
        by: i64,
    },
    /// On blob: the range is refused.
    RefuseRange,
    /// On poll: not yet, although the report is ready.
    NeverReady,
    /// On submit or poll: 202 does not say where to ask.
    NoLocation,
    /// On submit or poll: 202 says where to ask without scheme and host.
    RelativeLocation,
    /// On submit or poll: 202 says something else. `{origin}` and `{path}` are those of the right one.
    Location { text: String },
    /// On submit or poll: another `status` in the body; none if null.
    Status { value: Option<String> },
    /// Changes a JSON body: values by JSON pointer, copied ones, then removed ones. `{origin}`, `{path}` and `{value}` in
    /// texts are those of the value before.
    Edit {
        #[serde(default)]
        set: BTreeMap<String, Value>,
        #[serde(default)]
        copy: Vec<Copied>,
        #[serde(default)]
        remove: Vec<String>,
    },
    /// Another body with its right length: a text, so many times, before or instead of the right one; cut.
    Body {
        #[serde(default)]
        raw: Option<String>,
        #[serde(default = "one_time")]
        repeat: usize,
        #[serde(default)]
        keep: bool,
        #[serde(default)]
        bytes: Option<usize>,
    },
    /// The body of this answer is packed.
    Gzip {
        #[serde(default)]
        variant: Variant,
        #[serde(default = "a_gigabyte")]
        expanded_bytes: u64,
        #[serde(default)]
        encoding: Option<String>,
    },
    /// On submit or poll: the blobs of this report are packed, and their sizes in the manifest are those of what is sent.
    Compress {
        #[serde(default)]
        variant: Variant,
        #[serde(default = "a_gigabyte")]
        expanded_bytes: u64,
        #[serde(default = "yes")]
        flag: bool,
    },
    /// One bit of the body is wrong.
    Flip {
        byte: usize,
        #[serde(default)]
        md5: bool,
    },
    /// The answer has `Content-MD5`.
    Md5,
    /// On poll: the answer about another report.
    Swap,
    /// The open month moves on before this request.
    Advance,
    /// On submit or poll: the report fails.
    FailedReport {
        #[serde(default = "server_timeout")]
        code: String,
        #[serde(default)]
        message: String,
    },
    /// On submit: the report has no data.
    NoDataFound,
    /// On submit: the reply is the complete report.
    CompleteAtOnce,
    /// On poll: the links are too old when they arrive. On blob: this link is too old.
    ExpireLinks,
    /// On poll: the manifest claims so many bytes more for the first blob than it has.
    OverstateBytes { by: u64 },
    /// On submit or poll: all tokens handed out so far are too old.
    ExpireTokens,
}

/// The value of a header, or its values if it comes several times.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum HeaderText {
    Once(String),
    Several(Vec<String>),
}

impl HeaderText {
    /// Returns the values.
    pub(super) fn values(&self) -> &[String] {
        match self {
            Self::Once(value) => std::slice::from_ref(value),
            Self::Several(values) => values,
        }
    }
}

/// A value that is copied within a JSON body.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Copied {
    pub(super) from: String,
    pub(super) to: String,
    #[serde(default = "one_time")]
    pub(super) times: usize,
}

fn route<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<RouteKind>, D::Error> {
    let name = String::deserialize(deserializer)?;
    match RouteKind::named(&name) {
        Some(kind) => Ok(Some(kind)),
        None if name == "any" => Ok(None),
        None => Err(D::Error::custom(format!(
            "unknown route `{name}`, expected token, submit, poll, blob, other or any"
        ))),
    }
}

fn once() -> u32 {
    1
}

fn one_byte() -> i64 {
    1
}

fn one_time() -> usize {
    1
}

fn yes() -> bool {
    true
}

fn a_gigabyte() -> u64 {
    1 << 30
}

fn bad_gateway() -> u16 {
    502
}

fn server_timeout() -> String {
    "ServerTimeout".to_owned()
}

impl Action {
    /// Returns whether the request is not carried out.
    pub(super) fn prevents(&self) -> bool {
        match self {
            Self::Reply { effect, .. }
            | Self::Html { effect, .. }
            | Self::Close { effect }
            | Self::Reset { effect, after_bytes: None } => !effect,
            Self::Refuse { .. } => true,
            _ => false,
        }
    }

    /// Returns whether the client gets no status.
    pub(super) fn is_silent(&self) -> bool {
        matches!(
            self,
            Self::Refuse { .. } | Self::Close { .. } | Self::Reset { after_bytes: None, .. }
        )
    }

    /// Returns how an answer or the blobs of a report are packed.
    pub(super) fn packing(&self) -> Option<Packing> {
        match self {
            Self::Gzip { variant, expanded_bytes, .. }
            | Self::Compress { variant, expanded_bytes, .. } => {
                Some(Packing { variant: *variant, expanded_bytes: *expanded_bytes })
            }
            _ => None,
        }
    }

    /// Returns how long nothing comes, if that is what goes wrong.
    pub(super) fn stall(&self) -> Option<Duration> {
        match self {
            Self::Stall { seconds, milliseconds, .. } => {
                Some(Duration::from_secs(*seconds) + Duration::from_millis(*milliseconds))
            }
            _ => None,
        }
    }
}

impl Fault {
    /// Says what keeps it from ever being due.
    fn check(&self) -> Result<(), &'static str> {
        if self.nth == Some(0) {
            return Err("nth counts from 1");
        }
        if self.nth.is_some() && self.skip > 0 {
            return Err("nth and skip exclude each other");
        }
        if self.count == 0 {
            return Err("count is 0; for all requests write \"forever\": true");
        }
        Ok(())
    }

    fn admits(&self, kind: RouteKind) -> bool {
        self.route.is_none_or(|route| route == kind)
    }

    /// Returns whether it names this request by its number.
    fn names(&self, request: u64) -> bool {
        self.nth.is_some_and(|first| {
            request >= first && (self.forever || request - first < u64::from(self.count))
        })
    }
}

/// Faults to come.
#[derive(Default)]
pub(super) struct FaultQueue {
    faults: Vec<Fault>,
    /// Requests since the start, or since the faults were forgotten.
    requests: u64,
}

impl FaultQueue {
    /// Adds faults behind the waiting ones.
    pub(super) fn extend(&mut self, faults: FaultList) {
        self.faults.extend(faults.0);
    }

    /// Forgets all faults and counts requests anew.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Returns the fault of the next request: one that names it by its number, else the first in the queue for its kind,
    /// whose turn may not have come yet.
    pub(super) fn take(&mut self, kind: RouteKind) -> Option<Action> {
        self.requests += 1;
        let request = self.requests;
        let named = self.faults.iter().find(|fault| fault.names(request) && fault.admits(kind));
        if let Some(fault) = named {
            return Some(fault.action.clone());
        }
        let waits = |fault: &Fault| fault.nth.is_none() && fault.admits(kind);
        let position = self.faults.iter().position(waits)?;
        self.use_up(position)
    }

    fn use_up(&mut self, position: usize) -> Option<Action> {
        let fault = &mut self.faults[position];
        if fault.skip > 0 {
            fault.skip -= 1;
            return None;
        }
        let action = fault.action.clone();
        if !fault.forever {
            fault.count = fault.count.saturating_sub(1);
        }
        if fault.count == 0 {
            drop(self.faults.remove(position));
        }
        Some(action)
    }
}
