"""Ids of the specification against passing tests. usage: requirements.py RESULTS_DIRECTORY

Each run of the tests leaves one JSON line a test there (tests/conftest.py). An id counts as shown only by a test that
passed in its last run, and whose markers name it.
"""

import json
import re
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

SOURCES = {"req": Path("docs/requirements.md"), "defect": Path("docs/defects.md")}


def main() -> int:
    """Print the table and what is missing; exit 1 when a test that names an id failed."""
    last: dict[str, dict[str, Any]] = {}
    for file in sorted(Path(sys.argv[1]).glob("*.jsonl")):
        for line in file.read_text("utf-8").splitlines():
            entry = json.loads(line)
            if not _exists(entry["test"]):
                continue
            if entry["at"] >= last.get(entry["test"], entry)["at"]:
                last[entry["test"]] = entry
    if not last:
        print("No results yet: run `make test` and `make test-cluster` first.")
        return 1
    shown: dict[str, list[str]] = defaultdict(list)
    failed: dict[str, list[str]] = defaultdict(list)
    for test, entry in last.items():
        for id_ in entry["ids"]:
            (shown if entry["outcome"] == "passed" else failed)[id_].append(test)
    for id_ in sorted(shown, key=_order):
        more = f" and {len(shown[id_]) - 1} more" if len(shown[id_]) > 1 else ""
        print(f"{id_:<8} {min(shown[id_], key=len)}{more}")
    wanted = [id_ for path in SOURCES.values() for id_ in _ids(path)]
    missing = [id_ for id_ in wanted if id_ not in shown]
    print(f"\n{len(wanted) - len(missing)} of {len(wanted)} ids have a passing test.")
    print(f"Without one: {' '.join(missing) or 'none'}")
    for id_, tests in sorted(failed.items()):
        print(f"FAILED {id_}: {', '.join(tests)}")
    return 1 if failed else 0


def _exists(test: str) -> bool:
    """Whether the test of an earlier run is still there: results outlive tests. Contracts are inherited."""
    file, _, rest = test.partition("::")
    name = rest.rpartition("::")[2].partition("[")[0]
    return Path(file).exists() and ("::" in rest or f"def {name}(" in Path(file).read_text("utf-8"))


def _ids(path: Path) -> list[str]:
    """The ids that a specification page defines, in its order: **R1** and **B1 Readiness.** there, D1 here."""
    pattern = r"\bD\d+\b" if path.name == "defects.md" else r"(?<=\*\*)[RB]\d+[a-c]?\b"
    return list(dict.fromkeys(re.findall(pattern, path.read_text("utf-8"))))


def _order(id_: str) -> tuple[str, int, str]:
    match = re.fullmatch(r"([A-Za-z]+)-?(\d+)(.*)", id_)
    return (match[1], int(match[2]), match[3]) if match else (id_, 0, "")


if __name__ == "__main__":
    sys.exit(main())
