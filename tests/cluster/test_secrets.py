"""Secrets stay where they are: looked for as an attacker would, in processes, output, databases, reports (R38, B9)."""

import secrets
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from testbed import manifests
from tests.cluster.support import Case, simple

pytestmark = pytest.mark.cluster


@contextmanager
def command_lines():
    """Every argument list on this machine that has Code Blue in it, sampled all the time."""
    seen: set[str] = set()
    stop = threading.Event()

    def sample() -> None:
        while not stop.wait(0.02):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    line = path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                except OSError:
                    continue  # it ended
                if "codeblue" in line:
                    seen.add(line)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join(10)


def everything_written(case: Case) -> bytes:
    """All files of the case but the kubeconfig: output of all commands, state, reports."""
    paths = [p for p in case.folder.rglob("*") if p.is_file() and p.name != "kubeconfig"]
    assert any(p.suffix == ".out" for p in paths)
    return b"\0".join(p.read_bytes() for p in paths)


@pytest.mark.done(9)
@pytest.mark.req("R11")
@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
def test_no_secret_leaves(case, postgres, store):
    """A daemon sees a failure, rolls back, verifies and reports; then a person looks at everything."""
    value, key = secrets.token_hex(20), secrets.token_hex(20)
    case.kubectl("create", "secret", "generic", "app", f"--from-literal=JWT_SECRET={value}")
    case.kubectl("create", "secret", "generic", "provider", f"--from-literal=KEY={key}")
    case.kubectl("create", "serviceaccount", "codeblue")
    account = f"--serviceaccount={case.namespace}:codeblue"
    case.kubectl("create", "rolebinding", "codeblue", "--clusterrole=cluster-admin", account)
    case.kubeconfig = case.cluster.kubeconfig_for(case.namespace, "codeblue", case.folder / "kubeconfig")
    token = case.kubeconfig.read_text().partition('"token": "')[2].partition('"')[0]
    assert len(token) > 100
    url = postgres.database()
    canaries = {"secret": value, "key": key, "token": token, "signature of the token": token.rpartition(".")[2]}
    if store == "postgresql":
        case.settings["state"] = {"directory": "./state", "database": {"env": "CODEBLUE_DATABASE"}}
        case.env["CODEBLUE_DATABASE"] = url
        canaries["password of the database"] = postgres.password
    case.settings |= {
        "triggers": {"health": {"failures": 1, "mode": "act"}},
        "known_good": {"soak": "10m"},
        "health": {"interval": "1s", "timeout": "1s"},
    }
    case.write_profile()

    def release(version: str, image: str, **options: object) -> None:
        body = simple(release=version, image=image, replicas=2, **options)
        container = body["spec"]["template"]["spec"]["containers"][0]
        container["envFrom"] = [{"secretRef": {"name": "app"}}]
        container["env"].append({"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "provider", "key": "KEY"}}})
        case.apply(body, manifests.service("plain"))
        case.cluster.rolled_out(case.namespace, "plain")

    release("good", "1")
    case.mark_good()
    release("bad", "2", health_path=None, fault="health")
    with command_lines() as lines:
        with case.daemon() as daemon:
            daemon.until("is mitigated", timeout_s=150)
        for arguments in (("status",), ("check", "--live"), ("run", "list"), ("incident", "list"), ("audit", "verify")):
            ended = case.run(*arguments, "--json", timeout_s=60)
            assert ended.code == 0, ended.said  # the check: the release in force is known-good
    case.assert_runs("good", replicas=2)
    assert any("serve" in line for line in lines)
    places = {"argument lists": "\n".join(lines).encode(), "files": everything_written(case)}
    if store == "postgresql":
        places["rows"] = rows(postgres, url)
    found = [(what, where) for what, word in canaries.items() for where in places if word.encode() in places[where]]
    assert found == []
    assert b"run.ended" in places["rows" if store == "postgresql" else "files"], "the search itself works"


def rows(postgres, url: str) -> bytes:
    """Every row of every table, as text."""
    tables = postgres.execute(
        "SELECT format('%I.%I', table_schema, table_name) FROM information_schema.tables "
        "WHERE table_schema NOT IN ('pg_catalog', 'information_schema') AND table_type = 'BASE TABLE'",
        url,
    )
    assert len(tables) > 3
    texts = [postgres.execute(f"SELECT t::text FROM {name} t", url) for (name,) in tables]  # noqa: S608
    return b"\0".join(str(row).encode() for table in texts for row in table)
