"""Reads a lake with DuckDB, pyarrow and Polars, and the CSV files behind it with Python's csv and
decimal, and demands the same rows and the same exact sums everywhere.

    check_lake.py FILES LAKE

FILES is what `costlake simulate generate` wrote, LAKE what `costlake convert` made of it. Nothing of
costlake is used: charge classes and departments are taken from reference/cost-data.md, 5 and 6.
"""

import csv
import decimal
import pathlib
import sys
from collections import Counter, defaultdict
from datetime import date, datetime
from decimal import Decimal

import duckdb
import polars
import pyarrow
import pyarrow.compute
import pyarrow.dataset

METRICS = {"actual": "actual", "amortized": "amortized"}
COMMITMENTS = ("Reservation", "SavingsPlan")
SUMS = (
    "actual_cost amortized_cost commitment_purchases commitment_refunds used_shares unused_shares "
    "on_demand spot marketplace rounding"
).split()
MEASURES = [*SUMS, "difference", "other_difference", "actual_rows", "amortized_rows"]
KEYS = ("metric", "billing_period", "scope")
ROW = [*KEYS, "charge_date", "subscription_id", "resource_id", "meter_id", "department_name", "cost"]
SCOPE = "billing-account-8608480"
FLOOR = Decimal("12.5")

decimal.getcontext().prec = 90


def stored(text):
    """The amount as the format keeps it: 24 fraction digits, half-even."""
    return Decimal(text).quantize(Decimal(1).scaleb(-24), rounding=decimal.ROUND_HALF_EVEN)


def source_rows(files):
    for path in sorted(pathlib.Path(files).glob("*/*/*.csv")):
        metric, month = path.parts[-3], path.parts[-2]
        with open(path, encoding="utf-8-sig", newline="") as text:
            for row in csv.DictReader(text):
                yield METRICS[metric], f"{month[:4]}-{month[4:]}", row


def department(row):
    identifier, name = row["InvoiceSectionId"], row["InvoiceSectionName"]
    if identifier not in ("", "-2"):
        return identifier
    return name if name not in ("", "Unassigned") else "unassigned"


def measures_of(metric, row):
    """The measures that a row counts into."""
    charge, model = row["ChargeType"], row["PricingModel"]
    third_party, commitment = row["PublisherType"] == "Marketplace", model in COMMITMENTS
    yield f"{metric}_cost"
    if metric == "amortized":
        if charge == "Usage" and commitment:
            yield "used_shares"
        if charge in ("UnusedReservation", "UnusedSavingsPlan"):
            yield "unused_shares"
        return
    if third_party:
        yield "marketplace"
    elif charge == "Purchase" and commitment:
        yield "commitment_purchases"
    elif charge == "Refund" and commitment:
        yield "commitment_refunds"
    elif charge == "RoundingAdjustment":
        yield "rounding"
    elif charge == "Usage" and model == "Spot":
        yield "spot"
    elif charge == "Usage" and model == "OnDemand":
        yield "on_demand"


def expected_of(files):
    """Rows, sums per department, and department_month, from the CSV text."""
    rows, sums, months, names = Counter(), defaultdict(Decimal), {}, {}
    for metric, month, row in source_rows(files):
        cost, key = stored(row["CostInBillingCurrency"]), department(row)
        day = datetime.strptime(row["Date"], "%m/%d/%Y").date()
        optional = [row[name] or None for name in ("SubscriptionId", "ResourceId", "MeterId")]
        name = row["InvoiceSectionName"] or None
        rows[(metric, month, SCOPE, day, *optional, name, cost)] += 1
        sums[(metric, month, key)] += cost
        group = months.setdefault((month, key, row["BillingCurrencyCode"]), defaultdict(Decimal))
        group[f"{metric}_rows"] += 1
        for measure in measures_of(metric, row):
            group[measure] += cost
        seen = names.setdefault((month, key), (day, set()))
        if day > seen[0]:
            seen = names[(month, key)] = (day, set())
        if day == seen[0] and name and name != "Unassigned":
            seen[1].add(name)
    for group in months.values():
        explained = group["used_shares"] + group["unused_shares"]
        explained -= group["commitment_purchases"] + group["commitment_refunds"]
        group["difference"] = group["amortized_cost"] - group["actual_cost"]
        group["other_difference"] = group["difference"] - explained
    return rows, dict(sums), months, names


def duckdb_rows(lake, table, columns, floor=None):
    where = f"where cost >= {floor}::decimal(38,24)" if floor is not None else ""
    glob = f"{lake}/{table}/**/data.parquet"
    query = f"select {', '.join(columns)} from read_parquet('{glob}', hive_partitioning = true) {where}"
    return duckdb.connect().execute(query).fetchall()


def pyarrow_rows(lake, table, columns, floor=None):
    dataset = pyarrow.dataset.dataset(f"{lake}/{table}", format="parquet", partitioning="hive")
    limit = pyarrow.scalar(floor, pyarrow.decimal128(38, 24)) if floor is not None else None
    wanted = pyarrow.compute.field("cost") >= limit if floor is not None else None
    batch = dataset.to_table(columns=columns, filter=wanted)
    return list(zip(*(batch[name].to_pylist() for name in columns)))


def polars_rows(lake, table, columns, floor=None):
    frame = polars.scan_parquet(f"{lake}/{table}/**/data.parquet", hive_partitioning=True)
    if floor is not None:
        frame = frame.filter(polars.col("cost") >= polars.lit(floor, polars.Decimal(38, 24)))
    return frame.select(columns).collect().rows()


READERS = {"DuckDB": duckdb_rows, "pyarrow": pyarrow_rows, "Polars": polars_rows}


def month_text(value):
    return value.strftime("%Y-%m") if isinstance(value, date) else str(value)


def native_sums(lake):
    """Sums that the engines compute themselves, per metric and month."""
    glob = f"{lake}/cost_line_items/**/data.parquet"
    query = f"select metric, billing_period, sum(cost) from read_parquet('{glob}', hive_partitioning = true) group by all"
    yield "DuckDB", duckdb.connect().execute(query).fetchall()
    dataset = pyarrow.dataset.dataset(f"{lake}/cost_line_items", format="parquet", partitioning="hive")
    table = dataset.to_table(columns=["metric", "billing_period", "cost"])
    table = table.group_by(["metric", "billing_period"]).aggregate([("cost", "sum")])
    yield "pyarrow", list(zip(*(table[name].to_pylist() for name in ("metric", "billing_period", "cost_sum"))))
    frame = polars.scan_parquet(glob, hive_partitioning=True)
    frame = frame.group_by("metric", "billing_period").agg(polars.col("cost").sum())
    yield "Polars", frame.collect().rows()


def check(what, found, expected):
    if found != expected:
        extra = [item for item in found if item not in expected or found[item] != expected[item]]
        missing = [item for item in expected if item not in found]
        show = [(item, found[item], expected.get(item)) for item in extra[:5]]
        sys.exit(f"{what} differs: {len(extra)} found {show}, {len(missing)} missing {missing[:5]}")
    print(f"ok: {what}")


def check_department_month(name, read, lake, months, names):
    columns = ["billing_period", "scope", "department_id", "department_name", "billing_currency", *MEASURES]
    found = {}
    for month, scope, key, shown, currency, *values in read(lake, "department_month", columns):
        assert scope == SCOPE, scope
        month = month_text(month)
        candidates = names[(month, key)][1] or {None}
        assert shown in candidates, f"{name}: {month} {key} is shown as {shown!r}, not {candidates}"
        found[(month, key, currency)] = dict(zip(MEASURES, values))
    expected = {group: {measure: sums[measure] for measure in MEASURES} for group, sums in months.items()}
    check(f"{name}: department_month", found, expected)
    for group, row in found.items():
        explained = row["used_shares"] + row["unused_shares"] + row["other_difference"]
        explained -= row["commitment_purchases"] + row["commitment_refunds"]
        assert row["difference"] == explained, f"{name}: {group}: {row}"
        assert row["difference"] == row["amortized_cost"] - row["actual_cost"], f"{name}: {group}: {row}"


def main(files, lake):
    rows, sums, months, names = expected_of(files)
    assert sum(rows.values()) > 1000, "too few rows to mean anything"
    assert any(row[-1] >= FLOOR for row in rows) and any(row[-1] < FLOOR for row in rows)
    for name, read in READERS.items():
        found = Counter()
        for metric, month, *rest in read(lake, "cost_line_items", ROW):
            found[(metric, month_text(month), *rest)] += 1
        check(f"{name}: rows", found, rows)
        keys = [*KEYS[:2], "department_id", "department_name", "cost"]
        departments = defaultdict(Decimal)
        for metric, month, identifier, shown, cost in read(lake, "cost_line_items", keys):
            key = department({"InvoiceSectionId": identifier or "", "InvoiceSectionName": shown or ""})
            departments[(metric, month_text(month), key)] += cost
        check(f"{name}: cost per department", dict(departments), sums)
        filtered = Counter()
        for metric, month, *rest in read(lake, "cost_line_items", ROW, FLOOR):
            filtered[(metric, month_text(month), *rest)] += 1
        wanted = Counter({row: count for row, count in rows.items() if row[-1] >= FLOOR})
        check(f"{name}: filter on cost", filtered, wanted)
        check_department_month(name, read, lake, months, names)
    totals = defaultdict(Decimal)
    for (metric, month, _), cost in sums.items():
        totals[(metric, month)] += cost
    for name, found in native_sums(lake):
        check(f"{name}: its own sums", {(metric, month_text(month)): cost for metric, month, cost in found}, dict(totals))


main(*sys.argv[1:])
