"""The main job as scripts for DuckDB and Polars, each the fastest form that was found.

    contenders.py NAME FILES LAKE RESULT

FILES is what `costlake simulate generate` wrote. Each script reads both metrics as typed columns (dates,
decimal(38, 24)), writes zstd Parquet by metric and month below LAKE, then department_month: actual against
amortized cost per department. RESULT gets the sum of cost per metric, as JSON.
"""

import csv
import json
import sys
from decimal import Decimal
from pathlib import Path

DECIMALS = ["Quantity", "EffectivePrice", "CostInBillingCurrency", "UnitPrice", "PayGPrice"]
DATES = ["Date", "BillingPeriodStartDate", "BillingPeriodEndDate"]
DATE_FORMAT = "%m/%d/%Y"
METRICS = ["actual", "amortized"]


def duckdb_job(files: Path, lake: Path) -> dict:
    """Columns are declared, which spares DuckDB two casts a value; reading in any order spares it memory."""
    import duckdb

    types = {name: "DECIMAL(38,24)" for name in DECIMALS} | {name: "DATE" for name in DATES}
    connection = duckdb.connect()
    connection.execute("SET preserve_insertion_order = false")
    for metric, month, folder in partitions(files, lake):
        columns = {name: types.get(name, "VARCHAR") for name in header(month)}
        connection.execute(f"""
            COPY (
                FROM read_csv('{month}/*.csv', header = true, auto_detect = false, delim = ',', quote = '"',
                              escape = '"', dateformat = '{DATE_FORMAT}', columns = {columns})
            ) TO '{folder}/data.parquet' (FORMAT parquet, COMPRESSION zstd)
        """)
    connection.execute(f"""
        COPY (
            SELECT billing_period, InvoiceSectionId,
                   sum(CostInBillingCurrency) FILTER (metric = 'actual') AS actual,
                   sum(CostInBillingCurrency) FILTER (metric = 'amortized') AS amortized
            FROM read_parquet('{lake}/cost_line_items/*/*/*.parquet', hive_partitioning = true)
            GROUP BY ALL
        ) TO '{lake}/department_month.parquet' (FORMAT parquet, COMPRESSION zstd)
    """)
    rollup = connection.execute(f"SELECT actual, amortized FROM '{lake}/department_month.parquet'").fetchall()
    return sums(rollup)


def polars_job(files: Path, lake: Path) -> dict:
    """One scan of the blobs of a month, streamed into Parquet; the rollup reads three columns of that again,
    which costs less than to feed both from one scan."""
    import polars as pl

    decimal = pl.Decimal(38, 24)
    rollups = []
    for metric, month, folder in partitions(files, lake):
        schema = {name: decimal if name in DECIMALS else pl.String for name in header(month)}
        rows = pl.scan_csv(month / "*.csv", schema=schema).with_columns(pl.col(DATES).str.to_date(DATE_FORMAT))
        rows.sink_parquet(folder / "data.parquet", compression="zstd", engine="streaming")
        cost = pl.col("CostInBillingCurrency").sum().alias(metric)
        by_department = pl.scan_parquet(folder / "data.parquet").group_by("InvoiceSectionId").agg(cost)
        other = pl.lit(None, dtype=decimal).alias(next(name for name in METRICS if name != metric))
        month_name = pl.lit(month.name).alias("billing_period")
        rollup = by_department.with_columns(other, month_name).collect(engine="streaming")
        rollups.append(rollup.select("billing_period", "InvoiceSectionId", *METRICS))
    table = pl.concat(rollups).group_by("billing_period", "InvoiceSectionId").agg(pl.col(METRICS).sum())
    table.write_parquet(lake / "department_month.parquet", compression="zstd")
    return sums(table.select(METRICS).iter_rows())


def partitions(files: Path, lake: Path):
    """The folders of cost files, each with its metric and the folder of its Parquet."""
    for metric in METRICS:
        for month in sorted((files / metric).iterdir()):
            folder = lake / "cost_line_items" / f"metric={metric}" / f"billing_period={month.name}"
            folder.mkdir(parents=True)
            yield metric, month, folder


def header(month: Path) -> list:
    with open(next(month.glob("*.csv")), encoding="utf-8-sig", newline="") as file:
        return next(csv.reader(file))


def sums(rollup) -> dict:
    totals = dict.fromkeys(METRICS, Decimal(0))
    for costs in rollup:
        for metric, cost in zip(METRICS, costs):
            totals[metric] += cost or 0
    return {metric: str(total) for metric, total in totals.items()}


def main() -> None:
    import decimal

    decimal.getcontext().prec = 60
    name, files, lake, result = sys.argv[1], *map(Path, sys.argv[2:])
    job = {"DuckDB": duckdb_job, "Polars": polars_job}[name]
    result.write_text(json.dumps(job(files, lake)))


if __name__ == "__main__":
    main()
