//! What `costlake convert PATH...` takes: files, folders, patterns, and exports as they lie in storage.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{
    Outcome, costlake, finish, gzipped, published, run, small_file, small_row, sound_rows, text,
};

const SCOPE: &str = "/providers/Microsoft.Billing/billingAccounts/1234567";
/// The exact cost of [`sound_rows`].
const SOUND_COST: &str = "0.500000000000000000000001";
const RUN: &str = "daily/20250501-20250531/202506020400/8a1b";

/// A container of exports, and lakes beside it.
struct Container(TempDir);

impl Container {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join("costs").join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    /// A run of the newer kind with one part.
    fn run(&self, folder: &str, rows: &[String], change: impl FnOnce(&mut Value)) {
        let part = small_file(rows);
        self.write(&format!("{folder}/part_0_0001.csv"), &part);
        let mut manifest = manifest(folder, part.len(), rows.len());
        change(&mut manifest);
        self.write(&format!("{folder}/manifest.json"), manifest.to_string());
    }

    /// Converts paths below the container into an empty lake.
    fn convert(&self, paths: &[&str], flags: &[&str]) -> Outcome {
        let lake = self.0.path().join("lake");
        fs::remove_dir_all(&lake).ok();
        let mut command = costlake();
        command.args(["convert", "-o", "json", "--lake", text(&lake)]).args(flags);
        command.args(paths.iter().map(|path| self.path(path)));
        finish(command.spawn().unwrap())
    }
}

fn manifest(folder: &str, bytes: usize, rows: usize) -> Value {
    json!({
        "manifestVersion": "2024-04-01",
        "byteCount": bytes,
        "blobCount": 1,
        "dataRowCount": rows,
        "exportConfig": {
            "exportName": "daily",
            "resourceId": format!("{SCOPE}/providers/Microsoft.CostManagement/exports/daily"),
            "dataVersion": "2023-12-01-preview",
            "type": "ActualCost",
            "granularity": null,
        },
        "runInfo": {
            "submittedTime": "2025-06-02T04:00:00.5234447Z",
            "runId": "8a1b",
            "startDate": "2025-05-01T00:00:00",
            "endDate": "2025-05-31T00:00:00+00:00",
        },
        "blobs": [{
            "blobName": format!(" exports/{folder}/part_0_0001.csv "),
            "byteCount": bytes,
            "dataRowCount": rows,
        }],
    })
}

/// A manifest of the version 2021-01-01.
fn old_manifest(name: &str, bytes: usize, rows: usize) -> String {
    json!({
        "manifestVersion": "2021-01-01",
        "dataFormat": "csv",
        "blobCount": 1,
        "byteCount": bytes,
        "dataRowCount": rows,
        "blobs": [{
            "blobName": name, "byteCount": bytes, "dataRowCount": rows, "headerRowCount": 1,
        }],
    })
    .to_string()
}

/// Rows that say neither account nor period.
fn bare_file(cost: &str) -> String {
    format!("Date,Cost,Currency\r\n05/02/2025,{cost},EUR\r\n")
}

/// Makes a manifest wrong.
type Change = fn(&mut Value);

/// Scope, period, metric, records and cost of each report.
fn reports(outcome: &Outcome) -> Vec<String> {
    let result = outcome.json();
    let months = result["months"].as_array().unwrap();
    let lines = months.iter().flat_map(|month| {
        month["reports"].as_array().unwrap().iter().map(move |report| {
            format!(
                "{} {} {}: {} rows, {}",
                month["scope"].as_str().unwrap(),
                month["billing_period"].as_str().unwrap(),
                report["metric"].as_str().unwrap(),
                report["records"],
                report["cost"]["EUR"].as_str().unwrap_or("nothing")
            )
        })
    });
    lines.collect()
}

/// Where something is skipped, below the container, and why.
fn skipped(outcome: &Outcome, container: &Container) -> Vec<(String, String)> {
    let result = outcome.json();
    let pair = |skipped: &Value| {
        let path = Path::new(skipped["path"].as_str().unwrap());
        let path = path.strip_prefix(container.path("")).unwrap();
        (text(path).to_owned(), skipped["reason"].as_str().unwrap().to_owned())
    };
    result["skipped"].as_array().unwrap().iter().map(pair).collect()
}

#[track_caller]
fn check_reports(outcome: Outcome, expected: &[&str]) -> Outcome {
    let outcome = outcome.exits(0);
    assert_eq!(reports(&outcome), expected, "{}", outcome.stderr);
    outcome
}

fn sound(metric: &str) -> String {
    format!("billing-account-1234567 2025-05 {metric}: 3 rows, {SOUND_COST}")
}

#[test]
fn a_pattern_is_read_like_the_files_that_it_matches() {
    let container = Container::new();
    for (at, row) in sound_rows().iter().enumerate() {
        container.write(&format!("part_{at}.csv"), small_file(std::slice::from_ref(row)));
    }
    container.write("notes.txt", "no cost file");
    container.write("deep/er/part_9.csv", small_file(&[small_row("7", "Öl, Gas", 3, "9")]));
    let actual = ["--metric", "actual"];
    for patterns in [
        &["part_?.csv"][..],
        &["*.csv"],
        &["part_[0-2].csv", "p*.csv"],
        &["part_1.csv", "*_[!1].csv", "part_2*"],
        &["part_1.csv", "*.csv"],
        &["*.csv", "part_1.csv"],
        &["pa*"],
    ] {
        println!("{patterns:?}");
        check_reports(container.convert(patterns, &actual), &[&sound("actual")]);
    }
    let all = "billing-account-1234567 2025-05 actual: 4 rows, 9.500000000000000000000001";
    for pattern in ["**", "**/*.csv", "../cos*", "../*sts/**/part_?.csv"] {
        println!("{pattern}");
        check_reports(container.convert(&[pattern], &actual), &[all]);
    }
    let by_pattern = published(&container.0.path().join("lake"));
    let named = ["deep/er/part_9.csv", "part_0.csv", "part_1.csv", "part_2.csv"];
    container.convert(&named, &actual).exits(0);
    assert_eq!(by_pattern, published(&container.0.path().join("lake")), "in sorted order");
}

#[test]
fn a_pattern_that_matches_nothing_is_wrong_usage() {
    let container = Container::new();
    container.write("a.csv", small_file(&sound_rows()));
    container.write("notes.txt", "no cost file");
    let actual = ["--metric", "actual"];
    container.convert(&["*.tsv"], &actual).exits(2).says(&["no cost file matches", "*.tsv"]);
    container.convert(&["*.txt"], &actual).exits(2).says(&["no cost file matches"]);
    container.convert(&["no/such/*"], &actual).exits(2).says(&["no cost file matches"]);
    container.convert(&["[a"], &actual).exits(2).says(&["as a pattern it is wrong"]);
    container.convert(&["a.csv", "*.tsv"], &actual).exits(2).says(&["*.tsv"]);
    container.convert(&["b.csv"], &actual).exits(2).says(&["there is no file or folder"]);
}

#[test]
fn a_file_whose_name_looks_like_a_pattern_is_that_file() {
    let container = Container::new();
    container.write("part[0].csv", small_file(&sound_rows()));
    container.write("part0.csv", small_file(&[small_row("7", "Öl, Gas", 3, "9")]));
    let actual = ["--metric", "actual"];
    check_reports(container.convert(&["part[0].csv"], &actual), &[&sound("actual")]);
    check_reports(container.convert(&["part[[]*"], &actual), &[&sound("actual")]);
}

#[test]
fn an_export_is_found_at_any_depth_by_its_manifest() {
    let container = Container::new();
    container.run(RUN, &sound_rows(), |_| {});
    let amortized = "amort/20250501-20250531/202506020400/77";
    container.run(amortized, &sound_rows(), |manifest| {
        manifest["exportConfig"]["type"] = "amortizedcost".into();
        manifest["exportConfig"]["exportName"] = "amort".into();
    });
    let both = [sound("actual"), sound("amortized")];
    let both = [both[0].as_str(), &both[1]];
    check_reports(container.convert(&[""], &[]), &both);
    check_reports(container.convert(&["daily", "amort"], &[]), &both);
    check_reports(container.convert(&["*/20250501-*"], &[]), &both);
    check_reports(container.convert(&["**/manifest.json"], &[]), &both);
    check_reports(container.convert(&[RUN], &[]), &both[..1]);
    check_reports(container.convert(&[&format!("{RUN}/*")], &[]), &both[..1]);
    check_reports(container.convert(&["", "daily", ""], &[]), &both);
}

#[test]
fn parts_may_be_gzipped_and_lie_where_the_manifest_says() {
    let container = Container::new();
    let part = small_file(&sound_rows());
    let halves = part.split_at(part.len() / 2);
    let zipped = [gzipped(halves.0.as_bytes()), gzipped(halves.1.as_bytes())].concat();
    let convert = |byte_count: usize, name: &str| {
        container.write(&format!("{RUN}/{name}"), &zipped);
        let mut manifest = manifest(RUN, byte_count, 3);
        manifest["blobs"][0]["blobName"] = name.into();
        container.write(&format!("{RUN}/manifest.json"), manifest.to_string());
        container.convert(&[""], &[])
    };
    check_reports(convert(zipped.len(), "part_0.csv.gz"), &[&sound("actual")]);
    check_reports(convert(part.len(), "part_0.csv.gz"), &[&sound("actual")]);
    convert(part.len() + 1, "part_0.csv.gz").exits(5).says(&["part_0.csv.gz", "manifest says"]);
    convert(zipped.len() - 1, "part_0.csv.gz").exits(5).says(&["part_0.csv.gz"]);
    // The parts in another folder than the manifest, below the root that names have in common.
    let elsewhere = container.path(&format!("{RUN}/part_0.csv.gz"));
    fs::remove_file(elsewhere).unwrap();
    container.write("parts/one/p.csv.gz", &zipped);
    let outcome = check_reports(
        {
            let mut manifest = manifest(RUN, zipped.len(), 3);
            manifest["blobs"][0]["blobName"] = "parts/one/p.csv.gz".into();
            container.write(&format!("{RUN}/manifest.json"), manifest.to_string());
            container.convert(&["*"], &[])
        },
        &[&sound("actual")],
    );
    assert_eq!(skipped(&outcome, &container), []);
    check_reports(container.convert(&[""], &[]), &[&sound("actual")]);
    container.convert(&["", "parts/one/p.csv.gz"], &[]).exits(2).says(&["given twice"]);
}

#[test]
fn counts_of_a_manifest_must_be_right() {
    let container = Container::new();
    let cases: [(&str, Change, &str); 12] = [
        ("blobs", |m| m["blobCount"] = 2.into(), "blobCount"),
        ("all bytes", |m| m["byteCount"] = 1.into(), "byteCount is 1"),
        ("all rows", |m| m["dataRowCount"] = 1.into(), "dataRowCount is 1"),
        ("a blob's bytes", |m| change_counts(m, "byteCount", 1), "manifest says 1"),
        ("a blob's rows", |m| change_counts(m, "dataRowCount", 9), "manifest says 9"),
        ("only all rows", |m| keep_total(m, "dataRowCount", 2), "have 3 rows together, it says 2"),
        ("only all bytes", |m| keep_total(m, "byteCount", 2), "bytes together, it says 2"),
        ("another month", |m| m["runInfo"]["endDate"] = "2025-06-01".into(), "one month"),
        (
            "a blob twice",
            |m| {
                let blob = m["blobs"][0].clone();
                m["blobs"] = json!([blob, blob]);
                for key in ["blobCount", "byteCount", "dataRowCount"] {
                    m.as_object_mut().unwrap().remove(key);
                }
            },
            "twice",
        ),
        (
            "another blob",
            |m| m["blobs"][0]["blobName"] = "x/part_7.csv".into(),
            "part_7.csv is not there",
        ),
        ("no name", |m| m["blobs"][0]["blobName"] = " ".into(), "has no name"),
        ("no blobs", |m| drop(m.as_object_mut().unwrap().remove("blobs")), "names no blobs"),
    ];
    for (case, change, expected) in cases {
        println!("{case}");
        container.run(RUN, &sound_rows(), change);
        let outcome = container.convert(&[""], &[]).exits(5).says(&[RUN, expected]);
        assert_eq!(outcome.stdout, "");
        assert_eq!(published(&container.0.path().join("lake")).len(), 0, "{case}");
    }
    for (case, change) in [
        ("none", (|m| m["blobs"] = json!([{ "blobName": "part_0_0001.csv" }])) as Change),
        ("only those of all", |m| {
            let blob = m["blobs"][0].as_object_mut().unwrap();
            blob.remove("byteCount");
            blob.remove("dataRowCount");
        }),
    ] {
        println!("{case}");
        container.run(RUN, &sound_rows(), change);
        check_reports(container.convert(&[""], &[]), &[&sound("actual")]);
    }
}

/// Changes a count of the blob and that of all with it.
fn change_counts(manifest: &mut Value, key: &str, count: u64) {
    manifest[key] = count.into();
    manifest["blobs"][0][key] = count.into();
}

/// Leaves a wrong count of all and none of the blob.
fn keep_total(manifest: &mut Value, key: &str, count: u64) {
    manifest[key] = count.into();
    manifest["blobs"][0].as_object_mut().unwrap().remove(key);
}

#[test]
fn the_newest_run_of_an_export_wins() {
    let container = Container::new();
    let one = [small_row("7", "Öl, Gas", 1, "7")];
    for (time, day, rows) in [
        ("202505200400", "2025-05-20", &one[..]),
        ("202506010400", "2025-05-31", &one),
        ("202506020400", "2025-05-31", &sound_rows()),
    ] {
        let folder = format!("daily/20250501-20250531/{time}/run");
        container.run(&folder, rows, |manifest| {
            let (date, clock) = time.split_at(8);
            let submitted =
                format!("{}-{}-{}T{}:00:00Z", &date[..4], &date[4..6], &date[6..], &clock[..2]);
            manifest["runInfo"]["submittedTime"] = submitted.into();
            manifest["runInfo"]["endDate"] = format!("{day}T00:00:00").into();
        });
    }
    let outcome = check_reports(container.convert(&[""], &[]), &[&sound("actual")]);
    let places: Vec<String> = skipped(&outcome, &container).into_iter().map(|s| s.0).collect();
    assert_eq!(
        places,
        ["202505200400", "202506010400"].map(|time| format!("daily/20250501-20250531/{time}/run"))
    );
    // An export of another name may have other filters: which of both to take is for the user.
    container.run("other/20250501-20250531/run", &one, |manifest| {
        manifest["exportConfig"]["exportName"] = "other".into();
    });
    container.convert(&[""], &[]).exits(2).says(&["several reports are actual costs"]);
    check_reports(container.convert(&["daily"], &[]), &[&sound("actual")]);
}

#[test]
fn manifests_of_the_older_kind_leave_to_flags_what_they_do_not_say() {
    let container = Container::new();
    let range = "old/20250501-20250531";
    for (time, cost) in [("202506010400", "1.5"), ("202506020400", "2.5")] {
        let part = bare_file(cost);
        container.write(&format!("{range}/{time}/guid/000001.csv"), &part);
        let name = format!("exports/{range}/{time}/guid/000001.csv");
        let manifest = old_manifest(&name, part.len(), 1);
        container.write(&format!("{range}/{time}/guid/_manifest.json"), manifest);
    }
    container.convert(&["old"], &[]).exits(2).says(&["--metric actual"]);
    container.convert(&["old"], &["--metric", "actual"]).exits(2).says(&["--scope-name"]);
    let flags = ["--metric", "actual", "--scope-name", "Enrollment"];
    let outcome = check_reports(
        container.convert(&["old"], &flags),
        &["enrollment 2025-05 actual: 1 rows, 2.5"],
    );
    assert_eq!(skipped(&outcome, &container)[0].0, format!("{range}/202506010400/guid"));
    let period = [&flags[..], &["--period", "2025-05"]].concat();
    container.convert(&["old"], &period).exits(2).says(&["--period"]);

    let part = bare_file("3");
    for run in ["a", "b"] {
        container.write(&format!("flat/{run}/000001.csv"), &part);
        let manifest = old_manifest("000001.csv", part.len(), 1);
        container.write(&format!("flat/{run}/_manifest.json"), manifest);
    }
    let period = [&flags[..], &["--period", "2025-05"]].concat();
    container.convert(&["flat"], &period).exits(2).says(&["several reports"]);
    check_reports(
        container.convert(&["flat/a"], &period),
        &["enrollment 2025-05 actual: 1 rows, 3"],
    );
    for run in ["a", "b"] {
        let from = container.path(&format!("flat/{run}"));
        let to = container.path(&format!("timeless/20250501-20250531/{run}"));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::rename(from, to).unwrap();
    }
    let both = container.convert(&["timeless"], &flags).exits(2);
    both.says(&["nothing says which is the newer run", "timeless/20250501-20250531/a"]);
}

#[test]
fn a_run_without_a_manifest_is_unfinished_and_named() {
    let container = Container::new();
    container.run(RUN, &sound_rows(), |_| {});
    let unfinished = "daily/20250601-20250630/202506020400/9c";
    let part = container.write(&format!("{unfinished}/part_0_0001.csv"), small_file(&sound_rows()));
    container.write(&format!("{RUN}/part_7_0001.csv"), "what an earlier run left");
    let outcome = check_reports(container.convert(&[""], &[]), &[&sound("actual")]);
    let found = skipped(&outcome, &container);
    assert_eq!(found[0].0, format!("{RUN}/part_7_0001.csv"));
    assert_eq!(found[1].0, unfinished);
    assert!(found[1].1.contains("without a manifest"), "{found:?}");
    outcome.says(&["skipped", unfinished, "part_7_0001.csv"]);

    for path in [unfinished, "daily/20250601-20250630", "daily/202506*/*/9?"] {
        container.convert(&[path], &[]).exits(2).says(&[
            "nothing is left to read",
            unfinished,
            "not finished",
        ]);
    }
    let actual = ["--metric", "actual"];
    let file = format!("{unfinished}/part_0_0001.csv");
    check_reports(container.convert(&[&file], &actual), &[&sound("actual")]);
    let files = format!("{unfinished}/*.csv");
    check_reports(container.convert(&[&files], &actual), &[&sound("actual")]);
    let outcome = finish(
        costlake()
            .current_dir(part.parent().unwrap())
            .args(["convert", ".", "--lake", "lake"])
            .spawn()
            .unwrap(),
    );
    outcome.exits(2).says(&["nothing is left to read"]);
}

#[test]
fn an_export_of_one_file_has_no_manifest_and_is_whole() {
    let container = Container::new();
    let flags = ["--metric", "amortized", "--scope-name", "x"];
    container.write("exp/20250501-20250531/exp_1f.csv", bare_file("4"));
    let june = bare_file("5").replace("05/02", "06/02");
    container.write("exp/20250601-20250630/exp_2f.csv.gz", gzipped(june.as_bytes()));
    check_reports(
        container.convert(&["exp"], &flags),
        &["x 2025-05 amortized: 1 rows, 4", "x 2025-06 amortized: 1 rows, 5"],
    );
    container.write("exp/20250601-20250630/exp_3f.csv", june);
    container
        .convert(&["exp"], &flags)
        .exits(2)
        .says(&["several reports", "exp_2f.csv.gz, exp_3f.csv"]);
    let one = container.convert(&["exp/20250601-20250630/exp_3f.csv"], &flags);
    check_reports(one, &["x 2025-06 amortized: 1 rows, 5"]);
}

#[test]
fn other_data_sets_are_skipped_and_named() {
    let container = Container::new();
    let data_set = |folder: &str, name: &str| {
        container.run(folder, &sound_rows(), |manifest| {
            manifest["exportConfig"]["type"] = name.into();
            manifest["runInfo"]["startDate"] = "2025-04-13T00:00:00".into();
        });
    };
    data_set("prices/20250413-20250512/1", "PriceSheet");
    data_set("details/20250413-20250512/1", "ReservationDetails");
    let alone = container.convert(&[""], &[]).exits(2);
    alone.says(&["nothing is left to read", "PriceSheet", "ReservationDetails"]);
    container.run(RUN, &sound_rows(), |_| {});
    let outcome = check_reports(container.convert(&[""], &[]), &[&sound("actual")]);
    assert_eq!(skipped(&outcome, &container).len(), 2);
}

#[test]
fn usage_is_the_name_of_actual_costs_where_there_are_no_others() {
    let container = Container::new();
    container.run(RUN, &sound_rows(), |manifest| {
        manifest["exportConfig"]["type"] = "Usage".into();
    });
    check_reports(container.convert(&[""], &[]), &[&sound("actual")]);
}

#[test]
fn a_manifest_that_says_that_there_are_no_rows_must_be_right() {
    let container = Container::new();
    container.run(RUN, &sound_rows(), |manifest| manifest["hasNoRows"] = true.into());
    container.convert(&[""], &[]).exits(5).says(&["rows together, it says 0"]);

    let empty = Container::new();
    empty.run(RUN, &[], |manifest| manifest["hasNoRows"] = false.into());
    empty.convert(&[""], &[]).exits(5).says(&["no rows, it says that there are some"]);
}

#[test]
fn signatures_of_urls_without_a_scheme_are_not_shown_either() {
    let signed = "acc.blob.core.windows.net/box/a.csv?sv=1&sig=SECRET";
    for url in [signed.to_owned(), format!("https:/{signed}"), format!("./{signed}")] {
        let convert = run(&["convert", &url, "--metric", "actual", "--lake", "lake"]);
        let schema = run(&["schema", &url]);
        for outcome in [convert, schema] {
            let outcome = outcome.exits(2).says(&["begins with its scheme"]);
            assert!(!outcome.stderr.contains("SECRET"), "{}", outcome.stderr);
        }
    }
}

#[test]
fn names_of_files_are_kept_whole_in_manifests() {
    let container = Container::new();
    container.write("part#1.csv", small_file(&sound_rows()));
    let name = container.path("part#1.csv");
    let outcome = container.convert(&["part#1.csv"], &["--metric", "actual"]).exits(0);
    let path = outcome.json()["months"][0]["reports"][0]["path"].as_str().unwrap().to_owned();
    let manifest = crate::harness::manifest(&container.0.path().join("lake"), &path);
    assert_eq!(manifest["source"]["blobs"][0]["name"], text(&name));
}

#[test]
fn files_of_another_kind_than_the_manifest_says_are_refused() {
    let container = Container::new();
    container.run(RUN, &sound_rows(), |manifest| {
        manifest["exportConfig"]["type"] = "FocusCost".into();
    });
    container.convert(&[""], &[]).exits(5).says(&["expected the columns of FOCUS"]);
    let focus = "BilledCost,EffectiveCost,BillingCurrency,ChargePeriodStart,x_BillingAccountId\n\
                 1,2,EUR,2025-05-01T00:00:00Z,12\n";
    container.write("focus.csv", focus);
    container.write("native.csv", small_file(&sound_rows()));
    let both = container.convert(&["focus.csv", "native.csv"], &["--metric", "actual"]);
    both.exits(5).says(&["native.csv", "expected the columns of FOCUS", "calls of their own"]);
}

#[test]
fn a_lake_is_no_input() {
    let container = Container::new();
    container.write("a.csv", small_file(&sound_rows()));
    let lake = container.path("results/lake");
    let convert = |path: &str| {
        let path = container.path(path);
        let args = ["convert", text(&path), "--metric", "actual", "--lake", text(&lake)];
        run(&[&args[..], &["-o", "json"]].concat())
    };
    check_reports(convert(""), &[&sound("actual")]);
    let before = published(&lake);
    for path in ["", "**/*.[cp]*"] {
        let outcome = check_reports(convert(path), &[&sound("actual")]);
        let found = skipped(&outcome, &container);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].1.contains("a lake"), "{found:?}");
    }
    assert_eq!(before, published(&lake));
    convert("results/lake/cost_line_items").exits(2).says(&["a lake of costlake"]);
}

#[test]
fn a_folder_that_holds_itself_is_read_once() {
    let container = Container::new();
    container.write("sub/a.csv", small_file(&sound_rows()));
    std::os::unix::fs::symlink(container.path(""), container.path("sub/again")).unwrap();
    let actual = ["--metric", "actual"];
    check_reports(container.convert(&[""], &actual), &[&sound("actual")]);
    check_reports(container.convert(&["**/*.csv"], &actual), &[&sound("actual")]);
}

#[test]
fn an_export_without_rows_is_an_empty_report() {
    let container = Container::new();
    container.run(RUN, &sound_rows(), |_| {});
    container.convert(&[""], &[]).exits(0);
    let lake = container.0.path().join("lake");
    container.run(RUN, &[], |manifest| {
        manifest["blobs"] = json!([]);
        for key in ["blobCount", "byteCount", "dataRowCount"] {
            manifest[key] = 0.into();
        }
    });
    let args = ["convert", text(&container.path("")), "--lake", text(&lake)].map(str::to_owned);
    run(&args).exits(5).says(&["no data, although the lake holds 3 rows"]);
}

#[test]
fn urls_that_cannot_be_read_are_refused_without_their_secrets() {
    let lake = TempDir::new().unwrap();
    for (url, expected) in [
        (
            "https://example.com/costs.csv?sig=secret",
            "cannot read from https://example.com/costs.csv",
        ),
        ("ftp://user:secret@host/costs.csv", "cannot read from ftp://host/costs.csv"),
        ("s3://key:secret@bucket/x", "user and password"),
        ("s3://bucket/x?sig=secret", "a query is understood in URLs of Azure only"),
        ("az://container/x?sv=1&sig=secret", "Account must be specified"),
        ("az://container/../x", "cannot read from"),
        ("file:///no/such/file.csv", "there is no file or folder /no/such/file.csv"),
    ] {
        let outcome =
            run(&["convert", url, "--metric", "actual", "--lake", text(lake.path()), "-vv"]);
        println!("{}", outcome.stderr);
        let outcome = outcome.exits(2).says(&[expected]);
        assert!(!outcome.stderr.contains("secret"), "{}", outcome.stderr);
    }
    let file = lake.path().join("a b.csv");
    fs::write(&file, small_file(&sound_rows())).unwrap();
    let url = format!("file://{}", text(&file).replace(' ', "%20"));
    let out = lake.path().join("lake");
    run(&["convert", &url, "--metric", "actual", "--lake", text(&out)]).exits(0);
}
