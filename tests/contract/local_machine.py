"""A local workload of the test service, for the tests of the local platform and its lease."""

import asyncio
import json
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codeblue.adapters.clock import SystemClock
from codeblue.adapters.local import deploy
from codeblue.adapters.local.platform import LocalPlatform
from codeblue.adapters.local.proc import marked
from codeblue.model.release import Workload

SERVICE = Path(__file__).with_name("service.py")

#: Seconds that a rollout of two replicas may take on a busy machine; it takes one or two.
DEADLINE_S = 30.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Machine:
    """One workload: where it is, and what an operator does with it."""

    directory: Path
    secrets: Path
    port: int

    def template(self, version: str, *, reference: str = "token-a", **env: str) -> dict[str, Any]:
        return {
            "command": [sys.executable, "-I", "-S", str(SERVICE)],
            "env": {"RELEASE": version, **env},
            "secrets": {"TOKEN": str(self.secrets / reference)},
            "version": version,
        }

    def start(self, version: str = "1.0", *, replicas: int = 2, **env: str) -> bool:
        return deploy.start(
            self.directory,
            "api",
            self.template(version, **env),
            replicas=replicas,
            health_path="/api/health",
            service_port=self.port,
        )

    def deploy(self, version: str, *, reference: str = "token-a", **env: str) -> None:
        deploy.deploy(self.directory, self.template(version, reference=reference, **env))

    def client(self, *, report_s: float = 5.0) -> LocalPlatform:
        return LocalPlatform(self.directory, SystemClock(), report_s=report_s)

    def get(self, path: str = "/") -> tuple[int, dict[str, Any]]:
        """One request through the forwarder: status and body; a connection of its own."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}")
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    async def until(self, condition: Callable[[Workload], bool], *, deadline_s: float = DEADLINE_S) -> Workload:
        """Observe until the condition holds."""
        platform = self.client()
        seen = await platform.observe()
        end = asyncio.get_running_loop().time() + deadline_s
        while not condition(seen):
            assert asyncio.get_running_loop().time() < end, f"not so after {deadline_s} s: {seen}"
            await asyncio.sleep(0.05)
            seen = await platform.observe()
        return seen

    async def settled(self) -> Workload:
        return await self.until(is_settled)


def is_settled(seen: Workload) -> bool:
    counts = (seen.total, seen.updated, seen.available, len(seen.pods))
    return seen.observed_generation == seen.generation and counts == (seen.desired,) * 4


@contextmanager
def machine(folder: Path) -> Iterator[Machine]:
    """A machine whose workload is stopped at the end, whatever happened, with nothing left of it."""
    secrets = folder / "secrets"
    secrets.mkdir(parents=True)
    for name in ("token-a", "token-b"):
        (secrets / name).write_text(f"value of {name}\n")
    made = Machine(folder / "home", secrets, free_port())
    try:
        yield made
    finally:
        deploy.stop(made.directory, forget=True)
        assert marked(made.directory) == []
        assert not made.directory.exists()
