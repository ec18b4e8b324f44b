"""The emulator of Statuspage is not only our own opinion: a client made from its OpenAPI document drives it.

That client pins old versions and runs in an environment of its own, as a program of its own.
"""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from codeblue.adapters.statuspage import Statuspage as Adapter
from codeblue.model.secret import Secret
from codeblue.ports.status_page import Posted
from codeblue.testing.emulators.statuspage import PER_MINUTE, Statuspage

PAGE, KEY, READER = "kctbh9vrtdwd", "a-key", "a-reader"
INCIDENT = "inc-20260105t031500z-0a1b2c"

#: Reads calls from its standard input, makes them, and prints what came of each.
PROGRAM = """
import json, sys
import atlassian_statuspage as sp
from atlassian_statuspage.rest import ApiException
config = sp.Configuration()
said = json.load(sys.stdin)
config.host = said["host"]
config.api_key = {"Authorization": said["key"]}
config.api_key_prefix = {"Authorization": "OAuth"}
api = sp.IncidentsApi(sp.ApiClient(config))
results = []
for name, arguments in said["calls"]:
    body = arguments.pop("body", None)
    if body is not None:
        kind = sp.PostPagesPageIdIncidents if name.startswith("post") else sp.PatchPagesPageIdIncidents
        inner = sp.PostPagesPageIdIncidentsIncident if name.startswith("post") else sp.PatchPagesPageIdIncidentsIncident
        body.setdefault("status", None)
        status = body.pop("status")
        made = inner(**body) if status is None else inner(status=status, **body)
        arguments["body"] = kind(incident=made)
    try:
        found = getattr(api, name)(**arguments)
    except ApiException as error:
        body = error.body.decode() if isinstance(error.body, bytes) else error.body
        results.append({"status": error.status, "body": body})
    else:
        clean = sp.ApiClient(config).sanitize_for_serialization(found)
        results.append({"status": 200, "body": clean})
json.dump(results, sys.stdout)
"""

Calls = Callable[..., list[Any]]


@pytest.fixture
def server() -> Iterator[Statuspage]:
    with Statuspage(PAGE, KEY, READER, ("c1", "c2")) as emulator:
        yield emulator


@pytest.fixture
def client(server: Statuspage, foreign_python: Path) -> Calls:
    def calls(*calls: tuple[str, dict[str, Any]], key: str = KEY) -> list[Any]:
        said = {"host": server.api, "key": key, "calls": calls}
        done = subprocess.run(
            [foreign_python, "-W", "ignore", "-c", PROGRAM],
            input=json.dumps(said), capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found: list[Any] = json.loads(done.stdout)
        return found

    return calls


def test_the_life_of_an_entry_by_a_foreign_client(server: Statuspage, client: Calls) -> None:
    entry = {
        "name": "Degradation",
        "status": "investigating",
        "body": "We look.",
        "components": {"c1": "partial_outage"},
        "component_ids": ["c1"],
        "metadata": {"codeblue": {"incident": INCIDENT}},
    }
    [made, unresolved] = client(
        ("post_pages_page_id_incidents", {"page_id": PAGE, "body": entry}),
        ("get_pages_page_id_incidents_unresolved", {"page_id": PAGE}),
    )
    assert made["body"]["status"] == "investigating"
    assert made["body"]["incident_updates"][0]["body"] == "We look."
    assert [e["id"] for e in unresolved["body"]] == [made["body"]["id"]]
    id_ = made["body"]["id"]
    update = {"status": "resolved", "body": "Over.", "deliver_notifications": False}
    [patched, unresolved, listed, one] = client(
        ("patch_pages_page_id_incidents_incident_id", {"page_id": PAGE, "incident_id": id_, "body": update}),
        ("get_pages_page_id_incidents_unresolved", {"page_id": PAGE}),
        ("get_pages_page_id_incidents", {"page_id": PAGE, "limit": 100, "page": 1}),
        ("get_pages_page_id_incidents_incident_id", {"page_id": PAGE, "incident_id": id_}),
    )
    assert patched["body"]["status"] == "resolved"
    assert patched["body"]["resolved_at"]
    assert unresolved["body"] == []
    assert [e["id"] for e in listed["body"]] == [one["body"]["id"]] == [id_]
    assert one["body"]["metadata"] == {"codeblue": {"incident": INCIDENT}}
    assert server.mails == [(id_, "investigating")], "deliver_notifications is true unless it is said"


def test_a_foreign_client_sees_the_refusals(server: Statuspage, client: Calls) -> None:
    good = {"name": "Degradation", "status": "investigating", "body": "x"}

    def post(**changes: object) -> tuple[str, dict[str, Any]]:
        return ("post_pages_page_id_incidents", {"page_id": PAGE, "body": {**good, **changes}})

    bad = client(
        post(name=""),
        post(name="x" * 256),
        post(status="scheduled"),
        post(components={"c9": "partial_outage"}),
        post(components={"c1": "awful"}),
        post(component_ids=["c9"]),
        post(metadata={"codeblue": "x"}),
        ("get_pages_page_id_incidents", {"page_id": "another"}),
        ("get_pages_page_id_incidents_incident_id", {"page_id": PAGE, "incident_id": "none"}),
        ("get_pages_page_id_incidents", {"page_id": PAGE, "limit": 101}),
    )
    assert [r["status"] for r in bad] == [422] * 7 + [404, 404, 400]
    assert all("error" in json.loads(r["body"]) for r in bad)
    assert [r["status"] for r in client(post(), key="nobody")] == [401]
    assert [r["status"] for r in client(post(), key=READER)] == [403]
    assert server.incidents == []


async def test_what_we_posted_a_foreign_client_reads_and_the_other_way_round(server: Statuspage, client: Calls) -> None:
    ours = Adapter(PAGE, Secret(KEY), title="Degradation", service="api", components=("c1",), base=server.api)
    entry = await ours.post(INCIDENT, Posted.INVESTIGATING, "We look.")
    [read] = client(("get_pages_page_id_incidents_incident_id", {"page_id": PAGE, "incident_id": entry.id}))
    assert read["body"]["metadata"]["codeblue"]["incident"] == INCIDENT
    assert read["body"]["components"][0]["status"] == "degraded_performance"
    update = {"status": "monitoring", "body": "By hand."}
    client(("patch_pages_page_id_incidents_incident_id", {"page_id": PAGE, "incident_id": entry.id, "body": update}))
    found = await ours.find(INCIDENT)
    assert found is not None
    assert (found.id, found.status) == (entry.id, Posted.MONITORING)


def test_a_key_has_60_requests_in_60_seconds() -> None:
    at = [0.0]
    server = Statuspage(PAGE, KEY, READER, clock=lambda: at[0])
    with server, httpx2.Client(trust_env=False, headers={"Authorization": f"OAuth {KEY}"}) as plain:
        url = f"{server.api}/pages/{PAGE}/incidents/unresolved"
        assert {plain.get(url).status_code for _ in range(PER_MINUTE)} == {200}
        slow = plain.get(url)
        assert (slow.status_code, slow.headers["Retry-After"]) == (420, "60")
        at[0] = 60.0
        assert plain.get(url).status_code == 200


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [(b"{", "application/json", 400), (b"{}", "application/json", 400), (b'{"incident": []}', "application/json", 400),
     (b"x", "text/plain", 415), (b"incident[name]=Degradation", "application/x-www-form-urlencoded", 201),
     (b"[" * 10_000, "application/json", 400)],
)  # fmt: skip
def test_bodies_of_either_kind(server: Statuspage, body: bytes, kind: str, status: int) -> None:
    headers = {"Authorization": f"OAuth {KEY}", "Content-Type": kind}
    with httpx2.Client(trust_env=False) as plain:
        answer = plain.post(f"{server.api}/pages/{PAGE}/incidents", content=body, headers=headers)
    assert answer.status_code == status


def test_the_same_post_twice_is_two_entries(server: Statuspage) -> None:
    headers = {"Authorization": f"OAuth {KEY}"}
    said = {"incident": {"name": "Degradation", "metadata": {"codeblue": {"incident": INCIDENT}}}}
    with httpx2.Client(trust_env=False, headers=headers) as plain:
        for _ in range(2):
            assert plain.post(f"{server.api}/pages/{PAGE}/incidents", json=said).status_code == 201
    assert len(server.incidents) == 2, "which is why the adapter looks first"
