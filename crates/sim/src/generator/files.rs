//! Whole months as files, laid out like a Cost Management export:
//!
//! ```text
//! <out>/actual/202505/part_0.csv, part_1.csv, ..., manifest.json
//! <out>/amortized/202505/...
//! ```
//!
//! The manifest is written last and follows the export manifest of `costs/tutorial-improved-exports`.

use super::calendar::Month;
use super::config::EnrollmentConfig;
use super::enrollment::Enrollment;
use super::random::Random;
use super::report::{BlobPlan, BlobSize, Metric, Selection};
use chrono::Datelike;
use rayon::prelude::*;
use serde_json::json;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Which files to write.
#[derive(Clone, Debug)]
pub struct GenerateConfig {
    /// The enrollment; its `rows_per_month` follows from `rows`.
    pub enrollment: EnrollmentConfig,
    /// Rows per metric over all months, at least about so many. Days an open month does not show yet are missing.
    pub rows: u64,
    /// State of the open month.
    pub revision: u32,
    /// Which views to write.
    pub metrics: Vec<Metric>,
    /// Parts per metric and month, at least 1.
    pub blobs_per_report: usize,
    /// Threads to use; `None` for rayon's usual pool. The bytes do not depend on it.
    pub threads: Option<usize>,
    /// The folder to write into; it is created.
    pub out_dir: PathBuf,
}

impl GenerateConfig {
    /// Returns a configuration with closed months only: about `rows` rows per metric, both metrics, three parts a month.
    pub fn new(out_dir: impl Into<PathBuf>, rows: u64) -> Self {
        Self {
            enrollment: EnrollmentConfig { open_month: None, ..EnrollmentConfig::default() },
            rows,
            revision: 0,
            metrics: vec![Metric::ActualCost, Metric::AmortizedCost],
            blobs_per_report: 3,
            threads: None,
            out_dir: out_dir.into(),
        }
    }
}

/// A file that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeneratedFile {
    /// Where it lies.
    pub path: PathBuf,
    /// The view it shows.
    pub metric: Metric,
    /// The month it covers.
    pub month: Month,
    /// Rows without the header.
    pub rows: u64,
    /// Bytes.
    pub bytes: u64,
}

/// A step of the work: what was added since the last call. Calls come from several threads.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Bytes written.
    pub bytes: u64,
    /// Rows written; counted when a file is complete.
    pub rows: u64,
}

/// The files could not be written.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// A file or folder cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The threads cannot be started.
    #[error("cannot start {threads} threads")]
    Threads {
        /// How many were wanted.
        threads: usize,
        /// Why.
        source: rayon::ThreadPoolBuildError,
    },
}

/// Writes all files and a manifest beside the parts of each metric and month. Returns the CSV files ordered by metric,
/// month and part.
///
/// # Errors
/// The first file, in that order, that cannot be written.
pub fn generate_files(
    config: &GenerateConfig,
    progress: impl Fn(Progress) + Sync,
) -> Result<Vec<GeneratedFile>, GenerateError> {
    match config.threads {
        None => generate_here(config, &progress),
        Some(threads) => rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .map_err(|source| GenerateError::Threads { threads, source })?
            .install(|| generate_here(config, &progress)),
    }
}

/// One report as files.
struct Report {
    metric: Metric,
    month: Month,
    folder: PathBuf,
    blobs: Vec<BlobPlan>,
}

fn generate_here(
    config: &GenerateConfig,
    progress: &(impl Fn(Progress) + Sync),
) -> Result<Vec<GeneratedFile>, GenerateError> {
    let enrollment = Enrollment::new(config.enrollment.clone().with_total_rows(config.rows));
    let reports = plan_reports(config, &enrollment);
    for report in &reports {
        fs::create_dir_all(&report.folder).map_err(|source| write_error(&report.folder, source))?;
    }
    let parts: Vec<(&Report, usize)> = reports
        .iter()
        .flat_map(|report| (0..report.blobs.len()).map(move |part| (report, part)))
        .collect();
    let written: Vec<Result<GeneratedFile, GenerateError>> = parts
        .par_iter()
        .map(|(report, part)| write_part(&enrollment, report, *part, progress))
        .collect();
    let files = written.into_iter().collect::<Result<Vec<_>, _>>()?;
    for report in &reports {
        write_manifest(config, report, &files)?;
    }
    Ok(files)
}

fn plan_reports(config: &GenerateConfig, enrollment: &Enrollment) -> Vec<Report> {
    let mut reports = Vec::new();
    for metric in &config.metrics {
        for month in config.enrollment.months() {
            let selection =
                Selection { revision: config.revision, ..Selection::month(*metric, month) };
            reports.push(Report {
                metric: *metric,
                month,
                folder: config.out_dir.join(metric.folder()).join(month.to_string()),
                blobs: enrollment.plan(&selection, config.blobs_per_report),
            });
        }
    }
    reports
}

fn write_part(
    enrollment: &Enrollment,
    report: &Report,
    part: usize,
    progress: &(impl Fn(Progress) + Sync),
) -> Result<GeneratedFile, GenerateError> {
    let path = report.folder.join(part_name(part));
    let write = || -> io::Result<BlobSize> {
        let mut file = File::create(&path)?;
        enrollment.write_blob(&report.blobs[part], |bytes| {
            progress(Progress { bytes: bytes.len() as u64, rows: 0 });
            file.write_all(bytes)
        })
    };
    let size = write().map_err(|source| write_error(&path, source))?;
    progress(Progress { bytes: 0, rows: size.rows });
    Ok(GeneratedFile {
        path,
        metric: report.metric,
        month: report.month,
        rows: size.rows,
        bytes: size.bytes,
    })
}

fn part_name(part: usize) -> String {
    format!("part_{part}.csv")
}

fn write_manifest(
    config: &GenerateConfig,
    report: &Report,
    files: &[GeneratedFile],
) -> Result<(), GenerateError> {
    let parts: Vec<&GeneratedFile> = files
        .iter()
        .filter(|file| file.metric == report.metric && file.month == report.month)
        .collect();
    let path = report.folder.join("manifest.json");
    fs::write(&path, manifest(config, report, &parts).to_string())
        .map_err(|source| write_error(&path, source))
}

fn manifest(
    config: &GenerateConfig,
    report: &Report,
    parts: &[&GeneratedFile],
) -> serde_json::Value {
    let (metric, month) = (report.metric, report.month);
    let scope = format!(
        "/providers/Microsoft.Billing/billingAccounts/{}",
        config.enrollment.enrollment_number
    );
    let export = format!("costs-{}", metric.folder());
    let blobs: Vec<_> = (0..)
        .zip(parts)
        .map(|(number, part)| {
            json!({
                "blobName": format!("{}/{month}/{}", metric.folder(), part_name(number)),
                "byteCount": part.bytes,
                "dataRowCount": part.rows,
            })
        })
        .collect();
    json!({
        "manifestVersion": "2024-04-01",
        "byteCount": parts.iter().map(|part| part.bytes).sum::<u64>(),
        "blobCount": parts.len(),
        "dataRowCount": parts.iter().map(|part| part.rows).sum::<u64>(),
        "exportConfig": {
            "exportName": export,
            "resourceId": format!("{scope}/providers/Microsoft.CostManagement/exports/{export}"),
            "dataVersion": "2024-08-01",
            "apiVersion": "2025-03-01",
            "type": metric.name(),
            "timeFrame": "OneTime",
            "granularity": "Daily",
        },
        "deliveryConfig": {
            "partitionData": true,
            "dataOverwriteBehavior": "OverwritePreviousReport",
            "fileFormat": "Csv",
            "compressionMode": "None",
            "containerUri": "",
            "rootFolderPath": metric.folder(),
        },
        "runInfo": run_info(config, report),
        "blobs": blobs,
    })
}

/// Ids and times of the run are invented too, so that the manifest depends on the configuration alone.
fn run_info(config: &GenerateConfig, report: &Report) -> serde_json::Value {
    let first = report.month.first_day();
    let place = [
        12,
        report.metric as u64,
        u64::from(first.num_days_from_ce().unsigned_abs()),
        u64::from(config.revision),
    ];
    let submitted =
        report.month.plus(1).first_day() + chrono::Days::new(4 + u64::from(config.revision));
    json!({
        "executionType": "OnDemand",
        "submittedTime": format!("{submitted}T06:00:00.0000000Z"),
        "runId": Random::at(config.enrollment.seed, &place).guid(),
        "startDate": format!("{first}T00:00:00"),
        "endDate": format!("{}T00:00:00Z", report.month.last_day()),
    })
}

fn write_error(path: &Path, source: io::Error) -> GenerateError {
    GenerateError::Write { path: path.to_owned(), source }
}
