"""Plays schedules of faults: one pull each, against a simulator that misbehaves as the schedule says."""

import asyncio
import base64
import dataclasses
import email.utils
import json
import pathlib
import re
import shutil
import time
import urllib.error
import urllib.parse
from typing import Any

import world

# No run takes longer; one that does hangs.
DEADLINE_SECONDS = 60

SIMULATOR_FLAGS = ["--rows-per-month", "60", "--blobs", "2", "--polls", "1", "--months", "1"]

PULL = 'metrics = ["both"]\nperiods = ["2025-05"]\n'

# One rollup is enough: what the others are made of is compared anyway.
PUBLISHING = """
[reconcile]
enabled = false

[[rollup]]
shipped = "department_month"
"""

# One report after the other and one blob after the other: request k is the same in every run.
SETTINGS = {
    "retry_attempts": 8,
    "retry_seconds": 3,
    "report_seconds": 20,
    "concurrent_reports": 1,
    "concurrent_downloads": 1,
    "concurrent_requests": 1,
}

# What a link may hold besides its path. Nothing of it may be shown.
PASSWORD = "hunter2-of-a-link"

Json = dict[str, Any]


@dataclasses.dataclass
class Schedule:
    """Faults of one run, and the settings that differ in it."""

    name: str
    faults: list[Json]
    settings: dict[str, int | None] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Found:
    """What a run has left."""

    code: int | None
    seconds: float
    stderr: str
    published: dict[str, bytes]
    requests: list[Json]
    complaints: list[str]


class Trap:
    """A server that nobody may talk to."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.port = 0
        self.server: asyncio.Server | None = None

    async def listen(self) -> None:
        self.server = await asyncio.start_server(self.hear, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]

    async def hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heard.append(await reader.read(4096))
        writer.close()

    def close(self) -> None:
        if self.server is not None:
            self.server.close()


class Lane:
    """A simulator, a trap and a place for one lake at a time."""

    def __init__(self, directory: pathlib.Path, flags: list[str]) -> None:
        self.directory = directory
        self.flags = flags
        self.trap = Trap()
        self.simulator: world.Simulator
        self.reference: dict[str, bytes] = {}

    @property
    def lake(self) -> pathlib.Path:
        return self.directory / "lake"

    async def open(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.simulator = await world.Simulator.start(*self.flags)
        await self.trap.listen()

    async def renew(self) -> None:
        """Another simulator: the open month as it was, and an empty log."""
        await self.simulator.stop()
        self.simulator = await world.Simulator.start(*self.flags)

    async def close(self) -> None:
        await self.simulator.stop()
        self.trap.close()

    async def play(self, schedule: Schedule) -> Found:
        """Runs a schedule in an empty lake."""
        shutil.rmtree(self.lake, ignore_errors=True)
        await self.control("faults", "DELETE")
        await self.control("faults", "POST", self.fill_in(schedule.faults))
        return await self.pull(schedule.settings)

    async def play_again(self, schedule: Schedule) -> Found:
        """Runs once more without faults, in the lake as it is, except that no wait is left of the run before."""
        budgets = self.lake / "_costlake/journal/budgets.json"
        budgets.unlink(missing_ok=True)
        await self.control("faults", "DELETE")
        settings = {name: value for name, value in schedule.settings.items() if name != "report_seconds"}
        # Blobs that were packed badly stay so: another report has to be made.
        packed = any(fault["action"]["type"] == "compress" for fault in schedule.faults)
        return await self.pull(settings, *(["--force"] if packed else []))

    async def pull(self, settings: dict[str, int | None], *flags: str) -> Found:
        self.trap.heard.clear()
        pipeline = self.directory / "pipeline.toml"
        pipeline.write_text(pipeline_text({**SETTINGS, **settings}))
        names = {name: self.directory / name for name in ("stdout", "stderr", "result.json")}
        names["result.json"].unlink(missing_ok=True)
        before = len((await self.control("requests"))["requests"])
        started = time.monotonic()
        code = await self.run(pipeline, names, *flags)
        seconds = time.monotonic() - started
        requests = (await self.control("requests"))["requests"][before:]
        stderr = names["stderr"].read_bytes()
        found = world.published(self.lake)
        complaints = self.complaints(list(names.values()), found)
        text = stderr.decode(errors="replace")
        return Found(code, seconds, text, found, requests, complaints)

    async def run(self, pipeline: pathlib.Path, names: dict[str, pathlib.Path], *flags: str) -> int | None:
        """The exit code, none if the program hangs."""
        command = [world.PROGRAM, "run", *flags, "-c", str(pipeline), "--lake", str(self.lake), "--result-file"]
        with names["stdout"].open("wb") as stdout, names["stderr"].open("wb") as stderr:
            process = await asyncio.create_subprocess_exec(
                *command,
                str(names["result.json"]),
                env={**self.simulator.environment, "RUST_LOG": "trace"},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
            )
            try:
                return await asyncio.wait_for(process.wait(), DEADLINE_SECONDS)
            except TimeoutError:
                return None
            finally:
                await world.end(process)

    def complaints(self, files: list[pathlib.Path], found: dict[str, bytes]) -> list[str]:
        """What is wrong with a run however it ended."""
        complaints = [f"a connection to a foreign address: {heard[:300]!r}" for heard in self.trap.heard]
        unchanged = {name for name, data in found.items() if self.reference.get(name) == data}
        for path in [*files, *sorted(self.lake.rglob("*"))]:
            if path.is_file() and str(path.relative_to(self.directory)).removeprefix("lake/") not in unchanged:
                complaints += leaks(path.name, path.read_bytes(), self.simulator.environment)
        for path in files[:2]:
            complaints += control_characters(path)
        return complaints

    def fill_in(self, faults: list[Json]) -> list[Json]:
        """Faults with the addresses and the time of now."""
        host = self.simulator.url.removeprefix("http://")
        texts = {
            "{host}": host,
            "{trap}": f"127.0.0.1:{self.trap.port}",
            "{trap_port}": str(self.trap.port),
            "{password}": PASSWORD,
            "{soon}": email.utils.formatdate(time.time() + 1, usegmt=True),
        }
        text = json.dumps(faults)
        for name, value in texts.items():
            text = text.replace(name, value)
        return json.loads(text)

    async def control(self, command: str, method: str = "GET", body: Any = None) -> Any:
        """The control plane, also behind a fault that refuses connections."""
        for _ in range(200):
            try:
                return await self.simulator.control(command, method, body)
            except (ConnectionError, urllib.error.URLError) as error:
                if isinstance(error, urllib.error.HTTPError):
                    raise AssertionError(f"{command}: {error.read().decode()} {body}") from None
                await asyncio.sleep(0.02)
        code = self.simulator.process.returncode
        raise AssertionError(f"the simulator does not answer any more; its exit code: {code}")

    async def totals(self) -> Any:
        """Rows and costs of all tables, as `status` has them."""
        command = ["status", "--lake", str(self.lake), "-o", "json"]
        ended = await world.run(self.simulator, *command)
        partitions = json.loads(ended.stdout)["partitions"]
        fields = ("table", "metric", "billing_period", "rows", "cost", "quarantined_rows", "first_date", "last_date")
        return sorted(json.dumps([partition[field] for field in fields]) for partition in partitions)


def pipeline_text(settings: dict[str, int | None]) -> str:
    lines = [f"{name} = {value}" for name, value in settings.items() if value is not None]
    return world.PIPELINE % {"scopes": world.ENROLLMENT, "pull": PULL + "\n".join(lines) + "\n" + PUBLISHING}


def leaks(name: str, data: bytes, environment: dict[str, str]) -> list[str]:
    """Secrets in a file."""
    return [f"{name} shows {hit}" for hit in (first_hit(word, data) for word in canaries(environment)) if hit]


def check_canaries() -> None:
    """The search for secrets finds them in each form, and nothing in what may be shown."""
    secret = "simulated-secret~of.no-value"
    environment = {"AZURE_CLIENT_SECRET": secret}
    token = f"Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.{'x' * 20}"
    signature = base64.b64encode(bytes(range(200, 232))).decode()
    link = f"http://127.0.0.1/blobs/x.csv?sv=1&sig={urllib.parse.quote(signature, safe='')}"
    for text in (f"-{secret}-", token, link, signature, PASSWORD):
        for before in range(3):
            coded = base64.b64encode(b"-" * before + text.encode())
            plain = text.encode(), urllib.parse.quote(text, safe="").encode()
            # A signature by itself is known by its form only, which base64 hides.
            for form in plain if text == signature else (*plain, coded):
                assert leaks("text", b"before " + form + b" after", environment), form
    address = b"http://127.0.0.1:1/blobs/armreports/ad08a713-4cb3-46fc-a0f6-4279684ae4cd_1.csv"
    harmless = address + b" sha256 " + b"0f" * 32
    assert not leaks("text", harmless, environment)


def first_hit(pattern: re.Pattern[bytes], data: bytes) -> str:
    hit = pattern.search(data)
    if hit is None:
        return ""
    around = data[max(0, hit.start() - 60) : hit.end() + 20]
    return f"{hit.group()!r} in {around!r}"


def canaries(environment: dict[str, str]) -> list[re.Pattern[bytes]]:
    """Patterns of all that is secret: as text, percent-encoded and in base64."""
    secrets = [environment["AZURE_CLIENT_SECRET"], "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.", PASSWORD, "&sig="]
    forms = {re.escape(form) for secret in secrets for form in encodings(secret)}
    # A signature: 32 bytes in base64, plain or percent-encoded.
    signature = [rb"[A-Za-z0-9+/]{43}=", rb"(?:[A-Za-z0-9]|%2[BbFf]){43}%3[Dd]"]
    return [re.compile(b"|".join(sorted(forms))), re.compile(b"sig=|" + b"|".join(signature))]


def encodings(secret: str) -> set[bytes]:
    """A secret as it may be written; in base64 at each of three places, without what depends on its neighbours."""
    data = secret.encode()
    everywhere = "".join(f"%{byte:02X}" if not chr(byte).isalnum() else chr(byte) for byte in data)
    forms = {data, everywhere.encode(), urllib.parse.quote(secret, safe="").encode()}
    forms.add(urllib.parse.quote(everywhere, safe="").encode())
    for before in range(3):
        coded = base64.b64encode(b"x" * before + data)
        whole = len(data) + before - (len(data) + before) % 3
        forms.add(coded[(4 if before else 0) : whole // 3 * 4])
    return forms


def control_characters(path: pathlib.Path) -> list[str]:
    """Characters that a terminal would obey."""
    hit = re.search(rb"[^\n]{0,60}[\x00-\x08\x0b-\x1f\x7f][^\n]{0,20}", path.read_bytes())
    return [f"{path.name} has a control character: {hit.group()!r}"] if hit else []
