"""Computes every shipped rollup and both tables of `costlake reconcile` from the CSV files with Python's csv
and decimal, and demands the same from a lake, to the last digit.

    reconcile_csv.py FILES LAKE [--unused POLICY] [--all] [--differ]

FILES is what `costlake simulate generate` wrote (FILES/actual/202505/*.csv, FILES/amortized/…), in Azure's
EA layout; LAKE is what `costlake convert` and `costlake reconcile` made of it. Nothing of costlake is used:
the rules are those of docs/rollups.md, docs/reconciliation.md and docs/format.md.

First the CSV files themselves: what Azure says of its two reports (reference/cost-data.md, section 6) must
hold in them, unless --differ says that it does not. Then the lake. A table that it does not have is skipped, with --all it is an error.

Where the documents can be read in two ways, the reading taken is marked `Reading:`.
"""

import argparse
import csv
import decimal
import json
import pathlib
import re
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

import pyarrow
import pyarrow.parquet

decimal.getcontext().prec = 120

ACTUAL, AMORTIZED = METRICS = ("actual", "amortized")
ZERO = Decimal(0)


def rounded(amount, digits):
    """Rounded half-even to so many digits after the point."""
    return amount.quantize(Decimal(1).scaleb(-digits), rounding=decimal.ROUND_HALF_EVEN)


def stored(amount):
    """An amount as the lake keeps it."""
    return rounded(amount, 24)


def fail(*lines):
    print("\n  ".join(["differs:", *map(str, lines)]))
    sys.exit(1)


def ok(what):
    print(f"ok: {what}")


# --- what a charge is ----------------------------------------------------------------------------

USED = ("reservation_usage", "savings_plan_usage")
UNUSED = ("unused_reservation", "unused_savings_plan")
PURCHASES = ("reservation_purchase", "savings_plan_purchase")
REFUNDS = ("reservation_refund", "savings_plan_refund")
COMMITMENT = (*PURCHASES, *REFUNDS, *USED, *UNUSED)
RESERVATION = tuple(name for name in COMMITMENT if "reservation" in name)
MARKETPLACE = ("marketplace_usage", "marketplace_purchase")
PRICED = ("on_demand_usage", "spot_usage", *USED)  # usage that a price list knows


def word(text):
    """Case, blanks and dashes do not matter."""
    return re.sub(r"[ \-]", "", text).lower()


def benefit_kind(row):
    """What the benefit of a row is, for rows whose pricing model does not say."""
    benefit = row["benefitId"].lower()
    if "/microsoft.capacity/" in benefit or "reservationorders/" in benefit:
        return "reservation"
    if "/microsoft.billingbenefits/" in benefit or "savingsplanorders/" in benefit:
        return "savings_plan"
    return "reservation" if benefit.strip() or row["ReservationId"] else None


def charge_class(row):
    charge, model = word(row["ChargeType"]), word(row["PricingModel"])
    third_party = word(row["PublisherType"]) == "marketplace"
    if charge == "roundingadjustment":
        return "rounding"
    if charge in ("tax", "credit"):
        return "tax_or_credit"
    if third_party:
        return {"usage": "marketplace_usage", "purchase": "marketplace_purchase", "refund": "refund"}.get(charge, "other")
    kind = {"reservation": "reservation", "savingsplan": "savings_plan"}.get(model)
    if charge in ("unusedreservation", "unusedsavingsplan", "unusedbenefit"):
        if charge == "unusedbenefit":
            kind = benefit_kind(row)
            return f"unused_{kind}" if kind else "other"
        return {"unusedreservation": "unused_reservation"}.get(charge, "unused_savings_plan")
    if charge == "usage":
        if model == "" and not kind:
            kind = benefit_kind(row)
        return f"{kind}_usage" if kind else {"spot": "spot_usage"}.get(model, "on_demand_usage")
    if charge in ("purchase", "refund"):
        if not kind and model != "ondemand":
            kind = benefit_kind(row)
        return f"{kind}_{charge}" if kind else {"purchase": "other_purchase", "refund": "refund"}[charge]
    return "other"


def department(row):
    """The id, or the name that stands in for it, in lower case, and the name. Placeholders count as nothing."""
    identifier, name = (None if text in ("", "-2", "Unassigned") else text for text in (row["InvoiceSectionId"], row["InvoiceSectionName"]))
    return (identifier or name or "unassigned").lower(), name


def subscription(row):
    identifier = row["SubscriptionId"].lower()
    return (None if identifier.strip("0-") == "" else identifier), row["SubscriptionName"] or None


def commitment(row, kind):
    if kind not in COMMITMENT:
        return None, None
    order = re.search(r"(?:reservationOrders|savingsPlanOrders)/([^/]+)", row["benefitId"], re.IGNORECASE)
    identifier = order[1] if order else row["ProductOrderId"] or row["benefitId"] or row["ReservationId"] or "unknown"
    name = row["benefitName"] or row["ReservationName"] or row["ProductOrderName"] or None
    return identifier.lower(), name


def cost_at(price_text, row, kind, cost):
    """What the quantity would cost at a price, or None: estimates that savings stand on."""
    if kind not in PRICED or not price_text or not row["Quantity"]:
        return None
    price = stored(Decimal(price_text))
    if price == 0 and (cost != 0 or kind in USED):
        return None  # Azure writes 0 for prices it does not tell
    return stored(stored(Decimal(row["Quantity"])) * price)


@dataclass(frozen=True)
class Charge:
    metric: str
    month: str
    day: date
    charge_class: str
    cost: Decimal  # as stored
    exact: Decimal  # as written
    billing_currency: str
    department: tuple  # id to group by, name, id to show
    subscription: tuple
    commitment: tuple
    meter_category: str
    term: str
    frequency: str
    at_list_price: Decimal
    at_contracted_price: Decimal
    source: dict


def read_charges(files):
    for path in sorted(pathlib.Path(files).glob("*/*/*.csv")):
        metric, month = path.parts[-3], path.parts[-2]
        assert metric in METRICS, f"{path}: is {metric} actual or amortized?"
        with open(path, encoding="utf-8-sig", newline="") as text:
            for row in csv.DictReader(text):
                yield charge_of(metric, f"{month[:4]}-{month[4:]}", row)


def charge_of(metric, month, row):
    exact, kind = Decimal(row["CostInBillingCurrency"]), charge_class(row)
    cost = stored(exact)
    return Charge(
        metric, month, datetime.strptime(row["Date"], "%m/%d/%Y").date(), kind, cost, exact,
        row["BillingCurrencyCode"], department(row), subscription(row), commitment(row, kind),
        row["MeterCategory"] or None, row["Term"] or None, row["Frequency"],
        cost_at(row["PayGPrice"], row, kind, cost), cost_at(row["UnitPrice"], row, kind, cost), row,
    )  # fmt: skip


# --- what Azure's two reports promise ------------------------------------------------------------


def check_reports(charges):
    """cost-data.md, section 6, on the text of the files alone."""
    months = sorted({charge.month for charge in charges})
    by_metric = {metric: [charge for charge in charges if charge.metric == metric] for metric in METRICS}
    if not all(by_metric.values()):
        print("skipped: one metric only, nothing to hold against each other")
        return
    check_same_rows(by_metric)
    for charge in by_metric[ACTUAL]:
        if charge.charge_class in USED and charge.exact != 0:
            fail("usage that a commitment covers costs something in actual", charge)
        if charge.charge_class in UNUSED:
            fail("an unused share in actual", charge)
    ok("usage that a commitment covers costs 0 in actual, and unused shares are not there")
    for charge in by_metric[AMORTIZED]:
        if charge.charge_class in PURCHASES + REFUNDS:
            fail("a purchase or refund of a commitment in amortized", charge)
    ok("no purchases or refunds of commitments in amortized")
    for month in months:
        check_month_total(month, [charge for charge in charges if charge.month == month])
    ok(f"{len(months)} months: amortized - actual = used + unused - purchases - refunds; departments add up to the files")
    check_terms(charges)


def check_same_rows(by_metric):
    """All rows that are no commitment's stand in both reports, every field the same."""

    def plain(charge):
        return charge.month, *charge.source.values()

    def covered(charge):
        left_out = ("EffectivePrice", "CostInBillingCurrency")
        return charge.month, *(value for name, value in charge.source.items() if name not in left_out)

    for what, classes, fields in (
        ("rows that are no commitment's, with their cost", None, plain),
        ("rows of covered usage, all but price and cost", USED, covered),
    ):
        counts = {
            metric: Counter(fields(c) for c in rows if (c.charge_class in classes if classes else c.charge_class not in COMMITMENT))
            for metric, rows in by_metric.items()
        }
        for one, other in (METRICS, METRICS[::-1]):
            for row in counts[one] - counts[other]:
                fail(f"{what}: in {one}, not in {other}", row)
        ok(f"{counts[ACTUAL].total()} {what}, are the same in both reports")


def check_month_total(month, charges):
    def exact(metric, classes=None):
        return sum((c.exact for c in charges if c.metric == metric and (not classes or c.charge_class in classes)), ZERO)

    difference = exact(AMORTIZED) - exact(ACTUAL)
    explained = exact(AMORTIZED, USED + UNUSED) - exact(ACTUAL, PURCHASES + REFUNDS)
    if difference != explained:
        fail(f"{month}: amortized - actual is {difference}, commitments explain {explained}")
    for metric in METRICS:
        departments = defaultdict(Decimal)
        for charge in charges:
            if charge.metric == metric:
                departments[charge.department[0]] += charge.exact
        if sum(departments.values()) != exact(metric):
            fail(f"{month} {metric}: departments are {sum(departments.values())}, the files {exact(metric)}")


def check_terms(charges):
    """What was paid for a commitment is what its whole term consumed; paid monthly, month by month."""
    by_commitment, last_day = defaultdict(list), max(charge.day for charge in charges)
    for charge in charges:
        if charge.commitment[0]:
            by_commitment[charge.commitment[0]].append(charge)
    whole = monthly = 0
    for identifier, rows in sorted(by_commitment.items()):
        bought = [c for c in rows if c.charge_class in PURCHASES and c.metric == ACTUAL]
        given_back = [c for c in rows if c.charge_class in REFUNDS and c.metric == ACTUAL]
        shares = [c for c in rows if c.charge_class in USED + UNUSED and c.metric == AMORTIZED]
        if not bought or not shares or not bought[0].term or term_months(bought[0].term) is None:
            continue
        if all(c.frequency == "OneTime" for c in bought):
            over = add_months(min(c.day for c in bought), term_months(bought[0].term)) <= last_day + timedelta(1)
            cancelled = given_back and max(c.day for c in shares) < max(c.day for c in given_back)
            if not over and not cancelled:
                continue
            whole += 1
            parts = {"whole term": rows}
        else:
            monthly += 1
            parts = defaultdict(list)
            for charge in rows:
                parts[charge.month].append(charge)
        for part, of_part in parts.items():
            paid = sum((c.exact for c in of_part if c.metric == ACTUAL and c.charge_class in PURCHASES + REFUNDS), ZERO)
            consumed = sum((c.exact for c in of_part if c.metric == AMORTIZED and c.charge_class in USED + UNUSED), ZERO)
            if paid != consumed:
                fail(f"{identifier}, {part}: paid {paid}, used and unused are {consumed}")
    ok(f"used + unused = purchases + refunds: {whole} whole terms, {monthly} commitments paid monthly, each month")


# --- the algebra of rollups ----------------------------------------------------------------------


def latest(dated):
    """Of (day, text) pairs the text of the latest day that has one; of several on that day the last in the alphabet."""
    with_text = [pair for pair in dated if pair[1] is not None]
    return max(with_text)[1] if with_text else None


@dataclass
class Group:
    """The rows behind one row of a rollup. Figures of a metric that was never read are None."""

    rows: list
    metrics: set  # which reports of the month were read

    def of(self, metric, classes=None):
        return [c for c in self.rows if c.metric == metric and (classes is None or c.charge_class in classes)]

    def cost(self, metric, classes=None):
        return sum((c.cost for c in self.of(metric, classes)), ZERO) if metric in self.metrics else None

    def count(self, metric, classes=None):
        return len(self.of(metric, classes)) if metric in self.metrics else None

    def days(self, metric, classes):
        days = [c.day for c in self.of(metric, classes)]
        return (min(days), max(days)) if days else (None, None)


def plus(*amounts):
    return None if None in amounts else sum(amounts)


def minus(amount, *others):
    return None if None in (amount, *others) else amount - sum(others)


def quotient(amount, by, digits=6):
    """Rounded half-even once: the true quotient is compared with the half, whatever its length."""
    if amount is None or by is None or by == 0:
        return None
    negative = (amount < 0) != (by < 0)
    # Whole numbers in units of the 24th digit, so that nothing is lost before the one rounding.
    over, under = (abs(int(value.scaleb(24))) for value in (amount, by))
    whole, rest = divmod(over * 10**digits, under)
    if 2 * rest > under or (2 * rest == under and whole % 2 == 1):
        whole += 1
    return Decimal(-whole if negative else whole).scaleb(-digits)


def shown_measures(group):
    """What a department was billed and what it consumed, and why they differ."""
    actual, amortized = group.cost(ACTUAL), group.cost(AMORTIZED)
    difference = minus(amortized, actual)
    purchases, refunds = group.cost(ACTUAL, PURCHASES), group.cost(ACTUAL, REFUNDS)
    used, unused = group.cost(AMORTIZED, USED), group.cost(AMORTIZED, UNUSED)
    return {
        "actual_cost": actual,
        "amortized_cost": amortized,
        "difference": difference,
        "commitment_purchases": purchases,
        "commitment_refunds": refunds,
        "used_shares": used,
        "unused_shares": unused,
        "other_difference": minus(plus(difference, purchases, refunds), used, unused) if len(group.metrics) == 2 else None,
        "on_demand": group.cost(ACTUAL, ("on_demand_usage",)),
        "spot": group.cost(ACTUAL, ("spot_usage",)),
        "marketplace": group.cost(ACTUAL, MARKETPLACE),
        "rounding": group.cost(ACTUAL, ("rounding",)),
        "actual_rows": group.count(ACTUAL),
        "amortized_rows": group.count(AMORTIZED),
    }


def class_measures(group):
    every = shown_measures(group)
    return {name: every[name] for name in ("actual_cost", "amortized_cost", "difference", "actual_rows", "amortized_rows")}


def commitment_measures(group):
    used, unused = group.cost(AMORTIZED, USED), group.cost(AMORTIZED, UNUSED)
    first_purchase, last_purchase = group.days(ACTUAL, PURCHASES)
    first_share, last_share = group.days(AMORTIZED, USED + UNUSED)
    at_once = sum(c.frequency == "OneTime" for c in group.of(ACTUAL, PURCHASES))
    return {
        "commitment_purchases": group.cost(ACTUAL, PURCHASES),
        "commitment_refunds": group.cost(ACTUAL, REFUNDS),
        "used_shares": used,
        "unused_shares": unused,
        "term": latest((c.day, c.term) for c in group.rows),
        "first_purchase": first_purchase,
        "last_purchase": last_purchase,
        "last_refund": group.days(ACTUAL, REFUNDS)[1],
        "first_share": first_share,
        "last_share": last_share,
        "one_time_purchases": at_once if ACTUAL in group.metrics else None,
        "actual_reservation_rows": group.count(ACTUAL, RESERVATION),
        "amortized_reservation_rows": group.count(AMORTIZED, RESERVATION),
        "actual_rows": group.count(ACTUAL),
        "amortized_rows": group.count(AMORTIZED),
        "consumed_shares": plus(used, unused),
        "utilisation": quotient(used, plus(used, unused)),
    }


def commitment_department_measures(group):
    measures = commitment_measures(group)
    del measures["consumed_shares"], measures["utilisation"]
    return measures


def savings_measures(group):
    amortized, unused = group.cost(AMORTIZED), group.cost(AMORTIZED, UNUSED)
    measures = {"amortized_cost": amortized, "unused_shares": unused}
    # Reading: a department that has rows of actual only has a row here, too, since no filter of the table
    # leaves it out.
    for kind, short, column in (("list", "effective", "at_list_price"), ("contracted", "contracted", "at_contracted_price")):
        priced = [c for c in group.of(AMORTIZED) if getattr(c, column) is not None]
        at_price = sum((getattr(c, column) for c in priced), ZERO) if priced else None
        cost = sum((c.cost for c in priced), ZERO) if AMORTIZED in group.metrics else None
        savings = minus(at_price, cost, unused)
        measures |= {
            f"{kind}_cost": at_price,
            f"cost_with_{kind}_price": cost,
            f"{kind}_savings": savings,
            f"{short}_savings_rate": quotient(savings, at_price),
            f"{kind}_price_coverage": quotient(cost, amortized),
        }
    return measures


# Keys of one column are attributes of a charge; keys with a name are pairs, of which the id groups.
PAIRS = ("department", "subscription", "commitment")
ROLLUPS = {
    "department_month": (("department", "billing_currency"), None, shown_measures),
    "department_day": (("department", "day", "billing_currency"), None, shown_measures),
    "department_service_month": (("department", "meter_category", "billing_currency"), None, shown_measures),
    "subscription_month": (("subscription", "billing_currency"), None, shown_measures),
    "charge_class_month": (("charge_class", "billing_currency"), None, class_measures),
    "department_class_month": (("department", "charge_class", "billing_currency"), None, class_measures),
    "commitment_month": (("commitment", "billing_currency"), COMMITMENT, commitment_measures),
    "commitment_department_month": (("commitment", "department", "billing_currency"), COMMITMENT, commitment_department_measures),
    "savings_month": (("department", "billing_currency"), None, savings_measures),
}


def null_first(values):
    return tuple((value is not None, value if value is not None else "") for value in values)


def rollup(table, charges, metrics):
    """The rows of a month, sorted by their keys, as dicts in the order of the columns."""
    keys, classes, measures = ROLLUPS[table]
    groups = defaultdict(list)
    for charge in charges:
        if classes is None or charge.charge_class in classes:
            groups[tuple(getattr(charge, key)[0] if key in PAIRS else getattr(charge, key) for key in keys)].append(charge)
    rows = []
    for values in sorted(groups, key=null_first):
        group = groups[values]
        row = {}
        for key, value in zip(keys, values):
            if key in PAIRS:
                # Reading: the name on the latest day of the rows behind this row, not of all rows of the
                # department, subscription or commitment in the month.
                name = None if value is None else latest((c.day, getattr(c, key)[1]) for c in group)
                row |= {f"{key}_id": value, f"{key}_name": name}
            else:
                row["charge_date" if key == "day" else key] = value
        rows.append(row | measures(Group(group, metrics)))
    return rows


# --- reconciliation ------------------------------------------------------------------------------


def term_months(text):
    """12, 1 Year, 1Year, 3 Years, P1Y; others are unknown."""
    found = re.fullmatch(r"(\d+)|P(\d+)Y|(\d+) ?Years?", text or "", re.IGNORECASE)
    if not found:
        return None
    return int(found[1]) if found[1] else 12 * int(found[2] or found[3])


def add_months(day, months):
    """The same day so many months later, or the last of that month if it has no such day."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    after = date(year + (month == 11), (month + 1) % 12 + 1, 1)
    return date(year, month + 1, min(day.day, (after - timedelta(1)).day))


def other_of_class(row):
    """What a class adds to `other_difference`."""
    if row["charge_class"] in PURCHASES + REFUNDS:
        return row["amortized_cost"]
    if row["charge_class"] in USED + UNUSED:
        return -row["actual_cost"]
    return row["difference"]


def split(amount, weights):
    """An amount in proportion to the weights, in units of the last digit, by largest remainder.

    Reading: a negative amount is split as a positive one is.
    """
    if amount < 0:
        return {key: -part for key, part in split(-amount, weights).items()}
    units, whole = int(amount.scaleb(24)), sum(weights.values())
    parts = {key: divmod(units * weight, whole) for key, weight in weights.items()}
    missing = units - sum(floor for floor, _ in parts.values())
    by_remainder = sorted(parts, key=lambda key: (-parts[key][1], key))
    return {key: Decimal(parts[key][0] + (key in by_remainder[:missing])).scaleb(-24) for key in parts}


def shared_back(policy, charges, month, currency):
    """Per department its part of the unused shares of a month; charges are those to date."""
    of_commitments = defaultdict(list)
    for charge in charges:
        if charge.commitment[0] and charge.billing_currency == currency:
            of_commitments[charge.commitment[0]].append(charge)
    shares = defaultdict(Decimal)
    for identifier, rows in of_commitments.items():
        in_month = [c for c in rows if c.month == month]
        unused = by_department(in_month, AMORTIZED, UNUSED)
        owners, users = (
            {key: int(amount.scaleb(24)) for key, amount in weights.items() if amount > 0}
            for weights in (by_department(rows, ACTUAL, PURCHASES + REFUNDS), by_department(in_month, AMORTIZED, USED))
        )
        chosen = {"central": {}, "owner": owners, "by-usage": users or owners}[policy]
        stays = identifier == "unknown" or not chosen
        for key, amount in (unused if stays else split(sum(unused.values(), ZERO), chosen)).items():
            shares[key] += amount
    return shares


def by_department(charges, metric, classes):
    sums = defaultdict(Decimal)
    for charge in charges:
        if charge.metric == metric and charge.charge_class in classes:
            sums[charge.department[0]] += charge.cost
    return sums


def reconciliation(policy, rollups, charges, month):
    """The table of a month, from its rollups and, for what is shared back, the charges to date."""
    classes = defaultdict(list)
    for row in rollups["department_class_month"]:
        classes[row["department_id"], row["billing_currency"]].append(row)
    departments = {(row["department_id"], row["billing_currency"]): row for row in rollups["department_month"]}
    shares = {}
    if policy:
        for currency in {key[1] for key in departments}:
            shares |= {(key, currency): value for key, value in shared_back(policy, charges, month, currency).items()}
    rows = []
    for key in sorted(departments.keys() | {key for key, value in shares.items() if value != 0}):
        shown = departments.get(key) or absent_department(key, charges)
        causes = {name: shown.get(name, ZERO) for name in ("commitment_purchases", "commitment_refunds", "used_shares", "unused_shares")}
        others = {row["charge_class"]: other_of_class(row) for row in classes[key]}
        others = {name: amount for name, amount in sorted(others.items()) if amount != 0}
        difference, other = shown.get("difference", ZERO), sum(others.values(), ZERO)
        explained = causes["used_shares"] + causes["unused_shares"] - causes["commitment_purchases"] - causes["commitment_refunds"] + other
        amortized, share = shown.get("amortized_cost", ZERO), shares.get(key, ZERO)
        rows.append({
            "department_id": shown["department_id"],
            "department_name": shown["department_name"],
            "billing_currency": key[1],
            "actual_cost": shown.get("actual_cost", ZERO),
            "amortized_cost": amortized,
            "difference": difference,
            **causes,
            "other_difference": other,
            "residual": difference - explained,
            "other_by_class": others or None,
            "unused_policy": policy,
            "shared_back": share if policy else None,
            "amortized_shared_back": amortized - causes["unused_shares"] + share if policy else None,
        })  # fmt: skip
    return rows


def absent_department(key, charges):
    """Who bought a commitment and has no charge this month. Reading: shown as in the latest month that it bought in."""
    rows = [c for c in charges if c.department[0] == key[0] and c.billing_currency == key[1] and c.commitment[0]]
    rows = [c for c in rows if c.month == max(c.month for c in rows)]
    return {"department_id": key[0], "department_name": latest((c.day, c.department[1]) for c in rows)}


def commitment_reconciliation(charges, metrics, month):
    """Every commitment seen up to the end of the month, with what was paid and consumed since the lake began.

    Charges are those of the lake up to the end of the month, metrics the reports that it has of each month.
    """
    commitments = defaultdict(list)
    for charge in charges:
        if charge.commitment[0]:
            commitments[charge.commitment[0], charge.billing_currency].append(charge)
    lake = Lake(charges, metrics, month)
    return [commitment_to_date(commitments[key], lake, *key) for key in sorted(commitments)]


class Lake:
    """What the lake has up to the end of a month, whatever the commitment."""

    def __init__(self, charges, metrics, month):
        self.metrics, self.month = metrics, month
        # Reading: late charges of a day do not show what ran on it.
        self.amortized_days = {c.day for c in charges if c.metric == AMORTIZED and f"{c.day:%Y-%m}" == c.month}
        # Reading: the last charge of the month is no later than its last day, whatever the rows say.
        self.last_charge = max(c.day for c in charges if c.month == month and f"{c.day:%Y-%m}" <= month)

    def shows_that_it_begins(self, purchase):
        """Whether a commitment that had run before a purchase would have left a trace here."""
        month_before = f"{purchase.day.replace(day=1) - timedelta(1):%Y-%m}"
        first = purchase.day.replace(day=1)
        return month_before in self.metrics or any(first <= day < purchase.day for day in self.amortized_days)

    def is_whole(self, start, end):
        """Whether both reports are there of every month from the start to the end, or to this month."""
        last = self.month if end is None else min(self.month, f"{max(start, end - timedelta(1)):%Y-%m}")
        month = start.replace(day=1)
        while f"{month:%Y-%m}" <= last:
            if len(self.metrics.get(f"{month:%Y-%m}", ())) < 2:
                return False
            month = add_months(month, 1)
        return True


def started(purchases, shares, lake):
    """The day that a commitment began, None where it was bought before."""
    if not purchases:
        return None
    first = min(c.day for c in purchases)
    if any(c.day < first for c in shares):
        return None
    on_that_day = [c for c in purchases if c.day == first]
    if any(word(c.frequency) == "onetime" for c in on_that_day) or lake.shows_that_it_begins(on_that_day[0]):
        return first
    return None


def ended(start, term, purchases, refunds, shares, lake):
    """The day after the last one, None if unknown."""
    end = end_of_term(start, term, purchases) if start and term else None
    if refunds:
        refunded = max(c.day for c in refunds)
        lives_on = any(c.day > refunded for c in purchases + shares)
        # Reading: on the day of the end and later there is no rest to be given back.
        has_rest = end is None or refunded < end
        if has_rest and not lives_on and any(day > refunded for day in lake.amortized_days):
            return max([refunded, *(c.day + timedelta(1) for c in shares)])
    return end


def end_of_term(start, term, purchases):
    """The end of the term in which the last purchase lies."""
    last_purchase, terms = max(c.day for c in purchases), 1
    while add_months(start, terms * term) <= last_purchase:
        terms += 1
    return add_months(start, terms * term)


def commitment_to_date(rows, lake, identifier, currency):
    def of(metric, classes):
        return [c for c in rows if c.metric == metric and c.charge_class in classes]

    def cost(charges):
        return sum((c.cost for c in charges), ZERO)

    purchases, refunds = of(ACTUAL, PURCHASES), of(ACTUAL, REFUNDS)
    used, unused = of(AMORTIZED, USED), of(AMORTIZED, UNUSED)
    in_month = [[c for c in shares if c.month == lake.month] for shares in (used, unused)]
    kinds = {"reservation" if c.charge_class in RESERVATION else "savings_plan" for c in rows}
    state = term = start = end = remaining = balance = None
    if identifier != "unknown":
        term = term_months(latest(((c.month, c.day), c.term) for c in rows))
        start = started(purchases, used + unused, lake)
        end = ended(start, term, purchases, refunds, used + unused, lake)
        remaining = None if end is None else max(0, (end - lake.last_charge).days - 1)
        state = "bought_before" if start is None else "ended" if remaining == 0 else "active"
        if start and lake.is_whole(start, end):
            balance = cost(purchases) + cost(refunds) - cost(used) - cost(unused)
    return {
        "commitment_id": identifier,
        "commitment_name": latest(((c.month, c.day), c.commitment[1]) for c in rows),
        "commitment_type": kinds.pop() if len(kinds) == 1 else None,
        "billing_currency": currency,
        "state": state,
        "term_months": term,
        "start_date": start,
        "end_date": end,
        "remaining_days": remaining,
        "purchases_to_date": cost(purchases),
        "refunds_to_date": cost(refunds),
        "used_to_date": cost(used),
        "unused_to_date": cost(unused),
        "balance": balance,
        "utilisation_to_date": quotient(cost(used), cost(used + unused)),
        "utilisation_in_month": quotient(cost(in_month[0]), cost(in_month[0] + in_month[1])),
        "bought_by": shown_by(rows, ACTUAL, PURCHASES, REFUNDS),
        "used_by": shown_by(rows, AMORTIZED, USED),
    }


def shown_by(rows, metric, *classes):
    """Departments with their amounts, without those that have none.

    Reading: who got back all that was paid is named with 0.
    """
    sums = [by_department(rows, metric, some) for some in classes]
    return {key: sum(one[key] for one in sums) for key in sorted(set().union(*sums)) if any(one[key] != 0 for one in sums)} or None


# --- the lake ------------------------------------------------------------------------------------

KEYS = "department_id charge_date meter_category subscription_id charge_class commitment_id billing_currency".split()
JSON_COLUMNS = ("other_by_class", "bought_by", "used_by")
DATE_COLUMNS = "charge_date first_purchase last_purchase last_refund first_share last_share start_date end_date".split()
COUNTS = (
    "actual_rows amortized_rows actual_reservation_rows amortized_reservation_rows one_time_purchases term_months remaining_days"
).split()
TEXTS = (
    "department_id department_name billing_currency meter_category subscription_id subscription_name charge_class "
    "commitment_id commitment_name term unused_policy commitment_type state"
).split()


def type_of(column):
    if column in DATE_COLUMNS:
        return pyarrow.date32()
    if column in COUNTS:
        return pyarrow.int64()
    if column in (*TEXTS, *JSON_COLUMNS):
        return pyarrow.string()
    if column.startswith("utilisation") or column.endswith(("_rate", "_coverage")):
        return pyarrow.decimal128(38, 6)
    return pyarrow.decimal128(38, 24)


def amounts_of(text):
    """A JSON object of amounts as texts, or None."""
    if text is None:
        return None
    parsed = json.loads(text)
    for name, amount in parsed.items():
        if not isinstance(amount, str) or not re.fullmatch(r"-?\d+(\.\d+)?", amount):
            fail(f"{text}: {name} is no amount as a text")
    return {name: Decimal(amount) for name, amount in parsed.items()}


def objects_of(lake, table):
    return sorted(pathlib.Path(lake).glob(f"{table}/billing_period=*/scope=*/data.parquet"))


def compare(table, lake, expected, options):
    """Compares a table of the lake, month by month, in order, to the last digit."""
    paths = objects_of(lake, table)
    if not paths and expected:
        if options.all:
            fail(f"{table} is not in the lake")
        return print(f"skipped: {table} is not in the lake")
    found = {path.parent.parent.name.removeprefix("billing_period="): path for path in paths}
    if len(found) != len(paths):
        fail(f"{table}: more than one scope in the lake, the files are one scope")
    if sorted(found) != sorted(expected):
        fail(f"{table}: months", f"expected {sorted(expected)}", f"found    {sorted(found)}")
    for month, path in found.items():
        compare_month(table, month, pyarrow.parquet.ParquetFile(path).read(), expected[month])
    ok(f"{table}: {sum(map(len, expected.values()))} rows in {len(expected)} months")


def compare_month(table, month, found, expected):
    columns = list(expected[0]) if expected else found.column_names
    if found.column_names != columns:
        fail(f"{table} {month}: columns", f"expected {columns}", f"found    {found.column_names}")
    for field in found.schema:
        if field.type != type_of(field.name):
            fail(f"{table} {month}: type of {field.name}", f"expected {type_of(field.name)}", f"found    {field.type}")
    keys = [name for name in columns if name in KEYS]
    found = [{name: amounts_of(row[name]) if name in JSON_COLUMNS else row[name] for name in columns} for row in found.to_pylist()]
    expected_keys, found_keys = ([tuple(row[name] for name in keys) for row in rows] for rows in (expected, found))
    if expected_keys != found_keys:
        fail(
            f"{table} {month}: rows by {', '.join(keys)}",
            f"expected but missing: {[key for key in expected_keys if key not in found_keys][:5]}",
            f"found and not expected: {[key for key in found_keys if key not in expected_keys][:5]}",
            "or only their order differs: sorted by the keys, null first",
        )
    for key, want, have in zip(expected_keys, expected, found):
        for column in columns:
            in_order = column not in JSON_COLUMNS or list(have[column] or ()) == list(want[column] or ())
            if have[column] != want[column] or not in_order:
                fail(
                    f"{table} {month}: {dict(zip(keys, key))}",
                    f"column   {column}",
                    f"expected {want[column]}",
                    f"found    {have[column]}",
                )


def check_line_items(lake, charges):
    """The class and cost of each line item, so that what follows rests on the same rows."""
    expected = Counter((c.metric, c.month, c.day, c.charge_class, c.cost) for c in charges)
    found = Counter()
    for path in sorted(pathlib.Path(lake).glob("cost_line_items/metric=*/billing_period=*/scope=*/data.parquet")):
        metric, month = (part.split("=")[1] for part in path.parts[-4:-2])
        batch = pyarrow.parquet.ParquetFile(path).read(columns=["charge_date", "charge_class", "cost"])
        found.update((metric, month, *row) for row in zip(*(batch[name].to_pylist() for name in batch.column_names)))
    for item in (expected - found) or (found - expected):
        fail("line items by class and cost", item, f"expected {expected[item]} times", f"found    {found[item]} times")
    ok(f"{expected.total()} line items: class and cost")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("files")
    parser.add_argument("lake")
    parser.add_argument("--unused", choices=["central", "owner", "by-usage"], help="the policy that the lake was reconciled with")
    parser.add_argument("--all", action="store_true", help="absent tables are errors")
    parser.add_argument("--differ", action="store_true", help="the two reports need not agree")
    options = parser.parse_args()

    charges = list(read_charges(options.files))
    assert charges, f"no CSV files in {options.files}"
    classes = Counter(charge.charge_class for charge in charges)
    print(f"{len(charges)} rows: {', '.join(f'{name} {count}' for name, count in sorted(classes.items()))}")
    if not options.differ:
        check_reports(charges)
    check_line_items(options.lake, charges)

    by_month = defaultdict(list)
    for charge in charges:
        by_month[charge.month].append(charge)
    months, metrics = sorted(by_month), {month: {c.metric for c in rows} for month, rows in by_month.items()}
    rollups = {month: {table: rollup(table, by_month[month], metrics[month]) for table in ROLLUPS} for month in months}

    for table in ROLLUPS:
        compare(table, options.lake, {month: rollups[month][table] for month in months}, options)

    whole = [month for month in months if len(metrics[month]) == 2]
    to_date = {month: [c for c in charges if c.month <= month] for month in months}
    expected = {month: reconciliation(options.unused, rollups[month], to_date[month], month) for month in whole}
    check_reconciliation(expected)
    compare("reconciliation", options.lake, expected, options)
    # Reading: a month of one metric has figures to date, although it cannot be reconciled.
    expected = {m: commitment_reconciliation(to_date[m], {n: metrics[n] for n in months if n <= m}, m) for m in months}
    compare("commitment_reconciliation", options.lake, expected, options)


def check_reconciliation(expected):
    """The parts of what is expected add up, so that the oracle does not contradict itself."""
    for month, rows in expected.items():
        for row in rows:
            assert row["residual"] == 0, f"{month}: {row}"
        if rows and rows[0]["unused_policy"]:
            for one, other in (("shared_back", "unused_shares"), ("amortized_shared_back", "amortized_cost")):
                assert sum(row[one] for row in rows) == sum(row[other] for row in rows), f"{month}: {one} against {other}"


if __name__ == "__main__":
    main()
