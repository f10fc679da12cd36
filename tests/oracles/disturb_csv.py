"""Makes the tidy files of `costlake simulate generate` as untidy as Azure's (reference/cost-data.md, section 5).

    disturb_csv.py FILES OUT [--differ]

Both reports are disturbed alike, row by row, by what stands in the row, so that all that Azure promises of them
still holds. With --differ it does not: some classes differ between the reports, so that reconciliation has to
name them (give reconcile_csv.py --differ, too). Needs two months or more.

| what | where |
|---|---|
| ids of departments, subscriptions, benefits, a name that stands in for an id, in two spellings | by day |
| departments, subscriptions and commitments renamed within each month | from the 17th, some back on the 24th |
| id -2, no id but a name | two departments |
| a second currency | Storage of one subscription |
| no benefit, only a product order; no order at all | two of the commitments |
| no commitment named at all | unused shares of a savings plan, with `--differ` |
| a purchase before the lake, a monthly one after its first month | two of the commitments |
| terms in words | one commitment |
| Tax, refunds, purchases, negative usage, unknown charge types, no pricing model | rows of their own |
| rows of a department in one report only, late rows | `--differ`, and one row each |
"""

import argparse
import csv
import io
import json
import pathlib
from decimal import Decimal

METRICS = ("actual", "amortized")


def day_of(row):
    return int(row["Date"][3:5])


def month_before(row):
    """The second day of the month before the one that is billed."""
    month, year = int(row["BillingPeriodStartDate"][:2]), int(row["BillingPeriodStartDate"][6:])
    return f"{month - 1:02}/02/{year}" if month > 1 else f"12/02/{year - 1}"


def renamed(row, name):
    if name and day_of(row) >= 17 and not (day_of(row) >= 24 and len(name) % 2):
        return f"{name} (neu)"
    return name


def disturb(metric, first_month, row, differ):
    """The row as it shall be, or None if it shall not be."""
    benefit, kind = row["benefitName"], row["ChargeType"]
    if benefit == "VM_RI_upfront" and kind == "Purchase":
        return None  # bought before the lake begins
    if benefit == "VM_RI_monthly" and first_month:
        return None  # begins in the second month
    if differ and metric == "amortized" and row["MeterCategory"] == "Key Vault" and day_of(row) == 3:
        return None
    if differ and row["MeterCategory"] == "Bandwidth" and day_of(row) == 5 and metric == "actual":
        row["CostInBillingCurrency"] = str(Decimal(row["CostInBillingCurrency"]) + Decimal("0.01"))
    if differ and kind == "Usage" and benefit == "VM_RI_full" and metric == "actual" and day_of(row) == 7:
        row["CostInBillingCurrency"] = "0.25"
    spell = str.upper if day_of(row) % 2 else str.lower
    section = row["InvoiceSectionId"]
    if section.endswith("4"):
        row["InvoiceSectionId"] = "-2"  # a department that has only a name, in two spellings
        row["InvoiceSectionName"] = spell(row["InvoiceSectionName"])
    elif section.endswith("5"):
        row["InvoiceSectionId"] = ""
    elif section:
        row["InvoiceSectionId"] = spell(f"Section-{section}")
        row["InvoiceSectionName"] = renamed(row, row["InvoiceSectionName"])
    row["SubscriptionId"] = spell(row["SubscriptionId"])
    row["SubscriptionName"] = renamed(row, row["SubscriptionName"])
    if not row["SubscriptionId"] and day_of(row) % 2:
        row["SubscriptionId"] = "00000000-0000-0000-0000-000000000000"
    row["benefitId"] = spell(row["benefitId"])
    row["benefitName"] = renamed(row, benefit)
    if benefit == "VM_RI_cancelled":
        row["benefitId"] = row["benefitName"] = ""  # as before 2021: only the order
    if benefit == "VM_RI_full":
        row["benefitId"] = row["benefitName"] = row["ProductOrderId"] = ""  # only the reservation; purchases have the order there
        row["ReservationName"] = renamed(row, row["ReservationName"])
    if differ and benefit == "Plan, compute monthly" and kind == "UnusedSavingsPlan" and day_of(row) > 20:
        row["benefitId"] = row["benefitName"] = row["ProductOrderId"] = row["ProductOrderName"] = ""
    if benefit == "Plan compute upfront":
        row["Term"] = "1 Year" if kind == "Purchase" else ""
    if row["MeterCategory"] == "Storage" and row["SubscriptionName"].startswith("sub-dev"):
        row["BillingCurrencyCode"] = "USD"
    return row


def extra_rows(row):
    """Rows of kinds that the simulator does not have, modelled on a row of ordinary usage."""
    changes = [
        dict(ChargeType="Tax", PricingModel="", CostInBillingCurrency="19.000000000000000000000001"),
        dict(ChargeType="Credit", PricingModel="", CostInBillingCurrency="-5"),
        dict(ChargeType="Refund", PricingModel="OnDemand", CostInBillingCurrency="-3.3"),
        dict(ChargeType="Refund", PublisherType="Marketplace", CostInBillingCurrency="-4.4"),
        dict(ChargeType="Purchase", PricingModel="OnDemand", Frequency="OneTime", CostInBillingCurrency="77.7"),
        dict(ChargeType="usage", PricingModel="On Demand", CostInBillingCurrency="-0.0000000000000000000000015"),
        dict(ChargeType="Usage", PricingModel="", CostInBillingCurrency="0.0000000000000000000000025"),
        dict(ChargeType="Riddle", PricingModel="OnDemand", CostInBillingCurrency="0.5"),
        dict(ChargeType="Usage", PricingModel="OnDemand", PayGPrice="0", UnitPrice="", CostInBillingCurrency="1"),
        dict(ChargeType="Usage", PricingModel="OnDemand", PayGPrice="0.1234567890123456789", Quantity="0.00000001", CostInBillingCurrency="0"),
        dict(ChargeType="Usage", PricingModel="OnDemand", InvoiceSectionId="late", InvoiceSectionName="Late", Date=month_before(row), CostInBillingCurrency="0.1"),
        dict(ChargeType="Purchase", PricingModel="OnDemand", InvoiceSectionId="empty", InvoiceSectionName="", CostInBillingCurrency="0"),
    ]
    return [row | change for change in changes]  # of a department with its id, disturbed rows of which have its name only


def rewrite(source, target, metric, first_month, differ):
    with open(source, encoding="utf-8-sig", newline="") as text:
        reader = csv.DictReader(text)
        names, rows = reader.fieldnames, list(reader)
    usage = min((row for row in rows if row["ChargeType"] == "Usage" and row["PricingModel"] == "OnDemand" and row["PublisherType"] == "Azure"),
                key=lambda row: [row[name] for name in names])  # fmt: skip
    extra = extra_rows(dict(usage))
    kept = [row for row in (disturb(metric, first_month, row, differ) for row in rows) if row]
    if differ and metric == "actual":
        kept += [usage | dict(InvoiceSectionId="only-actual", InvoiceSectionName="Only actual", CostInBillingCurrency="1.23")]
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, names, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(kept + extra)
    body = out.getvalue().encode("utf-8-sig")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(body)
    return len(body), len(kept) + len(extra)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("files")
    parser.add_argument("out")
    parser.add_argument("--differ", action="store_true", help="the two reports shall differ beyond commitments")
    options = parser.parse_args()
    files, out = pathlib.Path(options.files), pathlib.Path(options.out)
    first = min(path.name for path in (files / "actual").iterdir())
    for manifest_path in sorted(files.glob("*/*/manifest.json")):
        metric, month = manifest_path.parts[-3], manifest_path.parts[-2]
        manifest = json.loads(manifest_path.read_text(encoding="utf-8"))
        for blob in manifest["blobs"]:
            name = blob["blobName"]
            blob["byteCount"], blob["dataRowCount"] = rewrite(files / name, out / name, metric, month == first, options.differ)
        for total in ("byteCount", "dataRowCount"):
            manifest[total] = sum(blob[total] for blob in manifest["blobs"])
        (out / metric / month / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    print(f"ok: {out}")


if __name__ == "__main__":
    main()
