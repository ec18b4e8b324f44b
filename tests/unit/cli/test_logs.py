"""The diagnostics of `codeblue serve`: one JSON object a line, without secrets."""

import json
import logging
import sys
from collections.abc import Iterator
from io import StringIO

import pytest
import structlog

from codeblue.cli.logs import LONGEST, log_as_json

CANARY = "c4n4ry-Pl41nS3cretV4lue"


@pytest.fixture
def err(monkeypatch: pytest.MonkeyPatch) -> Iterator[StringIO]:
    root, ours = logging.getLogger(), logging.getLogger("codeblue")
    before = root.handlers[:], root.level, ours.level
    stream = StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    log_as_json()
    yield stream
    structlog.reset_defaults()
    root.handlers[:], level, own = before
    root.setLevel(level)
    ours.setLevel(own)


def lines(err: StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in err.getvalue().splitlines()]


def test_what_we_and_our_libraries_log_is_one_object_a_line(err: StringIO) -> None:
    structlog.get_logger("codeblue.web").info("listening", port=8700)
    logging.getLogger("codeblue.web.server").warning("a word: %s", "two\nlines")
    logging.getLogger("somelibrary").info("is not said")
    logging.getLogger("somelibrary").error("is said")
    seen = lines(err)
    assert [(s["event"], s["level"], s["logger"]) for s in seen] == [
        ("listening", "info", "codeblue.web"),
        ("a word: two\nlines", "warning", "codeblue.web.server"),
        ("is said", "error", "somelibrary"),
    ]
    assert seen[0]["port"] == 8700
    assert all(str(s["timestamp"]).endswith("Z") for s in seen)


def test_secrets_are_hidden_wherever_they_stand(err: StringIO) -> None:
    log = structlog.get_logger("codeblue.test")
    log.info(f"password={CANARY}", url=f"https://u:{CANARY}@host/", nested={"a": [f"token: {CANARY}"]}, other=1.5)
    try:
        raise ValueError(f"secret={CANARY}")
    except ValueError:
        log.exception("it failed")
        logging.getLogger("library").exception("Bearer %s", CANARY)
    assert CANARY not in err.getvalue()
    seen = lines(err)
    assert "ValueError" in str(seen[1]["exception"])
    assert "ValueError" in str(seen[2]["exception"])
    assert seen[0]["other"] == 1.5


def test_a_long_text_is_cut(err: StringIO) -> None:
    logging.getLogger("codeblue").warning("%s", "x " * LONGEST)
    assert len(err.getvalue()) < LONGEST + 500
