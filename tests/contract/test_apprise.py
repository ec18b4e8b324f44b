"""apprise: the shared contract against a web hook of its own, and that its yes and no are taken for no more."""

import logging
import socketserver
import threading
import time
from collections.abc import Iterator, Sequence

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from codeblue.adapters.apprise_channel import AppriseChannel
from codeblue.model.errors import UsageError
from codeblue.model.incident import Role
from codeblue.model.page import Fate
from codeblue.model.secret import Secret
from codeblue.ports.channel import Channel
from codeblue.testing.contracts.channel import Answer, ChannelContract, Received, Way, page
from codeblue.testing.emulators.base import Emulator, Fail

CANARY = "c4n4ryP4ssw0rd"
LIMIT_S = 2.0


class Hook(Emulator):
    """What apprise calls json://."""

    def __init__(self) -> None:
        super().__init__([Route("/{path:path}", self._take, methods=["POST"])])
        self.texts: list[str] = []

    def address(self, path: str = "hook") -> Secret:
        return Secret(f"json://user:{CANARY}@{self.url.removeprefix('http://')}/{path}")

    async def _take(self, request: Request) -> Response:
        said = await request.json()
        self.texts.append(f"{said['title']}\n{said['message']}")
        return Response(status_code=204)


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook() as emulator:
        yield emulator


class TestApprise(ChannelContract):
    #: It says yes or no, and not why: a refusal and a provider that is down are both UNKNOWN.
    ways = frozenset((Way.ACCEPT, Way.CUT, Way.HANG))

    @pytest.fixture
    def channel(self, hook: Hook) -> Channel:
        return AppriseChannel({Role.ON_CALL: [hook.address()]}, timeout_s=LIMIT_S)

    @pytest.fixture
    def answer(self, hook: Hook) -> Answer:
        faults = {Way.CUT: Fail.CUT, Way.HANG: Fail.HANG}
        return lambda way: hook.fails(faults[way]) if way in faults else hook.recovers()

    @pytest.fixture
    def received(self, hook: Hook) -> Received:
        return lambda: hook.texts

    @pytest.fixture
    def secrets(self) -> Sequence[str]:
        return (CANARY,)


@pytest.mark.parametrize("how", [Fail.DOWN, Fail.STATUS, Fail.DROP])
async def test_a_no_is_unknown_whatever_its_reason(hook: Hook, how: Fail) -> None:
    channel = AppriseChannel({Role.ON_CALL: [hook.address()]}, timeout_s=LIMIT_S)
    hook.fails(how, status=403) if how is Fail.STATUS else hook.fails(how)
    delivery = await channel.send(page())
    assert delivery.fate is Fate.UNKNOWN
    assert "apprise does not say why" in delivery.why


async def test_one_of_several_addresses_is_enough(hook: Hook) -> None:
    dead = Secret(f"json://user:{CANARY}@127.0.0.1:1/")
    channel = AppriseChannel({Role.ON_CALL: [dead, hook.address()]}, timeout_s=LIMIT_S)
    delivery = await channel.send(page())
    assert (delivery.fate, delivery.why) == (Fate.ACCEPTED, "1 of 2 addresses said yes")
    assert len(hook.texts) == 1


async def test_a_hanging_address_holds_the_others_up_no_longer_than_the_limit(hook: Hook) -> None:
    hook.fails(Fail.HANG, times=1)
    channel = AppriseChannel({Role.ON_CALL: [hook.address(), hook.address()]}, timeout_s=0.5)
    begun = time.monotonic()
    assert (await channel.send(page())).fate is Fate.ACCEPTED
    assert time.monotonic() - begun < LIMIT_S


async def test_redirects_are_not_followed(hook: Hook) -> None:
    hook.fails(Fail.STATUS, status=307, headers={"Location": f"{hook.url}/elsewhere"}, times=1)
    channel = AppriseChannel({Role.ON_CALL: [hook.address()]}, timeout_s=LIMIT_S)
    assert (await channel.send(page())).fate is Fate.UNKNOWN
    assert len(hook.log) == 1


def test_an_address_that_apprise_does_not_know_is_refused_and_not_shown() -> None:
    with pytest.raises(UsageError) as refused:
        AppriseChannel({Role.CTO: [Secret(f"nosuchthing://user:{CANARY}@host")]})
    assert "pages.apprise.cto: address 1" in refused.value.message
    assert CANARY not in f"{refused.value!r} {refused.value.remedy}"


@pytest.mark.parametrize("how", [Fail.DOWN, Fail.STATUS, Fail.CUT, None])
async def test_no_log_shows_an_address(hook: Hook, caplog: pytest.LogCaptureFixture, how: Fail | None) -> None:
    caplog.set_level(logging.DEBUG)
    if how is not None:
        hook.fails(how)
    address = Secret(f"{hook.address().reveal()}/{CANARY}?+X-Token={CANARY}")
    await AppriseChannel({Role.ON_CALL: [address]}, timeout_s=LIMIT_S).send(page())
    assert CANARY not in caplog.text


class _Smtp(socketserver.StreamRequestHandler):
    """As much of RFC 5321 as a client needs to hand over one mail."""

    def handle(self) -> None:
        server = self.server
        self.wfile.write(b"220 here\r\n")
        while line := self.rfile.readline():
            verb = line[:4].upper().strip()
            if verb == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                mail = b""
                while (part := self.rfile.readline()) not in (b".\r\n", b""):
                    mail += part
                server.mails.append(mail.decode())  # type: ignore[attr-defined]
            self.wfile.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")
            if verb == b"QUIT":
                return


@pytest.mark.req("R2")
async def test_an_e_mail_arrives() -> None:
    with socketserver.TCPServer(("127.0.0.1", 0), _Smtp) as server:
        server.mails = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"mailto://127.0.0.1:{server.server_address[1]}?from=codeblue@hospital.org&to=ada@hospital.org&mode=insecure"
        channel = AppriseChannel({Role.ON_CALL: [Secret(url)]}, timeout_s=5.0)
        delivery = await channel.send(page())
        server.shutdown()
    assert delivery.fate is Fate.ACCEPTED, delivery.why
    [mail] = server.mails  # type: ignore[attr-defined]
    assert "To: ada@hospital.org" in mail
