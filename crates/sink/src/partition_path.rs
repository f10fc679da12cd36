//! Partitions read back from their folders.

use costlake_model::{BillingPeriod, Metric, Partition, ScopeSlug, Table};

/// A folder that is no partition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is no partition folder")]
pub struct ParsePartitionError {
    found: String,
}

/// Returns the partition whose [`Partition::directory`] is `directory`.
///
/// # Errors
/// If no partition has that folder, in exactly this spelling.
pub fn parse_partition(directory: &str) -> Result<Partition, ParsePartitionError> {
    parse(directory)
        .filter(|partition| partition.directory() == directory)
        .ok_or_else(|| ParsePartitionError { found: directory.to_owned() })
}

/// Returns the partition whose object lies at `path`, if any.
pub(crate) fn partition_of_data_path(path: &str) -> Option<Partition> {
    parse_partition(path.strip_suffix("/data.parquet")?).ok()
}

/// Reads the parts; the caller compares the spelling.
fn parse(directory: &str) -> Option<Partition> {
    let mut segments = directory.split('/').peekable();
    let table = parse_table(segments.next()?)?;
    let metric = match segments.peek()?.strip_prefix("metric=") {
        Some(metric) => {
            segments.next();
            Some(metric.parse::<Metric>().ok()?)
        }
        None => None,
    };
    let has_metric = matches!(table, Table::LineItems | Table::Quarantine);
    let period = segments.next()?.strip_prefix("billing_period=")?;
    let scope = segments.next()?.strip_prefix("scope=")?;
    if segments.next().is_some() || metric.is_some() != has_metric {
        return None;
    }
    Some(Partition {
        table,
        metric,
        period: period.parse::<BillingPeriod>().ok()?,
        scope: ScopeSlug::from_name(scope),
    })
}

fn parse_table(name: &str) -> Option<Table> {
    let sound = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.len() <= 64
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    [Table::LineItems, Table::Quarantine]
        .into_iter()
        .find(|table| table.name() == name)
        .or_else(|| sound.then(|| Table::Rollup(name.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_read_and_printed_back() {
        for directory in [
            "cost_line_items/metric=actual/billing_period=2025-07/scope=billing-account-1",
            "cost_line_items/metric=amortized/billing_period=2024-12/scope=a",
            "quarantine/metric=actual/billing_period=2025-07/scope=subscription-0",
            "department_month/billing_period=2025-07/scope=department-7",
        ] {
            assert_eq!(parse_partition(directory).unwrap().directory(), directory);
        }
    }

    #[test]
    fn other_folders_are_refused() {
        for directory in [
            "",
            "cost_line_items",
            "cost_line_items/billing_period=2025-07/scope=a",
            "cost_line_items/metric=ActualCost/billing_period=2025-07/scope=a",
            "cost_line_items/metric=actual/billing_period=202507/scope=a",
            "cost_line_items/metric=actual/billing_period=2025-07/scope=A",
            "cost_line_items/metric=actual/billing_period=2025-07/scope=",
            "cost_line_items/metric=actual/billing_period=2025-07/scope=a/",
            "cost_line_items/metric=actual/billing_period=2025-07/scope=a/b",
            "cost_line_items/metric=actual/scope=a/billing_period=2025-07",
            "/cost_line_items/metric=actual/billing_period=2025-07/scope=a",
            "department_month/metric=actual/billing_period=2025-07/scope=a",
            "Department/billing_period=2025-07/scope=a",
            "_costlake/billing_period=2025-07/scope=a",
            "../billing_period=2025-07/scope=a",
        ] {
            assert!(parse_partition(directory).is_err(), "{directory}");
        }
    }

    #[test]
    fn only_the_one_object_is_a_partitions_own() {
        let directory = "department_month/billing_period=2025-07/scope=a";
        assert!(partition_of_data_path(&format!("{directory}/data.parquet")).is_some());
        assert!(partition_of_data_path(&format!("{directory}/part.parquet")).is_none());
    }
}
