//! The canonical columns of `cost_line_items`: a superset over all file generations.
//!
//! Names are those of `header-aliases.csv`; `docs/format.md` describes every column.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::decimal::{STORED_PRECISION, STORED_SCALE};

/// How a source column is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// Text, stored as it came; empty is null.
    Text,
    /// A UTC calendar day.
    Date,
    /// An exact number at scale 24.
    Decimal,
    /// True or false.
    Boolean,
    /// Resource tags: a JSON object, braces added where they lack.
    Tags,
}

/// What a file without a column, or a row without its value, means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// A file without the column is refused, a row without a value is quarantined.
    Required,
    /// A file without the column needs the value from outside; a row without it is quarantined.
    RequiredOrGiven,
    /// Null where it lacks.
    Optional,
}

/// A canonical column that is read from the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// The name in the lake.
    pub name: &'static str,
    /// The type.
    pub column_type: ColumnType,
    /// Whether it may lack.
    pub presence: Presence,
}

const fn column(name: &'static str, column_type: ColumnType, presence: Presence) -> Column {
    Column { name, column_type, presence }
}

const fn text(name: &'static str) -> Column {
    column(name, ColumnType::Text, Presence::Optional)
}

const fn decimal(name: &'static str) -> Column {
    column(name, ColumnType::Decimal, Presence::Optional)
}

const fn date(name: &'static str) -> Column {
    column(name, ColumnType::Date, Presence::Optional)
}

/// The columns that come from the source, in the order of the table.
pub const SOURCE_COLUMNS: [Column; 81] = [
    column("charge_date", ColumnType::Date, Presence::Required),
    date("billing_period_start"),
    date("billing_period_end"),
    date("service_period_start"),
    date("service_period_end"),
    text("billing_account_id"),
    text("billing_account_name"),
    text("billing_profile_id"),
    text("billing_profile_name"),
    text("department_id"),
    text("department_name"),
    text("account_id"),
    text("account_name"),
    text("account_owner"),
    text("cost_center"),
    text("subscription_id"),
    text("subscription_name"),
    text("resource_group"),
    text("resource_id"),
    text("resource_name"),
    text("resource_type"),
    text("resource_location"),
    text("resource_location_normalized"),
    text("availability_zone"),
    text("consumed_service"),
    text("service_family"),
    text("service_category"),
    text("service_subcategory"),
    text("service_name"),
    text("service_tier"),
    text("service_info1"),
    text("service_info2"),
    text("meter_id"),
    text("meter_category"),
    text("meter_subcategory"),
    text("meter_name"),
    text("meter_region"),
    text("product_id"),
    text("product_name"),
    text("product_order_id"),
    text("product_order_name"),
    text("part_number"),
    text("offer_id"),
    text("plan_name"),
    text("publisher_type"),
    text("publisher_id"),
    text("publisher_name"),
    text("reseller_mpn_id"),
    text("charge_type"),
    text("focus_charge_class"),
    text("frequency"),
    text("pricing_model"),
    text("term"),
    text("reservation_id"),
    text("reservation_name"),
    text("benefit_id"),
    text("benefit_name"),
    text("commitment_discount_type"),
    text("commitment_discount_status"),
    text("cost_allocation_rule_name"),
    text("unit_of_measure"),
    text("consumed_unit"),
    decimal("quantity"),
    decimal("consumed_quantity"),
    decimal("effective_price"),
    decimal("unit_price"),
    decimal("retail_price"),
    column("cost", ColumnType::Decimal, Presence::Required),
    column("billing_currency", ColumnType::Text, Presence::RequiredOrGiven),
    text("pricing_currency"),
    decimal("cost_in_pricing_currency"),
    decimal("cost_in_usd"),
    decimal("contracted_cost"),
    decimal("list_cost"),
    decimal("exchange_rate"),
    date("exchange_rate_date"),
    column("is_azure_credit_eligible", ColumnType::Boolean, Presence::Optional),
    text("invoice_id"),
    text("provider"),
    text("additional_info"),
    column("tags", ColumnType::Tags, Presence::Optional),
];

/// Columns that costlake adds behind the source columns, in this order.
pub mod added {
    /// The source text of tags that could not be made a JSON object, else null.
    pub const TAGS_RAW: &str = "tags_raw";
    /// Source columns without a canonical one, as a JSON object; null if there are none.
    pub const EXTRA: &str = "extra";
    /// The charge class.
    pub const CHARGE_CLASS: &str = "charge_class";
    /// The kind of source file: a name of [`crate::SourceKind`].
    pub const SOURCE_KIND: &str = "source_kind";
    /// The version of the nearest known layout, such as `2024-08-01`; null where none is near.
    pub const SCHEMA_VERSION: &str = "schema_version";
    /// The ordinal of the blob within its report, from 0.
    pub const BLOB: &str = "blob";
    /// The record number within the blob, from 1, the header not counted.
    pub const RECORD: &str = "record";
}

/// Returns the position of a source column by its canonical name.
pub fn source_position(name: &str) -> Option<usize> {
    SOURCE_COLUMNS.iter().position(|column| column.name == name)
}

/// The names of the decimal columns, in the order of the table.
pub fn decimal_columns() -> impl Iterator<Item = &'static str> {
    SOURCE_COLUMNS
        .iter()
        .filter(|column| column.column_type == ColumnType::Decimal)
        .map(|column| column.name)
}

/// The type of text columns in batches: most repeat, so each distinct value is held once.
pub fn text_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

/// The type of money, prices and quantities.
pub fn decimal_type() -> DataType {
    DataType::Decimal128(STORED_PRECISION, STORED_SCALE)
}

/// The schema of `cost_line_items` batches. In Parquet, text columns are plain strings.
pub fn line_item_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| Arc::new(build_schema()));
    Arc::clone(&SCHEMA)
}

fn build_schema() -> Schema {
    let source = SOURCE_COLUMNS.iter().map(|column| {
        let data_type = match column.column_type {
            ColumnType::Text | ColumnType::Tags => text_type(),
            ColumnType::Date => DataType::Date32,
            ColumnType::Decimal => decimal_type(),
            ColumnType::Boolean => DataType::Boolean,
        };
        Field::new(column.name, data_type, column.presence == Presence::Optional)
    });
    let added = [
        Field::new(added::TAGS_RAW, text_type(), true),
        Field::new(added::EXTRA, text_type(), true),
        Field::new(added::CHARGE_CLASS, text_type(), false),
        Field::new(added::SOURCE_KIND, text_type(), false),
        Field::new(added::SCHEMA_VERSION, text_type(), true),
        Field::new(added::BLOB, DataType::Int32, false),
        Field::new(added::RECORD, DataType::Int64, false),
    ];
    Schema::new(source.chain(added).collect::<Vec<_>>())
}

/// The schema of the table `quarantine`: rows that could not be typed, with their place and reason.
pub fn quarantine_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        Arc::new(Schema::new(vec![
            Field::new("blob", DataType::Int32, false),
            Field::new("record", DataType::Int64, false),
            Field::new("byte_offset", DataType::Int64, false),
            Field::new("rule", DataType::Utf8, false),
            Field::new("column", DataType::Utf8, true),
            Field::new("expected", DataType::Utf8, false),
            Field::new("found", DataType::Utf8, false),
            Field::new("cost", decimal_type(), true),
            Field::new("raw", DataType::Binary, false),
        ]))
    });
    Arc::clone(&SCHEMA)
}

/// The schema of the table `reconciliation`: why the two costs of each department differ.
pub fn reconciliation_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        Arc::new(Schema::new(vec![
            Field::new("department_id", DataType::Utf8, false),
            Field::new("department_name", DataType::Utf8, true),
            Field::new("billing_currency", DataType::Utf8, false),
            Field::new("actual_cost", decimal_type(), false),
            Field::new("amortized_cost", decimal_type(), false),
            Field::new("difference", decimal_type(), false),
            Field::new("commitment_purchases", decimal_type(), false),
            Field::new("commitment_refunds", decimal_type(), false),
            Field::new("used_shares", decimal_type(), false),
            Field::new("unused_shares", decimal_type(), false),
            Field::new("other_difference", decimal_type(), false),
            Field::new("residual", decimal_type(), false),
            Field::new("other_by_class", DataType::Utf8, true),
            Field::new("unused_policy", DataType::Utf8, true),
            Field::new("shared_back", decimal_type(), true),
            Field::new("amortized_shared_back", decimal_type(), true),
        ]))
    });
    Arc::clone(&SCHEMA)
}

/// The schema of the table `commitment_reconciliation`: what was paid for each commitment and what of it was used.
pub fn commitment_reconciliation_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        Arc::new(Schema::new(vec![
            Field::new("commitment_id", DataType::Utf8, false),
            Field::new("commitment_name", DataType::Utf8, true),
            Field::new("commitment_type", DataType::Utf8, true),
            Field::new("billing_currency", DataType::Utf8, false),
            Field::new("state", DataType::Utf8, true),
            Field::new("term_months", DataType::Int64, true),
            Field::new("start_date", DataType::Date32, true),
            Field::new("end_date", DataType::Date32, true),
            Field::new("remaining_days", DataType::Int64, true),
            Field::new("purchases_to_date", decimal_type(), false),
            Field::new("refunds_to_date", decimal_type(), false),
            Field::new("used_to_date", decimal_type(), false),
            Field::new("unused_to_date", decimal_type(), false),
            Field::new("balance", decimal_type(), true),
            Field::new("utilisation_to_date", utilisation_type(), true),
            Field::new("utilisation_in_month", utilisation_type(), true),
            Field::new("bought_by", DataType::Utf8, true),
            Field::new("used_by", DataType::Utf8, true),
        ]))
    });
    Arc::clone(&SCHEMA)
}

/// The type of utilisations: six fraction digits.
fn utilisation_type() -> DataType {
    DataType::Decimal128(STORED_PRECISION, 6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_columns_reachable() {
        let schema = line_item_schema();
        for (at, field) in schema.fields().iter().enumerate() {
            assert_eq!(schema.index_of(field.name()).unwrap(), at);
        }
        assert!(source_position("cost").is_some());
        assert!(source_position("extra").is_none());
    }
}
