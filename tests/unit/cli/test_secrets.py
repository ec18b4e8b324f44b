"""No secret leaves (R1): canaries wherever a secret can be, looked for wherever it must not be."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from tests.contract.local_machine import machine
from tests.postgres import Postgres
from tests.unit.cli.program import Answer, Home
from tests.unit.profile.valid import PEOPLE

pytestmark = pytest.mark.slow

PLAIN, ROTATED = "c4n4ry-Pl41nEnv", "c4n4ry-R0t4ted"

PROFILE = """\
version: 1
service: api
platform: {{kind: local, directory: {directory}}}
health: {{interval: 500ms, timeout: 500ms}}
verify: {{every: 500ms, checks: 20, stable_for: 1s, latency_samples: 3}}
known_good: {{soak: 1s}}
state: {{directory: ./state, database: {{env: CODEBLUE_TEST_DATABASE}}}}
report: {{directory: ./incidents}}
pages:
  slack_webhook: {{env: CODEBLUE_TEST_WEBHOOK}}
contacts:
""" + "".join(f'  {role}: {{{{name: Ada Berg, phone: "+2106831752{n}"}}}}\n' for n, role in enumerate(PEOPLE))


@contextmanager
def watching_arguments(canaries: tuple[str, ...], found: set[str]) -> Iterator[None]:
    """Look at the arguments of every process of this machine, all the time."""
    done = threading.Event()
    own = str(threading.get_native_id())

    def look() -> None:
        while not done.wait(0.005):
            for file in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    text = file.read_bytes().decode("utf-8", "replace")
                except OSError:
                    continue
                if file.parent.name != own:
                    found.update(f"{c} in {text!r}" for c in canaries if c in text)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@pytest.mark.req("R1")
@pytest.mark.done(9)
def test_a_whole_rollback_shows_no_secret_anywhere(tmp_path: Path, postgres: Postgres) -> None:
    url = postgres.database()
    webhook = "https://hooks.slack.com/services/T0/B0/c4n4ry-W3bh00k"
    canaries = (PLAIN, ROTATED, "value of token", postgres.password, webhook.rpartition("/")[2])
    environment = {"CODEBLUE_TEST_DATABASE": url, "CODEBLUE_TEST_WEBHOOK": webhook}
    answers: list[Answer] = []
    found: set[str] = set()
    with machine(tmp_path / "machine") as local, watching_arguments(canaries, found):
        (tmp_path / "home").mkdir()
        home = Home(tmp_path / "home", PROFILE.format(directory=local.directory))

        def codeblue(*argv: str, code: int = 0) -> Answer:
            answer = home.run(*argv, env=environment)
            answers.append(answer)
            assert answer.code == code, answer
            return answer

        local.start("1.0", API_KEY=PLAIN)
        codeblue("verify", "--mark-known-good")
        (local.secrets / "token-b").write_text(f"{ROTATED}\n")
        local.deploy("2.0", reference="token-b", API_KEY=PLAIN, STATUS="503")
        asyncio.run(local.until(lambda seen: seen.template.version == "2.0" and seen.updated > 0))

        refused = codeblue("rollback", "--reason", "a test", code=3)
        assert "there is nobody to ask. Nothing was changed." in refused.err
        assert "--yes" in refused.err
        assert "digest " in codeblue("rollback", "--reason", "a test", "--plan").out

        document = codeblue("rollback", "--reason", "a test", "--yes", "--json").document
        assert document["state"] == "done"
        assert local.get()[1]["token"] == ROTATED, "the rotated secret stays (D15)"
        codeblue("rollback", "--reason", "again", "--yes", "--to", "9.9", code=3)
        # there is no second known-good release to go to from here, and no need of one
        assert "the release in force is known-good" in codeblue("check", "--live").out
        for argv in (("status",), ("run", "list"), ("run", "show", document["id"])):
            codeblue(*argv)
            codeblue(*argv, "--json")
        assert "Whole" in codeblue("audit", "verify").out
        wrong = environment["CODEBLUE_TEST_DATABASE"].replace("/test_", "/no_test_")
        answers.append(home.run("run", "list", env=environment | {"CODEBLUE_TEST_DATABASE": wrong}))
        assert answers[-1].code == 4

    shown = "".join(a.out + a.err for a in answers)
    kept = "".join(stored(url))
    files = "".join(p.read_bytes().decode("utf-8", "replace") for p in home.path.rglob("*") if p.is_file())
    assert document["id"] in shown
    assert document["id"] in kept
    for canary in canaries:
        assert canary not in shown
        assert canary not in kept
        assert canary not in files
    assert not found


def stored(url: str) -> Iterator[str]:
    """Every row of every table, the record's and the engine's."""
    with psycopg.connect(url) as db:
        tables = db.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        assert {t for _, t in tables} >= {"events", "workflow_status", "operation_outputs"}
        for schema, table in tables:
            for row in db.execute(f'SELECT t::text FROM "{schema}"."{table}" t'.encode()):  # noqa: S608
                yield str(row[0])


@pytest.mark.req("R1")
@pytest.mark.done(9)
@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "mysql", "nonsense"])
def test_a_database_that_cannot_be_used_is_named_without_its_url(tmp_path: Path, scheme: str) -> None:
    canary = "c4n4ry-p4ssw0rd"
    home = Home(tmp_path, PROFILE.format(directory="./local"))
    environment = {"CODEBLUE_TEST_DATABASE": f"{scheme}://u:{canary}@127.0.0.1:1/x?{canary}=1"}
    for argv in (("run", "list"), ("audit", "verify"), ("status",), ("rollback", "--yes", "--reason", "r"), ("serve",)):
        answer = home.run(*argv, env=environment)
        assert answer.code == 4, answer
        assert "Traceback" not in answer.err
        assert canary not in answer.out + answer.err
    files = "".join(p.read_text("utf-8", "replace") for p in tmp_path.rglob("*") if p.is_file())
    assert canary not in files


def test_a_secret_that_is_not_set_is_a_usage_error(tmp_path: Path) -> None:
    home = Home(tmp_path, PROFILE.format(directory="./local"))
    answer = home.run("run", "list")
    assert answer.code == 2
    assert "CODEBLUE_TEST_DATABASE is not set" in answer.err
