"""`codeblue demo`: the whole story on this machine, in about a minute."""

import asyncio
import contextlib
import json
import shlex
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from codeblue.cli.frame import Common, say, show
from codeblue.model.errors import ExitCode, Failed, UsageError

if TYPE_CHECKING:
    from codeblue.record.incidents import IncidentView

_DEFAULT = Common()

GOOD, BAD = "1.4.0", "1.5.0"

PROFILE = """\
# The demo's profile: a service on this machine, and Code Blue may act by itself.
version: 1
service: ai-diagnostics-api
platform:
  kind: local
  directory: ./platform
health:
  interval: 1s
  timeout: 1s
contract:
  health_database: /api/health/database
  health_redis: /api/health/redis
  health_ai_services: /api/health/ai-services
  metrics: /metrics
verify:
  every: 1s
  stable_for: 5s
triggers:
  health:
    failures: 3        # more than three failures in a row (R4)
    mode: act
known_good:
  soak: 5s
state:
  directory: ./state
report:
  directory: ./incidents
"""


@dataclass
class Traffic:
    """Requests of a client, all the time, as real ones would come."""

    url: str
    good: int = 0
    bad: int = 0
    versions: dict[str, int] = field(default_factory=dict)

    async def run(self) -> None:
        """Ask about ten times a second until cancelled."""
        import httpx2

        async with httpx2.AsyncClient(trust_env=False, timeout=2.0, headers={"Connection": "close"}) as client:
            while True:
                try:
                    answer = await client.get(f"{self.url}/api/health")
                    ok, version = answer.is_success, str(answer.headers.get("x-release", "?"))
                except httpx2.TransportError:
                    ok, version = False, "nobody"
                self.good, self.bad = self.good + ok, self.bad + (not ok)
                self.versions[version] = self.versions.get(version, 0) + 1
                await asyncio.sleep(0.1)


class Story:
    """The steps of the demo, told as they happen."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.profile = directory / "codeblue.yaml"
        self.port = _free_port()
        self.traffic = Traffic(f"http://127.0.0.1:{self.port}")
        self._begun = time.monotonic()
        self._sentences: list[str] = []

    async def tell(self) -> dict[str, Any]:
        """Everything from the good release to the report. Raises Failed when a part of it does not come about."""
        from codeblue.adapters.local.deploy import deploy, start
        from codeblue.profile.load import load

        self._prepare()
        profile = load(self.profile)
        platform = self.directory / "platform"
        self._scene(f"Release {GOOD} starts: three processes of the AI diagnostics service behind {self.traffic.url}")
        await asyncio.to_thread(
            start,
            platform,
            profile.workload,
            self._template(GOOD, fault=""),
            replicas=3,
            health_path="/api/version",
            service_port=self.port,
        )
        client = asyncio.create_task(self.traffic.run())
        await self._until("the service to answer", lambda: self.traffic.good > 0, 30)
        self._scene("Code Blue's daemon begins to watch: codeblue serve")
        daemon = await asyncio.create_subprocess_exec(
            *_codeblue(), "serve", "--json", "--profile", str(self.profile), stdout=asyncio.subprocess.PIPE
        )
        listener = asyncio.create_task(self._listen(daemon))
        try:
            await self._until(f"{GOOD} to be known-good", lambda: self._said("is known-good"), 60)
            self._scene(f"A pipeline deploys release {BAD}. It starts, and its health is broken")
            before = (self.traffic.good, self.traffic.bad)
            await asyncio.to_thread(deploy, platform, self._template(BAD, fault="health"))
            deployed = time.monotonic()
            await self._until("the incident to be mitigated", lambda: self._said("is mitigated"), 90)
            took_s = time.monotonic() - deployed
            await self._until("the report", lambda: self._incidents()[-1].report != "", 30)
            lost = self.traffic.bad - before[1]
        finally:
            with contextlib.suppress(ProcessLookupError):
                daemon.send_signal(signal.SIGTERM)
            await daemon.wait()
            await listener
            client.cancel()
            await asyncio.gather(client, return_exceptions=True)
        return self._ending(took_s, lost)

    def _prepare(self) -> None:
        if find_spec("ai_diagnostics") is None:
            raise UsageError(
                "The demo's service, ai-diagnostics, is not installed.", remedy="`make demo` installs it and runs this."
            )
        self.directory.mkdir(parents=True, exist_ok=True)
        for leftover in ("state", "incidents"):
            shutil.rmtree(self.directory / leftover, ignore_errors=True)
        self.profile.write_text(PROFILE, "utf-8")

    def _template(self, version: str, *, fault: str) -> dict[str, Any]:
        data = self.directory / "data"
        data.mkdir(exist_ok=True)
        env = {"RELEASE_VERSION": version, "WORKERS": "1", "DATA_DIR": str(data)}
        if fault:
            env["RELEASE_FAULT"] = fault
        return {"command": [sys.executable, "-m", "ai_diagnostics", "serve"], "env": env, "version": version}

    async def _listen(self, daemon: asyncio.subprocess.Process) -> None:
        """Tell the daemon's sentences, each once."""
        if daemon.stdout is None:
            return
        last = ""
        async for line in daemon.stdout:
            sentence = str(json.loads(line)["sentence"])
            self._sentences.append(sentence)
            if sentence != last:
                say(f"  {self._elapsed()}  {sentence}")
            last = sentence

    async def _until(self, what: str, happened: Callable[[], bool], limit_s: float) -> None:
        until = time.monotonic() + limit_s
        while not happened():
            if time.monotonic() > until:
                raise Failed(
                    f"The demo waited {limit_s:g} s in vain for {what}.",
                    remedy=f"Look into {self.directory}: logs, record.",
                )
            await asyncio.sleep(0.1)

    def _said(self, words: str) -> bool:
        return any(words in sentence for sentence in self._sentences)

    def _scene(self, text: str) -> None:
        say(f"\n{self._elapsed()}  {text}")

    def _elapsed(self) -> str:
        return f"{time.monotonic() - self._begun:5.1f} s"

    def _incidents(self) -> list["IncidentView"]:
        from codeblue.profile.load import load
        from codeblue.record.incidents import fold_incidents
        from codeblue.wiring import open_record

        record = open_record(load(self.profile))
        try:
            return list(fold_incidents(record.read()).values())
        finally:
            record.close()

    def _ending(self, took_s: float, lost: int) -> dict[str, Any]:
        from codeblue.profile.load import load
        from codeblue.record.chain import broken_at
        from codeblue.record.incidents import fold_incidents
        from codeblue.wiring import open_record

        events = open_record(load(self.profile)).read()
        incidents = list(fold_incidents(events).values())
        if len(incidents) != 1 or incidents[0].state != "mitigated":
            raise Failed(f"The record has {len(incidents)} incidents, and should have one that is mitigated.")
        broken = broken_at(events)
        if broken:
            raise Failed(f"The record is broken: {broken}.")
        return {
            "schema": "codeblue/demo/1",
            "incident": incidents[0].id,
            "seconds_from_deploy_to_proven": round(took_s, 1),
            "requests": self.traffic.good + self.traffic.bad,
            "failed_requests": lost,
            "report": incidents[0].report,
            "profile": str(self.profile),
            "seconds": round(time.monotonic() - self._begun, 1),
        }


def demo(
    *,
    directory: Path = Path("codeblue-demo"),
    keep: Annotated[bool, Parameter(negative="")] = False,
    common: Common = _DEFAULT,
) -> int:
    """The whole story on this machine: a good release, a bad one, noticed, rolled back, proven and reported.

    Needs no server, no cluster and no root.

    Parameters
    ----------
    directory
        Where the demo keeps its profile, record and report.
    keep
        Leave the service running afterwards.
    """
    from codeblue.adapters.local.deploy import stop

    story = Story(directory.absolute())
    try:
        document = asyncio.run(story.tell())
    finally:
        if not keep:
            stop(story.directory / "platform", forget=True)
    program, profile = shlex.quote(sys.argv[0]), shlex.quote(str(story.profile))
    text = (
        f"\nRelease {BAD} was bad; from its deployment to the proven end {document['seconds_from_deploy_to_proven']} s "
        f"passed, and {document['failed_requests']} of {document['requests']} requests failed.\n"
        f"Report:  {document['report']}\n"
        f"Look at: {program} incident list --profile {profile}\n"
        f"         {program} audit verify --profile {profile}"
    )
    show(common, document, text)
    return int(ExitCode.DONE)


def _codeblue() -> list[str]:
    return [sys.executable, "-c", "from codeblue.cli.main import main; main()"]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
