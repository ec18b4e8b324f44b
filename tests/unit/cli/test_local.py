"""`codeblue local`: which port is in force, and template files that are none."""

import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.contract.local_machine import SERVICE, free_port
from tests.unit.cli.program import Home

from codeblue.adapters.local.deploy import stop
from codeblue.cli.template_file import read_template_file
from codeblue.model.errors import UsageError

SECRET = "c4n4ry-s3cr3t"


@pytest.fixture
def workload(home: Home) -> Iterator[Path]:
    """The workload's directory; nothing of it runs on."""
    directory = home.path / "local"
    template = {"command": ["python3", "-I", "-S", str(SERVICE)], "version": "1.0"}
    (home.path / "template.json").write_text(json.dumps(template))
    yield directory
    stop(directory)


def test_the_port_in_force_is_told_and_another_one_is_refused(home: Home, workload: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = str(taken.getsockname()[1])
        assert home.run("local", "start", "template.json", "--port", port).code == 3
    port, other = str(free_port()), str(free_port())
    made = home.run("local", "start", "template.json", "--port", port, "--replicas", "1")
    assert made.code == 0, made
    assert f"http://127.0.0.1:{port}" in made.out
    assert "1.0 (" in made.out
    before = (workload / "state.json").read_bytes()
    again = home.run("local", "start", "template.json", "--json")
    assert again.code == 0, again
    assert again.document == {
        "schema": "codeblue/local/1",
        "started": False,
        "url": f"http://127.0.0.1:{port}",
        "replicas": 1,
    }
    assert home.run("local", "start", "template.json", "--port", port).code == 0
    refused = home.run("local", "start", "template.json", "--port", other)
    assert refused.code == 3, refused
    assert f"on port {port}; starting it does not move it to {other}. Nothing was changed." in refused.err
    assert "local stop --forget" in refused.err
    assert (workload / "state.json").read_bytes() == before


def test_a_readiness_path_that_would_count_as_traffic_is_told(home: Home, workload: Path) -> None:
    file = home.path / "codeblue.yaml"
    profile = file.read_text()
    start = ("local", "start", "template.json", "--port", str(free_port()), "--replicas", "1", "--readiness", "/ready")
    for more, said in (("contract: {metrics: /metrics}\n", True), ("", False)):
        file.write_text(profile + more)
        answer = home.run(*start)
        assert answer.code == 0, answer
        advice = "Next: Write `signals: {ignore_routes: [/api/health, /metrics, /ready]}` into the profile."
        assert (advice in answer.err) is said
    file.write_text(f"{profile}contract: {{metrics: /metrics}}\nsignals: {{ignore_routes: [/ready]}}\n")
    assert "Next:" not in home.run(*start).err


FAULTS: dict[str, tuple[str | bytes, str]] = {
    "surrogate in YAML": ('command: ["a"]\nenv: {A: "\\ud800"}\n', "half of a surrogate pair"),
    "surrogate in JSON": ('{"command": ["a"], "env": {"A": "\\udfff"}}', "half of a surrogate pair"),
    "surrogate in a field": ('{"command": ["a"], "\\udfff": 1}', "unknown field"),
    "deep JSON": ('{"command": ' + "[" * 20_000, "nested deeper than 4 levels"),
    "deep valid JSON": ('{"a": ' * 5_000 + "1" + "}" * 5_000, "nested deeper than 4 levels"),
    "deep flow": ("command: " + "[a, " * 15_000, "nested deeper than 4 levels"),
    "deep block": ("- " * 30_000, "nested deeper than 4 levels"),
    "deep keys": ("? " * 30_000, "nested deeper than 4 levels"),
    "huge": ("command: [a]\n" + "# much\n" * 200_000, "larger than 64 KiB"),
    "not UTF-8": (b"command: [\xff]", "not UTF-8"),
    "no mapping": ("- a\n", "is not a mapping"),
    "empty": ("", "is not a mapping"),
    "a tab": ("command:\n\t- a\n", ":2:1: a tab stands"),
    "twice": (f"command: [a]\nenv:\n  A: {SECRET}\n  A: {SECRET}x\n", ":4:3: is given twice"),
    "twice in JSON": (f'{{"command": ["a"], "version": "{SECRET}", "version": "2"}}', "is given twice"),
    "open quotes": (f'command: [a]\nenv: {{A: "{SECRET}\n', "quotes"),
    "a date that is none": ("version: 2024-13-45\n", "is not YAML or JSON"),
    "a number without end": ("version: " + "1" * 5000, "is not YAML or JSON"),
    "an escape that is none": ('version: "\\U7fffffff"', "is not YAML or JSON"),
    "a tag": ("command: !!python/object/apply:os.system [true]\n", "is not YAML"),
    "itself": ("command: &a [*a]\n", "command: a list of texts"),
    "a list as key": ("? [a, b]\n: c\n", "unknown field"),
    "names of two kinds": ("1: a\nb: c\n", "unknown field"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_faulty_template_is_a_usage_error(tmp_path: Path, name: str) -> None:
    from codeblue.adapters.local.template import read_template

    content, said = FAULTS[name]
    file = tmp_path / "t.yaml"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(UsageError) as raised:
        read_template(read_template_file(file))
    assert said in raised.value.message
    assert SECRET not in raised.value.message + raised.value.remedy
    assert raised.value.remedy


def _pipe(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda _: None, "No such file"),
        (Path.mkdir, "not a regular file"),
        (_pipe, "not a regular file"),
        (lambda p: p.symlink_to("/dev/zero"), "not a regular file"),
        (lambda p: p.symlink_to(p.name), "cannot be read"),
    ],
)
def test_what_is_no_file_is_a_usage_error(tmp_path: Path, make: Callable[[Path], None], said: str) -> None:
    file = tmp_path / "t.yaml"
    make(file)
    with pytest.raises(UsageError, match=said):
        read_template_file(file)


def test_a_faulty_template_touches_nothing(home: Home, workload: Path) -> None:
    assert home.run("local", "start", "template.json", "--port", str(free_port()), "--replicas", "1").code == 0
    before = (workload / "state.json").read_bytes()
    for name in ("surrogate in YAML", "deep JSON", "deep block", "huge"):
        content = FAULTS[name][0]
        assert isinstance(content, str)
        (home.path / "faulty.yaml").write_text(content)
        for verb in ("deploy", "start"):
            answer = home.run("local", verb, "faulty.yaml", "--json")
            assert (answer.code, answer.document["exit_code"]) == (2, 2), answer
            assert answer.cpu_s < 2
    assert (workload / "state.json").read_bytes() == before


def test_what_was_a_template_still_is(tmp_path: Path) -> None:
    file = tmp_path / "t"
    wanted = {"command": ["a", "[[[[[{{"], "env": {"A": "😀"}, "version": "1"}
    for text in (
        json.dumps(wanted),
        json.dumps(wanted, indent="\t"),
        "\ufeff" + json.dumps(wanted, ensure_ascii=False),
        'command: [a, "[[[[[{{"]\nenv:\n  A: 😀\nversion: "1"\n',
        "{command: [a, '[[[[[{{'], env: {A: 😀}, version: '1'}",
    ):
        file.write_text(text, "utf-8")
        assert read_template_file(file) == wanted


def test_stopping_what_was_never_there_says_so(home: Home) -> None:
    answer = home.run("local", "stop")
    assert (answer.code, "There is no workload in" in answer.out) == (0, True)
