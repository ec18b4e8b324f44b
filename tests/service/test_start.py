"""Start-up: fast, light, without privileges, several times on one machine; settings that refuse to guess."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ai_diagnostics import settings
from ai_diagnostics.secret import Secret


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.req("R59")
def test_ready_with_little_cpu(launch, emulators) -> None:
    service = launch(**emulators.env)
    pids = [service.process.popen.pid, *service.each_worker()]
    spent = [cpu_s(pid) for pid in pids]
    print("CPU seconds of parent and workers:", spent)
    assert max(spent) < 0.9, spent  # about 0.35 for the parent and 0.05 for a worker on an idle machine
    assert sum(spent) < 1.5, spent


def test_small_answers_do_not_wait_for_an_acknowledgement(steady) -> None:
    service = steady
    times = []
    for _ in range(20):
        began = time.perf_counter()
        service.http.get("/api/version")
        times.append(time.perf_counter() - began)
    assert sorted(times)[5] < 0.03, "40 ms is Nagle's algorithm against a delayed ACK"


def test_nothing_heavy_is_imported_that_is_not_configured() -> None:
    code = (
        "import sys, os, tempfile; os.environ['PROMETHEUS_MULTIPROC_DIR'] = tempfile.mkdtemp()\n"
        "import ai_diagnostics.app, ai_diagnostics.serve, uvicorn\n"
        "print([m for m in ('pymongo', 'bson', 'redis', 'httpx2', 'joserfc', 'cryptography') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout.strip() == "[]"


def test_emulators_and_service_share_no_code_and_nothing_imports_codeblue() -> None:
    root = Path(settings.__file__).parent
    for path in root.rglob("*.py"):
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        names = [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
        assert not [name for name in names if name.split(".")[0] == "codeblue"], path
        if path.parent.name == "emulators":
            ours = [name for name in names if name.startswith("ai_diagnostics")]
            assert all(name.startswith("ai_diagnostics.emulators") for name in ours), path


def test_runs_as_another_user_that_can_write_only_to_tmp(launch, tmp_path: Path, contract) -> None:
    if os.getuid() != 0:
        service = launch(DATA_DIR="", TMPDIR=str(tmp_path))
    else:
        tmp_path.chmod(0o755)
        writable = tmp_path / "tmp"
        writable.mkdir()
        os.chown(writable, 1000, 1000)
        drop = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"]
        may_read = ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]
        service = launch(DATA_DIR="", TMPDIR=str(writable), prefix=[*drop, *may_read])
    assert service.get("/api/health/database").status_code == 200
    assert Path(f"/proc/{service.process.popen.pid}").stat().st_uid != 0
    assert service.process.stop() == 0


def test_port_in_use_is_said(launch, python) -> None:
    port = launch().url.rsplit(":", 1)[1]
    arguments = [*python, "serve", "--host", "127.0.0.1", "--port", port]
    done = subprocess.run(arguments, env={}, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1
    assert '"cannot_listen"' in done.stdout


def test_secrets_come_from_a_file_and_do_not_show(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("f" * 40 + "\n")
    found = settings.read({"JWT_SECRET_FILE": str(file), "MONGODB_URI": "mongodb://u:topsecret@h/"})
    ((kid, key),) = found.jwt_keys.items()
    assert kid == settings.key_id(Secret("f" * 40))
    assert key.reveal() == "f" * 40
    assert "fff" not in repr(found)
    assert "topsecret" not in repr(found)
    assert not found.storage.auto_migrate
    file.write_text("\n")
    for env in (
        {"JWT_SECRET_FILE": str(file)},
        {"JWT_SECRET_FILE": str(tmp_path / "none")},
        {"JWT_SECRET_FILE": str(file), "JWT_SECRET": "x" * 40},
        {"JWT_KEYS": "[]"},
        {"OPENROUTER_BASE_URL": "openrouter.ai"},
        {"SCHEMA_VERSION": "1"},
        {"INITIAL_CONTROL": "ai_diagnostics_enabled"},
        {"PROMPT_VERSION": "p9"},
    ):
        with pytest.raises(settings.SettingsError):
            settings.read(env)
