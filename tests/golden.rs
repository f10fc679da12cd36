//! The figures of every sample file of the reference folder, against `golden/samples.json`.
//!
//! That file is made by `golden/make_golden.py`, with Python's csv and decimals, and looked through by
//! people. It holds figures and names, nothing else of the files. A sample without figures fails, and
//! so do figures without a sample.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int32Type;
use costlake_model::ledger::Ledger;
use costlake_transform::{BlobReader, BlobSummary, DecodedChunk, Error};
use serde_json::{Map, Value, json};

use crate::harness::{blob_options, python, reference};

fn golden_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/samples.json")
}

/// The readings of each sample file: with and without a currency, and of each metric.
fn golden() -> BTreeMap<String, Vec<Value>> {
    serde_json::from_slice(&fs::read(golden_file()).unwrap()).unwrap()
}

fn is_focus(name: &str) -> bool {
    name.starts_with("focus_")
}

#[test]
fn every_sample_has_golden_figures_and_every_figure_a_sample() {
    let Some(samples) = reference("samples") else { return };
    let names = fs::read_dir(samples).unwrap().map(|entry| entry.unwrap().file_name());
    let names = names.map(|name| name.into_string().unwrap());
    let samples: BTreeSet<String> = names.filter(|name| name.ends_with(".csv")).collect();
    assert_eq!(golden().into_keys().collect::<BTreeSet<_>>(), samples);
}

#[test]
fn golden_figures_are_those_of_python() {
    let Some(samples) = reference("samples") else { return };
    let Some(mut script) = python("golden/make_golden.py") else { return };
    let output = script.arg(samples).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(fs::read_to_string(golden_file()).unwrap(), String::from_utf8_lossy(&output.stdout));
}

#[test]
fn samples_of_native_layouts_give_their_golden_figures() {
    check(|name| !is_focus(name));
}

#[test]
fn samples_of_focus_give_their_golden_figures() {
    check(is_focus);
}

fn check(is_meant: impl Fn(&str) -> bool) {
    let Some(samples) = reference("samples") else { return };
    let mut faults = Vec::new();
    for (name, readings) in golden().into_iter().filter(|(name, _)| is_meant(name)) {
        let bytes = fs::read(samples.join(&name)).unwrap();
        for expected in readings {
            let found = figures(&bytes, &expected);
            if found != expected {
                faults.push(format!("{name}\n found    {found}\n expected {expected}"));
            }
        }
    }
    assert!(faults.is_empty(), "{} readings differ:\n{}", faults.len(), faults.join("\n"));
}

/// What costlake makes of a file, in the form of the expected figures.
fn figures(bytes: &[u8], expected: &Value) -> Value {
    let (currency, metric) = (expected["currency"].as_str(), expected["metric"].as_str());
    let mut found = match read(bytes, currency, metric.unwrap_or("actual")) {
        Ok((chunks, summary)) => normal_form(&chunks, &summary, expected),
        Err(Error::MissingColumns { missing }) => {
            let names = missing.iter().map(|text| text.split(' ').next());
            json!({ "refused": "missing-columns", "missing": names.collect::<Vec<_>>() })
        }
        Err(error) => json!({ "refused": error.to_string() }),
    };
    for given in ["currency", "metric"] {
        if let Some(value) = expected.get(given) {
            found[given] = value.clone();
        }
    }
    found
}

fn read(
    bytes: &[u8],
    currency: Option<&str>,
    metric: &str,
) -> Result<(Vec<DecodedChunk>, BlobSummary), Error> {
    let mut reader = BlobReader::new(blob_options(currency, metric, 64 << 10));
    let mut chunks = Vec::new();
    for mut piece in bytes.chunks(1000) {
        while let Some(chunk) = reader.feed(&mut piece)? {
            chunks.push(chunk);
        }
    }
    let (last, summary) = reader.finish()?;
    chunks.extend(last);
    let decoded = chunks.iter().map(|chunk| chunk.decode()).collect::<Result<_, _>>()?;
    Ok((decoded, summary))
}

fn normal_form(chunks: &[DecodedChunk], summary: &BlobSummary, expected: &Value) -> Value {
    let mut ledger = Ledger::default();
    chunks.iter().for_each(|chunk| ledger.merge(&chunk.ledger));
    ledger.check().unwrap();
    let fingerprint = &summary.binding.as_ref().unwrap().fingerprint;
    let costs = ledger.cost_by_currency.iter();
    let costs: Map<String, Value> =
        costs.map(|(currency, cost)| (currency.clone(), json!(cost.to_string()))).collect();
    let mut found = json!({
        "kind": fingerprint.kind.name(),
        "version": fingerprint.version,
        "rows": ledger.published.rows,
        "quarantined": ledger.quarantined.rows,
        "first_date": ledger.first_date.map(|day| day.to_string()),
        "last_date": ledger.last_date.map(|day| day.to_string()),
        "sums": sums(&ledger, &expected["sums"]),
        "currencies": costs,
    });
    // Charges of FOCUS files have other words, and no figures here.
    if expected.get("classes").is_some() {
        found["classes"] = json!(classes(chunks));
    }
    found
}

/// The exact sum of every decimal column that the file has; of those expected if it has no rows.
fn sums(ledger: &Ledger, expected: &Value) -> Map<String, Value> {
    if ledger.records == 0 {
        let names = expected.as_object().into_iter().flatten();
        return names.map(|(name, _)| (name.clone(), json!("0"))).collect();
    }
    let sums = ledger.published.decimals.iter();
    sums.map(|(name, sum)| ((*name).to_owned(), json!(sum.exact.to_string()))).collect()
}

fn classes(chunks: &[DecodedChunk]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for chunk in chunks {
        let column = chunk.batch.column_by_name("charge_class").unwrap();
        let codes = column.as_dictionary::<Int32Type>();
        let names = codes.values().as_string::<i32>();
        for key in codes.keys().values() {
            *counts.entry(names.value(usize::try_from(*key).unwrap()).to_owned()).or_default() += 1;
        }
        assert_eq!(column.null_count(), 0);
    }
    counts
}
