use arrow::datatypes::{DataType, Schema};
use costlake_model::columns::{line_item_schema, quarantine_schema};

const DOCUMENT: &str = include_str!("../../../docs/format.md");

#[test]
fn every_column_is_described_with_its_type_and_null_rule() {
    check("cost_line_items", &line_item_schema());
    check("quarantine", &quarantine_schema());
}

fn check(table: &str, schema: &Schema) {
    let heading = format!("### `{table}`\n");
    let section = DOCUMENT.split_once(&heading).unwrap().1.split("\n### ").next().unwrap();
    let rows: Vec<Vec<&str>> = section
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.split('|').map(str::trim).collect())
        .collect();
    assert_eq!(rows.len(), schema.fields().len(), "{table}");
    for (row, field) in rows.iter().zip(schema.fields()) {
        assert_eq!(row[1], format!("`{}`", field.name()));
        assert_eq!(row[2], type_name(field.data_type()), "{}", field.name());
        assert_eq!(row[4] == "never null", !field.is_nullable(), "{}", field.name());
    }
}

fn type_name(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Dictionary(..) | DataType::Utf8 => "string",
        DataType::Binary => "binary",
        DataType::Date32 => "date",
        DataType::Decimal128(38, 24) => "decimal(38,24)",
        DataType::Boolean => "boolean",
        DataType::Int32 => "int32",
        DataType::Int64 => "int64",
        other => panic!("{other} is not in the document"),
    }
}
