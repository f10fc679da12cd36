"""Backfills 36 months of five departments from an Azure that throttles, and demands that nobody has to help.

Usage: backfill.py [--quota N] [--seed S]

Three lakes are filled: undisturbed; throttled, with one command; throttled, killed once in the middle and started
again. The program is that of the variable COSTLAKE_BIN.
"""

import argparse
import asyncio
import collections
import json
import pathlib
import random
import sys
import tempfile
import time
from typing import Any

import kills_world
import world

DEPARTMENTS = 5
MONTHS = 36
FIRST_MONTH = "2022-01"
PERIODS = "2022-01..2024-12"
REPORTS = DEPARTMENTS * MONTHS * 2
QUOTA_SECONDS = 2
DEADLINE_SECONDS = 400
FLAGS = (
    *("--first-month", FIRST_MONTH, "--months", str(MONTHS), "--months-back", "40", "--closed"),
    *("--rows-per-month", "60", "--blobs", "1", "--polls", "0"),
)


class Backfill:
    """A simulator, a pipeline of five departments, and a lake."""

    def __init__(self, simulator: world.Simulator, directory: pathlib.Path) -> None:
        self.simulator = simulator
        self.lake = directory / "lake"
        self.pipeline = directory / "pipeline.toml"

    async def prepare(self) -> None:
        organization = await self.simulator.control("organization")
        ids = [department["id"] for department in organization["departments"] if department["id"]][:DEPARTMENTS]
        scopes = "\n".join(f'[[scope]]\ndepartment = "{number}"' for number in ids)
        pull = f'metrics = ["both"]\nperiods = ["{PERIODS}"]\nconcurrent_reports = 8'
        self.pipeline.write_text(world.PIPELINE % {"scopes": scopes, "pull": pull})

    async def spawn(self) -> asyncio.subprocess.Process:
        arguments = ("run", "-q", "-o", "json", "--progress", "none", "--config", str(self.pipeline))
        return await world.spawn(self.simulator, *arguments, COSTLAKE_LAKE=str(self.lake))

    async def run(self) -> list[str]:
        ended = await world.finish(await self.spawn(), DEADLINE_SECONDS)
        return [] if ended.code == 0 else [f"expected exit 0, found {ended.code}", ended.last_lines()]

    async def run_until(self, reports: int) -> None:
        """Kills a run when Azure has made that many reports."""
        process = await self.spawn()
        ending = asyncio.create_task(world.finish(process, DEADLINE_SECONDS))
        while len(await self.simulator.reports()) < reports:
            assert not ending.done(), f"the run ends before {reports} reports: {(await ending).last_lines()}"
            await asyncio.sleep(0.1)
        kills_world.kill(process)
        await ending

    async def status(self) -> list[dict[str, Any]]:
        """What `costlake status` says of each partition, without times."""
        ended = await world.run(self.simulator, "status", "-o", "json", "--lake", str(self.lake))
        assert ended.code == 0, f"status: exit {ended.code}\n{ended.last_lines()}"
        partitions = json.loads(ended.stdout)["partitions"]
        for partition in partitions:
            del partition["published_at"]
        return partitions

    async def refused(self) -> int:
        requests = (await self.simulator.control("requests"))["requests"]
        return sum(request["status"] == 429 for request in requests)

    async def submissions(self) -> collections.Counter[kills_world.Report]:
        return collections.Counter(map(kills_world.report_asked, await self.simulator.reports()))


async def throttled(backfill: Backfill) -> list[str]:
    problems = await backfill.run()
    return problems + wrong_submissions(await backfill.submissions(), set())


async def killed(backfill: Backfill, reports: int) -> list[str]:
    """Kills a run in the middle, and runs again."""
    await backfill.run_until(reports)
    journals = [journal for _, journal in kills_world.read_journals(backfill.lake)]
    unknown = {kills_world.report_wanted(journal) for journal in journals if journal["state"] == "submitting"}
    problems = await backfill.run()
    return problems + wrong_submissions(await backfill.submissions(), unknown)


def wrong_submissions(counts: collections.Counter[kills_world.Report], unknown: set[kills_world.Report]) -> list[str]:
    """Returns reports that are missing, or were made twice although the first was known."""
    problems = []
    if len(counts) != REPORTS:
        problems.append(f"expected {REPORTS} different reports, found {len(counts)}")
    for report, count in counts.items():
        if count > 1 + (report in unknown):
            problems.append(f"made {count} times: {report}")
    return problems


def line_items(partitions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [partition for partition in partitions if partition["table"] == "cost_line_items"]


async def compare(expected: Backfill, found: Backfill) -> list[str]:
    """Demands the same partitions with the same sums, and the same bytes."""
    sums = line_items(await found.status())
    problems = []
    if len(sums) != REPORTS:
        problems.append(f"expected {REPORTS} partitions of line items, found {len(sums)}")
    if sums != line_items(await expected.status()):
        problems.append("other sums than without throttling")
    problems += kills_world.differences(world.published(expected.lake), world.published(found.lake))
    return problems + kills_world.mixed_blobs(found.lake) + kills_world.without_record(found.lake)


async def timed(work: Any) -> tuple[list[str], float]:
    started = time.monotonic()
    return await work, time.monotonic() - started


async def fill(backfills: dict[str, Backfill], middle: int) -> list[str]:
    """Fills the three lakes at the same time, and returns an account of each that went wrong."""
    works = {
        "undisturbed": throttled(backfills["undisturbed"]),
        "throttled": throttled(backfills["throttled"]),
        "killed": killed(backfills["killed"], middle),
    }
    results = dict(zip(works, await asyncio.gather(*map(timed, works.values())), strict=True))
    failures = []
    for name, (problems, seconds) in results.items():
        backfill = backfills[name]
        problems += await compare(backfills["undisturbed"], backfill)
        refused = await backfill.refused()
        if (refused > 0) != (name != "undisturbed"):
            problems.append(f"{refused} requests were refused")
        made = sum((await backfill.submissions()).values())
        print(f"{name}: {seconds:.0f} s, {made} reports, {refused} times 429, {len(problems)} problems", flush=True)
        failures += [f"FAILED: {name}: {problem}" for problem in problems]
    return failures


async def main(options: argparse.Namespace) -> int:
    quotas = ("--tenant-quota", str(options.quota), "--entity-quota", str(options.quota * 2 // 3))
    quota = (*quotas, "--quota-seconds", str(QUOTA_SECONDS))
    middle = random.Random(options.seed).randrange(REPORTS // 4, REPORTS * 3 // 4)
    backfills = {}
    with tempfile.TemporaryDirectory() as name:
        try:
            for place, flags in {"undisturbed": (), "throttled": quota, "killed": quota}.items():
                directory = pathlib.Path(name, place)
                directory.mkdir()
                backfills[place] = Backfill(await world.Simulator.start(*FLAGS, *flags), directory)
                await backfills[place].prepare()
            failures = await fill(backfills, middle)
        finally:
            for backfill in backfills.values():
                await backfill.simulator.stop()
    for failure in failures:
        print(failure, file=sys.stderr)
    print(f"backfill: killed after {middle} reports, {len(failures)} problems")
    return 1 if failures else 0


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quota", type=int, default=24, help=f"requests of the tenant per {QUOTA_SECONDS} s")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(asyncio.run(main(parse_options())))
