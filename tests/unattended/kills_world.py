"""What a killed run leaves, and what the next one may do with it (docs/fetching.md, "A report")."""

import asyncio
import collections
import contextlib
import dataclasses
import json
import os
import pathlib
import re
import shutil
import signal
import urllib.parse
import urllib.request
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import world

# A report as Azure knows it: its scope and the body of the request.
Report = tuple[str, str]

AZURE_METRICS = {"actual": "ActualCost", "amortized": "AmortizedCost"}
# States in which the blobs that are whole lie in the landing area.
LANDED = ("downloading", "converted")


@dataclasses.dataclass
class Canaries:
    """Texts that must be in no log and no file."""

    texts: list[bytes]

    @classmethod
    async def of(cls, simulator: world.Simulator) -> "Canaries":
        """Takes them from the simulator itself, so that they are what a run really meets."""
        token = await asyncio.to_thread(sign_in, simulator)
        header = token.split(".")[0]
        assert header.startswith("eyJ"), f"an access token is a JWT, not {header}"
        link = await asyncio.to_thread(link_of_a_blob, simulator, token)
        assert "sig=" in link, f"a link has a signature, but {link}"
        environment = simulator.environment
        secrets = [environment["AZURE_CLIENT_SECRET"], environment["COSTLAKE_SIM_FEDERATED_TOKEN"], header]
        return cls([secret.encode() for secret in [*secrets, "sig="]])

    def found_in(self, where: str, content: bytes) -> list[str]:
        return [f"{where} has the secret {text.decode()!r}" for text in self.texts if text in content]

    def found(self, lake: pathlib.Path, ended: world.Ended) -> list[str]:
        problems = self.found_in("stdout", ended.stdout.encode()) + self.found_in("stderr", ended.stderr.encode())
        for path in files_below(lake):
            problems += self.found_in(str(path.relative_to(lake)), path.read_bytes())
        return problems


def kill(process: asyncio.subprocess.Process) -> None:
    """Kills a program that may be gone already.

    `Process.kill` looks whether it is gone, and so takes the exit code away from the event loop.
    """
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)


def sign_in(simulator: world.Simulator) -> str:
    environment = simulator.environment
    form = {
        "grant_type": "client_credentials",
        "client_id": environment["AZURE_CLIENT_ID"],
        "client_secret": environment["AZURE_CLIENT_SECRET"],
        "scope": "https://management.azure.com/.default",
    }
    url = f"{environment['AZURE_AUTHORITY_HOST']}/{environment['AZURE_TENANT_ID']}/oauth2/v2.0/token"
    return json.loads(world.fetch(urllib.request.Request(url, urllib.parse.urlencode(form).encode())))["access_token"]


def link_of_a_blob(simulator: world.Simulator, token: str) -> str:
    """Makes a report, and returns the link of its first blob."""
    account = simulator.environment["COSTLAKE_DEMO_BILLING_ACCOUNT"]
    scope = f"/providers/Microsoft.Billing/billingAccounts/{account}"
    url = f"{simulator.url}{scope}/providers/Microsoft.CostManagement/generateCostDetailsReport?api-version=2025-03-01"
    body = json.dumps({"metric": "ActualCost", "billingPeriod": "202505"}).encode()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as answer:
        location = answer.headers["Location"]
    while True:
        answer_text = world.fetch(urllib.request.Request(location, headers=headers))
        if answer_text:
            return json.loads(answer_text)["manifest"]["blobs"][0]["blobLink"]


@dataclasses.dataclass
class Left:
    """What is there between two runs."""

    states: dict[Report, str]
    finished: bool
    # Answers and whole answers so far of each blob that the journal calls whole, by its path.
    whole: dict[str, tuple[int, int]]
    # Blobs that the journal calls whole, and that are not in the landing area.
    missing: list[str]
    staged: set[str]
    submissions: collections.Counter[Report]


class Case:
    """A lake of its own, filled by runs that may die."""

    def __init__(self, slot: "Slot", lake: pathlib.Path, first_report: int) -> None:
        self.slot = slot
        self.simulator = slot.simulator
        self.lake = lake
        self.first_report = first_report
        self.lefts: list[Left] = []

    async def spawn(self, *args: str, **environment: str) -> asyncio.subprocess.Process:
        given = {"COSTLAKE_LAKE": str(self.lake), "RUST_LOG": "trace", **environment}
        pipeline = str(self.slot.directory / "pipeline.toml")
        return await world.spawn(self.simulator, "run", "-o", "json", "--config", pipeline, *args, **given)

    async def run(self, *args: str, **environment: str) -> world.Ended:
        return await world.finish(await self.spawn(*args, **environment))

    async def reports(self) -> list[dict[str, Any]]:
        """The reports that were made for this lake."""
        return (await self.simulator.reports())[self.first_report :]

    async def submissions(self) -> collections.Counter[Report]:
        return collections.Counter(map(report_asked, await self.reports()))

    async def blobs(self) -> dict[str, dict[str, Any]]:
        return {blob["path"]: blob for report in await self.reports() for blob in report["blobs"]}

    async def after_death(self, ended: world.Ended) -> list[str]:
        """Notes what a dead run left, and returns what is wrong with it."""
        left = await self.look()
        self.lefts.append(left)
        return [f"{blob} is whole in the journal and not in the landing area" for blob in left.missing] + (
            self.slot.canaries.found(self.lake, ended)
        )

    async def look(self) -> Left:
        journals = list(read_journals(self.lake))
        read = await self.blobs()
        whole = {blob["name"]: blob for _, journal in journals for blob in journal["blobs"] if blob["crc32"]}
        return Left(
            states={report_wanted(journal): journal["state"] for _, journal in journals},
            finished=is_finished(self.lake),
            whole={name: reads(read[name]) for name in whole if name in read},
            missing=missing_blobs(self.lake, journals),
            staged=names_below(self.lake / "_costlake/staging"),
            submissions=await self.submissions(),
        )

    async def after_clean_run(self, ended: world.Ended, expected: dict[str, bytes]) -> list[str]:
        """Returns what is wrong after the run that was left alone."""
        if ended.code != 0:
            return [f"expected exit 0 of the clean run, found {ended.code}"]
        problems = differences(expected, world.published(self.lake))
        problems += await self.wrong_requests()
        problems += self.leftovers()
        problems += mixed_blobs(self.lake)
        problems += without_record(self.lake)
        problems += wrong_months(self.lake)
        problems += self.slot.canaries.found(self.lake, ended)
        verify = await world.run(self.simulator, "verify", "--lake", str(self.lake))
        if verify.code != 0:
            problems.append(f"expected exit 0 of verify, found {verify.code}: {verify.stderr[-300:]}")
        return problems

    async def wrong_requests(self) -> list[str]:
        """Returns reports that were asked for too often, and whole blobs that were read again."""
        problems = []
        submissions = await self.submissions()
        if not submissions:
            problems.append("no report was asked for")
        for report, count in submissions.items():
            most = 1 + sum(may_ask_again(left, report) for left in self.lefts)
            if count > most:
                states = [left.states.get(report, "none") for left in self.lefts]
                problems.append(f"expected at most {most} submissions of {report}, found {count}; states left: {states}")
        blobs = await self.blobs()
        for left in self.lefts:
            for name, before in left.whole.items():
                if reads(blobs[name]) != before:
                    problems.append(
                        f"{name} was whole: expected (requests, whole_reads) {before}, found {reads(blobs[name])}"
                    )
        return problems

    def leftovers(self) -> list[str]:
        """Returns files that may not stay.

        The staging folders of dead runs may: they are swept a day later. The clean run leaves none, and no blobs stay
        in the landing area.
        """
        landed = names_below(self.lake / "_costlake/landing")
        staged = names_below(self.lake / "_costlake/staging")
        dead = set().union(*(left.staged for left in self.lefts))
        return [f"left in the landing area: {name}" for name in sorted(landed)] + [
            f"left in staging by the clean run: {name}" for name in sorted(staged - dead)
        ]


def may_ask_again(left: Left, report: Report) -> bool:
    """Whether one more submission is right: the first may be unknown, or its pull was over."""
    return left.finished or left.states.get(report) == "submitting"


def report_asked(report: dict[str, Any]) -> Report:
    return report["scope"].strip("/"), json.dumps(report["request"], sort_keys=True)


def report_wanted(journal: dict[str, Any]) -> Report:
    assert journal["days"] is None, "the tests here do not split months"
    period = journal["billing_period"].replace("-", "")
    body = {"billingPeriod": period, "metric": AZURE_METRICS[journal["metric"]]}
    return journal["scope"].strip("/"), json.dumps(body, sort_keys=True)


def reads(blob: dict[str, Any]) -> tuple[int, int]:
    return blob["requests"], blob["whole_reads"]


def files_below(directory: pathlib.Path) -> list[pathlib.Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file())


def names_below(directory: pathlib.Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in files_below(directory)}


def read_journals(lake: pathlib.Path) -> Iterable[tuple[pathlib.Path, dict[str, Any]]]:
    """Reads the journals of reports. A kill never leaves a damaged one, so that this fails if there is one."""
    for path in files_below(lake / "_costlake/journal/reports"):
        yield path, json.loads(path.read_text())


def is_finished(lake: pathlib.Path) -> bool:
    """Whether the last pull was over, so that the next one makes reports of its own."""
    pulls = [json.loads(path.read_text()) for path in files_below(lake / "_costlake/journal/pulls")]
    return any(pull["finished_at"] is not None for pull in pulls)


def crc32(content: bytes) -> str:
    return f"{zlib.crc32(content):08x}"


def landed_blobs(lake: pathlib.Path) -> dict[tuple[int, str], pathlib.Path]:
    """Finds the files of the landing area by size and CRC-32."""
    contents = {path: path.read_bytes() for path in files_below(lake / "_costlake/landing")}
    return {(len(content), crc32(content)): path for path, content in contents.items()}


def missing_blobs(lake: pathlib.Path, journals: list[tuple[pathlib.Path, dict[str, Any]]]) -> list[str]:
    landed = landed_blobs(lake)
    wanted = [blob for _, journal in journals if journal["state"] in LANDED for blob in journal["blobs"]]
    return [blob["name"] for blob in wanted if blob["crc32"] and (blob["bytes"], blob["crc32"]) not in landed]


def differences(expected: dict[str, bytes], found: dict[str, bytes]) -> list[str]:
    both = expected.keys() & found.keys()
    other = {name for name in both if expected[name] != found[name]}
    return (
        several("expected and not published", expected.keys() - found.keys())
        + several("published and not expected", found.keys() - expected.keys())
        + several("other bytes than undisturbed", other)
    )


def several(problem: str, names: Iterable[str]) -> list[str]:
    """Describes a problem of many files in one line, if there are any."""
    sample = sorted(names)
    return [f"{problem}: {len(sample)}, such as {', '.join(sample[:2])}"] if sample else []


def manifests(lake: pathlib.Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in files_below(lake / "_costlake/manifests")]


def mixed_blobs(lake: pathlib.Path) -> list[str]:
    """Returns partitions whose blobs are not all of one operation, and of that of the manifest if it names one."""
    problems = []
    reports = [manifest for manifest in manifests(lake) if manifest["source"]["kind"] == "cost-details"]
    if not reports:
        problems.append("no manifest of a report")
    for manifest in reports:
        names = [blob["name"].rsplit("/", 1)[-1] for blob in manifest["source"]["blobs"]]
        operations = {name.rsplit("_", 1)[0] for name in names}
        named = manifest["report_id"] or next(iter(operations))
        if operations != {named}:
            problems.append(f"{manifest['object']['path']} is of {named}, its blobs are {names}")
    return problems


def without_record(lake: pathlib.Path) -> list[str]:
    """Returns published objects that no commit record tells of."""
    records = [json.loads(path.read_text()) for path in files_below(lake / "_costlake/commits")]
    entries = [entry for record in records for entry in record["partitions"]]
    known = {(entry["object"]["path"], entry["object"]["sha256"]) for entry in entries if entry["object"]}
    objects = [manifest["object"] for manifest in manifests(lake)]
    lost = [found["path"] for found in objects if (found["path"], found["sha256"]) not in known]
    return several("in no commit record", lost)


def wrong_months(lake: pathlib.Path) -> list[str]:
    """Returns months whose journal does not end with one pull of what is published."""
    objects = {manifest["object"]["sha256"] for manifest in manifests(lake) if manifest["partition"]["metric"]}
    paths = files_below(lake / "_costlake/journal/months")
    problems = [] if paths else ["no journal of a month"]
    for path in paths:
        pulls = json.loads(path.read_text())["pulls"]
        if {report["sha256"] for report in pulls[-1]["reports"]} != objects:
            problems.append(f"the last pull of {path.name} is not of what is published: {pulls[-1]['reports']}")
        names = [pull["pull"] for pull in pulls]
        if len(names) != len(set(names)):
            problems.append(f"a pull is counted twice in {path.name}: {names}")
    return problems


class Slot:
    """A simulator and a folder, for one case at a time."""

    def __init__(self, simulator: world.Simulator, directory: pathlib.Path, canaries: Canaries) -> None:
        self.simulator = simulator
        self.directory = directory
        self.canaries = canaries
        self.cases = 0
        # The lake to begin with, if it is not empty.
        self.base: pathlib.Path | None = None

    def write_pipeline(self, pull: str) -> None:
        pull = f'periods = ["2025-05"]\nmetrics = ["both"]\n{pull}'
        text = world.PIPELINE % {"scopes": world.ENROLLMENT, "pull": pull}
        (self.directory / "pipeline.toml").write_text(text)

    @contextlib.asynccontextmanager
    async def case(self, pull: str = "") -> AsyncIterator[Case]:
        """Makes a lake, and removes it when the case is over."""
        self.cases += 1
        self.write_pipeline(pull)
        await self.simulator.forget_faults()
        lake = self.directory / f"lake-{self.cases}"
        if self.base:
            shutil.copytree(self.base, lake)
        try:
            yield Case(self, lake, len(await self.simulator.reports()))
        finally:
            await self.simulator.forget_faults()
            shutil.rmtree(lake, ignore_errors=True)


@contextlib.asynccontextmanager
async def slots(count: int, directory: pathlib.Path, *flags: str) -> AsyncIterator[list[Slot]]:
    """Starts that many simulators, all with the same bills."""
    async with contextlib.AsyncExitStack() as stack:
        made = []
        for number in range(count):
            simulator = await world.Simulator.start(*flags)
            stack.push_async_callback(simulator.stop)
            folder = directory / f"slot-{number}-{'-'.join(flags)[-40:]}"
            folder.mkdir(exist_ok=True)
            made.append(Slot(simulator, folder, await Canaries.of(simulator)))
        yield made


@dataclasses.dataclass
class Job:
    """A case to run: its name is its schedule, its result what is wrong."""

    name: str
    work: Callable[[Slot], Awaitable[list[str]]]


@dataclasses.dataclass
class Failure:
    """A case that failed, and what is wrong."""

    name: str
    problems: list[str]

    def kind(self) -> frozenset[str]:
        """The problems without names and numbers: equal for cases that fail in the same way."""
        problems = [problem.split(":")[0] for problem in self.problems if not problem.startswith(" ")]
        return frozenset(re.sub(r"\S*[0-9/]\S*", "..", problem) for problem in problems)

    def account(self) -> str:
        return "\n".join([f"FAILED: {self.name}", *(f"  {problem}" for problem in self.problems)])


def accounts(failures: list[Failure]) -> list[str]:
    """Describes the first case of each kind of failure, and names the others."""
    kinds: dict[frozenset[str], list[Failure]] = {}
    for failure in failures:
        kinds.setdefault(failure.kind(), []).append(failure)
    texts = []
    for first, *others in kinds.values():
        texts.append(first.account())
        if others:
            texts.append(f"  and in the same way: {'; '.join(failure.name for failure in others)}")
    return texts


async def run_jobs(jobs: list[Job], workers: list[Slot]) -> list[Failure]:
    """Runs the cases, one at a time per slot, and returns those that failed."""
    waiting = collections.deque(jobs)
    failures: list[Failure] = []

    async def work(slot: Slot) -> None:
        while waiting:
            job = waiting.popleft()
            try:
                problems = await job.work(slot)
            except Exception as error:  # One case that goes wrong does not hide the others.
                problems = [f"{type(error).__name__}: {error}"]
            if problems:
                failures.append(Failure(job.name, problems))

    await asyncio.gather(*map(work, workers))
    return failures
