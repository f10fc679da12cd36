"""Cases of their own: what changes between the run that was killed and the next one."""

import asyncio
import datetime
import json
import pathlib
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import kills_world
import world
from kills_world import Case, Job, Left, Slot

# Three blobs of four become whole; the fourth says nothing more.
LAST_BLOB_STALLS = {"route": "blob", "skip": 3, "action": {"type": "stall", "after_bytes": 1000, "seconds": 100}}
BLOBS = 4
GONE = {"route": "poll", "action": {"type": "reply", "status": 404, "body": '{"error": {"code": "NotFound"}}'}}
# Exit codes that say nothing of what is wrong: done, and a panic.
NOT_AN_ERROR = (0, 101)

Objects = dict[str, bytes]
Change = Callable[[Case], Awaitable[None]]
# Given the case, what the kill left, and the submissions since then.
Demand = Callable[[Case, Left, int], Awaitable[list[str]]]


async def kill_while_downloading(case: Case) -> Left:
    """Leaves a lake with three blobs that are whole and one that is not."""
    await case.simulator.fault(LAST_BLOB_STALLS)
    process = await case.spawn()
    ending = asyncio.create_task(world.finish(process))
    deadline = time.monotonic() + 30
    while len((await case.look()).whole) < BLOBS - 1:
        assert time.monotonic() < deadline and not ending.done(), "the blobs before the last one become whole"
        await asyncio.sleep(0.02)
    kills_world.kill(process)
    problems = await case.after_death(await ending)
    assert not problems, problems
    await case.simulator.forget_faults()
    left = case.lefts[-1]
    assert list(left.states.values()) == ["downloading"] * 2 or "converted" in left.states.values(), left.states
    return left


async def submissions_since(case: Case, left: Left) -> int:
    return sum((await case.submissions()).values()) - sum(left.submissions.values())


def resumed(name: str, objects: Objects, change: Change, demand: Demand, flags: Iterable[str] = (), pull: str = "") -> Job:
    """A case in which something changes after the kill, and the next run ends well."""

    async def work(slot: Slot) -> list[str]:
        async with slot.case() as case:
            left = await kill_while_downloading(case)
            slot.write_pipeline(pull)
            await change(case)
            ended = await case.run(*flags)
            case.lefts[-1] = allowance(left)
            problems = await case.after_clean_run(ended, objects)
            problems += await demand(case, left, await submissions_since(case, left))
            return [*problems, ended.last_lines()] if problems else []

    return Job(name, work)


def allowance(left: Left) -> Left:
    """The same without demands on requests: each case has its own."""
    return Left(left.states, True, {}, [], left.staged, left.submissions)


async def nothing(_case: Case) -> None:
    pass


def count_problems(what: str, expected: int, found: int) -> list[str]:
    return [] if expected == found else [f"expected {expected} {what}, found {found}"]


async def read_again(case: Case, left: Left) -> int:
    """Returns how many blobs that were whole were asked for since."""
    blobs = await case.blobs()
    return sum(kills_world.reads(blobs[name]) != before for name, before in left.whole.items())


async def goes_on(case: Case, left: Left, submissions: int) -> list[str]:
    """No new report, no blob read again."""
    again = await read_again(case, left)
    return count_problems("new reports", 0, submissions) + count_problems("whole blobs read again", 0, again)


async def one_anew(case: Case, left: Left, submissions: int) -> list[str]:
    """One new report, of which all blobs are read."""
    problems = count_problems("new reports", 1, submissions)
    problems += count_problems("whole blobs read again", 0, await read_again(case, left))
    return problems + await new_blobs_unread(case, left)


async def all_anew(case: Case, left: Left, submissions: int) -> list[str]:
    """Two new reports, of which all blobs are read, and the old ones are left alone."""
    problems = count_problems("new reports", 2, submissions)
    problems += count_problems("whole blobs read again", 0, await read_again(case, left))
    return problems + await new_blobs_unread(case, left)


async def new_blobs_unread(case: Case, left: Left) -> list[str]:
    """Returns blobs of new reports that were not read once: those of the old ones took their place."""
    new = (await case.reports())[sum(left.submissions.values()) :]
    blobs = [blob for report in new for blob in report["blobs"]]
    wrong = [blob for blob in blobs if blob["whole_reads"] != 1]
    return [f"{blob['path']} of a new report was read {blob['whole_reads']} times" for blob in wrong]


async def one_blob_again(case: Case, left: Left, submissions: int) -> list[str]:
    """No new report, and the one damaged blob is read again."""
    again = await read_again(case, left)
    return count_problems("new reports", 0, submissions) + count_problems("whole blobs read again", 1, again)


def fault_before(fault: dict[str, Any]) -> Change:
    async def change(case: Case) -> None:
        await case.simulator.fault(fault)

    return change


def damage(edit: Callable[[pathlib.Path], None]) -> Change:
    """Damages one landed blob that the journal calls whole."""

    async def change(case: Case) -> None:
        landed = kills_world.landed_blobs(case.lake)
        journals = [journal for _, journal in kills_world.read_journals(case.lake)]
        blobs = [blob for journal in journals for blob in journal["blobs"] if blob["crc32"]]
        edit(landed[(blobs[0]["bytes"], blobs[0]["crc32"])])

    return change


def flip(path: pathlib.Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


BLOB_DAMAGES: dict[str, Callable[[pathlib.Path], Any]] = {
    "has a wrong bit": flip,
    "is cut": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "is too long": lambda path: path.write_bytes(path.read_bytes() + b"\n"),
    "is empty": lambda path: path.write_bytes(b""),
    "is gone": pathlib.Path.unlink,
}


def age(hours: float) -> Change:
    """Moves the time of the requests into the past, in the journal."""

    async def change(case: Case) -> None:
        when = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=hours)
        for path, journal in kills_world.read_journals(case.lake):
            journal["submitted_at"] = when.strftime("%Y-%m-%dT%H:%M:%S.000Z")
            path.write_text(json.dumps(journal))

    return change


async def forget_operations(case: Case) -> None:
    """Puts operations into the journal that Azure does not know."""
    for path, journal in kills_world.read_journals(case.lake):
        known = journal["operation"]["id"]
        path.write_text(path.read_text().replace(f"{known}?", f"{uuid.uuid4()}?"))


async def remove_journal(case: Case) -> None:
    for path in kills_world.files_below(case.lake / "_costlake/journal"):
        path.unlink()


async def a_pause(_case: Case) -> None:
    """Longer than links live."""
    await asyncio.sleep(1.5)


def jobs(objects: Objects) -> list[Job]:
    overstated = {"route": "poll", "action": {"type": "overstate_bytes", "by": 1}}
    return [
        resumed("nothing changes", objects, nothing, goes_on),
        resumed("an operation is gone", objects, fault_before(GONE), one_anew),
        resumed("all operations are gone", objects, forget_operations, all_gone),
        resumed("blobs have other sizes than before", objects, fault_before(overstated), one_anew),
        *(resumed(f"a landed blob {what}", objects, damage(edit), one_blob_again) for what, edit in BLOB_DAMAGES.items()),
        resumed("reuse_hours = 0", objects, nothing, all_anew, pull="reuse_hours = 0"),
        resumed("--force", objects, nothing, all_anew, flags=["--force"]),
        resumed("reports of 5.9 hours ago", objects, age(5.9), goes_on),
        resumed("reports of 6.1 hours ago", objects, age(6.1), all_anew),
        resumed("the journal is removed", objects, remove_journal, all_anew),
        *damaged_journals(objects),
    ]


async def all_gone(case: Case, left: Left, submissions: int) -> list[str]:
    """At least the report that is not whole is asked for anew; one that is may need no poll."""
    if submissions not in (1, 2):
        return [f"expected 1 or 2 new reports, found {submissions}"]
    return await new_blobs_unread(case, left)


def link_jobs(objects: Objects) -> list[Job]:
    """Cases for a simulator whose links live for a second."""
    return [resumed("links expire between two runs", objects, a_pause, goes_on)]


def newer(text: str) -> str:
    return json.dumps({**json.loads(text), "format_version": 2})


DAMAGES: dict[str, Callable[[str], str]] = {
    "cut": lambda text: text[: len(text) // 2],
    "empty": lambda _text: "",
    "garbage": lambda _text: "}\x00 no JSON",
    "another kind of JSON": lambda _text: "[1, 2]",
    "of a newer format_version": newer,
}


def damaged_journals(objects: Objects) -> list[Job]:
    """A damaged file of the journal stops the run, and nothing is published or lost; without the file it goes on."""
    places = {
        "reports/*/2025-05/actual.json": kill_while_downloading,
        "reports/*/2025-05/amortized.json": finish,
        "months/*/2025-05.json": finish,
        "pulls/*.json": kill_while_downloading,
        "budgets.json": kill_while_throttled,
    }
    return [
        damaged_journal(objects, place, prepare, name, edit)
        for place, prepare in places.items()
        for name, edit in DAMAGES.items()
    ]


def damaged_journal(
    objects: Objects, place: str, prepare: Callable[[Case], Awaitable[Any]], name: str, edit: Callable[[str], str]
) -> Job:
    async def work(slot: Slot) -> list[str]:
        async with slot.case() as case:
            await prepare(case)
            [file] = (case.lake / "_costlake/journal").glob(place)
            file.write_text(edit(file.read_text()))
            before = world.published(case.lake)
            ended = await case.run()
            problems = kills_world.differences(before, world.published(case.lake))
            if ended.code in NOT_AN_ERROR:
                problems.append(f"expected an error, found exit {ended.code}")
            name = str(file.relative_to(case.lake / "_costlake/journal"))
            if name not in ended.stderr:
                problems.append(f"expected an error that names {name}")
            problems += await goes_on_without(case, file, objects)
            return [*problems, ended.last_lines()] if problems else []

    return Job(f"{place} is {name}", work)


async def goes_on_without(case: Case, file: pathlib.Path, objects: Objects) -> list[str]:
    """A file of the journal may be removed: what it knew is asked for anew."""
    file.unlink(missing_ok=True)
    ended = await case.run()
    if ended.code != 0:
        return [f"without the file: expected exit 0, found {ended.code}", ended.last_lines()]
    return kills_world.differences(objects, world.published(case.lake))


async def finish(case: Case) -> None:
    ended = await case.run()
    assert ended.code == 0, ended.last_lines()


async def kill_while_throttled(case: Case) -> None:
    """Leaves a lake whose journal has a budget to wait for."""
    name = "x-ms-ratelimit-microsoft.costmanagement-entity-retry-after"
    throttled = {"type": "reply", "status": 429, "headers": {name: "3"}}
    await case.simulator.fault({"route": "submit", "forever": True, "action": throttled})
    process = await case.spawn()
    ending = asyncio.create_task(world.finish(process))
    budgets = case.lake / "_costlake/journal/budgets.json"
    deadline = time.monotonic() + 10
    while not budgets.exists() and time.monotonic() < deadline and not ending.done():
        await asyncio.sleep(0.02)
    kills_world.kill(process)
    await ending
    await case.simulator.forget_faults()
    assert budgets.exists(), "a budget is in the journal when Azure asks for patience"

