"""R60: the operator commands: exit codes, JSON, with the service down; no value is ever defaulted (D26)."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.service.support.stores import on_every_store

from ai_diagnostics import control

CASE = {"patient_id": "pat-001", "symptoms": ["cough", "fever"], "medications": ["warfarin"]}


@pytest.mark.req("R60")
def test_all_commands_are_in_the_contract() -> None:
    text = (Path(__file__).parents[2] / "contract" / "operator-commands.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `([a-z-]+)", text, re.M))
    from ai_diagnostics.cli import _parser

    (verbs,) = [a.choices for a in _parser()._subparsers._group_actions]  # type: ignore[union-attr]
    assert listed == set(verbs) - {"serve", "emulators"}


@pytest.mark.req("R60")
@pytest.mark.defect("D26")
def test_a_value_is_never_defaulted(cli, launch) -> None:
    launch().process.stop()
    for line in (
        "flags set ai_diagnostics_enabled",
        "flags set ai_diagnostics_enabled --enabled false",
        "flags set ai_diagnostics_enabled --enabled=false",
        "flags set ai_diagnostics_enabled no",
        "flags set ai_diagnostics_enabled FALSE",
        "flags set ai_diagnostics_enabled 0",
        "flags set ai_diagnostics_rollout",
        "flags set ai_diagnostics_rollout true",
        "flags set ai_diagnostics_rollout 101",
        "flags set ai_diagnostics_rollout -1",
        "flags set ai_diagnostic_enabled false",
        "flags set read_only true",
        "modes set ai_diagnostics_enabled false",
        "flags status --expect ai_diagnostics_enabled",
        "nonsense",
    ):
        assert cli(line)[0] == 2, line
    code, answer = cli("flags status")
    assert (code, answer["data"]["control_version"]) == (0, 1), "something was changed"
    assert cli("flags set ai_diagnostics_rollout 0%")[1]["data"]["after"] == 0


@pytest.mark.req("R60")
@pytest.mark.defect("D26")
@given(st.text(max_size=8))
def test_only_the_exact_words_are_values(text: str) -> None:
    flag, rollout = control.spec("ai_diagnostics_enabled"), control.spec("ai_diagnostics_rollout")
    for spec in (flag, rollout):
        try:
            value = spec.parse(text)
        except ValueError:
            continue
        assert str(value).lower() == text or (spec is rollout and 0 <= value <= 100)
        assert not (text in ("", "0") and value is True)


@pytest.mark.req("R60")
def test_a_store_that_is_not_there_is_unreachable_and_is_not_made(cli, tmp_path: Path) -> None:
    for line in (
        "flags status",
        "flags set ai_diagnostics_enabled false",
        "modes status",
        "migrate down --to 2",
        "migrate validate",
        "db health",
        "integrity",
        "error-rate",
        "smoke",
        "verify-rollback --version 1",
    ):
        code, answer = cli(line)
        assert (code, answer["verdict"]) == (4, "unreachable"), line
    assert not (tmp_path / "data").exists()
    assert cli("flags status", JWT_SECRET="short")[0] == 2


@on_every_store
@pytest.mark.req("R60")
def test_migrations_up_down_and_validated(cli, emulators) -> None:
    assert cli("migrate up")[1]["data"] == {"before": 0, "after": 3, "passed": [1, 2, 3]}
    assert cli("migrate up")[1]["data"]["passed"] == []
    assert cli("migrate validate --version 3")[0] == 0
    assert cli("migrate validate --version 2")[1]["problems"] == ["the schema is at 3, expected 2"]
    assert cli("migrate down --to 2")[1]["data"]["passed"] == [2]
    assert cli("smoke", **emulators.env)[0] == 0, "this release works on the schema before"
    assert cli("migrate validate --version 2")[0] == 0
    assert cli("migrate down --to 3")[0] == 2, "a restored, older database is not walked up by `down`"
    assert cli("migrate down")[0] == 2
    assert cli("migrate down --to 7")[0] == 2
    assert cli("migrate down --to 0")[0] == 2
    assert cli("migrate up --to 1")[0] == 2
    assert cli("migrate down --to 1")[1]["data"]["after"] == 1
    code, answer = cli("db health")
    assert (code, answer["problems"]) == (1, ["schema: version 1; this release works on 2 to 3"])
    assert cli("migrate down --to 0 --allow-drop")[1]["data"]["after"] == 0
    assert cli("migrate validate")[0] == 1
    assert cli("migrate up")[0] == 0
    assert [item["version"] for item in cli("migrate status")[1]["data"]["history"]] == [1, 2, 3]


@pytest.mark.req("R60")
def test_a_schema_that_somebody_changed_is_told(cli, tmp_path: Path) -> None:
    cli("migrate up")
    with sqlite3.connect(tmp_path / "data" / "ai-diagnostics.db") as db:
        db.execute("DROP INDEX results_by_request")
        db.execute("ALTER TABLE diagnosticrequests ADD COLUMN surprise TEXT")
        db.execute("UPDATE schema_migrations SET checksum = 'x' WHERE version = 1")
    db.close()
    assert cli("migrate validate")[1]["problems"] == ["version 1 was applied with other statements"]
    with sqlite3.connect(tmp_path / "data" / "ai-diagnostics.db") as db:
        from ai_diagnostics.store.sqlite_migrations import STEPS

        db.execute("UPDATE schema_migrations SET checksum = ? WHERE version = 1", (STEPS[1].checksum,))
    db.close()
    problems = cli("migrate validate")[1]["problems"]
    assert problems == ["index results_by_request is missing", "table diagnosticrequests has other columns"]


@on_every_store
@pytest.mark.req("R60")
def test_smoke_here_and_through_the_service_leaves_nothing(cli, launch, emulators) -> None:
    service = launch(**emulators.env)
    for line in ("smoke", f"smoke --url {service.url}"):
        code, answer = cli(line, **emulators.env)
        assert (code, answer["data"]["status"]) == (0, "completed"), answer
        assert answer["data"]["removed_documents"] == 2
        assert answer["data"]["inputs"] == {"rxnorm": "used", "fhir": "used", "lab": "used"}
    emulators.set("openrouter", "wrong")
    for line in ("smoke", f"smoke --url {service.url}"):
        code, answer = cli(line, **emulators.env)
        assert (code, answer["data"]["removed_documents"]) == (1, 1), answer
    emulators.set("openrouter")
    assert cli("smoke")[0] == 1, "a model that is not configured is no success"
    service.set("ai_diagnostics_enabled", False)
    code, answer = cli("smoke", **emulators.env)
    assert (code, answer["data"]["status"]) == (0, "not_processed")
    assert cli("smoke --expect completed", **emulators.env)[0] == 1
    assert cli("smoke --patient pat-001", **emulators.env)[0] == 2
    assert cli("smoke --url http://127.0.0.1:9", **emulators.env)[0] == 4
    assert cli("integrity")[1]["data"]["totals"] == {}


@pytest.mark.req("R60")
def test_probes_without_the_service(cli, emulators, redis_server) -> None:
    cli("migrate up")
    code, answer = cli("external health", **emulators.env)
    assert (code, {c["status"] for c in answer["data"]["checks"].values()}) == (0, {"ok"})
    emulators.set("fhir", "down")
    code, answer = cli("external health", **emulators.env)
    assert (code, answer["problems"]) == (1, ["fhir: status: 503"])
    cli("flags set fhir_integration_enabled false")
    code, answer = cli("external health", **emulators.env)
    assert (code, answer["data"]["checks"]["fhir"]["status"]) == (0, "disabled")
    code, answer = cli("db health", REDIS_URL=redis_server[1])
    assert (code, {c["status"] for c in answer["data"]["checks"].values()}) == (0, {"ok"})
    code, answer = cli("db health", REDIS_URL="redis://127.0.0.1:9")
    assert (code, answer["problems"]) == (1, ["redis: ConnectionError"])


@on_every_store
@pytest.mark.req("R60")
def test_error_rate_is_strict_and_unknown_without_samples(cli, launch, until) -> None:
    service = launch(RELEASE_FAULT="errors:0.1")
    code, answer = cli("error-rate")
    assert (code, answer["verdict"]) == (1, "unknown")
    _, client = service.each_worker().popitem()
    for _ in range(40):
        client.get("/api/version")
    until("the counts are stored", lambda: cli("error-rate")[1]["data"]["requests"] == 40)
    code, answer = cli("error-rate")
    assert (code, answer["data"]["errors"], answer["data"]["rate"]) == (1, 4, 0.1)
    assert answer["problems"] == ["4 errors / 40 requests = 0.1000 > 0.05"]
    assert cli("error-rate --limit 0.1")[0] == 0, "the limit itself is no breach"
    assert cli("error-rate --min-requests 41")[1]["verdict"] == "unknown"
    later = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
    assert cli(f"error-rate --since {later}")[1]["data"]["requests"] == 0
    assert cli("error-rate --since 2026-01-01T00:00:00")[0] == 2
    service.set("maintenance", True)
    client.get("/api/version")
    until("the refusal is stored", lambda: cli("error-rate")[1]["data"]["refused"] == 1)
    assert cli("error-rate")[1]["data"]["errors"] == 4, "a refusal by a mode is no error"


@on_every_store
@pytest.mark.req("R60")
def test_verify_rollback(cli, launch, emulators) -> None:
    service = launch(**emulators.env, RELEASE_VERSION="1.4.2")
    line = f"verify-rollback --version 1.4.2 --min-processes 2 --schema 3 --url {service.url}"
    code, answer = cli(f"{line} --expect ai_diagnostics_enabled=true", **emulators.env)
    assert code == 0, answer
    assert [process["version"] for process in answer["data"]["processes"]] == ["1.4.2", "1.4.2"]
    service.set("read_only", True)
    code, answer = cli("verify-rollback --version 1.4.3 --expect ai_diagnostics_rollout=0 --schema 2", **emulators.env)
    assert code == 1
    text = " / ".join(answer["problems"])
    for part in (
        "'1.4.2', expected '1.4.3'",
        "is 100, expected 0",
        "read-only mode is still on",
        "smoke: ",
        "at 3, expected 2",
    ):
        assert part in text
    service.process.stop()
    assert "0 processes report" in " ".join(cli("verify-rollback --version 1.4.2 --no-smoke")[1]["problems"])


@pytest.mark.req("R60")
def test_integrity_finds_more_than_a_count(cli, launch, emulators, tmp_path: Path) -> None:
    service = launch(**emulators.env)
    ids = [service.post(CASE).json()["id"] for _ in range(4)]
    code, answer = cli("integrity")
    assert (code, answer["data"]["totals"]) == (0, {"diagnosticrequests": 4, "diagnosticresults": 4})
    db = sqlite3.connect(tmp_path / "data" / "ai-diagnostics.db")
    with db:
        db.execute("UPDATE diagnosticrequests SET body = replace(body, 'warfarin', 'heparin!') WHERE id = ?", ids[:1])
        db.execute("DELETE FROM diagnosticrequests WHERE id = ?", ids[1:2])
        db.execute("DELETE FROM diagnosticresults WHERE request_id = ?", ids[2:3])
        db.execute("UPDATE diagnosticresults SET body = 'x' WHERE request_id = ?", ids[3:4])
    (first,) = db.execute("SELECT created_at FROM diagnosticrequests WHERE id = ?", ids[:1]).fetchone()
    db.close()
    code, answer = cli("integrity")
    wrong = answer["data"]["wrong"]
    assert code == 1
    assert wrong["diagnosticrequests: digest differs from the body"] == 1
    assert wrong["diagnosticresults: orphan: its request is gone"] == 1
    assert wrong["diagnosticrequests: completed without a result"] == 1
    assert wrong["diagnosticresults: digest differs from the body"] == 1
    assert answer["data"]["samples"]["diagnosticrequests: digest differs from the body"] == ids[:1]
    assert answer["data"]["window"]["first"] == first
    assert "below 0.5 x baseline 100" in " ".join(cli("integrity --baseline 100")[1]["problems"])
    assert "heparin" not in json.dumps(answer)


@pytest.mark.req("R60")
def test_as_a_program(python, tmp_path: Path) -> None:
    env = {"DATA_DIR": str(tmp_path)}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*python, *arguments], env=env, capture_output=True, text=True, timeout=20, check=False)

    assert run("migrate", "up").returncode == 0
    shown = run("flags", "set", "ai_diagnostics_enabled", "false")
    assert shown.returncode == 0
    assert "before: true" in shown.stdout
    refused = run("flags", "set", "ai_diagnostics_enabled", "--enabled", "false", "--json")
    assert refused.returncode == 2
    assert refused.stdout == ""
    token = run("token", "--subject", "me", "--scope", "operator")
    assert (token.returncode, "JWT_SECRET" in token.stdout) == (2, True)
