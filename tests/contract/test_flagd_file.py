"""flagd's file: the shared contract, judged by OpenFeature's own client, and what only a file has."""

import fcntl
import json
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.flagd import evaluated

from codeblue.adapters.flags.flagd_file import FlagdFile
from codeblue.model.errors import CodeBlueError, Conflict, Forbidden, NotFound, Refused, Unreachable
from codeblue.ports.flags import FlagStore
from codeblue.testing.clock import VirtualClock
from codeblue.testing.contracts.flags import FENCE, NAMES, OFF, OTHER, SHARE, SWITCH, FlagStoreContract, Harm

#: Written as people write: own order, own indents, numbers in a form that a rewrite would not keep.
DOCUMENT = f"""{{
  "$schema": "https://flagd.dev/schema/v0/flags.json",
  "metadata": {{"version": 1.50}},
  "flags": {{
    "{OTHER}": {{"state": "ENABLED",  "variants": {{"yes": true, "no": false}},
        "defaultVariant": "yes", "metadata": {{"weight": 1e2}} }},
    "{SWITCH}": {{
      "state": "ENABLED",
      "variants": {{"on": true, "off": false}},
      "defaultVariant": "on",
      "metadata": {{"owner": "clinic \\u00e4"}}
    }},
    "{SHARE}": {{
      "state": "ENABLED",
      "variants": {{"all": 100}},
      "defaultVariant": "all",
      "targeting": {{}}
    }}
  }}
}}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    folder = tmp_path / "volume"
    folder.mkdir()
    path = folder / "flags.json"
    path.write_text(DOCUMENT)
    return path


@pytest.fixture
def store(file: Path) -> FlagdFile:
    return FlagdFile(file, VirtualClock())


async def switch_off(store: FlagdFile) -> None:
    change = store.change(await store.read(NAMES), OFF)
    assert change is not None
    await store.apply(change, FENCE)


class TestFlagdFile(FlagStoreContract):
    @pytest.fixture
    def store(self, file: Path) -> FlagStore:
        return FlagdFile(file, VirtualClock())

    @pytest.fixture
    def evaluated(self, file: Path) -> Callable[[str], object]:
        return lambda name: evaluated(file, name, int if name == SHARE else bool)

    @pytest.fixture
    def harm(self, file: Path) -> Callable[[str, Harm], None]:
        def do(name: str, how: Harm) -> None:
            document = json.loads(file.read_text())
            match how:
                case Harm.DELETED:
                    del document["flags"][name]
                case Harm.DISABLED:
                    document["flags"][name]["state"] = "DISABLED"
                case Harm.TARGETED:
                    document["flags"][name]["targeting"] = {"if": [{"==": [{"var": "user"}, "u-1"]}, "on", "off"]}
            file.write_text(json.dumps(document))

        return do

    @pytest.fixture
    def down(self, file: Path) -> Callable[[], None]:
        return lambda: file.parent.rename(file.parent.with_name("unmounted")) and None


async def test_what_is_not_set_stays_to_the_byte_and_the_file_keeps_its_mode_and_owner(
    store: FlagdFile, file: Path
) -> None:
    file.chmod(0o640)
    if os.getuid() == 0:
        os.chown(file, 12345, 12346)
    before = file.stat()
    await switch_off(store)
    after = file.stat()
    assert file.read_text() == DOCUMENT.replace('"defaultVariant": "on"', '"defaultVariant": "off"').replace(
        '{"all": 100}', '{"all": 100,"0-percent": 0}'
    ).replace('"defaultVariant": "all"', '"defaultVariant": "0-percent"')
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert [path.name for path in file.parent.iterdir()] == [file.name]


async def test_a_client_that_looks_at_the_file_s_time_sees_each_change(store: FlagdFile, file: Path) -> None:
    ahead = file.stat().st_mtime_ns + 3600 * 10**9  # its clock was an hour ahead of ours
    os.utime(file, ns=(ahead, ahead))
    await switch_off(store)
    assert file.stat().st_mtime > ahead / 1e9


async def test_somebody_else_s_change_since_the_read_is_not_overwritten(store: FlagdFile, file: Path) -> None:
    change = store.change(await store.read(NAMES), OFF)
    assert change is not None
    theirs = DOCUMENT.replace("1.50", "1.51")
    file.write_text(theirs)
    with pytest.raises(Conflict):
        await store.apply(change, FENCE)
    assert file.read_text() == theirs


async def test_the_same_change_sent_twice_is_taken_twice_and_written_once(store: FlagdFile, file: Path) -> None:
    change = store.change(await store.read(NAMES), OFF)
    assert change is not None
    first = await store.apply(change, FENCE)
    written = file.stat()
    assert (await store.apply(change, FENCE)).accepted == first.accepted
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (written.st_ino, written.st_mtime_ns)


async def test_while_somebody_else_writes_there_it_is_a_conflict(store: FlagdFile, file: Path) -> None:
    change = store.change(await store.read(NAMES), OFF)
    assert change is not None
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        with pytest.raises(Conflict):
            await store.apply(change, FENCE)
    finally:
        os.close(folder)
    assert file.read_text() == DOCUMENT
    await store.apply(change, FENCE)


async def test_a_value_that_no_variant_has_gets_one_of_its_own(store: FlagdFile, file: Path) -> None:
    document = json.loads(DOCUMENT)
    document["flags"][SHARE]["variants"] = {"all": 100, "0-percent": 5}
    file.write_text(json.dumps(document))
    await switch_off(store)
    share = json.loads(file.read_text())["flags"][SHARE]
    assert share["variants"] == {"all": 100, "0-percent": 5, "0-percent_": 0}
    assert evaluated(file, SHARE, int) == 0


@pytest.mark.parametrize(
    ("flag", "why"),
    [
        ({"defaultVariant": "gone"}, "default variant"),
        ({"defaultVariant": None}, "default variant"),
        ({"defaultVariant": ["on"]}, "default variant"),
        ({"state": "enabled"}, "not enabled"),
        ({"state": None}, "not enabled"),
        ({"targeting": None}, "targeting"),
        ({"variants": {"on": "true"}}, "neither"),
        ({"variants": {"on": 1.0}}, "neither"),
        ({"variants": {"on": 101}}, "neither"),
        ({"variants": {"on": -1}}, "neither"),
        ({"variants": {"on": {}}}, "neither"),
        ({"variants": ["on"]}, "no flag definition"),
    ],
)
async def test_a_flag_that_is_not_as_it_should_be_has_no_value(
    store: FlagdFile, file: Path, flag: dict[str, object], why: str
) -> None:
    document = json.loads(DOCUMENT)
    document["flags"][SWITCH].update(flag)
    file.write_text(json.dumps(document))
    seen = (await store.read((SWITCH,)))[SWITCH]
    assert seen.value is None
    assert why in seen.why


@pytest.mark.parametrize("variants", [{"on": "yes", "off": "no"}, {"on": 1, "off": 0}, {"on": {}}, "on", None])
async def test_a_flag_of_another_type_is_refused_and_not_given_a_value_that_no_client_would_take(
    store: FlagdFile, file: Path, variants: object
) -> None:
    document = json.loads(DOCUMENT)
    document["flags"][SWITCH]["variants"] = variants
    file.write_text(before := json.dumps(document))
    with pytest.raises(Refused) as refused:
        await switch_off(store)
    assert refused.value.remedy
    assert file.read_text() == before


HOSTILE = {
    "too-large": (b'{"flags": {}, "x": "' + b"x" * 10_000_000 + b'"}', "larger"),
    "deep": (b'{"flags":' + b"[" * 200_000 + b"]" * 200_000 + b"}", "nested"),
    "deep-objects": (b'{"a":' * 150_000, "nested"),
    "twice": (f'{{"flags": {{"{SWITCH}": {{}}, "{SWITCH}": {{}}}}}}'.encode(), "twice"),
    "twice-among-many": (b'{"flags": {}, ' + b",".join(b'"%d": 0' % (n // 2) for n in range(60_000)) + b"}", "twice"),
    "twice-inside": (DOCUMENT.replace('"no": false', '"no": false, "no": true').encode(), "twice"),
    "no-json": (b"flags: {}\n", "no JSON (line 1, column 1)"),
    "cut": (DOCUMENT[:-10].encode(), "no JSON"),
    "more-behind": (DOCUMENT.encode() + b"{}", "no JSON"),
    "empty": (b"", "no JSON"),
    "nan": (b'{"flags": {"a": NaN}}', "no JSON"),
    "huge-number": (b'{"flags": {"a": ' + b"9" * 5000 + b"}}", "no JSON"),
    "no-utf-8": (b'{"flags": {"\xff": 1}}', "no JSON"),
    "utf-16": (DOCUMENT.encode("utf-16"), "no JSON"),
    "mark": (b"\xef\xbb\xbf" + DOCUMENT.encode(), "no JSON"),
    "list": (b"[]", "no object"),
    "no-flags": (b"{}", 'no object "flags"'),
    "flags-in-a-list": (b'{"flags": [{"key": "a"}]}', 'no object "flags"'),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_what_is_no_document_of_flags_is_refused_with_the_remedy_and_left_alone(
    store: FlagdFile, file: Path, name: str
) -> None:
    change = store.change(await store.read(NAMES), OFF)
    assert change is not None
    content, said = HOSTILE[name]
    file.write_bytes(content)
    for call in (store.read(NAMES), store.apply(change, FENCE)):
        with pytest.raises(Refused) as refused:
            await call
        assert said in refused.value.message
        assert str(file) in refused.value.message
        assert refused.value.remedy
    assert file.read_bytes() == content
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def _link(file: Path) -> None:
    file.rename(file.with_name("real"))
    file.symlink_to("real")


def _pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def _folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def _two_names(file: Path) -> None:
    file.with_name("other").hardlink_to(file)


@pytest.mark.parametrize(
    ("harm", "error"),
    [(Path.unlink, NotFound), (_link, Refused), (_pipe, Refused), (_folder, Refused), (_two_names, Refused)],
)
async def test_what_is_no_plain_file_is_neither_read_nor_replaced(
    store: FlagdFile, file: Path, harm: Callable[[Path], None], error: type[CodeBlueError]
) -> None:
    change = store.change(await store.read(NAMES), OFF)
    assert change is not None
    harm(file)
    before = {path.name: path.lstat().st_mode for path in file.parent.iterdir()}
    for call in (store.read(NAMES), store.apply(change, FENCE)):
        with pytest.raises(error) as refused:
            await call
        assert type(refused.value) is error
        assert refused.value.remedy
    assert {path.name: path.lstat().st_mode for path in file.parent.iterdir()} == before


async def test_a_read_only_file_is_read_and_not_replaced(store: FlagdFile, file: Path) -> None:
    file.chmod(0o444)
    change = store.change(await store.read(NAMES), OFF)
    assert change is not None
    with pytest.raises(Forbidden, match="read-only") as refused:
        await store.apply(change, FENCE)
    assert "chmod u+w" in refused.value.remedy
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == (DOCUMENT, 0o444)


@pytest.mark.parametrize("at", ["replace", "fsync"])
async def test_a_disk_that_is_full_or_broken_is_unreachable_and_the_old_flags_stand(
    store: FlagdFile, file: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*{"replace": (Path, "replace"), "fsync": (os, "fsync")}[at], fails)
    with pytest.raises(Unreachable, match="No space left") as failed:
        await switch_off(store)
    assert failed.value.remedy
    assert file.read_text() == DOCUMENT
    assert [path.name for path in file.parent.iterdir()] == [file.name]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a file that belongs to somebody else")
async def test_a_file_whose_owner_cannot_be_kept_is_not_replaced_by_one_that_nobody_else_may_read(
    store: FlagdFile, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    os.chown(file, 12345, 12346)
    monkeypatch.setattr(os, "fchown", fails)
    with pytest.raises(Forbidden, match="12345") as refused:
        await switch_off(store)
    assert refused.value.remedy
    assert (file.read_text(), file.stat().st_uid) == (DOCUMENT, 12345)


async def test_a_disk_that_does_not_answer_is_unreachable_within_the_limit(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, opened = threading.Event(), os.open

    def waits(path: Path, flags: int, *rest: int) -> int:
        answers.wait(30)
        return opened(path, flags, *rest)

    monkeypatch.setattr(os, "open", waits)
    try:
        with pytest.raises(Unreachable, match=r"within 0\.05 s"):
            await FlagdFile(file, VirtualClock(), timeout_s=0.05).read(NAMES)
    finally:
        answers.set()
