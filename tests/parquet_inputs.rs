//! Parquet files as input: as Azure's exports write them, odd ones, and damaged ones.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Float64Array, ListArray, RecordBatch, StringArray};
use arrow::datatypes::Int32Type;
use parquet::arrow::ArrowWriter;
use serde_json::{Value, json};
use tempfile::TempDir;
use zip::write::SimpleFileOptions;

use crate::harness::{
    Outcome, finish, gzipped, lake_files, published, python, run, small_file, small_row,
    sound_rows, text,
};
use crate::reading::ParquetRows;

const QUARANTINE: &str =
    "quarantine/metric=actual/billing_period=2025-05/scope=billing-account-1234567/data.parquet";

/// A folder for files, and a lake beside them.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn lake(&self) -> PathBuf {
        self.0.path().join("lake")
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    fn convert(&self, file: &Path, args: &[&str]) -> Outcome {
        let lake = self.lake();
        let common = ["convert", text(file), "--lake", text(&lake), "--metric", "actual"];
        run(&[&common[..], args].concat())
    }
}

type Columns = Vec<(String, ArrayRef)>;

/// The columns of a CSV file, all of them text.
fn columns_of(csv_text: &str) -> Columns {
    let mut reader = csv::Reader::from_reader(csv_text.as_bytes());
    let names = reader.headers().unwrap().clone();
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let column = |at: usize| rows.iter().map(|row| Some(&row[at])).collect::<StringArray>();
    let columns = names.iter().enumerate();
    columns.map(|(at, name)| (name.to_owned(), Arc::new(column(at)) as ArrayRef)).collect()
}

/// The bytes of a Parquet file.
fn parquet(columns: Columns) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

/// A Parquet file of sound rows, with another array in place of a column.
fn sound_with(name: &str, array: impl arrow::array::Array + 'static) -> Vec<u8> {
    let mut columns = columns_of(&small_file(&sound_rows()));
    let array: ArrayRef = Arc::new(array);
    match columns.iter_mut().find(|(known, _)| known == name) {
        Some(column) => column.1 = array,
        None => columns.push((name.to_owned(), array)),
    }
    parquet(columns)
}

fn sound() -> Vec<u8> {
    parquet(columns_of(&small_file(&sound_rows())))
}

/// The months of a result, without what differs between files of the same rows.
fn months(outcome: &Outcome) -> Value {
    let mut months = outcome.json()["months"].take();
    for month in months.as_array_mut().unwrap() {
        let (mut reports, mut rollups) = (month["reports"].take(), month["rollups"].take());
        for object in
            reports.as_array_mut().unwrap().iter_mut().chain(rollups.as_array_mut().unwrap())
        {
            let object = object.as_object_mut().unwrap();
            for name in ["sha256", "bytes", "notes"] {
                object.remove(name);
            }
        }
        month["reports"] = reports;
        month["rollups"] = rollups;
    }
    months
}

#[test]
fn exports_of_all_types_give_the_lake_of_their_csv_files() {
    let directory = TempDir::new().unwrap();
    let (files, variants) = (directory.path().join("files"), directory.path().join("variants"));
    run(&["simulate", "generate", "--rows", "1500", "--out", text(&files)]).exits(0);
    let Some(mut script) = python("oracles/write_parquet.py") else { return };
    finish(script.arg(&files).arg(&variants).spawn().unwrap()).exits(0);
    let mut names: Vec<PathBuf> =
        fs::read_dir(variants).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    assert_eq!(names.len(), 10);
    let mut lakes = Vec::new();
    for variant in names {
        println!("{}", variant.display());
        let [csv, parquet] = ["csv", "parquet"].map(|kind| {
            let (files, lake) = (variant.join(kind), variant.join(format!("lake-{kind}")));
            run(&["convert", text(&files), "--lake", text(&lake), "-o", "json"]).exits(0)
        });
        assert!(csv.json()["months"][0]["reports"][0]["rows"].as_u64().unwrap() > 100);
        assert_eq!(months(&csv), months(&parquet));
        lakes.extend(["lake-csv", "lake-parquet"].map(|lake| variant.join(lake)));
        run(&["verify", "--lake", text(&variant.join("lake-parquet"))]).exits(0);
        let doubles = parquet.stdout.contains("column Quantity is a float");
        assert_eq!(doubles, variant.ends_with("ea"), "{}", parquet.stdout);
    }
    let mut script = python("oracles/same_lake.py").unwrap();
    let outcome = finish(script.args(&lakes).spawn().unwrap()).exits(0);
    assert_eq!(outcome.stdout, "ok: 39 objects\n".repeat(10));
}

#[test]
fn rows_in_quarantine_are_those_of_the_transcription() {
    let mut rows = sound_rows();
    rows.push(small_row("7", "Öl, Gas", 3, "NaN"));
    let csv = small_file(&rows);
    let files = Files::new();
    files.convert(&files.write("a.parquet", &parquet(columns_of(&csv))), &[]).exits(8);
    let quarantined = ParquetRows::read(&files.lake().join(QUARANTINE));
    assert_eq!(quarantined.len(), 1);
    // A line end is one byte there, and quotes stand only where they must.
    let row = "1234567,7,\"Öl, Gas\",05/03/2025,05/01/2025,NaN,EUR,Usage,OnDemand,1,blue";
    let before = csv.replace("\r\n", "\n").replace("\"Retail\"", "Retail").replace("\"\"", "");
    let offset = i64::try_from(before.find(row).unwrap()).unwrap();
    assert_eq!(quarantined.bytes("raw"), [Some(row.as_bytes().to_vec())]);
    assert_eq!(quarantined.integers("byte_offset"), [Some(offset)]);
}

#[test]
fn values_that_are_no_numbers_or_no_text_go_to_quarantine() {
    let files = Files::new();
    let costs = Float64Array::from(vec![1.25, f64::NAN, f64::INFINITY]);
    let file = files.write("a.parquet", &sound_with("CostInBillingCurrency", costs));
    let result = files.convert(&file, &["-o", "json"]).exits(8);
    result.shows(&[
        "column CostInBillingCurrency is a float",
        "found `NaN`",
        "\"quarantined_rows\": 2",
    ]);

    let names = BinaryArray::from(vec![b"Retail".as_slice(), b"M\xfcnchen", b""]);
    let files = Files::new();
    let file = files.write("a.parquet", &sound_with("InvoiceSectionName", names));
    let result = files.convert(&file, &["-o", "json"]).exits(8);
    result.shows(&["UTF-8 text", "\"quarantined_rows\": 1"]);
}

#[test]
fn a_file_is_known_by_its_bytes_not_by_its_name() {
    let (files, other) = (Files::new(), Files::new());
    files.convert(&files.write("costs.csv", &sound()), &[]).exits(0);
    let csv = small_file(&sound_rows());
    other.convert(&other.write("costs.parquet", csv.as_bytes()), &[]).exits(0);
    let rows = |files: &Files| published(&files.lake()).len();
    assert_eq!(rows(&files), rows(&other));
}

#[test]
fn an_archive_may_hold_parquet() {
    let (files, other) = (Files::new(), Files::new());
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    archive.start_file("part_0.parquet", SimpleFileOptions::default()).unwrap();
    archive.write_all(&sound()).unwrap();
    let archive = archive.finish().unwrap().into_inner();
    files.convert(&files.write("packed.zip", &archive), &[]).exits(0);
    other.convert(&other.write("a.parquet", &sound()), &[]).exits(0);
    assert_eq!(published(&files.lake()), published(&other.lake()));
}

#[test]
fn a_folder_is_searched_for_parquet_but_a_lake_in_it_is_not() {
    let files = Files::new();
    files.write("part_0.snappy.parquet", &sound());
    let folder = files.0.path();
    let lake = files.lake();
    for rows in [3, 3] {
        let args =
            ["convert", text(folder), "--lake", text(&lake), "--metric", "actual", "-o", "json"];
        assert_eq!(run(&args).exits(0).json()["months"][0]["reports"][0]["rows"], rows);
    }
}

#[test]
fn the_schema_of_a_file_is_shown() {
    let files = Files::new();
    let file = files.write("a.parquet", &sound());
    let csv = files.write("a.csv", small_file(&sound_rows()).as_bytes());
    let [parquet, csv] =
        [file, csv].map(|file| run(&["schema", text(&file), "-o", "json"]).exits(0));
    assert_eq!(parquet.json()["columns"], csv.json()["columns"]);
    let broken = files.write("broken.parquet", &sound()[..500]);
    run(&["schema", text(&broken)]).exits(5).says(&["broken.parquet", "damaged"]);
}

#[test]
fn rows_and_bytes_are_those_of_the_manifest() {
    let bytes = sound();
    for (rows, length, code) in [(3, bytes.len(), 0), (4, bytes.len(), 5), (3, bytes.len() + 1, 5)]
    {
        let files = Files::new();
        let blob = json!({"blobName": "x/part.parquet", "byteCount": length, "dataRowCount": rows});
        let manifest = json!({
            "blobs": [blob],
            "exportConfig": {"type": "ActualCost", "resourceId": "/subscriptions/ab"},
            "runInfo": {"startDate": "2025-05-01", "endDate": "2025-05-31"},
        });
        files.write("part.parquet", &bytes);
        let manifest = files.write("manifest.json", manifest.to_string().as_bytes());
        run(&["convert", text(&manifest), "--lake", text(&files.lake())]).exits(code);
    }
}

#[test]
fn files_that_are_not_read_are_refused_whole() {
    let sound = sound();
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1)]), None, None]);
    let without_cost = columns_of("Date,Currency,SubscriptionId\n2025-05-01,EUR,x\n");
    for (name, bytes, words) in [
        ("four.parquet", b"PAR1".as_slice(), &["damaged"][..]),
        ("nothing.parquet", b"", &["empty"]),
        ("cut-early.parquet", &sound[..9], &["damaged", "end is missing"]),
        ("cut-late.parquet", &sound[..sound.len() - 1], &["damaged", "end is missing"]),
        ("cut-in-front.parquet", &[b"PAR1", &sound[40..]].concat(), &["damaged"]),
        ("glued.parquet", &sound.repeat(2), &["glued together"]),
        ("encrypted.parquet", b"PARE\0\0\0\0PARE", &["encrypted"]),
        ("nested.parquet", &sound_with("Tags", list), &["`Tags`", "list", "hint:"]),
        ("packed.parquet.csv.gz", &gzipped(&sound), &["Parquet", "unpack"]),
        ("no-cost.parquet", &parquet(without_cost), &["missing", "cost"]),
        ("other.parquet", &parquet(columns_of("a,b\n1,2\n")), &["no header"]),
    ] {
        println!("{name}");
        let files = Files::new();
        let good = files.write("good.parquet", &sound);
        files.convert(&good, &[]).exits(0);
        let before = lake_files(&files.lake());
        let bad = files.write(name, bytes);
        let flags = ["--period", "2025-05", "--scope-name", "x"];
        files.convert(&bad, &flags).exits(5).says(&[name]).says(words);
        assert_eq!(before, lake_files(&files.lake()), "{name}");
    }
}

#[test]
fn bytes_flipped_anywhere_end_in_a_verdict() {
    let sound = sound();
    for at in (0..sound.len()).step_by(sound.len() / 40) {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x15;
        let files = Files::new();
        let file = files.write("a.parquet", &bytes);
        let outcome = files.convert(&file, &["--period", "2025-05", "--scope-name", "x"]);
        assert!(matches!(outcome.code, Some(0 | 2 | 5 | 8)), "{at}: {outcome:?}");
    }
}

#[test]
fn a_file_without_rows_is_as_good_as_a_header() {
    let header = small_file(&[]);
    let [parquet, csv] = [("a.parquet", parquet(columns_of(&header))), ("a.csv", header.into())]
        .map(|(name, bytes)| {
            let files = Files::new();
            let file = files.write(name, &bytes);
            files
                .convert(&file, &["--period", "2025-05", "--scope-name", "x", "-o", "json"])
                .exits(0)
        });
    assert_eq!(months(&parquet), months(&csv));
}

#[test]
fn the_same_rows_twice_are_refused() {
    let files = Files::new();
    files.write("a.parquet", &sound());
    files.write("b.parquet", &sound());
    let outcome = files.convert(files.0.path(), &[]).exits(5);
    outcome.says(&["b.parquet", "would count twice"]);
}
