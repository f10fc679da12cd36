"""The rules of docs/reading-cost-files.md once more, in Python, with decimals of Python's own.

It follows the document and shares no code with costlake. Where the document is silent, as on which values
make which charge class, it takes the reading of costlake: there it guards against change, not against a
misreading. Names and types of the columns are those of the table in docs/format.md. Speed does not matter, but regular expressions do the
scanning, because the comparison reads thousands of files.
"""

import decimal
import json
import pathlib
import re
from datetime import date
from decimal import Decimal

ROOT = pathlib.Path(__file__).resolve().parents[2]
MARK = b"\xef\xbb\xbf"
MAX_TITLES = 4

decimal.getcontext().prec = 200


class Refused(Exception):
    """A file that cannot be trusted, by the kind of its fault."""

    def __init__(self, kind, place=None, records=None, missing=()):
        super().__init__(kind)
        self.kind, self.place, self.records, self.missing = kind, place, records, list(missing)


# --- columns -------------------------------------------------------------------------------------


def source_columns():
    """Names and types of the columns that come from the source, in the order of the table."""
    text = (ROOT / "docs/format.md").read_text(encoding="utf-8")
    table = text.split("### `cost_line_items`")[1].split("###")[0]
    rows = re.findall(r"^\| `(\w+)` \| ([\w(),]+) \|", table, re.MULTILINE)
    names = [name for name, _ in rows]
    return {name: kind for name, kind in rows[: names.index("tags") + 1]}


COLUMNS = source_columns()
DATES = [name for name, kind in COLUMNS.items() if kind == "date"]
DECIMALS = [name for name, kind in COLUMNS.items() if kind == "decimal(38,24)"]
BOOLEANS = [name for name, kind in COLUMNS.items() if kind == "boolean"]
TEXTS = [name for name, kind in COLUMNS.items() if kind == "string" and name != "tags"]

# Spellings that differ from the name of their column by more than case and separators
# (reference/header-aliases.csv).
ALIASES = {
    "charge_date": "Date UsageDateTime UsageDate",
    "cost": "CostInBillingCurrency Cost PreTaxCost ExtendedCost",
    "billing_currency": "BillingCurrencyCode BillingCurrency Currency",
    "department_name": "InvoiceSectionName InvoiceSection DepartmentName",
    "department_id": "InvoiceSectionId DepartmentId",
    "account_owner": "AccountOwnerId AccountOwnerEmail",
    "subscription_id": "SubscriptionId SubscriptionGuid",
    "resource_group": "ResourceGroup ResourceGroupName",
    "resource_id": "ResourceId InstanceId InstanceName",
    "resource_location": "ResourceLocation Location",
    "product_name": "ProductName Product",
    "quantity": "Quantity UsageQuantity",
    "effective_price": "EffectivePrice ResourceRate",
    "pricing_currency": "PricingCurrency PricingCurrencyCode",
    "exchange_rate": "ExchangeRate ExchangeRatePricingToBilling",
    "retail_price": "PayGPrice MarketPrice",
    "meter_id": "MeterId ResourceGuid",
    "billing_period_start": "BillingPeriodStartDate",
    "billing_period_end": "BillingPeriodEndDate",
    "service_period_start": "ServicePeriodStartDate",
    "service_period_end": "ServicePeriodEndDate",
}

# Two names that may stand in one file: the one that is the column, the other, and what the other is.
PAIRS = [
    ("subscriptionguid", "subscriptionid", None),
    ("meterid", "resourceguid", None),
    ("resourcelocation", "location", "resource_location_normalized"),
    ("resourceid", "instancename", None),
]


def key(name):
    return re.sub("[ \u00a0_-]", "", name).lower()


BY_KEY = {key(name): name for name in COLUMNS}
BY_KEY.update({key(spelling): name for name, spellings in ALIASES.items() for spelling in spellings.split()})


# --- records -------------------------------------------------------------------------------------

QUOTED = re.compile(rb'"([^"]*+(?:""[^"]*+)*+)"')
BARE = re.compile(rb"[^,\r\n]*+")
OTHER_TEXT = re.compile(rb"(?:[^,\r\n]|\r(?!\n))*+")
LINE_END = re.compile(rb"\r?\n")


class Record:
    """A record: where it lies, its fields, and what is wrong with its shape."""

    __slots__ = ("number", "start", "end", "next", "fields", "fault")

    def __init__(self, start):
        self.number, self.start, self.end, self.next = 0, start, start, start
        self.fields, self.fault = [], None

    def raw(self, data):
        return data[self.start : self.end]


def read_record(data, start):
    """The record at a place; None if it ends inside quotes."""
    record, at = Record(start), start
    while True:
        if data.startswith(b'"', at):
            quoted = QUOTED.match(data, at)
            if quoted is None:
                return None
            content, at = quoted[1].replace(b'""', b'"'), quoted.end()
            fault = "quote-form"
        else:
            end = BARE.match(data, at).end()
            content, at = data[at:end], end
            fault = "line-end"
        record.fields.append(content)
        line_end = LINE_END.match(data, at)
        if at < len(data) and data[at] != ord(",") and line_end is None:
            fault = "line-end" if data[at] == ord("\r") else fault
            record.fault = record.fault or fault
            at = OTHER_TEXT.match(data, at).end()
            line_end = LINE_END.match(data, at)
        if at < len(data) and line_end is None:
            at += 1
            continue
        record.end, record.next = at, line_end.end() if line_end else at
        return record


def read_records(data, start):
    """All records from a place on, and how many empty lines stand among them."""
    records, blank_lines, at = [], 0, start
    while at < len(data):
        empty = LINE_END.match(data, at)
        if empty:
            blank_lines, at = blank_lines + 1, empty.end()
            continue
        record = read_record(data, at)
        if record is None:
            raise Refused("unclosed-quote", (len(records) + 1, at), records)
        records.append(record)
        record.number, at = len(records), record.next
    return records, blank_lines


# --- the header ----------------------------------------------------------------------------------


def check_bytes(data):
    """Other kinds of files, by their first bytes."""
    utf16 = data[:2] in (b"\xff\xfe", b"\xfe\xff") or re.match(rb"[^\0]\0[^\0]\0|\0[^\0]\0[^\0]", data[:4])
    if utf16 or data.startswith((b"\0\0", b"\x1f\x8b", b"PK\x03\x04", b"PAR1")):
        raise Refused("encoding")
    if data.removeprefix(MARK).lstrip(b" \t\r\n").startswith(b"<"):
        raise Refused("markup")


def cleaned(name):
    name = name.strip(" \t\r\n\u00a0\ufeff")
    localised = re.search(r"\(([^()]*\S[^()]*)\)$", name)
    return localised[1].strip() if localised else name


class Header:
    """What the columns of a file mean."""

    def __init__(self, names, has_currency):
        self.names = [cleaned(name) for name in names]
        keys = [key(name) for name in self.names]
        meanings = [self.meaning(one, keys) for one in keys]
        known = [name for name in meanings if name]
        if len(known) < 3:
            raise Refused("no-header")
        if len(set(known)) < len(known):
            raise Refused("ambiguous-header")
        unknown = [name for name, meaning in zip(self.names, meanings) if name and not meaning]
        if len(set(unknown)) < len(unknown):
            raise Refused("repeated-name")
        required = ["charge_date", "cost"] + ([] if has_currency else ["billing_currency"])
        missing = [name for name in required if name not in known]
        if missing:
            raise Refused("missing-columns", missing=missing)
        self.field_of = {name: at for at, name in enumerate(meanings) if name}
        self.unknown = [(at, self.shown(at)) for at, name in enumerate(meanings) if not name]

    @staticmethod
    def meaning(one, keys):
        for preferred, other, goes_to in PAIRS:
            if one == other and preferred in keys:
                return goes_to
        return BY_KEY.get(one)

    def shown(self, at):
        name = self.names[at] or f"column_{at + 1}"
        while not self.names[at] and name in self.names:
            name += "_"
        return name

    def is_repeated_by(self, fields):
        """Whether a row that could not be typed is a header, of this file or of another."""
        names = [cleaned(field.decode("utf-8", "replace")).strip('"') for field in fields]
        names = [name for name in names if name]
        known = [name for name in names if key(name) in BY_KEY or name in self.names]
        return len(known) >= 3 and len(known) * 2 >= len(names)


class Found:
    """The header of a file, and where it stands."""

    def __init__(self, header, start, end, titles, blank_lines, second_mark):
        self.header, self.start, self.end = header, start, end
        self.titles, self.blank_lines, self.second_mark = titles, blank_lines, second_mark


def find_header(data, has_currency):
    check_bytes(data)
    at, titles, blank_lines = len(MARK) if data.startswith(MARK) else 0, 0, 0
    while True:
        empty = re.compile(rb"[\r\n]*").match(data, at)
        blank_lines, at = blank_lines + empty[0].count(b"\n"), empty.end()
        if at == len(data):
            raise Refused("no-header" if titles else "empty")
        record = read_record(data, at)
        if record is None:
            raise Refused("no-header" if titles else "header-too-long")
        if record.fault:
            raise Refused("no-header")
        try:
            names = [field.decode() for field in record.fields]
        except UnicodeDecodeError:
            raise Refused("encoding") from None
        try:
            header = Header(names, has_currency)
        except Refused as refused:
            filled = sum(1 for name in names if name.strip())
            titles += 1
            if refused.kind != "no-header" or filled >= 3 or titles > MAX_TITLES:
                raise
            at = record.next
            continue
        second_mark = data.startswith(MARK, record.next)
        end = record.next + (len(MARK) if second_mark else 0)
        return Found(header, at, end, titles, blank_lines, second_mark)


# --- values --------------------------------------------------------------------------------------

NUMBER = re.compile(rb"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?")
CLOCK = rb"(?:00?:00(?::00)?)(?:\.0+)?(?:Z|\+00:00)?"
FORMATS = {
    "month-first": re.compile(rb"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4}|[0-9]{2})(?: " + CLOCK + rb")?"),
    "iso": re.compile(rb"([0-9]{4})-([0-9]{2})-([0-9]{2})(?:[ T]" + CLOCK + rb"|Z)?"),
    "compact": re.compile(rb"([0-9]{4})([0-9]{2})([0-9]{2})"),
}
ZERO_GUID = b"00000000-0000-0000-0000-000000000000"
PLACEHOLDERS = {
    "subscription_id": ZERO_GUID,
    "meter_id": ZERO_GUID,
    "department_id": b"-2",
    "account_id": b"-2",
    "part_number": b"-2",
}
STORED_UNIT = Decimal(1).scaleb(-24)
BOOLEAN = {b"true": "true", b"1": "true", b"false": "false", b"0": "false"}


class Fault(Exception):
    """The rule that a value breaks, and the position of its field where only the reader of it knows."""

    def __init__(self, rule, field=None):
        super().__init__(rule)
        self.rule, self.field = rule, field


def number(field):
    text = field.strip(b" ")
    if not text:
        return None
    if len(text) > 64 or not NUMBER.fullmatch(text):
        raise Fault("number-form")
    value = Decimal(text.decode())
    if not value:
        return Decimal(0)
    value = value.normalize()
    _, digits, exponent = value.as_tuple()
    if len(digits) > 38 or exponent < -38 or abs(value) >= 10**14:
        raise Fault("number-range")
    return value


def stored(value):
    return value.quantize(STORED_UNIT, rounding=decimal.ROUND_HALF_EVEN)


def plain(value):
    """Plain digits without zeros at the end."""
    text = f"{value:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text


def day(field, form):
    found = FORMATS[form].fullmatch(field)
    if not found:
        return None
    parts = [int(part) for part in found.groups()]
    year, month, of_month = (parts[2], *parts[:2]) if form == "month-first" else parts
    year += 2000 if form == "month-first" and len(found[3]) == 2 else 0
    try:
        return date(year, month, of_month) if year >= 1900 else None
    except ValueError:
        return None


def json_object(text):
    """Tags as an object, with braces if they lack; None if that gives none."""
    text = text.strip()
    text = text if text.startswith("{") else "{" + text + "}"

    def no_number(name):
        raise ValueError(name)

    try:
        json.loads(text, parse_constant=no_number)
    except ValueError:
        return None
    return text


def utf8(field, at=None):
    try:
        return field.decode()
    except UnicodeDecodeError:
        raise Fault("encoding", at) from None


# --- charge classes ------------------------------------------------------------------------------


def charge_class(row, has_charge_type):
    """What a charge is: docs/rollups.md and reference/cost-data.md, 5."""

    def word(name):
        return re.sub(r"[\s-]", "", row.get(name) or "").lower()

    charge = word("charge_type") if has_charge_type else "usage"
    model, benefit = word("pricing_model"), (row.get("benefit_id") or "").lower()
    if word("publisher_type") == "marketplace":
        names = {"usage": "marketplace_usage", "purchase": "marketplace_purchase", "refund": "refund"}
        names |= {"roundingadjustment": "rounding", "tax": "tax_or_credit", "credit": "tax_or_credit"}
        return names.get(charge, "other")
    of_benefit = None
    if "/microsoft.billingbenefits/" in benefit:
        of_benefit = "savingsplan"
    elif "/microsoft.capacity/" in benefit or row.get("reservation_id"):
        of_benefit = "reservation"
    if charge == "unusedbenefit" and of_benefit:
        model = of_benefit
    elif not model:
        model = of_benefit or "ondemand"
    elif charge in ("purchase", "refund") and model not in ("ondemand", "reservation", "savingsplan"):
        model = of_benefit or model
    commitment = {"reservation": "reservation", "savingsplan": "savings_plan"}.get(model)
    if charge == "usage":
        usage = {"ondemand": "on_demand_usage", "spot": "spot_usage"}
        return f"{commitment}_usage" if commitment else usage.get(model, "other")
    if charge in ("purchase", "refund"):
        other = {"purchase": "other_purchase", "refund": "refund"}[charge]
        return f"{commitment}_{charge}" if commitment else other
    if charge == "unusedbenefit":
        return f"unused_{commitment}" if commitment else "other"
    names = {"unusedreservation": "unused_reservation", "unusedsavingsplan": "unused_savings_plan"}
    names |= {"roundingadjustment": "rounding", "tax": "tax_or_credit", "credit": "tax_or_credit"}
    return names.get(charge, "other")


# --- rows ----------------------------------------------------------------------------------------


class Totals:
    """Count and sums of one decimal column."""

    def __init__(self):
        self.values, self.exact, self.stored, self.rounded = 0, Decimal(0), Decimal(0), 0

    def add(self, value):
        if value is None:
            return
        kept = stored(value)
        self.values += 1
        self.exact += value
        self.stored += kept
        self.rounded += kept != value

    def figures(self):
        return [self.values, plain(self.exact), plain(self.stored), self.rounded]


class Typed:
    """The rows of a file, typed: what is to be expected of costlake."""

    def __init__(self, header, currency):
        self.header, self.currency = header, currency
        self.rows, self.quarantined = [], []
        present = [name for name in DECIMALS if name in header.field_of]
        self.source = {name: Totals() for name in present}
        self.published = {name: Totals() for name in present}
        self.withheld = {name: Totals() for name in present}
        self.formats = {}

    def fields(self, names):
        return [(name, self.header.field_of[name]) for name in names if name in self.header.field_of]

    def decide_formats(self, rows):
        """One format per column: that of the first day that can be read, wherever it stands."""
        for name, at in self.fields(DATES):
            for fields in rows:
                content = fields[at].strip(b" ")
                form = next((form for form in FORMATS if day(content, form)), None)
                if form:
                    self.formats[name] = form
                    break

    def type_row(self, fields):
        """The row by column, and its first fault."""
        row, faults = {}, []

        def put(name, at, read):
            try:
                row[name] = read()
            except Fault as fault:
                row[name] = None
                faults.append((fault.field if at is None else at, fault.rule, name))

        for name, at in self.fields(DATES):
            put(name, at, lambda: self.day(name, fields[at].strip(b" ")))
        for name, at in self.fields(DECIMALS):
            put(name, at, lambda: self.needed(name == "cost", number(fields[at])))
        for name, at in self.fields(BOOLEANS):
            put(name, at, lambda: self.boolean(fields[at].strip(b" ").lower()))
        for name, at in self.fields(TEXTS):
            put(name, at, lambda: self.text(name, fields[at]))
        for name, at in self.fields(["tags"]):
            put(name, at, lambda: utf8(fields[at]) or None)
        put("extra", None, lambda: self.extra(fields))
        leftmost = min(faults, key=lambda fault: fault[0], default=None)
        return row, leftmost and leftmost[1:]

    def day(self, name, content):
        if not content:
            return self.needed(name == "charge_date", None)
        found = day(content, self.formats[name]) if name in self.formats else None
        if found is None:
            raise Fault("date")
        return found.isoformat()

    @staticmethod
    def needed(is_needed, value):
        if is_needed and value is None:
            raise Fault("missing")
        return value

    @staticmethod
    def boolean(content):
        if content and content not in BOOLEAN:
            raise Fault("boolean")
        return BOOLEAN.get(content)

    def text(self, name, field):
        if name == "billing_currency" and not field.strip(b" "):
            raise Fault("missing")
        if not field or field == PLACEHOLDERS.get(name):
            return None
        return utf8(field)

    def extra(self, fields):
        filled = {name: utf8(fields[at], at) for at, name in self.header.unknown}
        filled = {name: text for name, text in filled.items() if text}
        return json.dumps(filled, ensure_ascii=False, separators=(",", ":")) if filled else None

    def add(self, record, data):
        """Types a record."""
        fault = record.fault or (len(record.fields) != len(self.header.names) and "field-count")
        if fault:
            self.withhold(record, (fault, None), None, data)
            return
        row, fault = self.type_row(record.fields)
        for name, totals in self.source.items():
            totals.add(row[name])
            (self.withheld if fault else self.published)[name].add(row[name])
        if fault:
            self.withhold(record, fault, row["cost"], data)
        else:
            self.rows.append(self.finished(row, record.number))

    def withhold(self, record, fault, cost, data):
        if self.header.is_repeated_by(record.fields):
            raise Refused("repeated-header", (record.number, record.start))
        cost = None if cost is None else plain(stored(cost))
        raw = record.raw(data).decode("latin-1")
        self.quarantined.append([record.number, *fault, record.start, cost, raw])

    def finished(self, row, record_number):
        tags = row.get("tags")
        if tags is not None:
            parsed = json_object(tags) if tags.strip() else None
            row["tags"], row["tags_raw"] = parsed, tags if parsed is None and tags.strip() else None
        if "billing_currency" not in self.header.field_of:
            row["billing_currency"] = self.currency
        row["charge_class"] = charge_class(row, "charge_type" in self.header.field_of)
        row["record"] = str(record_number)
        return row

    def cells(self, name):
        values = [row.get(name) for row in self.rows]
        if name in DECIMALS:
            return [None if value is None else plain(stored(value)) for value in values]
        return values

    def sums_by(self, name, amount):
        sums = {}
        for row in self.rows:
            sums[row[name]] = sums.get(row[name], Decimal(0)) + amount(row["cost"])
        return {group: plain(total) for group, total in sums.items()}


def typed(header, currency, records, data):
    """Types the records of a file; raises Refused if one of them is a header."""
    result = Typed(header, currency)
    width = len(header.names)
    sound = [record.fields for record in records if not record.fault and len(record.fields) == width]
    result.decide_formats(sound)
    for record in records:
        result.add(record, data)
    return result
