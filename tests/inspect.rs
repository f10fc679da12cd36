//! Looking without changing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{
    World, costlake, finish, lake_files, published, run, small_file, small_row, sound_rows, text,
};
use crate::reading::ParquetRows;

/// A lake of one month, both metrics, one row in quarantine.
struct SmallLake(TempDir);

impl SmallLake {
    fn new() -> Self {
        let lake = Self(TempDir::new().unwrap());
        let file = lake.0.path().join("costs.csv");
        for (metric, code) in [("actual", 0), ("amortized", 8)] {
            let mut rows = sound_rows();
            if metric == "amortized" {
                rows.push(small_row("7", "Öl, Gas", 3, "much"));
            }
            fs::write(&file, small_file(&rows)).unwrap();
            run(&["convert", text(&file), "--metric", metric, "--lake", text(&lake.path())])
                .exits(code);
        }
        lake
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("lake")
    }

    /// Runs a command on the lake.
    fn run(&self, args: &[&str]) -> crate::harness::Outcome {
        run(&[args, &["--lake", text(&self.path())]].concat())
    }

    /// Text without what differs from run to run.
    fn filtered(&self, text_of: &str) -> String {
        without_times(&text_of.replace(text(&self.path()), "[LAKE]"))
    }
}

/// Replaces times such as `2025-07-01T06:30:00Z` by a text of the same width.
fn without_times(text: &str) -> String {
    let mut rest = text;
    let mut out = String::new();
    while let Some(at) = rest.find("T") {
        let is_time = at >= 10
            && rest.get(at - 10..at + 10).is_some_and(|time| {
                time.ends_with('Z') && time.bytes().filter(u8::is_ascii_digit).count() == 14
            });
        if is_time {
            out.push_str(&rest[..at - 10]);
            out.push_str("[ time of the run  ]");
            rest = &rest[at + 10..];
        } else {
            out.push_str(&rest[..=at]);
            rest = &rest[at + 1..];
        }
    }
    out + rest
}

#[test]
fn status_shows_what_the_lake_holds() {
    let lake = SmallLake::new();
    let before = lake_files(&lake.path());
    let outcome = lake.run(&["status"]).exits(0);
    // The row of quarantine has a test of its own.
    let shown = lake.filtered(&outcome.stdout);
    let shown = shown.lines().filter(|line| !line.starts_with("│ quarantine"));
    insta::assert_snapshot!("status", shown.collect::<Vec<_>>().join("\n"));
    let result = lake.run(&["status", "-o", "json"]).exits(0).json();
    let rows = result["partitions"].as_array().unwrap();
    let line_items = rows.iter().find(|row| row["table"] == "cost_line_items").unwrap();
    assert_eq!(line_items["cost"]["EUR"], "0.500000000000000000000001", "exact for machines");
    let none = lake.run(&["status", "--period", "2024-01", "-o", "ndjson"]).exits(0);
    assert_eq!(none.stdout, "");
    assert_eq!(before, lake_files(&lake.path()));
}

#[test]
fn status_shows_the_cost_of_a_month_once() {
    let lake = SmallLake::new();
    let result = lake.run(&["status", "-o", "json"]).exits(0).json();
    let rows = result["partitions"].as_array().unwrap();
    let quarantine = rows.iter().find(|row| row["table"] == "quarantine").unwrap();
    assert_eq!(quarantine["rows"], 1);
    assert_eq!(quarantine["cost"], serde_json::json!({}), "its one row has no readable cost");
}

#[test]
fn verify_proves_a_sound_lake() {
    let lake = SmallLake::new();
    let before = lake_files(&lake.path());
    let outcome = lake.run(&["verify"]).exits(0);
    insta::assert_snapshot!("verify", lake.filtered(&outcome.stdout));
    assert_eq!(before, lake_files(&lake.path()));
}

#[test]
fn verify_finds_every_flipped_byte() {
    let lake = SmallLake::new();
    for (path, bytes) in published(&lake.path()) {
        for at in [0, bytes.len() / 3, bytes.len() / 2, bytes.len() - 1] {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            fs::write(lake.path().join(&path), &damaged).unwrap();
            let outcome = lake.run(&["verify", "-o", "json"]).exits(5);
            let checked = outcome.json()["objects"].as_array().unwrap().clone();
            let bad = checked.iter().filter(|object| object["ok"] == false);
            let bad: Vec<&Value> = bad.map(|object| &object["path"]).collect();
            assert_eq!(bad, [&path], "byte {at}");
        }
        fs::write(lake.path().join(&path), &bytes).unwrap();
    }
    lake.run(&["verify"]).exits(0);
}

#[test]
fn verify_finds_what_is_gone_or_cut() {
    let lake = SmallLake::new();
    for (path, bytes) in published(&lake.path()) {
        let file = lake.path().join(&path);
        fs::remove_file(&file).unwrap();
        lake.run(&["verify"]).exits(5).shows(&[&path, "DAMAGED"]).says(&["error:", "hint:"]);
        fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
        lake.run(&["verify"]).exits(5).shows(&[&path]);
        fs::write(&file, &bytes).unwrap();
    }
    let path = published(&lake.path()).into_keys().next().unwrap();
    let manifest = path.replace("/data.parquet", ".json");
    fs::remove_file(lake.path().join("_costlake/manifests").join(manifest)).unwrap();
    lake.run(&["verify"]).exits(5).shows(&[&path]);
}

#[test]
fn verify_finds_a_manifest_that_lies() {
    let lake = SmallLake::new();
    let path = published(&lake.path()).into_keys().find(|path| path.contains("actual")).unwrap();
    let file = lake.path().join("_costlake/manifests").join(path.replace("/data.parquet", ".json"));
    let sound = fs::read_to_string(&file).unwrap();
    let lie = sound.replace("\"0.500000000000000000000001\"", "\"0.500000000000000000000002\"");
    assert_ne!(sound, lie);
    fs::write(&file, lie).unwrap();
    lake.run(&["verify"]).exits(5).shows(&[&path]);
}

#[test]
fn a_manifest_of_a_newer_format_is_refused() {
    let lake = SmallLake::new();
    let path = published(&lake.path()).into_keys().find(|path| path.contains("actual")).unwrap();
    let file = lake.path().join("_costlake/manifests").join(path.replace("/data.parquet", ".json"));
    let manifest = fs::read_to_string(&file).unwrap();
    let newer = manifest.replacen("\"format_version\": 1", "\"format_version\": 2", 1);
    assert_ne!(manifest, newer);
    fs::write(&file, newer).unwrap();
    let before = lake_files(&lake.path());
    let costs = lake.0.path().join("costs.csv");
    let convert = ["convert", text(&costs), "--metric", "actual"];
    for args in [&["status"][..], &["verify"], &convert] {
        let outcome = lake.run(args);
        assert!(!matches!(outcome.code, Some(0 | 8)), "{args:?} goes on: {outcome:?}");
        let told = format!("{}{}", outcome.stdout, outcome.stderr);
        assert!(told.contains("version"), "{args:?}: {told}");
        assert_eq!(before, lake_files(&lake.path()), "a newer format is not overwritten");
    }
}

#[test]
fn a_lake_that_is_not_there_is_not_made_by_looking() {
    let directory = TempDir::new().unwrap();
    let lake = directory.path().join("lake");
    for command in ["status", "verify"] {
        let outcome = run(&[command, "--lake", text(&lake)]);
        let told = format!("{}{}", outcome.stdout, outcome.stderr);
        assert!(told.contains(text(&lake)), "{command}: {told}");
        assert!(!lake.exists(), "{command}");
    }
}

#[test]
fn plan_shows_the_reports_and_changes_nothing() {
    let world = World::small();
    let plan = |args: &[&str]| {
        let mut command = world.command(&["plan", "--config"]);
        command.arg(world.pipeline()).args(args);
        finish(command.spawn().unwrap()).exits(0)
    };
    let shown = plan(&[]).stdout;
    // Depends on the day of the test.
    let shown = shown.replace("; older than 13 months: Azure may refuse", "");
    let shown = shown.replace(" (older than 13 months: Azure may refuse)", "");
    insta::assert_snapshot!("plan", shown.replace(text(&world.lake()), "[LAKE]"));
    assert!(!world.lake().exists());
    world.run(&[]).exits(0);
    let before = lake_files(&world.lake());
    let asked = world.simulator.requests("submit");
    let again = plan(&["-o", "json"]).json();
    assert_eq!(again["reports"].as_array().map(Vec::len), Some(6), "{again}");
    assert_eq!(before, lake_files(&world.lake()));
    assert_eq!(asked, world.simulator.requests("submit"));
}

#[test]
fn every_shipped_pipeline_can_be_planned() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines");
    let with_toml = |folder: &Path| {
        let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let toml = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "toml");
        let mut paths: Vec<PathBuf> = paths.filter(toml).collect();
        paths.sort();
        paths
    };
    let directory = TempDir::new().unwrap();
    let plan = |pipeline: &Path, args: &[&str]| {
        let mut command = costlake();
        command.args(["plan", "--config"]).arg(pipeline).args(args);
        command.envs(variables_of(pipeline)).current_dir(directory.path());
        finish(command.spawn().unwrap()).exits(0)
    };
    let pipelines = with_toml(&root);
    assert!(pipelines.iter().any(|path| path.ends_with("demo.toml")));
    assert!(pipelines.iter().any(|path| path.ends_with("ea-daily.toml")));
    for pipeline in &pipelines {
        plan(pipeline, &[]).shows(&["department_month"]);
    }
    for definition in with_toml(&root.join("rollups")) {
        let name = definition.file_stem().unwrap().to_str().unwrap().to_owned();
        plan(&root.join("demo.toml"), &["--definition", text(&definition)]).shows(&[&name]);
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "planning writes nothing");
}

/// A value for every variable that a pipeline file refers to.
fn variables_of(pipeline: &Path) -> BTreeMap<String, &'static str> {
    let text = fs::read_to_string(pipeline).unwrap();
    let names =
        text.split("env = \"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned());
    let value = |name: &str| match name {
        name if name.ends_with("BILLING_ACCOUNT") => "1234567",
        name if name.ends_with("_ENDPOINT") || name.ends_with("_HOST") => "https://azure.example",
        _ => "6e8d1c5a-0b1f-4a55-9a3e-2f6c0d7e4b10",
    };
    names.map(|name| (name.clone(), value(&name))).collect()
}

#[test]
fn the_schema_is_the_documented_one() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/format.md");
    let document = fs::read_to_string(document).unwrap();
    let lake = SmallLake::new();
    run(&["reconcile", "--lake", text(&lake.path())]).exits(0);
    let mut tables = BTreeSet::new();
    for path in published(&lake.path()).into_keys() {
        let table = path.split('/').next().unwrap().to_owned();
        let documented = documented_columns(&document, &table);
        let columns = ParquetRows::columns_of(&lake.path().join(&path));
        assert_eq!(columns, documented, "{path}");
        tables.insert(table);
    }
    tables.insert("quarantine".to_owned());
    assert_eq!(tables.len(), 13);
    for table in tables {
        let result = run(&["schema", &table, "-o", "json"]).exits(0).json();
        let columns = result["columns"].as_array().unwrap();
        let shown = columns.iter().map(|column| {
            let cell = |name: &str| column[name].as_str().unwrap().to_owned();
            (cell("column"), cell("type"), column["nullable"].as_bool().unwrap())
        });
        assert_eq!(shown.collect::<Vec<_>>(), documented_columns(&document, &table), "{table}");
    }
}

/// Name, Arrow type and nullability of the columns of a table, as the document has them.
fn documented_columns(document: &str, table: &str) -> Vec<(String, String, bool)> {
    let is_heading = |line: &&str| {
        *line == format!("### `{table}`")
            || (line.starts_with(&format!("`{table}`")) && line.ends_with(':'))
    };
    match document.lines().find(is_heading) {
        Some(heading) => columns_below(document, heading),
        None => columns_by_reference(document, table),
    }
}

/// A table below a heading. Columns of rollups are OPTIONAL but the department's id, as the document says.
fn columns_below(document: &str, heading: &str) -> Vec<(String, String, bool)> {
    let is_rollup = !heading.starts_with('#');
    let rest = document.split_once(&format!("{heading}\n")).unwrap().1;
    let lines = rest.lines().skip_while(|line| !line.starts_with("|---"));
    let rows = lines.skip(1).take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let name = cells[1].trim_matches('`').to_owned();
        let optional = is_rollup && name != "department_id";
        let nullable = optional || !cells[4].starts_with("never");
        (name, arrow_type(cells[2]), nullable)
    })
    .collect()
}

/// A row of the table of rollups that have the measures of another one.
fn columns_by_reference(document: &str, table: &str) -> Vec<(String, String, bool)> {
    let row = document.lines().find(|line| line.starts_with(&format!("| `{table}` | `"))).unwrap();
    let cells: Vec<&str> = row.split('|').map(str::trim).collect();
    let named = |text: &str| -> Vec<String> {
        text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    };
    let keys = named(cells[2]).into_iter().map(|key| {
        let arrow = if key == "charge_date" { "Date32" } else { "Utf8" };
        let nullable = key != "department_id";
        (key, arrow.to_owned(), nullable)
    });
    let mut measures = named(cells[3]).into_iter();
    let other = documented_columns(document, &measures.next().unwrap());
    let is_key = |(name, ..): &(String, String, bool)| name != "billing_currency";
    let of_other = other.into_iter().skip_while(is_key).skip(1);
    let types = cells[3].split("`: ").skip(1).map(|rest| rest.split(", ").next().unwrap());
    let own = measures.zip(types).map(|(name, kind)| (name, arrow_type(kind), true));
    keys.chain(of_other).chain(own).collect()
}

fn arrow_type(documented: &str) -> String {
    match documented {
        "string" => "Utf8".to_owned(),
        "binary" => "Binary".to_owned(),
        "date" => "Date32".to_owned(),
        "boolean" => "Boolean".to_owned(),
        "int32" => "Int32".to_owned(),
        "int64" => "Int64".to_owned(),
        decimal if decimal.starts_with("decimal(38,") => {
            let scale = decimal.strip_prefix("decimal(38,").unwrap().strip_suffix(')').unwrap();
            format!("Decimal128(38, {scale})")
        }
        other => panic!("{other}"),
    }
}

#[test]
fn the_schema_of_a_file_is_what_its_header_maps_to() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("costs.csv");
    fs::write(&file, small_file(&sound_rows())).unwrap();
    let outcome = run(&["schema", text(&file)]).exits(0);
    let bound = outcome.stdout.lines().filter(|line| !line.contains("(missing)"));
    let shown = bound.collect::<Vec<_>>().join("\n").replace(text(&file), "[FILE]");
    insta::assert_snapshot!("schema_of_a_file", shown);
    run(&["schema", "no_such_table"]).exits(2).says(&["no_such_table", "cost_line_items"]);
}

#[test]
fn completions_know_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let outcome = run(&["completions", shell]).exits(0);
        for command in [
            "run",
            "plan",
            "convert",
            "rollup",
            "reconcile",
            "status",
            "verify",
            "simulate",
            "schema",
        ] {
            assert!(outcome.stdout.contains(command), "{shell} lacks {command}");
        }
        assert_eq!(outcome.stderr, "");
    }
}

#[test]
fn help_and_version_are_results() {
    run(&["--version"]).exits(0).shows(&["costlake ", env!("CARGO_PKG_VERSION")]);
    let outcome = run(&["--help"]).exits(0).shows(&["Exit codes"]);
    assert_eq!(outcome.stderr, "");
    for command in
        ["run", "plan", "convert", "rollup", "reconcile", "status", "verify", "simulate", "schema"]
    {
        run(&[command, "--help"]).exits(0).shows(&["Usage:"]);
        assert!(outcome.stdout.contains(command));
    }
}
