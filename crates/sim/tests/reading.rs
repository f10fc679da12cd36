//! Reads reports with the csv crate, by column name.

use crate::exact::Exact;
use costlake_sim::generator::{Enrollment, EnrollmentConfig, Metric, Selection};
use std::collections::BTreeMap;

/// A data row with its column names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Line {
    fields: BTreeMap<String, String>,
}

impl Line {
    pub(crate) fn get(&self, column: &str) -> &str {
        &self.fields[column]
    }

    pub(crate) fn amount(&self, column: &str) -> Exact {
        Exact::parse(self.get(column))
    }

    pub(crate) fn cost(&self) -> Exact {
        self.amount("CostInBillingCurrency")
    }

    /// `MM/YYYY` of the billing period.
    pub(crate) fn month(&self) -> String {
        let start = self.get("BillingPeriodStartDate");
        format!("{}{}", &start[..3], &start[6..])
    }

    pub(crate) fn is_commitment(&self) -> bool {
        matches!(self.get("PricingModel"), "Reservation" | "SavingsPlan")
    }

    pub(crate) fn is_unused(&self) -> bool {
        self.get("ChargeType").starts_with("Unused")
    }

    /// The row without its price and cost.
    pub(crate) fn without_money(mut self) -> Self {
        self.fields.remove("EffectivePrice");
        self.fields.remove("CostInBillingCurrency");
        self
    }
}

/// Reads a blob, which starts with a byte order mark and a header.
pub(crate) fn read_blob(blob: &[u8]) -> Vec<Line> {
    let text = blob.strip_prefix("\u{feff}".as_bytes()).expect("a byte order mark");
    let mut reader = csv::Reader::from_reader(text);
    let header = reader.headers().unwrap().clone();
    let line = |record: csv::StringRecord| {
        let pairs = header.iter().zip(record.iter());
        Line { fields: pairs.map(|(name, field)| (name.to_owned(), field.to_owned())).collect() }
    };
    reader.records().map(|record| line(record.unwrap())).collect()
}

/// Reads the report of a selection, all blobs one after the other.
pub(crate) fn read_report(enrollment: &Enrollment, selection: &Selection) -> Vec<Line> {
    let plans = enrollment.plan(selection, 3);
    plans.iter().flat_map(|plan| read_blob(&enrollment.render_blob(plan))).collect()
}

/// Reads all months of an enrollment.
pub(crate) fn read_months(enrollment: &Enrollment, metric: Metric) -> Vec<Line> {
    let months = enrollment.config().months();
    months
        .into_iter()
        .flat_map(|month| read_report(enrollment, &Selection::month(metric, month)))
        .collect()
}

/// Thirteen closed months, so that commitments of a year end inside.
pub(crate) fn thirteen_months(seed: u64) -> Enrollment {
    Enrollment::new(EnrollmentConfig {
        seed,
        month_count: 13,
        rows_per_month: 300,
        open_month: None,
        ..EnrollmentConfig::default()
    })
}

pub(crate) fn sorted<T: Ord>(rows: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut rows: Vec<T> = rows.into_iter().collect();
    rows.sort();
    rows
}
