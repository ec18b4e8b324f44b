"""`codeblue demo`: the whole story on this machine, in about a minute."""

import asyncio
import contextlib
import fcntl
import json
import os
import shlex
import shutil
import signal
import socket
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from codeblue.cli.frame import Common, deafen, say, show, told
from codeblue.model.errors import CodeBlueError, ExitCode, Failed, Interrupted, Refused, Unreachable, UsageError

if TYPE_CHECKING:
    from codeblue.record.incidents import IncidentView
    from codeblue.testing.emulators.statuspage import Statuspage

_DEFAULT = Common()

GOOD, BAD = "1.4.0", "1.5.0"

#: How the bad release is bad: its health check fails, and half of what clients ask for.
FAULT = "health,errors:0.5"
#: What clients ask for, and what the platform asks for to know that a process is ready. What Code Blue's profile names
#: (health, metrics) is no traffic of clients and in no rate.
ROUTE, READINESS = "/api/version", "/metrics"

#: The file that says that a directory is the demo's own, and who holds its lock is the demo that uses it.
MARKER_FILE = ".codeblue-demo"

#: Seconds that the daemon has for ending in order; after that it is killed, as a crash would.
DAEMON_ENDS_S = 15.0

#: Columns of the story: terminals at night are narrow.
WIDTH = 80

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
  errors: {{window: 5s, lasting: 10s}}     # the others only say what they would do (mode: observe)
  latency: {{window: 10s, lasting: 10s}}
  ai: {{window: 10s, lasting: 10s}}
known_good:
  soak: 5s
state:
  directory: ./state
report:
  directory: ./incidents
signals:
  interval: 1s
pages:
  inbox: ./inbox       # pages become files here; a real profile has PagerDuty, Slack, e-mail …
contacts:
  on_call: {{name: Robin (on call)}}
  devops_lead: {{name: Kim from DevOps}}
  ai_team: {{name: Noa from the AI team}}
  security: {{name: Sasha from Security}}
  clinical_lead: {{name: Dr. Mora}}
  cto: {{name: Alex (CTO)}}
  clinical_director: {{name: Dr. Ilves}}
  ceo: {{name: Toni (CEO)}}
  cmo: {{name: Dr. Haas}}
status_page:
  page: {page}
  api_key: {{env: {key}}}
  api: {api}           # an emulator of Statuspage that lives as long as the demo
"""

#: The demo's own status page, and the variable that its key is in.
PAGE, PAGE_KEY = "9k3tq7vw2mxr", "CODEBLUE_DEMO_STATUSPAGE_KEY"


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
                    answer = await client.get(f"{self.url}{ROUTE}")
                    ok, version = answer.is_success, str(answer.headers.get("x-release", "?"))
                except httpx2.TransportError:
                    ok, version = False, "nobody"
                self.good, self.bad = self.good + ok, self.bad + (not ok)
                self.versions[version] = self.versions.get(version, 0) + 1
                await asyncio.sleep(0.1)


class Place:
    """The directory of a demo, and everything that runs because of it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.profile = directory / "codeblue.yaml"
        self.platform = directory / "platform"
        self.data = directory / "data"

    @contextmanager
    def claimed(self, status_page: str) -> Iterator[None]:
        """The directory is this demo's alone, and empty but for its profile.

        Args:
            status_page: address of the status page's API.

        What an earlier demo left there, running or not, is ended and removed.

        Raises:
            Refused: it is somebody else's; nothing was touched. UsageError: no workload can live there.
            Unreachable: it cannot be written.
        """
        from codeblue.adapters.local.files import Layout

        try:
            Layout(self.platform)
        except CodeBlueError as error:
            error.remedy = "Name another directory with --directory."
            raise
        with ExitStack() as stack:
            try:
                marker = stack.enter_context(self._marker().open("a", encoding="utf-8"))
                self._lock(marker.fileno())
                marker.truncate(0)
                marker.write("`codeblue demo` made this directory, and the next one replaces what is in it.\n")
                marker.flush()
                self._clear()
                self.profile.write_text(PROFILE.format(page=PAGE, key=PAGE_KEY, api=status_page), "utf-8")
                self.data.mkdir()
            except OSError as error:
                what, remedy = told(error)
                raise Unreachable(
                    f"The demo's directory {self.directory} cannot be used: {what}.",
                    remedy=f"{remedy.partition(',')[0]}, or choose another one with --directory.",
                ) from error
            yield

    def end(self, *, forget: bool) -> None:
        """End everything that a demo started here, however it ended itself. Raises Failed when something stays.

        Args:
            forget: remove the platform's files and logs as well.
        """
        from codeblue.adapters.local.deploy import stop
        from codeblue.adapters.local.proc import kill_marked, marked

        for number, limit_s in ((signal.SIGTERM, DAEMON_ENDS_S), (signal.SIGKILL, 5.0)):
            until = time.monotonic() + limit_s
            if kill_marked(self.directory, number=number):
                while marked(self.directory) and time.monotonic() < until:
                    time.sleep(0.05)
        stop(self.platform, forget=forget)

    def _marker(self) -> Path:
        marker = self.directory / MARKER_FILE
        another = "Name a directory that is new or empty with --directory; the demo replaces what is in it."
        if self.directory.exists() and not self.directory.is_dir():
            raise Refused(f"{self.directory} is no directory. Nothing was touched.", remedy=another)
        self.directory.mkdir(parents=True, exist_ok=True)
        if any(self.directory.iterdir()) and (marker.is_symlink() or not marker.is_file()):
            raise Refused(f"{self.directory} holds something that no demo made. Nothing was touched.", remedy=another)
        return marker

    def _lock(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(
                f"Another demo is running in {self.directory}. Nothing was touched.",
                remedy="Let it end, or name another directory with --directory.",
            ) from None

    def _clear(self) -> None:
        from codeblue.adapters.local.proc import marked

        kept = (self.directory / name for name in ("state", "incidents", "inbox"))
        leftovers = (self.platform, self.data, self.profile, *kept)
        for link in (path for path in leftovers if path.is_symlink()):
            link.unlink()  # whatever it leads to is not the demo's
        if marked(self.directory) or marked(self.platform):
            say(f"Ending what an earlier demo left running in {self.directory}")
        self.end(forget=True)
        for leftover in leftovers:
            if leftover.is_dir():
                shutil.rmtree(leftover)
            leftover.unlink(missing_ok=True)


class Story:
    """The steps of the demo, told as they happen."""

    def __init__(self, place: Place, page: "Statuspage") -> None:
        self.place, self.profile, self.page = place, place.profile, page
        self.port = _free_port()
        self.traffic = Traffic(f"http://127.0.0.1:{self.port}")
        self._begun = time.monotonic()
        self._sentences: list[str] = []
        self._daemon: asyncio.subprocess.Process | None = None

    async def tell(self) -> dict[str, Any]:
        """Everything from the good release to the report. Raises Failed when a part of it does not come about."""
        from codeblue.adapters.local.deploy import deploy, start
        from codeblue.adapters.local.proc import MARKER
        from codeblue.profile.load import load

        profile = load(self.profile)
        platform = self.place.platform
        self._scene(f"Release {GOOD} starts: three processes of the AI diagnostics service behind {self.traffic.url}")
        await asyncio.to_thread(
            start,
            platform,
            profile.workload,
            self._template(GOOD, fault=""),
            replicas=3,
            health_path=READINESS,
            service_port=self.port,
        )
        client = asyncio.create_task(self.traffic.run())
        await self._until("the service to answer", lambda: self.traffic.good > 0, 30)
        self._scene("Code Blue's daemon begins to watch: codeblue serve")
        daemon = self._daemon = await asyncio.create_subprocess_exec(
            *_codeblue(),
            "serve",
            "--json",
            "--profile",
            str(self.profile),
            stdout=asyncio.subprocess.PIPE,
            env={
                **os.environ,
                PAGE_KEY: self.page.key,
                MARKER: str(self.place.directory),  # so that a later demo finds it
            },
        )
        listener = asyncio.create_task(self._listen(daemon))
        try:
            await self._until(f"{GOOD} to be known-good", lambda: self._said("is known-good"), 60)
            self._scene(f"A pipeline deploys release {BAD}. It starts, and it is broken")
            before = (self.traffic.good, self.traffic.bad)
            await asyncio.to_thread(deploy, platform, self._template(BAD, fault=FAULT))
            deployed = time.monotonic()
            await self._until("the incident to be mitigated", lambda: self._said("is mitigated"), 90)
            took_s = time.monotonic() - deployed
            good, bad = self.traffic.good - before[0], self.traffic.bad - before[1]
            await self._until("the status page to say resolved", lambda: self._public()[-1:] == ["resolved"], 30)
            await self._until("the report to tell all of it", self._reported, 30)
        finally:
            self._daemon = None
            await _ended(daemon)
            await listener
            client.cancel()
            await asyncio.gather(client, return_exceptions=True)
        return self._ending(took_s, good + bad, bad)

    def _template(self, version: str, *, fault: str) -> dict[str, Any]:
        env = {"RELEASE_VERSION": version, "WORKERS": "1", "DATA_DIR": str(self.place.data)}
        if fault:
            env["RELEASE_FAULT"] = fault
        return {"command": [sys.executable, "-m", "ai_diagnostics", "serve"], "env": env, "version": version}

    async def _listen(self, daemon: asyncio.subprocess.Process) -> None:
        """Tell the daemon's sentences, each once."""
        if daemon.stdout is None:
            return
        last = ""
        async for line in daemon.stdout:
            try:
                sentence = str(json.loads(line)["sentence"])
            except ValueError:  # it was killed in the middle of a line
                continue
            self._sentences.append(sentence)
            if sentence != last:
                self._tell(f"  {self._elapsed()}  ", sentence)
            last = sentence

    async def _until(self, what: str, happened: Callable[[], bool], limit_s: float) -> None:
        until = time.monotonic() + limit_s
        look = f"Look into {self.place.directory}: platform/logs, and the record with `codeblue run list`."
        while not happened():
            if self._daemon is not None and self._daemon.returncode is not None:
                raise Failed(f"The daemon ended while the demo waited for {what}.", remedy=look)
            if time.monotonic() > until:
                raise Failed(f"The demo waited {limit_s:g} s in vain for {what}.", remedy=look)
            await asyncio.sleep(0.1)

    def _said(self, words: str) -> bool:
        return any(words in sentence for sentence in self._sentences)

    def _scene(self, text: str) -> None:
        say("")
        self._tell(f"{self._elapsed()}  ", text)

    def _tell(self, when: str, text: str) -> None:
        indent = " " * len(when)
        say(textwrap.fill(text, WIDTH, initial_indent=when, subsequent_indent=indent, break_long_words=False))

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

    def _reported(self) -> bool:
        """Whether the report is there, with the last word of the status page."""
        place = self._incidents()[-1].report
        return place != "" and "status page says resolved" in Path(place).read_text("utf-8")

    def _public(self) -> list[str]:
        """What the status page said, one after the other, by its own history."""
        entries = self.page.incidents
        return [str(update["status"]) for update in entries[-1]["incident_updates"]][::-1] if entries else []

    def _paged(self) -> list[dict[str, Any]]:
        """The pages in the inbox, by the directory itself."""
        files = sorted((self.place.directory / "inbox").glob("*.json"), key=lambda p: p.stat().st_mtime_ns)
        return [json.loads(file.read_text("utf-8")) for file in files]

    def _ending(self, took_s: float, requests: int, failed: int) -> dict[str, Any]:
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
            "requests": requests,
            "failed_requests": failed,
            "report": incidents[0].report,
            "pages": [{"level": p["level"], "role": p["role"], "summary": p["summary"]} for p in self._paged()],
            "status_page": self._public(),
            "profile": str(self.profile),
            "seconds": round(time.monotonic() - self._begun, 1),
        }


def demo(
    *,
    directory: Path = Path("codeblue-demo"),
    keep: Annotated[bool, Parameter(negative="")] = False,
    common: Common = _DEFAULT,
) -> int:
    """The whole story on this machine: a good release, a bad one, noticed, rolled back, proven, told and reported.

    Needs no server, no cluster and no root, and takes about half a minute. What it started is ended with it, also by
    Ctrl-C; what one that was killed left running is ended by the next one in the same directory.

    Exit 3 for a directory with something in it that no demo made.

    Parameters
    ----------
    directory
        Where the demo keeps its profile, record and report: a new or empty directory, or that of an earlier demo.
    keep
        Leave the service running afterwards.
    """
    if find_spec("ai_diagnostics") is None:
        raise UsageError(
            "The demo's service, ai-diagnostics, is not installed.", remedy="`make demo` installs it and runs this."
        )
    from codeblue.testing.emulators.statuspage import Statuspage

    place = Place(_resolved(directory))
    with Statuspage(PAGE, os.urandom(12).hex()) as page, place.claimed(page.api):
        story = Story(place, page)
        try:
            document = asyncio.run(story.tell())
            if not keep:
                place.end(forget=True)
        except BaseException as error:
            deafen()
            say("Ending everything that the demo started")
            place.end(forget=False)
            if not isinstance(error, KeyboardInterrupt):
                raise
            raise Interrupted(
                "Interrupted; everything that the demo had started is ended.",
                remedy=f"Its record and logs are in {place.directory}; the next demo there begins anew.",
            ) from None
    show(common, document, _farewell(story, document, keep=keep))
    return int(ExitCode.DONE)


def _resolved(directory: Path) -> Path:
    try:
        found = Path(os.path.realpath(directory))
        with contextlib.suppress(FileNotFoundError):
            found.stat()
    except OSError as error:
        raise UsageError(
            f"The directory {str(directory)!r} cannot be had: {error.strerror}.",
            remedy="Name another one with --directory.",
        ) from error
    return found


async def _ended(daemon: asyncio.subprocess.Process) -> None:
    """Have the daemon end in order, and if it does not, at once."""
    with contextlib.suppress(ProcessLookupError):
        daemon.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(daemon.wait(), DAEMON_ENDS_S)
    except TimeoutError:
        daemon.kill()
        await daemon.wait()


def _farewell(story: Story, document: dict[str, Any], *, keep: bool) -> str:
    program, profile = shlex.quote(sys.argv[0]), shlex.quote(str(story.profile))
    took_s, requests, failed = (document[k] for k in ("seconds_from_deploy_to_proven", "requests", "failed_requests"))
    lines = [
        "",
        f"Release {BAD} was bad; {took_s} s after its deployment {GOOD} was back, and proven.",
        f"{failed} of the {requests} requests that clients made in that time failed.",
        *(f"Paged:   {p['role']} ({p['level']}): {p['summary']}" for p in document["pages"]),
        f"Status page: {' → '.join(document['status_page'])}",
        f"Report:  {document['report']}, and as a page {Path(document['report']).with_suffix('.html')}",
        f"Look at: {program} incident list --profile {profile}",
        f"         {program} audit verify --profile {profile}",
    ]
    if keep:
        lines += [
            f"Release {GOOD} still runs: {story.traffic.url}",
            f"End it:  {program} local stop --forget --profile {profile}",
        ]
    else:
        lines.append("Everything that the demo started is ended again; --keep leaves the service running.")
    return "\n".join(lines)


def _codeblue() -> list[str]:
    return [sys.executable, "-c", "from codeblue.cli.main import main; main()"]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
