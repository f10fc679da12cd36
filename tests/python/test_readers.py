"""DuckDB, Polars and pyarrow find the same rows, sums, types and partitions."""

import unittest
from collections import defaultdict
from decimal import Decimal

import duckdb
import polars
import pyarrow.compute as compute
import pyarrow.dataset as dataset

import lake
from lake import SCOPE, stored, total


def expected():
    """Rows and stored cost by metric and month, from the source text."""
    groups = defaultdict(list)
    for row in lake.source_rows():
        groups[row["metric"], row["billing_period"], SCOPE].append(stored(row["CostInBillingCurrency"]))
    return {key: (len(costs), total(costs)) for key, costs in groups.items()}


class Readers(unittest.TestCase):
    def setUp(self):
        self.line_items = lake.lake() / "cost_line_items"
        self.glob = f"{self.line_items}/**/*.parquet"

    def test_duckdb(self):
        rows = duckdb.sql(
            f"SELECT metric, billing_period, scope, count(*), sum(cost) "
            f"FROM read_parquet('{self.glob}', hive_partitioning = true, hive_types_autocast = false) GROUP BY ALL"
        ).fetchall()
        self.assertEqual({tuple(row[:3]): (row[3], row[4]) for row in rows}, expected())

    def test_polars(self):
        frame = polars.scan_parquet(self.glob, hive_partitioning=True, try_parse_hive_dates=False)
        sums = frame.group_by("metric", "billing_period", "scope").agg(polars.len().alias("rows"), polars.sum("cost"))
        rows = sums.collect().iter_rows()
        self.assertEqual({row[:3]: (row[3], row[4]) for row in rows}, expected())

    def test_pyarrow(self):
        table = dataset.dataset(self.line_items, partitioning="hive").to_table(columns=["metric", "billing_period", "scope", "cost"])
        sums = table.group_by(["metric", "billing_period", "scope"]).aggregate([("cost", "count"), ("cost", "sum")])
        found = {(r["metric"], r["billing_period"], r["scope"]): (r["cost_count"], r["cost_sum"]) for r in sums.to_pylist()}
        self.assertEqual(found, expected())

    def test_without_any_option_the_sums_are_the_same(self):
        """What a user types first."""
        whole = total(cost for _, cost in expected().values())
        rows = sum(rows for rows, _ in expected().values())
        self.assertEqual(duckdb.sql(f"SELECT count(*), sum(cost) FROM '{self.glob}'").fetchall(), [(rows, whole)])
        frame = polars.read_parquet(self.line_items)
        self.assertEqual((frame.height, frame["cost"].sum()), (rows, whole))
        table = dataset.dataset(self.line_items).to_table(columns=["cost"])
        self.assertEqual((table.num_rows, compute.sum(table["cost"]).as_py()), (rows, whole))

    def test_types_are_what_the_format_says(self):
        sample = f"{self.line_items}/metric=actual/billing_period=2025-06/scope={SCOPE}/data.parquet"
        types = {row[0]: row[1] for row in duckdb.sql(f"DESCRIBE SELECT * FROM read_parquet('{sample}', hive_partitioning = false)").fetchall()}
        for column, expected_type in {
            "charge_date": "DATE",
            "cost": "DECIMAL(38,24)",
            "quantity": "DECIMAL(38,24)",
            "department_name": "VARCHAR",
            "tags": "VARCHAR",
            "is_azure_credit_eligible": "BOOLEAN",
            "blob": "INTEGER",
            "record": "BIGINT",
        }.items():
            self.assertEqual(types[column], expected_type, column)
        self.assertEqual(polars.read_parquet_schema(sample)["cost"], polars.Decimal(38, 24))
        self.assertEqual(polars.read_parquet_schema(sample)["department_name"], polars.String)
        self.assertEqual(str(dataset.dataset(sample).schema.field("cost").type), "decimal128(38, 24)")

    def test_tags_are_json_for_whoever_asks(self):
        rows = duckdb.sql(
            f"SELECT count(*), count(*) FILTER (json_valid(tags)) FROM '{self.glob}' WHERE tags IS NOT NULL"
        ).fetchall()
        self.assertGreater(rows[0][0], 0)
        self.assertEqual(rows[0][0], rows[0][1])

    def test_lakes_own_records_are_invisible(self):
        """What readers glob holds data only: no manifests, no staged objects."""
        strays = [path for path in self.line_items.rglob("*") if path.is_file() and path.name != "data.parquet"]
        self.assertEqual(strays, [])


if __name__ == "__main__":
    unittest.main()
