//! The Cost Details report: asked for, waited for, described by a manifest (`azure-apis.md`, 1).
//!
//! ```text
//! POST generateCostDetailsReport ─┬─ 202 + Location ─► GET Location ─┬─ 202: wait, again
//!                                 ├─ 200 (already done) ─────────────┴─ 200: Completed → manifest
//!                                 └─ 204: nothing there                      NoDataFound → nothing
//!                                                                            Failed → error
//! ```

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use costlake_model::{BillingPeriod, Metric, Scope, TimePeriod};
use reqwest::header::LOCATION;
use tokio::time::{Instant, sleep};

use crate::client::{Answer, Client};
use crate::config::RetryLimits;
use crate::error::{Error, Place};
use crate::governor::Entity;
use crate::monitor::Event;
use crate::policy::{self, ApprovedUrl, Purpose};
use crate::retry::{self, Replay};
use crate::secret::SasUrl;
use crate::text;
use crate::wire::{self, Completed, OperationAnswer, Outcome};

const API_VERSION: &str = "2025-03-01";

/// What a report is to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportRequest {
    /// Whose costs.
    pub scope: Scope,
    /// Which view of them.
    pub metric: Metric,
    /// Of when.
    pub period: ReportPeriod,
}

/// The time that a report covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportPeriod {
    /// A month of the bill. Enterprise Agreement only.
    Billing(BillingPeriod),
    /// Some days, at most a month of them.
    Time(TimePeriod),
    /// The month that is still open.
    Open,
}

/// A finished report: what to download, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportManifest {
    /// Azure's name of the work.
    pub operation_id: String,
    /// Where the work can be asked about again; `None` if it was finished at once.
    pub operation: Option<OperationLink>,
    /// What was asked for.
    pub request: ReportRequest,
    /// The parts of the file, at least one, in Azure's order.
    pub blobs: Vec<BlobInfo>,
    /// The size that Azure gives for all blobs. Not reliable: the published example contradicts
    /// itself; the sizes of the blobs count.
    pub byte_count: Option<u64>,
    /// When the links die, by Azure's clock.
    pub valid_till: DateTime<Utc>,
    /// Whether Azure says that the blobs are compressed.
    pub compressed: bool,
}

/// A part of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobInfo {
    /// Position in the manifest, from 0.
    pub ordinal: u32,
    /// Where it lies. A secret.
    pub link: SasUrl,
    /// Its size in bytes, as stored.
    pub byte_count: u64,
    /// When the link dies, by Azure's clock.
    pub valid_till: DateTime<Utc>,
}

/// Where an operation can be asked about, as Azure gave it. Of use to the client that made it only;
/// prints without its query.
#[derive(Clone, PartialEq, Eq)]
pub struct OperationLink(ApprovedUrl);

impl ReportManifest {
    /// The sum of the sizes of the blobs.
    pub fn blob_bytes(&self) -> u64 {
        self.blobs.iter().fold(0, |sum: u64, blob| sum.saturating_add(blob.byte_count))
    }
}

impl Client {
    /// Creates a report and waits until it is finished; `None` if Azure has no data for it.
    ///
    /// Takes minutes as a rule: bounded by [`PollLimits::deadline`](crate::PollLimits). If it is
    /// dropped, the report is made in vain.
    ///
    /// # Errors
    /// Any but those of downloads. [`Error::PollDeadline`] and [`Error::Throttled`] may pass with
    /// time.
    pub async fn create_report(
        &self,
        request: &ReportRequest,
    ) -> Result<Option<ReportManifest>, Error> {
        let created = self.submit_and_wait(request).await;
        created.map_err(|error| error.about(request))
    }

    /// Asks for fresh links to the blobs of a report.
    ///
    /// # Errors
    /// [`Error::ReportGone`] if Azure no longer knows the report, [`Error::ReportChanged`] if it is
    /// not the same any more: in both cases, create it anew and discard what was downloaded.
    pub async fn renew(&self, manifest: &ReportManifest) -> Result<ReportManifest, Error> {
        let Some(link) = manifest.operation.clone() else {
            return Err(Error::ReportGone {
                operation_id: manifest.operation_id.clone(),
                place: None,
            });
        };
        let operation = Operation { id: Some(manifest.operation_id.clone()), link };
        let renewed = self.wait_for(&manifest.request, operation, Duration::ZERO);
        let renewed = renewed.await.map_err(|error| error.about(&manifest.request))?;
        match renewed {
            Some(renewed) => same_report(manifest, renewed),
            None => Err(changed(manifest, "it has no data now".to_owned())),
        }
    }

    /// An operation whose address was kept; `None` if it is no address of the resource manager.
    pub(crate) fn kept_operation(&self, id: &str, address: &str) -> Option<Operation> {
        let endpoints = &self.inner.config.endpoints;
        let link = policy::approve(endpoints, Purpose::Arm, address).ok()?;
        let id = Some(id.to_owned()).filter(|id| !id.is_empty());
        Some(Operation { id, link: OperationLink(link) })
    }

    async fn submit_and_wait(
        &self,
        request: &ReportRequest,
    ) -> Result<Option<ReportManifest>, Error> {
        match self.submit(request).await? {
            Submission::Finished(manifest) => Ok(manifest.map(|manifest| *manifest)),
            Submission::Pending { operation, wait } => {
                self.tell(&Event::Submitted {
                    request,
                    operation_id: operation.id.as_deref().unwrap_or_default(),
                });
                self.wait_for(request, operation, wait).await
            }
        }
    }

    /// Asks Azure for a report. The one call that starts work there.
    pub(crate) async fn submit(&self, request: &ReportRequest) -> Result<Submission, Error> {
        let url = self.submit_url(&request.scope)?;
        let body = wire::request_body(request);
        let limits = &self.inner.config.retry;
        let answer = self.call_arm(&url, Some(&body), Replay::Submit, limits).await?;
        if !matches!(answer.reply.status, 200 | 202 | 204) {
            return Err(answer.into_refusal());
        }
        let operation = self.operation(&answer, &url, None)?;
        let conclusion = match answer.reply.status {
            200 => self.conclude(request, operation.as_ref(), &answer)?,
            204 => self.no_data(request),
            _ => Conclusion::Running,
        };
        match (conclusion, operation) {
            (Conclusion::Finished(manifest), _) => Ok(Submission::Finished(manifest)),
            (Conclusion::Running, Some(operation)) => {
                Ok(Submission::Pending { operation, wait: self.asked_poll_wait(&answer) })
            }
            (Conclusion::Running, None) => {
                Err(answer.violation("it was accepted without a Location"))
            }
        }
    }

    /// Polls until the operation ends, first after `wait`.
    async fn wait_for(
        &self,
        request: &ReportRequest,
        operation: Operation,
        wait: Duration,
    ) -> Result<Option<ReportManifest>, Error> {
        let mut waiting = Waiting::new(self, request, operation, wait);
        loop {
            if let Some(manifest) = waiting.next().await? {
                return Ok(manifest);
            }
        }
    }

    /// Says what a poll found; `None` if its status is an error.
    fn conclude_poll(
        &self,
        request: &ReportRequest,
        operation: &Operation,
        answer: &Answer,
    ) -> Result<Option<Conclusion>, Error> {
        match answer.reply.status {
            200 => self.conclude(request, Some(operation), answer).map(Some),
            202 => Ok(Some(Conclusion::Running)),
            204 => Ok(Some(self.no_data(request))),
            404 | 410 => Err(Error::ReportGone {
                operation_id: operation.id.clone().unwrap_or_default(),
                place: Some(answer.place.clone()),
            }),
            _ => Ok(None),
        }
    }

    async fn poll(
        &self,
        request: &ReportRequest,
        operation: &Operation,
        deadline: Instant,
    ) -> Result<Answer, Error> {
        let retry = self.inner.config.retry;
        let remaining = deadline.saturating_duration_since(Instant::now());
        let limits = RetryLimits { total: retry.total.min(remaining), ..retry };
        let entity = Entity::of_scope(&request.scope);
        self.call_arm_about(entity, &operation.link.0, None, Replay::Safe, &limits).await
    }

    /// Says what a 200 answer means.
    fn conclude(
        &self,
        request: &ReportRequest,
        operation: Option<&Operation>,
        answer: &Answer,
    ) -> Result<Conclusion, Error> {
        let parsed = parse_answer(answer)?;
        let pinned = operation.and_then(|operation| operation.id.clone());
        let operation_id = one_operation(pinned, parsed.operation_id, answer)?;
        match parsed.outcome {
            Outcome::Running => Ok(Conclusion::Running),
            Outcome::NoData => Ok(self.no_data(request)),
            Outcome::Failed { code, message } => Err(Error::ReportFailed {
                operation_id: operation_id.unwrap_or_default(),
                code,
                message,
                place: answer.place.clone(),
            }),
            Outcome::Completed(completed) => {
                let manifest = ReportManifest {
                    operation_id: operation_id.ok_or_else(|| {
                        answer.violation("it is completed without an operation id")
                    })?,
                    operation: operation.map(|operation| operation.link.clone()),
                    request: request.clone(),
                    blobs: self.blobs(request, &completed, answer)?,
                    byte_count: completed.byte_count,
                    valid_till: completed.valid_till,
                    compressed: completed.compressed,
                };
                Ok(self.finished(manifest))
            }
        }
    }

    fn finished(&self, manifest: ReportManifest) -> Conclusion {
        self.tell(&Event::Completed {
            request: &manifest.request,
            blobs: manifest.blobs.len(),
            blob_bytes: manifest.blob_bytes(),
        });
        Conclusion::Finished(Some(Box::new(manifest)))
    }

    fn no_data(&self, request: &ReportRequest) -> Conclusion {
        self.tell(&Event::NoData { request });
        Conclusion::Finished(None)
    }

    /// Checks metric and links of a manifest.
    fn blobs(
        &self,
        request: &ReportRequest,
        completed: &Completed,
        answer: &Answer,
    ) -> Result<Vec<BlobInfo>, Error> {
        let asked = request.metric.azure_name();
        let made = completed.metric.as_deref().unwrap_or(asked);
        if !made.eq_ignore_ascii_case(asked) {
            let made = text::escaped(made);
            return Err(answer.violation(&format!("it shows {made}, asked was {asked}")));
        }
        let mut blobs = Vec::with_capacity(completed.blobs.len());
        for (ordinal, blob) in (0_u32..).zip(&completed.blobs) {
            let link = blob.link.reveal();
            let approved = policy::approve(&self.inner.config.endpoints, Purpose::Blob, link);
            let approved =
                approved.map_err(|refusal| answer.refused_link("a blob link", link, refusal))?;
            blobs.push(BlobInfo {
                ordinal,
                link: SasUrl::new(approved.url().clone()),
                byte_count: blob.byte_count,
                valid_till: completed.valid_till,
            });
        }
        let objects: BTreeSet<&str> = blobs.iter().map(|blob| blob.link.object()).collect();
        if objects.len() < blobs.len() {
            return Err(answer.violation("it lists a blob twice"));
        }
        Ok(blobs)
    }

    /// Where reports of a scope are asked for.
    pub(crate) fn submit_url(&self, scope: &Scope) -> Result<ApprovedUrl, Error> {
        let endpoints = &self.inner.config.endpoints;
        let mut url = endpoints.arm().clone();
        url.set_path(&format!(
            "{}/providers/Microsoft.CostManagement/generateCostDetailsReport",
            scope.path()
        ));
        url.set_query(Some(&format!("api-version={API_VERSION}")));
        policy::approve_url(endpoints, Purpose::Arm, url).map_err(|refusal| Error::Configuration {
            problem: format!("the resource manager cannot be used: {refusal}"),
        })
    }

    /// Returns the operation that an answer points to, if it does, refusing any other than `pinned`.
    fn operation(
        &self,
        answer: &Answer,
        base: &ApprovedUrl,
        pinned: Option<&str>,
    ) -> Result<Option<Operation>, Error> {
        let Some(location) = answer.reply.headers.get(LOCATION) else {
            return Ok(None);
        };
        let location =
            location.to_str().map_err(|_| answer.violation("its Location is not ASCII"))?;
        let approved = policy::approve_location(&self.inner.config.endpoints, base, location);
        let url = approved
            .map_err(|refusal| answer.refused_link("a Location header", location, refusal))?;
        let segment = url.url().path_segments().and_then(|mut segments| segments.next_back());
        let id = segment.and_then(|text| wire::checked_operation_id(text).ok());
        let id = one_operation(pinned.map(str::to_owned), id, answer)?;
        let link = OperationLink(url);
        Ok(Some(Operation { id, link }))
    }

    /// Returns the operation with the address of the last answer, which may differ from the one
    /// before; without one the last good one stays.
    fn moved(&self, operation: Operation, answer: &Answer) -> Result<Operation, Error> {
        let moved = self.operation(answer, &operation.link.0, operation.id.as_deref())?;
        Ok(moved.unwrap_or(operation))
    }

    fn asked_poll_wait(&self, answer: &Answer) -> Duration {
        let config = &self.inner.config;
        match retry::asked_wait(&answer.reply.headers, Utc::now()) {
            Some(asked) => retry::clamped(&config.retry, asked),
            None => config.poll.default_wait,
        }
    }

    pub(crate) fn tell(&self, event: &Event<'_>) {
        self.inner.monitor.on_event(event);
    }
}

/// Waiting for an operation to end, poll by poll.
pub(crate) struct Waiting<'a> {
    client: &'a Client,
    request: &'a ReportRequest,
    operation: Operation,
    /// Until the next poll.
    wait: Duration,
    polls: u32,
    started: Instant,
}

impl<'a> Waiting<'a> {
    pub(crate) fn new(
        client: &'a Client,
        request: &'a ReportRequest,
        operation: Operation,
        wait: Duration,
    ) -> Self {
        Self { client, request, operation, wait, polls: 0, started: Instant::now() }
    }

    /// Where Azure says now that it can be asked.
    pub(crate) fn operation(&self) -> &Operation {
        &self.operation
    }

    /// Waits and polls once. Returns how the operation ended, with the manifest if there is data; `None` while Azure
    /// works on it.
    pub(crate) async fn next(&mut self) -> Result<Option<Option<ReportManifest>>, Error> {
        let deadline = self.started + self.client.inner.config.poll.deadline;
        let remaining = deadline.saturating_duration_since(Instant::now());
        if self.polls > 0 && remaining.is_zero() {
            return Err(poll_deadline(&self.operation, self.polls, self.started.elapsed()));
        }
        let wait = self.wait.min(remaining);
        self.client.tell(&Event::Waiting { request: self.request, polls: self.polls, wait });
        sleep(wait).await;
        let answer = self.client.poll(self.request, &self.operation, deadline).await?;
        self.polls += 1;
        match self.client.conclude_poll(self.request, &self.operation, &answer)? {
            Some(Conclusion::Finished(manifest)) => {
                return Ok(Some(manifest.map(|manifest| *manifest)));
            }
            Some(Conclusion::Running) => {
                self.operation = self.client.moved(self.operation.clone(), &answer)?;
            }
            None => return Err(answer.into_refusal()),
        }
        self.wait = self.client.asked_poll_wait(&answer);
        Ok(None)
    }
}

/// Work at Azure and where to ask about it.
#[derive(Clone)]
pub(crate) struct Operation {
    pub(crate) id: Option<String>,
    link: OperationLink,
}

/// Parameters of an operation's address that are known to be no secret: the version, the kind of
/// operation, and the mark of what the caller has seen (`azure-apis.md`, 0).
const PUBLIC_PARAMETERS: [&str; 3] = ["api-version", "operationtype", "sessiontoken"];

impl Operation {
    /// Where it can be asked about.
    pub(crate) fn link(&self) -> &OperationLink {
        &self.link
    }
}

impl OperationLink {
    /// The address without parameters that could be secret, to be kept.
    pub(crate) fn public_address(&self) -> String {
        let mut url = self.0.url().clone();
        let is_public = |name: &str| PUBLIC_PARAMETERS.iter().any(|p| p.eq_ignore_ascii_case(name));
        let kept: Vec<(String, String)> =
            url.query_pairs().into_owned().filter(|(name, _)| is_public(name)).collect();
        url.set_query(None);
        if !kept.is_empty() {
            url.query_pairs_mut().extend_pairs(kept);
        }
        url.into()
    }
}

pub(crate) enum Submission {
    Finished(Option<Box<ReportManifest>>),
    Pending { operation: Operation, wait: Duration },
}

enum Conclusion {
    Finished(Option<Box<ReportManifest>>),
    Running,
}

impl Answer {
    fn violation(&self, violation: &str) -> Error {
        Error::Protocol { violation: violation.to_owned(), place: self.place.clone() }
    }

    fn refused_link(&self, what: &'static str, link: &str, refusal: policy::Refusal) -> Error {
        let url = url::Url::parse(link).ok();
        Error::RefusedDestination {
            what,
            destination: url.map_or_else(|| "an odd address".to_owned(), |url| text::origin(&url)),
            refusal,
            place: self.place.clone(),
        }
    }
}

fn parse_answer(answer: &Answer) -> Result<OperationAnswer, Error> {
    if answer.reply.is_page() {
        return Err(Error::UnexpectedPage {
            expected: "the state of a report",
            title: text::html_title(&answer.reply.body),
            place: answer.place.clone(),
        });
    }
    wire::parse_operation(&answer.reply.body).map_err(|violation| answer.violation(&violation))
}

/// Returns the id of an operation, refusing the answer of another one.
///
/// Only GUIDs are compared: a path may end in something else than the id.
fn one_operation(
    pinned: Option<String>,
    found: Option<String>,
    answer: &Answer,
) -> Result<Option<String>, Error> {
    match (pinned, found) {
        (Some(pinned), Some(found)) => {
            let differs =
                is_guid(&pinned) && is_guid(&found) && !pinned.eq_ignore_ascii_case(&found);
            if differs {
                return Err(
                    answer.violation(&format!("it is about operation {found}, not {pinned}"))
                );
            }
            Ok(Some(if is_guid(&found) { found } else { pinned }))
        }
        (pinned, found) => Ok(pinned.or(found)),
    }
}

fn is_guid(text: &str) -> bool {
    let lengths = text.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]) && text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit())
}

fn same_report(before: &ReportManifest, renewed: ReportManifest) -> Result<ReportManifest, Error> {
    if before.blobs.len() != renewed.blobs.len() {
        let (old, new) = (before.blobs.len(), renewed.blobs.len());
        return Err(changed(before, format!("it had {old} blobs and has {new}")));
    }
    for (old, new) in before.blobs.iter().zip(&renewed.blobs) {
        if old.byte_count != new.byte_count {
            let (ordinal, old, new) = (old.ordinal, old.byte_count, new.byte_count);
            return Err(changed(before, format!("blob {ordinal} had {old} bytes and has {new}")));
        }
    }
    Ok(renewed)
}

fn changed(manifest: &ReportManifest, change: String) -> Error {
    Error::ReportChanged { operation_id: manifest.operation_id.clone(), change }
}

fn poll_deadline(operation: &Operation, polls: u32, elapsed: Duration) -> Error {
    Error::PollDeadline {
        operation_id: operation.id.clone().unwrap_or_default(),
        polls,
        place: Box::new(Place {
            request: None,
            blob: None,
            method: "GET",
            address: operation.link.to_string(),
            attempts: polls,
            elapsed,
            request_id: None,
        }),
    }
}

impl fmt::Display for ReportRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} costs of {} for {}", self.metric, self.scope, self.period)
    }
}

impl fmt::Display for ReportPeriod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Billing(period) => write!(f, "{period}"),
            Self::Time(period) => write!(f, "{} to {}", period.start(), period.end()),
            Self::Open => f.write_str("the open month"),
        }
    }
}

impl fmt::Display for OperationLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&text::redacted(self.0.url()))
    }
}

impl fmt::Debug for OperationLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OperationLink({self})")
    }
}
