//! The JSON of manifests and commit records, as `docs/format.md` has it.
//!
//! Amounts, digests, times and days are strings. Unknown fields are ignored, since a newer costlake
//! may add some within one format version.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use costlake_model::ledger::DecimalTotals;
use costlake_model::{ExactSum, Partition};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::commit::{CommitRecord, CommittedPartition, OutcomeKind};
use crate::digest::Sha256Digest;
use crate::error::Error;
use crate::manifest::{
    BlobAccount, BlobName, BlobRecord, BlobSums, Conservation, FORMAT_VERSION, InputObject,
    ObjectFacts, PartitionAccount, PartitionManifest, Source,
};
use crate::partition_path::{parse_partition, partition_of_data_path};
use crate::totals::TableTotals;

/// Returns the JSON of a manifest; `path` is for the error.
pub(crate) fn write_manifest(path: &str, manifest: &PartitionManifest) -> Result<Vec<u8>, Error> {
    to_json(path, &ManifestJson::from(manifest))
}

/// Reads the manifest of a partition.
pub(crate) fn read_manifest(
    path: &str,
    bytes: &[u8],
    partition: &Partition,
) -> Result<PartitionManifest, Error> {
    let manifest: ManifestJson = from_json(path, bytes)?;
    let manifest = manifest.into_manifest(&Place { path })?;
    if manifest.account.partition == *partition {
        Ok(manifest)
    } else {
        Err(Place { path }.field("partition", manifest.account.partition))
    }
}

/// Returns the JSON of a commit record; `path` is for the error.
pub(crate) fn write_commit(path: &str, record: &CommitRecord) -> Result<Vec<u8>, Error> {
    to_json(path, &CommitJson::from(record))
}

/// Reads a commit record.
pub(crate) fn read_commit(path: &str, bytes: &[u8]) -> Result<CommitRecord, Error> {
    let commit: CommitJson = from_json(path, bytes)?;
    commit.into_record(&Place { path })
}

/// Returns the key-value metadata that `docs/format.md` promises in the footer of every object.
///
/// # Errors
/// [`Error::RecordEncode`].
pub fn footer_metadata(
    source: &Source,
    totals: &TableTotals,
) -> Result<Vec<(String, String)>, Error> {
    let decimals = serde_json::to_string(&totals_json(&totals.decimals))
        .map_err(|source| Error::RecordEncode { path: "footer".to_owned(), source })?;
    let pairs = [
        ("costlake.format_version", FORMAT_VERSION.to_string()),
        ("costlake.source_digest", source.digest().to_string()),
        ("costlake.rows", totals.rows.to_string()),
        ("costlake.decimals", decimals),
    ];
    Ok(pairs.map(|(key, value)| (key.to_owned(), value)).into())
}

#[derive(Serialize, Deserialize)]
struct ManifestJson {
    format_version: u32,
    costlake_version: String,
    partition: PartitionJson,
    run_id: String,
    report_id: Option<String>,
    published_at: String,
    object: ObjectJson,
    decimals: BTreeMap<String, TotalsJson>,
    source: SourceJson,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    definition_sha256: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    departments_sha256: Option<String>,
    conservation: Option<ConservationJson>,
    first_date: Option<String>,
    last_date: Option<String>,
    cost_by_currency: BTreeMap<String, String>,
    unknown_columns: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct PartitionJson {
    table: String,
    metric: Option<String>,
    billing_period: String,
    scope: String,
}

#[derive(Serialize, Deserialize)]
struct ObjectJson {
    path: String,
    bytes: u64,
    rows: u64,
    row_groups: u64,
    sha256: String,
}

#[derive(Serialize, Deserialize)]
struct TotalsJson {
    values: u64,
    exact: String,
    stored: String,
    difference: String,
    rounded: u64,
}

#[derive(Serialize, Deserialize)]
struct SourceJson {
    kind: String,
    digest: String,
    #[serde(default)]
    blobs: Vec<BlobJson>,
    #[serde(default)]
    inputs: Vec<InputJson>,
}

#[derive(Serialize, Deserialize)]
struct BlobJson {
    ordinal: u32,
    name: String,
    bytes: u64,
    sha256: String,
    records: u64,
    published: u64,
    quarantined: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<BlobAccountJson>,
}

#[derive(Serialize, Deserialize)]
struct BlobAccountJson {
    layout: String,
    columns: Vec<String>,
    decimals: BTreeMap<String, BlobSumsJson>,
    first_date: Option<String>,
    last_date: Option<String>,
    cost_by_currency: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
struct BlobSumsJson {
    source: String,
    stored: String,
    quarantined: String,
}

#[derive(Serialize, Deserialize)]
struct InputJson {
    path: String,
    sha256: String,
}

#[derive(Serialize, Deserialize)]
struct ConservationJson {
    records: u64,
    blank_lines: u64,
    published: RowsJson,
    quarantined: RowsJson,
}

#[derive(Serialize, Deserialize)]
struct RowsJson {
    rows: u64,
    decimals: BTreeMap<String, TotalsJson>,
}

#[derive(Serialize, Deserialize)]
struct CommitJson {
    format_version: u32,
    costlake_version: String,
    run_id: String,
    started_at: String,
    finished_at: String,
    partitions: Vec<CommittedJson>,
}

#[derive(Serialize, Deserialize)]
struct CommittedJson {
    partition: PartitionJson,
    outcome: String,
    object: Option<ObjectJson>,
    published_by: String,
    previous_sha256: Option<String>,
    source: Option<SourceJson>,
}

/// All that is read first: a newer format may have any other form.
#[derive(Deserialize)]
struct VersionJson {
    format_version: u32,
}

fn to_json(path: &str, record: &impl Serialize) -> Result<Vec<u8>, Error> {
    let mut bytes = serde_json::to_vec_pretty(record)
        .map_err(|source| Error::RecordEncode { path: path.to_owned(), source })?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn from_json<T: DeserializeOwned>(path: &str, bytes: &[u8]) -> Result<T, Error> {
    let syntax = |source| Error::RecordSyntax { path: path.to_owned(), source };
    let version: VersionJson = serde_json::from_slice(bytes).map_err(syntax)?;
    if version.format_version != FORMAT_VERSION {
        return Err(Error::FormatVersion {
            path: path.to_owned(),
            found: version.format_version,
            supported: FORMAT_VERSION,
        });
    }
    serde_json::from_slice(bytes).map_err(syntax)
}

/// The record being read, for errors.
struct Place<'a> {
    path: &'a str,
}

impl Place<'_> {
    fn field(&self, field: &'static str, found: impl Display) -> Error {
        Error::RecordField { path: self.path.to_owned(), field, found: found.to_string() }
    }

    fn digest(
        &self,
        field: &'static str,
        text: Option<String>,
    ) -> Result<Option<Sha256Digest>, Error> {
        text.map(|text| self.parse(field, &text)).transpose()
    }

    fn parse<T: FromStr>(&self, field: &'static str, text: &str) -> Result<T, Error> {
        text.parse().map_err(|_| self.field(field, text))
    }

    fn time(&self, field: &'static str, text: &str) -> Result<DateTime<Utc>, Error> {
        DateTime::parse_from_rfc3339(text)
            .map(|time| time.with_timezone(&Utc))
            .map_err(|_| self.field(field, text))
    }

    fn date(&self, field: &'static str, text: Option<&str>) -> Result<Option<NaiveDate>, Error> {
        text.map(|text| self.parse(field, text)).transpose()
    }

    fn sum(&self, field: &'static str, text: &str) -> Result<ExactSum, Error> {
        ExactSum::parse(text).ok_or_else(|| self.field(field, text))
    }
}

fn time_text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

impl From<&PartitionManifest> for ManifestJson {
    fn from(manifest: &PartitionManifest) -> Self {
        let account = &manifest.account;
        Self {
            format_version: FORMAT_VERSION,
            costlake_version: manifest.costlake_version.clone(),
            partition: PartitionJson::from(&account.partition),
            run_id: manifest.run_id.to_string(),
            report_id: account.report_id.clone(),
            published_at: time_text(account.published_at),
            object: ObjectJson::new(&account.partition, &manifest.object),
            decimals: totals_json(&manifest.decimals),
            source: SourceJson::from(&account.source),
            definition_sha256: account.definition.map(|digest| digest.to_string()),
            departments_sha256: account.departments.map(|digest| digest.to_string()),
            conservation: account.conservation.as_ref().map(ConservationJson::from),
            first_date: account.first_date.map(|date| date.to_string()),
            last_date: account.last_date.map(|date| date.to_string()),
            cost_by_currency: amounts_json(&account.cost_by_currency),
            unknown_columns: account.unknown_columns.clone(),
        }
    }
}

impl ManifestJson {
    fn into_manifest(self, place: &Place<'_>) -> Result<PartitionManifest, Error> {
        let partition = self.partition.to_partition(place)?;
        let account = PartitionAccount {
            report_id: self.report_id,
            published_at: place.time("published_at", &self.published_at)?,
            source: self.source.into_source(place)?,
            definition: place.digest("definition_sha256", self.definition_sha256)?,
            departments: place.digest("departments_sha256", self.departments_sha256)?,
            conservation: self.conservation.map(|c| c.into_conservation(place)).transpose()?,
            first_date: place.date("first_date", self.first_date.as_deref())?,
            last_date: place.date("last_date", self.last_date.as_deref())?,
            cost_by_currency: amounts_of_json(&self.cost_by_currency, place)?,
            unknown_columns: self.unknown_columns,
            partition,
        };
        Ok(PartitionManifest {
            costlake_version: self.costlake_version,
            run_id: place.parse("run_id", &self.run_id)?,
            object: self.object.to_facts(&account.partition, place)?,
            decimals: totals_of_json(self.decimals, place)?,
            account,
        })
    }
}

impl From<&Partition> for PartitionJson {
    fn from(partition: &Partition) -> Self {
        Self {
            table: partition.table.name().to_owned(),
            metric: partition.metric.map(|metric| metric.name().to_owned()),
            billing_period: partition.period.to_string(),
            scope: partition.scope.to_string(),
        }
    }
}

impl PartitionJson {
    /// Goes by the folder, so that only one piece of code knows what a partition is.
    fn to_partition(&self, place: &Place<'_>) -> Result<Partition, Error> {
        let metric = self.metric.as_ref().map(|metric| format!("/metric={metric}"));
        let directory = format!(
            "{}{}/billing_period={}/scope={}",
            self.table,
            metric.unwrap_or_default(),
            self.billing_period,
            self.scope
        );
        parse_partition(&directory).map_err(|_| place.field("partition", directory))
    }
}

impl ObjectJson {
    fn new(partition: &Partition, facts: &ObjectFacts) -> Self {
        Self {
            path: partition.data_path(),
            bytes: facts.bytes,
            rows: facts.rows,
            row_groups: facts.row_groups,
            sha256: facts.sha256.to_string(),
        }
    }

    fn to_facts(&self, partition: &Partition, place: &Place<'_>) -> Result<ObjectFacts, Error> {
        if self.path != partition.data_path() {
            return Err(place.field("object.path", &self.path));
        }
        Ok(ObjectFacts {
            bytes: self.bytes,
            rows: self.rows,
            row_groups: self.row_groups,
            sha256: place.parse("object.sha256", &self.sha256)?,
        })
    }
}

fn totals_json(decimals: &BTreeMap<String, DecimalTotals>) -> BTreeMap<String, TotalsJson> {
    let json = |(column, totals): (&String, &DecimalTotals)| {
        let totals = TotalsJson {
            values: totals.values,
            exact: totals.exact.to_string(),
            stored: totals.stored.to_string(),
            difference: (totals.exact - totals.stored).to_string(),
            rounded: totals.rounded,
        };
        (column.clone(), totals)
    };
    decimals.iter().map(json).collect()
}

fn totals_of_json(
    decimals: BTreeMap<String, TotalsJson>,
    place: &Place<'_>,
) -> Result<BTreeMap<String, DecimalTotals>, Error> {
    let totals = |(column, json): (String, TotalsJson)| {
        let totals = DecimalTotals {
            values: json.values,
            exact: place.sum("exact", &json.exact)?,
            stored: place.sum("stored", &json.stored)?,
            rounded: json.rounded,
        };
        if place.sum("difference", &json.difference)? != totals.exact - totals.stored {
            return Err(place.field("difference", json.difference));
        }
        Ok((column, totals))
    };
    decimals.into_iter().map(totals).collect()
}

const COST_DETAILS: &str = "cost-details";
const FILES: &str = "files";
const LAKE: &str = "lake";

impl From<&Source> for SourceJson {
    fn from(source: &Source) -> Self {
        let blobs = |blobs: &[BlobRecord]| blobs.iter().map(BlobJson::from).collect();
        let (kind, blobs, inputs) = match source {
            Source::CostDetails(parts) => (COST_DETAILS, blobs(parts), Vec::new()),
            Source::Files(parts) => (FILES, blobs(parts), Vec::new()),
            Source::Lake(inputs) => {
                (LAKE, Vec::new(), inputs.iter().map(InputJson::from).collect())
            }
        };
        Self { kind: kind.to_owned(), digest: source.digest().to_string(), blobs, inputs }
    }
}

impl SourceJson {
    fn into_source(self, place: &Place<'_>) -> Result<Source, Error> {
        let blobs =
            || self.blobs.iter().map(|blob| blob.to_record(place)).collect::<Result<_, _>>();
        let inputs =
            || self.inputs.iter().map(|input| input.to_input(place)).collect::<Result<_, _>>();
        let source = match self.kind.as_str() {
            COST_DETAILS => Source::CostDetails(blobs()?),
            FILES => Source::Files(blobs()?),
            LAKE => Source::Lake(inputs()?),
            _ => return Err(place.field("source.kind", &self.kind)),
        };
        if source.digest() == place.parse("source.digest", &self.digest)? {
            Ok(source)
        } else {
            Err(place.field("source.digest", &self.digest))
        }
    }
}

impl From<&BlobRecord> for BlobJson {
    fn from(blob: &BlobRecord) -> Self {
        Self {
            ordinal: blob.ordinal,
            name: blob.name.as_str().to_owned(),
            bytes: blob.bytes,
            sha256: blob.sha256.to_string(),
            records: blob.records,
            published: blob.published,
            quarantined: blob.quarantined,
            account: blob.account.as_ref().map(BlobAccountJson::from),
        }
    }
}

impl BlobJson {
    fn to_record(&self, place: &Place<'_>) -> Result<BlobRecord, Error> {
        Ok(BlobRecord {
            ordinal: self.ordinal,
            name: BlobName::of_public(&self.name),
            bytes: self.bytes,
            sha256: place.parse("source.blobs.sha256", &self.sha256)?,
            records: self.records,
            published: self.published,
            quarantined: self.quarantined,
            account: self.account.as_ref().map(|account| account.to_account(place)).transpose()?,
        })
    }
}

impl From<&BlobAccount> for BlobAccountJson {
    fn from(account: &BlobAccount) -> Self {
        let sums = |(column, sums): (&String, &BlobSums)| {
            let sums = BlobSumsJson {
                source: sums.source.to_string(),
                stored: sums.stored.to_string(),
                quarantined: sums.quarantined.to_string(),
            };
            (column.clone(), sums)
        };
        Self {
            layout: account.layout.clone(),
            columns: account.columns.clone(),
            decimals: account.decimals.iter().map(sums).collect(),
            first_date: account.first_date.map(|date| date.to_string()),
            last_date: account.last_date.map(|date| date.to_string()),
            cost_by_currency: amounts_json(&account.cost_by_currency),
        }
    }
}

impl BlobAccountJson {
    fn to_account(&self, place: &Place<'_>) -> Result<BlobAccount, Error> {
        let sums = |(column, json): (&String, &BlobSumsJson)| {
            let sums = BlobSums {
                source: place.sum("source", &json.source)?,
                stored: place.sum("stored", &json.stored)?,
                quarantined: place.sum("quarantined", &json.quarantined)?,
            };
            Ok((column.clone(), sums))
        };
        Ok(BlobAccount {
            layout: self.layout.clone(),
            columns: self.columns.clone(),
            decimals: self.decimals.iter().map(sums).collect::<Result<_, _>>()?,
            first_date: place.date("first_date", self.first_date.as_deref())?,
            last_date: place.date("last_date", self.last_date.as_deref())?,
            cost_by_currency: amounts_of_json(&self.cost_by_currency, place)?,
        })
    }
}

fn amounts_json(amounts: &BTreeMap<String, ExactSum>) -> BTreeMap<String, String> {
    amounts.iter().map(|(currency, amount)| (currency.clone(), amount.to_string())).collect()
}

fn amounts_of_json(
    amounts: &BTreeMap<String, String>,
    place: &Place<'_>,
) -> Result<BTreeMap<String, ExactSum>, Error> {
    let amount = |(currency, amount): (&String, &String)| {
        place.sum("cost_by_currency", amount).map(|amount| (currency.clone(), amount))
    };
    amounts.iter().map(amount).collect()
}

impl From<&InputObject> for InputJson {
    fn from(input: &InputObject) -> Self {
        Self { path: input.partition.data_path(), sha256: input.sha256.to_string() }
    }
}

impl InputJson {
    fn to_input(&self, place: &Place<'_>) -> Result<InputObject, Error> {
        let partition = partition_of_data_path(&self.path);
        Ok(InputObject {
            partition: partition.ok_or_else(|| place.field("source.inputs.path", &self.path))?,
            sha256: place.parse("source.inputs.sha256", &self.sha256)?,
        })
    }
}

impl From<&Conservation> for ConservationJson {
    fn from(conservation: &Conservation) -> Self {
        Self {
            records: conservation.records,
            blank_lines: conservation.blank_lines,
            published: RowsJson::from(&conservation.published),
            quarantined: RowsJson::from(&conservation.quarantined),
        }
    }
}

impl ConservationJson {
    fn into_conservation(self, place: &Place<'_>) -> Result<Conservation, Error> {
        Ok(Conservation {
            records: self.records,
            blank_lines: self.blank_lines,
            published: self.published.into_totals(place)?,
            quarantined: self.quarantined.into_totals(place)?,
        })
    }
}

impl From<&TableTotals> for RowsJson {
    fn from(totals: &TableTotals) -> Self {
        Self { rows: totals.rows, decimals: totals_json(&totals.decimals) }
    }
}

impl RowsJson {
    fn into_totals(self, place: &Place<'_>) -> Result<TableTotals, Error> {
        Ok(TableTotals { rows: self.rows, decimals: totals_of_json(self.decimals, place)? })
    }
}

impl From<&CommitRecord> for CommitJson {
    fn from(record: &CommitRecord) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            costlake_version: record.costlake_version.clone(),
            run_id: record.run_id.to_string(),
            started_at: time_text(record.started_at),
            finished_at: time_text(record.finished_at),
            partitions: record.partitions.iter().map(CommittedJson::from).collect(),
        }
    }
}

impl CommitJson {
    fn into_record(self, place: &Place<'_>) -> Result<CommitRecord, Error> {
        let partitions =
            self.partitions.into_iter().map(|partition| partition.into_committed(place));
        Ok(CommitRecord {
            costlake_version: self.costlake_version,
            run_id: place.parse("run_id", &self.run_id)?,
            started_at: place.time("started_at", &self.started_at)?,
            finished_at: place.time("finished_at", &self.finished_at)?,
            partitions: partitions.collect::<Result<_, _>>()?,
        })
    }
}

impl From<&CommittedPartition> for CommittedJson {
    fn from(committed: &CommittedPartition) -> Self {
        let object = |facts| ObjectJson::new(&committed.partition, facts);
        Self {
            partition: PartitionJson::from(&committed.partition),
            outcome: committed.outcome.name().to_owned(),
            object: committed.object.as_ref().map(object),
            published_by: committed.published_by.to_string(),
            previous_sha256: committed.previous.map(|digest| digest.to_string()),
            source: committed.source.as_ref().map(SourceJson::from),
        }
    }
}

impl CommittedJson {
    fn into_committed(self, place: &Place<'_>) -> Result<CommittedPartition, Error> {
        let partition = self.partition.to_partition(place)?;
        let outcome = OutcomeKind::ALL.into_iter().find(|outcome| outcome.name() == self.outcome);
        let previous = self.previous_sha256.as_deref();
        Ok(CommittedPartition {
            outcome: outcome.ok_or_else(|| place.field("outcome", &self.outcome))?,
            object: self.object.map(|object| object.to_facts(&partition, place)).transpose()?,
            published_by: place.parse("published_by", &self.published_by)?,
            previous: previous.map(|text| place.parse("previous_sha256", text)).transpose()?,
            source: self.source.map(|source| source.into_source(place)).transpose()?,
            partition,
        })
    }
}
