"""Kubernetes objects that the tests run, as plain dictionaries. Pure: no I/O here.

Images are those of ``testbed/kubernetes/image``; they are never pulled.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

Manifest = dict[str, Any]

SERVICE_IMAGE = "docker.io/local/ai-diagnostics"
PLAIN_IMAGE = "docker.io/local/plain"
PORT = 5000

# Answers every path with the pod's name and the release; "BROKEN=yes" makes the health endpoint fail.
# It must handle SIGTERM itself: the kernel ignores it for a pid 1 that does not.
PLAIN_SERVER = """
import http.server, os, signal, socket, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        broken = self.path == "/api/health" and os.environ.get("BROKEN") == "yes"
        body = f"{socket.gethostname()} {os.environ['RELEASE_VERSION']}\\n".encode()
        self.send_response(500 if broken else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *arguments):
        pass
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
http.server.ThreadingHTTPServer(("", 5000), Handler).serve_forever()
"""


def deployment(
    name: str,
    *,
    image: str,
    command: Sequence[str],
    env: Mapping[str, str] | None = None,
    replicas: int = 3,
    container: str = "api",
    port: int = PORT,
    health_path: str | None = "/api/health",
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    strategy: Mapping[str, Any] | None = None,
    progress_deadline_s: int = 60,
    grace_s: int = 2,
    service_account: str | None = None,
) -> Manifest:
    """A Deployment of one container, not root, with small requests (60 pods fit on two cores).

    Args:
        health_path: what the readiness probe asks for, every second; None for no probe.
        strategy: ``.spec.strategy``; None for the cluster's default (rolling, 25 %).
        labels: in addition to ``app``, on the Deployment and its pods (not in the selector).
    """
    all_labels = {"app": name, **(labels or {})}
    main: Manifest = {
        "name": container,
        "image": image,
        "imagePullPolicy": "Never",
        "command": list(command),
        "env": [
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
            *({"name": key, "value": value} for key, value in (env or {}).items()),
        ],
        "ports": [{"name": "http", "containerPort": port}],
        "resources": {
            "requests": {"cpu": "25m", "memory": "48Mi"},
            "limits": {"cpu": "1", "memory": "384Mi"},
        },
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    if health_path is not None:
        main["readinessProbe"] = {
            "httpGet": {"path": health_path, "port": "http"},
            "periodSeconds": 1,
            "timeoutSeconds": 2,
            "failureThreshold": 2,
        }
    pod: Manifest = {
        "terminationGracePeriodSeconds": grace_s,
        "securityContext": {
            "runAsUser": 1000,
            "runAsGroup": 1000,
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [main],
    }
    if service_account is not None:
        pod["serviceAccountName"] = service_account
    spec: Manifest = {
        "replicas": replicas,
        "progressDeadlineSeconds": progress_deadline_s,
        "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": dict(all_labels)}, "spec": pod},
    }
    if strategy is not None:
        spec["strategy"] = copy.deepcopy(dict(strategy))
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": all_labels, "annotations": dict(annotations or {})},
        "spec": spec,
    }


def ai_diagnostics(
    name: str = "ai-diagnostics-api",
    *,
    release: str = "1.0.0",
    command: Sequence[str] = ("python3", "-m", "ai_diagnostics", "serve"),
    env: Mapping[str, str] | None = None,
    replicas: int = 3,
    **options: Any,
) -> Manifest:
    """The protected service in a release (1.0.0, 1.1.0, 1.2.0); ``options`` are those of :func:`deployment`.

    One worker per pod unless ``env`` says otherwise: a test wants many pods, not much throughput.
    """
    return deployment(
        name,
        image=f"{SERVICE_IMAGE}:{release}",
        command=command,
        env={"WORKERS": "1", "GRACE_S": "1", **(env or {})},
        replicas=replicas,
        **options,
    )


def plain(
    name: str = "plain",
    *,
    release: str = "1",
    env: Mapping[str, str] | None = None,
    replicas: int = 3,
    **options: Any,
) -> Manifest:
    """Any Deployment: a small web server that starts quickly and answers with pod name and release (1, 2, 3)."""
    return deployment(
        name,
        image=f"{PLAIN_IMAGE}:{release}",
        command=("python3", "-c", PLAIN_SERVER),
        env=env,
        replicas=replicas,
        **options,
    )


def service(name: str, *, port: int = 80, labels: Mapping[str, str] | None = None) -> Manifest:
    """A ClusterIP Service for the Deployment of the same name."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": {"app": name, **(labels or {})}},
        "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": port, "targetPort": "http"}]},
    }
