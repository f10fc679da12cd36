//! `costlake status`, `verify` and `schema`: looking, without changing anything.

use std::path::Path;

use arrow::datatypes::Schema;
use chrono::{SecondsFormat, Utc};
use comfy_table::{CellAlignment, Table, presets};
use costlake_fetch::journal::{Entry, Journal, JournaledBlob, State};
use costlake_model::columns::{self, SOURCE_COLUMNS};
use costlake_model::rollup::{Definition, SHIPPED};
use costlake_model::{BillingPeriod, ExactSum, Partition, Table as LakeTable};
use costlake_sink::{CheckedObject, Lake, PartitionStatus};
use costlake_transform::header::Binding;
use serde_json::{Map, Value, json};

use crate::args::{LakeArgs, SchemaArgs};
use crate::config::{self, PipelineFile};
use crate::error::Error;
use crate::inputs::{self, InputFile};
use crate::journal;
use crate::lifecycle;
use crate::output::{self, Row, Show};

async fn open_lake(args: &LakeArgs) -> Result<(Lake, Vec<BillingPeriod>), Error> {
    let pipeline = PipelineFile::read_if_given(args.config.as_deref())?;
    let location = pipeline.lake(args.lake.as_deref())?;
    let periods = config::parse_periods(&args.periods, Utc::now().date_naive())?;
    Ok((Lake::open(&location, false).await?, periods))
}

/// What the lake holds.
pub(crate) struct Status {
    lake: String,
    partitions: Vec<PartitionStatus>,
    /// What the journal knows of reports.
    reports: Vec<Entry>,
}

/// Reads what the lake holds, from its manifests, and what is on its way, from the journal.
///
/// # Errors
/// Wrong usage, or the lake.
pub(crate) async fn status(args: &LakeArgs) -> Result<Status, Error> {
    let (lake, periods) = open_lake(args).await?;
    let mut partitions = lake.status().await?;
    partitions.retain(|status| periods.is_empty() || periods.contains(&status.partition.period));
    let journal = journal::of_lake(&lake, &lifecycle::run_id(Utc::now())?)?;
    let mut reports = Journal::for_reading(journal, "", Utc::now(), None).await?.entries().await?;
    reports.retain(|entry| periods.is_empty() || periods.contains(&entry.key.month));
    Ok(Status { lake: lake.location().to_owned(), partitions, reports })
}

impl Show for Status {
    fn for_people(&self) -> String {
        let unfinished: String = self.reports.iter().filter_map(unfinished).collect();
        if self.partitions.is_empty() {
            return format!("{} holds nothing\n{unfinished}", self.lake);
        }
        let mut table = Table::new();
        table.load_style(presets::UTF8_BORDERS_ONLY);
        table.set_header([
            "Table",
            "Metric",
            "Month",
            "Scope",
            "Rows",
            "Cost",
            "Charges up to",
            "Quarantined",
            "Published",
        ]);
        for status in &self.partitions {
            let partition = &status.partition;
            table.add_row([
                partition.table.name().to_owned(),
                partition.metric.map_or_else(String::new, |metric| metric.to_string()),
                partition.period.to_string(),
                partition.scope.to_string(),
                status.rows.to_string(),
                costs(status),
                status.last_date.map_or_else(String::new, |date| date.to_string()),
                status.quarantined_rows.to_string(),
                status.published_at.to_rfc3339_opts(SecondsFormat::Secs, true),
            ]);
        }
        for column in [4, 5, 7] {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        format!("{table}\n{}\n{unfinished}", self.lake)
    }

    fn to_json(&self) -> Value {
        let rows: Vec<Value> = self.rows().into_iter().map(output::object).collect();
        let reports: Vec<Value> = self.reports.iter().map(report_json).collect();
        json!({ "lake": self.lake, "partitions": rows, "reports": reports })
    }

    fn rows(&self) -> Vec<Row> {
        self.partitions.iter().map(status_row).collect()
    }
}

/// A line on a report that is not done with.
fn unfinished(entry: &Entry) -> Option<String> {
    let since = entry.changed_at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let landed = entry.blobs.iter().filter(|blob| blob.crc32.is_some()).count();
    let what = match (&entry.failure, entry.state) {
        (_, State::Published | State::NoData | State::Split) => return None,
        (Some(failure), _) => format!("failed: {}", failure.message),
        (None, State::Downloading) => {
            format!("downloading, {landed} of {} blobs are there", entry.blobs.len())
        }
        (None, state) => state.name().to_owned(),
    };
    Some(output::printable(&format!("{}: {what} (since {since})", entry.key)) + "\n")
}

fn report_json(entry: &Entry) -> Value {
    let blob = |blob: &JournaledBlob| json!({ "name": blob.name, "bytes": blob.bytes, "is_landed": blob.crc32.is_some() });
    json!({
        "scope": entry.key.scope.path(),
        "billing_period": entry.key.month.to_string(),
        "metric": entry.key.metric.name(),
        "first_day": entry.key.days.map(|days| days.start().to_string()),
        "last_day": entry.key.days.map(|days| days.end().to_string()),
        "state": entry.state.name(),
        "changed_at": output::time(entry.changed_at),
        "submissions": entry.submissions,
        "operation_id": entry.operation.as_ref().map(|operation| &operation.id),
        "polls": entry.polls,
        "blobs": entry.blobs.iter().map(blob).collect::<Vec<_>>(),
        "parts": entry.parts.len(),
        "failure": entry.failure.as_ref().map(|failure| &failure.message),
        "retry_after_seconds": entry.failure.as_ref().and_then(|failure| failure.asked_seconds),
    })
}

fn costs(status: &PartitionStatus) -> String {
    let cost = |(currency, cost): (&String, &ExactSum)| {
        format!("{} {currency}", output::rounded(*cost, 2))
    };
    status.cost_by_currency.iter().map(cost).collect::<Vec<_>>().join(", ")
}

fn status_row(status: &PartitionStatus) -> Row {
    let partition = &status.partition;
    let cost: Map<String, Value> = status
        .cost_by_currency
        .iter()
        .map(|(c, cost)| (c.clone(), Value::from(cost.to_string())))
        .collect();
    let fields = [
        ("table", Value::from(partition.table.name())),
        ("metric", Value::from(partition.metric.map(|metric| metric.name()))),
        ("billing_period", Value::from(partition.period.to_string())),
        ("scope", Value::from(partition.scope.as_str())),
        ("rows", Value::from(status.rows)),
        ("bytes", Value::from(status.bytes)),
        ("cost", Value::Object(cost)),
        ("first_date", Value::from(status.first_date.map(|date| date.to_string()))),
        ("last_date", Value::from(status.last_date.map(|date| date.to_string()))),
        ("quarantined_rows", Value::from(status.quarantined_rows)),
        ("published_at", Value::from(output::time(status.published_at))),
    ];
    fields.map(|(name, value)| (name.to_owned(), value)).into()
}

/// What was proven, and what was not.
pub(crate) struct Proof {
    lake: String,
    objects: Vec<CheckedObject>,
}

/// Re-reads every published object and proves it against its manifest.
///
/// # Errors
/// Wrong usage, or a lake that cannot be listed. Damaged objects are in the proof.
pub(crate) async fn verify(args: &LakeArgs) -> Result<Proof, Error> {
    let (lake, periods) = open_lake(args).await?;
    let wanted = |partition: &Partition| periods.is_empty() || periods.contains(&partition.period);
    Ok(Proof { lake: lake.location().to_owned(), objects: lake.verify(wanted).await? })
}

impl Proof {
    /// Whether everything is what its manifest says.
    ///
    /// # Errors
    /// [`Error::Unproven`] if something is not.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let damaged = self.objects.iter().filter(|object| !object.findings.is_empty()).count();
        if damaged == 0 {
            return Ok(());
        }
        Err(Error::Unproven { damaged, checked: self.objects.len() })
    }
}

impl Show for Proof {
    fn for_people(&self) -> String {
        let mut text = String::new();
        for object in &self.objects {
            let rows = object.manifest.as_ref().map_or(0, |manifest| manifest.object.rows);
            let verdict = if object.findings.is_empty() {
                format!("ok, {rows} rows")
            } else {
                "DAMAGED".to_owned()
            };
            text.push_str(&format!("{}: {verdict}\n", output::printable(&object.path)));
            for finding in &object.findings {
                text.push_str(&format!("  {}\n", output::printable(&with_causes(finding))));
            }
        }
        let sound = self.objects.iter().filter(|object| object.findings.is_empty()).count();
        text.push_str(&format!(
            "{sound} of {} objects in {} proven: length, SHA-256, rows, exact sums\n",
            self.objects.len(),
            self.lake
        ));
        text
    }

    fn to_json(&self) -> Value {
        let rows: Vec<Value> = self.rows().into_iter().map(output::object).collect();
        json!({ "lake": self.lake, "objects": rows })
    }

    fn rows(&self) -> Vec<Row> {
        let row = |object: &CheckedObject| {
            let findings: Vec<String> = object.findings.iter().map(|f| with_causes(f)).collect();
            let rows = object.manifest.as_ref().map(|manifest| manifest.object.rows);
            vec![
                ("path".to_owned(), Value::from(object.path.as_str())),
                ("ok".to_owned(), Value::from(findings.is_empty())),
                ("rows".to_owned(), Value::from(rows)),
                ("findings".to_owned(), Value::from(findings.join("; "))),
            ]
        };
        self.objects.iter().map(row).collect()
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Columns of a table, or of a file.
pub(crate) struct Columns {
    title: String,
    rows: Vec<Row>,
}

/// Describes a table of the lake, or maps the header of a file.
///
/// # Errors
/// A name that is neither, or a file that is refused.
pub(crate) fn schema(args: &SchemaArgs) -> Result<Columns, Error> {
    let name = args.subject.as_str();
    let table = match name {
        "cost_line_items" => Some(columns::line_item_schema().as_ref().clone()),
        "quarantine" => Some(columns::quarantine_schema().as_ref().clone()),
        "reconciliation" => Some(columns::reconciliation_schema().as_ref().clone()),
        "commitment_reconciliation" => {
            Some(columns::commitment_reconciliation_schema().as_ref().clone())
        }
        name => Definition::shipped(name).ok().map(|definition| definition.schema()),
    };
    match table {
        Some(schema) => Ok(Columns {
            title: format!("Table {name}, beside its partition keys"),
            rows: schema_rows(&schema),
        }),
        None if Path::new(name).is_file() => file_columns(Path::new(name), args.currency.clone()),
        None => {
            inputs::check_no_signature(Path::new(name))?;
            Err(Error::usage(
                format!("there is no table and no file {name}"),
                format!(
                    "name {}, {}, {}, a table of `costlake reconcile` or a cost file of this machine",
                    LakeTable::LineItems.name(),
                    LakeTable::Quarantine.name(),
                    SHIPPED.map(|(name, _)| name).join(", ")
                ),
            ))
        }
    }
}

fn schema_rows(schema: &Schema) -> Vec<Row> {
    let type_name = |data_type: &arrow::datatypes::DataType| {
        let is_text = *data_type == columns::text_type();
        if is_text { "Utf8".to_owned() } else { data_type.to_string() }
    };
    let row = |field: &std::sync::Arc<arrow::datatypes::Field>| {
        vec![
            ("column".to_owned(), Value::from(field.name().as_str())),
            ("type".to_owned(), Value::from(type_name(field.data_type()))),
            ("nullable".to_owned(), Value::from(field.is_nullable())),
        ]
    };
    schema.fields().iter().map(row).collect()
}

fn file_columns(path: &Path, currency: Option<String>) -> Result<Columns, Error> {
    let binding = inputs::read_binding(&InputFile::plain(path), currency)?;
    let missing = SOURCE_COLUMNS.len() - binding.columns.len();
    Ok(Columns {
        title: format!(
            "{}: layout {}; {} columns bound, {} kept as extra, {missing} of the table missing{}",
            path.display(),
            binding.fingerprint,
            binding.columns.len(),
            binding.extra.len(),
            binding.fingerprint.departure().map_or_else(String::new, |text| format!("; {text}"))
        ),
        rows: binding_rows(&binding),
    })
}

fn binding_rows(binding: &Binding) -> Vec<Row> {
    let row = |field: Option<usize>, header: &str, column: &str, column_type: String| {
        vec![
            ("field".to_owned(), Value::from(field.map(|field| field + 1))),
            ("header".to_owned(), Value::from(header)),
            ("column".to_owned(), Value::from(column)),
            ("type".to_owned(), Value::from(column_type)),
        ]
    };
    let mut rows: Vec<(usize, Row)> = Vec::new();
    for bound in &binding.columns {
        let column = &SOURCE_COLUMNS[bound.column];
        let column_type = format!("{:?}", column.column_type).to_lowercase();
        rows.push((bound.field, row(Some(bound.field), &bound.header, column.name, column_type)));
    }
    let others =
        [(&binding.extra, "extra", "text"), (&binding.other_metric, OTHER_METRIC, "decimal")];
    for (columns, name, column_type) in others {
        for column in columns {
            let row = row(Some(column.field), &column.header, name, column_type.to_owned());
            rows.push((column.field, row));
        }
    }
    rows.sort_by_key(|(field, _)| *field);
    let bound = |at: usize| binding.columns.iter().any(|bound| bound.column == at);
    let missing = SOURCE_COLUMNS.iter().enumerate().filter(|(at, _)| !bound(*at));
    let missing = missing.map(|(_, column)| row(None, "(missing)", column.name, "null".to_owned()));
    rows.into_iter().map(|(_, row)| row).chain(missing).collect()
}

/// Where the costs of a FOCUS file go that show the other metric.
const OTHER_METRIC: &str = "(of the other metric)";

impl Show for Columns {
    fn for_people(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::UTF8_BORDERS_ONLY);
        if let Some(first) = self.rows.first() {
            table.set_header(first.iter().map(|(name, _)| name.as_str()));
        }
        let cell = |value: &Value| match value {
            Value::Null => String::new(),
            Value::String(text) => output::printable(text),
            other => other.to_string(),
        };
        for row in &self.rows {
            table.add_row(row.iter().map(|(_, value)| cell(value)));
        }
        format!("{}\n{table}\n", output::printable(&self.title))
    }

    fn to_json(&self) -> Value {
        let rows: Vec<Value> = self.rows().into_iter().map(output::object).collect();
        json!({ "title": self.title, "columns": rows })
    }

    fn rows(&self) -> Vec<Row> {
        self.rows.clone()
    }
}
