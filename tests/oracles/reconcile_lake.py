"""Computes every shipped rollup and both tables of `costlake reconcile` in DuckDB, from the published line items
alone, and demands that the published tables hold the same rows, to the last digit.

    reconcile_lake.py LAKE [--all]

The rules are those of docs/rollups.md, docs/reconciliation.md and docs/format.md. Sums are DuckDB's own over
DECIMAL(38,24), which are exact and fail rather than overflow; no column may turn into DOUBLE. Two things SQL
decimals cannot do, products of two such numbers and quotients rounded half-even, come from Python: see
`Lake.fill`. Charge classes are taken from the line items: reconcile_csv.py checks them. How unused shares are
split among departments is checked there, too; here only that the parts add up, and what `central` means.

The order of rows does not count here; reconcile_csv.py checks it. Tables that the lake does not have are
skipped, with --all they are errors. Lakes may have several scopes.
"""

import argparse
import decimal
import pathlib
import sys
from decimal import Decimal

import duckdb
import pyarrow

decimal.getcontext().prec = 120
AMOUNT = "decimal(38,24)"


def fail(*lines):
    print("\n  ".join(["differs:", *map(str, lines)]))
    sys.exit(1)


def ok(what):
    print(f"ok: {what}")


# --- what SQL decimals cannot do -----------------------------------------------------------------


def product(quantity, price, rate):
    """quantity x price, rounded half-even to 24 digits, and that x rate likewise."""
    unit = Decimal(1).scaleb(-24)
    return ((quantity * price).quantize(unit, rounding=decimal.ROUND_HALF_EVEN) * rate).quantize(unit, rounding=decimal.ROUND_HALF_EVEN)


def quotient(part, whole):
    """part / whole, rounded half-even to 6 digits once: the rest of the division decides."""
    if whole == 0:
        return None
    over, under = (int(value.scaleb(24)) for value in (part, whole))
    if under < 0:
        over, under = -over, -under
    result, rest = divmod(over * 10**6, under)
    if 2 * rest > under or (2 * rest == under and result % 2):
        result += 1
    return Decimal(result).scaleb(-6)


# Looked up by exact value; a value that is not there is null.
LOOKUPS = """
create table products (quantity decimal(38,24), price decimal(38,24), rate decimal(38,24), result decimal(38,24));
create table quotients (part decimal(38,24), whole decimal(38,24), result decimal(38,6));
create macro product(a, b, c) as (select result from products p where p.quantity = a and p.price = b and p.rate = c);
create macro quotient(a, b) as (select result from quotients q where q.part = a and q.whole = b);
"""


# --- the line items, with the keys of the algebra ------------------------------------------------

PRICED = """
create table priced as
with typed as (
    select
        metric, billing_period, scope, charge_date, charge_class, cost, billing_currency, meter_category, term, frequency,
        nullif(nullif(nullif(department_id, ''), '-2'), 'Unassigned') as section_id,
        nullif(nullif(nullif(department_name, ''), '-2'), 'Unassigned') as section_name,
        lower(subscription_id) as subscription_id, subscription_name,
        regexp_matches(charge_class, '^(unused_)?(reservation|savings_plan)(_usage|_purchase|_refund)?$') as is_commitment,
        charge_class in ('on_demand_usage', 'spot_usage', 'reservation_usage', 'savings_plan_usage') as is_priced,
        charge_class in ('reservation_usage', 'savings_plan_usage') as is_covered,
        -- 1. the order in benefit_id, 2. product_order_id, 3. benefit_id, 4. reservation_id
        lower(coalesce(
            nullif(regexp_extract(benefit_id, '(reservationOrders|savingsPlanOrders)/([^/]+)', 2, 'i'), ''),
            product_order_id, benefit_id, reservation_id, 'unknown')) as order_id,
        coalesce(benefit_name, reservation_name, product_order_name) as order_name,
        quantity,
        -- A price or cost of 0 is missing where the row costs something or a commitment covers it.
        cost <> 0 or is_covered as is_real,
        nullif(list_cost, case when is_real then 0 end) as list_cost,
        nullif(contracted_cost, case when is_real then 0 end) as contracted_cost,
        nullif(retail_price, case when is_real then 0 end) as retail_price,
        nullif(unit_price, case when is_real then 0 end) as unit_price,
        case when source_kind = 'focus' or coalesce(pricing_currency, billing_currency) = billing_currency then 1::decimal(38,24) else exchange_rate end as rate,
        1::decimal(38,24) as no_rate
    from read_parquet('{lake}/cost_line_items/**/data.parquet', hive_partitioning = true, hive_types_autocast = false)
)
select *, case when is_priced then retail_price end as list_price, case when is_priced then unit_price end as contracted_price
from typed
"""

CHARGES = """
create table charges as
select
    metric, billing_period, scope, charge_date, charge_class, cost, billing_currency, meter_category, term, frequency,
    lower(coalesce(section_id, section_name, 'unassigned')) as department_id,
    section_name as department_name,
    subscription_id, case when subscription_id is not null then subscription_name end as subscription_name,
    case when is_commitment then order_id end as commitment_id,
    case when is_commitment then order_name end as commitment_name,
    case when is_priced then coalesce(list_cost,
        product(quantity, list_price, rate)) end as cost_at_list_price,
    case when is_priced then coalesce(contracted_cost,
        product(quantity, contracted_price, no_rate)) end as cost_at_contracted_price
from priced
"""

# A month in which a report was read has its partition, be it without rows.
REPORTS = """
create table reports as
select billing_period, scope, bool_or(metric = 'actual') as has_actual, bool_or(metric = 'amortized') as has_amortized
from (
    select regexp_extract(file, '/metric=([^/]+)/', 1) as metric,
        regexp_extract(file, '/billing_period=([^/]+)/', 1) as billing_period,
        regexp_extract(file, '/scope=([^/]+)/', 1) as scope
    from glob('{lake}/cost_line_items/**/data.parquet')
) group by all
"""

# --- the shipped rollups -------------------------------------------------------------------------

USED = "charge_class in ('reservation_usage', 'savings_plan_usage')"
UNUSED = "charge_class in ('unused_reservation', 'unused_savings_plan')"
PURCHASE = "charge_class in ('reservation_purchase', 'savings_plan_purchase')"
REFUND = "charge_class in ('reservation_refund', 'savings_plan_refund')"
RESERVATION = "charge_class in ('reservation_usage', 'reservation_purchase', 'reservation_refund', 'unused_reservation')"


def of(metric, expression, where="true", nothing="0"):
    """An aggregate over the rows of one report; null if that report was never read."""
    return f"case when bool_or(has_{metric}) then coalesce({expression} filter (metric = '{metric}' and {where}), {nothing}) end"


def cost(metric, where="true"):
    return of(metric, "sum(cost)", where)


def rows(metric, where="true"):
    return of(metric, "count(*)", where)


PARTS = {
    "actual_cost": cost("actual"),
    "amortized_cost": cost("amortized"),
    "difference": "amortized_cost - actual_cost",
    "commitment_purchases": cost("actual", PURCHASE),
    "commitment_refunds": cost("actual", REFUND),
    "used_shares": cost("amortized", USED),
    "unused_shares": cost("amortized", UNUSED),
    "other_difference": "difference - used_shares - unused_shares + commitment_purchases + commitment_refunds",
    "on_demand": cost("actual", "charge_class = 'on_demand_usage'"),
    "spot": cost("actual", "charge_class = 'spot_usage'"),
    "marketplace": cost("actual", "charge_class in ('marketplace_usage', 'marketplace_purchase')"),
    "rounding": cost("actual", "charge_class = 'rounding'"),
    "actual_rows": rows("actual"),
    "amortized_rows": rows("amortized"),
}
CLASSES = {name: PARTS[name] for name in ("actual_cost", "amortized_cost", "difference", "actual_rows", "amortized_rows")}
COMMITMENTS = {
    **{name: PARTS[name] for name in ("commitment_purchases", "commitment_refunds", "used_shares", "unused_shares")},
    "term": "arg_max(term, {'day': charge_date, 'text': term}) filter (term is not null)",
    "first_purchase": of("actual", "min(charge_date)", PURCHASE, "null"),
    "last_purchase": of("actual", "max(charge_date)", PURCHASE, "null"),
    "last_refund": of("actual", "max(charge_date)", REFUND, "null"),
    "first_share": of("amortized", "min(charge_date)", f"({USED} or {UNUSED})", "null"),
    "last_share": of("amortized", "max(charge_date)", f"({USED} or {UNUSED})", "null"),
    "one_time_purchases": rows("actual", f"{PURCHASE} and frequency in ('OneTime', 'One-Time')"),
    "actual_reservation_rows": rows("actual", RESERVATION),
    "amortized_reservation_rows": rows("amortized", RESERVATION),
    "actual_rows": PARTS["actual_rows"],
    "amortized_rows": PARTS["amortized_rows"],
    "consumed_shares": "used_shares + unused_shares",
    "utilisation": "quotient(used_shares, used_shares + unused_shares)",
}


def savings(kind, rate):
    column = f"cost_at_{kind}_price"
    return {
        f"{kind}_cost": of("amortized", f"sum({column})", nothing="null"),
        f"cost_with_{kind}_price": of("amortized", "sum(cost)", f"{column} is not null"),
        f"{kind}_savings": f"{kind}_cost - cost_with_{kind}_price - unused_shares",
        rate: f"quotient({kind}_savings, {kind}_cost)",
        f"{kind}_price_coverage": f"quotient(cost_with_{kind}_price, amortized_cost)",
    }


SAVINGS = {
    **{name: PARTS[name] for name in ("amortized_cost", "unused_shares")},
    **savings("list", "effective_savings_rate"),
    **savings("contracted", "contracted_savings_rate"),
}
OF_DEPARTMENT = {name: measure for name, measure in COMMITMENTS.items() if name not in ("consumed_shares", "utilisation")}
ALL, ONLY_COMMITMENTS = "true", "commitment_id is not null"
ROLLUPS = {
    "department_month": (["department", "billing_currency"], ALL, PARTS),
    "department_day": (["department", "charge_date", "billing_currency"], ALL, PARTS),
    "department_service_month": (["department", "meter_category", "billing_currency"], ALL, PARTS),
    "subscription_month": (["subscription", "billing_currency"], ALL, PARTS),
    "charge_class_month": (["charge_class", "billing_currency"], ALL, CLASSES),
    "department_class_month": (["department", "charge_class", "billing_currency"], ALL, CLASSES),
    "commitment_month": (["commitment", "billing_currency"], ONLY_COMMITMENTS, COMMITMENTS),
    "commitment_department_month": (["commitment", "department", "billing_currency"], ONLY_COMMITMENTS, OF_DEPARTMENT),
    "savings_month": (["department", "billing_currency"], ALL, SAVINGS),
}
NAMED = ("department", "subscription", "commitment")
PARTITION = ["billing_period", "scope"]


def build_rollup(lake, table, keys, where, measures):
    """Makes the table `expected_…`, all months and scopes of the lake."""
    columns, ids = [], []
    for key in keys:
        columns += [f"{key}_id", f"{key}_name"] if key in NAMED else [key]
        ids.append(f"{key}_id" if key in NAMED else key)
    shown = [f"{latest_name(key)} as {key}_name" for key in keys if key in NAMED]
    # Aggregates first, then what is computed from them, quotients last.
    quotients = {name: sql for name, sql in measures.items() if sql.startswith("quotient(")}
    sums = {name: sql for name, sql in measures.items() if "metric =" in sql or "filter" in sql}
    others = {name: sql for name, sql in measures.items() if name not in quotients and name not in sums}
    grouped = ", ".join(f"charges.{column}" for column in [*PARTITION, *ids])
    lake.run(f"""
        create table sums_{table} as
        with sums as (
            select {", ".join([grouped, *shown, *(f"{sql} as {name}" for name, sql in sums.items())])}
            from charges join reports using ({", ".join(PARTITION)}) where {where} group by {grouped}
        )
        select {", ".join(["*", *(f"{sql} as {name}" for name, sql in others.items())])} from sums""")
    for sql in quotients.values():
        lake.fill("quotients", f"sums_{table}", quotient, *sql.removeprefix("quotient(").removesuffix(")").split(", "))
    result = ", ".join([*PARTITION, *columns, *(f"{quotients[name]} as {name}" if name in quotients else name for name in measures)])
    lake.run(f"create table expected_{table} as select {result} from sums_{table}")


def latest_name(key):
    """The name of the latest day that has one; of several on that day the last in the alphabet."""
    name = f"charges.{key}_name"
    return f"arg_max({name}, {{'day': charge_date, 'text': {name}}}) filter ({name} is not null and {key}_id is not null)"


# --- reconciliation ------------------------------------------------------------------------------

RECONCILIATION = """
create table expected_reconciliation as
with causes as (  -- by class, which department_month knows nothing of
    select billing_period, scope, lower(department_id) as cause_of, billing_currency,
        sum(case
            when {purchase} or {refund} then amortized_cost
            when {used} or {unused} then -actual_cost
            else difference end) as other_by_classes
    from expected_department_class_month group by all
)
select department.billing_period, department.scope, department_id, department_name, department.billing_currency,
    actual_cost, amortized_cost, difference, commitment_purchases, commitment_refunds, used_shares, unused_shares,
    other_by_classes as other_difference,
    difference - used_shares - unused_shares + commitment_purchases + commitment_refunds - other_by_classes as residual
from expected_department_month department
join causes on cause_of = lower(department_id) and (causes.billing_period, causes.scope, causes.billing_currency)
    = (department.billing_period, department.scope, department.billing_currency)
join reports on (reports.billing_period, reports.scope) = (department.billing_period, department.scope)
where has_actual and has_amortized
"""

# What a class adds to other_difference, as rows instead of JSON.
OTHER_BY_CLASS = """
select billing_period, scope, lower(department_id) as department_id, billing_currency, charge_class as name,
    case when {purchase} or {refund} then amortized_cost when {used} or {unused} then -actual_cost else difference end as amount
from expected_department_class_month join reports using (billing_period, scope)
where has_actual and has_amortized and amount <> 0
"""

# What the lake has up to the end of each month, its closing.
PAST = """
create table closings as
select billing_period as closing, scope, max(charge_date) as last_charge
from charges where strftime(charge_date, '%Y-%m') <= billing_period group by all;

create table past as
select closing, last_charge, charges.*, charges.billing_period = closing as is_in_month
from closings join charges on charges.scope = closings.scope and charges.billing_period <= closing;

create table commitments as
select *,
    metric = 'actual' and {purchase} as is_purchase, metric = 'actual' and {refund} as is_refund,
    metric = 'amortized' and {used} as is_used, metric = 'amortized' and {unused} as is_unused,
    is_used or is_unused as is_share, {reservation} as is_reservation
from past where commitment_id is not null;
"""

TO_DATE = """
create table to_date as
with sums as (
    select closing, scope, commitment_id, billing_currency, last_charge,
        arg_max(commitment_name, {{'month': billing_period, 'day': charge_date, 'text': commitment_name}})
            filter (commitment_name is not null) as commitment_name,
        case when bool_and(is_reservation) then 'reservation' when not bool_or(is_reservation) then 'savings_plan' end as commitment_type,
        arg_max(term, {{'month': billing_period, 'day': charge_date, 'text': term}}) filter (term is not null) as term,
        {purchases_to_date}, {refunds_to_date}, {used_to_date}, {unused_to_date}, {used_in_month}, {unused_in_month},
        min(charge_date) filter (is_purchase) as first_purchase, max(charge_date) filter (is_purchase) as last_purchase,
        max(charge_date) filter (is_refund) as last_refund,
        min(charge_date) filter (is_share) as first_share, max(charge_date) filter (is_share) as last_share
    from commitments group by all
), begun as (
    select *,
        case
            when commitment_id = 'unknown' or first_purchase is null or first_share < first_purchase then null
            when exists (from commitments c where c.closing = sums.closing and c.scope = sums.scope and c.commitment_id = sums.commitment_id
                and c.billing_currency = sums.billing_currency and is_purchase and charge_date = first_purchase
                and frequency in ('OneTime', 'One-Time')) then first_purchase
            when exists (from reports r where r.scope = sums.scope
                and r.billing_period = strftime(first_purchase - interval 1 month, '%Y-%m')) then first_purchase
            when exists (from past where past.closing = sums.closing and past.scope = sums.scope and metric = 'amortized'
                and strftime(charge_date, '%Y-%m') = billing_period and charge_date >= date_trunc('month', first_purchase) and charge_date < first_purchase) then first_purchase
        end as start_date,
        case when commitment_id <> 'unknown' then coalesce(
            try_cast(case when regexp_full_match(term, '\\d+') then term end as bigint),
            12 * try_cast(regexp_extract(term, '^(?:P(\\d+)Y|.*)$', 1, 'i') as bigint),
            12 * try_cast(regexp_extract(term, '^(?:(\\d+) ?Years?|.*)$', 1, 'i') as bigint)) end as term_months
    from sums
), termed as (
    select *,
        -- The first end of a term after the last purchase; 60 terms are enough for anybody.
        list_min(list_filter(
            [(start_date + to_months((term_months * n)::integer))::date for n in range(1, 60)], lambda day: day > last_purchase)) as end_of_term
    from begun
), given_back as (
    select *,
        last_refund is not null and commitment_id <> 'unknown'
            and coalesce(last_refund < end_of_term, true)  -- later there is no rest to be given back
            and not coalesce(greatest(last_purchase, last_share) > last_refund, false)
            and exists (from past where past.closing = termed.closing and past.scope = termed.scope and metric = 'amortized'
                and strftime(charge_date, '%Y-%m') = billing_period and charge_date > last_refund) as is_given_back
    from termed
), ended as (
    select *, case when is_given_back then greatest(last_refund, last_share + 1) else end_of_term end as end_date
    from given_back
), lasted as (
    select *,
        case when end_date is not null then greatest(0, end_date - (last_charge + 1))::bigint end as remaining_days,
        case when end_date is null then closing else least(closing, strftime(greatest(start_date, end_date - 1), '%Y-%m')) end as last_month
    from ended
)
select *,
    start_date is not null and not exists (
        from (select strftime(unnest(generate_series(date_trunc('month', start_date), strptime(last_month || '-01', '%Y-%m-%d'), interval 1 month)),
            '%Y-%m') as month)
        where month not in (select billing_period from reports r where r.scope = lasted.scope and has_actual and has_amortized)) as is_whole
from lasted
"""

COMMITMENT_RECONCILIATION = """
create table expected_commitment_reconciliation as
select closing as billing_period, scope, commitment_id, commitment_name, commitment_type, billing_currency,
    case when commitment_id = 'unknown' then null when start_date is null then 'bought_before'
        when remaining_days = 0 then 'ended' else 'active' end as state,
    term_months, start_date, end_date, remaining_days, purchases_to_date, refunds_to_date, used_to_date, unused_to_date,
    case when is_whole then purchases_to_date + refunds_to_date - used_to_date - unused_to_date end as balance,
    quotient(used_to_date, used_to_date + unused_to_date) as utilisation_to_date,
    quotient(used_in_month, used_in_month + unused_in_month) as utilisation_in_month
from to_date
"""


def departments_to_date(which):
    """Departments with their amounts to date, as rows instead of JSON. Who got back all that was paid has 0."""
    sums = [f"coalesce(sum(cost) filter ({one}), 0)" for one in which]
    return f"""
        select closing as billing_period, scope, commitment_id, billing_currency, department_id as name,
            ({" + ".join(sums)})::decimal(38,24) as amount
        from commitments group by closing, scope, commitment_id, billing_currency, department_id
        having {" or ".join(f"{one} <> 0" for one in sums)}"""


# --- comparison ----------------------------------------------------------------------------------


class Lake:
    def __init__(self, path, options):
        self.path, self.options, self.engine = path, options, duckdb.connect()
        self.run(LOOKUPS)
        self.run(PRICED.format(lake=path))
        for price, rate in (("list_price", "rate"), ("contracted_price", "no_rate")):
            self.fill("products", "priced", product, "quantity", price, rate)
        self.run(CHARGES)
        self.run(REPORTS.format(lake=path))

    def run(self, sql):
        return self.engine.execute(sql)

    def fill(self, lookup, table, function, *inputs):
        """Computes a function of columns in Python, once per combination, into a table to look it up in."""
        chosen = ", ".join(inputs)
        some = " and ".join(f"({column}) is not null" for column in inputs)
        combinations = f"select distinct {chosen} from {table} where {some}"
        names = list(self.columns(lookup))
        keys = ", ".join(names[:-1])
        rows = self.run(f"{combinations} except select {keys} from {lookup}").fetchall()
        types = [pyarrow.decimal128(38, 24)] * len(inputs) + [pyarrow.decimal128(38, 6 if lookup == "quotients" else 24)]
        values = [*zip(*((*row, function(*row)) for row in rows))] or [[]] * len(names)
        computed = pyarrow.table([pyarrow.array(list(column), kind) for column, kind in zip(values, types)], names=names)
        self.engine.register("computed", computed)
        self.run(f"insert into {lookup} select * from computed")
        self.engine.unregister("computed")

    def columns(self, table):
        return {name: kind for name, kind, *_ in self.run(f"describe {table}").fetchall()}

    def publish(self, table):
        """Names a published table `found_…`, or says that it is not there."""
        if not list(pathlib.Path(self.path).glob(f"{table}/**/data.parquet")):
            if self.options.all:
                fail(f"{table} is not in the lake")
            print(f"skipped: {table} is not in the lake")
            return False
        files = f"read_parquet('{self.path}/{table}/**/data.parquet', hive_partitioning = true, hive_types_autocast = false)"
        self.run(f"create table found_{table} as select * from {files}")
        return True

    def count(self, table):
        return self.run(f"select count(*) from {table}").fetchone()[0]

    def equal(self, what, expected, found, columns):
        """The same rows, each as often, and of the same types."""
        left, right = ([(name, kind) for name, kind in self.columns(table).items() if name in columns] for table in (expected, found))
        if sorted(left) != sorted(right):
            fail(f"{what}: columns and types", f"expected {sorted(set(left) - set(right))}", f"found    {sorted(set(right) - set(left))}")
        assert not any(kind in ("DOUBLE", "FLOAT") for _, kind in left), left
        chosen = ", ".join(f'"{name}"' for name in columns)
        missing, surplus = (
            self.run(f"select {chosen} from {one} except all select {chosen} from {other} order by all limit 1").fetchall()
            for one, other in ((expected, found), (found, expected))
        )
        if missing or surplus:
            self.show(what, columns, *(dict(zip(columns, found[0])) if found else {} for found in (missing, surplus)))

    def show(self, what, columns, missing, surplus):
        differing = [name for name in columns if missing.get(name) != surplus.get(name)] if missing and surplus else columns
        for name in PARTITION:
            print(f"{name} {(missing or surplus)[name]}", file=sys.stderr)
        fail(f"{what}: the first rows that only one side has", *(f"{name}: expected {missing.get(name)}, found {surplus.get(name)}" for name in differing),
             f"all of it, expected: {missing}", f"all of it, found:    {surplus}")  # fmt: skip


def check_rollups(lake):
    for table, (keys, where, measures) in ROLLUPS.items():
        build_rollup(lake, table, keys, where, measures)
        for name, kind in lake.columns(f"expected_{table}").items():
            assert kind in ("VARCHAR", "DATE", "BIGINT", "DECIMAL(38,24)", "DECIMAL(38,6)"), f"{table}: {name} is {kind}"
        if lake.publish(table):
            lake.equal(table, f"expected_{table}", f"found_{table}", list(lake.columns(f"expected_{table}")))
            ok(f"{table}: {lake.count(f'found_{table}')} rows")


def check_identities(lake):
    """What must hold between rollups, whatever is published."""
    for what, sql in {
        "all departments are the whole": """
            select billing_period, scope, billing_currency, sum(actual_cost), sum(amortized_cost) from expected_department_month group by all
            except select billing_period, scope, billing_currency,
                case when bool_or(has_actual) then coalesce(sum(cost) filter (metric = 'actual'), 0) end,
                case when bool_or(has_amortized) then coalesce(sum(cost) filter (metric = 'amortized'), 0) end
            from charges join reports using (billing_period, scope) group by all""",
        "days, services, subscriptions and classes add up to the month": " union all ".join(
            f"""(select billing_period, scope, billing_currency, sum(actual_cost), sum(amortized_cost), sum(actual_rows), sum(amortized_rows) from expected_{table} group by all
            except select billing_period, scope, billing_currency, sum(actual_cost), sum(amortized_cost), sum(actual_rows), sum(amortized_rows) from expected_department_month group by all)"""
            for table in ("department_day", "department_service_month", "subscription_month", "charge_class_month", "department_class_month")
        ),
        "commitments add up to the month": " union all ".join(
            f"""(select billing_period, scope, billing_currency, sum(commitment_purchases), sum(commitment_refunds), sum(used_shares), sum(unused_shares) from expected_{table} group by all
            except select billing_period, scope, billing_currency, sum(commitment_purchases), sum(commitment_refunds), sum(used_shares), sum(unused_shares) from expected_department_month group by all)"""
            for table in ("commitment_month", "commitment_department_month")
        ),
    }.items():
        for row in lake.run(sql).fetchall():
            fail(what, row)
        ok(what)


def json_amounts(table, column, keys):
    """A column of JSON objects as rows: keys, name, amount."""
    return f"""
        select {", ".join(keys)}, name, json_extract_string({column}, '$."' || name || '"')::decimal(38,24) as amount
        from (select {", ".join(keys)}, {column}, unnest(json_keys({column})) as name from {table} where {column} is not null)"""


def check_reconciliation(lake):
    classes = {"purchase": PURCHASE, "refund": REFUND, "used": USED, "unused": UNUSED}
    lake.run(RECONCILIATION.format(**classes))
    for row in lake.run("select * from expected_reconciliation where residual <> 0").fetchall():
        fail("a residual", row)
    lake.run(f"create table expected_other_by_class as {OTHER_BY_CLASS.format(**classes)}")
    is_any_whole = lake.count("(from reports where has_actual and has_amortized)") > 0
    if is_any_whole and not lake.publish("reconciliation"):
        return
    if not is_any_whole:
        if list(pathlib.Path(lake.path).glob("reconciliation/**/data.parquet")):
            fail("reconciliation: no month has both metrics, but the table is there")
        return ok("reconciliation: no month has both metrics")
    keys = [*PARTITION, "department_id", "billing_currency"]
    # Departments that only have something shared back have no charge in the month.
    lake.run("create table found_departments as select * from found_reconciliation "
             f"where ({', '.join(keys)}) in (select ({', '.join(keys)}) from expected_reconciliation)")  # fmt: skip
    lake.equal("reconciliation", "expected_reconciliation", "found_departments", list(lake.columns("expected_reconciliation")))
    lake.run(f"create table found_other_by_class as {json_amounts('found_reconciliation', 'other_by_class', keys)}")
    lake.equal("reconciliation: other_by_class", "expected_other_by_class", "found_other_by_class", [*keys, "name", "amount"])
    ok(f"reconciliation: {lake.count('found_reconciliation')} rows")
    for what, wrong in {
        "a department without charges and without a part": f"({', '.join(keys)}) not in (select ({', '.join(keys)}) from expected_reconciliation) and coalesce(shared_back, 0) = 0",
        "a policy without parts, or parts without a policy": "(unused_policy is null) <> (shared_back is null) or (unused_policy is null) <> (amortized_shared_back is null)",
        "amortized_shared_back is not amortized_cost - unused_shares + shared_back": "amortized_shared_back <> amortized_cost - unused_shares + shared_back",
        "central moves unused shares": "unused_policy = 'central' and shared_back <> unused_shares",
    }.items():
        for row in lake.run(f"select * from found_reconciliation where {wrong}").fetchall():
            fail(f"reconciliation: {what}", row)
    moved = lake.run(f"""select {", ".join(PARTITION)}, billing_currency, sum(shared_back), sum(unused_shares), sum(amortized_shared_back), sum(amortized_cost)
        from found_reconciliation where unused_policy is not null group by all
        having sum(shared_back) <> sum(unused_shares) or sum(amortized_shared_back) <> sum(amortized_cost)""").fetchall()
    for row in moved:
        fail("reconciliation: what is shared back does not add up", row)
    ok("reconciliation: shared back is what was unused, to the last digit")


def check_commitments(lake):
    lake.run(PAST.format(purchase=PURCHASE, refund=REFUND, used=USED, unused=UNUSED, reservation=RESERVATION))
    sums = {f"{name}_to_date": f"is_{one}" for name, one in (("purchases", "purchase"), ("refunds", "refund"), ("used", "used"), ("unused", "unused"))}
    sums |= {f"{name}_in_month": f"is_{name} and is_in_month" for name in ("used", "unused")}
    lake.run(TO_DATE.format(**{name: f"coalesce(sum(cost) filter ({which}), 0) as {name}" for name, which in sums.items()}))
    for part in ("to_date", "in_month"):
        lake.fill("quotients", "to_date", quotient, f"used_{part}", f"used_{part} + unused_{part}")
    lake.run(COMMITMENT_RECONCILIATION)
    for column, which in (("bought_by", ("is_purchase", "is_refund")), ("used_by", ("is_used",))):
        lake.run(f"create table expected_{column} as {departments_to_date(which)}")
    if not lake.publish("commitment_reconciliation"):
        return
    lake.equal("commitment_reconciliation", "expected_commitment_reconciliation", "found_commitment_reconciliation",
               list(lake.columns("expected_commitment_reconciliation")))  # fmt: skip
    keys = [*PARTITION, "commitment_id", "billing_currency"]
    for column in ("bought_by", "used_by"):
        lake.run(f"create table found_{column} as {json_amounts('found_commitment_reconciliation', column, keys)}")
        lake.equal(f"commitment_reconciliation: {column}", f"expected_{column}", f"found_{column}", [*keys, "name", "amount"])
    ok(f"commitment_reconciliation: {lake.count('found_commitment_reconciliation')} rows")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("lake")
    parser.add_argument("--all", action="store_true", help="absent tables are errors")
    options = parser.parse_args()
    lake = Lake(options.lake, options)
    print(f"{lake.count('charges')} line items, {lake.count('reports')} months")
    check_rollups(lake)
    check_identities(lake)
    check_reconciliation(lake)
    check_commitments(lake)


if __name__ == "__main__":
    main()
