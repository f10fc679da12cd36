//! Columns that change from month to month: told, kept, or refused.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::harness::{Outcome, run, text};

/// A file of the layout EA 2024-08-01 would have 57 columns; contracts hold for any.
fn write(folder: &Path, month: u32, more: &str, values: &str) -> String {
    let path = folder.join(format!("{month}{}.csv", more.replace(',', "-")));
    let rows = format!("{month:02}/01/2025,1,EUR,12{values}\n");
    fs::write(&path, format!("Date,Cost,Currency,BillingAccountId{more}\n{rows}")).unwrap();
    text(&path).to_owned()
}

fn convert(file: &str, lake: &Path, args: &[&str]) -> Outcome {
    let common = ["convert", file, "--metric", "actual", "--lake", text(lake)];
    run(&[&common[..], args].concat())
}

#[test]
fn a_changed_set_of_columns_is_a_warning_that_names_them() {
    let folder = TempDir::new().unwrap();
    let lake = folder.path().join("lake");
    let first = write(folder.path(), 5, ",Owner,MeterName", ",me,a");
    let outcome = convert(&first, &lake, &[]).exits(0);
    assert!(!outcome.stdout.contains("Warning"), "{}", outcome.stdout);

    // Another order and case are the same columns.
    let same = write(folder.path(), 6, ",METER NAME,owner", ",a,me");
    let outcome = convert(&same, &lake, &[]).exits(0);
    assert!(!outcome.stdout.contains("Warning"), "{}", outcome.stdout);

    let changed = write(folder.path(), 7, ",Owner,Team", ",me,us");
    convert(&changed, &lake, &[]).exits(0).shows(&[
        "Warning: billing-account-12 2025-07 actual: columns differ from those of 2025-06; new: Team; gone: METER NAME",
    ]);
    let result = convert(&changed, &lake, &["-o", "json"]).exits(0).json();
    let columns = &result["months"][0]["reports"][0]["columns"];
    // Now the month itself was published last.
    assert_eq!(columns["against"], "2025-07");
    assert_eq!(columns["added"], serde_json::json!([]));
    // Months after this one are no measure for it.
    let before = write(folder.path(), 5, ",Owner,MeterName,New", ",me,a,b");
    convert(&before, &lake, &[]).exits(0).shows(&["those of 2025-05; new: New"]);
}

#[test]
fn evolve_says_it_to_machines_alone() {
    let folder = TempDir::new().unwrap();
    let lake = folder.path().join("lake");
    convert(&write(folder.path(), 5, "", ""), &lake, &[]).exits(0);
    let changed = write(folder.path(), 6, ",Owner", ",me");
    let args = ["--contract", "evolve", "-o", "json"];
    let result = convert(&changed, &lake, &args).exits(0).json();
    let columns = &result["months"][0]["reports"][0]["columns"];
    assert_eq!(columns["against"], "2025-05");
    assert_eq!(columns["added"], serde_json::json!(["Owner"]));
    assert_eq!(columns["layouts"], serde_json::json!(["other"]));
    let other = write(folder.path(), 7, ",Team", ",us");
    let outcome = convert(&other, &lake, &["--contract", "evolve"]).exits(0);
    assert!(!outcome.stdout.contains("Warning"), "{}", outcome.stdout);
}

#[test]
fn strict_refuses_changes_and_unknown_layouts_and_publishes_nothing() {
    let folder = TempDir::new().unwrap();
    let lake = folder.path().join("lake");
    let strict = ["--contract", "strict"];
    let first = write(folder.path(), 5, "", "");
    convert(&first, &lake, &strict).exits(5).says(&["its layout is not known", "--contract warn"]);
    assert!(!lake.join("cost_line_items").exists());
    convert(&first, &lake, &[]).exits(0);
    // What was once published is what was agreed on.
    convert(&first, &lake, &strict).exits(0);
    let changed = write(folder.path(), 6, ",Owner", ",me");
    convert(&changed, &lake, &strict).exits(5).says(&["those of 2025-05; new: Owner"]);
    assert!(!lake.join("cost_line_items/metric=actual/billing_period=2025-06").exists());

    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("data-samples/ea-2024-08-01");
    let known = ["convert", text(&samples), "--lake", text(&lake), "--contract", "strict"];
    run(&known).exits(0);
    convert(&first, &lake, &["--contract", "loose"]).exits(2);
}

#[test]
fn files_of_one_report_with_other_columns_are_noted() {
    let folder = TempDir::new().unwrap();
    let lake = folder.path().join("lake");
    write(folder.path(), 5, "", "");
    write(folder.path(), 5, ",Owner", ",me");
    convert(text(folder.path()), &lake, &[]).exits(0).shows(&[
        "Unknown columns, kept in `extra`: Owner",
        "5.csv: its columns are not those of the first file: Owner",
    ]);
}

#[test]
fn months_of_one_call_are_held_against_each_other() {
    let folder = TempDir::new().unwrap();
    let (lake, exports) = (folder.path().join("lake"), folder.path().join("exports"));
    for (month, more, values) in [(5, "", ""), (6, ",Owner", ",me"), (7, ",Boss", ",you")] {
        let run = exports.join(format!("{month}"));
        fs::create_dir_all(&run).unwrap();
        let file = write(&run, month, more, values);
        let name = Path::new(&file).file_name().unwrap().to_str().unwrap();
        let manifest = serde_json::json!({
            "exportConfig": {
                "type": "ActualCost",
                "resourceId": "/providers/Microsoft.Billing/billingAccounts/12",
            },
            "runInfo": {
                "startDate": format!("2025-{month:02}-01T00:00:00"),
                "endDate": format!("2025-{month:02}-28T00:00:00"),
            },
            "blobs": [{ "blobName": name }],
        });
        fs::write(run.join("manifest.json"), manifest.to_string()).unwrap();
    }
    let convert = |args: &[&str]| {
        let common = ["convert", text(&exports), "--lake", text(&lake)];
        run(&[&common[..], args].concat())
    };
    convert(&["--contract", "strict"]).exits(5);
    assert!(!lake.join("cost_line_items").exists());
    let changes = [
        "2025-06 actual: columns differ from those of 2025-05; new: Owner",
        "2025-07 actual: columns differ from those of 2025-06; new: Boss; gone: Owner",
    ];
    convert(&[]).exits(0).shows(&changes);
    // Where the lake has but the first of them, too.
    for month in ["billing_period=2025-06", "billing_period=2025-07"] {
        for table in ["cost_line_items", "_costlake/manifests/cost_line_items"] {
            fs::remove_dir_all(lake.join(table).join("metric=actual").join(month)).unwrap();
        }
    }
    convert(&[]).exits(0).shows(&changes);
}

#[test]
fn a_part_without_columns_of_the_others_is_no_strict_report() {
    let folder = TempDir::new().unwrap();
    let lake = folder.path().join("lake");
    let whole = write(folder.path(), 5, ",Owner", ",me");
    convert(&whole, &lake, &[]).exits(0);
    write(folder.path(), 5, "", "");
    let strict = convert(text(folder.path()), &lake, &["--contract", "strict"]);
    strict.exits(5).says(&["its columns are not those of the first file: Owner"]);
}

#[test]
fn columns_without_a_name_are_no_columns() {
    let folder = TempDir::new().unwrap();
    let lake = folder.path().join("lake");
    convert(&write(folder.path(), 5, "", ""), &lake, &[]).exits(0);
    let nameless = write(folder.path(), 6, ",,", ",,");
    convert(&nameless, &lake, &["--contract", "strict"]).exits(0);
}
