"""Cost files of the simulated enrollment, and the lake that costlake makes of them.

Made once per test run, in a temporary folder that goes away with it.
"""

import csv
import functools
import os
import pathlib
import subprocess
import tempfile
from decimal import ROUND_HALF_EVEN, Context, Decimal

COSTLAKE = pathlib.Path(os.environ.get("COSTLAKE_BIN", "target/debug/costlake")).resolve()
SCOPE = "billing-account-8608480"
# Wide enough that no sum here is ever rounded by Python itself.
EXACT = Context(prec=200, rounding=ROUND_HALF_EVEN)
STORED_DIGITS = Decimal(1).scaleb(-24)

_folder = tempfile.TemporaryDirectory(prefix="costlake-python-")


def costlake(*arguments: object) -> str:
    """Runs costlake and returns what it prints."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COSTLAKE_")}
    command = [str(COSTLAKE), *map(str, arguments)]
    return subprocess.run(command, env=environment, check=True, text=True, stdout=subprocess.PIPE).stdout


@functools.cache
def source() -> pathlib.Path:
    """The folder of the cost files: actual and amortized, three months, three blobs each."""
    folder = pathlib.Path(_folder.name, "source")
    costlake("simulate", "generate", "-q", "--rows", 9000, "--seed", 7, "--out", folder)
    return folder


@functools.cache
def lake() -> pathlib.Path:
    """The lake."""
    folder = pathlib.Path(_folder.name, "lake")
    costlake("convert", "-q", source(), "--lake", folder)
    return folder


@functools.cache
def source_rows() -> tuple[dict[str, str], ...]:
    """Every row of the source, with its metric and billing period beside."""
    rows = []
    for path in sorted(source().glob("*/*/*.csv")):
        metric, month = path.parts[-3:-1]
        with open(path, encoding="utf-8-sig", newline="") as file:
            for row in csv.DictReader(file):
                rows.append(row | {"metric": metric, "billing_period": f"{month[:4]}-{month[4:]}"})
    return tuple(rows)


def stored(text: str) -> Decimal:
    """The amount as the lake may hold it: 24 fraction digits, rounded half-even once."""
    return EXACT.quantize(Decimal(text), STORED_DIGITS)


def total(amounts) -> Decimal:
    """The exact sum."""
    result = Decimal(0)
    for amount in amounts:
        result = EXACT.add(result, amount)
    return result
