//! Reconciliation against sums taken by hand, and what holds of every month.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Decimal128Array, Int64Array, RecordBatch, StringArray,
};
use arrow::datatypes::{Date32Type, i256};
use arrow::util::display::array_value_to_string;
use chrono::NaiveDate;
use costlake_model::columns::{commitment_reconciliation_schema, reconciliation_schema};
use costlake_model::{BillingPeriod, ChargeClass, ExactSum, Metric};
use costlake_transform::reconcile::allocation::split;
use costlake_transform::reconcile::{
    ClassCosts, CommitmentFigures, CommitmentMonth, CommitmentName, CommitmentShare, Department,
    DepartmentCosts, DepartmentDifference, Error, Ledger, Policy, class_costs,
    commitment_reconciliation_batch, commitment_shares, department_costs, departments,
    reconciliation_batch, share_back, totals_by_currency,
};
use proptest::prelude::*;

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn period(text: &str) -> BillingPeriod {
    text.parse().unwrap()
}

fn sum(text: &str) -> ExactSum {
    ExactSum::parse(text).unwrap()
}

fn department(id: &str) -> Department {
    Department { id: id.to_owned(), name: Some(format!("Department {id}")) }
}

/// A reservation's row of a month in EUR without amounts.
fn share(commitment: &str, id: &str) -> CommitmentShare {
    CommitmentShare {
        commitment_id: commitment.to_owned(),
        department: department(id),
        billing_currency: "EUR".to_owned(),
        commitment_purchases: Some(ExactSum::ZERO),
        commitment_refunds: Some(ExactSum::ZERO),
        used_shares: Some(ExactSum::ZERO),
        unused_shares: Some(ExactSum::ZERO),
        first_purchase: None,
        last_purchase: None,
        last_refund: None,
        first_share: None,
        last_share: None,
        one_time_purchases: Some(0),
        actual_reservation_rows: Some(1),
        amortized_reservation_rows: Some(1),
        actual_rows: Some(1),
        amortized_rows: Some(1),
    }
}

fn paid(commitment: &str, id: &str, amount: &str, on: &str) -> CommitmentShare {
    CommitmentShare {
        commitment_purchases: Some(sum(amount)),
        first_purchase: Some(day(on)),
        last_purchase: Some(day(on)),
        one_time_purchases: Some(1),
        ..share(commitment, id)
    }
}

fn monthly(commitment: &str, id: &str, amount: &str, on: &str) -> CommitmentShare {
    CommitmentShare { one_time_purchases: Some(0), ..paid(commitment, id, amount, on) }
}

fn given_back(commitment: &str, id: &str, amount: &str, on: &str) -> CommitmentShare {
    CommitmentShare {
        commitment_refunds: Some(sum(amount)),
        last_refund: Some(day(on)),
        ..share(commitment, id)
    }
}

fn consumed(commitment: &str, id: &str, amounts: [&str; 2], days: [&str; 2]) -> CommitmentShare {
    CommitmentShare {
        used_shares: Some(sum(amounts[0])),
        unused_shares: Some(sum(amounts[1])),
        first_share: Some(day(days[0])),
        last_share: Some(day(days[1])),
        ..share(commitment, id)
    }
}

fn month(text: &str, rows: Vec<CommitmentShare>) -> CommitmentMonth {
    let period = period(text);
    let metrics = Metric::ALL.into();
    CommitmentMonth {
        period,
        metrics,
        last_charge_date: period.last_day(),
        names: names(&rows),
        rows,
    }
}

/// Each commitment under its name, and for a year where it is bought.
fn names(rows: &[CommitmentShare]) -> Vec<CommitmentName> {
    let name = |row: &CommitmentShare| CommitmentName {
        commitment_id: row.commitment_id.clone(),
        billing_currency: row.billing_currency.clone(),
        name: Some(format!("Commitment {}", row.commitment_id)),
        term: row.first_purchase.map(|_| "1 Year".to_owned()),
    };
    rows.iter().map(name).collect()
}

fn ledger(months: &[CommitmentMonth]) -> Ledger {
    let mut ledger = Ledger::new();
    months.iter().for_each(|month| ledger.absorb(month).unwrap());
    ledger
}

/// What a commitment's row says in short: state, balance, utilisation to date and in the month.
fn in_short(row: &CommitmentFigures) -> String {
    let state = row.state.map_or("?", |state| state.name());
    let balance = row.balance.map_or("?".to_owned(), |balance| balance.to_string());
    let rate = |rate: Option<i128>| rate.map_or("?".to_owned(), |rate| rate.to_string());
    let (to_date, in_month) = (rate(row.utilisation_to_date), rate(row.utilisation_in_month));
    format!("{} {state} {balance} {to_date} {in_month}", row.commitment_id)
}

#[track_caller]
fn check(months: &[CommitmentMonth], expected: &[&str]) {
    let rows = ledger(months).figures().unwrap();
    assert_eq!(rows.iter().map(in_short).collect::<Vec<_>>(), expected);
}

#[test]
fn a_commitment_paid_at_once_is_consumed_to_nothing() {
    let mut january = month(
        "2025-01",
        vec![
            paid("r", "12", "59", "2025-01-01"),
            consumed("r", "13", ["20", "11"], ["2025-01-01", "2025-01-31"]),
        ],
    );
    january.names[0].term = Some("2".to_owned());
    let february =
        month("2025-02", vec![consumed("r", "13", ["28", "0"], ["2025-02-01", "2025-02-28"])]);
    check(std::slice::from_ref(&january), &["r active 28 645161 645161"]);
    check(&[january.clone(), february.clone()], &["r ended 0 813559 1000000"]);
    check(&[january, february, month("2025-03", vec![])], &["r ended 0 813559 ?"]);
}

#[test]
fn a_commitment_paid_monthly_is_near_nothing_all_along() {
    let months = [
        month("2024-12", vec![]),
        month(
            "2025-01",
            vec![
                monthly("p", "12", "30", "2025-01-01"),
                consumed("p", "12", ["31", "0"], ["2025-01-01", "2025-01-31"]),
            ],
        ),
        month(
            "2025-02",
            vec![
                monthly("p", "12", "30", "2025-02-01"),
                consumed("p", "12", ["28", "0"], ["2025-02-01", "2025-02-28"]),
            ],
        ),
    ];
    check(&months[..2], &["p active -1 1000000 1000000"]);
    check(&months, &["p active 1 1000000 1000000"]);
    check(&months[1..], &["p bought_before ? 1000000 1000000"]);
    check(&months[2..], &["p bought_before ? 1000000 1000000"]);
}

#[test]
fn a_cancelled_commitment_has_no_balance_left() {
    let months = [
        month(
            "2025-01",
            vec![
                paid("r", "12", "365", "2025-01-01"),
                consumed("r", "unassigned", ["0", "31"], ["2025-01-01", "2025-01-31"]),
            ],
        ),
        month(
            "2025-02",
            vec![
                given_back("r", "unassigned", "-324", "2025-02-11"),
                consumed("r", "unassigned", ["0", "10"], ["2025-02-01", "2025-02-10"]),
            ],
        ),
    ];
    check(&months, &["r ended 0 0 0"]);
    let row = &ledger(&months).figures().unwrap()[0];
    assert_eq!(row.end_date, Some(day("2025-02-11")));
    assert_eq!((row.remaining_days, row.term_months), (Some(0), Some(12)));
    let bought_by: Vec<String> =
        row.bought_by.iter().map(|(id, sum)| format!("{id} {sum}")).collect();
    assert_eq!(bought_by, ["12 365", "unassigned -324"]);
    assert_eq!(row.used_by, BTreeMap::new());
}

#[test]
fn currencies_are_kept_apart() {
    let dollars =
        |row: CommitmentShare| CommitmentShare { billing_currency: "USD".to_owned(), ..row };
    let january = month(
        "2025-01",
        vec![
            paid("r", "12", "100", "2025-01-05"),
            dollars(consumed("r", "12", ["9", "0"], ["2025-01-05", "2025-01-31"])),
            consumed("r", "12", ["5", "0"], ["2025-01-05", "2025-01-31"]),
        ],
    );
    check(&[january], &["r active 95 1000000 1000000", "r bought_before ? 1000000 1000000"]);
}

#[test]
fn a_balance_is_unknown_where_a_metric_of_a_month_is() {
    let january = month("2025-01", vec![paid("r", "12", "100", "2025-01-05")]);
    let unread = CommitmentShare { used_shares: None, unused_shares: None, ..share("r", "12") };
    check(std::slice::from_ref(&january), &["r active 100 ? ?"]);
    let unknown = month("2025-02", vec![unread]);
    check(&[january.clone(), unknown.clone()], &["r active ? ? ?"]);
    check(&[january.clone(), unknown, month("2025-03", vec![])], &["r active ? ? ?"]);
    check(&[january.clone(), month("2025-03", vec![])], &["r active ? ? ?"]);
    let actual_only =
        CommitmentMonth { metrics: [Metric::Actual].into(), ..month("2025-02", vec![]) };
    check(&[january, actual_only], &["r active ? ? ?"]);
}

#[test]
fn commitments_that_nobody_names_have_sums_and_nothing_else() {
    let plan = CommitmentShare {
        actual_reservation_rows: Some(0),
        amortized_reservation_rows: Some(0),
        ..consumed("unknown", "13", ["1", "3"], ["2025-01-05", "2025-01-31"])
    };
    let ledger = ledger(&[month("2025-01", vec![paid("unknown", "12", "10", "2025-01-05"), plan])]);
    let rows = ledger.figures().unwrap();
    assert_eq!(in_short(&rows[0]), "unknown ? ? 250000 250000");
    assert_eq!((rows[0].commitment_type, rows[0].term_months), (None, None));
    assert_eq!((rows[0].start_date, rows[0].end_date), (None, None));
    assert_eq!(rows[0].purchases_to_date.to_string(), "10");
}

#[test]
fn months_come_in_order() {
    let mut ledger = ledger(&[month("2025-02", vec![])]);
    for text in ["2025-02", "2025-01"] {
        let error = ledger.absorb(&month(text, vec![])).unwrap_err();
        assert_eq!(error, Error::OutOfOrder { period: period(text), last: period("2025-02") });
    }
    assert_eq!(ledger.period(), Some(period("2025-02")));
}

/// A row of departments with these amortized costs, all of them unused shares.
fn unused(id: &str, amount: &str) -> DepartmentDifference {
    let costs = DepartmentCosts {
        department: department(id),
        billing_currency: "EUR".to_owned(),
        actual_cost: Some(ExactSum::ZERO),
        amortized_cost: Some(sum(amount)),
    };
    let classes = ClassCosts {
        department: department(id),
        charge_class: "unused_reservation".to_owned(),
        billing_currency: "EUR".to_owned(),
        actual_cost: Some(ExactSum::ZERO),
        amortized_cost: Some(sum(amount)),
    };
    let Ok(mut rows) = departments(&Metric::ALL.into(), &[costs], &[classes]) else {
        panic!("unknown")
    };
    rows.remove(0)
}

#[track_caller]
fn check_shared_back(policy: Policy, months: &[CommitmentMonth], expected: &[&str]) {
    let rows = vec![unused("13", "1"), unused("unassigned", "10")];
    let shared = share_back(policy, rows, months.last().unwrap(), &ledger(months)).unwrap();
    let text = |row: &DepartmentDifference| {
        let amortized = row.amortized_shared_back().unwrap();
        format!("{} {} {amortized}", row.department.id, row.shared_back.unwrap().amount)
    };
    assert_eq!(shared.iter().map(text).collect::<Vec<_>>(), expected);
}

#[test]
fn unused_shares_go_where_the_policy_says() {
    let days = ["2025-02-01", "2025-02-28"];
    let months = [
        month(
            "2025-01",
            vec![paid("r", "12", "20", "2025-01-05"), paid("r", "11", "10", "2025-01-05")],
        ),
        month(
            "2025-02",
            vec![
                consumed("r", "13", ["3", "0"], days),
                consumed("r", "14", ["-1", "0"], days),
                consumed("r", "unassigned", ["0", "10"], days),
                consumed("unknown", "13", ["0", "1"], days),
            ],
        ),
    ];
    check_shared_back(Policy::Central, &months, &["13 1 1", "unassigned 10 10"]);
    check_shared_back(
        Policy::Owner,
        &months,
        &[
            "11 3.333333333333333333333333 3.333333333333333333333333",
            "12 6.666666666666666666666667 6.666666666666666666666667",
            "13 1 1",
            "unassigned 0 0",
        ],
    );
    check_shared_back(Policy::ByUsage, &months, &["13 11 11", "unassigned 0 0"]);
}

#[test]
fn where_nobody_used_it_the_owners_pay_and_where_nobody_bought_it_shares_stay() {
    let days = ["2025-02-01", "2025-02-28"];
    let shares = month("2025-02", vec![consumed("r", "unassigned", ["0", "10"], days)]);
    let owned = [month("2025-01", vec![paid("r", "12", "20", "2025-01-05")]), shares.clone()];
    check_shared_back(Policy::ByUsage, &owned, &["12 10 10", "13 1 1", "unassigned 0 0"]);
    for policy in Policy::ALL {
        check_shared_back(policy, std::slice::from_ref(&shares), &["13 1 1", "unassigned 10 10"]);
    }
}

#[test]
fn sums_to_date_must_end_with_the_month() {
    let ledger = ledger(&[month("2025-01", vec![])]);
    let error = share_back(Policy::Owner, vec![], &month("2025-02", vec![]), &ledger).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot share back the month 2025-02: the sums to date end with 2025-01"
    );
}

#[test]
fn policies_are_read_by_name() {
    for policy in Policy::ALL {
        assert_eq!(policy.to_string().parse(), Ok(policy));
    }
    assert_eq!(
        "usage".parse::<Policy>().unwrap_err().to_string(),
        "`usage` is no policy: expected central, owner or by-usage"
    );
}

/// The cells of a row, null as `-`.
fn cells(batch: &RecordBatch, row: usize) -> Vec<String> {
    let cell = |column: &ArrayRef| {
        if column.is_null(row) {
            "-".to_owned()
        } else {
            array_value_to_string(column, row).unwrap()
        }
    };
    batch.columns().iter().map(cell).collect()
}

#[test]
fn departments_are_written_with_causes_and_parts() {
    let mut rows = vec![unused("12", "2.5")];
    rows[0].figures.other_by_class = [("tax_or_credit", "1"), ("other", "-1")]
        .map(|(class, amount)| (class.to_owned(), sum(amount)))
        .into();
    let batch = reconciliation_batch(&rows).unwrap();
    assert_eq!(batch.schema(), reconciliation_schema());
    let zero = "0.000000000000000000000000";
    let amount = "2.500000000000000000000000";
    let other = r#"{"other":"-1","tax_or_credit":"1"}"#;
    assert_eq!(
        cells(&batch, 0),
        [
            "12",
            "Department 12",
            "EUR",
            zero,
            amount,
            amount,
            zero,
            zero,
            zero,
            amount,
            zero,
            zero,
            other,
            "-",
            "-",
            "-"
        ]
    );
    let january = month("2025-01", vec![]);
    let rows = share_back(Policy::Owner, rows, &january, &ledger(std::slice::from_ref(&january)));
    let batch = reconciliation_batch(&rows.unwrap()).unwrap();
    assert_eq!(&cells(&batch, 0)[13..], ["owner", amount, amount]);
}

#[test]
fn commitments_are_written_with_their_departments() {
    let days = ["2025-01-05", "2025-01-31"];
    let mut rows = vec![
        paid("r", "b", "365", "2025-01-05"),
        paid("r", "a", "0.5", "2025-01-05"),
        consumed("r", "13", ["2", "1"], days),
        consumed("s", "13", ["1", "0"], days),
    ];
    rows[3].actual_reservation_rows = Some(0);
    rows[3].amortized_reservation_rows = Some(0);
    let ledger = ledger(&[month("2025-01", rows)]);
    let batch = commitment_reconciliation_batch(&ledger.figures().unwrap()).unwrap();
    assert_eq!(batch.schema(), commitment_reconciliation_schema());
    let number = |integer: &str| format!("{integer}.{}", "0".repeat(24));
    let expected = [
        "r",
        "Commitment r",
        "reservation",
        "EUR",
        "active",
        "12",
        "2025-01-05",
        "2026-01-05",
        "338",
        "365.500000000000000000000000",
        &number("0"),
        &number("2"),
        &number("1"),
        "362.500000000000000000000000",
        "0.666667",
        "0.666667",
        r#"{"a":"0.5","b":"365"}"#,
        r#"{"13":"2"}"#,
    ];
    assert_eq!(cells(&batch, 0), expected);
    let expected = [
        "s",
        "Commitment s",
        "savings_plan",
        "EUR",
        "bought_before",
        "-",
        "-",
        "-",
        "-",
        &number("0"),
        &number("0"),
        &number("1"),
        &number("0"),
        "-",
        "1.000000",
        "1.000000",
        "-",
        r#"{"13":"1"}"#,
    ];
    assert_eq!(cells(&batch, 1), expected);
}

#[test]
fn sums_that_no_column_holds_are_errors() {
    let mut rows = vec![unused("12", "1")];
    rows[0].figures.actual_cost = sum("100000000000000");
    let error = reconciliation_batch(&rows).unwrap_err();
    assert_eq!(error.to_string(), "actual_cost of 12: 100000000000000 does not fit decimal(38,24)");
}

fn decimals(values: impl Iterator<Item = Option<ExactSum>>) -> ArrayRef {
    let stored = values.map(|value| value.map(|value| value.to_stored().unwrap()));
    Arc::new(stored.collect::<Decimal128Array>().with_precision_and_scale(38, 24).unwrap())
}

/// The rows as the rollup `commitment_department_month` would have them.
fn commitment_batch(rows: &[CommitmentShare]) -> RecordBatch {
    let texts = |text: &dyn Fn(&CommitmentShare) -> Option<String>| {
        Arc::new(rows.iter().map(text).collect::<StringArray>()) as ArrayRef
    };
    let days = |day: &dyn Fn(&CommitmentShare) -> Option<NaiveDate>| {
        let day = |row| day(row).map(Date32Type::from_naive_date);
        Arc::new(rows.iter().map(day).collect::<Date32Array>()) as ArrayRef
    };
    let counts = |count: &dyn Fn(&CommitmentShare) -> Option<i64>| {
        Arc::new(rows.iter().map(count).collect::<Int64Array>()) as ArrayRef
    };
    let columns = [
        ("commitment_id", texts(&|row| Some(row.commitment_id.clone()))),
        ("department_id", texts(&|row| Some(row.department.id.clone()))),
        ("department_name", texts(&|row| row.department.name.clone())),
        ("billing_currency", texts(&|row| Some(row.billing_currency.clone()))),
        ("commitment_purchases", decimals(rows.iter().map(|row| row.commitment_purchases))),
        ("commitment_refunds", decimals(rows.iter().map(|row| row.commitment_refunds))),
        ("used_shares", decimals(rows.iter().map(|row| row.used_shares))),
        ("unused_shares", decimals(rows.iter().map(|row| row.unused_shares))),
        ("first_purchase", days(&|row| row.first_purchase)),
        ("last_purchase", days(&|row| row.last_purchase)),
        ("last_refund", days(&|row| row.last_refund)),
        ("first_share", days(&|row| row.first_share)),
        ("last_share", days(&|row| row.last_share)),
        ("one_time_purchases", counts(&|row| row.one_time_purchases)),
        ("actual_reservation_rows", counts(&|row| row.actual_reservation_rows)),
        ("amortized_reservation_rows", counts(&|row| row.amortized_reservation_rows)),
        ("actual_rows", counts(&|row| row.actual_rows)),
        ("amortized_rows", counts(&|row| row.amortized_rows)),
    ];
    let columns = columns.map(|(name, values)| (name, values, true));
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

#[test]
fn days_that_no_calendar_has_are_errors() {
    let batch = commitment_batch(&[share("r", "12")]);
    let at = batch.schema().index_of("last_refund").unwrap();
    let mut columns = batch.columns().to_vec();
    columns[at] = Arc::new(Date32Array::from(vec![i32::MAX]));
    let batch = RecordBatch::try_new(batch.schema(), columns).unwrap();
    assert_eq!(
        commitment_shares(&batch).unwrap_err().to_string(),
        "commitment_department_month: column last_refund has no possible day in row 0"
    );
}

/// Amounts, most of them small, some with all digits.
fn amount() -> impl Strategy<Value = i128> {
    prop_oneof![
        3 => -5_i128..20,
        1 => -10_i128.pow(34)..10_i128.pow(34),
        1 => Just(0),
    ]
}

fn some_amount() -> impl Strategy<Value = Option<ExactSum>> {
    amount().prop_map(|amount| Some(ExactSum::from_stored(amount)))
}

/// Any day of the calendar, most of them of the months in question.
fn some_day() -> impl Strategy<Value = Option<NaiveDate>> {
    let offset = |days: i32| NaiveDate::from_epoch_days(days);
    prop_oneof![
        3 => (20_089..20_270).prop_map(offset),
        1 => Just(None),
        1 => prop_oneof![Just(Some(NaiveDate::MIN)), Just(Some(NaiveDate::MAX))],
    ]
}

prop_compose! {
    fn any_share()(
        commitment in prop_oneof![Just("r"), Just("s"), Just("unknown")],
        id in prop_oneof![Just("1"), Just("a"), Just("A"), Just("unassigned")],
        billing_currency in prop_oneof![4 => Just("EUR"), 1 => Just("USD")],
        amounts in [some_amount(), some_amount(), some_amount(), some_amount()],
        days in [some_day(), some_day(), some_day(), some_day(), some_day()],
        counts in [0_i64..3, 0..3, 0..3],
    ) -> CommitmentShare {
        let [commitment_purchases, commitment_refunds, used_shares, unused_shares] = amounts;
        let [first_purchase, last_purchase, last_refund, first_share, last_share] = days;
        CommitmentShare {
            billing_currency: billing_currency.to_owned(),
            commitment_purchases,
            commitment_refunds,
            used_shares,
            unused_shares,
            first_purchase,
            last_purchase,
            last_refund,
            first_share,
            last_share,
            one_time_purchases: Some(counts[0]),
            actual_reservation_rows: Some(counts[1]),
            actual_rows: Some(counts[1] + counts[2]),
            ..share(commitment, id)
        }
    }
}

/// Months in order, some of them left out.
fn any_months() -> impl Strategy<Value = Vec<CommitmentMonth>> {
    let rows = prop::collection::vec(any_share(), 0..8);
    let month = prop::option::weighted(0.9, rows);
    prop::collection::vec(month, 1..5).prop_map(|months| {
        let dated = (0..).zip(months).filter_map(|(at, rows)| {
            let period = period("2025-01").plus_months(at);
            let last_charge_date = period.last_day();
            let rows = rows?;
            let names = names(&rows);
            Some(CommitmentMonth {
                period,
                metrics: Metric::ALL.into(),
                last_charge_date,
                names,
                rows,
            })
        });
        dated.collect()
    })
}

/// By commitment and currency, the sum of an amount over all rows.
fn plain_sums(
    months: &[CommitmentMonth],
    amount: fn(&CommitmentShare) -> Option<ExactSum>,
) -> BTreeMap<(String, String), ExactSum> {
    let mut sums = BTreeMap::new();
    for row in months.iter().flat_map(|month| &month.rows) {
        let key = (row.commitment_id.clone(), row.billing_currency.clone());
        *sums.entry(key).or_default() += amount(row).unwrap();
    }
    sums
}

fn sums_to_date(
    rows: &[CommitmentFigures],
    amount: fn(&CommitmentFigures) -> ExactSum,
) -> BTreeMap<(String, String), ExactSum> {
    let key = |row: &CommitmentFigures| (row.commitment_id.clone(), row.billing_currency.clone());
    rows.iter().map(|row| (key(row), amount(row))).collect()
}

/// The tables of departments that fit a month: its unused shares, and other charges.
fn tables_of(
    month: &CommitmentMonth,
    others: Vec<ClassCosts>,
) -> (Vec<DepartmentCosts>, Vec<ClassCosts>) {
    let shares = month.rows.iter().map(|row| ClassCosts {
        department: row.department.clone(),
        charge_class: "unused_reservation".to_owned(),
        billing_currency: row.billing_currency.clone(),
        actual_cost: Some(ExactSum::ZERO),
        amortized_cost: row.unused_shares,
    });
    let classes: Vec<ClassCosts> = shares.chain(others).collect();
    let costs = classes.iter().map(|class| DepartmentCosts {
        department: class.department.clone(),
        billing_currency: class.billing_currency.clone(),
        actual_cost: class.actual_cost,
        amortized_cost: class.amortized_cost,
    });
    (costs.collect(), classes)
}

prop_compose! {
    fn any_class()(
        id in prop_oneof![Just("1"), Just("a"), Just("A"), Just("unassigned")],
        class in 0..18_usize,
        billing_currency in prop_oneof![4 => Just("EUR"), 1 => Just("USD")],
        actual_cost in some_amount(),
        amortized_cost in some_amount(),
    ) -> ClassCosts {
        ClassCosts {
            department: department(id),
            charge_class: ChargeClass::ALL.get(class).map_or("new", |class| class.name()).to_owned(),
            billing_currency: billing_currency.to_owned(),
            actual_cost,
            amortized_cost,
        }
    }
}

fn any_amount() -> impl Strategy<Value = i128> {
    prop_oneof![any::<i128>(), -100_i128..100, Just(i128::MIN), Just(i128::MAX)]
}

fn weights() -> impl Strategy<Value = Vec<i128>> {
    let weight = prop_oneof![any_amount(), Just(0), 0..10_i128];
    prop::collection::vec(weight, 0..12)
}

fn wide(value: i128) -> i256 {
    i256::from_i128(value)
}

fn positive(weight: i128) -> i256 {
    wide(weight.max(0))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn parts_add_up_and_are_within_a_unit_of_the_exact_share(
        amount in any_amount(),
        weights in weights(),
    ) {
        let total = weights.iter().fold(i256::ZERO, |sum, w| sum.wrapping_add(positive(*w)));
        let Some(parts) = split(amount, &weights) else {
            prop_assert_eq!(total, i256::ZERO);
            return Ok(());
        };
        let sum = parts.iter().fold(i256::ZERO, |sum, part| sum.wrapping_add(wide(*part)));
        prop_assert_eq!(sum, wide(amount));
        prop_assert_eq!(parts.len(), weights.len());
        for (part, weight) in parts.into_iter().zip(weights) {
            // part - amount * weight / total, in parts of total: the quotient and the rest apart, for
            // part * total may need more than 256 bits.
            let product = wide(amount).checked_mul(positive(weight)).unwrap();
            let quotient = product.checked_div(total).unwrap();
            let rest = product.checked_rem(total).unwrap();
            let off = wide(part).wrapping_sub(quotient);
            let away = if amount < 0 { i256::MINUS_ONE } else { i256::ONE };
            prop_assert!(off == i256::ZERO || (off == away && rest != i256::ZERO));
            prop_assert!(weight > 0 || part == 0);
        }
    }

    #[test]
    fn other_orders_change_ties_only(
        amount in any_amount(),
        weights in weights(),
        turn in 0..12_usize,
    ) {
        let Some(mut parts) = split(amount, &weights) else { return Ok(()) };
        let mut turned = weights.clone();
        turned.rotate_left(turn % weights.len());
        let mut turned_parts = split(amount, &turned).unwrap();
        // Equal weights are the only ties whose parts differ by order: other ties have equal remainders.
        let pairs = |weights: &[i128], parts: &[i128]| -> BTreeMap<i128, Vec<i128>> {
            let mut pairs: BTreeMap<i128, Vec<i128>> = BTreeMap::new();
            for (weight, part) in weights.iter().zip(parts) {
                pairs.entry(*weight).or_default().push(*part);
            }
            pairs.values_mut().for_each(|parts| parts.sort_unstable());
            pairs
        };
        let distinct_remainders = {
            let total = weights.iter().fold(i256::ZERO, |sum, w| sum.wrapping_add(positive(*w)));
            let rest = |w: i128| wide(amount).wrapping_mul(positive(w)).checked_rem(total).unwrap();
            let by_weight: BTreeSet<i128> = weights.iter().map(|w| (*w).max(0)).collect();
            let rests: BTreeSet<i256> = by_weight.iter().map(|w| rest(*w)).collect();
            rests.len() == by_weight.len()
        };
        if distinct_remainders {
            prop_assert_eq!(pairs(&weights, &parts), pairs(&turned, &turned_parts));
        }
        // Whatever the ties, each part moves by a unit at most.
        turned_parts.rotate_right(turn % weights.len());
        parts.iter_mut().zip(turned_parts).for_each(|(part, turned)| *part = part.wrapping_sub(turned));
        prop_assert!(parts.iter().all(|off| (-1..=1).contains(off)));
    }

    #[test]
    fn the_scale_of_weights_does_not_matter(
        amount in any_amount(),
        weights in prop::collection::vec(-10_i128.pow(20)..10_i128.pow(20), 0..12),
        factor in 1..10_i128.pow(18),
    ) {
        let scaled: Vec<i128> = weights.iter().map(|weight| weight * factor).collect();
        prop_assert_eq!(split(amount, &weights), split(amount, &scaled));
    }

    #[test]
    fn whole_multiples_are_split_without_rest(
        unit in -10_i128.pow(18)..10_i128.pow(18),
        weights in prop::collection::vec(0..10_i128.pow(9), 1..12),
    ) {
        let amount = unit * weights.iter().sum::<i128>();
        let expected: Vec<i128> = weights.iter().map(|weight| unit * weight).collect();
        if let Some(parts) = split(amount, &weights) {
            prop_assert_eq!(parts, expected);
        }
    }

    #[test]
    fn sums_to_date_are_plain_sums_over_all_months_and_departments(months in any_months()) {
        let mut ledger = Ledger::new();
        for at in 0..months.len() {
            ledger.absorb(&months[at]).unwrap();
            let rows = ledger.figures().unwrap();
            let so_far = &months[..=at];
            let purchases = plain_sums(so_far, |row| row.commitment_purchases);
            let refunds = plain_sums(so_far, |row| row.commitment_refunds);
            let used = plain_sums(so_far, |row| row.used_shares);
            let unused = plain_sums(so_far, |row| row.unused_shares);
            prop_assert_eq!(&sums_to_date(&rows, |row| row.purchases_to_date), &purchases);
            prop_assert_eq!(&sums_to_date(&rows, |row| row.refunds_to_date), &refunds);
            prop_assert_eq!(&sums_to_date(&rows, |row| row.used_to_date), &used);
            prop_assert_eq!(&sums_to_date(&rows, |row| row.unused_to_date), &unused);
            for row in rows {
                let bought: ExactSum = row.bought_by.into_values().sum();
                prop_assert_eq!(bought, row.purchases_to_date + row.refunds_to_date);
                prop_assert_eq!(row.used_by.into_values().sum::<ExactSum>(), row.used_to_date);
                let rest = row.purchases_to_date + row.refunds_to_date - row.used_to_date - row.unused_to_date;
                prop_assert!(row.balance.is_none_or(|balance| balance == rest));
            }
            let rows = ledger.figures().unwrap();
            prop_assert!(rows.is_sorted_by_key(|row| (row.commitment_id.clone(), row.billing_currency.clone())));
            prop_assert_eq!(commitment_reconciliation_batch(&rows).unwrap().num_rows(), rows.len());
        }
    }

    #[test]
    fn what_is_read_from_a_table_is_what_was_written(rows in prop::collection::vec(any_share(), 0..8)) {
        prop_assert_eq!(commitment_shares(&commitment_batch(&rows)).unwrap(), rows);
    }

    #[test]
    fn causes_explain_the_whole_difference_where_classes_add_up(
        others in prop::collection::vec(any_class(), 0..12),
    ) {
        let (costs, classes) = tables_of(&month("2025-01", vec![]), others);
        let Ok(rows) = departments(&Metric::ALL.into(), &costs, &classes) else { panic!("unknown") };
        for row in &rows {
            prop_assert!(row.figures.residual().is_zero());
            prop_assert!(row.figures.other_by_class.values().all(|other| !other.is_zero()));
        }
        let actual: ExactSum = costs.iter().map(|row| row.actual_cost.unwrap()).sum();
        let totals = totals_by_currency(&rows);
        prop_assert_eq!(totals.values().map(|total| total.actual_cost).sum::<ExactSum>(), actual);
        prop_assert!(totals.values().all(|total| total.residual().is_zero()));
        prop_assert!(rows.is_sorted_by_key(|row| (row.department.id.to_lowercase(), row.billing_currency.clone())));
        prop_assert_eq!(reconciliation_batch(&rows).unwrap().num_rows(), rows.len());
    }

    #[test]
    fn sharing_back_moves_amounts_and_neither_makes_nor_loses_any(
        months in any_months(),
        others in prop::collection::vec(any_class(), 0..6),
        policy in prop_oneof![Just(Policy::Central), Just(Policy::Owner), Just(Policy::ByUsage)],
    ) {
        let Some(month) = months.last() else { return Ok(()) };
        let (costs, classes) = tables_of(month, others);
        let Ok(rows) = departments(&Metric::ALL.into(), &costs, &classes) else { panic!("unknown") };
        let shared = share_back(policy, rows.clone(), month, &ledger(&months)).unwrap();
        let by_currency = |amount: &dyn Fn(&DepartmentDifference) -> ExactSum| {
            let mut sums: BTreeMap<String, ExactSum> = BTreeMap::new();
            for row in &shared {
                *sums.entry(row.billing_currency.clone()).or_default() += amount(row);
            }
            sums
        };
        let unused = by_currency(&|row| row.figures.unused_shares);
        let amortized = by_currency(&|row| row.figures.amortized_cost);
        prop_assert_eq!(by_currency(&|row| row.shared_back.unwrap().amount), unused);
        prop_assert_eq!(by_currency(&|row| row.amortized_shared_back().unwrap()), amortized);
        prop_assert!(shared.iter().all(|row| row.shared_back.unwrap().policy == policy));
        // Rows are added for parts only, and nothing but parts changes.
        let own: Vec<_> = shared.iter().filter(|row| row.figures != Default::default()).collect();
        prop_assert!(own.iter().all(|row| rows.iter().any(|before| before.figures == row.figures)));
        prop_assert!(shared.is_sorted_by_key(|row| (row.department.id.to_lowercase(), row.billing_currency.clone())));
        prop_assert_eq!(reconciliation_batch(&shared).unwrap().num_rows(), shared.len());
    }
}

#[test]
fn tables_of_departments_are_read_from_batches() {
    let texts = |values: [&str; 2]| Arc::new(StringArray::from(values.to_vec())) as ArrayRef;
    let sums = |values: [&str; 2]| decimals(values.into_iter().map(|text| Some(sum(text))));
    let columns = [
        ("department_id", texts(["12", "12"])),
        ("department_name", texts(["Research", "Research"])),
        ("charge_class", texts(["on_demand_usage", "unused_savings_plan"])),
        ("billing_currency", texts(["EUR", "EUR"])),
        ("actual_cost", sums(["3", "0"])),
        ("amortized_cost", sums(["3", "2"])),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let classes = class_costs(&batch).unwrap();
    assert_eq!(classes[1].charge_class, "unused_savings_plan");
    let costs = department_costs(&batch).unwrap();
    let Ok(rows) = departments(&Metric::ALL.into(), &costs, &classes) else { panic!("unknown") };
    assert_eq!(rows[0].figures.unused_shares.to_string(), "2");
    let batch = reconciliation_batch(&rows).unwrap();
    assert_eq!(batch.column(1).as_string::<i32>().value(0), "Research");
}
