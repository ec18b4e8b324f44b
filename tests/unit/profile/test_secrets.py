"""The value of a secret is in no message, whatever key or shape it was put into; and it is never ""."""

import copy
import json
import logging
import os
import pickle
import stat
import traceback
from pathlib import Path

import pytest
from tests.unit.profile.faults import CLUSTER, LOCAL

from codeblue.model.errors import UsageError
from codeblue.model.secret import Secret
from codeblue.profile.load import ProfileError, load_text
from codeblue.profile.secretref import SecretRef

CANARY = "c4n4ryT0kenQ7xW9zLm2"
URL = f"postgresql://app:{CANARY}@db/codeblue"
HOOK = f"https://hooks.slack.com/services/T0/B0/{CANARY}"

LEAKS = {
    "literal-database": f"state:\n  database: {URL}\n",
    "literal-webhook": f"pages:\n  slack_webhook: {HOOK}\n",
    "literal-key": f"pages:\n  pagerduty_routing_key: {CANARY}\n",
    "env": f"pages:\n  pagerduty_routing_key: {{env: {CANARY}}}\n",
    "env-url": f"state:\n  database: {{env: '{URL}'}}\n",
    "file-url": f"state:\n  database: {{file: '{URL}'}}\n",
    "value-key": f"state:\n  database: {{value: '{CANARY}'}}\n",
    "list": f"pages:\n  slack_webhook: ['{HOOK}']\n",
    "misspelt-section": f"page:\n  slack_webhook: {HOOK}\n",
    "misspelt-key": f"state:\n  databse: {URL}\n",
    "section-is-secret": f"state: {URL}\n",
    "missing-space": f"pages:\n  slack_webhook:{HOOK}\n",
    "missing-space-flow": f"pages: {{slack_webhook:{HOOK}}}\n",
    "as-key": f"pages:\n  {CANARY}: x\n",
    "as-key-url": f"pages:\n  '{HOOK}': x\n",
    "as-flag": f"flags:\n  {CANARY}: x\n",
    "flag-value": f"flags:\n  api_key: {CANARY}\n",
    "as-command": f"contract:\n  commands:\n    {CANARY}: [x]\n",
    "argument": f"contract:\n  commands:\n    smoke: [curl, '--token={CANARY}']\n",
    "argument-url": f"contract:\n  commands:\n    smoke: [psql, '{URL}']\n",
    "command-text": f"contract:\n  commands:\n    smoke: psql {URL}\n",
    "health-url": f"health:\n  via: url\n  url: https://u:{CANARY}@hospital.org\n",
    "health-url-query": f"health:\n  via: url\n  url: https://hospital.org/?token={CANARY}\n",
    "health-url-unused": f"health:\n  url: https://hospital.org/{CANARY}\n",
    "wrong-field": f"lease:\n  duration: {CANARY}\n",
    "wrong-name": f"health:\n  version_field: '{CANARY}!'\n",
    "tag": f"pages:\n  slack_webhook: !{CANARY} x\n",
    "anchor": f"pages:\n  slack_webhook: &{CANARY} x\n",
    "alias": f"pages:\n  slack_webhook: *{CANARY}\n",
    "directive-like": f"pages:\n  slack_webhook: %{CANARY}\n",
    "open-quote": f"pages:\n  slack_webhook: '{HOOK}\n",
    "bad-escape": f'pages:\n  slack_webhook: "\\q{CANARY}"\n',
    "tag-handle": f"pages:\n  slack_webhook: !{CANARY}!x y\n",
    "block-indicator": f"pages:\n  slack_webhook: |{CANARY}\n",
    "duplicate": f"pages:\n  {CANARY}: x\n  {CANARY}: y\n",
    "phone": f"contacts:\n  cto: {{name: '{CANARY} TODO', phone: '{CANARY}'}}\n",
}


@pytest.mark.done(8)
@pytest.mark.parametrize("text", LEAKS.values(), ids=LEAKS)
def test_a_problem_never_shows_a_secret(text: str) -> None:
    with pytest.raises(ProfileError) as caught:
        load_text(LOCAL + text)
    error = caught.value
    shown = f"{error}{error!r}{error.problems!r}{error.args!r}"
    assert CANARY not in shown
    assert CANARY.lower() not in shown.lower()
    # Neither in what a crash reporter would print, with the values of pydantic's own error.
    chain = "".join(traceback.TracebackException.from_exception(error, capture_locals=False).format())
    assert "ValidationError" not in chain
    assert error.__context__ is None


def test_no_value_is_shown_beyond_sixty_characters() -> None:
    with pytest.raises(ProfileError) as caught:
        load_text(CLUSTER.replace("ai-diagnostics-prod", "Ward-" * 20))
    assert "Ward-" * 11 in str(caught.value)
    assert "Ward-" * 12 not in str(caught.value)


@pytest.mark.parametrize("render", [repr, str, "{}".format, "{!r:>9}".format, lambda s: f"{[s]}"])
def test_a_secret_is_shown_as_stars(render) -> None:
    assert "***" in render(Secret(CANARY))
    assert CANARY not in render(Secret(CANARY))


def test_a_secret_leaves_only_by_reveal(caplog: pytest.LogCaptureFixture) -> None:
    secret = Secret(CANARY)
    logging.getLogger("test").warning("secret %s", secret)
    assert CANARY not in caplog.text
    for leave in (pickle.dumps, json.dumps, vars, hash):
        with pytest.raises(TypeError):
            leave(secret)
    assert copy.deepcopy(secret).reveal() == copy.copy(secret).reveal() == secret.reveal() == CANARY
    assert secret == Secret(CANARY)
    assert secret != Secret("other")
    assert secret != CANARY
    with pytest.raises(ValueError, match="empty"):
        Secret("")


def test_a_secret_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    reference = SecretRef(env="CODEBLUE_TEST_SECRET")
    monkeypatch.setenv("CODEBLUE_TEST_SECRET", CANARY)
    assert reference.resolve().reveal() == CANARY
    for value in ("", "  "):
        monkeypatch.setenv("CODEBLUE_TEST_SECRET", value)
        with pytest.raises(UsageError, match=r"state\.database: .*CODEBLUE_TEST_SECRET is empty") as caught:
            reference.resolve("state.database")
        assert caught.value.remedy
    monkeypatch.delenv("CODEBLUE_TEST_SECRET")
    with pytest.raises(UsageError, match="CODEBLUE_TEST_SECRET is not set") as caught:
        reference.resolve()
    assert "set CODEBLUE_TEST_SECRET" in caught.value.remedy


def written(path: Path, content: bytes, mode: int) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_a_secret_comes_from_a_file(tmp_path: Path) -> None:
    path = written(tmp_path / "url", f"{CANARY}\n".encode(), 0o600)
    reference = load_text(LOCAL + "state: {database: {file: url}}\n", base=tmp_path).state.database
    assert reference is not None
    assert reference.file == path
    assert reference.resolve().reveal() == CANARY
    path.chmod(0o440)
    assert reference.resolve().reveal() == CANARY


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o666])
def test_a_file_that_others_can_use_is_refused(tmp_path: Path, mode: int) -> None:
    reference = SecretRef(file=written(tmp_path / "url", CANARY.encode(), mode))
    with pytest.raises(UsageError, match="every user of this machine") as caught:
        reference.resolve("state.database")
    assert "chmod o-rwx" in caught.value.remedy
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\n", b"  \r\n", b"\xff\xfe", b"a\0b", b"x" * 70_000])
def test_a_file_without_a_usable_secret_is_refused(tmp_path: Path, content: bytes) -> None:
    reference = SecretRef(file=written(tmp_path / "url", content, 0o600))
    with pytest.raises(UsageError) as caught:
        reference.resolve()
    assert caught.value.remedy


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", stat.S_IRUSR | stat.S_IWUSR)
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "missing", Path("/dev/zero")):
        with pytest.raises(UsageError) as caught:
            SecretRef(file=path).resolve()
        assert caught.value.remedy
