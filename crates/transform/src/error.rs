//! Why a file is refused whole. Single rows never refuse a file: they go to quarantine.

/// A file that is refused, with what was expected and found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nothing at all, not even a header.
    #[error("the file is empty: expected a header line")]
    Empty,
    /// A page of markup: a proxy's login page or a storage error in place of the data.
    #[error("expected a CSV header, found {what} that starts with `{start}`")]
    Markup {
        /// HTML or XML.
        what: &'static str,
        /// The first characters, made printable.
        start: String,
    },
    /// Text in another encoding.
    #[error("expected UTF-8, found {found}")]
    Encoding {
        /// The encoding by its byte-order mark or its zero bytes, or the place of a bad byte.
        found: String,
    },
    /// A header line that is longer than any real one, or is not closed.
    #[error("no header line ends within the first {limit_bytes} bytes")]
    HeaderTooLong {
        /// The limit.
        limit_bytes: usize,
    },
    /// A first line, titles aside, whose names are not those of a cost file.
    #[error("the first row is no header of a cost file: it starts with `{start}`")]
    NoHeader {
        /// The first fields, made printable.
        start: String,
    },
    /// Columns without which no row can be typed.
    #[error("required columns are missing: {}", list(missing))]
    MissingColumns {
        /// Their canonical names, each with the headers that would do.
        missing: Vec<String>,
    },
    /// Two headers that mean the same column.
    #[error("headers `{first}` and `{second}` both mean column {column}")]
    AmbiguousHeader {
        /// The canonical column.
        column: &'static str,
        /// The header that comes first.
        first: String,
        /// The other one.
        second: String,
    },
    /// Two columns of one name that mean no canonical column.
    #[error("two columns are named `{header}`")]
    RepeatedName {
        /// The name.
        header: String,
    },
    /// A record that is longer than any real one: most often a quote that is never closed.
    #[error("record {record} at byte {byte_offset} is longer than {limit_bytes} bytes")]
    RecordTooLong {
        /// The record number, from 1, the header not counted.
        record: u64,
        /// Where it starts.
        byte_offset: u64,
        /// The limit.
        limit_bytes: usize,
    },
    /// The file ends inside quotes: it was cut, or a quote is missing.
    #[error("the file ends inside quotes: record {record} at byte {byte_offset} is not closed")]
    UnclosedQuote {
        /// The record number, from 1, the header not counted.
        record: u64,
        /// Where it starts.
        byte_offset: u64,
    },
    /// The header stands again as a row: files were glued together.
    #[error("record {record} at byte {byte_offset} repeats the header: files were glued together")]
    RepeatedHeader {
        /// The record number, from 1, the header not counted.
        record: u64,
        /// Where it starts.
        byte_offset: u64,
    },
    /// A computation of the rollup engine failed.
    #[error("rollup `{rollup}` failed: {cause}")]
    Rollup {
        /// The rollup.
        rollup: String,
        /// What the engine said.
        cause: String,
    },
    /// A sum that differs from its control sum.
    #[error(
        "rollup `{rollup}`, measure `{measure}`: {found} does not equal the control sum {expected}"
    )]
    ControlSum {
        /// The rollup.
        rollup: String,
        /// The measure.
        measure: String,
        /// The control sum, in 256 bits.
        expected: String,
        /// What the engine gave.
        found: String,
    },
    /// A sum of a rollup that its column cannot hold.
    #[error("rollup `{rollup}`, measure `{measure}`: {value} does not fit decimal(38,24)")]
    TooLarge {
        /// The rollup.
        rollup: String,
        /// The measure.
        measure: String,
        /// The sum.
        value: String,
    },
    /// A batch that could not be built: an error of costlake, never of the data.
    #[error("cannot build a batch: {0}")]
    Batch(String),
}

fn list(items: &[String]) -> String {
    items.join(", ")
}

impl Error {
    /// Whether nothing but the cost of the asked metric is missing in a FOCUS file.
    pub fn lacks_focus_cost(&self) -> bool {
        let is_focus_cost = |text: &str| FOCUS_COSTS.iter().any(|header| text.contains(header));
        matches!(self, Self::MissingColumns { missing } if matches!(&**missing, [only] if is_focus_cost(only)))
    }

    /// What the user can do about it, where there is something.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Markup { .. } => Some(
                "the source answered with a web page: check the link, the proxy and the sign-in",
            ),
            Self::Encoding { found }
                if found.starts_with("UTF-16") || found.starts_with("other") =>
            {
                Some("save the file as UTF-8")
            }
            Self::Encoding { found } if found.ends_with("Parquet file") => Some(
                "unpack it: Parquet is read from a file of its own, not from an archive or a pipe",
            ),
            Self::MissingColumns { missing } if lacks_only_currency(missing) => Some(
                "files of 2019 and of the retired usage API have no currency: give it with --currency",
            ),
            Self::MissingColumns { .. } if self.lacks_focus_cost() => {
                Some("the file has one of the two costs of FOCUS: ask for its --metric")
            }
            Self::MissingColumns { .. } | Self::NoHeader { .. } => {
                Some("`costlake schema FILE` shows what each header maps to")
            }
            Self::RecordTooLong { .. } | Self::UnclosedQuote { .. } => {
                Some("the file was cut or damaged on its way: fetch it again")
            }
            Self::RepeatedHeader { .. } => {
                Some("convert the original files, not their concatenation")
            }
            _ => None,
        }
    }
}

/// The headers of the costs of FOCUS files, by metric.
pub(crate) const FOCUS_COSTS: [&str; 2] = ["BilledCost", "EffectiveCost"];

fn lacks_only_currency(missing: &[String]) -> bool {
    matches!(missing, [only] if only.starts_with("billing_currency"))
}

/// Returns the first characters of bytes from outside, safe to print.
pub(crate) fn printable(bytes: &[u8], limit: usize) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(limit * 4)]);
    text.chars().take(limit).flat_map(char::escape_debug).collect()
}
