"""A Kubernetes cluster for tests: the one of ``testbed/kubernetes``, or one that ``KUBECONFIG`` names.

Every wait has a deadline. Nothing here retries on behalf of the program under test.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import ssl
import subprocess
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from testbed import audit
from testbed.audit import AuditEvent, TemplateChanges

SCRIPTS = Path(__file__).parent / "kubernetes"
Outage = Literal["stop", "refuse"]
POLL_S = 0.05
T = TypeVar("T")


class TestbedError(RuntimeError):
    """The cluster cannot be used as asked; the message says what to do."""

    __test__ = False  # not a test class, whatever its name begins with


class KubectlError(TestbedError):
    """kubectl failed; ``stderr`` has its words, ``returncode`` its exit code."""

    def __init__(self, arguments: Sequence[str], returncode: int, stderr: str) -> None:
        super().__init__(f"kubectl {' '.join(arguments)}: exit {returncode}: {stderr.strip()}")
        self.returncode = returncode
        self.stderr = stderr


def cache() -> Path:
    """Where binaries, images and the state of the testbed's own cluster lie (``CODEBLUE_TESTBED``)."""
    return Path(os.environ.get("CODEBLUE_TESTBED") or Path.home() / ".cache" / "codeblue-testbed").resolve()


def wait_until(what: str, look: Callable[[], T], *, timeout_s: float = 30.0) -> T:
    """Polls until ``look`` gives something true, and returns that.

    Raises:
        TimeoutError: it did not within ``timeout_s`` seconds; names ``what`` and the last value.
    """
    end = time.monotonic() + timeout_s
    while not (seen := look()):
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {timeout_s:g} s; last seen: {seen!r}")
        time.sleep(POLL_S)
    return seen


@dataclass(frozen=True)
class Cluster:
    """A cluster that tests may change at will.

    Attributes:
        kubeconfig: an administrator's; its current context has "test" in its name.
        kubectl_path: the program that :meth:`kubectl` runs.
        state: the state directory of the testbed's own cluster; None for another cluster, which has no audit log that
            we could read and no API server that we could stop.
    """

    kubeconfig: Path
    kubectl_path: Path
    state: Path | None = None

    @classmethod
    def from_env(cls) -> Cluster:
        """The cluster of ``KUBECONFIG``, else the testbed's own, which is started when it is not up.

        When another process has taken the API server away (:meth:`freeze`), this waits up to 150 s for it.

        Raises:
            TestbedError: the current context of ``KUBECONFIG`` is not a test cluster's, or ours cannot be started.
        """
        own = cache() / "cluster"
        given = os.environ.get("KUBECONFIG")
        if not given or Path(given).resolve() == own / "kubeconfig":
            _script("up")
            return cls(own / "kubeconfig", cache() / "bin" / "kubectl", own)
        found = shutil.which("kubectl") or cache() / "bin" / "kubectl"
        if not Path(found).exists():
            raise TestbedError("no kubectl in PATH, and KUBECONFIG names a cluster that is not the testbed's")
        cluster = cls(Path(given), Path(found))
        context = cluster.kubectl("config", "current-context").strip()
        if "test" not in context:
            raise TestbedError(
                f"refusing to run tests on {context!r}: they stop, break and delete things. KUBECONFIG={given} must "
                'have a current context with "test" in its name (kubectl config rename-context), or be unset to use '
                "the testbed's own cluster"
            )
        return cluster

    # --- talking to it

    def kubectl(self, *args: str, input: str | None = None, check: bool = True, timeout_s: float = 120.0) -> str:
        """Runs kubectl as administrator and returns what it printed (with ``check=False``, errors included).

        Raises:
            KubectlError: it failed, and ``check`` is set.
            subprocess.TimeoutExpired: it took longer than ``timeout_s`` seconds.
        """
        run = subprocess.run(
            [str(self.kubectl_path), "--kubeconfig", str(self.kubeconfig), *args],
            input=input if input is not None else "",
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if run.returncode and check:
            raise KubectlError(args, run.returncode, run.stderr)
        return run.stdout if check else run.stdout + run.stderr

    def get(self, *args: str, namespace: str | None = None) -> dict[str, Any]:
        """``kubectl get … -o json``, parsed."""
        scope = ["--namespace", namespace] if namespace else []
        found: dict[str, Any] = json.loads(self.kubectl("get", *args, *scope, "--output=json"))
        return found

    def apply(self, *manifests: str | Mapping[str, Any], namespace: str | None = None) -> None:
        """Applies YAML texts or dictionaries, in one call."""
        scope = ["--namespace", namespace] if namespace else []
        texts = (each if isinstance(each, str) else json.dumps(each) for each in manifests)
        self.kubectl("apply", "--filename=-", *scope, input="\n---\n".join(texts))

    @contextlib.contextmanager
    def namespace(self, prefix: str = "test", *, labels: Mapping[str, str] | None = None) -> Iterator[str]:
        """A new namespace, ready for pods; it is deleted at the end, without waiting for that."""
        name = f"{prefix}-{uuid.uuid4().hex[:8]}"
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": dict(labels or {})}}
        self.kubectl("create", "--filename=-", input=json.dumps(body))
        try:
            # A pod is refused as long as its account is not there.
            self.kubectl("wait", "--for=create", "serviceaccount/default", f"--namespace={name}", "--timeout=30s")
            yield name
        finally:
            self.kubectl("delete", "namespace", name, "--wait=false")

    def rolled_out(self, namespace: str, deployment: str, *, timeout_s: float = 60.0) -> None:
        """Waits until the Deployment is as its spec says, old pods gone.

        Raises:
            KubectlError: it is not within ``timeout_s`` seconds, or its progress deadline has passed.
        """
        self.kubectl(
            *("rollout", "status", f"deployment/{deployment}", f"--namespace={namespace}", f"--timeout={timeout_s:g}s"),
            timeout_s=timeout_s + 10,
        )

    def service_url(self, namespace: str, name: str, *, timeout_s: float = 10.0) -> str:
        """The address of a Service, for requests from this machine, as soon as it takes connections.

        That is a moment after its pods are ready: first kube-proxy must hear of them. Only the own cluster's Services
        can be reached from here by their address.
        """
        spec = self.get("service", name, namespace=namespace)["spec"]
        address = (spec["clusterIP"], int(spec["ports"][0]["port"]))

        def connects() -> bool:
            try:
                socket.create_connection(address, timeout=1).close()
            except OSError:
                return False
            return True

        wait_until(f"service {namespace}/{name} to take connections", connects, timeout_s=timeout_s)
        return f"http://{address[0]}:{address[1]}"

    # --- being somebody else

    def token(self, namespace: str, service_account: str, *, duration_s: int = 3600) -> str:
        """A token of a ServiceAccount. It is a secret: give it on through a file."""
        return self.kubectl(
            *("create", "token", service_account, f"--namespace={namespace}", f"--duration={duration_s}s")
        ).strip()

    def kubeconfig_for(self, namespace: str, service_account: str, path: Path, *, duration_s: int = 3600) -> Path:
        """Writes a kubeconfig with which one is that ServiceAccount, in that namespace. Context names stay the same."""
        config = json.loads(self.kubectl("config", "view", "--raw", "--minify", "--flatten", "--output=json"))
        token = self.token(namespace, service_account, duration_s=duration_s)
        config["users"] = [{"name": service_account, "user": {"token": token}}]
        for context in config["contexts"]:
            context["context"] |= {"user": service_account, "namespace": namespace}
        path.touch(mode=0o600)
        path.write_text(json.dumps(config))
        return path

    # --- what happened

    def mark(self) -> int:
        """A point in the audit log: what was done before it has been written, what is done from now on comes after.

        Raises:
            TestbedError: this cluster has no audit log that we could read.
        """
        log = self._audit_log()
        self._settle()
        return log.stat().st_size

    def audit(self, since: int = 0) -> list[AuditEvent]:
        """All answered requests after the mark that meant to change something, in the order they were answered in.

        Raises:
            TestbedError: this cluster has no audit log that we could read.
        """
        self._audit_log()
        self._settle()
        return self._events(since, None)

    def template_changes(self, namespace: str, deployment: str, since: int, *, begin: int = 0) -> TemplateChanges:
        """How often the pod template of a Deployment changed after the mark: :func:`testbed.audit.template_changes`.

        Args:
            begin: a mark from before the Deployment was created; a long log need not be read from its start then.
        """
        self._audit_log()
        self._settle()
        about = f'"namespace":"{namespace}"'.encode()
        before = self._events(begin, since, about, b'"deployments"')
        return audit.template_changes(before, self._events(since, None, about, b'"deployments"'), namespace, deployment)

    def rejected(self, since: int, *, namespace: str | None = None, name: str | None = None) -> list[AuditEvent]:
        """The requests after the mark that the API server refused, all or those about a namespace or an object."""
        return [
            event
            for event in self.audit(since)
            if event.rejected and namespace in (None, event.namespace) and name in (None, event.name)
        ]

    def _events(self, start: int, end: int | None, *containing: bytes) -> list[AuditEvent]:
        with self._audit_log().open("rb") as log:
            log.seek(start)
            content = log.read() if end is None else log.read(end - start)
        complete = content[: content.rfind(b"\n") + 1]
        return [audit.parse(line) for line in complete.splitlines() if all(part in line for part in containing)]

    def _audit_log(self) -> Path:
        if self.state is None:
            raise TestbedError(
                f"the cluster of {self.kubeconfig} has no audit log that the tests can read: unset KUBECONFIG to use "
                "the testbed's own cluster (testbed/kubernetes/up)"
            )
        return self.state / "log" / "audit.log"

    def _settle(self) -> None:
        """Waits until the log has all that was answered so far.

        A large answer can reach the client an instant before its line is written. So we send one more change (a dry
        run, which is logged as well) and wait for that. Without an API server nothing can be under way.
        """
        if self.outage is not None:
            return
        name = f"audit-{uuid.uuid4().hex}"
        start = self._audit_log().stat().st_size if self._audit_log().exists() else 0
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
        self._post("/api/v1/namespaces/default/configmaps?dryRun=All", body)

        def written() -> bool:
            with self._audit_log().open("rb") as log:
                log.seek(start)
                content = log.read()
            return name.encode() in content[: content.rfind(b"\n") + 1]

        wait_until("the audit log to be written", written, timeout_s=10)

    def _post(self, path: str, body: Mapping[str, Any]) -> None:
        """As administrator of the own cluster; kubectl would take ten times as long."""
        assert self.state is not None
        name, value = (self.state / "admin.header").read_text().strip().split(": ", 1)
        request = urllib.request.Request(  # noqa: S310 (the scheme is ours)
            (self.state / "api.url").read_text().strip() + path,
            data=json.dumps(body).encode(),
            headers={name: value, "Content-Type": "application/json"},
        )
        trust = ssl.create_default_context(cafile=str(self.state / "pki" / "apiserver.crt"))
        with urllib.request.urlopen(request, timeout=10, context=trust):  # noqa: S310
            pass

    # --- what is there

    def load_images(self) -> None:
        """Builds the images from this repository where something changed, and puts them into the own cluster."""
        if self.state is not None:
            _script("image")

    @property
    def outage(self) -> str | None:
        """How the API server was taken away: "stop", "refuse", or None."""
        if self.state is None:
            return None
        for kind, file in (("stop", "kube-apiserver.frozen"), ("refuse", "kube-apiserver.off")):
            if (self.state / "run" / file).exists():
                return kind
        return None

    def freeze(self, kind: Outage = "stop") -> None:
        """Takes the API server away until :meth:`thaw`: it never answers ("stop"), or is not there ("refuse").

        It is away for everybody. Others that begin to use the cluster meanwhile wait until it is back.

        Raises:
            TestbedError: it is not our API server.
        """
        if self.state is None:
            raise TestbedError("only the testbed's own API server can be stopped: unset KUBECONFIG")
        _script("apiserver", kind)

    def thaw(self) -> None:
        """Gives the API server back, and returns when it is ready and the node is Ready. May be called twice."""
        if self.state is not None:
            _script("apiserver", "cont")

    @contextlib.contextmanager
    def api_outage(self, kind: Outage = "stop") -> Iterator[None]:
        """The API server is away inside the block, and back after it, whatever happens."""
        self.freeze(kind)
        try:
            yield
        finally:
            self.thaw()


def _script(name: str, *args: str) -> None:
    """Runs one of the testbed's commands; its error message becomes ours."""
    run = subprocess.run([SCRIPTS / name, *args], capture_output=True, text=True, timeout=1200, check=False)
    if run.returncode:
        raise TestbedError(f"testbed/kubernetes/{name} failed: {run.stderr.strip() or run.stdout.strip()}")
