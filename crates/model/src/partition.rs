//! Tables of the lake and their partitions: the unit of publication, always replaced whole.

use std::fmt;

use crate::billing_period::BillingPeriod;
use crate::metric::Metric;
use crate::scope::ScopeSlug;

/// A table of the lake.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// One row per charge.
    LineItems,
    /// Rows that could not be typed.
    Quarantine,
    /// A rollup, by the name of its definition.
    Rollup(String),
}

impl Table {
    /// The folder of the table.
    pub fn name(&self) -> &str {
        match self {
            Self::LineItems => "cost_line_items",
            Self::Quarantine => "quarantine",
            Self::Rollup(name) => name,
        }
    }
}

/// One partition: of a table, for a month and a scope, and for tables of one metric, the metric.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    /// The table.
    pub table: Table,
    /// The metric; `None` for rollups, which show both.
    pub metric: Option<Metric>,
    /// The billing period.
    pub period: BillingPeriod,
    /// The scope.
    pub scope: ScopeSlug,
}

impl Partition {
    /// The folder below the lake, such as
    /// `cost_line_items/metric=actual/billing_period=2025-07/scope=billing-account-1234567`.
    ///
    /// Plain ASCII throughout: every part is a closed form, so nothing needs escaping.
    pub fn directory(&self) -> String {
        let metric = self.metric.map(|metric| format!("/metric={metric}")).unwrap_or_default();
        let (table, period, scope) = (self.table.name(), self.period, &self.scope);
        format!("{table}{metric}/billing_period={period}/scope={scope}")
    }

    /// The one object of the partition.
    pub fn data_path(&self) -> String {
        format!("{}/data.parquet", self.directory())
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.directory())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_hive_partitions() {
        let partition = Partition {
            table: Table::LineItems,
            metric: Some(Metric::Actual),
            period: "2025-07".parse().unwrap(),
            scope: ScopeSlug::from_name("Billing account 12"),
        };
        assert_eq!(
            partition.data_path(),
            "cost_line_items/metric=actual/billing_period=2025-07/scope=billing-account-12/data.parquet"
        );
    }
}
