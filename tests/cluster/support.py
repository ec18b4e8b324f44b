"""One protected Deployment, one profile, and Code Blue as the program that people start.

Effects are read where they happen: in the API server's audit log and in the pods, never in Code Blue's own record.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from testbed import manifests
from testbed.audit import AuditEvent
from testbed.cluster import Cluster, wait_until

from codeblue.adapters.kubernetes.marks import MARKS, decode_marks, encode_marks
from codeblue.adapters.kubernetes.template import read_template
from codeblue.model.release import Mark, Standing

CODEBLUE = Path(sys.executable).with_name("codeblue")
#: The longest that a quick rollback may take in all (R11), with what starting and ending a process takes.
ROLLBACK_S = 310.0

# Answers as the contract says (R59), fails as it is told: by its environment, or by a POST to /fault/KIND.
#   health        its health answers 500; it stays ready
#   late:N        the same from N seconds after its start
#   exit          it ends at its start
#   unready       it never becomes ready
SERVER = """
import http.server, json, os, signal, socket, sys, time
fault, begun = os.environ.get("FAULT", ""), time.monotonic()
if fault == "exit":
    sys.exit("told to")
def failing(path):
    if fault.startswith("late:"):
        return path == "/api/health" and time.monotonic() - begun > float(fault[5:])
    return (fault, path) in (("health", "/api/health"), ("unready", "/ready"))
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        bad = failing(self.path)
        words = {"status": "failed" if bad else "ok", "version": os.environ["RELEASE_VERSION"]}
        body = json.dumps({**words, "pod": socket.gethostname()}).encode()
        self.send_response(500 if bad else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_POST(self):
        global fault
        fault = self.path.rpartition("/")[2]
        self.do_GET()
    def log_message(self, *arguments):
        pass
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
http.server.ThreadingHTTPServer(("", 5000), Handler).serve_forever()
"""


#: Where the rolling strategy is not what a test is about, all pods at once save it half of its time.
AT_ONCE = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "100%", "maxUnavailable": 0}}


def simple(
    name: str = "plain", *, release: str = "good", image: str = "1", fault: str = "", **options: Any
) -> manifests.Manifest:
    """The small server in a release: `options` are those of `manifests.deployment`."""
    env = {"RELEASE_VERSION": release, "FAULT": fault, **options.pop("env", {})}
    options.setdefault("health_path", "/ready")
    options.setdefault("strategy", AT_ONCE)
    return manifests.deployment(
        name, image=f"{manifests.PLAIN_IMAGE}:{image}", command=("python3", "-c", SERVER), env=env, **options
    )


@dataclass(frozen=True)
class Ended:
    """A command that ended: exit code, what it printed, and how long it took."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def document(self) -> dict[str, Any]:
        """What it printed with --json."""
        found: dict[str, Any] = json.loads(self.out)
        return found

    @property
    def said(self) -> str:
        return f"exit {self.code}\n{self.out}\n{self.err}"


class Command:
    """Code Blue running in a process group of its own; its output goes to files, so that it never blocks on us."""

    def __init__(self, argv: list[str], env: Mapping[str, str], folder: Path) -> None:
        self.argv = argv
        number = len(list(folder.glob("*.out")))
        self._out, self._err = folder / f"{number:03}.out", folder / f"{number:03}.err"
        self.begun_at = datetime.now(UTC)
        self._begun = time.monotonic()
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                argv, env={**os.environ, **env}, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=folder
            )

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def err(self) -> str:
        return self._err.read_text()

    def ended(self, timeout_s: float) -> Ended:
        """Waits for its end. One that is still there after `timeout_s` is killed, and the test fails."""
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            self.kill()
            raise AssertionError(
                f"{' '.join(self.argv)} did not end within {timeout_s:g} s:\n{self.out}\n{self.err}"
            ) from error
        return Ended(code, self.out, self.err, time.monotonic() - self._begun)

    def stopped(self) -> bool:
        """Whether it stands still (SIGSTOP)."""
        return Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(") ")[2][0] == "T"

    def queued_s(self) -> float:
        """How long it was ready to run and had no processor; 0 when it has ended."""
        try:
            return int(Path(f"/proc/{self.process.pid}/schedstat").read_text().split()[1]) / 1e9
        except OSError:
            return 0.0

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)

    def sentences(self) -> list[str]:
        """What a daemon said so far (`serve --json`); a line that is being written is left out."""
        lines = self.out.rpartition("\n")[0].splitlines()
        return [json.loads(line)["sentence"] for line in lines if line.startswith("{")]

    def until(self, part: str, *, timeout_s: float = 30.0, after: int = 0) -> int:
        """Waits until a daemon says a sentence with this part; returns how many it has said then.

        Args:
            after: only sentences from this one on.
        """

        def there() -> int:
            for number, sentence in enumerate(self.sentences()[after:], after + 1):
                if part in sentence:
                    return number
            if self.process.poll() is not None:
                raise AssertionError(f"it ended, and never said {part!r}: {self.out}\n{self.err}")
            return 0

        try:
            return wait_until(f"a sentence with {part!r}", there, timeout_s=timeout_s)
        except TimeoutError as error:
            raise AssertionError(f"{error}; it said:\n" + "\n".join(self.sentences()) + self.err) from error


@dataclass
class Case:
    """A Deployment in a namespace of its own, with a profile and a state directory.

    Attributes:
        settings: sections of the profile that differ from `profile()`.
        defaults: options of `simple` for every release.
        begin: a mark of the audit log from before the Deployment was there.
    """

    cluster: Cluster
    namespace: str
    folder: Path
    name: str = "plain"
    kubeconfig: Path | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    begin: int | None = None
    defaults: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.begin is None:
            self.begin = self.cluster.mark()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.write_profile()

    # --- Code Blue

    def profile(self) -> dict[str, Any]:
        """Short times: a second of health counts as a recovery here."""
        return {
            "version": 1,
            "service": self.name,
            "platform": {
                "kind": "kubernetes",
                "context": "codeblue-test",
                "kubeconfig": str(self.kubeconfig or self.cluster.kubeconfig),
                "namespace": self.namespace,
                "deployment": self.name,
                "service": self.name,
            },
            "health": {"interval": "1s", "timeout": "1s"},
            "verify": {"checks": 20, "every": "500ms", "stable_for": "1s"},
            "known_good": {"soak": "1s"},
            "lease": {"duration": "5s"},
            "state": {"directory": "./state"},
        }

    def write_profile(self) -> None:
        """JSON is YAML as well."""
        profile = self.profile()
        for section, value in self.settings.items():
            profile[section] = {**profile.get(section, {}), **value} if isinstance(value, dict) else value
        self.path.write_text(json.dumps(profile, indent=1))

    @property
    def path(self) -> Path:
        return self.folder / "codeblue.yaml"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def sibling(self, name: str, **settings: Any) -> Case:
        """The same Deployment as another machine sees it: a folder and a state of its own."""
        folder = self.folder / name
        return Case(
            self.cluster,
            self.namespace,
            folder,
            self.name,
            self.kubeconfig,
            {**self.settings, **settings},
            dict(self.env),
            self.begin,
            dict(self.defaults),
        )

    def start(self, *args: str, **env: str) -> Command:
        """Starts `codeblue …` on this case's profile; `env` is added to the environment."""
        argv = [str(CODEBLUE), *args, "--profile", str(self.path)]
        return Command(argv, {**self.env, **env}, self.folder)

    def run(self, *args: str, timeout_s: float = ROLLBACK_S, **env: str) -> Ended:
        """Runs `codeblue …` to its end."""
        return self.start(*args, **env).ended(timeout_s)

    def rollback(self, *args: str, timeout_s: float = ROLLBACK_S, **env: str) -> Ended:
        return self.run("rollback", "--reason", "a test", "--yes", "--json", *args, timeout_s=timeout_s, **env)

    def runs(self) -> list[dict[str, Any]]:
        """`codeblue run list`, newest first."""
        found: list[dict[str, Any]] = self.run("run", "list", "--json", timeout_s=20).document["runs"]
        return found

    @contextmanager
    def daemon(self, *args: str, **env: str) -> Iterator[Command]:
        """`codeblue serve`, ended by SIGTERM at the end of the block (or killed when it does not end)."""
        command = self.start("serve", "--json", *args, **env)
        try:
            yield command
            if command.process.poll() is None:
                command.signal(signal.SIGTERM)
                ended = command.ended(20)
                assert ended.code == 0, ended.said
        finally:
            command.kill()

    # --- the service

    def apply(self, *objects: manifests.Manifest) -> None:
        self.cluster.apply(*objects, namespace=self.namespace)

    def release(self, version: str, *, wait: bool = True, **options: Any) -> None:
        """A pipeline releases this version; with `wait` until all pods run it."""
        self.apply(simple(self.name, release=version, **{**self.defaults, **options}), manifests.service(self.name))
        if wait:
            self.cluster.rolled_out(self.namespace, self.name)

    def mark_good(self) -> None:
        """What runs now is known-good: the mark that `codeblue verify --mark-known-good` makes, without its checks."""
        self.mark(Standing.KNOWN_GOOD)

    def mark(self, standing: Standing) -> None:
        """What runs now has this standing."""
        raw = self.deployment()
        template = read_template(raw["spec"]["template"], None, "RELEASE_VERSION")
        marks = decode_marks((raw["metadata"].get("annotations") or {}).get(MARKS, ""))
        marks[template.release] = Mark(standing, datetime.now(UTC), "test", "set by a test")
        self.kubectl("annotate", "deployment", self.name, "--overwrite", f"{MARKS}={encode_marks(marks)}")

    def good_then_bad(self, **bad: Any) -> int:
        """The state in which most tests begin. Returns the mark of the audit log."""
        self.release("good", image="1")
        self.mark_good()
        self.release("bad", image="2", **bad)
        return self.cluster.mark()

    def kubectl(self, *args: str, **options: Any) -> str:
        return self.cluster.kubectl(f"--namespace={self.namespace}", *args, **options)

    def deployment(self) -> dict[str, Any]:
        return self.cluster.get("deployment", self.name, namespace=self.namespace)

    @property
    def generation(self) -> int:
        return int(self.deployment()["metadata"]["generation"])

    def template(self) -> dict[str, Any]:
        found: dict[str, Any] = self.deployment()["spec"]["template"]
        return found

    def pods(self) -> list[dict[str, Any]]:
        """The pods that are meant to stay."""
        found = self.cluster.get("pods", f"--selector=app={self.name}", namespace=self.namespace)["items"]
        return [p for p in found if not p["metadata"].get("deletionTimestamp")]

    def tell_pods(self, fault: str) -> None:
        """All pods begin (or with "none" cease) to fail in this way."""
        import urllib.request

        for pod in self.pods():
            url = f"http://{pod['status']['podIP']}:{manifests.PORT}/fault/{fault}"
            with urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=5):
                pass

    # --- what happened

    def changes(self, since: int) -> int:
        """How often the template changed since the mark, by the audit log."""
        return len(self.template_changes(since))

    def template_changes(self, since: int) -> list[AuditEvent]:
        """The accepted changes of the template since the mark."""
        assert self.begin is not None
        return self.cluster.template_changes(self.namespace, self.name, since, begin=self.begin).events

    def writes(self, since: int) -> list[str]:
        """All accepted changes in the namespace since the mark that are not the cluster's own, as "verb resource"."""
        return [
            f"{e.verb} {e.resource}"
            for e in self.cluster.audit(since)
            if e.namespace == self.namespace and e.accepted and not e.user.startswith("system:")
        ]

    def assert_runs(self, version: str, *, image: str = "1", replicas: int = 3) -> None:
        """kubectl's view: so many pods, all ready, all of this version and image, all from the template in force."""
        pods = self.pods()
        seen = [(_env(p["spec"]).get("RELEASE_VERSION"), _container(p["spec"])["image"], _ready(p)) for p in pods]
        assert seen == [(version, f"{manifests.PLAIN_IMAGE}:{image}", True)] * replicas, seen
        sets = self.cluster.get("replicasets", namespace=self.namespace)["items"]
        (current,) = [s for s in sets if s["spec"]["replicas"]]
        hash_ = current["metadata"]["labels"]["pod-template-hash"]
        assert {p["metadata"]["labels"]["pod-template-hash"] for p in pods} == {hash_}
        template = self.template()["spec"]
        assert (_env(template).get("RELEASE_VERSION"), _container(template)["image"]) == seen[0][:2]

    def assert_untouched(self, since: int, generation: int) -> None:
        """Not one change of the Deployment's specification since the mark."""
        assert self.changes(since) == 0
        assert self.generation == generation


def _container(spec: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = spec["containers"][0]
    return found


def _env(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {e["name"]: e.get("value") for e in _container(spec).get("env") or []}


def _ready(pod: Mapping[str, Any]) -> bool:
    conditions = {c["type"]: c["status"] for c in pod["status"].get("conditions") or []}
    return conditions.get("Ready") == "True"
