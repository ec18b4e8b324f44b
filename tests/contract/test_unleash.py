"""Unleash: the shared contract and each rule of the adapter on a real server, judged by Unleash's own engine."""

import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.error import HTTPError

import pytest
from tests.unleash import ENVIRONMENT, OTHER_ENVIRONMENT, PROJECT, UnleashServer, rollout, unleash, unleash_server

from codeblue.adapters.flags.unleash import Unleash
from codeblue.model.errors import CodeBlueError, Forbidden, NotFound, Refused, Unreachable
from codeblue.model.flag import FlagValue, Stored
from codeblue.model.secret import Secret
from codeblue.ports.flags import FlagStore
from codeblue.testing.clock import VirtualClock
from codeblue.testing.contracts.flags import FENCE, NAMES, OFF, OTHER, SHARE, SWITCH, FlagStoreContract, Harm

__all__ = ["unleash", "unleash_server"]

pytestmark = pytest.mark.slow

ONE_USER = {"contextName": "userId", "operator": "IN", "values": ["u-1"]}
LIMIT_S = 2.0


def adapter(server: UnleashServer, **changes: Any) -> Unleash:
    token, url = changes.pop("token", server.admin), changes.pop("url", server.url)
    how: dict[str, Any] = {"environment": ENVIRONMENT, "shares": (SHARE,), "timeout_s": LIMIT_S, **changes}
    return Unleash(url, Secret(token), VirtualClock(), **how)


@pytest.fixture
async def store(unleash: UnleashServer) -> AsyncIterator[Unleash]:
    store = adapter(unleash)
    yield store
    await store.close()


async def write(store: Unleash, wanted: dict[str, FlagValue]) -> None:
    change = store.change(await store.read(tuple(wanted)), wanted)
    assert change is not None
    await store.apply(change, FENCE)


async def value(store: Unleash, name: str = SWITCH) -> Stored:
    return (await store.read((name,)))[name]


class TestUnleash(FlagStoreContract):
    #: a flag that is disabled is off here, for everybody
    harms = frozenset({Harm.DELETED, Harm.TARGETED})

    @pytest.fixture
    async def store(self, unleash: UnleashServer) -> AsyncIterator[FlagStore]:
        for name in (SWITCH, SHARE, OTHER):
            unleash.flag(name, rollout(100))
        store = adapter(unleash)
        yield store
        await store.close()

    @pytest.fixture
    def evaluated(self, unleash: UnleashServer) -> Callable[[str], object]:
        return lambda name: unleash.share(name) if name == SHARE else unleash.enabled(name)

    @pytest.fixture
    def harm(self, unleash: UnleashServer) -> Callable[[str, Harm], None]:
        def do(name: str, how: Harm) -> None:
            if how is Harm.DELETED:
                unleash.archive(name)
            else:
                unleash.strategy(name, rollout(100, constraints=[ONE_USER]))

        return do

    @pytest.fixture
    def down(self, unleash: UnleashServer) -> Iterator[Callable[[], None]]:
        with ExitStack() as until_the_end:
            yield lambda: until_the_end.enter_context(unleash.frozen())


# --- what a flag is, by what its clients get: (strategies, context of a client that differs) -> value


@pytest.mark.parametrize("strategy", [{"name": "default"}, rollout(100), rollout(100, stickiness="random")])
async def test_one_strategy_for_everybody_is_on(
    unleash: UnleashServer, store: Unleash, strategy: dict[str, Any]
) -> None:
    unleash.flag(SWITCH, strategy)
    assert await value(store) == Stored(value=True)
    assert unleash.enabled(SWITCH) is True


@pytest.mark.parametrize("strategies", [(), (rollout(100, constraints=[ONE_USER]),), (rollout(100), rollout(30))])
async def test_disabled_is_off_whatever_the_strategies(
    unleash: UnleashServer, store: Unleash, strategies: tuple[dict[str, Any], ...]
) -> None:
    unleash.flag(SWITCH, *strategies, enabled=False)
    assert await value(store) == Stored(value=False)
    assert unleash.enabled(SWITCH, {"userId": "u-1"}) is False


async def test_enabled_with_no_strategy_but_disabled_ones_is_off(unleash: UnleashServer, store: Unleash) -> None:
    unleash.flag(SWITCH, rollout(100))
    [strategy] = unleash.strategies(SWITCH)
    unleash.ask("PUT", f"{unleash.at(SWITCH)}/strategies/{strategy['id']}", {**rollout(100), "disabled": True})
    assert unleash.enabled(SWITCH) is False
    assert await value(store) == Stored(value=False)
    await write(store, {SWITCH: True})
    assert unleash.enabled(SWITCH) is True


async def test_a_rollout_of_0_is_off_and_one_between_is_no_switch(unleash: UnleashServer, store: Unleash) -> None:
    unleash.flag(SWITCH, rollout(0))
    unleash.flag("half", rollout(50))
    assert await value(store) == Stored(value=False)
    assert unleash.enabled(SWITCH) is False
    assert await value(store, "half") == Stored(None, "it is on for 50 %")


@pytest.mark.parametrize(
    ("strategies", "why"),
    [
        ((rollout(100, constraints=[ONE_USER]),), "constraints"),
        ((rollout(30), rollout(30)), "2 active strategies"),
        ((rollout(100), rollout(100, constraints=[ONE_USER])), "2 active strategies"),
        (({"name": "ourOwn", "parameters": {}},), "ourOwn, which is for some"),
        ((rollout(100, stickiness="userId"),), "leaves out who has no userId"),
    ],
)
async def test_what_is_for_some_only_is_no_value_and_off_leaves_it_as_it_is(
    unleash: UnleashServer, store: Unleash, strategies: tuple[dict[str, Any], ...], why: str
) -> None:
    with suppress(HTTPError):  # it is there since the last time
        unleash.ask("POST", "/admin/strategies", {"name": "ourOwn", "parameters": []})
    unleash.flag(SWITCH, *strategies)
    seen = await value(store)
    assert seen.value is None
    assert why in seen.why
    before = unleash.strategies(SWITCH)
    await write(store, {SWITCH: False})
    assert unleash.enabled(SWITCH, {"userId": "u-1"}) is False
    assert unleash.strategies(SWITCH) == before
    with pytest.raises(Refused, match="for some only") as refused:
        await write(store, {SWITCH: True})
    assert refused.value.remedy
    assert unleash.strategies(SWITCH) == before
    assert await value(store) == Stored(value=False)


async def test_a_stickiness_does_leave_out_who_has_none_by_unleash_s_own_engine(unleash: UnleashServer) -> None:
    unleash.flag(SWITCH, rollout(100, stickiness="userId"))
    assert [unleash.enabled(SWITCH, {"userId": "u-1"}), unleash.enabled(SWITCH)] == [True, False]


async def test_segments_are_for_some_only(unleash: UnleashServer, store: Unleash) -> None:
    segment = unleash.ask("POST", "/admin/segments", {"name": "clinic", "constraints": [ONE_USER]})
    try:
        unleash.flag(SWITCH, rollout(100, segments=[segment["id"]]))
        seen = await value(store)
        assert (seen.value, seen.why) == (None, "its strategy is for segments")
    finally:
        unleash.clear()
        unleash.ask("DELETE", f"/admin/segments/{segment['id']}")


async def test_a_flag_with_a_parent_has_no_value_until_it_is_off(unleash: UnleashServer, store: Unleash) -> None:
    unleash.flag("parent", rollout(100))
    unleash.flag(SWITCH, rollout(100))
    unleash.ask("POST", f"{PROJECT}/features/{SWITCH}/dependencies", {"feature": "parent"})
    assert (await value(store)).why == "it depends on other flags"
    await write(store, {SWITCH: False})
    assert unleash.enabled(SWITCH) is False
    with pytest.raises(Refused, match="parents"):
        await write(store, {SWITCH: True})


# --- what is written


async def test_a_percentage_keeps_what_else_its_strategy_says(unleash: UnleashServer, store: Unleash) -> None:
    unleash.flag(SHARE, {**rollout(30), "title": "slowly", "variants": []})
    await write(store, {SHARE: 0})
    assert unleash.share(SHARE) == 0
    await write(store, {SHARE: 55})
    assert unleash.share(SHARE) == 55
    [strategy] = unleash.strategies(SHARE)
    assert (strategy["title"], strategy["parameters"]) == (
        "slowly",
        {"groupId": "g", "rollout": "55", "stickiness": "default"},
    )


async def test_a_percentage_of_a_flag_that_is_on_for_all_becomes_a_rollout(
    unleash: UnleashServer, store: Unleash
) -> None:
    unleash.flag(SHARE, {"name": "default"})
    assert await value(store, SHARE) == Stored(100)
    await write(store, {SHARE: 20})
    assert (unleash.share(SHARE), await value(store, SHARE)) == (20, Stored(20))


@pytest.mark.parametrize("gone", ["archived", "deleted"])
async def test_a_flag_that_is_not_there_comes_back_with_what_is_wanted(
    unleash: UnleashServer, store: Unleash, gone: str
) -> None:
    if gone == "archived":
        unleash.flag(SHARE, rollout(100))
        unleash.archive(SHARE)
    assert unleash.share(SHARE) is None
    assert (await value(store, SHARE)).value is None
    await write(store, {SHARE: 30, SWITCH: False})
    assert (unleash.share(SHARE), unleash.enabled(SWITCH)) == (30, False)


async def test_another_environment_keeps_what_it_has(unleash: UnleashServer, store: Unleash) -> None:
    unleash.flag(SWITCH, rollout(100))
    unleash.ask("POST", f"{unleash.at(SWITCH, OTHER_ENVIRONMENT)}/on")
    await write(store, {SWITCH: False})
    other = adapter(unleash, environment=OTHER_ENVIRONMENT)
    assert (await value(store), await value(other)) == (Stored(value=False), Stored(value=True))
    await other.close()


async def test_what_is_to_be_off_is_off_before_what_is_to_be_on_is_refused(
    unleash: UnleashServer, store: Unleash
) -> None:
    unleash.flag(SHARE, rollout(30, constraints=[ONE_USER]))
    unleash.flag(SWITCH, rollout(100))
    with pytest.raises(Refused):
        await write(store, {SHARE: 100, SWITCH: False})
    assert unleash.enabled(SWITCH) is False


async def test_a_switch_is_no_percentage_and_the_other_way_round(unleash: UnleashServer, store: Unleash) -> None:
    unleash.flag(SWITCH, rollout(100))
    unleash.flag(SHARE, rollout(100))
    for wanted in ({SWITCH: 0}, {SHARE: False}, {OTHER: False, SHARE: False}):
        with pytest.raises(Refused, match="profile"):
            await write(store, wanted)
    assert (unleash.enabled(SWITCH), unleash.share(SHARE)) == (True, 100)
    assert (await value(store, OTHER)).value is None


# --- what goes wrong


async def test_a_wrong_token_is_forbidden_and_said_nowhere(
    unleash: UnleashServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    unleash.flag(SWITCH, rollout(100))
    for token in ("*:*.c4n4ry-t0k3n", unleash.client):
        store = adapter(unleash, token=token)
        with pytest.raises(Forbidden) as refused:
            await store.read(NAMES)
        assert "token" in refused.value.remedy
        shown = f"{store!r} {store.place} {refused.value!r} {refused.value.remedy} {caplog.text}"
        assert token not in shown
        await store.close()


@pytest.mark.parametrize("wrong", [{"environment": "nowhere"}, {"project": "nowhere"}])
async def test_a_wrong_project_or_environment_is_never_off(unleash: UnleashServer, wrong: dict[str, str]) -> None:
    unleash.flag(SWITCH, rollout(100))
    store = adapter(unleash, **wrong)
    change = store.change({}, {SWITCH: False})
    assert change is not None
    with pytest.raises(CodeBlueError) as refused:
        await store.apply(change, FENCE)
    assert isinstance(refused.value, NotFound | Refused)
    assert refused.value.remedy
    if "environment" in wrong:
        with pytest.raises(NotFound, match="nowhere"):
            await store.read((SWITCH,))
    else:
        assert (await value(store)).value is None
    assert unleash.enabled(SWITCH) is True
    await store.close()


@pytest.mark.parametrize("name", ["a/b", "../default", "ä ö", "x" * 300])
async def test_a_name_that_no_flag_can_have_is_refused(unleash: UnleashServer, store: Unleash, name: str) -> None:
    assert (await value(store, name)).value is None
    with pytest.raises(Refused) as refused:
        await write(store, {name: False})
    assert refused.value.remedy


@pytest.fixture
def stranger() -> Iterator[Callable[[int, bytes], str]]:
    """A server that is no Unleash: the address of one that gives this answer to everything."""
    with ExitStack() as until_the_end:

        def start(status: int, body: bytes) -> str:
            class Handler(BaseHTTPRequestHandler):
                def do_GET(self) -> None:
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

                do_POST = do_GET

                def log_message(self, *_: object) -> None: ...

            server = until_the_end.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
            until_the_end.callback(server.shutdown)
            return f"http://127.0.0.1:{server.server_port}"

        yield start


FLAG = b'{"name": "%s", "environments": %s}'


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, b"<html>", Unreachable),
        (200, b"[" * 100_000, Unreachable),
        (200, b'{"name": "ai_diagnostics_enabled"}', Unreachable),
        (200, b'{"name": "another", "environments": []}', Unreachable),
        (200, FLAG % (SWITCH.encode(), b"[]"), NotFound),
        (200, FLAG % (SWITCH.encode(), b'[null, "development"]'), NotFound),
        (200, b"x" * 2_000_000, Unreachable),
        (404, b"<html>nginx</html>", NotFound),
        (301, b"", Refused),
        (429, b"", Unreachable),
        (503, b"", Unreachable),
    ],
)
async def test_who_is_no_unleash_says_nothing_about_a_flag(
    stranger: Callable[[int, bytes], str], status: int, body: bytes, error: type[CodeBlueError]
) -> None:
    store = Unleash(stranger(status, body), Secret("x"), VirtualClock(), environment=ENVIRONMENT, timeout_s=LIMIT_S)
    with pytest.raises(error) as refused:
        await store.read((SWITCH,))
    assert type(refused.value) is error
    assert refused.value.remedy
    await store.close()


@pytest.mark.parametrize(
    "here",
    [
        b'{"name": "development"}',
        b'{"name": "development", "enabled": "no"}',
        b'{"name": "development", "enabled": 0}',
        b'{"name": "development", "enabled": true}',
        b'{"name": "development", "enabled": true, "strategies": []}',
        b'{"name": "development", "enabled": true, "strategies": [null]}',
        b'{"name": "development", "enabled": true, "strategies": [{"name": "flexibleRollout"}]}',
        b'{"name": "development", "enabled": true, "strategies": [{"name": "flexibleRollout", "parameters": []}]}',
        b'{"name": "development", "enabled": true, "strategies": '
        b'[{"name": "flexibleRollout", "parameters": {"rollout": "-1"}}]}',
        b'{"name": "development", "enabled": true, "strategies": '
        b'[{"name": "flexibleRollout", "parameters": {"rollout": "101"}}]}',
        b'{"name": "development", "enabled": true, "strategies": {"name": "default"}}',
        b'{"name": "development", "enabled": true, "strategies": 5}',
    ],
)
async def test_a_flag_in_another_shape_has_no_value(stranger: Callable[[int, bytes], str], here: bytes) -> None:
    url = stranger(200, FLAG % (SWITCH.encode(), b"[" + here + b"]"))
    store = Unleash(url, Secret("x"), VirtualClock(), environment=ENVIRONMENT, timeout_s=LIMIT_S)
    seen = await value(store)
    assert seen.value is None
    assert seen.why
    await store.close()


async def test_nobody_there_is_unreachable(unleash: UnleashServer) -> None:
    store = adapter(unleash, url="http://127.0.0.1:1")
    with pytest.raises(Unreachable, match="no connection") as gone:
        await store.read(NAMES)
    assert gone.value.remedy
    await store.close()


async def test_all_four_at_once_and_twice(unleash: UnleashServer, store: Unleash) -> None:
    for name in NAMES:
        unleash.flag(name, rollout(100))
    change = store.change(await store.read(NAMES), OFF)
    assert change is not None
    await store.apply(change, FENCE)
    await store.apply(change, FENCE)
    assert (unleash.enabled(SWITCH), unleash.share(SHARE)) == (False, 0)
