//! The two views of a bill.

use std::fmt;
use std::str::FromStr;

/// Which view of the bill a report shows. The two are never added to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// What was billed: commitments on the day they were bought. FOCUS calls it `BilledCost`.
    Actual,
    /// What was consumed: commitments spread over their use. FOCUS calls it `EffectiveCost`.
    Amortized,
}

/// A text that names no metric.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is no metric: expected actual or amortized")]
pub struct ParseMetricError {
    found: String,
}

impl Metric {
    /// Both metrics, in the order in which they are shown.
    pub const ALL: [Self; 2] = [Self::Actual, Self::Amortized];

    /// The name in partitions and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Actual => "actual",
            Self::Amortized => "amortized",
        }
    }

    /// The name in the Cost Details API (`azure-apis.md`, 1).
    pub fn azure_name(self) -> &'static str {
        match self {
            Self::Actual => "ActualCost",
            Self::Amortized => "AmortizedCost",
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Metric {
    type Err = ParseMetricError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|metric| {
                text.eq_ignore_ascii_case(metric.name())
                    || text.eq_ignore_ascii_case(metric.azure_name())
            })
            .ok_or_else(|| ParseMetricError { found: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_and_azure_spellings_are_read() {
        for (text, metric) in [
            ("actual", Metric::Actual),
            ("ActualCost", Metric::Actual),
            ("amortizedcost", Metric::Amortized),
        ] {
            assert_eq!(text.parse(), Ok(metric));
        }
        assert!("cost".parse::<Metric>().is_err());
    }
}
