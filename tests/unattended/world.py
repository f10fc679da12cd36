"""Runs the program and the simulator, and looks at lakes.

The program is that of the variable COSTLAKE_BIN. All else of the environment stays outside.
"""

import asyncio
import dataclasses
import json
import os
import pathlib
import tempfile
import urllib.request
from typing import Any

PROGRAM = os.environ.get("COSTLAKE_BIN", "target/debug/costlake")

# No run takes longer; one that does hangs.
DEADLINE_SECONDS = 120

PIPELINE = """
[azure]
arm_endpoint = { env = "COSTLAKE_ARM_ENDPOINT" }
storage_endpoints = [{ env = "COSTLAKE_STORAGE_ENDPOINT" }]

[azure.auth]
kind = "client-secret"
authority = { env = "AZURE_AUTHORITY_HOST" }
tenant_id = { env = "AZURE_TENANT_ID" }
client_id = { env = "AZURE_CLIENT_ID" }
client_secret = { env = "AZURE_CLIENT_SECRET" }

%(scopes)s

[pull]
first_backoff_ms = 20
least_wait_ms = 20
%(pull)s
"""

ENROLLMENT = '[[scope]]\nbilling_account = { env = "COSTLAKE_DEMO_BILLING_ACCOUNT" }'


@dataclasses.dataclass
class Ended:
    """How a program ended: its exit code, or minus the signal that ended it."""

    code: int
    stdout: str
    stderr: str

    def last_lines(self) -> str:
        return "\n".join(f"    | {line[:300]}" for line in self.stderr.splitlines()[-8:])


class Simulator:
    """A local Azure."""

    def __init__(self, process: asyncio.subprocess.Process, environment: dict[str, str]) -> None:
        self.process = process
        self.environment = environment
        self.url = environment["COSTLAKE_ARM_ENDPOINT"]

    @classmethod
    async def start(cls, *flags: str) -> "Simulator":
        """Starts one that is never slow, and waits until it is ready."""
        with tempfile.TemporaryDirectory() as directory:
            file = pathlib.Path(directory, "env")
            command = [PROGRAM, "simulate", "-q", "--listen", "127.0.0.1:0", "--retry-after", "0"]
            process = await asyncio.create_subprocess_exec(*command, "--env-file", str(file), *flags, env={})
            for _ in range(1000):
                if file.exists():
                    return cls(process, read_environment(file))
                if process.returncode is not None:
                    break
                await asyncio.sleep(0.01)
            await end(process)
            raise AssertionError(f"the simulator does not start: {flags}")

    async def stop(self) -> None:
        await end(self.process)

    async def control(self, command: str, method: str = "GET", body: Any = None) -> Any:
        """Asks the control plane, off the event loop."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/_simulator/{command}", data, method=method)
        text = await asyncio.to_thread(fetch, request)
        return json.loads(text) if text else None

    async def fault(self, *faults: dict[str, Any]) -> None:
        await self.control("faults", "POST", list(faults))

    async def forget_faults(self) -> None:
        await self.control("faults", "DELETE")

    async def reports(self) -> list[dict[str, Any]]:
        return await self.control("reports")


def fetch(request: urllib.request.Request) -> bytes:
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.read()


def read_environment(file: pathlib.Path) -> dict[str, str]:
    lines = (line.removeprefix("export ") for line in file.read_text().splitlines())
    return {name: value.strip("'") for name, value in (line.split("=", 1) for line in lines)}


async def end(process: asyncio.subprocess.Process) -> None:
    """Ends a program, by its own id; it may be gone already."""
    if process.returncode is None:
        process.kill()
    await process.wait()


async def spawn(simulator: Simulator, *args: str, **environment: str) -> asyncio.subprocess.Process:
    """Starts the program with the environment of a simulator."""
    pipe = asyncio.subprocess.PIPE
    everything = {**simulator.environment, **environment}
    return await asyncio.create_subprocess_exec(
        PROGRAM, *args, env=everything, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe
    )


async def finish(process: asyncio.subprocess.Process, seconds: float = DEADLINE_SECONDS) -> Ended:
    """Waits for a program and returns what it said."""
    try:
        out, err = await asyncio.wait_for(process.communicate(), seconds)
    except TimeoutError:
        await end(process)
        raise AssertionError(f"the program has not ended after {seconds} s") from None
    finally:
        await end(process)
    return Ended(process.returncode or 0, out.decode(), err.decode())


async def run(simulator: Simulator, *args: str, seconds: float = DEADLINE_SECONDS, **environment: str) -> Ended:
    """Runs the program with the environment of a simulator."""
    return await finish(await spawn(simulator, *args, **environment), seconds)


def published(lake: pathlib.Path) -> dict[str, bytes]:
    """What readers of a lake find: bytes by path."""
    files = sorted(path for path in lake.rglob("*") if path.is_file())
    paths = {path.relative_to(lake): path for path in files}
    return {str(name): path.read_bytes() for name, path in paths.items() if name.parts[0] != "_costlake"}
