//! The JSON of the Cost Details API (`azure-apis.md`, 1), converted by hand and checked.
//!
//! Texts of a broken answer are never quoted: they may hold signed links.

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::Deserialize;

use crate::cost_details::{ReportPeriod, ReportRequest};
use crate::secret::Secret;
use crate::text;

/// A 200 answer of an operation.
#[derive(Debug)]
pub(crate) struct OperationAnswer {
    /// Azure's name of the work, if it is given.
    pub(crate) operation_id: Option<String>,
    pub(crate) outcome: Outcome,
}

/// How an operation ended, or that it did not.
#[derive(Debug)]
pub(crate) enum Outcome {
    Running,
    NoData,
    Failed { code: String, message: String },
    Completed(Completed),
}

/// A manifest that agrees with itself.
#[derive(Debug)]
pub(crate) struct Completed {
    pub(crate) blobs: Vec<Blob>,
    pub(crate) byte_count: Option<u64>,
    pub(crate) valid_till: DateTime<Utc>,
    pub(crate) compressed: bool,
    /// The metric that Azure says it made the report for.
    pub(crate) metric: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Blob {
    pub(crate) link: Secret,
    pub(crate) byte_count: u64,
}

/// Returns the body that asks for a report.
pub(crate) fn request_body(request: &ReportRequest) -> String {
    let metric = request.metric.azure_name();
    let body = match request.period {
        ReportPeriod::Billing(period) => {
            serde_json::json!({ "metric": metric, "billingPeriod": period.compact() })
        }
        ReportPeriod::Time(period) => serde_json::json!({
            "metric": metric,
            "timePeriod": {
                "start": period.start().format("%Y-%m-%d").to_string(),
                "end": period.end().format("%Y-%m-%d").to_string(),
            },
        }),
        ReportPeriod::Open => serde_json::json!({ "metric": metric }),
    };
    body.to_string()
}

/// Returns code and message of an ARM error body, escaped; empty texts where there are none.
pub(crate) fn azure_error(body: &[u8]) -> (String, String) {
    let value: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let member = |name: &str| {
        let text = value.pointer(name).and_then(serde_json::Value::as_str);
        text.map(text::first_line).unwrap_or_default()
    };
    (member("/error/code"), member("/error/message"))
}

/// Reads a 200 answer.
///
/// # Errors
/// The rule of the contract that it breaks.
pub(crate) fn parse_operation(body: &[u8]) -> Result<OperationAnswer, String> {
    let body: OperationBody = serde_json::from_slice(body).map_err(|error| {
        format!(
            "the body is not the JSON of an operation (line {}, column {})",
            error.line(),
            error.column()
        )
    })?;
    let operation_id = body.name.as_deref().map(checked_operation_id).transpose()?;
    Ok(OperationAnswer { operation_id, outcome: body.outcome()? })
}

/// Returns an operation id if it has the characters of one.
pub(crate) fn checked_operation_id(text: &str) -> Result<String, String> {
    let is_id = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if text.is_empty() || text.len() > 128 || !text.bytes().all(is_id) {
        return Err("the operation id holds other characters than letters, digits, - and _".into());
    }
    Ok(text.to_owned())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OperationBody {
    name: Option<String>,
    status: Option<String>,
    manifest: Option<ManifestBody>,
    valid_till: Option<String>,
    error: Option<ErrorBody>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ManifestBody {
    data_format: Option<String>,
    byte_count: Option<i64>,
    blob_count: Option<i64>,
    compress_data: Option<bool>,
    request_context: Option<RequestContextBody>,
    blobs: Option<Vec<BlobBody>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestContextBody {
    request_body: Option<RequestEchoBody>,
}

#[derive(Deserialize)]
struct RequestEchoBody {
    metric: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlobBody {
    blob_link: Option<String>,
    byte_count: Option<i64>,
}

#[derive(Deserialize)]
struct ErrorBody {
    code: Option<String>,
    message: Option<String>,
}

impl OperationBody {
    fn outcome(self) -> Result<Outcome, String> {
        let status = self.status.clone().ok_or("it has no status")?;
        // The first three are the published ones; the others belong to the sibling report API and
        // are taken by their plain meaning.
        match status.to_ascii_lowercase().as_str() {
            "completed" => self.completed().map(Outcome::Completed),
            "nodatafound" => self.no_data(),
            "failed" | "timedout" => Ok(self.failed()),
            "inprogress" | "queued" | "running" => Ok(Outcome::Running),
            _ => Err(format!("its status `{}` is unknown", text::escaped(&status))),
        }
    }

    fn no_data(self) -> Result<Outcome, String> {
        let blobs = self.manifest.and_then(|manifest| manifest.blobs);
        if blobs.is_some_and(|blobs| !blobs.is_empty()) {
            return Err("it says that there is no data and lists blobs".to_owned());
        }
        Ok(Outcome::NoData)
    }

    fn failed(self) -> Outcome {
        let (code, message) = self
            .error
            .map(|error| (error.code.unwrap_or_default(), error.message.unwrap_or_default()))
            .unwrap_or_default();
        Outcome::Failed { code: text::first_line(&code), message: text::first_line(&message) }
    }

    fn completed(self) -> Result<Completed, String> {
        let manifest = self.manifest.ok_or("it is completed without a manifest")?;
        let valid_till = self.valid_till.ok_or("it has no validTill")?;
        let valid_till = parse_time(&valid_till).ok_or("its validTill is no time")?;
        let byte_count = manifest.byte_count.map(checked_count).transpose()?;
        manifest.check_format()?;
        Ok(Completed {
            byte_count,
            valid_till,
            compressed: manifest.compress_data.unwrap_or(false),
            metric: manifest.metric().map(str::to_owned),
            blobs: manifest.into_blobs()?,
        })
    }
}

impl ManifestBody {
    fn check_format(&self) -> Result<(), String> {
        match &self.data_format {
            Some(format) if !format.eq_ignore_ascii_case("csv") => {
                Err(format!("its data format `{}` is unknown", text::escaped(format)))
            }
            _ => Ok(()),
        }
    }

    fn metric(&self) -> Option<&str> {
        let context = self.request_context.as_ref()?;
        context.request_body.as_ref()?.metric.as_deref()
    }

    fn into_blobs(self) -> Result<Vec<Blob>, String> {
        let bodies = self.blobs.unwrap_or_default();
        let announced = self.blob_count.ok_or("it has no blobCount")?;
        if i64::try_from(bodies.len()) != Ok(announced) {
            let listed = bodies.len();
            return Err(format!("it announces {announced} blobs and lists {listed}"));
        }
        if bodies.is_empty() {
            return Err("it is completed without a blob".to_owned());
        }
        bodies.into_iter().map(BlobBody::into_blob).collect()
    }
}

impl BlobBody {
    fn into_blob(self) -> Result<Blob, String> {
        let link = self.blob_link.ok_or("a blob has no link")?;
        let byte_count = self.byte_count.ok_or("a blob has no byteCount")?;
        Ok(Blob { link: Secret::new(link), byte_count: checked_count(byte_count)? })
    }
}

fn checked_count(count: i64) -> Result<u64, String> {
    u64::try_from(count).map_err(|_| "a byteCount is negative".to_owned())
}

/// Reads a date-time with any number of fraction digits; without a zone it is UTC.
fn parse_time(text: &str) -> Option<DateTime<Utc>> {
    let zoned = DateTime::parse_from_rfc3339(text).map(|time| time.with_timezone(&Utc));
    let plain = || NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").map(|t| t.and_utc());
    zoned.or_else(|_| plain()).ok()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use costlake_model::{Metric, Scope, TimePeriod};
    use serde_json::Value;

    use super::*;

    /// The operation of all of Azure's examples.
    const EXAMPLE_OPERATION: &str = "00000000-0000-0000-0000-000000000000";
    const LINK: &str = "https://a.blob.core.windows.net/c/b?sig=canary";

    fn completed(manifest: &str) -> String {
        format!(
            r#"{{"name":"op-1","status":"Completed","validTill":"2022-05-10T08:08:46.1973252Z","manifest":{manifest}}}"#
        )
    }

    fn violation(body: &str) -> String {
        parse_operation(body.as_bytes()).unwrap_err()
    }

    #[test]
    fn lying_manifests_are_refused() {
        let blob = format!(r#"{{"blobLink":"{LINK}","byteCount":3}}"#);
        for (manifest, expected) in [
            ("null".to_owned(), "it is completed without a manifest"),
            ("{}".to_owned(), "it has no blobCount"),
            (r#"{"blobCount":0,"blobs":[]}"#.to_owned(), "it is completed without a blob"),
            (r#"{"blobCount":0}"#.to_owned(), "it is completed without a blob"),
            (format!(r#"{{"blobCount":2,"blobs":[{blob}]}}"#), "it announces 2 blobs and lists 1"),
            (
                format!(r#"{{"blobCount":-1,"blobs":[{blob}]}}"#),
                "it announces -1 blobs and lists 1",
            ),
            (
                format!(r#"{{"blobCount":1,"byteCount":-3,"blobs":[{blob}]}}"#),
                "a byteCount is negative",
            ),
            (
                r#"{"blobCount":1,"blobs":[{"blobLink":"x","byteCount":-1}]}"#.to_owned(),
                "a byteCount is negative",
            ),
            (r#"{"blobCount":1,"blobs":[{"byteCount":1}]}"#.to_owned(), "a blob has no link"),
            (r#"{"blobCount":1,"blobs":[{"blobLink":"x"}]}"#.to_owned(), "a blob has no byteCount"),
            (
                format!(r#"{{"dataFormat":"Parquet","blobCount":1,"blobs":[{blob}]}}"#),
                "its data format `Parquet` is unknown",
            ),
        ] {
            assert_eq!(violation(&completed(&manifest)), expected, "{manifest}");
        }
    }

    #[test]
    fn broken_bodies_are_refused_without_quoting_them() {
        let mistyped = completed(&format!(r#"{{"blobCount":"{LINK}"}}"#));
        let deep = "[".repeat(100_000);
        for body in [
            "",
            "{",
            "[]",
            "NaN",
            "\u{feff}{}",
            mistyped.as_str(),
            deep.as_str(),
            r#"{"status":"Completed","status":"Failed"}"#,
        ] {
            let violation = violation(body);
            assert!(violation.starts_with("the body is not the JSON"), "{violation}");
            assert!(!violation.contains("canary"));
        }
    }

    #[test]
    fn statuses_are_a_closed_table() {
        let outcome = |status: &str| {
            let body = format!(r#"{{"status":"{status}"}}"#);
            parse_operation(body.as_bytes()).map(|answer| answer.outcome)
        };
        assert!(matches!(outcome("NoDataFound"), Ok(Outcome::NoData)));
        assert!(matches!(outcome("noDataFound"), Ok(Outcome::NoData)));
        assert!(matches!(outcome("Failed"), Ok(Outcome::Failed { .. })));
        assert!(matches!(outcome("TimedOut"), Ok(Outcome::Failed { .. })));
        assert!(matches!(outcome("InProgress"), Ok(Outcome::Running)));
        for status in ["Succeeded", "ReadyToDownload", "3", ""] {
            assert!(outcome(status).unwrap_err().contains("is unknown"), "{status}");
        }
        assert_eq!(violation("{}"), "it has no status");
        assert_eq!(violation(r#"{"status":null}"#), "it has no status");
    }

    #[test]
    fn times_have_any_number_of_fraction_digits() {
        for (text, expected) in [
            ("2022-05-10T08:08:46.1973252Z", Some("2022-05-10T08:08:46.197325200Z")),
            ("2022-05-10T08:08:46Z", Some("2022-05-10T08:08:46Z")),
            ("2022-05-10T10:08:46+02:00", Some("2022-05-10T08:08:46Z")),
            ("2022-05-10T08:08:46.1973252", Some("2022-05-10T08:08:46.197325200Z")),
            ("03/05/2019 20:13:06", None),
            ("", None),
        ] {
            let expected = expected.map(|text| text.parse::<DateTime<Utc>>().unwrap());
            assert_eq!(parse_time(text), expected, "{text}");
        }
    }

    #[test]
    fn error_bodies_are_read_leniently() {
        for (body, expected) in [
            (
                r#"{"error":{"code":"429","message":"Too many requests."}}"#,
                ("429", "Too many requests."),
            ),
            (r#"{"error":{"code":"A","message":"one\r\ntwo"}}"#, ("A", "one")),
            (r#"{"error":{"code":null}}"#, ("", "")),
            (r#"{"error":"text"}"#, ("", "")),
            ("<html>", ("", "")),
        ] {
            let (code, message) = azure_error(body.as_bytes());
            assert_eq!((code.as_str(), message.as_str()), expected, "{body}");
        }
    }

    /// One of Azure's examples: a request, as `parameters`, and answers to it.
    struct Example {
        file: String,
        json: Value,
    }

    impl Example {
        fn text(&self, pointer: &str) -> &str {
            self.json.pointer(pointer).unwrap().as_str().unwrap()
        }
    }

    /// Azure's examples of creating and of polling a report; `None` if they are not there.
    fn official_examples() -> Option<Vec<Example>> {
        let root = std::env::var("COSTLAKE_REFERENCE").map_or_else(
            |_| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/reference")),
            PathBuf::from,
        );
        let mut examples = Vec::new();
        for version in ["2024-08-01", "2025-03-01"] {
            let folder = root.join("azure-specs/cost-management").join(version).join("examples");
            let Ok(entries) = std::fs::read_dir(&folder) else {
                println!("skipped: no examples at {}", folder.display());
                return None;
            };
            for path in entries.map(|entry| entry.unwrap().path()) {
                let file = path.file_name().unwrap().to_string_lossy().into_owned();
                if file.contains("CostDetails") {
                    let json = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
                    examples.push(Example { file, json });
                }
            }
        }
        assert_eq!(examples.len(), 6);
        Some(examples)
    }

    #[test]
    fn official_examples_are_read() {
        for example in official_examples().into_iter().flatten() {
            let body = example.json.pointer("/responses/200/body").unwrap().to_string();
            check_example(&parse_operation(body.as_bytes()).unwrap());
        }
    }

    fn check_example(answer: &OperationAnswer) {
        assert_eq!(answer.operation_id.as_deref(), Some(EXAMPLE_OPERATION));
        let Outcome::Completed(completed) = &answer.outcome else {
            panic!("not completed: {answer:?}");
        };
        assert_eq!(completed.valid_till.to_rfc3339(), "2022-05-10T08:08:46.197325200+00:00");
        assert_eq!(completed.byte_count, Some(32741));
        assert_eq!(completed.metric.as_deref(), Some("ActualCost"));
        assert!(!completed.compressed);
        let blob = &completed.blobs[0];
        assert_eq!((completed.blobs.len(), blob.byte_count), (1, 32741));
        assert!(
            blob.link.reveal().starts_with("https://ccmreportstorageeastus.blob.core.windows.net/")
        );
    }

    #[test]
    fn official_examples_point_to_the_operation_that_they_answer_for() {
        for example in official_examples().into_iter().flatten() {
            let location = example.text("/responses/202/headers/Location");
            let path = location.split('?').next().unwrap();
            let id = path.rsplit('/').next().unwrap();
            assert_eq!(checked_operation_id(id).unwrap(), EXAMPLE_OPERATION, "{}", example.file);
        }
    }

    #[test]
    fn official_requests_are_written() {
        let mut seen = Vec::new();
        for example in official_examples().into_iter().flatten() {
            for pointer in [
                "/parameters/parameters",
                "/responses/200/body/manifest/requestContext/requestBody",
            ] {
                let Some(official) = example.json.pointer(pointer) else { continue };
                let Some(request) = our_request(official) else {
                    assert!(official.get("invoiceId").is_some(), "{}: {official}", example.file);
                    seen.push("invoiceId");
                    continue;
                };
                let ours: Value = serde_json::from_str(&request_body(&request)).unwrap();
                assert_eq!(&ours, official, "{}", example.file);
                seen.push(match request.period {
                    ReportPeriod::Billing(_) => "billingPeriod",
                    ReportPeriod::Time(_) => "timePeriod",
                    ReportPeriod::Open => "open",
                });
            }
        }
        if !seen.is_empty() {
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen, ["billingPeriod", "invoiceId", "timePeriod"]);
        }
    }

    /// The same request in our words; `None` for an invoice of a Customer Agreement, which costlake does not ask for.
    fn our_request(official: &Value) -> Option<ReportRequest> {
        let text = |pointer: &str| official.pointer(pointer).and_then(Value::as_str);
        let metric = [Metric::Actual, Metric::Amortized]
            .into_iter()
            .find(|metric| text("/metric") == Some(metric.azure_name()))
            .unwrap();
        let period = if let Some(month) = text("/billingPeriod") {
            ReportPeriod::Billing(month.parse().unwrap())
        } else if let Some(start) = text("/timePeriod/start") {
            let end = text("/timePeriod/end").unwrap().parse().unwrap();
            ReportPeriod::Time(TimePeriod::new(start.parse().unwrap(), end).unwrap())
        } else {
            return None;
        };
        // The scope is not part of the body.
        Some(ReportRequest { scope: Scope::billing_account("1").unwrap(), metric, period })
    }

    #[test]
    fn official_scopes_are_those_of_our_paths() {
        let mut read = 0;
        for example in official_examples().into_iter().flatten() {
            let official = example.text("/parameters/scope");
            // Both belong to a Customer Agreement, not to an Enterprise Agreement.
            let is_foreign = ["billingProfiles", "customers"].iter().any(|k| official.contains(k));
            match official.parse::<Scope>() {
                Ok(scope) => assert_eq!(scope.path(), format!("/{official}")),
                Err(error) => assert!(is_foreign, "{}: {error}", example.file),
            }
            read += usize::from(!is_foreign);
        }
        assert!(read == 4 || official_examples().is_none());
    }
}
