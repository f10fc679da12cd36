//! The storage that holds the blobs of reports: signed links, ranges, conditional reads.
//!
//! A blob is rendered when its report completes and kept while there is room; afterwards it is rendered again, with the
//! same bytes. Those of whole months can be rendered before anybody asks: then the server does nothing but send, which
//! is what a measurement of its client needs.

use super::dispatch::Call;
use super::faults::Action;
use super::replies::{storage_error, typed_reply, with_header};
use super::state::{Simulator, azure_time, lock};
use crate::generator::{BlobPlan, Metric, Selection};
use axum::response::Response;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::collections::{HashMap, VecDeque};
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

/// All blobs ever published, and the newest ones rendered.
#[derive(Default)]
pub(super) struct BlobStore {
    plans: HashMap<String, BlobPlan>,
    /// Rendered at the start, and never forgotten.
    prerendered: HashMap<BlobPlan, Blob>,
    rendered: VecDeque<(String, Blob)>,
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
    plan: &BlobPlan,
    valid_till: DateTime<Utc>,
) -> Link {
    let path = format!("/blobs/{CONTAINER}/{report}_{number}.csv");
    lock(&simulator.blobs).plans.insert(path.clone(), plan.clone());
    let blob = fetch(simulator, &path, plan.clone()).await;
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

/// Answers `GET` and `HEAD` of a blob.
pub(super) async fn download(
    simulator: &Arc<Simulator>,
    call: &Call,
    fault: Option<&Action>,
) -> Response {
    if call.headers.contains_key("authorization") {
        let message = "Authentication information is not given in the correct format. Check the value of Authorization header.";
        return storage_error(400, "InvalidAuthenticationInfo", message);
    }
    let is_expired = matches!(fault, Some(Action::ExpireLinks));
    if is_expired || !is_signed(simulator, call) {
        let message = "Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly including the signature.";
        return storage_error(403, "AuthenticationFailed", message);
    }
    let plan = lock(&simulator.blobs).plans.get(&call.path).cloned();
    let Some(plan) = plan else {
        return storage_error(404, "BlobNotFound", "The specified blob does not exist.");
    };
    let blob = fetch(simulator, &call.path, plan).await;
    let expected = call.header("if-match");
    if expected.is_some_and(|etag| etag != "*" && etag != blob.etag) {
        let message = "The condition specified using HTTP conditional header(s) is not met.";
        return storage_error(412, "ConditionNotMet", message);
    }
    content_reply(call, &blob)
}

fn content_reply(call: &Call, blob: &Blob) -> Response {
    let length = blob.content.len();
    let asked = call.header("x-ms-range").or_else(|| call.header("range"));
    let response = match asked.and_then(parse_range) {
        None => typed_reply(200, "text/csv", blob.content.clone()),
        Some((start, _)) if start >= length => {
            let message = "The range specified is invalid for the current size of the resource.";
            let refusal = storage_error(416, "InvalidRange", message);
            return with_header(refusal, "content-range", &format!("bytes */{length}"));
        }
        Some((start, end)) => {
            let end = end.min(length - 1);
            let part = typed_reply(206, "text/csv", blob.content.slice(start..=end));
            with_header(part, "content-range", &format!("bytes {start}-{end}/{length}"))
        }
    };
    let response = with_header(response, "etag", &blob.etag);
    let response = with_header(response, "x-ms-blob-type", "BlockBlob");
    with_header(response, "accept-ranges", "bytes")
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
    let is_valid = DateTime::parse_from_rfc3339(expiry).is_ok_and(|until| until > Utc::now());
    is_genuine && is_valid
}

fn link_signature(simulator: &Simulator, path: &str, expiry: &str) -> String {
    simulator.signature(&format!("{path}\n{expiry}"))
}

/// Returns a blob from the cache, or renders it on a thread that may block.
async fn fetch(simulator: &Arc<Simulator>, path: &str, plan: BlobPlan) -> Blob {
    if let Some(blob) = lock(&simulator.blobs).cached(path, &plan) {
        return blob;
    }
    let enrollment = simulator.enrollment.clone();
    let rendered =
        tokio::task::spawn_blocking(move || Blob::new(enrollment.render_blob(&plan))).await;
    // Rendering does not fail; were it to panic, the blob is empty and its readers will notice.
    let blob = rendered.unwrap_or_else(|_| Blob::new(Vec::new()));
    lock(&simulator.blobs).keep(path, blob.clone());
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
    fn cached(&self, path: &str, plan: &BlobPlan) -> Option<Blob> {
        let newest = || self.rendered.iter().find(|(name, _)| name == path).map(|(_, blob)| blob);
        self.prerendered.get(plan).or_else(newest).cloned()
    }

    fn keep(&mut self, path: &str, blob: Blob) {
        self.rendered_bytes += blob.content.len();
        self.rendered.push_back((path.to_owned(), blob));
        while self.rendered_bytes > MOST_CACHED_BYTES {
            let Some((_, oldest)) = self.rendered.pop_front() else {
                break;
            };
            self.rendered_bytes -= oldest.content.len();
        }
    }
}
