"""The inbox keeps the contract of channels; and what a directory can do to it."""

import errno
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from codeblue.adapters import inbox
from codeblue.adapters.inbox import Inbox, read_inbox
from codeblue.model.errors import Unreachable
from codeblue.model.incident import Level
from codeblue.model.page import Fate
from codeblue.testing.contracts.channel import INCIDENT, Answer, ChannelContract, Received, Way, page


class TestInbox(ChannelContract):
    ways = frozenset({Way.ACCEPT, Way.DOWN})

    @pytest.fixture
    def directory(self, tmp_path: Path) -> Path:
        return tmp_path / "parent" / "inbox"

    @pytest.fixture
    def channel(self, directory: Path) -> Inbox:
        return Inbox(directory)

    @pytest.fixture
    def again(self, directory: Path) -> Inbox:
        return Inbox(directory)

    @pytest.fixture
    def answer(self, directory: Path) -> Answer:
        """A file stands where the directory has to be made."""

        def answer(way: Way) -> None:
            parent = directory.parent
            aside = parent.with_name("aside")
            if way is Way.DOWN:
                if parent.exists():
                    parent.rename(aside)
                parent.write_text("")
            elif parent.is_file():
                parent.unlink()
                if aside.exists():
                    aside.rename(parent)

        return answer

    @pytest.fixture
    def received(self, directory: Path) -> Received:
        def received() -> Sequence[str]:
            return [f"{p['summary']} {p['next_step']}" for p in read_inbox(directory)]

        return received

    @pytest.fixture
    def unreachable(self) -> None:
        return None

    async def test_a_page_is_one_file_that_only_its_owner_reads(self, channel: Inbox, directory: Path) -> None:
        sent = page()
        delivery = await channel.send(sent)
        [file] = directory.iterdir()
        assert (file.name, file.stat().st_mode & 0o777) == (delivery.reference, 0o600)
        document = json.loads(file.read_text())
        assert (document["key"], document["head"]) == (sent.key, sent.head)
        assert (document["role"], document["severity"], document["level"]) == ("on_call", "SEV2", "L1")
        assert directory.stat().st_mode & 0o777 == 0o700

    async def test_a_second_attempt_leaves_the_page_as_it_came(self, channel: Inbox, directory: Path) -> None:
        sent = page(head="1:aa")
        await channel.send(sent)
        await channel.send(replace(sent, head="2:bb"))
        assert [p["head"] for p in read_inbox(directory)] == ["1:aa"]

    async def test_no_key_leads_out_of_the_directory(self, channel: Inbox, directory: Path) -> None:
        for key in ("../../x", "a/b", "\0", "x" * 5000, ""):
            assert (await channel.send(page(key=key))).fate is Fate.ACCEPTED
        assert len(list(directory.iterdir())) == 5
        assert {p.name for p in directory.parents[1].iterdir()} <= {"parent"}

    async def test_what_becomes_of_an_incident_stands_beside_its_pages(self, channel: Inbox, directory: Path) -> None:
        await channel.send(page())
        await channel.settle(INCIDENT, acknowledged=Level.L1)
        await channel.settle(INCIDENT, acknowledged=None)
        assert sorted(f.suffix for f in directory.iterdir()) == [".acknowledged", ".json", ".over"]
        assert len(read_inbox(directory)) == 1

    @pytest.mark.parametrize("broken", [b"", b"{", b"\xff\xfe", b"[]", b"null", b"{}", b'{"at": 1}', b'{"at": "x"}'])
    async def test_a_file_that_is_no_page_keeps_nothing_from_being_settled(
        self, channel: Inbox, directory: Path, broken: bytes
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "broken.json").write_bytes(broken)
        (directory / "gone.json").symlink_to("nowhere")
        (directory / "directory.json").mkdir()
        await channel.send(page())
        await channel.settle(INCIDENT, acknowledged=None)
        assert [f.suffix for f in directory.iterdir() if f.suffix == ".over"] == [".over"]
        assert [p["incident"] for p in read_inbox(directory)] == [INCIDENT]

    async def test_what_cannot_be_written_is_said_and_leaves_nothing_half(
        self, channel: Inbox, directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(inbox.os, "fsync", full)
        with pytest.raises(Unreachable, match="No space left") as caught:
            await channel.send(page())
        assert "pages.inbox" in caught.value.remedy
        assert list(directory.iterdir()) == []
