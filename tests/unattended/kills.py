"""Kills runs at every rename and at random moments, and demands that the next run finishes as if nothing had been.

Usage: kills.py [--kills N] [--doubles N] [--seed S] [--only PART]

The program is that of the variable COSTLAKE_BIN. PART is renames, moments, doubles, cases or replacing. Each killed run is
followed by one clean run; what is demanded of it is in `Case.after_clean_run`.
"""

import argparse
import asyncio
import collections
import dataclasses
import pathlib
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

import kills_cases
import world
from kills_world import Case, Job, Slot, accounts, kill, run_jobs, slots

SLOTS = 6
FLAGS = ("--rows-per-month", "60", "--blobs", "2", "--polls", "1", "--months", "1")

# Slow answers, so that a random moment falls between any two steps.
SLOW: list[dict[str, Any]] = [
    {"route": "submit", "forever": True, "action": {"type": "stall", "milliseconds": 80, "effect": True}},
    {"route": "poll", "forever": True, "action": {"type": "stall", "milliseconds": 40}},
    {"route": "blob", "forever": True, "action": {"type": "stall", "milliseconds": 150, "after_bytes": 30000}},
]

# Which renames are counted: a text that is in the target, and one that is not.
RENAMES = {
    "journal": {"AT_RENAME_BELOW": "/_costlake/journal/"},
    "publishing": {"AT_RENAME_BELOW": "/data.parquet", "AT_RENAME_BUT": "/_costlake/"},
    "manifest": {"AT_RENAME_BELOW": "/_costlake/manifests/"},
    "commit": {"AT_RENAME_BELOW": "/_costlake/commits/"},
}


@dataclasses.dataclass
class Undisturbed:
    """What a run does that nobody disturbs."""

    objects: dict[str, bytes]
    slow_seconds: float
    renames: dict[str, int]


def compile_shim(directory: pathlib.Path) -> pathlib.Path:
    source = pathlib.Path(__file__).with_name("at_rename.c")
    shim = directory / "at_rename.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", shim, source, "-ldl"], check=True)
    return shim


async def measure(workers: list[Slot], shim: pathlib.Path) -> Undisturbed:
    objects = await objects_of_a_run(workers[0])
    seconds = await asyncio.gather(*map(slow_run, workers))
    seconds += await asyncio.gather(*map(slow_run, workers))
    renames = {kind: await count_renames(workers[0], shim, kind) for kind in RENAMES}
    for kind, count in renames.items():
        assert count > 0, f"a run renames nothing of kind {kind}: is the shim loaded?"
    return Undisturbed(objects, statistics.median(seconds), renames)


async def objects_of_a_run(slot: Slot) -> dict[str, bytes]:
    async with slot.case() as case:
        ended = await case.run()
        objects = world.published(case.lake)
        problems = await case.after_clean_run(ended, objects)
        assert objects and not problems, f"an undisturbed run goes wrong: {problems}\n{ended.last_lines()}"
        return objects


async def slow_run(slot: Slot) -> float:
    """Returns the seconds that a slow run takes while the other slots are busy too."""
    async with slot.case() as case:
        await case.simulator.fault(*SLOW)
        started = time.monotonic()
        ended = await case.run()
        assert ended.code == 0, f"slow answers are no faults, but exit {ended.code}\n{ended.last_lines()}"
        return time.monotonic() - started


async def count_renames(slot: Slot, shim: pathlib.Path, kind: str) -> int:
    async with slot.case() as case:
        ended, renames = await run_with_shim(case, shim, **RENAMES[kind])
        assert ended.code == 0, f"the shim disturbs: exit {ended.code}\n{ended.last_lines()}"
    return renames


async def run_with_shim(case: Case, shim: pathlib.Path, **variables: str) -> tuple[world.Ended, int]:
    """Runs the program with the shim, and counts its renames up to its end."""
    log = case.slot.directory / "renames"
    log.write_text("")
    ended = await case.run(LD_PRELOAD=str(shim), AT_RENAME_LOG=str(log), **variables)
    return ended, len(log.read_text().splitlines())


class Kills:
    """The parts of the test, and what they have seen."""

    def __init__(self, undisturbed: Undisturbed, shim: pathlib.Path) -> None:
        self.undisturbed = undisturbed
        self.shim = shim
        self.states: collections.Counter[str] = collections.Counter()
        self.killed = 0
        self.too_late = 0
        self.unreached = 0

    def rename_jobs(self, undisturbed: Undisturbed) -> list[Job]:
        jobs = []
        for kind, count in undisturbed.renames.items():
            for number in range(1, count + 1):
                for when in ("before", "after"):
                    jobs.append(self.rename_job(undisturbed, kind, number, when))
        return jobs

    def rename_job(self, undisturbed: Undisturbed, kind: str, number: int, when: str) -> Job:
        async def work(slot: Slot) -> list[str]:
            async with slot.case() as case:
                variables = {**RENAMES[kind], "AT_RENAME_NUMBER": str(number), "AT_RENAME_WHEN": when}
                ended, renames = await run_with_shim(case, self.shim, **variables)
                if ended.code == 0 and renames < number:
                    # Blobs that become whole at the same time may share a write of the journal.
                    self.unreached += 1
                elif ended.code != -signal.SIGKILL:
                    return [f"expected death by SIGKILL, found exit {ended.code}", ended.last_lines()]
                return await self.note(case, ended) + await self.clean_run(case, undisturbed.objects)

        return Job(f"killed {when} {kind} rename {number}", work)

    def moment_job(self, name: str, moments: list[float]) -> Job:
        """A case with a kill after each of these parts of a slow run."""

        async def work(slot: Slot) -> list[str]:
            async with slot.case() as case:
                problems = []
                for moment in moments:
                    await case.simulator.fault(*SLOW)
                    ended = await run_and_kill(case, moment * self.undisturbed.slow_seconds)
                    if ended.code not in (0, -signal.SIGKILL):
                        return [f"expected exit 0 or death by SIGKILL, found {ended.code}", ended.last_lines()]
                    problems += await self.note(case, ended)
                await case.simulator.forget_faults()
                return problems + await self.clean_run(case, self.undisturbed.objects)

        parts = ", ".join(f"{moment:.4f}" for moment in moments)
        return Job(f"{name}, killed at {parts} of {self.undisturbed.slow_seconds:.2f} s", work)

    async def note(self, case: Case, ended: world.Ended) -> list[str]:
        """Looks at what a dead run left."""
        problems = await case.after_death(ended)
        left = case.lefts[-1]
        self.killed += ended.code != 0
        self.too_late += ended.code == 0
        self.states.update(["finished"] if left.finished else list(left.states.values()) or ["none"])
        return problems

    async def clean_run(self, case: Case, objects: dict[str, bytes]) -> list[str]:
        ended = await case.run()
        problems = await case.after_clean_run(ended, objects)
        if not problems:
            return []
        states = [{report[1]: state for report, state in left.states.items()} for left in case.lefts]
        return [*problems, f"states that the kills left: {states}", ended.last_lines()]

    def missed(self, only: str | None) -> list[str]:
        """Returns what the kills should have hit and did not."""
        wanted = {"polling", "downloading", "converted"} if only != "cases" else set()
        missed = [f"FAILED: no kill left a report as {state}" for state in sorted(wanted - self.states.keys())]
        if self.unreached * 10 > self.killed:
            missed.append(f"FAILED: {self.unreached} renames were not reached")
        for failure in missed:
            print(failure, file=sys.stderr, flush=True)
        return missed

    def summary(self) -> str:
        states = ", ".join(f"{state} {count}" for state, count in sorted(self.states.items()))
        return f"{self.killed} kills, {self.too_late} too late ({self.unreached} by renames); reports left as: {states}"


async def run_and_kill(case: Case, seconds: float) -> world.Ended:
    process = await case.spawn()
    ending = asyncio.create_task(world.finish(process))
    await asyncio.wait([ending], timeout=seconds)
    kill(process)
    return await ending


def moment_jobs(kills: Kills, count: int, random_numbers: random.Random) -> list[Job]:
    moments = [random_numbers.uniform(0, 1.1) for _ in range(count)]
    return [kills.moment_job(f"moment {number}", [moment]) for number, moment in enumerate(moments, 1)]


def double_jobs(kills: Kills, count: int, random_numbers: random.Random) -> list[Job]:
    pairs = [[random_numbers.uniform(0, 1), random_numbers.uniform(0, 0.8)] for _ in range(count)]
    return [kills.moment_job(f"double {number}", pair) for number, pair in enumerate(pairs, 1)]


async def part(name: str, jobs: list[Job], workers: list[Slot]) -> int:
    """Runs a part of the test, and returns how many cases failed."""
    started = time.monotonic()
    failures = await run_jobs(jobs, workers)
    print(f"{name}: {len(jobs)} cases, {len(failures)} failed, {time.monotonic() - started:.0f} s", flush=True)
    for account in accounts(failures):
        print(account, file=sys.stderr, flush=True)
    return len(failures)


async def replacing(kills: Kills, workers: list[Slot], base: pathlib.Path) -> int:
    """Kills runs that replace a month by its next state. From here on the simulators show that state."""
    async with workers[0].case() as case:
        ended = await case.run()
        assert ended.code == 0, ended.last_lines()
        shutil.copytree(case.lake, base)
    for slot in workers:
        await slot.simulator.control("advance", "POST")
        slot.base = base
    undisturbed = await measure(workers, kills.shim)
    replaced = {name for name, content in world.published(base).items() if undisturbed.objects.get(name) != content}
    assert replaced, "the next state of a month has other bytes"
    return await part("replacing", kills.rename_jobs(undisturbed), workers)


async def main(options: argparse.Namespace) -> int:
    failures = 0
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        shim = compile_shim(directory)
        async with slots(SLOTS, directory, *FLAGS) as workers:
            undisturbed = await measure(workers, shim)
            print(f"undisturbed: {undisturbed.slow_seconds:.2f} s if slow, renames {undisturbed.renames}", flush=True)
            kills = Kills(undisturbed, shim)
            random_numbers = random.Random(options.seed)
            parts = {
                "renames": kills.rename_jobs(undisturbed),
                "moments": moment_jobs(kills, options.kills, random_numbers),
                "doubles": double_jobs(kills, options.doubles, random_numbers),
                "cases": kills_cases.jobs(undisturbed.objects),
            }
            for name, jobs in parts.items():
                if options.only in (None, name):
                    failures += await part(name, jobs, workers)
            if options.only in (None, "replacing"):
                failures += await replacing(kills, workers, directory / "base")
            print(kills.summary())
            failures += len(kills.missed(options.only))
        if options.only in (None, "cases"):
            async with slots(1, directory, *FLAGS, "--link-lifetime", "1") as workers:
                failures += await part("links", kills_cases.link_jobs(undisturbed.objects), workers)
    print(f"kills: seed {options.seed}, {failures} failed")
    return 1 if failures else 0


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--doubles", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=["renames", "moments", "doubles", "cases", "replacing"])
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(asyncio.run(main(parse_options())))
