"""Pulls one month through every fault that the simulator knows, and demands that each run ends as it should.

    faults.py [--sample N] [--pairs N] [--seed S] [--only TEXT] [--list]

Without arguments all of faults_table.py runs: every fault at every request that it fits, and those without end. A run
ends with the bytes of an undisturbed run, or with one of the documented errors and nothing published. Some of
the runs that end in an error are repeated without faults in the same lake, which must bring the whole month.
The program is that of the variable COSTLAKE_BIN.
"""

import argparse
import asyncio
import collections
import dataclasses
import pathlib
import random
import sys
import tempfile
import time

import faults_table as table
import faults_world

LANES = 6

# A simulator is replaced after so many runs; its log of requests grows.
RUNS_OF_A_SIMULATOR = 40

# Every so many errors, the lake is pulled once more without faults.
ERRORS_PER_SECOND_RUN = 4

# How a run may end at all: 8 is for rows that cannot be typed, where a flip has hit them.
DOCUMENTED = (0, 1, 3, 4, 5, 8, 9)

# What an undisturbed run asks for, in this order but for the blobs of the first report.
ORDER = (table.TOKEN, table.SUBMIT, table.PENDING, table.MANIFEST, table.BLOB)

ANY_ERROR = table.fails(1, 3, 4, 5, 9)


@dataclasses.dataclass
class Case:
    """A schedule, and how it may end."""

    schedule: faults_world.Schedule
    expected: table.Outcome
    # The same by the kind of request that was really hit, if it is one only.
    by_kind: dict[str, table.Outcome]


@dataclasses.dataclass
class Reference:
    """The run that nothing disturbs."""

    published: dict[str, bytes]
    totals: list[str]
    # Published after the open month has moved on.
    later: dict[str, bytes]
    # Per request its kind, as in the table.
    kinds: list[str]


@dataclasses.dataclass
class Report:
    """What all runs had to say."""

    failures: list[str] = dataclasses.field(default_factory=list)
    ended: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    errors: int = 0
    second_runs: int = 0

    def add(self, failure: str) -> None:
        self.failures.append(failure)
        print(failure, flush=True)


def kinds_of(requests: list[faults_world.Json]) -> list[str]:
    """Kinds as the table has them: the second poll of a report brings its manifest."""
    seen: set[str] = set()
    kinds = []
    for one in requests:
        polled = table.MANIFEST if one["path"] in seen else table.PENDING
        kinds.append(polled if one["kind"] == "poll" else one["kind"])
        seen.add(one["path"])
    return kinds


def cases(faults: list[table.Fault], kinds: list[str]) -> list[Case]:
    """A schedule per fault and request."""
    found = []
    for number, fault in enumerate(faults):
        for kind, outcome in fault.expected.items():
            if fault.forever:
                found.append(endless(fault, kind, outcome))
                continue
            places = [place for place, known in enumerate(kinds, 1) if known == kind]
            assert places, f"no request is of the kind {kind}"
            if not fault.everywhere:
                places = [places[number % len(places)]]
            found += [single(fault, kinds, place, outcome) for place in places]
    return found


def endless(fault: table.Fault, route: str, outcome: table.Outcome) -> Case:
    faults = [{"route": route, "forever": True, "action": fault.action}]
    schedule = faults_world.Schedule(f"every {route}: {fault.name}", faults, fault.settings)
    return Case(schedule, outcome, {})


def single(fault: table.Fault, kinds: list[str], place: int, outcome: table.Outcome) -> Case:
    """A fault at one request, named by its kind: blobs of one report and polls of the other may change places."""
    kind = kinds[place - 1]
    route = route_of(kind)
    before = [route_of(one) for one in kinds[: place - 1]].count(route)
    faults = [{"route": route, "skip": before, "action": fault.action}]
    faults += [{"route": route, "action": action} for action in fault.more]
    schedule = faults_world.Schedule(f"request {place} ({kind}): {fault.name}", faults, fault.settings)
    return Case(schedule, outcome, fault.expected)


def route_of(kind: str) -> str:
    return "poll" if kind in table.POLLS else kind


def pairs(faults: list[table.Fault], kinds: list[str], count: int, chance: random.Random) -> list[Case]:
    """Two faults in one run, all reports at the same time: it ends well, or with an error that is documented."""
    silent = [fault for fault in faults if not any(one.other or one.empty or one.moved for one in fault.expected.values())]
    once = [fault for fault in silent if not fault.forever and not fault.more]
    concurrent = {"concurrent_reports": None, "concurrent_downloads": None, "concurrent_requests": None}
    found = []
    for _ in range(count):
        chosen = [(chance.choice(once), chance.randint(1, len(kinds) + 3)) for _ in range(2)]
        texts = [f"request {place}: {fault.name}" for fault, place in chosen]
        both = [{"nth": place, "action": fault.action} for fault, place in chosen]
        schedule = faults_world.Schedule(" and ".join(texts), both, concurrent)
        found.append(Case(schedule, table.EQUAL | ANY_ERROR, {}))
    return found


async def reference(lane: faults_world.Lane) -> Reference:
    """Runs twice without faults; both must be the same."""
    quiet = faults_world.Schedule("no fault", [])
    runs = [await lane.play(quiet) for _ in range(2)]
    for found in runs:
        assert found.code == 0 and not found.complaints, f"{found.code} {found.complaints}\n{found.stderr}"
    assert runs[0].published == runs[1].published and runs[0].published, "two undisturbed runs differ"
    kinds = [kinds_of(found.requests) for found in runs]
    assert sorted(kinds[0]) == sorted(kinds[1]), f"not the same requests: {kinds}"
    totals = await lane.totals()
    await lane.control("advance", "POST")
    later = await lane.play(quiet)
    await lane.renew()
    assert later.code == 0 and later.published != runs[0].published, later.stderr
    return Reference(runs[0].published, totals, later.published, sorted(kinds[0], key=ORDER.index))


def allowed(case: Case, found: faults_world.Found) -> table.Outcome:
    """How the run may end, by what the fault has really hit."""
    kinds = [kind for kind, one in zip(kinds_of(found.requests), found.requests) if one["fault"]]
    if not kinds:
        return table.SAME
    if not case.by_kind:
        return case.expected
    return case.by_kind.get(kinds[0], table.SAME)


async def judge(case: Case, found: faults_world.Found, lane: faults_world.Lane, known: Reference) -> tuple[str, str]:
    """How the run ended, in a word, and what is wrong with that, if anything."""
    outcome = allowed(case, found)
    how, problem = "", ""
    if found.code is None:
        how, problem = "hang", f"still running after {faults_world.DEADLINE_SECONDS} s"
    elif found.code not in DOCUMENTED:
        how, problem = f"code {found.code}", "no documented exit code"
    elif found.code in (0, 8):
        how, problem = await judge_success(found, lane, known, outcome)
    else:
        how, problem = f"error {found.code}", judge_error(found, outcome)
    if found.complaints:
        problem = "; ".join([problem, *found.complaints] if problem else found.complaints)
    return how, f"expected {outcome}, found {how}: {problem}" if problem else ""


async def judge_success(
    found: faults_world.Found, lane: faults_world.Lane, known: Reference, outcome: table.Outcome
) -> tuple[str, str]:
    if found.code == 0 and found.published == known.published:
        return "same", "" if outcome.same else "the fault is without effect"
    if not found.published:
        return "empty", "" if outcome.empty and found.code == 0 else "nothing was published"
    if found.code == 0 and await lane.totals() == known.totals:
        return "equal", "" if outcome.equal or outcome.other else "the same totals in other bytes"
    if found.code == 0 and outcome.moved:
        return "moved", mixed(found, known)
    how = "quarantine" if found.code == 8 else "other"
    return how, "" if getattr(outcome, how) else f"other data are published: {different(found, known)}"


def mixed(found: faults_world.Found, known: Reference) -> str:
    """Line items that are neither those before the month moved on nor those after."""
    lines = [name for name in found.published if name.startswith("cost_line_items/")]
    both = (known.published, known.later)
    wrong = [name for name in lines if found.published[name] not in [lake.get(name) for lake in both]]
    if len(lines) != 2:
        wrong.append(f"{len(lines)} metrics")
    return f"neither before nor after: {', '.join(wrong)}" if wrong else ""


def different(found: faults_world.Found, known: Reference) -> str:
    names = sorted({*found.published, *known.published})
    return ", ".join(name for name in names if found.published.get(name) != known.published.get(name))


def judge_error(found: faults_world.Found, outcome: table.Outcome) -> str:
    if found.published:
        return f"an error, and yet published: {', '.join(found.published)}"
    if not any(line.startswith("error: ") for line in found.stderr.splitlines()):
        return "stderr has no line that begins with error:"
    return "" if found.code in outcome.codes else "not this error"


async def check(case: Case, lane: faults_world.Lane, known: Reference, report: Report) -> None:
    found = await lane.play(case.schedule)
    how, problem = await judge(case, found, lane, known)
    report.ended[how] += 1
    if problem:
        report.add(account(case, found, problem))
    if case.expected.moved:
        await lane.renew()
    elif how.startswith("error"):
        report.errors += 1
        if report.errors % ERRORS_PER_SECOND_RUN == 0:
            await check_second_run(case, lane, known, report)


async def check_second_run(case: Case, lane: faults_world.Lane, known: Reference, report: Report) -> None:
    """After an error, a run without faults brings the whole month."""
    report.second_runs += 1
    found = await lane.play_again(case.schedule)
    good = found.code == 0 and (found.published == known.published or await lane.totals() == known.totals)
    if not good or found.complaints:
        problem = f"a second run without faults ends with {found.code}, {different(found, known)} {found.complaints}"
        report.add(account(case, found, problem))


def account(case: Case, found: faults_world.Found, problem: str) -> str:
    marks = {True: "!", False: ""}
    log = [f"{one['kind']}:{one['status']}{marks[one['fault']]}" for one in found.requests]
    plain = [line for line in found.stderr.splitlines() if " TRACE " not in line and " DEBUG " not in line]
    lines = [
        f"FAILED {case.schedule.name}",
        f"    schedule {str(case.schedule.faults)[:600]} {case.schedule.settings or ''}",
        f"    {problem[:1500]}",
        f"    after {found.seconds:.1f} s; requests {' '.join(log[:40])}",
        *(f"    | {line[:600]}" for line in plain[-6:]),
    ]
    return "\n".join(lines)


async def work(lane: faults_world.Lane, queue: list[Case], known: Reference, report: Report) -> None:
    """Takes one case after the other, until none is left."""
    lane.reference = known.published
    runs = 0
    while queue:
        case = queue.pop()
        if runs >= RUNS_OF_A_SIMULATOR:
            await lane.renew()
            runs = 0
        runs += 1
        try:
            await check(case, lane, known, report)
        except (AssertionError, OSError, ValueError) as error:
            report.add(f"FAILED {case.schedule.name}\n    {error}")
            await lane.renew()


def chosen(arguments: argparse.Namespace, known: Reference) -> list[Case]:
    chance = random.Random(arguments.seed)
    faults = table.table()
    if arguments.pairs:
        found = pairs(faults, known.kinds, arguments.pairs, chance)
    else:
        found = cases(faults, known.kinds)
    found = [case for case in found if arguments.only in case.schedule.name]
    if arguments.sample:
        found = chance.sample(found, min(arguments.sample, len(found)))
    chance.shuffle(found)
    return found


async def play_all(arguments: argparse.Namespace, directory: pathlib.Path) -> Report:
    started = time.monotonic()
    lanes = [faults_world.Lane(directory / f"lane{number}", faults_world.SIMULATOR_FLAGS) for number in range(LANES)]
    report = Report()
    opened: list[faults_world.Lane] = []
    try:
        for lane in lanes:
            await lane.open()
            opened.append(lane)
        known = await reference(lanes[0])
        queue = chosen(arguments, known)
        total = len(queue)
        if arguments.list:
            print("\n".join(f"{case.schedule.name} -> {case.expected}" for case in queue))
            return report
        await asyncio.gather(*(work(lane, queue, known, report) for lane in lanes))
    finally:
        for lane in opened:
            await lane.close()
    ended = ", ".join(f"{count} {how}" for how, count in report.ended.most_common())
    seconds = time.monotonic() - started
    print(
        f"faults: {total} schedules at {len(known.kinds)} requests in {seconds:.0f} s, seed {arguments.seed}: {ended};"
        f" {report.second_runs} second runs; {len(report.failures)} failed"
    )
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, default=0, help="runs so many schedules, by chance")
    parser.add_argument("--pairs", type=int, default=0, help="runs so many random pairs of faults instead")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="only schedules with this text in their name")
    parser.add_argument("--list", action="store_true", help="prints the schedules, runs none")
    arguments = parser.parse_args()
    faults_world.check_canaries()
    with tempfile.TemporaryDirectory() as directory:
        report = asyncio.run(play_all(arguments, pathlib.Path(directory)))
    sys.exit(1 if report.failures else 0)


if __name__ == "__main__":
    main()
