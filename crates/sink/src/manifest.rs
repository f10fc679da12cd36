//! Manifests: what each published object must hold, and where it came from.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use costlake_model::ledger::{DecimalTotals, Ledger};
use costlake_model::{ExactSum, Partition};

use crate::digest::Sha256Digest;
use crate::run_id::RunId;
use crate::totals::TableTotals;

/// The version of the format that this program reads and writes.
pub const FORMAT_VERSION: u32 = 1;

/// The manifest of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionManifest {
    /// The version of costlake that wrote the object.
    pub costlake_version: String,
    /// The run that published it.
    pub run_id: RunId,
    /// The object.
    pub object: ObjectFacts,
    /// Totals of every decimal column of the object.
    pub decimals: BTreeMap<String, DecimalTotals>,
    /// Where its rows came from.
    pub account: PartitionAccount,
}

/// An object, as its bytes were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectFacts {
    /// Its length.
    pub bytes: u64,
    /// Its rows.
    pub rows: u64,
    /// Its row groups.
    pub row_groups: u64,
    /// The SHA-256 of all its bytes.
    pub sha256: Sha256Digest,
}

/// What the run knows about the rows of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionAccount {
    /// The partition.
    pub partition: Partition,
    /// The operation of the Cost Details API that made the report.
    pub report_id: Option<String>,
    /// When the partition is published, UTC; kept to the millisecond.
    pub published_at: DateTime<Utc>,
    /// What the object was made from.
    pub source: Source,
    /// The SHA-256 of the definition by which it was computed from objects of the lake.
    pub definition: Option<Sha256Digest>,
    /// The SHA-256 of the department rules that it was computed by, where there were any.
    pub departments: Option<Sha256Digest>,
    /// Rows and money in and out; `None` for rollups.
    pub conservation: Option<Conservation>,
    /// The first charge date of the published rows.
    pub first_date: Option<NaiveDate>,
    /// The last charge date of the published rows.
    pub last_date: Option<NaiveDate>,
    /// The exact cost of the published rows, by billing currency.
    pub cost_by_currency: BTreeMap<String, ExactSum>,
    /// Source columns that neither the table nor the layout of the files knows; they are in `extra`.
    pub unknown_columns: Vec<String>,
}

/// What an object was made from, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The blobs of a report of the Cost Details API.
    CostDetails(Vec<BlobRecord>),
    /// Files that were there already.
    Files(Vec<BlobRecord>),
    /// Objects of the lake, for rollups.
    Lake(Vec<InputObject>),
}

/// One blob of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobRecord {
    /// Its position in the report, from 0.
    pub ordinal: u32,
    /// Its name.
    pub name: BlobName,
    /// Its decoded length.
    pub bytes: u64,
    /// The SHA-256 of its decoded bytes.
    pub sha256: Sha256Digest,
    /// Its records, the header not counted.
    pub records: u64,
    /// Records that became rows.
    pub published: u64,
    /// Records that went to quarantine.
    pub quarantined: u64,
    /// What it held; `None` in commit records, and in manifests of older versions.
    pub account: Option<BlobAccount>,
}

/// What one blob held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlobAccount {
    /// Its layout, such as `ea 2024-08-01`.
    pub layout: String,
    /// The names of its header, in the order of the file.
    pub columns: Vec<String>,
    /// The sums of its decimal columns, by canonical name.
    pub decimals: BTreeMap<String, BlobSums>,
    /// The first charge date of its published rows.
    pub first_date: Option<NaiveDate>,
    /// The last charge date of its published rows.
    pub last_date: Option<NaiveDate>,
    /// The exact cost of its published rows, by billing currency.
    pub cost_by_currency: BTreeMap<String, ExactSum>,
}

/// What became of a decimal column of one blob (`reliability.md`, I3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlobSums {
    /// The exact sum of the source texts.
    pub source: ExactSum,
    /// The sum of the stored amounts of published rows.
    pub stored: ExactSum,
    /// The exact sum of the source texts of quarantined rows.
    pub quarantined: ExactSum,
}

impl BlobAccount {
    /// Returns the account of a blob of that layout and header.
    pub fn of_ledger(layout: String, columns: Vec<String>, ledger: &Ledger) -> Self {
        let sums = |column: &'static str, source: &DecimalTotals| BlobSums {
            source: source.exact,
            stored: ledger.published.decimals.get(column).map_or(ExactSum::ZERO, |t| t.stored),
            quarantined: ledger
                .quarantined
                .decimals
                .get(column)
                .map_or(ExactSum::ZERO, |t| t.exact),
        };
        let of_column = |(column, source): (&&'static str, &DecimalTotals)| {
            ((*column).to_owned(), sums(column, source))
        };
        Self {
            layout,
            columns,
            decimals: ledger.source.decimals.iter().map(of_column).collect(),
            first_date: ledger.first_date,
            last_date: ledger.last_date,
            cost_by_currency: ledger.cost_by_currency.clone(),
        }
    }
}

/// The name of a blob or file. Never holds the query of a link, where its signature is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlobName(String);

/// An object of the lake that another was computed from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputObject {
    /// Its partition.
    pub partition: Partition,
    /// The SHA-256 of its bytes.
    pub sha256: Sha256Digest,
}

/// Rows and money in and out (`reliability.md`, I2 and I3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conservation {
    /// Records of the source.
    pub records: u64,
    /// Empty lines of the source, which are no records.
    pub blank_lines: u64,
    /// What became rows.
    pub published: TableTotals,
    /// What went to quarantine.
    pub quarantined: TableTotals,
}

impl PartitionManifest {
    /// What reading the object must give.
    pub fn totals(&self) -> TableTotals {
        TableTotals { rows: self.object.rows, decimals: self.decimals.clone() }
    }

    /// Whether two manifests say the same about the lake, whoever published when, and from which
    /// copy of a report. What is computed from the lake was computed from the same objects.
    pub(crate) fn says_the_same(&self, other: &Self) -> bool {
        let (ours, theirs) = (&self.account, &other.account);
        self.object == other.object
            && self.decimals == other.decimals
            && ours.partition == theirs.partition
            && ours.conservation == theirs.conservation
            && ours.cost_by_currency == theirs.cost_by_currency
            && (ours.first_date, ours.last_date) == (theirs.first_date, theirs.last_date)
            && ours.unknown_columns == theirs.unknown_columns
            && ours.definition == theirs.definition
            && ours.source.inputs() == theirs.source.inputs()
    }
}

impl PartitionAccount {
    /// Returns the account of the rows in a ledger.
    pub fn of_ledger(
        partition: Partition,
        source: Source,
        ledger: &Ledger,
        published_at: DateTime<Utc>,
    ) -> Self {
        Self {
            partition,
            report_id: None,
            published_at,
            source,
            definition: None,
            departments: None,
            conservation: Some(Conservation::from(ledger)),
            first_date: ledger.first_date,
            last_date: ledger.last_date,
            cost_by_currency: ledger.cost_by_currency.clone(),
            unknown_columns: Vec::new(),
        }
    }

    /// Returns the account of what is computed from objects of the lake, such as a rollup. `definition` is
    /// the text of all that decides what is computed, `departments` that of the department rules among it,
    /// empty where there are none.
    pub fn of_rollup(
        partition: Partition,
        definition: &str,
        departments: &str,
        inputs: Vec<InputObject>,
        published_at: DateTime<Utc>,
    ) -> Self {
        Self {
            partition,
            report_id: None,
            published_at,
            source: Source::Lake(inputs),
            definition: Some(Sha256Digest::of(definition.as_bytes())),
            departments: (!departments.is_empty())
                .then(|| Sha256Digest::of(departments.as_bytes())),
            conservation: None,
            first_date: None,
            last_date: None,
            cost_by_currency: BTreeMap::new(),
            unknown_columns: Vec::new(),
        }
    }
}

impl Source {
    /// Its blobs, without their accounts.
    pub(crate) fn without_accounts(&self) -> Self {
        let short = |blobs: &[BlobRecord]| {
            blobs.iter().map(|blob| BlobRecord { account: None, ..blob.clone() }).collect()
        };
        match self {
            Self::CostDetails(blobs) => Self::CostDetails(short(blobs)),
            Self::Files(blobs) => Self::Files(short(blobs)),
            Self::Lake(inputs) => Self::Lake(inputs.clone()),
        }
    }

    /// The blobs; rollups have none.
    pub fn blobs(&self) -> &[BlobRecord] {
        match self {
            Self::CostDetails(blobs) | Self::Files(blobs) => blobs,
            Self::Lake(_) => &[],
        }
    }

    /// The objects of the lake; reports and files have none.
    pub fn inputs(&self) -> &[InputObject] {
        match self {
            Self::CostDetails(_) | Self::Files(_) => &[],
            Self::Lake(inputs) => inputs,
        }
    }

    /// The SHA-256 over the digests of the parts, in order.
    pub fn digest(&self) -> Sha256Digest {
        match self {
            Self::CostDetails(blobs) | Self::Files(blobs) => {
                Sha256Digest::of_digests(blobs.iter().map(|blob| blob.sha256))
            }
            Self::Lake(inputs) => Sha256Digest::of_digests(inputs.iter().map(|input| input.sha256)),
        }
    }
}

impl BlobName {
    /// Returns a name that holds no secret, as it is.
    pub fn of_public(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// Returns the name of a link: all before the query, without user and password. What stands before
    /// `@` without a password is kept: in Azure's `abfss` it is the container.
    pub fn of_link(link: &str) -> Self {
        let public = link.split(['?', '#']).next().unwrap_or_default();
        let name = match public.split_once("://") {
            Some((scheme, rest)) => {
                let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
                let host = match host.rsplit_once('@') {
                    Some((user, host)) if user.contains(':') => host,
                    _ => host,
                };
                format!("{scheme}://{host}/{path}")
            }
            None => public.to_owned(),
        };
        Self(name)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&Ledger> for Conservation {
    fn from(ledger: &Ledger) -> Self {
        Self {
            records: ledger.records,
            blank_lines: ledger.blank_lines,
            published: TableTotals::from(&ledger.published),
            quarantined: TableTotals::from(&ledger.quarantined),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_blobs_hold_no_signature() {
        for (link, name) in [
            ("part 0.csv", "part 0.csv"),
            (
                "https://h.blob.core.windows.net/c/b.csv?sv=1&sig=secret",
                "https://h.blob.core.windows.net/c/b.csv",
            ),
            ("https://user:secret@host/b#x", "https://host/b"),
            ("abfss://box@account.net/b?sig=1", "abfss://box@account.net/b"),
            ("/exports/mail@example.com/b.csv", "/exports/mail@example.com/b.csv"),
        ] {
            assert_eq!(BlobName::of_link(link).as_str(), name);
        }
    }
}
