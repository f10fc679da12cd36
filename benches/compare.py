"""The main job against scripts for DuckDB and Polars: the same files, the same work, side by side.

Work: cost CSV of two metrics and three months as typed Parquet (dates, decimal(38, 24), zstd), partitioned by
metric and month, and actual against amortized cost per department. Each contender is a process of its own; CPU
seconds, wall time and peak memory are those of the operating system. The scripts do less than costlake does:
they have no quarantine, no exact control sums, no digests and no atomic publication.

Usage: compare.py COSTLAKE ROWS [ROUNDS], with the interpreter that has duckdb and polars. Files are generated
once into target/compare. Nothing is asserted about time; what is asserted is that all give the same sums.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

DECIMALS = ["Quantity", "EffectivePrice", "CostInBillingCurrency", "UnitPrice", "PayGPrice"]
DATES = ["Date", "BillingPeriodStartDate", "BillingPeriodEndDate"]
WORK = Path("target/compare")


def duckdb_job(source: Path, lake: Path) -> dict:
    import duckdb

    typed = [f"{name}::DECIMAL(38,24) AS {name}" for name in DECIMALS]
    typed += [f"strptime({name}, '%m/%d/%Y')::DATE AS {name}" for name in DATES]
    lake.mkdir(parents=True)
    connection = duckdb.connect()
    connection.execute(f"""
        COPY (
            SELECT * REPLACE ({", ".join(typed)}),
                   regexp_extract(filename, '(actual|amortized)', 1) AS metric,
                   regexp_extract(filename, '/(\\d{{6}})/', 1) AS billing_period
            FROM read_csv('{source}/*/*/*.csv', all_varchar = true, header = true, filename = true)
        ) TO '{lake}/cost_line_items' (FORMAT parquet, COMPRESSION zstd, PARTITION_BY (metric, billing_period))
    """)
    rows = connection.execute(f"""
        SELECT InvoiceSectionId,
               sum(CostInBillingCurrency) FILTER (metric = 'actual'),
               sum(CostInBillingCurrency) FILTER (metric = 'amortized')
        FROM read_parquet('{lake}/cost_line_items/**/*.parquet', hive_partitioning = true)
        GROUP BY ALL
    """).fetchall()
    return totals((actual, amortized) for _, actual, amortized in rows)


def polars_job(source: Path, lake: Path) -> dict:
    import polars as pl

    lake.mkdir(parents=True)
    decimal = pl.Decimal(38, 24)
    parts = []
    for metric in ["actual", "amortized"]:
        for month in sorted((source / metric).iterdir()):
            rows = pl.scan_csv(str(month / "*.csv"), infer_schema=False).with_columns(
                *[pl.col(name).cast(decimal) for name in DECIMALS],
                *[pl.col(name).str.to_date("%m/%d/%Y") for name in DATES],
            )
            folder = lake / "cost_line_items" / f"metric={metric}" / f"billing_period={month.name}"
            folder.mkdir(parents=True)
            rows.sink_parquet(folder / "data.parquet", compression="zstd", engine="streaming")
            parts.append((metric, folder / "data.parquet"))
    cost = pl.col("CostInBillingCurrency").sum()
    sums = [
        pl.scan_parquet(path).group_by("InvoiceSectionId").agg(cost).collect(engine="streaming")
        .with_columns(metric=pl.lit(metric))
        for metric, path in parts
    ]
    table = pl.concat(sums).group_by("metric").agg(cost)
    found = dict(table.iter_rows())
    return {"actual": str(found["actual"]), "amortized": str(found["amortized"])}


def totals(rows) -> dict:
    actual, amortized = Decimal(0), Decimal(0)
    for one, other in rows:
        actual += one or 0
        amortized += other or 0
    return {"actual": str(actual), "amortized": str(amortized)}


def costlake_command(program: str, source: Path, lake: Path) -> list:
    result = WORK / "result.json"
    return [program, "convert", str(source), "--lake", str(lake), "--progress", "none", "--result-file", str(result)]


def costlake_totals() -> dict:
    months = json.loads((WORK / "result.json").read_text())["months"]
    sums = {"actual": Decimal(0), "amortized": Decimal(0)}
    for month in months:
        for report in month["reports"]:
            sums[report["metric"]] += Decimal(report["decimals"]["cost"]["stored_total"])
    return {metric: str(total) for metric, total in sums.items()}


def measure(command: list) -> dict:
    """Runs a command and returns what the operating system says that it took."""
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - started
    if status != 0:
        raise SystemExit(f"{command[0]} failed with status {status}")
    return {"cpu": usage.ru_utime + usage.ru_stime, "wall": wall, "memory": usage.ru_maxrss / 1024}


def size(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*.parquet")) / 2**20


def version(module: str) -> str:
    from importlib.metadata import version as of

    return of(module)


def compare(program: str, rows: int, rounds: int) -> None:
    source = WORK / f"rows-{rows}"
    if not source.exists():
        generate = [program, "simulate", "generate", "--rows", str(rows // 2), "--out", str(source), "--blobs", "4"]
        subprocess.run(generate, check=True)
    data = sum(path.stat().st_size for path in source.rglob("*.csv")) / 2**20
    own = [sys.executable, __file__]
    best: dict = {}
    sums: dict = {}
    for _ in range(rounds):
        for name in ["costlake", "Polars", "DuckDB"]:
            lake = WORK / "lake"
            shutil.rmtree(lake, ignore_errors=True)
            script = own + ["--job", name, str(source), str(lake)]
            found = measure(costlake_command(program, source, lake) if name == "costlake" else script)
            found["size"] = size(lake)
            sums[name] = costlake_totals() if name == "costlake" else json.loads((WORK / f"{name}.json").read_text())
            if name not in best or found["cpu"] < best[name]["cpu"]:
                best[name] = found
    values = {tuple(Decimal(total) for total in found.values()) for found in sums.values()}
    print(f"{rows:,} rows, {data:,.0f} MiB of CSV; {os.cpu_count()} cores, {platform.machine()}; "
          f"DuckDB {version('duckdb')}, Polars {version('polars')}; best of {rounds}\n")
    print("| | CPU s | wall s | peak MiB | Parquet MiB | CPU ratio | wall ratio |")
    print("|---|---|---|---|---|---|---|")
    for name, found in best.items():
        ratios = [found[key] / best["costlake"][key] for key in ["cpu", "wall"]]
        print(f"| {name} | {found['cpu']:.1f} | {found['wall']:.1f} | {found['memory']:.0f} | {found['size']:.1f} "
              f"| {ratios[0]:.1f} | {ratios[1]:.1f} |")
    print()
    for name, found in sums.items():
        print(f"{name}: actual {found['actual']}, amortized {found['amortized']}")
    if len(values) > 1:
        print("The sums differ in how values of more than 24 digits were rounded.")


def main() -> None:
    if sys.argv[1] == "--job":
        name, source, lake = sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4])
        job = {"Polars": polars_job, "DuckDB": duckdb_job}[name]
        (WORK / f"{name}.json").write_text(json.dumps(job(source, lake)))
    else:
        WORK.mkdir(parents=True, exist_ok=True)
        compare(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 3)


if __name__ == "__main__":
    main()
