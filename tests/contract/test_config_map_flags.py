"""Flags in a ConfigMap: the shared contract in both forms on a stand-in API server, and what only a ConfigMap has.

On a real API server: tests/cluster/test_flags_config_map.py.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.config_map import ConfigMapServer
from tests.flagd import evaluated

from codeblue.adapters.flag_document import Form
from codeblue.adapters.kubernetes.flags import ConfigMapFlags
from codeblue.model.errors import Conflict, Forbidden, NotFound, Refused
from codeblue.model.flag import Stored
from codeblue.ports.flags import FlagStore
from codeblue.testing.clock import VirtualClock
from codeblue.testing.contracts.flags import FENCE, NAMES, OFF, OTHER, SHARE, SWITCH, FlagStoreContract, Harm

KEY = "flags~a.json"
DOCUMENT = json.dumps(
    {
        "flags": {
            OTHER: {"state": "ENABLED", "variants": {"on": True}, "defaultVariant": "on"},
            SWITCH: {"state": "ENABLED", "variants": {"on": True}, "defaultVariant": "on"},
            SHARE: {"state": "ENABLED", "variants": {"all": 100}, "defaultVariant": "all"},
        }
    },
    indent=2,
)
PLAIN = json.dumps({OTHER: True, SWITCH: True, SHARE: 100, "note": "by the clinic"}, indent=2)


@pytest.fixture
def server() -> ConfigMapServer:
    return ConfigMapServer("shop", "flags", {KEY: DOCUMENT, "other": "stays"})


def store_of(server: ConfigMapServer, form: Form = Form.FLAGD, key: str = KEY) -> ConfigMapFlags:
    return ConfigMapFlags(server.api(), "shop", "flags", key, VirtualClock(), form=form)


def document_of(server: ConfigMapServer) -> Any:
    assert server.object is not None
    return json.loads(server.object["data"][KEY])


async def switch_off(store: ConfigMapFlags) -> None:
    change = store.change(await store.read(NAMES), OFF)
    assert change is not None
    await store.apply(change, FENCE)


class TestDefinitions(FlagStoreContract):
    """flagd's definitions, judged by OpenFeature's own client."""

    @pytest.fixture
    def store(self, server: ConfigMapServer) -> FlagStore:
        return store_of(server)

    @pytest.fixture
    def evaluated(self, server: ConfigMapServer, tmp_path: Path) -> Callable[[str], object]:
        def mounted(name: str) -> object:
            file = tmp_path / "flags.json"
            file.write_text(json.dumps(document_of(server)))
            return evaluated(file, name, int if name == SHARE else bool)

        return mounted

    @pytest.fixture
    def harm(self, server: ConfigMapServer) -> Callable[[str, Harm], None]:
        def do(name: str, how: Harm) -> None:
            document = document_of(server)
            match how:
                case Harm.DELETED:
                    del document["flags"][name]
                case Harm.DISABLED:
                    document["flags"][name]["state"] = "DISABLED"
                case Harm.TARGETED:
                    document["flags"][name]["targeting"] = {"if": [{"==": [{"var": "user"}, "u-1"]}, "on", "off"]}
            server.write(data={KEY: json.dumps(document)})

        return do

    @pytest.fixture
    def down(self, server: ConfigMapServer) -> Callable[[], None]:
        return lambda: setattr(server, "is_down", True)


class TestPlain(FlagStoreContract):
    """{name: value}: what the service reads is the value itself."""

    harms = frozenset({Harm.DELETED})

    @pytest.fixture
    def store(self, server: ConfigMapServer) -> FlagStore:
        server.write(data={KEY: PLAIN})
        return store_of(server, Form.PLAIN)

    @pytest.fixture
    def evaluated(self, server: ConfigMapServer) -> Callable[[str], object]:
        return lambda name: document_of(server).get(name)

    @pytest.fixture
    def harm(self, server: ConfigMapServer) -> Callable[[str, Harm], None]:
        def do(name: str, how: Harm) -> None:
            server.write(data={KEY: json.dumps({n: v for n, v in document_of(server).items() if n != name})})

        return do

    @pytest.fixture
    def down(self, server: ConfigMapServer) -> Callable[[], None]:
        return lambda: setattr(server, "is_down", True)


@pytest.mark.defect("D58")
@pytest.mark.parametrize("form", list(Form))
async def test_one_key_is_patched_and_the_others_stay(server: ConfigMapServer, form: Form) -> None:
    server.write(data={KEY: DOCUMENT if form is Form.FLAGD else PLAIN, "other": "stays"}, binaryData={"b": "AA=="})
    await switch_off(store_of(server, form))
    assert server.object is not None
    assert (server.object["data"]["other"], server.object["binaryData"]) == ("stays", {"b": "AA=="})
    assert server.object["metadata"]["labels"] == {"app": "x"}
    [operations] = server.patched
    assert [(o["op"], o["path"]) for o in operations] == [
        ("test", "/metadata/resourceVersion"),
        ("replace", "/data/flags~0a.json"),
    ]
    if form is Form.PLAIN:
        assert document_of(server)["note"] == "by the clinic"


@pytest.mark.parametrize("value", ["true", 1.0, 101, -1, None, {}, [], 10**400])
async def test_a_plain_value_that_is_neither_a_switch_nor_a_percentage_is_no_value(
    server: ConfigMapServer, value: object
) -> None:
    server.write(data={KEY: json.dumps({SWITCH: value})})
    seen = await store_of(server, Form.PLAIN).read((SWITCH,))
    assert seen[SWITCH].value is None
    assert seen[SWITCH].why


@pytest.mark.parametrize("value", ["true", 1, 0, {}])
async def test_a_plain_value_of_another_type_is_refused(server: ConfigMapServer, value: object) -> None:
    server.write(data={KEY: json.dumps({SWITCH: value, SHARE: 100})})
    with pytest.raises(Refused, match="another type"):
        await switch_off(store_of(server, Form.PLAIN))
    assert server.patched == []


async def test_flags_that_are_not_there_are_written_into_an_empty_document(server: ConfigMapServer) -> None:
    server.write(data={KEY: " { } "})
    await switch_off(store_of(server, Form.PLAIN))
    assert document_of(server) == OFF


async def test_somebody_else_s_change_since_the_read_is_not_overwritten(server: ConfigMapServer) -> None:
    store = store_of(server)
    change = store.change(await store.read(NAMES), OFF)
    assert change is not None
    server.write(data={KEY: DOCUMENT, "other": "theirs"})
    with pytest.raises(Conflict):
        await store.apply(change, FENCE)
    assert server.patched == []


async def test_somebody_else_s_change_in_the_last_moment_is_refused_by_the_server(
    server: ConfigMapServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_of(server)
    change = store.change(await store.read(NAMES), OFF)
    assert change is not None
    patch = store._patch

    async def late(version: str, document: str) -> str:
        server.write(data={KEY: DOCUMENT, "other": "theirs"})
        return await patch(version, document)

    monkeypatch.setattr(store, "_patch", late)
    with pytest.raises(Conflict):
        await store.apply(change, FENCE)
    assert document_of(server) == json.loads(DOCUMENT)


async def test_the_same_change_sent_twice_is_patched_once(server: ConfigMapServer) -> None:
    store = store_of(server)
    change = store.change(await store.read(NAMES), OFF)
    assert change is not None
    first = await store.apply(change, FENCE)
    assert (await store.apply(change, FENCE)).accepted == first.accepted
    assert len(server.patched) == 1


@pytest.mark.parametrize("key", ["gone", "b"])
async def test_a_key_that_is_not_there_is_not_found(server: ConfigMapServer, key: str) -> None:
    server.write(binaryData={"b": "AA=="})
    with pytest.raises(NotFound, match="no such key") as missing:
        await store_of(server, key=key).read(NAMES)
    assert "kubectl --namespace shop get cm flags" in missing.value.remedy


async def test_a_config_map_that_is_not_there_is_not_found(server: ConfigMapServer) -> None:
    server.object = None
    with pytest.raises(NotFound, match="is not there") as missing:
        await store_of(server).read(NAMES)
    assert "profile" in missing.value.remedy


async def test_an_immutable_config_map_is_refused_before_it_is_tried(server: ConfigMapServer) -> None:
    server.write(immutable=True)
    with pytest.raises(Refused, match="immutable"):
        await switch_off(store_of(server))
    assert server.patched == []


@pytest.mark.parametrize("verb", ["get", "patch"])
async def test_a_permission_that_is_missing_is_named(server: ConfigMapServer, verb: str) -> None:
    server.refuses = {verb}
    with pytest.raises(Forbidden) as refused:
        await switch_off(store_of(server))
    assert f"verb {verb} on the ConfigMap flags in shop" in refused.value.remedy


@pytest.mark.parametrize("text", ["", "{", '{"flags": []}', "[" * 100_000, '{"flags": {}, "flags": {}}', '"\ud800"'])
async def test_a_document_that_is_none_is_refused_and_left_alone(server: ConfigMapServer, text: str) -> None:
    server.write(data={KEY: text})
    with pytest.raises(Refused) as refused:
        await switch_off(store_of(server))
    assert refused.value.remedy
    assert server.patched == []


async def test_a_seen_that_was_kept_elsewhere_is_held_against_what_is_there_now(server: ConfigMapServer) -> None:
    store = store_of(server)
    change = store.change({SWITCH: Stored(value=True)}, {SWITCH: False})
    assert change is not None
    await store.apply(change, FENCE)
    assert (await store.read((SWITCH,)))[SWITCH] == Stored(value=False)
