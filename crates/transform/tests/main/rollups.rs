//! Rollups against sums taken by hand from the same rows.

use std::sync::Arc;

use arrow::util::display::array_value_to_string;
use costlake_model::Metric;
use costlake_model::rollup::Definition;
use costlake_transform::rollup::{Partial, Rollup};

use super::read;

const HEADER: &str =
    "Date,Cost,Currency,InvoiceSectionId,InvoiceSection,ChargeType,PricingModel,PublisherType\n";

fn department_month() -> Arc<Definition> {
    let path =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../pipelines/rollups/department_month.toml");
    Arc::new(Definition::parse(&std::fs::read_to_string(path).unwrap()).unwrap())
}

fn partials(definition: &Definition, metric: Metric, rows: &[&str]) -> Vec<Partial> {
    let text = format!("{HEADER}{}\n", rows.join("\n"));
    let chunks = read(&text).unwrap();
    assert!(chunks.iter().all(|chunk| chunk.quarantined.is_empty()));
    chunks
        .iter()
        .map(|chunk| Partial::of_batch(definition, metric, &chunk.batch).unwrap())
        .collect()
}

const ACTUAL: &[&str] = &[
    "07/01/2025,10.000000000000000000000001,EUR,12,Research,Usage,OnDemand,Azure",
    "07/02/2025,100,EUR,12,Research,Purchase,Reservation,Azure",
    "07/03/2025,-20,EUR,12,Research,Refund,Reservation,Azure",
    "07/04/2025,0,EUR,34,\"Sales, North\",Usage,Reservation,Azure",
    "07/05/2025,5,EUR,,sales,Usage,,Marketplace",
    "07/05/2025,0.01,EUR,-2,Unassigned,RoundingAdjustment,,Azure",
    "07/31/2025,1,EUR,12,Research & Development,Usage,Spot,Azure",
];

const AMORTIZED: &[&str] = &[
    "07/31/2025,1,EUR,12,Research & Development,Usage,Spot,Azure",
    "07/01/2025,10.000000000000000000000001,EUR,12,Research,Usage,OnDemand,Azure",
    "07/04/2025,30,EUR,34,\"Sales, North\",Usage,Reservation,Azure",
    "07/04/2025,3,EUR,,,UnusedReservation,Reservation,Azure",
    "07/05/2025,5,EUR,,sales,Usage,,Marketplace",
    "07/05/2025,0.01,EUR,-2,Unassigned,RoundingAdjustment,,Azure",
];

#[test]
fn departments_show_actual_amortized_and_the_causes() {
    let definition = department_month();
    let mut rollup = Rollup::new(Arc::clone(&definition));
    for partial in partials(&definition, Metric::Actual, ACTUAL) {
        rollup.merge(partial);
    }
    for partial in partials(&definition, Metric::Amortized, AMORTIZED) {
        rollup.merge(partial);
    }
    assert_eq!(rollup.total("actual_cost").unwrap().to_string(), "96.010000000000000000000001");
    assert_eq!(rollup.total("other_difference").unwrap().to_string(), "0");

    let table = rollup.finish().unwrap();
    let columns = [0, 1, 3, 4, 5, 6, 7, 8, 9, 10];
    let cells: Vec<Vec<String>> = (0..table.num_rows())
        .map(|row| {
            let cell = |column: &usize| array_value_to_string(table.column(*column), row).unwrap();
            columns.iter().map(cell).collect()
        })
        .collect();
    let zero = "0.000000000000000000000000";
    let row = |id: &str| cells.iter().find(|cells| cells[0] == id).unwrap().clone();
    assert_eq!(row("12")[1], "Research & Development");
    assert_eq!(row("12")[2], "91.000000000000000000000001");
    assert_eq!(row("12")[3], "11.000000000000000000000001");
    assert_eq!(row("12")[4], "-80.000000000000000000000000");
    assert_eq!(row("12")[5], "100.000000000000000000000000");
    assert_eq!(row("12")[6], "-20.000000000000000000000000");
    assert_eq!(row("12")[9], zero);
    assert_eq!(row("34")[7], "30.000000000000000000000000");
    assert_eq!(row("sales")[2], "5.000000000000000000000000");
    assert_eq!(row("unassigned")[8], "3.000000000000000000000000");
    assert_eq!(cells.len(), 4);
}

#[test]
fn the_order_of_batches_does_not_matter() {
    let definition = department_month();
    let table = |reversed: bool| {
        let mut rollup = Rollup::new(Arc::clone(&definition));
        let mut all = partials(&definition, Metric::Actual, ACTUAL);
        all.extend(partials(&definition, Metric::Amortized, AMORTIZED));
        if reversed {
            all.reverse();
        }
        all.into_iter().for_each(|partial| rollup.merge(partial));
        rollup.finish().unwrap()
    };
    assert_eq!(table(false), table(true));
}

#[test]
fn a_metric_that_was_not_read_is_unknown_and_not_nothing() {
    let definition = department_month();
    let mut rollup = Rollup::new(Arc::clone(&definition));
    partials(&definition, Metric::Actual, ACTUAL).into_iter().for_each(|p| rollup.merge(p));
    let nulls = |rollup: &Rollup| {
        let table = rollup.finish().unwrap();
        let null = |name: &str| table.column_by_name(name).unwrap().null_count() > 0;
        ["actual_cost", "amortized_cost", "difference", "amortized_rows"].map(null)
    };
    assert_eq!(nulls(&rollup), [false, true, true, true]);
    rollup.add_metric(Metric::Amortized);
    assert_eq!(nulls(&rollup), [false; 4]);
}

#[test]
fn sums_beyond_128_bits_are_taken_in_parts() {
    let definition = department_month();
    let row = "07/01/2025,99999999999999,EUR,12,Research,Usage,OnDemand,Azure";
    let mut rollup = Rollup::new(Arc::clone(&definition));
    partials(&definition, Metric::Actual, &[row; 3]).into_iter().for_each(|p| rollup.merge(p));
    assert_eq!(rollup.total("actual_cost").unwrap().to_string(), "299999999999997");
    let error = rollup.finish().unwrap_err().to_string();
    assert!(error.contains("299999999999997 does not fit decimal(38,24)"), "{error}");
}
