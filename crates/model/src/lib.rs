//! The words of the field as types, and the arithmetic of money.
//!
//! No I/O and no clock: everything here is a value or a pure function. The other crates meet in
//! these types and in Arrow batches of [`columns::line_item_schema`].

pub mod aliases;
pub mod billing_period;
pub mod charge_class;
pub mod columns;
pub mod commitment;
pub mod decimal;
pub mod departments;
pub mod layouts;
pub mod ledger;
pub mod metric;
pub mod partition;
pub mod placeholders;
pub mod rollup;
pub mod scope;

pub use billing_period::{BillingPeriod, TimePeriod};
pub use charge_class::ChargeClass;
pub use decimal::{ExactDecimal, ExactSum, NumberError, STORED_PRECISION, STORED_SCALE};
pub use layouts::{Fingerprint, SourceKind};
pub use metric::Metric;
pub use partition::{Partition, Table};
pub use scope::{Scope, ScopeSlug};
