//! The charges of one invented Enterprise Agreement enrollment, as Azure's cost reports would show them.
//!
//! ```text
//! EnrollmentConfig ── Enrollment::new ──> Enrollment ── plan(Selection) ──> [BlobPlan] ── write_blob ──> CSV bytes
//! ```
//!
//! A row is a function of (seed, day, number of the row) and of nothing before it. Blobs are therefore written without
//! holding a month in memory, in any order and on any number of threads, always with the same bytes. Actual and
//! amortized reports read the same events and differ only where commitments are concerned; see the table in the
//! `commitments` module.
//!
//! The layout is that of the EA cost and usage data set 2024-08-01: UTF-8 with byte order mark, a header in every blob,
//! CRLF, quotes only where RFC 4180 needs them, days as `MM/DD/YYYY` in UTC, money in billing currency with up to 28
//! fraction digits, tags as JSON members without the braces around them. Rows come day by day; on request in random
//! order within each blob, where neighbours have nothing in common ([`RowOrder`]).
//!
//! Scopes: purchases, refunds, unused commitments and rounding exist at enrollment scope only, as
//! `costs/understand-work-scopes` of the Azure documentation says of purchases that are not usage.

mod calendar;
mod commitments;
mod config;
mod decimal;
mod enrollment;
mod extras;
mod files;
mod meters;
mod organization;
mod permutation;
mod random;
mod report;
mod resources;
mod row;

pub use calendar::{Month, MonthError};
pub use config::{EnrollmentConfig, RowOrder};
pub use enrollment::Enrollment;
pub use files::{GenerateConfig, GenerateError, GeneratedFile, Progress, generate_files};
pub use organization::{Account, Department, Organization, Subscription};
pub use report::{BlobPlan, BlobSize, Metric, Scope, Selection};
pub use row::COLUMNS;
