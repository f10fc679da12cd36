//! Random definitions over random rows, against a second evaluator of `docs/rollups.md`: plain rows, plain
//! loops, no dictionaries and no partial sums. It knows nothing of the one that it judges.

mod definitions;
mod evaluator;
mod rows;

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Decimal128Type;
use arrow::util::display::array_value_to_string;
use costlake_model::Metric;
use costlake_model::decimal::ExactSum;
use costlake_model::rollup::Definition;
use costlake_transform::BlobOptions;
use costlake_transform::rollup::{Partial, Rollup};
use proptest::prelude::*;

use self::definitions::{Formula, Spec};
use self::rows::Row;
use super::{options, read_in_pieces};

const METRICS: [Metric; 2] = [Metric::Actual, Metric::Amortized];

/// The rows of one metric as batches, and each batch as a part of the rollup. The reader must have taken
/// every row, in the class that was meant.
fn partials(
    definition: &Definition,
    metric: Metric,
    rows: &[Row],
    chunk_bytes: usize,
) -> Vec<Partial> {
    let rows: Vec<&Row> = rows.iter().filter(|row| row.metric == metric).collect();
    let text = rows::file(&rows);
    let options = BlobOptions { metric, chunk_bytes, ..options() };
    let (chunks, _) = read_in_pieces(text.as_bytes(), usize::MAX, options).unwrap();
    assert!(chunks.iter().all(|chunk| chunk.quarantined.is_empty()), "{text}");
    let classes: Vec<String> =
        chunks.iter().flat_map(|chunk| texts(&chunk.batch, "charge_class")).collect();
    let meant: Vec<&str> = rows.iter().map(|row| row.class()).collect();
    assert_eq!(classes, meant, "{text}");
    let part = |batch| Partial::of_batch(definition, metric, batch).unwrap();
    chunks.iter().map(|chunk| part(&chunk.batch)).collect()
}

fn texts(batch: &RecordBatch, column: &str) -> Vec<String> {
    let column = batch.column_by_name(column).unwrap();
    (0..column.len()).map(|row| array_value_to_string(column, row).unwrap()).collect()
}

fn cells(table: &RecordBatch) -> Vec<Vec<Option<String>>> {
    let cell = |column: &Arc<dyn Array>, row| {
        column.is_valid(row).then(|| array_value_to_string(column, row).unwrap())
    };
    let row = |row| table.columns().iter().map(|column| cell(column, row)).collect();
    (0..table.num_rows()).map(row).collect()
}

/// A rollup of the rows of the metrics that were read, in the order that the seed says.
fn rolled_up(
    definition: &Arc<Definition>,
    metrics: &[Metric],
    rows: &[Row],
    chunk_bytes: usize,
    order: u64,
) -> Rollup {
    let mut rollup = Rollup::new(Arc::clone(definition));
    let mut other = Rollup::new(Arc::clone(definition));
    let mut parts = Vec::new();
    for metric in metrics {
        rollup.add_metric(*metric);
        parts.extend(partials(definition, *metric, rows, chunk_bytes));
    }
    let mut parts: Vec<(usize, Partial)> = parts.into_iter().enumerate().collect();
    parts.sort_by_key(|(at, _)| (*at as u64 ^ order).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    for (at, part) in parts {
        if at % 3 == 2 { other.merge(part) } else { rollup.merge(part) }
    }
    rollup.absorb(other);
    rollup
}

/// Demands that what groups add up to is what all rows add up to, for every sum.
fn check_totals(
    spec: &Spec,
    rows: &[Row],
    metrics: &[Metric],
    rollup: &Rollup,
    table: &RecordBatch,
) -> Result<(), TestCaseError> {
    for (at, measure) in spec.measures.iter().enumerate() {
        let Formula::Sum(column, filter) = &measure else { continue };
        if filter.metric.is_some_and(|metric| !metrics.contains(&metric)) {
            continue;
        }
        let passes = |row: &&Row| {
            metrics.contains(&row.metric) && spec.only.passes(row) && filter.passes(row)
        };
        let amounts = rows.iter().filter(passes).filter_map(|row| row.amount(column));
        let total: ExactSum = amounts.map(ExactSum::from_stored).sum();
        prop_assert_eq!(rollup.total(&definitions::name(at)), Some(total));
        let shown = table.column_by_name(&definitions::name(at)).unwrap();
        let shown = shown.as_primitive::<Decimal128Type>().iter().flatten();
        prop_assert_eq!(shown.map(ExactSum::from_stored).sum::<ExactSum>(), total);
    }
    Ok(())
}

fn metrics() -> impl Strategy<Value = Vec<Metric>> {
    let both = METRICS.to_vec();
    prop::sample::select(vec![both.clone(), both, vec![Metric::Actual], vec![Metric::Amortized]])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn every_cell_is_what_the_contract_says(
        rows in prop::collection::vec(rows::row(), 0..24),
        spec in definitions::spec(),
        metrics in metrics(),
        chunk_bytes in prop::sample::select(vec![600_usize, 2000, 100_000]),
        order in any::<u64>(),
    ) {
        let definition = Arc::new(spec.definition());
        let rollup = rolled_up(&definition, &metrics, &rows, chunk_bytes, order);
        let table = rollup.finish().unwrap();
        prop_assert_eq!(cells(&table), evaluator::table(&spec, &metrics, &rows), "{}", spec.text());
        prop_assert_eq!(&*table.schema(), &definition.schema());
        check_totals(&spec, &rows, &metrics, &rollup, &table)?;
        let whole = rolled_up(&definition, &metrics, &rows, 1 << 20, 0);
        prop_assert_eq!(whole.finish().unwrap(), table);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn costs_at_other_prices_are_those_of_each_row(
        rows in prop::collection::vec(rows::row(), 16..32),
    ) {
        let spec = Spec::of_prices();
        let definition = Arc::new(spec.definition());
        let rollup = rolled_up(&definition, &METRICS, &rows, 2000, 7);
        let table = cells(&rollup.finish().unwrap());
        prop_assert_eq!(table, evaluator::table(&spec, &METRICS, &rows));
    }

    #[test]
    fn departments_by_any_rules_add_up_to_the_file(
        rows in prop::collection::vec(rows::row(), 1..24),
        spec in definitions::spec(),
    ) {
        let shipped = Definition::shipped("department_month").unwrap();
        let definition = Arc::new(shipped.with_departments(spec.departments()));
        let rollup = rolled_up(&definition, &METRICS, &rows, 600, 7);
        let table = rollup.finish().unwrap();
        for (metric, measure) in METRICS.into_iter().zip(["actual_cost", "amortized_cost"]) {
            let of_metric = rows.iter().filter(|row| row.metric == metric);
            let total: ExactSum =
                of_metric.map(|row| ExactSum::from_stored(row.amount("cost").unwrap())).sum();
            let shown = table.column_by_name(measure).unwrap();
            let shown = shown.as_primitive::<Decimal128Type>().iter().flatten();
            prop_assert_eq!(shown.map(ExactSum::from_stored).sum::<ExactSum>(), total);
            prop_assert_eq!(rollup.total(measure), Some(total));
        }
    }
}
