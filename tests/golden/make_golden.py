"""Writes the figures that every sample file is to give: samples.json.

    make_golden.py SAMPLES [OUTPUT]

SAMPLES is the folder `samples` of COSTLAKE_REFERENCE. Read with Python's csv and summed with decimal, typed by
tests/oracles/contract.py; nothing of costlake is used. Generations are those that the README of the samples
gives. Without OUTPUT the figures go to stdout.
"""

import collections
import csv
import io
import json
import pathlib
import sys
from decimal import Decimal

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "oracles"))
import contract  # noqa: E402

GENERATIONS = {
    "ea_actual_portal_2023-09.csv": ("ea", "portal"),
    "ea_amortized_portal_2023-09_first14rows.csv": ("ea", "portal"),
    "ea_portal_header_only.csv": ("ea", "portal"),
    "ea_export_2020_iso_marketplace.csv": ("ea", "2020-01-01"),
    "ea_export_2021_one_row_no_final_newline.csv": ("ea", "2021-01-01"),
    "ea_export_2023-12_excel_dates_cad.csv": ("ea", "2023-12-01-preview"),
    "ea_usage_v3_2021.csv": ("ea-usage", "v3"),
    "mca_actual_2023_camelcase.csv": ("mca", "2019-11-01"),
    "payg_usage_2019_datetime.csv": ("payg", "2019-11-01"),
    "payg_usage_2019_rows001-391.csv": ("payg", "2019-11-01"),
    "payg_usage_2021.csv": ("payg", "2019-11-01"),
    "subset_columns_tags_with_braces.csv": ("other", None),
}

# --- FOCUS: names of decimal columns, and what each metric takes -------------------------------------

FOCUS_DECIMALS = {
    "quantity": "PricingQuantity",
    "consumed_quantity": "ConsumedQuantity",
    "effective_price": "x_EffectiveUnitPrice",
    "unit_price": "ContractedUnitPrice",
    "retail_price": "ListUnitPrice",
    "exchange_rate": "x_BillingExchangeRate",
    "contracted_cost": "ContractedCost",
    "list_cost": "ListCost",
}
FOCUS_METRICS = {
    "actual": {"cost": "BilledCost", "cost_in_usd": "x_BilledCostInUsd"},
    "amortized": {"cost": "EffectiveCost", "cost_in_usd": "x_EffectiveCostInUsd"},
}
# Files with fewer columns are excerpts, of no version.
FOCUS_1_0_COLUMNS = 43


def csv_rows(path):
    """The rows of a file, header first, as fields of bytes; empty lines left out."""
    text = path.read_bytes().decode("utf-8-sig")
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    return [[field.encode() for field in row] for row in rows if row]


def as_records(rows):
    records = []
    for number, fields in enumerate(rows, 1):
        record = contract.Record(0)
        record.number, record.fields = number, fields
        records.append(record)
    return records


def native(path, currency):
    """What a file of Azure's own layouts gives."""
    header, *rows = csv_rows(path)
    reading = {"currency": currency} if currency else {}
    try:
        meaning = contract.Header([name.decode() for name in header], currency is not None)
    except contract.Refused as refused:
        return {**reading, "refused": refused.kind, "missing": refused.missing}
    typed = contract.typed(meaning, currency, as_records(rows), b"")
    days = [row["charge_date"] for row in typed.rows]
    kind, version = GENERATIONS[path.name]
    return {
        **reading,
        "kind": kind,
        "version": version,
        "rows": len(typed.rows),
        "quarantined": len(typed.quarantined),
        "first_date": min(days, default=None),
        "last_date": max(days, default=None),
        "sums": {name: contract.plain(totals.exact) for name, totals in typed.published.items()},
        "currencies": dict(sorted(typed.sums_by("billing_currency", lambda cost: cost).items())),
        "classes": dict(sorted(collections.Counter(row["charge_class"] for row in typed.rows).items())),
    }


def focus(path, metric, currency):
    """What a FOCUS file gives when it is read for a metric."""
    header, *rows = csv_rows(path)
    names = [name.decode() for name in header]
    reading = {"metric": metric} | ({"currency": currency} if currency else {})
    if "BillingCurrency" not in names and not currency:
        return {**reading, "refused": "missing-columns", "missing": ["billing_currency"]}
    sums, days, currencies = {}, [], collections.defaultdict(Decimal)
    columns = FOCUS_DECIMALS | FOCUS_METRICS[metric]
    columns = {column: names.index(name) for column, name in columns.items() if name in names}
    for fields in rows:
        row = [b"" if field.lower() == b"null" else field for field in fields]
        values = {column: contract.number(row[at]) or Decimal(0) for column, at in columns.items()}
        for column, value in values.items():
            sums[column] = sums.get(column, Decimal(0)) + value
        days.append(row[names.index("ChargePeriodStart")][:10].decode())
        given = row[names.index("BillingCurrency")].decode() if "BillingCurrency" in names else currency
        currencies[given] += values["cost"]
    return {
        **reading,
        "kind": "focus",
        "version": "1.0" if len(names) >= FOCUS_1_0_COLUMNS else None,
        "rows": len(rows),
        "quarantined": 0,
        "first_date": min(days),
        "last_date": max(days),
        "sums": {name: contract.plain(total) for name, total in sorted(sums.items())},
        "currencies": {name: contract.plain(total) for name, total in sorted(currencies.items())},
    }


def readings(path):
    """Each way in which a file is read: without a currency, and with one where that is refused."""
    if path.name.startswith("focus_"):
        ways = [lambda currency, metric=metric: focus(path, metric, currency) for metric in FOCUS_METRICS]
    else:
        ways = [lambda currency: native(path, currency)]
    for read in ways:
        figures = read(None)
        yield figures
        if figures.get("missing") == ["billing_currency"]:
            yield read("USD")


def pretty(golden):
    """JSON with a line per reading and one per group of figures."""

    def reading(figures):
        groups = {name: value for name, value in figures.items() if isinstance(value, dict)}
        facts = {name: value for name, value in figures.items() if name not in groups}
        lines = [json.dumps(facts)[1:-1]]
        lines += [f"{json.dumps(name)}: {json.dumps(group)}" for name, group in groups.items()]
        return "  {" + ",\n   ".join(lines) + "}"

    files = (
        f" {json.dumps(name)}: [\n" + ",\n".join(map(reading, readings)) + "\n ]"
        for name, readings in golden.items()
    )
    return "{\n" + ",\n".join(files) + "\n}\n"


def main(samples, output=None):
    paths = sorted(pathlib.Path(samples).glob("*.csv"))
    golden = {path.name: list(readings(path)) for path in paths}
    text = pretty(golden)
    if output is None:
        sys.stdout.write(text)
    else:
        pathlib.Path(output).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
