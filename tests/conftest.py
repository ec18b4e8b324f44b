"""Notes of every test which ids it proves and how it ended, for `make requirements`; what all tests stand on."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

RESULTS = Path(__file__).parent.parent / ".cache" / "results"


def pytest_configure() -> None:
    """What a nohup or a background shell before pytest ignores, every child of ours would ignore too."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number is signal.SIGINT else signal.SIG_DFL)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    # a skipped test (a contract's case that an adapter has no such thing for) shows nothing and refutes nothing
    if report.outcome != "skipped" and (report.when == "call" or report.outcome != "passed"):
        ids = [str(id_) for marker in ("req", "defect") for m in item.iter_markers(marker) for id_ in m.args]
        ids += [f"done-{n}" for m in item.iter_markers("done") for n in m.args]
        if ids:
            RESULTS.mkdir(parents=True, exist_ok=True)
            entry = {"test": item.nodeid, "ids": ids, "outcome": report.outcome, "at": time.time()}
            with (RESULTS / f"{os.environ.get('PYTEST_XDIST_WORKER', 'main')}.jsonl").open(
                "a", encoding="utf-8"
            ) as file:
                file.write(json.dumps(entry) + "\n")
    return report
