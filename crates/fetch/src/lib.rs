//! Cost reports over the wire: asks Azure for a Cost Details report, waits for it, downloads it.
//!
//! ```text
//! ReportRequest ── create_report ──► ReportManifest ── download(&BlobInfo) ──► raw bytes
//!                  submit, poll        blobs, valid_till │  LinkExpired
//!                                          ▲───── renew ─┘
//! ```
//!
//! Every request goes through one choke point ([`policy`](self)) that decides, after parsing, which
//! address may get which credential, and through one retry loop with bounds. Nothing is printed:
//! progress goes to a [`Monitor`], facts about failures into an [`Error`].

mod auth;
mod client;
mod config;
mod cost_details;
mod download;
mod endpoints;
mod error;
mod fetcher;
mod governor;
pub mod journal;
mod landing;
mod monitor;
mod policy;
mod probe;
mod retry;
mod secret;
mod text;
mod transport;
mod wire;

pub use auth::{Candidate, Certificate, Credentials, ManagedIdentityId};
pub use client::Client;
pub use config::{
    Config, DEFAULT_CLIENT_TYPE, DEFAULT_CONCURRENCY, PollLimits, RetryLimits, Timeouts,
};
pub use cost_details::{BlobInfo, OperationLink, ReportManifest, ReportPeriod, ReportRequest};
pub use download::Download;
pub use endpoints::{Cloud, Endpoints, StorageHost};
pub use error::{Error, ErrorKind, Place};
pub use fetcher::{ArrivingReport, Fetched, Fetcher, Splitting};
pub use governor::BudgetState;
pub use landing::{ArrivingBlob, Landing};
pub use monitor::{Event, Monitor, NoMonitor};
pub use policy::Refusal;
pub use probe::{Identity, Readable, Right};
pub use secret::{SasUrl, Secret};
