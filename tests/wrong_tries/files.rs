//! Files that are no cost files, or damaged, and rows that cannot be typed.

use std::fs;
use std::path::Path;

use super::Files;
use serde_json::Value;

use crate::harness::{
    Outcome, commits, gzipped, lake_files, published, run, small_file, small_row, sound_rows, text,
};
use crate::reading::ParquetRows;

const ACTUAL: &str = "cost_line_items/metric=actual/billing_period=2025-05/scope=billing-account-1234567/data.parquet";
const QUARANTINE: &str =
    "quarantine/metric=actual/billing_period=2025-05/scope=billing-account-1234567/data.parquet";

#[test]
fn damaged_files_are_refused_whole() {
    let sound = small_file(&sound_rows());
    let without_header = sound.split_once("\r\n").unwrap().1.to_owned();
    let zipped = gzipped(sound.repeat(50).as_bytes());
    let unclosed = format!(
        "{sound}1234567,7,\"Never closed,05/01/2025,05/01/2025,1,EUR,Usage,OnDemand,1,x\r\n"
    );
    let utf16: Vec<u8> = sound.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let twice = sound.replace("Team", "Cost");
    for (name, bytes, words) in [
        ("no-header.csv", without_header.as_bytes(), &["header", "columns"][..]),
        ("empty.csv", b"", &["empty", "header"]),
        ("bom-only.csv", b"\xef\xbb\xbf", &["empty", "header"]),
        ("cut.csv.gz", &zipped[..zipped.len() - 20], &["gzip", "cut", "ends"]),
        ("unclosed.csv", unclosed.as_bytes(), &["quote"]),
        (
            "page.csv",
            b"<!DOCTYPE html><html><body>Sign in</body></html>",
            &["page", "HTML", "columns"],
        ),
        ("utf16.csv", &utf16, &["UTF-16"]),
        ("twice.csv", twice.as_bytes(), &["two", "both", "twice", "same"]),
        ("header-again.csv", sound.repeat(2).as_bytes(), &["header"]),
    ] {
        let files = Files::new();
        let good = files.csv("good.csv", &sound_rows()[..1]);
        files.convert(&good, &[]).exits(0);
        let before = lake_files(&files.lake());
        let bad = files.write(name, bytes);
        println!("{name}");
        let outcome = files
            .convert(&bad, &["--period", "2025-05", "--scope-name", "x"])
            .exits(5)
            .says(&[name]);
        let told = words.iter().any(|word| outcome.stderr.contains(word));
        assert!(told, "{name}: none of {words:?} in\n{}", outcome.stderr);
        assert_eq!(before, lake_files(&files.lake()), "{name}");
    }
}

#[test]
fn one_damaged_file_keeps_the_sound_one_beside_it_back() {
    let files = Files::new();
    let good = files.csv("a.csv", &sound_rows());
    let bad = files.write("b.csv", b"not,a,cost,file\r\n1,2,3,4\r\n");
    files.convert(&good, &[text(&bad)]).exits(5).says(&["b.csv"]);
    assert_eq!(published(&files.lake()).len(), 0);
}

#[test]
fn an_export_that_is_not_what_its_manifest_says_is_refused() {
    let files = Files::new();
    let export = files.0.path().join("export");
    run(&["simulate", "generate", "--rows", "300", "--months", "1", "--out", text(&export)])
        .exits(0);
    let convert = |args: &[&str]| {
        run(&[&["convert", text(&export), "--lake", text(&files.lake())][..], args].concat())
    };
    convert(&["--metric", "actual"]).exits(2).says(&["--metric"]);
    convert(&[]).exits(0);
    let before = lake_files(&files.lake());
    let folder = export.join("amortized/202505");
    let (part, manifest) = (folder.join("part_1.csv"), folder.join("manifest.json"));
    let (bytes, text_of_manifest) =
        (fs::read(&part).unwrap(), fs::read_to_string(&manifest).unwrap());
    let last_line = bytes[..bytes.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap();
    let lie = |key: &str| {
        let (head, tail) = text_of_manifest.split_once(&format!("\"{key}\":")).unwrap();
        format!("{head}\"{key}\":1{tail}").into_bytes()
    };
    let whole = text_of_manifest.clone().into_bytes();
    for (case, part_bytes, manifest_bytes) in [
        ("a part is missing", None, whole.clone()),
        ("a part lacks its last row", Some(&bytes[..=last_line]), whole),
        ("the manifest lies about bytes", Some(&bytes[..]), lie("byteCount")),
        ("the manifest lies about rows", Some(&bytes[..]), lie("dataRowCount")),
        ("the manifest is cut", Some(&bytes[..]), b"{\"blobs\":[".to_vec()),
    ] {
        println!("{case}");
        fs::remove_file(&part).ok();
        if let Some(bytes) = part_bytes {
            fs::write(&part, bytes).unwrap();
        }
        fs::write(&manifest, manifest_bytes).unwrap();
        let outcome = convert(&[]).says(&["error:"]);
        assert!(matches!(outcome.code, Some(1 | 5)), "{case}: {outcome:?}");
        assert!(
            outcome.stderr.contains("202505") || outcome.stderr.contains("2025-05"),
            "{outcome:?}"
        );
        assert_eq!(before, lake_files(&files.lake()), "{case}: the other metric waits, too");
    }
}

#[test]
fn damaged_and_useless_zip_archives_are_refused() {
    let files = Files::new();
    let cut = files.write("costs.zip", b"PK\x03\x04\x14\x00\x00\x00\x08\x00");
    files.convert(&cut, &[]).exits(5).says(&["costs.zip"]);
    let empty = files.write("empty.zip", &[&b"PK\x05\x06"[..], &[0; 18]].concat());
    files.convert(&empty, &[]).exits(5).says(&["empty.zip", "no .csv file"]);
    let renamed = files.write("costs.csv", b"PK\x03\x04\x14\x00\x00\x00\x08\x00");
    files.convert(&renamed, &[]).exits(5).says(&["costs.csv", "a zip archive"]);
}

#[test]
fn files_that_do_not_say_what_they_are_need_flags() {
    let files = Files::new();
    let lake = files.lake();
    let sound = files.csv("sound.csv", &sound_rows());
    let args = ["convert", text(&sound), "--lake", text(&lake)];
    run(&args).exits(2).says(&["--metric actual"]);

    let mut rows = sound_rows();
    rows.push(small_row("7", "Öl, Gas", 3, "1").replace("05/01/2025", "06/01/2025"));
    let months = files.csv("months.csv", &rows);
    files.convert(&months, &[]).exits(2).says(&["rows of 2 months", "one month at a time"]);

    let mut rows = sound_rows();
    rows.push(small_row("7", "Öl, Gas", 3, "1").replace("1234567", "7654321"));
    let accounts = files.csv("accounts.csv", &rows);
    files.convert(&accounts, &[]).exits(2).says(&["--scope-name"]);
    assert_eq!(published(&lake).len(), 0);

    let other = "belong to the billing period 2025-06";
    files.convert(&months, &["--period", "2025-05"]).exits(5).says(&[other]);
    assert_eq!(published(&lake).len(), 0);
    files.convert(&accounts, &["--scope-name", "Both Accounts"]).exits(0);
    let scopes = published(&lake).into_keys().filter(|path| path.contains("scope=both-accounts"));
    assert_eq!(scopes.count(), 11, "line items, nine rollups, commitments to date");
}

#[test]
fn paths_that_are_not_there_are_wrong_usage() {
    let files = Files::new();
    files.convert(Path::new("/no/such/file.csv"), &[]).exits(2).says(&["/no/such/file.csv"]);
    let sound = files.csv("sound.csv", &sound_rows());
    let args = ["convert", text(&sound), "--metric", "actual", "--lake", text(&sound)];
    let outcome = run(&args).says(&["sound.csv"]);
    assert!(matches!(outcome.code, Some(1 | 2)), "{outcome:?}");
    assert_eq!(
        fs::read_to_string(&sound).unwrap(),
        small_file(&sound_rows()),
        "the file is as it was"
    );
    run(&["status", "--lake", "s3://bucket/lake"]).exits(2).says(&["s3://bucket/lake"]);
}

#[test]
fn strict_decimals_refuses_what_would_be_rounded() {
    let files = Files::new();
    let fine = small_row("7", "Öl", 1, "0.0000000000000000000000012345");
    let file = files.csv("fine.csv", &[fine]);
    let strict = files.convert(&file, &["--strict-decimals"]);
    let strict = strict.exits(5).says(&["fine.csv", "--strict-decimals"]);
    assert!(!strict.stderr.contains("fetch the file again"), "no use: {}", strict.stderr);
    assert_eq!(published(&files.lake()).len(), 0);
    let relaxed = files.convert(&file, &["-o", "json"]).exits(0).json();
    let totals = &relaxed["months"][0]["reports"][0]["decimals"]["cost"];
    assert_eq!(totals["rounded"], 1);
    assert_eq!(totals["exact_total"], "0.0000000000000000000000012345");
    assert_eq!(totals["stored_total"], "0.000000000000000000000001");
    assert_eq!(totals["difference"], "0.0000000000000000000000002345");
}

#[test]
fn rows_that_cannot_be_typed_go_to_quarantine_until_they_are_mended() {
    let files = Files::new();
    let bad = [
        small_row("7", "Öl, Gas", 4, "1,000.00").replace("1,000.00", "twelve"),
        small_row("7", "Öl, Gas", 31, "2").replace("05/31/2025", "05/32/2025"),
        small_row("8", "Retail", 4, "123456789012345.5"),
        small_row("8", "Retail", 4, "3").replace(",blue", ""),
        small_row("8", "Retail", 4, "NaN"),
    ];
    let mut rows = sound_rows();
    rows.extend_from_slice(&bad);
    let file = files.csv("some.csv", &rows);
    let result = files.convert(&file, &["-o", "json"]).exits(8).json();
    assert_eq!(result["quarantined_rows"], 5);
    let report = &result["months"][0]["reports"][0];
    assert_eq!(report["records"], 8);
    assert_eq!(report["rows"], 3);
    assert_eq!(report["quarantined_rows"], 5);
    assert_eq!(report["cost"]["EUR"], "0.500000000000000000000001");

    let line_items = ParquetRows::read(&files.lake().join(ACTUAL));
    let quarantine = ParquetRows::read(&files.lake().join(QUARANTINE));
    assert_eq!(line_items.len() + quarantine.len(), rows.len(), "rows in are rows out");
    let raw: Vec<Vec<u8>> = quarantine.bytes("raw").into_iter().map(Option::unwrap).collect();
    let raw: Vec<&[u8]> = raw.iter().map(|row| row.trim_ascii_end()).collect();
    assert_eq!(raw, bad.iter().map(String::as_bytes).collect::<Vec<_>>());
    assert_eq!(quarantine.integers("record"), [4, 5, 6, 7, 8].map(Some));
    let text_before: usize = small_file(&rows[..3]).len();
    assert_eq!(quarantine.integers("byte_offset")[0], i64::try_from(text_before).ok());
    let columns = quarantine.texts("column");
    let columns: Vec<Option<&str>> = columns.iter().map(Option::as_deref).collect();
    assert_eq!(columns, [Some("cost"), Some("charge_date"), Some("cost"), None, Some("cost")]);
    assert_eq!(quarantine.texts("found")[0].as_deref(), Some("twelve"));
    run(&["verify", "--lake", text(&files.lake())]).exits(0);
    let again = lake_files(&files.lake());
    files.convert(&file, &[]).exits(8).shows(&["8 rows in = 3 published + 5 quarantined"]);
    assert_eq!(again, lake_files(&files.lake()), "again: still quarantined, nothing new");

    let mended = files.csv("mended.csv", &sound_rows());
    files.convert(&mended, &[]).exits(0);
    let paths = lake_files(&files.lake());
    let left = paths.keys().filter(|path| path.contains("quarantine/metric=actual"));
    assert_eq!(left.count(), 0, "object and manifest are gone");
    let commits = commits(&files.lake());
    let removed = commits.last().unwrap()["partitions"].as_array().unwrap().clone();
    let removed = removed.iter().find(|entry| entry["outcome"] == "removed").unwrap();
    assert_eq!(removed["partition"]["table"], "quarantine");
    assert!(removed["object"].is_null() && removed["previous_sha256"].is_string(), "{removed}");
}

#[test]
fn a_file_that_is_given_twice_counts_once_or_not_at_all() {
    let files = Files::new();
    let sound = files.csv("sound.csv", &sound_rows());
    let copy = files.csv("copy.csv", &sound_rows());
    let lake = files.lake();
    let convert = |paths: &[&Path]| {
        let mut args = vec!["convert"];
        args.extend(paths.iter().map(|path| text(path)));
        args.extend(["--metric", "actual", "--lake", text(&lake)]);
        run(&args)
    };
    convert(&[&sound, &sound]).exits(2).says(&["given twice"]);
    convert(&[&sound, &copy]).exits(5).says(&["same bytes", "count twice"]);
    assert_eq!(published(&lake).len(), 0);
    convert(&[&sound]).exits(0);
}

#[test]
fn an_empty_file_does_not_empty_a_month() {
    let files = Files::new();
    let sound = files.csv("sound.csv", &sound_rows());
    files.convert(&sound, &[]).exits(0);
    let before = published(&files.lake());
    let header_only = files.csv("header.csv", &[]);
    let flags = ["--period", "2025-05", "--scope-name", "billing-account-1234567"];
    files.convert(&header_only, &flags).exits(5).says(&["no data, although the lake holds"]);
    assert_eq!(published(&files.lake()), before);
}

#[test]
fn an_archive_gives_what_its_files_give() {
    use std::io::Write;
    let files = Files::new();
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, rows) in [("b/part_1.csv", 1..2), ("a/part_0.csv", 0..1), ("a/.part_0.csv", 0..1)] {
        archive.start_file(name, options).unwrap();
        let text = small_file(&sound_rows()[rows]);
        archive.write_all(text.as_bytes()).unwrap();
    }
    archive.start_file("readme.txt", options).unwrap();
    let bytes = archive.finish().unwrap().into_inner();
    let path = files.write("costs.zip", &bytes);
    let outcome = files.convert(&path, &["-o", "json"]).exits(0);
    assert_eq!(outcome.json()["months"][0]["reports"][0]["records"], 2);

    let mut damaged = bytes;
    let at = damaged.windows(9).position(|window| window == b"1234567,7").unwrap();
    damaged[at] ^= 1;
    let path = files.write("damaged.zip", &damaged);
    files.convert(&path, &[]).exits(5).says(&["damaged.zip"]);
}

#[test]
fn an_archive_with_two_files_of_one_name_is_refused() {
    let files = Files::new();
    let entry = |name: &[u8]| {
        let mut local = b"PK\x03\x04\x0a\x00\x00\x00\x00\x00\x00\x00\x00\x00".to_vec();
        local.extend([0; 12]);
        local.extend([5, 0, 0, 0]);
        local.extend(name);
        local
    };
    let central = |name: &[u8], offset: u8| {
        let mut record = b"PK\x01\x02\x0a\x00\x0a\x00\x00\x00\x00\x00\x00\x00\x00\x00".to_vec();
        record.extend([0; 12]);
        record.extend([5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        record.extend([offset, 0, 0, 0]);
        record.extend(name);
        record
    };
    let local = entry(b"r.csv");
    let offset = u8::try_from(local.len()).unwrap();
    let directory = [central(b"r.csv", 0), central(b"r.csv", offset)].concat();
    let mut end = b"PK\x05\x06\x00\x00\x00\x00\x02\x00\x02\x00".to_vec();
    end.extend(u32::try_from(directory.len()).unwrap().to_le_bytes());
    end.extend([2 * offset, 0, 0, 0, 0, 0]);
    let bytes = [local.clone(), local, directory, end].concat();
    let path = files.write("twins.zip", &bytes);
    files.convert(&path, &[]).exits(5).says(&["twins.zip", "same name"]);
}

#[test]
fn a_lesser_run_of_an_export_does_not_replace_a_greater_one() {
    let files = Files::new();
    let exports = files.0.path().join("exports");
    let generate = |name: &str, rows: &str| {
        let out = exports.join(name);
        let flags = ["--rows", rows, "--months", "1", "--out", text(&out)];
        run(&[&["simulate", "generate"][..], &flags].concat()).exits(0);
        out
    };
    generate("whole", "300");
    let part = generate("part", "90");
    for metric in ["actual", "amortized"] {
        let path = part.join(metric).join("202505/manifest.json");
        let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let end = manifest["runInfo"]["endDate"].as_str().unwrap().replace("05-31", "05-10");
        manifest["runInfo"]["endDate"] = Value::from(end);
        manifest["runInfo"]["submittedTime"] = Value::from("2099-01-01T00:00:00Z");
        fs::write(&path, manifest.to_string()).unwrap();
    }
    let lake = files.lake();
    let both = run(&["convert", text(&exports), "--lake", text(&lake), "-o", "json"]).exits(0);
    let alone = files.0.path().join("alone");
    let whole = exports.join("whole");
    let one = run(&["convert", text(&whole), "--lake", text(&alone), "-o", "json"]).exits(0);
    let records = |outcome: &Outcome| outcome.json()["months"][0]["reports"][0]["records"].clone();
    assert_eq!(records(&both), records(&one));
    assert!(both.stderr.contains("skipped"), "{both:?}");
}

#[test]
fn days_of_another_month_do_not_take_the_place_of_a_month() {
    let files = Files::new();
    let path = files.write("days.csv", b"Date,Cost,Currency\n05/02/2025,1,EUR\n");
    let flags = ["--scope-name", "x", "--period", "2024-01"];
    files.convert(&path, &flags).exits(5).says(&["billing period 2025-05"]);
    let rows = b"a,b,c,05/02/2025,999.5\nDate,Cost,Currency,x\n05/02/2025,1,EUR,\n";
    let path = files.write("above.csv", rows);
    files.convert(&path, &["--scope-name", "x"]).exits(5).says(&["no header"]);
}
