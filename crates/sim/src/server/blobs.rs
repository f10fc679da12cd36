//! The storage that holds the blobs of reports: signed links, ranges, conditional reads.
//!
//! A blob is rendered when its report completes and kept while there is room; afterwards it is rendered again, with the
//! same bytes. Those of whole months can be rendered before anybody asks: then the server does nothing but send, which
//! is what a measurement of its client needs.

use super::faults::Action;
use super::packing::Packing;
use super::replies::{Reply, storage_error, typed_reply, with_header};
use super::request::Call;
use super::state::{Simulator, azure_time, lock};
use crate::generator::{BlobPlan, Metric, Selection};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use rayon::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

const CONTAINER: &str = "armreports";
const STORAGE_VERSION: &str = "2020-05-31";
/// Rendered blobs are forgotten, oldest first, above this size.
const MOST_CACHED_BYTES: usize = 256 << 20;

/// A link to a blob.
#[derive(Clone)]
pub(super) struct Link {
    /// With signature.
    pub(super) url: String,
    /// Size of the blob.
    pub(super) bytes: u64,
}

/// Which blob an answer is about.
#[derive(Clone, Debug)]
pub(super) struct BlobPart {
    pub(super) path: String,
    /// Whether the last byte of the answer is the last of the blob.
    pub(super) reaches_end: bool,
}

/// What a blob is made from.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Recipe {
    pub(super) plan: BlobPlan,
    pub(super) packing: Option<Packing>,
}

/// A blob that has a link.
struct Published {
    recipe: Recipe,
    /// Size as sent.
    size_bytes: u64,
    /// How often it got another `ETag`.
    tag_changes: u32,
    requests: u64,
    whole_reads: u64,
    bytes_sent: u64,
}

/// All blobs ever published, and the newest ones rendered.
#[derive(Default)]
pub(super) struct BlobStore {
    published: BTreeMap<String, Published>,
    /// Rendered at the start, and never forgotten.
    prerendered: HashMap<BlobPlan, Blob>,
    rendered: VecDeque<(String, Recipe, Blob)>,
    rendered_bytes: usize,
}

#[derive(Clone)]
struct Blob {
    content: Bytes,
    etag: String,
}

/// Renders the blobs of every month, both metrics, whole enrollment, in its first state.
pub(super) async fn prerender(simulator: &Arc<Simulator>) {
    let (enrollment, config) = (simulator.enrollment.clone(), &simulator.config);
    let (revision, blobs) = (config.revision, config.blobs_per_report);
    let render = move || -> HashMap<BlobPlan, Blob> {
        let plans: Vec<BlobPlan> = [Metric::ActualCost, Metric::AmortizedCost]
            .into_iter()
            .flat_map(|metric| {
                enrollment.config().months().into_iter().map(move |month| (metric, month))
            })
            .map(|(metric, month)| Selection { revision, ..Selection::month(metric, month) })
            .flat_map(|selection| enrollment.plan(&selection, blobs))
            .collect();
        let blob = |plan: BlobPlan| {
            let blob = Blob::new(enrollment.render_blob(&plan));
            (plan, blob)
        };
        plans.into_par_iter().map(blob).collect()
    };
    // Rendering does not fail; were it to panic, the blobs are rendered when they are asked for.
    let rendered = tokio::task::spawn_blocking(render).await.unwrap_or_default();
    lock(&simulator.blobs).prerendered = rendered;
}

/// Stores a blob of a report and returns its link.
pub(super) async fn publish(
    simulator: &Arc<Simulator>,
    report: &str,
    number: usize,
    recipe: &Recipe,
    valid_till: DateTime<Utc>,
) -> Link {
    let path = blob_path(report, number);
    let blob = fetch(simulator, &path, recipe.clone()).await;
    lock(&simulator.blobs).publish(&path, recipe, blob.content.len() as u64);
    let expiry = azure_time(valid_till);
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("sv", STORAGE_VERSION)
        .append_pair("se", &expiry)
        .append_pair("sr", "b")
        .append_pair("sp", "r")
        .append_pair("sig", &link_signature(simulator, &path, &expiry))
        .finish();
    Link { url: format!("{}{path}?{query}", simulator.origin), bytes: blob.content.len() as u64 }
}

/// Returns what became of a blob of a report: path, size in bytes, and how much of it was read. Null before it has a link.
pub(super) fn account(simulator: &Simulator, report: &str, number: usize) -> Value {
    let path = blob_path(report, number);
    let store = lock(&simulator.blobs);
    let account = store.published.get(&path).map(|blob| {
        json!({
            "path": path, "bytes": blob.size_bytes, "requests": blob.requests,
            "whole_reads": blob.whole_reads, "bytes_sent": blob.bytes_sent,
        })
    });
    account.unwrap_or_default()
}

fn blob_path(report: &str, number: usize) -> String {
    format!("/blobs/{CONTAINER}/{report}_{number}.csv")
}

/// Answers `GET` and `HEAD` of a blob.
pub(super) async fn download(
    simulator: &Arc<Simulator>,
    call: &Call,
    fault: Option<&Action>,
) -> Reply {
    if matches!(fault, Some(Action::Etag)) {
        lock(&simulator.blobs).change_tag(&call.path);
    }
    let recipe = lock(&simulator.blobs).request(&call.path);
    if call.header("authorization").is_some() {
        let message = "Authentication information is not given in the correct format. Check the value of Authorization header.";
        return storage_error(400, "InvalidAuthenticationInfo", message);
    }
    let is_expired = matches!(fault, Some(Action::ExpireLinks));
    if is_expired || !is_signed(simulator, call) {
        let message = "Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly including the signature.";
        return storage_error(403, "AuthenticationFailed", message);
    }
    let Some((recipe, tag_changes)) = recipe else {
        return storage_error(404, "BlobNotFound", "The specified blob does not exist.");
    };
    let mut blob = fetch(simulator, &call.path, recipe).await;
    if tag_changes > 0 {
        blob.etag = blob.etag.replacen("0x8", &format!("0x8{tag_changes:X}"), 1);
    }
    let expected = call.header("if-match");
    if expected.is_some_and(|etag| etag != "*" && etag != blob.etag) {
        let message = "The condition specified using HTTP conditional header(s) is not met.";
        return storage_error(412, "ConditionNotMet", message);
    }
    content_reply(call, &blob, fault)
}

fn content_reply(call: &Call, blob: &Blob, fault: Option<&Action>) -> Reply {
    let length = blob.content.len();
    let asked = call.header("x-ms-range").or_else(|| call.header("range")).and_then(parse_range);
    let range = match fault {
        Some(Action::IgnoreRange) => None,
        Some(Action::WrongRange { by }) => asked.map(|asked| shifted(asked, *by)),
        Some(Action::RefuseRange) => asked.map(|_| (length, length)),
        _ => asked,
    };
    let (mut reply, end) = match range {
        None => (typed_reply(200, "text/csv", blob.content.clone()), length),
        Some((start, _)) if start >= length => {
            let message = "The range specified is invalid for the current size of the resource.";
            let refusal = storage_error(416, "InvalidRange", message);
            return with_header(refusal, "content-range", &format!("bytes */{length}"));
        }
        Some((start, last)) => {
            let last = last.min(length - 1);
            let part = typed_reply(206, "text/csv", blob.content.slice(start..=last));
            let place = format!("bytes {start}-{last}/{length}");
            (with_header(part, "content-range", &place), last + 1)
        }
    };
    reply.set_header("etag", &blob.etag);
    reply.set_header("x-ms-blob-type", "BlockBlob");
    reply.set_header("accept-ranges", "bytes");
    reply.part = Some(BlobPart { path: call.path.clone(), reaches_end: end == length });
    reply
}

/// Moves the start of a range; not beyond its end, nor before the blob.
fn shifted((start, last): (usize, usize), by: i64) -> (usize, usize) {
    let by = isize::try_from(by).unwrap_or_default();
    (start.saturating_add_signed(by).min(last), last)
}

/// Reads `bytes=5-9` and `bytes=5-`; anything else is ignored, as Azure Storage does. The end is inclusive.
fn parse_range(range: &str) -> Option<(usize, usize)> {
    let (start, end) = range.strip_prefix("bytes=")?.split_once('-')?;
    let start = start.parse().ok()?;
    let end = if end.is_empty() { usize::MAX } else { end.parse().ok()? };
    (start <= end).then_some((start, end))
}

fn is_signed(simulator: &Simulator, call: &Call) -> bool {
    let parameter = |name: &str| call.query.get(name).map(String::as_str).unwrap_or_default();
    let expiry = parameter("se");
    let is_genuine = parameter("sig") == link_signature(simulator, &call.path, expiry);
    let is_valid = DateTime::parse_from_rfc3339(expiry).is_ok_and(|until| until > simulator.now());
    is_genuine && is_valid
}

fn link_signature(simulator: &Simulator, path: &str, expiry: &str) -> String {
    simulator.signature(&format!("{path}\n{expiry}"))
}

/// Returns a blob from the cache, or renders it on a thread that may block.
async fn fetch(simulator: &Arc<Simulator>, path: &str, recipe: Recipe) -> Blob {
    if let Some(blob) = lock(&simulator.blobs).cached(path, &recipe) {
        return blob;
    }
    let enrollment = simulator.enrollment.clone();
    let made = recipe.clone();
    let rendered = tokio::task::spawn_blocking(move || {
        let content = enrollment.render_blob(&recipe.plan);
        Blob::new(match recipe.packing {
            Some(packing) => packing.pack(&content),
            None => content,
        })
    });
    // Rendering does not fail; were it to panic, the blob is empty and its readers will notice.
    let blob = rendered.await.unwrap_or_else(|_| Blob::new(Vec::new()));
    lock(&simulator.blobs).keep(path, made, blob.clone());
    blob
}

impl Blob {
    fn new(content: Vec<u8>) -> Self {
        let digest: String =
            Sha256::digest(&content)[..7].iter().map(|byte| format!("{byte:02X}")).collect();
        Self { content: content.into(), etag: format!("\"0x8{digest}\"") }
    }
}

impl BlobStore {
    fn publish(&mut self, path: &str, recipe: &Recipe, size_bytes: u64) {
        let new = || Published {
            recipe: recipe.clone(),
            size_bytes,
            tag_changes: 0,
            requests: 0,
            whole_reads: 0,
            bytes_sent: 0,
        };
        let blob = self.published.entry(path.to_owned()).or_insert_with(new);
        blob.recipe = recipe.clone();
        blob.size_bytes = size_bytes;
    }

    /// Counts a request; returns what the blob is made from, and how often it got another `ETag`.
    fn request(&mut self, path: &str) -> Option<(Recipe, u32)> {
        let blob = self.published.get_mut(path)?;
        blob.requests += 1;
        Some((blob.recipe.clone(), blob.tag_changes))
    }

    fn change_tag(&mut self, path: &str) {
        if let Some(blob) = self.published.get_mut(path) {
            blob.tag_changes += 1;
        }
    }

    /// Counts bytes that were sent, and whether the last one of the blob was among them.
    pub(super) fn count_sent(&mut self, path: &str, bytes: u64, is_read: bool) {
        if let Some(blob) = self.published.get_mut(path) {
            blob.bytes_sent += bytes;
            blob.whole_reads += u64::from(is_read);
        }
    }

    fn cached(&self, path: &str, recipe: &Recipe) -> Option<Blob> {
        let prerendered = self.prerendered.get(&recipe.plan).filter(|_| recipe.packing.is_none());
        let newest = || {
            let mut rendered = self.rendered.iter();
            rendered.find(|(name, made, _)| name == path && made == recipe).map(|(_, _, blob)| blob)
        };
        prerendered.or_else(newest).cloned()
    }

    fn keep(&mut self, path: &str, recipe: Recipe, blob: Blob) {
        self.rendered_bytes += blob.content.len();
        self.rendered.push_back((path.to_owned(), recipe, blob));
        while self.rendered_bytes > MOST_CACHED_BYTES {
            let Some((_, _, oldest)) = self.rendered.pop_front() else {
                break;
            };
            self.rendered_bytes -= oldest.content.len();
        }
    }
}
