//! Progress, told to whoever asked.

use std::time::Duration;

use crate::cost_details::ReportRequest;
use crate::error::Error;

/// Hears what a client is doing. Called from many tasks; must not block.
pub trait Monitor: Send + Sync {
    /// Called once per event, in the order of the events of one report.
    fn on_event(&self, event: &Event<'_>);
}

/// Something that happened on the way to a report.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Azure took the request and works on it.
    Submitted {
        /// What was asked for.
        request: &'a ReportRequest,
        /// Azure's name of the work.
        operation_id: &'a str,
    },
    /// A report that was asked for before is gone on with.
    Resumed {
        /// What was asked for.
        request: &'a ReportRequest,
        /// Azure's name of the work.
        operation_id: &'a str,
    },
    /// A report that could not be had whole is fetched in parts.
    Split {
        /// What was asked for.
        request: &'a ReportRequest,
        /// How many parts.
        parts: usize,
        /// Why it could not be had whole.
        why: &'a Error,
    },
    /// The report is not ready; the next poll follows after `wait`.
    Waiting {
        /// What was asked for.
        request: &'a ReportRequest,
        /// Polls so far.
        polls: u32,
        /// Until the next one.
        wait: Duration,
    },
    /// The report is ready to be downloaded.
    Completed {
        /// What was asked for.
        request: &'a ReportRequest,
        /// Number of blobs.
        blobs: usize,
        /// Sum over the blobs.
        blob_bytes: u64,
    },
    /// Azure has nothing for the scope and period.
    NoData {
        /// What was asked for.
        request: &'a ReportRequest,
    },
    /// A request failed and is sent again after `wait`.
    Retrying {
        /// HTTP method.
        method: &'static str,
        /// Redacted address.
        address: &'a str,
        /// Times sent so far.
        attempts: u32,
        /// The status that was answered, if any.
        status: Option<u16>,
        /// Until it is sent again.
        wait: Duration,
    },
    /// A request is held back, since an earlier answer asked for patience or said that few requests
    /// remain. Told for waits of 1 s or more, once per request and block.
    Paused {
        /// The scope path, in lower case, whose requests are held; `None` if all of the client are.
        entity: Option<&'a str>,
        /// Until it is sent, at least.
        wait: Duration,
    },
}

/// Hears nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoMonitor;

impl Monitor for NoMonitor {
    fn on_event(&self, _event: &Event<'_>) {}
}
