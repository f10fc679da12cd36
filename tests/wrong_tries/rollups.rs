//! Definitions, rules and commands for rollups that cannot be meant: exit 2, with place, expectation and hint.

use std::path::Path;

use super::Files;
use crate::harness::{Outcome, lake_files, published, run, sound_rows, text};

/// A definition that is sound.
const SOUND: &str = r#"name = "team_month"
group_by = ["department", { tag = "team", as = "squad" }, "billing_currency"]
where = { meter_category = "Storage", "tag:env" = ["prod", ""] }

[[measure]]
name = "billed"
sum = "cost"
metric = "actual"

[[measure]]
name = "rows"
count = true
metric = "actual"

[[measure]]
name = "first_day"
first = "charge_date"
metric = "actual"

[[measure]]
name = "minus_billed"
subtract = ["billed"]

[[measure]]
name = "per_row"
divide = "billed"
by = "rows"
scale = 4
"#;

/// What is replaced in [`SOUND`], by what, and what is said: the place and what was expected.
const WRONG_DEFINITIONS: [(&str, &str, &[&str]); 38] = [
    ("name = \"team_month\"", "name = \"team_month", &["line 1", "|", "^", "expected `\"`"]),
    ("\"billing_currency\"]", "\"billing_currency\"", &["line 3", "expected `,`"]),
    ("name = \"team_month\"\n", "", &["missing field `name`"]),
    ("\"team_month\"", "\"Team-Month\"", &["`Team-Month`", "lower-case"]),
    (
        "\"team_month\"",
        "\"department_month\"",
        &["`department_month`", "a table of costlake's own"],
    ),
    ("\"team_month\"", "\"quarantine\"", &["`quarantine`", "a table of costlake's own"]),
    ("\"team_month\"", "\"\"", &["`` cannot name a rollup"]),
    ("group_by = [\"department\", ", "group_by = [7, ", &["line 2", "the name of a key", "tag ="]),
    ("{ tag = ", "{ tags = ", &["line 2", "the name of a key", "tag ="]),
    ("\"department\"", "\"charge_date\"", &["`charge_date`", "department", "day", "text column"]),
    ("\"department\"", "\"team\"", &["cannot group by `team`", "{ tag = \"…\" }"]),
    ("\"department\"", "\"billing_currency\"", &["two keys", "`billing_currency`"]),
    ("as = \"squad\"", "as = \"billing_period\"", &["`billing_period`", "column of a tag"]),
    ("as = \"squad\"", "as = \"Squad\"", &["`Squad`", "lower-case"]),
    ("where = {", "wher = {", &["line 3", "column 1", "unknown field `wher`", "`where_not`"]),
    ("meter_category =", "cost =", &["the definition", "`cost`", "text column"]),
    (
        "meter_category =",
        "charge_class =",
        &["the definition", "`charge_class`", "parts of their own"],
    ),
    ("\"Storage\"", "[]", &["the definition", "`meter_category`", "no value"]),
    ("\"Storage\"", "7", &["line 3", "expected a text in quotes, or a list"]),
    ("\"tag:env\"", "\"tag: ENV\" = \"x\", \"tag:env\"", &["the definition", "two", "tag `env`"]),
    ("\"tag:env\"", "\"tag:\"", &["the definition", "`tag:`"]),
    ("sum = \"cost\"", "sum = \"costs\"", &["measure `billed`", "`costs`", "decimal column"]),
    ("sum = \"cost\"", "sum = \"cost\"\nlast = \"charge_date\"", &["`billed`", "exactly one of"]),
    ("sum = \"cost\"\nmetric = \"actual\"", "sum = \"cost\"", &["`billed`", "metric", "together"]),
    ("metric = \"actual\"", "metric = \"billed\"", &["`billed`", "actual or amortized"]),
    ("count = true", "count = 1", &["line 12", "expected true, or the name of a column"]),
    ("count = true", "count = true\nhas = [\"colour\"]", &["measure `rows`", "`colour`", "column"]),
    ("count = true", "count = true\ncharge_class = [\"usage\"]", &["`rows`", "on_demand_usage"]),
    ("count = true", "count = true\nfilter = 1", &["line 13", "unknown field `filter`", "`where`"]),
    ("name = \"rows\"", "name = \"billed\"", &["`billed` cannot name a measure", "not yet used"]),
    ("first = \"charge_date\"", "first = \"cost\"", &["`first_day`", "`cost`", "a date column"]),
    (
        "subtract = [\"billed\"]",
        "subtract = [\"per_row\"]",
        &["`minus_billed`", "`per_row`", "before it"],
    ),
    ("subtract = [\"billed\"]", "subtract = [\"first_day\"]", &["`minus_billed`", "a sum"]),
    (
        "subtract = [\"billed\"]",
        "subtract = [\"billed\"]\nhas = [\"term\"]",
        &["`minus_billed`", "no has"],
    ),
    ("by = \"rows\"", "by = \"first_day\"", &["`per_row`", "`first_day`", "a sum or count"]),
    ("scale = 4", "scale = 25", &["`per_row`", "`scale`", "0 to 24"]),
    ("scale = 4", "scale = -1", &["`per_row`", "`scale`", "0 to 24"]),
    ("where = {", "measures_from = \"costs\"\nwhere = {", &["`costs`", "department_month"]),
];

/// Sections of a pipeline file, and what is said of them.
const WRONG_PIPELINES: [(&str, &[&str]); 19] = [
    ("[departments]", &["[departments] has no [[departments.rule]]"]),
    ("[departments]\nunmatched = \"drop\"", &["line 2", "`drop`", "`unassigned` or `keep`"]),
    ("[[departments.rule]]\nsection = \"1\"", &["missing field `department`"]),
    ("[[departments.rule]]\ndepartment = \" \"\nsection = \"1\"", &["rule 1", "`department`"]),
    ("[[departments.rule]]\ndepartment = \"a\"", &["rule 1", "`a`", "section, account"]),
    (
        "[[departments.rule]]\ndepartment = \"a\"\nteam = \"b\"",
        &["line 3", "`team`", "`cost_center`"],
    ),
    (
        "[[departments.rule]]\ndepartment = \"a\"\nsection = 7",
        &["line 3", "a text in quotes, or a list"],
    ),
    ("[[departments.rule]]\ndepartment = \"a\"\nsection = []", &["rule 1", "`a`", "`section`"]),
    ("[[departments.rule]]\ndepartment = \"a\"\naccount = [\"b\", \"\"]", &["rule 1", "`account`"]),
    ("[[departments.rule]]\ndepartment = \"a\"\ntag = \"team\"", &["line 3", "expected a map"]),
    ("[[departments.rule]]\ndepartment = \"a\"\ntag = { team = [] }", &["rule 1", "`tag`"]),
    (
        "[[departments.rule]]\ndepartment = \"a\"\nsection = \"1\"\n[[departments.rule]]\ndepartment = \"b\"\ntag = { team = \"x\", Team = \"y\" }",
        &["rule 2", "`b`", "`team` twice"],
    ),
    ("[[department.rule]]\ndepartment = \"a\"", &["line 1", "`department`", "`departments`"]),
    ("[[rollup]]", &["exactly one of shipped and definition", "department_month"]),
    ("[[rollup]]\nshipped = \"a\"\ndefinition = \"b\"", &["exactly one of shipped and definition"]),
    ("[[rollup]]\nshipped = \"department_week\"", &["`department_week`", "department_day"]),
    (
        "[[rollup]]\ndefinition = \"nosuch.toml\"",
        &["nosuch.toml", "No such file", "shipped rollup"],
    ),
    ("[[rollup]]\nname = \"department_month\"", &["line 2", "`name`", "`definition`"]),
    (
        "[[rollup]]\nshipped = \"savings_month\"\n[[rollup]]\nshipped = \"savings_month\"",
        &["savings_month"],
    ),
];

/// What people see has an error, a hint, no empty lines, and no words of the parser's own making.
#[track_caller]
fn check_text(outcome: &Outcome) {
    let text = &outcome.stderr;
    assert!(text.starts_with("error: "), "{text}");
    assert!(text.contains("\n  hint: "), "no hint:\n{text}");
    assert!(!text.contains("\n\n"), "an empty line:\n{text}");
    for word in ["untagged", "variant of", "u8", "Error {"] {
        assert!(!text.contains(word), "{word}:\n{text}");
    }
}

/// A lake of one metric of one month.
fn lake_of_actual(files: &Files) -> String {
    let rows = files.csv("rows.csv", &sound_rows());
    files.convert(&rows, &[]).exits(0);
    text(&files.lake()).to_owned()
}

#[test]
fn wrong_definitions_are_refused_with_place_expectation_and_hint() {
    let files = Files::new();
    let rows = files.csv("rows.csv", &sound_rows());
    let definition = |text: &str| files.write("definition.toml", text.as_bytes());
    for (from, to, words) in WRONG_DEFINITIONS {
        assert!(SOUND.contains(from), "{from}");
        let wrong = definition(&SOUND.replacen(from, to, 1));
        println!("{to}");
        let outcome = files.convert(&rows, &["-q", "--definition", text(&wrong)]).exits(2);
        let outcome = outcome.says(&["definition.toml cannot be used"]).says(words);
        check_text(&outcome);
        assert!(!files.lake().exists(), "{to}");
    }
    let sound = definition(SOUND);
    files.convert(&rows, &["--definition", text(&sound)]).exits(0);
    let lake = files.lake();
    for (from, to, words) in &WRONG_DEFINITIONS[..8] {
        let wrong = definition(&SOUND.replacen(from, to, 1));
        let args = ["rollup", "--lake", text(&lake), "--definition", text(&wrong)];
        run(&args).exits(2).says(words);
    }
}

#[test]
fn wrong_rollups_and_rules_of_a_pipeline_file_are_refused() {
    let files = Files::new();
    let rows = files.csv("rows.csv", &sound_rows());
    for (pipeline, words) in WRONG_PIPELINES {
        println!("{pipeline}");
        let file = files.write("pipeline.toml", pipeline.as_bytes());
        let outcome = files.convert(&rows, &["-q", "--config", text(&file)]).exits(2).says(words);
        check_text(&outcome);
        assert!(!files.lake().exists(), "{pipeline}");
    }
    let lake = lake_of_actual(&files);
    for (pipeline, words) in [
        ("[reconcile]\nunused = \"none\"", &["`none`", "central, owner or by-usage"][..]),
        ("[reconcile]\npolicy = \"owner\"", &["line 2", "`policy`", "`unused`"]),
    ] {
        let file = files.write("pipeline.toml", pipeline.as_bytes());
        let args = ["reconcile", "--lake", &lake, "--config", text(&file), "-q"];
        let outcome = run(&args).exits(2).says(words);
        check_text(&outcome);
    }
}

#[test]
fn commands_over_what_is_not_there_say_so() {
    let files = Files::new();
    let lake = lake_of_actual(&files);
    let before = lake_files(Path::new(&lake));
    let empty = files.0.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    for command in ["rollup", "reconcile"] {
        let with = |args: &[&str]| run(&[&[command], args].concat());
        with(&[]).exits(2).says(&["no lake is given", "--lake", "COSTLAKE_LAKE"]);
        with(&["--lake", "/no/such/lake"]).exits(2).says(&["/no/such/lake", "costlake convert"]);
        with(&["--lake", &lake, "--period", "2025-04"])
            .exits(2)
            .says(&["no line items of 2025-04", "costlake status"]);
        with(&["--lake", &lake, "--period", "2025-13"]).exits(2).says(&["2025-13", "2025-07"]);
        with(&["--lake", &lake, "--config", "/no/such.toml"]).exits(2).says(&["/no/such.toml"]);
        with(&["--lake", &lake, "--no-such-flag"]).exits(2).says(&["--no-such-flag"]);
        with(&["--lake", text(&empty)]).exits(0);
        assert_eq!(lake_files(&empty).len(), 0, "an empty lake stays empty");
    }
    run(&["rollup", "--lake", text(&empty)]).shows(&["no line items"]);
    run(&["reconcile", "--lake", text(&empty)]).shows(&["no line items"]);
    run(&["reconcile", "--lake", &lake, "--unused", "everybody"])
        .exits(2)
        .says(&["everybody", "central, owner or by-usage"]);
    for definition in ["nosuch", "nosuch.toml", "."] {
        let outcome = run(&["rollup", "--lake", &lake, "--definition", definition]).exits(2);
        check_text(&outcome.says(&[definition, "department_month", "savings_month"]));
    }
    let twice = ["--definition", "savings_month", "--definition", "savings_month"];
    run(&[&["rollup", "--lake", &lake], &twice[..]].concat()).exits(2).says(&["savings_month"]);
    assert!(lake_files(Path::new(&lake)) == before, "the lake is as it was");
}

#[test]
fn a_month_of_one_metric_cannot_be_reconciled_and_says_so() {
    let files = Files::new();
    let lake = lake_of_actual(&files);
    let before = published(Path::new(&lake));
    let outcome = run(&["reconcile", "--lake", &lake]).exits(5);
    outcome.says(&["one metric only", "hint"]).shows(&[
        "2025-05",
        "amortized is not in the lake",
        "Reconciled nothing",
    ]);
    let result = run(&["reconcile", "--lake", &lake, "-o", "json"]).exits(5).json();
    let reason = result["months"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("amortized is not in the lake"), "{reason}");
    // Commitments have figures to date all the same, since `convert`; departments have none.
    let after = published(Path::new(&lake));
    assert!(after == before, "something else was published: {:?}", after.keys());
    assert!(after.keys().any(|path| path.starts_with("commitment_reconciliation/")));
    assert!(!after.keys().any(|path| path.starts_with("reconciliation/")));
}

/// The rows of a CSV output; every one has as many cells as the header.
fn csv_rows(outcome: &Outcome) -> Vec<Vec<String>> {
    let mut reader = csv::Reader::from_reader(outcome.stdout.as_bytes());
    let columns = reader.headers().unwrap().len();
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert!(rows.iter().all(|row| row.len() == columns));
    rows.iter().map(|row| row.iter().map(str::to_owned).collect()).collect()
}

fn json_lines(outcome: &Outcome) -> usize {
    let objects = outcome.stdout.lines().map(|line| serde_json::from_str(line).unwrap());
    objects.filter(|object: &serde_json::Value| object.is_object()).count()
}

#[test]
fn rows_of_rollups_and_reconciliations_are_csv_and_json() {
    let files = Files::new();
    let lake = lake_of_actual(&files);
    let rows = files.csv("rows.csv", &sound_rows());
    let amortized = ["convert", text(&rows), "--lake", &lake, "--metric", "amortized", "-q"];
    run(&amortized).exits(0);
    for (args, count) in [
        (&["rollup", "--definition", "department_month"][..], 3),
        (&["rollup", "--definition", "department_day", "--period", "2025-05"], 3),
        (&["rollup", "--definition", "commitment_month"], 0),
        (&["rollup"], 9),
        (&["reconcile", "--dry-run"], 3),
        (&["reconcile", "--unused", "owner"], 3),
    ] {
        println!("{args:?}");
        let out =
            |format: &str| run(&[args, &["--lake", &lake, "-q", "-o", format]].concat()).exits(0);
        assert_eq!(csv_rows(&out("csv")).len(), count);
        assert_eq!(json_lines(&out("ndjson")), count);
    }
    let department_month = ["rollup", "--definition", "department_month", "--lake", &lake];
    let outcome = run(&[&department_month[..], &["-o", "csv"]].concat()).exits(0);
    let oil = csv_rows(&outcome).into_iter().find(|row| row.contains(&"Öl, Gas".to_owned()));
    assert!(oil.is_some_and(|row| row.contains(&"1.25".to_owned())), "{}", outcome.stdout);
}
