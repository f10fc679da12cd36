"""Every figure, recomputed from the source text with Python's decimals."""

import json
import unittest
from collections import defaultdict
from decimal import Decimal

import pyarrow.parquet as parquet

import lake
from lake import SCOPE, stored, total

COMMITMENTS = {"Reservation", "SavingsPlan"}


def department(row):
    found = row["InvoiceSectionId"] or row["InvoiceSectionName"]
    return "unassigned" if found in ("", "Unassigned") else found


def is_third_party(row):
    return row["PublisherType"] == "Marketplace"


def recomputed(rows):
    """The measures of department_month over some rows, from the columns of the file alone."""

    def cost(metric, charge_types, models, third_party=False):
        return total(
            stored(row["CostInBillingCurrency"])
            for row in rows
            if row["metric"] == metric
            and is_third_party(row) == third_party
            and (charge_types is None or row["ChargeType"] in charge_types)
            and (models is None or row["PricingModel"] in models)
        )

    def whole(metric):
        return cost(metric, None, None) + cost(metric, None, None, third_party=True)

    measures = {
        "actual_cost": whole("actual"),
        "amortized_cost": whole("amortized"),
        "commitment_purchases": cost("actual", {"Purchase"}, COMMITMENTS),
        "commitment_refunds": cost("actual", {"Refund"}, COMMITMENTS),
        "used_shares": cost("amortized", {"Usage"}, COMMITMENTS),
        "unused_shares": cost("amortized", {"UnusedReservation", "UnusedSavingsPlan"}, None),
        "on_demand": cost("actual", {"Usage"}, {"OnDemand", ""}),
        "spot": cost("actual", {"Usage"}, {"Spot"}),
        "marketplace": cost("actual", {"Usage", "Purchase"}, None, third_party=True),
        "rounding": cost("actual", {"RoundingAdjustment"}, None) + cost("actual", {"RoundingAdjustment"}, None, third_party=True),
        "actual_rows": sum(row["metric"] == "actual" for row in rows),
        "amortized_rows": sum(row["metric"] == "amortized" for row in rows),
    }
    measures["difference"] = measures["amortized_cost"] - measures["actual_cost"]
    measures["other_difference"] = (
        measures["difference"]
        + measures["commitment_purchases"]
        + measures["commitment_refunds"]
        - measures["used_shares"]
        - measures["unused_shares"]
    )
    return measures


class Figures(unittest.TestCase):
    def test_every_cost_is_the_cost_of_its_record(self):
        for metric in ("actual", "amortized"):
            for period in ("2025-05", "2025-06", "2025-07"):
                path = lake.lake() / f"cost_line_items/metric={metric}/billing_period={period}/scope={SCOPE}/data.parquet"
                table = parquet.read_table(path, columns=["cost", "charge_type", "subscription_id"])
                rows = [r for r in lake.source_rows() if (r["metric"], r["billing_period"]) == (metric, period)]
                self.assertEqual(table["cost"].to_pylist(), [stored(r["CostInBillingCurrency"]) for r in rows])
                self.assertEqual(table["charge_type"].to_pylist(), [r["ChargeType"] or None for r in rows])
                self.assertEqual(table["subscription_id"].to_pylist(), [r["SubscriptionId"] or None for r in rows])

    def test_department_month_is_its_recomputation(self):
        groups = defaultdict(list)
        for row in lake.source_rows():
            groups[row["billing_period"], department(row), row["BillingCurrencyCode"]].append(row)
        found = {}
        for path in lake.lake().glob("department_month/*/*/data.parquet"):
            period = path.parts[-3].removeprefix("billing_period=")
            for row in parquet.read_table(path, partitioning=None).to_pylist():
                found[period, row["department_id"], row["billing_currency"]] = row
        self.assertEqual(sorted(found), sorted(groups))
        self.assertGreater(len(groups), 12)
        for key, rows in groups.items():
            for measure, expected in recomputed(rows).items():
                self.assertEqual(found[key][measure], expected, f"{key} {measure}")

    def test_the_cases_that_matter_occur(self):
        whole = recomputed(lake.source_rows())
        for measure, value in whole.items():
            if measure != "other_difference":
                self.assertNotEqual(value, 0, f"no {measure} in the cost files: the test above would prove nothing")

    def test_manifests_state_the_exact_totals_of_the_source(self):
        for path in lake.lake().glob("_costlake/manifests/cost_line_items/**/*.json"):
            manifest = json.loads(path.read_text())
            partition, cost = manifest["partition"], manifest["decimals"]["cost"]
            texts = [
                row["CostInBillingCurrency"]
                for row in lake.source_rows()
                if (row["metric"], row["billing_period"]) == (partition["metric"], partition["billing_period"])
            ]
            self.assertEqual(Decimal(cost["exact"]), total(map(Decimal, texts)))
            self.assertEqual(Decimal(cost["stored"]), total(map(stored, texts)))
            self.assertEqual(cost["rounded"], sum(stored(text) != Decimal(text) for text in texts))
            self.assertEqual(manifest["object"]["rows"], len(texts))


if __name__ == "__main__":
    unittest.main()
