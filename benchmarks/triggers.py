"""What judging the five triggers costs Code Blue and a real Prometheus, for 100, 1,000 and 5,000 services.

Two Prometheus servers scrape the same exporter, with three pods for each service, every 10 s. One of them also
evaluates the rules that `codeblue export alert-rules` writes, one group for each service, every 10 s. What its process
takes more of the CPU (user + system, from /proc) than its twin, by the evaluations that it counts itself, is the price
of the rules: scraping, parsing, storing and serving cancel out. Code Blue then judges the same values for as many
services in this process (`ServiceTriggers.observe`); making the readings is not counted, as scraping is not.

What Prometheus does beyond, and what is not counted against it: it scrapes, parses, stores and can be asked about
everything; its CPU and memory with that stand beside. What Code Blue does beyond: each verdict tells its arithmetic.

Needs Debian's package prometheus. With fewer evaluations than the last window is long, Prometheus' queries find less
than later; `--warm-up` is how long it scrapes before anything is measured.

Usage: benchmarks/triggers.py [--services 100,1000,5000] [--warm-up 150] [--seconds 60]
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import inf
from pathlib import Path
from urllib.parse import urlencode

from codeblue.model.health import Outcome, Probe, Round
from codeblue.model.signal import Reading, Sampling
from codeblue.profile.acting import Triggers
from codeblue.profile.load import load_text
from codeblue.rules.prometheus import alert_rules, metrics_of
from codeblue.rules.service import ServiceTriggers

TARGET = 15.0
INTERVAL_S = 10
PODS = 3
BOUNDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 120.0, inf)
LIMIT_BYTES = 1e9


def values(pod: int, n: int) -> Reading:
    """What a healthy pod says at its n-th reading."""
    requests = 1000.0 * n * (pod + 1)
    return Reading(
        pod=f"pod-{pod}",
        at_s=0.0,
        requests=requests,
        errors=n * (pod + 1.0),
        buckets=tuple((bound, requests * (place + 1) / len(BOUNDS)) for place, bound in enumerate(BOUNDS)),
        ai_calls=60.0 * n,
        ai_failures=1.0 * n,
        working_set_bytes=4e8,
        memory_limit_bytes=LIMIT_BYTES,
        oom_kills=0,
    )


def page(services: int, n: int) -> bytes:
    """The exporter's page: every series of every service."""
    lines = ['probe_success{job="@"} 1']
    for number in range(PODS):
        pod = values(number, n)
        own = f'{{job="@",pod="{pod.pod}"'
        assert pod.requests is not None and pod.errors is not None
        lines += [
            f'http_requests_total{own},status="200"}} {pod.requests - pod.errors}',
            f'http_requests_total{own},status="500"}} {pod.errors}',
            *(
                f'http_request_duration_seconds_bucket{own},le="{"+Inf" if bound == inf else bound}"}} {count}'
                for bound, count in pod.buckets
            ),
            f"ai_requests_total{own}}} {pod.ai_calls}",
            f"ai_failures_total{own}}} {pod.ai_failures}",
            f"service_memory_working_set_bytes{own}}} {pod.working_set_bytes}",
            f"service_memory_limit_bytes{own}}} {pod.memory_limit_bytes}",
            f"service_oom_kills_total{own}}} {pod.oom_kills}",
        ]
    one = "\n".join(lines) + "\n"
    return "".join(one.replace("@", f"service-{s}") for s in range(services)).encode()


@contextmanager
def exporter(services: int) -> Iterator[str]:
    """Serves the page; its values grow with the time."""
    made: dict[int, bytes] = {}
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            n = int(time.time() // INTERVAL_S) % 100_000
            with lock:
                if n not in made:
                    made.clear()
                    made[n] = page(services, n)
                body = made[n]
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def memory_mb(pid: int | str) -> float:
    """The resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@dataclass
class Server:
    """A running Prometheus."""

    process: subprocess.Popen[bytes]
    address: str

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def ask(self, query: str) -> float:
        """The value of a query about itself; 0 without an answer."""
        url = f"http://{self.address}/api/v1/query?{urlencode({'query': query})}"
        with urllib.request.urlopen(url, timeout=60) as answer:
            result = json.load(answer)["data"]["result"]
        return float(result[0]["value"][1]) if result else 0.0

    def counted(self, name: str) -> float:
        """The sum of one of its own counters, from its page: not from what it scraped earlier."""
        with urllib.request.urlopen(f"http://{self.address}/metrics", timeout=60) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name}{{", f"{name} ")))


@contextmanager
def prometheus(folder: Path, target: str, rules: str) -> Iterator[Server]:
    """A Prometheus that scrapes the target, and evaluates the rules if there are any."""
    folder.mkdir()
    (folder / "rules.yaml").write_text(rules or "groups: []\n")
    job = {"job_name": "all", "honor_labels": True, "static_configs": [{"targets": [target]}]}
    every = {"scrape_interval": f"{INTERVAL_S}s", "evaluation_interval": f"{INTERVAL_S}s"}
    document = {"global": every, "rule_files": ["rules.yaml"], "scrape_configs": [job]}
    (folder / "prometheus.yml").write_text(json.dumps(document))
    port = _free_port()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                shutil.which("prometheus") or sys.exit("Install Debian's package prometheus, then run this again."),
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        server = Server(process, f"127.0.0.1:{port}")
        _wait_ready(server, folder)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:  # it ends its round first, which at 5,000 services takes longer than a minute
            process.kill()
            process.wait()


def _free_port() -> int:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        return int(server.server_address[1])


def _wait_ready(server: Server, folder: Path) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and server.process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://{server.address}/-/ready", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    sys.exit(f"prometheus did not start: {(folder / 'log').read_text()[-500:]}")


def theirs(services: int, warm_up_s: float, seconds: float) -> float:
    """CPU seconds of Prometheus for one evaluation of one service's rules."""
    profile = "version: 1\nservice: service-{}\nplatform: {{kind: local, directory: ./local}}\n"
    groups = []
    for number in range(services):
        loaded = load_text(profile.format(number))
        groups.append(alert_rules(loaded, metrics_of(loaded)).text.partition("groups:\n")[2])
    rules = "groups:\n" + "".join(groups)
    with (
        tempfile.TemporaryDirectory() as name,
        exporter(services) as target,
        prometheus(Path(name) / "plain", target, "") as plain,
        prometheus(Path(name) / "rules", target, rules) as ruled,
    ):
        time.sleep(warm_up_s)
        before = (plain.cpu_s(), ruled.cpu_s(), ruled.counted("prometheus_rule_evaluations_total"))
        time.sleep(seconds)
        after = (plain.cpu_s(), ruled.cpu_s(), ruled.counted("prometheus_rule_evaluations_total"))
        plain_s, ruled_s, evaluated = (b - a for a, b in zip(before, after, strict=True))
        failed = ruled.counted("prometheus_rule_evaluation_failures_total")
        missed = ruled.counted("prometheus_rule_group_iterations_missed_total")
        rows = ruled.ask(
            "count(histogram_quantile(0.95, sum by (job, le) (increase(http_request_duration_seconds_bucket[2m]))))"
        )
        memory = memory_mb(plain.process.pid), memory_mb(ruled.process.pid)
    each_s = (ruled_s - plain_s) / (evaluated / 5)
    print(
        f"  Prometheus   in {seconds:g} s: {ruled_s:.2f} s CPU with rules, {plain_s:.2f} s without, {evaluated:.0f} "
        f"rules evaluated ({failed:.0f} failed, {missed:.0f} rounds missed, {rows:.0f} services with data); "
        f"memory {memory[1]:.0f} MB with rules, {memory[0]:.0f} MB without"
    )
    return each_s


def ours(services: int) -> float:
    """CPU seconds of Code Blue for one observation of one service."""
    before_mb = memory_mb("self")
    all_ = [ServiceTriggers(Triggers()) for _ in range(services)]
    begun_s = 1.7e9
    taken_s, rounds = 0.0, 0
    for n in range(1, 41):
        at_s = begun_s + n * INTERVAL_S
        round_ = Round(datetime.fromtimestamp(at_s, UTC), Probe("service", "/api/health", Outcome.OK, 200, 5.0))
        for first in range(0, services, 100):  # in pieces, so that all readings need not be there at the same time
            some = all_[first : first + 100]
            samplings = [_sampling(at_s, n) for _ in some]
            begun = time.process_time()
            for service, sampling in zip(some, samplings, strict=True):
                service.observe(round_, sampling)
            if n > 15:  # the windows are full
                taken_s += time.process_time() - begun
        rounds += n > 15
    print(f"  Code Blue    {rounds} rounds: {taken_s:.2f} s CPU; memory grew by {memory_mb('self') - before_mb:.0f} MB")
    return taken_s / rounds / services


def _sampling(at_s: float, n: int) -> Sampling:
    readings = []
    for pod in range(PODS):
        r = values(pod, n)
        readings.append(
            Reading(
                r.pod,
                at_s,
                r.requests,
                r.errors,
                r.buckets,
                r.ai_calls,
                r.ai_failures,
                r.working_set_bytes,
                r.memory_limit_bytes,
                r.oom_kills,
            )
        )
    return Sampling(at_s, tuple(readings))


def main() -> int:
    """Measure and print; exit 1 when a ratio is below its target."""
    parser = argparse.ArgumentParser(description="The cost of the five triggers, against Prometheus in the same run.")
    parser.add_argument("--services", default="100,1000,5000")
    parser.add_argument("--warm-up", type=float, default=150.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    below = False
    for services in map(int, options.services.split(",")):
        print(f"{services} services, {PODS} pods each, every {INTERVAL_S} s", flush=True)
        mine_s, peer_s = ours(services), theirs(services, options.warm_up, options.seconds)
        ratio = peer_s / mine_s
        below = below or ratio < TARGET
        print(
            f"  one look at one service: Code Blue {mine_s * 1e6:.1f} µs, Prometheus {peer_s * 1e6:.1f} µs CPU: "
            f"{ratio:.1f} × less (target ≥ {TARGET:g})",
            flush=True,
        )
    return 1 if below else 0


if __name__ == "__main__":
    sys.exit(main())
