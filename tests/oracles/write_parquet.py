"""Writes the CSV files of `costlake simulate generate` as the Parquet files that Azure's exports are known
to be, with pyarrow and once with DuckDB, and beside each the CSV file of the same values.

    write_parquet.py FILES OUT

OUT gets a folder per variant, with `csv` and `parquet` below it, in the layout of FILES. Types are those
of reference/cost-data.md, 2: they vary between runs and agreements.
"""

import csv
import decimal
import json
import pathlib
import sys
from datetime import date, datetime, timezone
from decimal import Decimal

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

decimal.getcontext().prec = 90

COSTS = ["CostInBillingCurrency", "EffectivePrice", "UnitPrice", "PayGPrice"]
DATES = ["Date", "BillingPeriodStartDate", "BillingPeriodEndDate"]
FLAG = "IsAzureCreditEligible"


def day(text):
    return datetime.strptime(text, "%m/%d/%Y").date()


def moment(text):
    return datetime.strptime(text, "%m/%d/%Y").replace(tzinfo=timezone.utc)


def amount(scale):
    """Amounts of so many fraction digits, and what their CSV text would be."""
    return lambda text: Decimal(text).quantize(Decimal(1).scaleb(-scale), rounding=decimal.ROUND_HALF_EVEN)


def decimals(scale, precision=38):
    kind = pa.decimal256 if precision > 38 else pa.decimal128
    return dict.fromkeys(COSTS, (kind(precision, scale), amount(scale)))


def days(kind, convert):
    return dict.fromkeys(DATES, (kind, convert))


TEXT = (pa.string(), str)
DOUBLE = (pa.float64(), float)
INTEGER = (pa.int64(), int)
BOOLEAN = (pa.bool_(), lambda text: text == "True")

# Name, types of columns that are not text, and how the file is written.
VARIANTS = [
    ("text", {}, {"compression": "none", "use_dictionary": False}),
    (
        "ea",
        decimals(18) | days(pa.timestamp("ns"), moment) | {"InvoiceSectionId": INTEGER, "Quantity": DOUBLE, FLAG: BOOLEAN},
        {"use_deprecated_int96_timestamps": True, "compression": "snappy", "row_group_size": 101},
    ),
    (
        "wide-scale",
        decimals(28) | days(pa.date32(), day) | {"InvoiceSectionId": (pa.int32(), int)},
        {"compression": "zstd", "write_page_checksum": True, "data_page_size": 2000},
    ),
    (
        "moments",
        decimals(24) | days(pa.timestamp("ms", tz="UTC"), moment) | {FLAG: BOOLEAN},
        {"compression": "gzip", "use_dictionary": False, "data_page_version": "2.0", "row_group_size": 50},
    ),
    (
        "microseconds",
        decimals(12) | days(pa.timestamp("us"), moment) | {"Quantity": (pa.decimal128(20, 8), amount(8))},
        {"compression": "lz4", "version": "1.0"},
    ),
    (
        "decimal256",
        decimals(28, 60) | days(pa.timestamp("ns", tz="UTC"), moment),
        {"compression": "none", "column_encoding": {"CostInBillingCurrency": "BYTE_STREAM_SPLIT"}, "use_dictionary": False},
    ),
    (
        "small-decimals",
        decimals(4, 9) | {"Date": (pa.date32(), day), "AccountId": INTEGER},
        {"store_decimal_as_integer": True, "compression": "snappy"},
    ),
    (
        "dictionaries",
        {"Tags": (pa.dictionary(pa.int32(), pa.string()), str), "MeterId": (pa.large_string(), str), "ResourceId": (pa.string_view(), str)},
        {"compression": "zstd", "dictionary_pagesize_limit": 500},
    ),
    (
        "bytes",
        {"Tags": (pa.binary(), str.encode), "InvoiceSectionName": (pa.large_binary(), str.encode)},
        {"column_encoding": {"Tags": "DELTA_BYTE_ARRAY", "InvoiceSectionName": "DELTA_LENGTH_BYTE_ARRAY"}, "use_dictionary": False},
    ),
    (
        "duckdb",
        decimals(28) | days(pa.date32(), day) | {"Quantity": (pa.decimal128(18, 8), amount(8)), FLAG: BOOLEAN},
        {"duckdb": 'SubscriptionId::uuid as "SubscriptionId", MeterId::uuid as "MeterId"'},
    ),
]


def shown(value):
    """The CSV text of a value."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode()
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def write(rows, types, options, table_file, text_file):
    columns, values = {}, {}
    for name in rows[0]:
        kind, convert = types.get(name, TEXT)
        values[name] = [convert(row[name]) if row[name] else None for row in rows]
        columns[name] = pa.array(values[name], kind)
    arrow_table = pa.table(columns)
    if "duckdb" in options:
        query = f"select * replace ({options['duckdb']}) from arrow_table"
        duckdb.execute(f"copy ({query}) to '{table_file}' (format parquet, codec 'lz4_raw')")
    else:
        pq.write_table(arrow_table, table_file, **options)
    with open(text_file, "w", encoding="utf-8", newline="") as text:
        writer = csv.writer(text)
        writer.writerow(rows[0])
        writer.writerows([shown(values[name][at]) for name in rows[0]] for at in range(len(rows)))


def write_manifest(source, folder, ending):
    manifest = json.loads(source.read_text())
    for blob in manifest["blobs"]:
        blob["blobName"] = blob["blobName"].removesuffix(".csv") + ending
        blob["byteCount"] = (folder / pathlib.Path(blob["blobName"]).name).stat().st_size
    manifest["byteCount"] = sum(blob["byteCount"] for blob in manifest["blobs"])
    (folder / "manifest.json").write_text(json.dumps(manifest))


def main(files, out):
    for manifest in sorted(pathlib.Path(files).glob("*/*/manifest.json")):
        month = manifest.parent.relative_to(files)
        parts = {}
        for part in sorted(manifest.parent.glob("*.csv")):
            with open(part, encoding="utf-8-sig", newline="") as text:
                parts[part.stem] = list(csv.DictReader(text))
        for name, types, options in VARIANTS:
            texts, tables = (pathlib.Path(out, name, kind, month) for kind in ("csv", "parquet"))
            texts.mkdir(parents=True)
            tables.mkdir(parents=True)
            for stem, rows in parts.items():
                write(rows, types, options, tables / f"{stem}.snappy.parquet", texts / f"{stem}.csv")
            write_manifest(manifest, texts, ".csv")
            write_manifest(manifest, tables, ".snappy.parquet")


main(*sys.argv[1:])
