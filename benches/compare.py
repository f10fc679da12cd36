"""Measures whole processes: the main job beside DuckDB and Polars, its growth, and a run against the simulator.

    compare.py PROGRAM PART... [--rows N] [--rounds N] [--growth N]

| part | measures |
|---|---|
| compare | `costlake convert` beside the scripts of contenders.py: the same files, the same work |
| growth | N times the rows (10 by default), as N months and as one large month: time and memory |
| pull | `costlake run` against `costlake simulate`, beside `convert` of the same bytes |
| smoke | all of these on few rows, once: whether they work, not how fast; no goals are shown |

Run it with the interpreter that has duckdb and polars. Files are generated below target/bench/data, in random row
order, and kept: two metrics of one month, four blobs each. Those of growth, some 9 GB, are removed. CPU seconds, wall time and peak memory are those that the
operating system counts for a process. The report is target/bench/report.md. Time decides nothing but what the report
says; sums that differ, rows that are missing and programs that fail end it with an error.
"""

import argparse
import datetime
import hashlib
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from decimal import Decimal
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "target" / "bench"
DATA = WORK / "data"
LAKE = WORK / "lake"
DEFINITION = ROOT / "pipelines" / "rollups" / "department_month.toml"
BLOBS = 4
MONTH = "2025-05"
SHAPE = ["--first-month", MONTH, "--blobs", str(BLOBS), "--row-order", "random"]
SMALL_MEMORY = "192MB"
SMOKE_ROWS = 20_000

# What is to be reached: DuckDB and Polars take so many times the CPU seconds and wall time of costlake.
LEAST_RATIO = {"Polars": 3, "DuckDB": 7}
MOST_PEAK_MIB = 256
MOST_GROWTH = 1.10
MOST_PULL_RATIO = 1.3

COLUMNS = "| | CPU s | wall s | peak MiB | Parquet MiB | cores busy | by others |"


# Measuring


@dataclass
class Measured:
    """What a process took, as the operating system counts it, and the Parquet that it wrote."""

    cpu: float
    wall: float
    peak: float
    parquet: float
    others: float

    def row(self, name: str) -> str:
        return (f"| {name} | {self.cpu:.2f} | {self.wall:.2f} | {self.peak:.0f} | {self.parquet:.1f} "
                f"| {self.cpu / self.wall:.2f} | {self.others:.2f} |")


def measure(command: list, environment: dict | None = None) -> Measured:
    """Runs a command that makes the lake anew."""
    shutil.rmtree(LAKE, ignore_errors=True)
    with open(WORK / "stderr.log", "wb") as log:
        started, busy = time.monotonic(), busy_seconds()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        wall, busy = time.monotonic() - started, busy_seconds() - busy
    if status != 0:
        raise SystemExit(f"{' '.join(map(str, command))}\n{(WORK / 'stderr.log').read_text()}")
    parquet = sum(path.stat().st_size for path in LAKE.rglob("*.parquet"))
    cpu = usage.ru_utime + usage.ru_stime
    return Measured(cpu, wall, usage.ru_maxrss / 1024, parquet / 2**20, max(busy - cpu, 0) / wall)


def busy_seconds() -> float:
    """CPU seconds of all processes since the machine started; 0 on systems that do not count them so."""
    path = Path("/proc/stat")
    if not path.exists():
        return 0
    user, nice, system, _idle, _waiting, interrupts, soft, stolen = map(int, path.read_text().split()[1:9])
    return (user + nice + system + interrupts + soft + stolen) / os.sysconf("SC_CLK_TCK")


class Rounds:
    """The measurements of a contender, one for each round."""

    def __init__(self):
        self.all: list = []

    def best(self) -> Measured:
        """The fewest CPU seconds and the shortest wall time, but the highest peak and the most disturbance."""
        cpu, wall = (min(getattr(one, what) for one in self.all) for what in ["cpu", "wall"])
        peak, others = (max(getattr(one, what) for one in self.all) for what in ["peak", "others"])
        return Measured(cpu, wall, peak, self.all[-1].parquet, others)

    def spread(self) -> float:
        """How far the slowest lies above the fastest, in percent of CPU seconds."""
        return 100 * (max(one.cpu for one in self.all) / min(one.cpu for one in self.all) - 1)


def goal(what: str, value: float, limit: float, at_least: bool = False) -> str:
    """A line that says whether a goal is reached, or by how much it is missed."""
    reached = value >= limit if at_least else value <= limit
    missed = 100 * (limit / value - 1 if at_least else value / limit - 1)
    verdict = "reached" if reached else f"missed by {missed:.0f} %"
    return f"- {what}: {value:.2f}, goal {'at least' if at_least else 'at most'} {limit:g}: {verdict}"


# Commands


def convert(program: str, files: Path, *more: str) -> list:
    return [program, "convert", files, *lake_arguments(), *more]


def lake_arguments() -> list:
    return ["--lake", LAKE, "--definition", DEFINITION, "--progress", "none", "--result-file", result_file("costlake")]


def script(name: str, files: Path) -> list:
    return [sys.executable, ROOT / "benches" / "contenders.py", name, files, LAKE, result_file(name)]


def result_file(name: str) -> Path:
    return WORK / f"{name}.json"


def costlake_totals() -> dict:
    """Rows, and the sums of cost per metric: the exact ones, and those of the stored values."""
    totals = {"rows": 0, "exact": {}, "stored": {}}
    for month in json.loads(result_file("costlake").read_text())["months"]:
        for report in month["reports"]:
            cost = report["decimals"]["cost"]
            totals["rows"] += report["rows"]
            totals["exact"][report["metric"]] = Decimal(cost["exact_total"])
            totals["stored"][report["metric"]] = Decimal(cost["stored_total"])
    return totals


# Data


def data(program: str, rows: int, months: int = 1) -> Path:
    """Cost files with about so many rows over both metrics; made anew if the generator has changed."""
    folder, stamp = DATA / f"rows-{rows}-months-{months}", probe(program)
    stamp_file = folder / "generator.stamp"
    if not stamp_file.exists() or stamp_file.read_text() != stamp:
        shutil.rmtree(folder, ignore_errors=True)
        generate(program, rows, months, folder)
        stamp_file.write_text(stamp)
    return folder


def probe(program: str) -> str:
    """The digest of a few rows: another generator, other rows."""
    folder = DATA / "probe"
    shutil.rmtree(folder, ignore_errors=True)
    generate(program, 1_000, 1, folder)
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.csv")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def generate(program: str, rows: int, months: int, folder: Path) -> None:
    size = ["--rows", str(rows // 2), "--months", str(months)]
    command = [program, "simulate", "generate", "--out", folder, *size, *SHAPE]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def csv_facts(files: Path) -> tuple:
    """Rows and MiB of all reports."""
    manifests = [json.loads(path.read_text()) for path in files.rglob("manifest.json")]
    rows = sum(manifest["dataRowCount"] for manifest in manifests)
    return rows, sum(manifest["byteCount"] for manifest in manifests) / 2**20


# Parts


# Each returns the lines of its section and those of its goals.


def compare(options) -> tuple:
    files = data(options.program, options.rows)
    rows, mebibytes = csv_facts(files)
    rounds = {name: Rounds() for name in ["costlake", "Polars", "DuckDB"]}
    totals: dict = {}
    for _ in range(options.rounds):
        for name, contender in rounds.items():
            command = convert(options.program, files) if name == "costlake" else script(name, files)
            contender.all.append(measure(command))
            totals[name] = costlake_totals() if name == "costlake" else read_sums(name)
    ours = rounds["costlake"].best()
    lines = [
        "## The main job beside DuckDB and Polars", "",
        f"{rows:,} rows in {2 * BLOBS} blobs, {mebibytes:,.0f} MiB of CSV; best of {options.rounds}, alternating.", "",
        f"{COLUMNS} CPU ratio | wall ratio | spread % |", "|---" * 10 + "|",
    ]
    for name, contender in rounds.items():
        best = contender.best()
        ratios = f"{best.cpu / ours.cpu:.2f} | {best.wall / ours.wall:.2f} | {contender.spread():.0f}"
        lines.append(f"{best.row(name)} {ratios} |")
    lines += ["", *agreement(totals, rows)]
    return lines, compare_goals({name: each.best() for name, each in rounds.items()})


def read_sums(name: str) -> dict:
    return {metric: Decimal(total) for metric, total in json.loads(result_file(name).read_text()).items()}


def agreement(totals: dict, rows: int) -> list:
    """Demands the same sums of all. Each value that DuckDB or Polars keeps may be off by one in the 24th digit."""
    exact, tolerance = totals["costlake"]["exact"], rows * Decimal("1e-24")
    if totals["costlake"]["rows"] != rows:
        raise SystemExit(f"costlake published {totals['costlake']['rows']} rows of {rows}")
    lines = ["| sum of cost | " + " | ".join(exact) + " |", "|---" * (len(exact) + 1) + "|",
             "| costlake, exact | " + " | ".join(map(str, exact.values())) + " |"]
    for name in ["Polars", "DuckDB"]:
        for metric, total in exact.items():
            if abs(totals[name][metric] - total) > tolerance:
                raise SystemExit(f"{name} has {totals[name][metric]} as the {metric} cost, costlake {total}")
        lines.append(f"| {name} | " + " | ".join(str(totals[name][metric]) for metric in exact) + " |")
    return lines


def compare_goals(best: dict) -> list:
    ours = best["costlake"]
    lines = []
    for name, least in LEAST_RATIO.items():
        lines.append(goal(f"CPU seconds of {name} / costlake", best[name].cpu / ours.cpu, least, at_least=True))
        lines.append(goal(f"wall time of {name} / costlake", best[name].wall / ours.wall, least, at_least=True))
    lines.append(goal("peak MiB of costlake", ours.peak, MOST_PEAK_MIB))
    lines.append(goal("Parquet of costlake / Polars", ours.parquet / best["Polars"].parquet, 1))
    return lines


def growth(options) -> tuple:
    """N months are N times the same. A month of N times the rows is more: it has more resources, too."""
    lines = ["## Growth", "", f"| rows | CSV MiB {COLUMNS} rows per CPU s |", "|---" * 10 + "|"]
    goals = []
    large, times = options.rows * options.growth, options.growth
    small_memory = ["--memory-limit", SMALL_MEMORY]
    free = grown(options, ("one month", options.rows, 1, []), options.rounds, lines)
    limited = grown(options, (f"one month, {SMALL_MEMORY}", options.rows, 1, small_memory), options.rounds, lines)
    cases = [
        (free, (f"{times} months", large, times, [])),
        (free, (f"a month {times} times as large", large, 1, [])),
        (limited, (f"a month {times} times as large, {SMALL_MEMORY}", large, 1, small_memory)),
    ]
    try:
        for start, case in cases:
            goals += growth_goals(case[0], start, grown(options, case, 1, lines))
            if case is cases[0][1]:
                shutil.rmtree(DATA / f"rows-{large}-months-{case[2]}")
    finally:
        for _, case in cases:
            shutil.rmtree(DATA / f"rows-{large}-months-{case[2]}", ignore_errors=True)
    return lines, goals


def grown(options, case: tuple, rounds: int, lines: list) -> tuple:
    """Measures a case and appends its line. Large files are measured once: they even out by themselves."""
    name, wanted, months, limit = case
    files = data(options.program, wanted, months)
    rows, mebibytes = csv_facts(files)
    measured = Rounds()
    measured.all = [measure(convert(options.program, files, *limit)) for _ in range(rounds)]
    best = measured.best()
    lines.append(f"| {rows:,} | {mebibytes:,.0f} {best.row(name)} {rows / best.cpu:,.0f} |")
    return rows, best


def growth_goals(name: str, small: tuple, large: tuple) -> list:
    (rows, one), (more_rows, other) = small, large
    scale = more_rows / rows
    return [
        goal(f"{name}: peak, by that of one month", other.peak / one.peak, MOST_GROWTH),
        goal(f"{name}: CPU seconds per row, by those of one month", other.cpu / one.cpu / scale, MOST_GROWTH),
        goal(f"{name}: wall time per row, by that of one month", other.wall / one.wall / scale, MOST_GROWTH),
    ]


def pull(options) -> tuple:
    files = data(options.program, options.rows)
    rows, mebibytes = csv_facts(files)
    pipeline = write_pipeline()
    rounds = {"convert": Rounds(), "run": Rounds()}
    serving = []
    with Simulator(options.program, options.rows // 2) as simulator:
        for _ in range(options.rounds):
            rounds["convert"].all.append(measure(convert(options.program, files)))
            expected = costlake_totals()
            simulator.complete_at_once()
            before = simulator.cpu_seconds()
            command = [options.program, "run", "--config", pipeline, *lake_arguments()]
            rounds["run"].all.append(measure(command, simulator.environment))
            serving.append(simulator.cpu_seconds() - before)
            if costlake_totals() != expected:
                raise SystemExit("the simulator served other rows than the files have")
    lines = [
        "## A run against the simulator", "",
        f"{rows:,} rows, {mebibytes:,.0f} MiB over HTTP from blobs that the simulator holds in memory; reports are "
        f"complete at once, so that nothing waits for a poll. Sending took {statistics.median(serving):.2f} CPU seconds "
        "of the simulator, on the same cores.", "",
        COLUMNS, "|---" * 7 + "|", *(each.best().row(name) for name, each in rounds.items()),
    ]
    ratio = rounds["run"].best().wall / rounds["convert"].best().wall
    return lines, [goal("wall time of run / convert", ratio, MOST_PULL_RATIO)]


class Simulator:
    """A simulated Azure that serves the files of `data` from memory, until the end of a `with`."""

    def __init__(self, program: str, rows_per_month: int):
        self.env_file = WORK / "simulator.env"
        self.env_file.unlink(missing_ok=True)
        self.command = [program, "simulate", "--rows-per-month", str(rows_per_month), "--months", "1", "--closed",
                        "--prerender", "--env-file", self.env_file, *SHAPE]

    def __enter__(self) -> "Simulator":
        self.process = subprocess.Popen(self.command, stderr=subprocess.DEVNULL)
        try:
            self.wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def wait(self) -> None:
        deadline = time.monotonic() + 60
        while not self.env_file.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("the simulator is not ready")
            time.sleep(0.05)
        pairs = [line.removeprefix("export ").split("=", 1) for line in self.env_file.read_text().splitlines()]
        self.environment = os.environ | {name: value.strip("'") for name, value in pairs}

    def __exit__(self, *_) -> None:
        self.process.terminate()
        self.process.wait()

    def complete_at_once(self) -> None:
        """Lets the next two reports be the answer to the request for them."""
        fault = [{"route": "submit", "count": 2, "action": {"type": "complete_at_once"}}]
        url = f"{self.environment['COSTLAKE_ARM_ENDPOINT']}/_simulator/faults"
        request = urllib.request.Request(url, json.dumps(fault).encode(), method="POST")
        without_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        without_proxy.open(request).close()

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def write_pipeline() -> Path:
    """The demo's pipeline, for the one month that is measured; lake and rollup come as arguments."""
    text = (ROOT / "pipelines" / "demo.toml").read_text()
    head = text[: text.index("[pull]")]
    path = WORK / "pull.toml"
    # `convert` does not reconcile: the two do the same work.
    path.write_text(f'{head}[pull]\nmetrics = ["both"]\nperiods = ["{MONTH}"]\n[reconcile]\nenabled = false\n')
    return path


# Report


def head(program: str) -> list:
    memory = next(iter(proc_values("/proc/meminfo", "MemTotal")), "0 kB").split()[0]
    model = next(iter(proc_values("/proc/cpuinfo", "model name")), platform.machine())
    versions = [said([program, "--version"]), said(["rustc", "--version"])]
    versions += [f"{name} {metadata.version(name.lower())}" for name in ["DuckDB", "Polars"]]
    return [
        "# Measured", "",
        f"{datetime.date.today()}; {model}, {os.cpu_count()} cores, {int(memory) / 2**20:.0f} GiB, "
        f"{platform.system()} {platform.release()}; {', '.join(versions)}, Python {platform.python_version()}.", "",
        "Of several rounds the fewest CPU seconds, the shortest wall time and the highest peak are shown. Cores busy are "
        "CPU seconds by wall time, by others how many cores other processes took meanwhile: more than a little, and wall "
        "times are worth nothing. Ratios are how many times what costlake takes, the spread is how far the slowest round "
        "lies above the fastest.", "",
    ]


def proc_values(path: str, name: str) -> list:
    """The values of a name in a file of `name: value` lines; none on systems without the file."""
    if not Path(path).exists():
        return []
    lines = [line.split(":", 1) for line in Path(path).read_text().splitlines() if ":" in line]
    return [value.strip() for key, value in lines if key.strip() == name]


def said(command: list) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return f"{Path(command[0]).name} unknown"


def main() -> None:
    parts = {"compare": compare, "growth": growth, "pull": pull}
    parser = argparse.ArgumentParser(description="Measures whole processes; see the head of this file.")
    parser.add_argument("program", help="the costlake to measure")
    parser.add_argument("parts", nargs="+", choices=[*parts, "smoke"])
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows over both metrics")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--growth", type=int, default=10, help="how many times the rows")
    options = parser.parse_args()
    # What was started is ended on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    is_smoke = "smoke" in options.parts
    if is_smoke:
        options.parts, options.rows, options.rounds, options.growth = list(parts), SMOKE_ROWS, 1, 2
    options.program = str(Path(options.program).resolve())
    DATA.mkdir(parents=True, exist_ok=True)
    sections = [head(options.program)]
    for lines, goals in (parts[name](options) for name in options.parts):
        sections.append(lines if is_smoke else [*lines, "", *goals])
    report = "\n\n".join("\n".join(section).strip() for section in sections) + "\n"
    (WORK / ("smoke.md" if is_smoke else "report.md")).write_text(report)
    shutil.rmtree(LAKE, ignore_errors=True)
    print(report)


if __name__ == "__main__":
    main()
