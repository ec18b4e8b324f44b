"""How long a whole `codeblue rollback` takes, against `kubectl rollout undo` + `rollout status` to the same target.

Both start at the same bad release and end at the same state: every pod on the target and available. They alternate
within one run, so that a busy moment of the machine hits both. What is compared is the median of the ratios of
neighbouring pairs; the raw numbers stand beside it. The real service, three replicas, the default rolling strategy.

Code Blue runs three ways: to the same end as kubectl (`stable_for: 0s`, which still asks every pod for its health),
`--surge`, and with the default watch of 30 s that kubectl does not have. `--surge` is measured a second time with pods
that need five seconds to become ready: the service of this repository is ready within one, so that on a machine with
few processors, where all pods start at once, starting is all computing and there is little to gain.

Usage: benchmarks/rollback.py [PAIRS]
"""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from testbed import manifests
from testbed.cluster import Cluster
from tests.cluster.support import Case

NAME = "ai-diagnostics-api"
TARGETS = {"rollback": 1.25, "rollback --surge": 0.75}
SLOW_S = 5


def timed(work: Callable[[], object]) -> float:
    begun = time.monotonic()
    work()
    return time.monotonic() - begun


class Bench:
    """One Deployment whose releases go good → bad before every measurement."""

    def __init__(self, cluster: Cluster, namespace: str, folder: Path, *, ready_after_s: int = 0) -> None:
        self._cluster, self._ready_after_s = cluster, ready_after_s
        quick = {"verify": {"checks": 20, "every": "500ms", "stable_for": "0s"}}
        self.quick = Case(cluster, namespace, folder / "quick", NAME, settings=quick)
        self.watching = Case(cluster, namespace, folder / "watching", NAME, settings={"verify": {"stable_for": "30s"}})
        self._release("1.0.0")
        self.quick.mark_good()

    def _release(self, release: str, **env: str) -> None:
        body = manifests.ai_diagnostics(release=release, env=env)
        (container,) = body["spec"]["template"]["spec"]["containers"]
        container["readinessProbe"]["initialDelaySeconds"] = self._ready_after_s
        self.quick.apply(body, manifests.service(NAME))
        self._cluster.rolled_out(self.quick.namespace, NAME)

    def bad(self) -> None:
        """Another release than the last bad one, so that nothing is left over from that."""
        self._release("1.1.0", ROUND=str(time.time_ns()))

    def good_revision(self) -> int:
        sets = self._cluster.get("replicasets", namespace=self.quick.namespace)["items"]
        image = f"{manifests.SERVICE_IMAGE}:1.0.0"
        (good,) = [s for s in sets if s["spec"]["template"]["spec"]["containers"][0]["image"] == image]
        return int(good["metadata"]["annotations"]["deployment.kubernetes.io/revision"])

    def kubectl(self) -> float:
        target = self.good_revision()

        def work() -> None:
            self.quick.kubectl("rollout", "undo", f"deployment/{NAME}", f"--to-revision={target}")
            self.quick.kubectl("rollout", "status", f"deployment/{NAME}", "--timeout=120s")

        return self._ends_on_good(work)

    def codeblue(self, case: Case, *args: str) -> float:
        def work() -> None:
            ended = case.rollback(*args)
            assert ended.code == 0, ended.said

        return self._ends_on_good(work)

    def _ends_on_good(self, work: Callable[[], None]) -> float:
        seconds = timed(work)
        images = [p["spec"]["containers"][0]["image"] for p in self.quick.pods()]
        assert images == [f"{manifests.SERVICE_IMAGE}:1.0.0"] * 3, images
        return seconds


def slow_pods(cluster: Cluster, pairs: int) -> int:
    """`--surge` where starting takes time and not processors. Returns how many targets were missed."""
    kubectl, surge = [], []
    with cluster.namespace("bench") as namespace, tempfile.TemporaryDirectory() as folder:
        bench = Bench(cluster, namespace, Path(folder), ready_after_s=SLOW_S)
        for _ in range(max(3, pairs // 2)):
            bench.bad()
            kubectl.append(bench.kubectl())
            bench.bad()
            surge.append(bench.codeblue(bench.quick, "--surge"))
    ratios = [ours / theirs for ours, theirs in zip(surge, kubectl, strict=True)]
    median, target = statistics.median(ratios), TARGETS["rollback --surge"]
    verdict = "met" if median <= target else "MISSED"
    print(f"pods ready after {SLOW_S} s: rollback --surge / kubectl: median {median:.2f} of ", end="")
    print(f"{[round(r, 2) for r in ratios]}, target ≤ {target}: {verdict}")
    print(json.dumps({"kubectl": [round(s, 2) for s in kubectl], "rollback --surge": [round(s, 2) for s in surge]}))
    return int(median > target)


def main() -> int:
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    cluster = Cluster.from_env()
    cluster.load_images()
    missed = slow_pods(cluster, pairs)
    with cluster.namespace("bench") as namespace, tempfile.TemporaryDirectory() as folder:
        bench = Bench(cluster, namespace, Path(folder))
        ways: dict[str, Callable[[], float]] = {
            "rollback": lambda: bench.codeblue(bench.quick),
            "rollback --surge": lambda: bench.codeblue(bench.quick, "--surge"),
            "rollback, then 30 s of watching": lambda: bench.codeblue(bench.watching),
        }
        raw: dict[str, list[float]] = {"kubectl": [], **{way: [] for way in ways}}
        for number in range(pairs):
            for way, measure in {"kubectl": bench.kubectl, **ways}.items():
                if way not in TARGETS and way != "kubectl" and number:
                    continue  # once is enough of what consists of waiting
                bench.bad()
                raw[way].append(measure())
                print(f"{way}: {raw[way][-1]:.2f} s", file=sys.stderr, flush=True)
    for way in ways:
        ratios = [ours / theirs for ours, theirs in zip(raw[way], raw["kubectl"], strict=False)]
        median, target = statistics.median(ratios), TARGETS.get(way)
        verdict = "" if target is None else f", target ≤ {target}: {'met' if median <= target else 'MISSED'}"
        missed += target is not None and median > target
        print(f"{way} / kubectl: median {median:.2f} of {[round(r, 2) for r in ratios]}{verdict}")
    print(json.dumps({way: [round(s, 2) for s in seconds] for way, seconds in raw.items()}))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
