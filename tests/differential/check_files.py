"""Compares five readers over generated cost files.

    check_files.py FOLDER

FOLDER holds the files and readings.ndjson, with what costlake and the `csv` crate made of each. Here every
file is typed by the rules of docs/reading-cost-files.md (tests/oracles/contract.py, csv by regular
expressions, sums by decimal), and read with Python's csv, DuckDB and pyarrow. Then

1. costlake must say exactly what the rules say: verdict, records, quarantine, cells, sums;
2. each other reader must find exactly the records of the rules, but where DISAGREEMENTS says how it
   differs, and there it must differ exactly so.

A disagreement that is not in the table fails, and so does an entry of the table that never occurs, or that
docs/reading-cost-files.md does not repeat.
"""

import collections
import csv
import io
import json
import pathlib
import re
import sys

import duckdb
import pyarrow
import pyarrow.csv

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "oracles"))
import contract  # noqa: E402

DISAGREEMENTS = {
    ("csv crate", "text behind a closing quote"): "joined to the field",
    ("csv crate", "carriage return alone"): "ends a record",
    ("csv crate", "end inside quotes"): "read as the end of the field",
    ("csv crate", "second byte-order mark"): "text of the first field",
    ("Python csv", "text behind a closing quote"): "an error; read on behind the row here",
    ("Python csv", "carriage return alone"): "ends a record",
    ("Python csv", "empty line"): "a record without fields",
    ("Python csv", "second byte-order mark"): "text of the first field",
    ("DuckDB", "text behind a closing quote"): "the row is skipped with `ignore_errors`, else an error",
    ("DuckDB", "blanks around quotes"): "taken off, and the quotes too",
    ("DuckDB", "carriage return alone"): "the file is refused, or the row is lost",
    ("DuckDB", "end inside quotes"): "the last row is lost without an error",
    ("DuckDB", "second byte-order mark"): "text of the first field",
    ("DuckDB", "line ends of both kinds"): "the file is refused in strict mode, or loses rows with `ignore_errors`",
    ("DuckDB", "other number of fields"): "the row is skipped with `ignore_errors`, else an error",
    ("DuckDB", "empty fields too many"): "dropped, and the row is kept",
    ("DuckDB", "bytes that are no UTF-8"): "the row is skipped with `ignore_errors`, else an error",
    ("pyarrow", "text behind a closing quote"): "joined to the field",
    ("pyarrow", "carriage return alone"): "ends a record",
    ("pyarrow", "end inside quotes"): "read as the end of the field",
    ("pyarrow", "second byte-order mark"): "text of the first field",
    ("pyarrow", "other number of fields"): "the row is skipped by a handler, else an error",
    ("pyarrow", "bytes that are no UTF-8"): "the file is refused, unless columns are binary",
    ("pyarrow", "other number of fields, and bytes that are no UTF-8"): "the file is refused",
}
BY_FAULT = {"quote-form": "text behind a closing quote", "line-end": "carriage return alone"}
BY_BYTES = ("encoding", "markup", "empty", "header-too-long")
COMPARED_ELSEWHERE = ("source_kind", "schema_version", "blob")

counts = collections.Counter()


def note(reader, name, times=1):
    if (reader, name) not in DISAGREEMENTS:
        raise AssertionError(f"{reader}, {name}: a disagreement that the table does not have")
    counts[reader, name] += times


def demand(what, found, expected):
    if found == expected:
        return
    if isinstance(expected, (dict, list)) and type(found) is type(expected):
        pairs = zip(found, expected) if isinstance(expected, list) else None
        keys = expected if pairs is None else ()
        parts = [(key, found.get(key), expected[key]) for key in keys if found.get(key) != expected[key]]
        parts += [(at, *pair) for at, pair in enumerate(pairs or ()) if pair[0] != pair[1]]
        raise AssertionError(f"{what}: {len(found)} and {len(expected)} items, differ in {parts[:3]}")
    raise AssertionError(f"{what}: found {found!r}, expected {expected!r}")


# --- costlake ------------------------------------------------------------------------------------


class Expected:
    """What the rules make of a file."""

    def __init__(self, data, currency):
        self.data, self.found, self.records, self.refused, self.typed = data, None, [], None, None
        try:
            self.found = contract.find_header(data, currency is not None)
            self.records, self.blank_lines = contract.read_records(data, self.found.end)
            self.typed = contract.typed(self.found.header, currency, self.records, data)
        except contract.Refused as refused:
            self.refused = refused
            self.records = refused.records or self.records

    def normal_form(self):
        if self.refused:
            place = self.refused.place
            return {"refused": self.refused.kind, "record": place and list(place)}
        typed = self.typed
        totals = {name: getattr(typed, name) for name in ("source", "published", "withheld")}
        if not self.records:
            totals = {name: {} for name in totals}
        days = [row["charge_date"] for row in typed.rows]
        names = [*contract.COLUMNS, "tags_raw", "extra", "charge_class", "record"]
        cells = {name: typed.cells(name) for name in names}
        return {
            "records": len(self.records),
            "blank_lines": self.found.blank_lines + self.blank_lines,
            "title_lines": self.found.titles,
            "second_mark": self.found.second_mark,
            "quarantined": typed.quarantined,
            "columns": {name: column for name, column in cells.items() if any(c is not None for c in column)},
            **{name: {column: sums.figures() for column, sums in of.items()} for name, of in totals.items()},
            "first_date": min(days, default=None),
            "last_date": max(days, default=None),
            "currencies": typed.sums_by("billing_currency", lambda cost: cost),
            "classes": typed.sums_by("charge_class", contract.stored),
        }


def check_costlake(reading, expected):
    found = dict(reading)
    for name in COMPARED_ELSEWHERE:
        found.get("columns", {}).pop(name, None)
    for name in ("columns", "source", "published", "withheld", "quarantined"):
        if name in found and "refused" not in expected:
            demand(f"costlake, {name}", found[name], expected.get(name))
    demand("costlake", found, expected)


# --- what readers find that end a record at any line end, and go on behind a closing quote ------------

LENIENT_FIELD = re.compile(rb'(?:"([^"]*+(?:""[^"]*+)*+)(?:"|\Z)([^,\r\n]*)|([^,\r\n]*))(,|\r\n|\r|\n|\Z)')


def lenient(raw):
    """The records of some bytes, empty lines left out."""
    records, fields, at = [], [], 0
    while True:
        match = LENIENT_FIELD.match(raw, at)
        quoted, behind, bare, end = match.groups()
        fields.append(bare if quoted is None else quoted.replace(b'""', b'"') + behind)
        at = match.end()
        if end != b",":
            if fields != [b""] or quoted is not None:
                records.append(fields)
            fields = []
            if at >= len(raw):
                return records


def with_mark(expected, record):
    """The bytes of a record; those of the first row with a mark that costlake takes off."""
    is_first = expected.found.second_mark and record.start == expected.found.end
    return (contract.MARK if is_first else b"") + record.raw(expected.data), is_first


def lenient_records(reader, expected):
    """The records that a lenient reader is to find, and the faulty ones behind them."""
    for record in expected.records:
        raw, is_marked = with_mark(expected, record)
        if is_marked:
            note(reader, "second byte-order mark")
        elif record.fault is None:
            yield record, [record.fields]
            continue
        if record.fault:
            note(reader, BY_FAULT[record.fault])
        yield record, lenient(raw)


def header_of(records, has_currency):
    """Where the header is among records, and what it means."""
    refused = contract.Refused("empty")
    for at, fields in enumerate(records):
        if fields is None:
            raise refused
        names = [field.decode() for field in fields]
        try:
            return at, contract.Header(names, has_currency)
        except contract.Refused as error:
            refused = refused if refused.kind == "no-header" else error
            if error.kind != "no-header" or sum(1 for name in names if name.strip()) >= 3:
                raise
            if at >= contract.MAX_TITLES:
                raise
    raise refused


def rows_behind_header(reader, records, expected, currency):
    """The records behind the header; None if the file is refused for its header."""
    try:
        at, header = header_of(records, currency is not None)
    except contract.Refused as refused:
        demand(f"{reader}, refusal", refused.kind, expected.refused and expected.refused.kind)
        return None
    demand(f"{reader}, names", header.names, expected.found and expected.found.header.names)
    return records[at + 1 :]


# --- the csv crate -------------------------------------------------------------------------------


def check_csv_crate(reading, expected, currency):
    records = [[field.encode("latin-1") for field in record] for record in reading]
    rows = rows_behind_header("csv crate", records, expected, currency)
    if rows is None:
        return
    predicted = [fields for _, found in lenient_records("csv crate", expected) for fields in found]
    if expected.refused and expected.refused.kind == "unclosed-quote":
        note("csv crate", "end inside quotes")
        rows = rows[: len(predicted)]
    demand("csv crate, rows", rows, predicted)


# --- Python csv ----------------------------------------------------------------------------------


def python_records(part):
    """The records of some bytes; the last one is None if it is an error."""
    text = part.decode("utf-8-sig" if part.startswith(contract.MARK) else "utf-8", "surrogateescape")
    records = []
    try:
        for fields in csv.reader(io.StringIO(text, newline=""), strict=True):
            records.append([field.encode("utf-8", "surrogateescape") for field in fields])
    except csv.Error:
        records.append(None)
    return records


def check_python(expected, currency):
    """Reads anew behind each row with text behind a closing quote, where the reader gives up."""
    stops = [record.next for record in expected.records if record.fault == "quote-form"]
    bounds = [0, *stops, len(expected.data)]
    parts = [python_records(expected.data[start:end]) for start, end in zip(bounds, bounds[1:])]
    records = [fields for part in parts for fields in part]
    filled = [fields for fields in records if fields != []]
    if len(filled) < len(records):
        note("Python csv", "empty line", len(records) - len(filled))
    rows = rows_behind_header("Python csv", filled, expected, currency)
    if rows is None:
        return
    predicted = []
    for record, found in lenient_records("Python csv", expected):
        predicted.extend([None] if record.fault == "quote-form" else found)
    if expected.refused and expected.refused.kind == "unclosed-quote":
        predicted.append(None)
    demand("Python csv, rows", rows, predicted)


# --- DuckDB --------------------------------------------------------------------------------------

DUCKDB_FIELD = re.compile(rb'(?: *"([^"]*+(?:""[^"]*+)*+)" *([^,]*)|([^,]*))(,|\Z)', re.DOTALL)


def duckdb_fields(raw):
    """The fields that DuckDB finds; None if it skips the record. Notes blanks around quotes."""
    fields, at, blanks = [], 0, False
    while True:
        match = DUCKDB_FIELD.match(raw, at)
        quoted, behind, bare, end = match.groups()
        if behind:
            return None, False
        text = bare if quoted is None else quoted.replace(b'""', b'"')
        around = match[0].removesuffix(end)
        blanks |= quoted is not None and (around.startswith(b" ") or around.endswith(b" "))
        fields.append(text)
        at = match.end()
        if not end:
            return fields, blanks


def is_utf8(raw):
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def duckdb_row(raw, is_marked, width):
    """What DuckDB makes of a record: its fields, or None, and the names of what is odd about it."""
    fields, has_blanks = duckdb_fields(raw)
    names = ["second byte-order mark"] if is_marked else []
    names += ["blanks around quotes"] if has_blanks else []
    if fields is None:
        return None, [*names, "text behind a closing quote"]
    if len(fields) > width and not any(fields[width:]):
        fields, names = fields[:width], [*names, "empty fields too many"]
    if len(fields) != width:
        return None, [*names, "other number of fields"]
    if not is_utf8(raw):
        return None, [*names, "bytes that are no UTF-8"]
    return fields, names


class DuckDb:
    """One connection for all files."""

    def __init__(self, folder):
        self.connection = duckdb.connect()
        self.connection.execute("SET threads = 1")
        self.tail = folder / "tail.tmp"

    def read(self, path, width, strict, ignore_errors=True):
        columns = ", ".join(f"'c{at}': 'VARCHAR'" for at in range(width))
        query = f"""select * from read_csv('{path}', auto_detect = false, header = false, delim = ',',
            quote = '"', escape = '"', columns = {{{columns}}}, parallel = false,
            ignore_errors = {ignore_errors}, strict_mode = {strict})"""
        rows = self.connection.execute(query).fetchall()
        return [[b"" if cell is None else cell.encode() for cell in row] for row in rows]

    def check(self, path, expected):
        found = expected.found
        if found.start > len(contract.MARK):
            self.tail.write_bytes(expected.data[found.start :])
            path = self.tail
        width = len(found.header.names)
        predicted, notes = self.predicted(expected, width)
        try:
            rows = self.read(path, width, strict=True)
        except duckdb.InvalidInputException as error:
            demand("DuckDB, error", "reached an invalid state" in str(error), True)
            rows = None
        if rows is None or rows[1:] != predicted:
            if any(record.fault == "line-end" for record in expected.records):
                note("DuckDB", "carriage return alone")
                return
            if has_both_line_ends(expected):
                note("DuckDB", "line ends of both kinds")
                if any(record.fault or len(record.fields) != width for record in expected.records):
                    return
                rows = self.read(path, width, strict=False)
        elif len(predicted) < len(expected.records):
            demand("DuckDB, error", self.is_refused(path, width), True)
        names = [contract.cleaned(name.decode()) for name in rows[0]]
        demand("DuckDB, names", names, found.header.names)
        demand("DuckDB, rows", rows[1:], predicted)
        for name in notes:
            note("DuckDB", name)

    def is_refused(self, path, width):
        """Whether the file is an error when errors are not ignored."""
        try:
            self.read(path, width, strict=True, ignore_errors=False)
        except duckdb.InvalidInputException:
            return True
        return False

    @staticmethod
    def predicted(expected, width):
        """The rows that DuckDB is to find, and what is odd about them."""
        rows, notes = [], []
        for record in expected.records:
            fields, names = duckdb_row(*with_mark(expected, record), width)
            rows += [fields] if fields is not None else []
            notes += names
        is_open = expected.refused and expected.refused.kind == "unclosed-quote"
        return rows, notes + ["end inside quotes"] * bool(is_open)


def has_both_line_ends(expected):
    starts = [record.start for record in expected.records]
    ends = [record.end for record in expected.records]
    header = contract.read_record(expected.data, expected.found.start)
    gaps = zip([header.end, *ends], [*starts, len(expected.data)])
    kinds = {end for start, stop in gaps for end in contract.LINE_END.findall(expected.data[start:stop])}
    return len(kinds) == 2


# --- pyarrow -------------------------------------------------------------------------------------


def pyarrow_rows(data, width, kind):
    """The rows that pyarrow keeps, and how many it hands to the handler of bad ones."""
    skipped = []

    def skip(row):
        skipped.append(row.number)
        return "skip"

    names = [f"c{at}" for at in range(width)]
    table = pyarrow.csv.read_csv(
        pyarrow.BufferReader(data),
        pyarrow.csv.ReadOptions(use_threads=False, column_names=names),
        pyarrow.csv.ParseOptions(newlines_in_values=True, invalid_row_handler=skip),
        pyarrow.csv.ConvertOptions(
            column_types={name: kind for name in names}, null_values=[], strings_can_be_null=False
        ),
    )
    columns = (column.to_pylist() for column in table.columns)
    return [list(row) for row in zip(*columns)], len(skipped)


def unreadable_by_handler(data, width):
    """Whether pyarrow gives up, since its handler takes only text. It says so on stderr, too."""
    shown, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        pyarrow_rows(data, width, pyarrow.binary())
    except pyarrow.ArrowInvalid as error:
        return "Expected" in str(error)
    finally:
        sys.unraisablehook = shown
    return False


def check_pyarrow(expected):
    found = expected.found
    width = len(found.header.names)
    data = expected.data[found.start :] if found.start > len(contract.MARK) else expected.data
    predicted, ragged = [], []
    for _, pieces in lenient_records("pyarrow", expected):
        for fields in pieces:
            (predicted if len(fields) == width else ragged).append(fields)
    skipped = len(ragged)
    if not all(is_utf8(field) for fields in ragged for field in fields):
        note("pyarrow", "other number of fields, and bytes that are no UTF-8")
        demand("pyarrow, rows", unreadable_by_handler(data, width), True)
        return
    is_text = all(is_utf8(field) for fields in predicted for field in fields)
    if not is_text:
        note("pyarrow", "bytes that are no UTF-8")
        try:
            pyarrow_rows(data, width, pyarrow.string())
        except pyarrow.ArrowInvalid as error:
            demand("pyarrow, error", "invalid UTF8 data" in str(error), True)
        else:
            raise AssertionError("pyarrow reads bytes that are no UTF-8 as strings")
    is_open = expected.refused and expected.refused.kind == "unclosed-quote"
    kind = pyarrow.string() if is_text and not is_open else pyarrow.binary()
    rows, handled = pyarrow_rows(data, width, kind)
    rows = [[cell.encode() if isinstance(cell, str) else cell for cell in row] for row in rows[1:]]
    if is_open:
        note("pyarrow", "end inside quotes")
        rows, handled = rows[: len(predicted)], skipped
    if skipped:
        note("pyarrow", "other number of fields", skipped)
    demand("pyarrow, skipped rows", handled, skipped)
    demand("pyarrow, rows", rows, predicted)


# --- all of it -----------------------------------------------------------------------------------


def check_file(folder, reading, engine, figures):
    path = folder / reading["name"]
    expected = Expected(path.read_bytes(), reading["currency"])
    normal_form = expected.normal_form()
    check_costlake(reading["costlake"], normal_form)
    figures["files"] += 1
    figures["refused: " + normal_form["refused"] if expected.refused else "read"] += 1
    if not expected.refused:
        quarantined = [rule for _, rule, *_ in normal_form["quarantined"]]
        figures["files with quarantine"] += bool(quarantined)
        figures["records"] += normal_form["records"]
        figures["rows"] += len(expected.typed.rows)
        figures.update("quarantined: " + rule for rule in quarantined)
    if expected.refused and expected.refused.kind in BY_BYTES:
        return
    check_csv_crate(reading["csv"], expected, reading["currency"])
    check_python(expected, reading["currency"])
    if expected.found:
        engine.check(path, expected)
        check_pyarrow(expected)


def undocumented():
    """Entries that the document does not have, or has otherwise."""
    text = (contract.ROOT / "docs/reading-cost-files.md").read_text(encoding="utf-8")
    section = text.partition("## Where other readers disagree")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \|$", section, re.MULTILINE)
    found = {(reader, name): what for reader, name, what in rows[1:]}
    return sorted(set(DISAGREEMENTS.items()) ^ set(found.items()))


def main(folder):
    folder, figures, faults = pathlib.Path(folder), collections.Counter(), []
    engine = DuckDb(folder)
    with open(folder / "readings.ndjson", encoding="utf-8") as readings:
        for line in readings:
            reading = json.loads(line)
            try:
                check_file(folder, reading, engine, figures)
            except Exception as error:  # a reader that gives up in another way is a fault of that file
                faults.append(f"{reading['name']}: {type(error).__name__} {error}")
    for name, count in sorted(figures.items()):
        print(f"{count:7} {name}")
    print("disagreements by nature:")
    for (reader, name), what in DISAGREEMENTS.items():
        print(f"{counts[reader, name]:7} {reader}: {name}: {what}")
    faults += [f"never occurs: {entry}" for entry in DISAGREEMENTS if not counts[entry]]
    faults += [f"not the same in docs/reading-cost-files.md: {entry}" for entry in undocumented()]
    if faults:
        sys.exit("\n".join([f"{len(faults)} faults", *faults[:40]]))
    print(f"{figures['files']} files, five readers: ok")


if __name__ == "__main__":
    main(sys.argv[1])
