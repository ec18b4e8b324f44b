"""Whose words they are: Slack's and PagerDuty's signatures, and that the same request has no second effect."""

import hashlib
import hmac

import pytest
from slack_sdk.signature import Clock, SignatureVerifier

from codeblue.model.secret import Secret
from codeblue.web.signatures import MAX_SIGNATURES, Seen, Signed, pagerduty, slack

NOW = 1_767_582_900
SECRET = Secret("8f742231b10e8888abcd99yyyzzz85a5")
BODY = b"payload=%7B%22type%22%3A%22block_actions%22%7D"


class _At(Clock):
    def __init__(self, at: float) -> None:
        self.at = at

    def now(self) -> float:
        return self.at


def signed(body: bytes = BODY, at: str = str(NOW), secret: str | None = None) -> dict[str, str]:
    """As Slack's own client signs."""
    made = SignatureVerifier(secret or SECRET.reveal()).generate_signature(timestamp=at, body=body)
    assert made is not None
    return {"X-Slack-Request-Timestamp": at, "X-Slack-Signature": made}


def test_the_example_of_slack_s_documentation() -> None:
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
        b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
        b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
        b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    headers = {
        "X-Slack-Request-Timestamp": "1531420618",
        "X-Slack-Signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
    }
    assert slack(headers, body, SECRET, 1531420618) is Signed.VALID
    assert slack(headers, body + b" ", SECRET, 1531420618) is Signed.FORGED


@pytest.mark.parametrize("away", [-301, -300, -1, 0, 1, 300, 301])
def test_slack_s_own_verifier_and_ours_agree_on_time(away: int) -> None:
    headers = signed(at=str(NOW + away))
    theirs = SignatureVerifier(SECRET.reveal(), _At(NOW)).is_valid_request(BODY, headers)
    assert (slack(headers, BODY, SECRET, NOW) is Signed.VALID) == theirs == (abs(away) <= 300)
    if not theirs:
        assert slack(headers, BODY, SECRET, NOW) is Signed.STALE


def test_names_of_headers_come_in_any_case() -> None:
    lower = {key.lower(): value for key, value in signed().items()}
    assert slack(lower, BODY, SECRET, NOW) is Signed.VALID


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({"X-Slack-Signature": None}, Signed.MISSING),
        ({"X-Slack-Request-Timestamp": None}, Signed.MISSING),
        ({"X-Slack-Signature": ""}, Signed.FORGED),
        ({"X-Slack-Signature": "v0="}, Signed.FORGED),
        ({"X-Slack-Signature": "v0=" + "0" * 64}, Signed.FORGED),
        ({"X-Slack-Signature": "v1=" + "0" * 64}, Signed.FORGED),
        ({"X-Slack-Signature": "ſ" * 64}, Signed.FORGED),
        ({"X-Slack-Request-Timestamp": "1e9"}, Signed.FORGED),
        ({"X-Slack-Request-Timestamp": "-1"}, Signed.FORGED),
        ({"X-Slack-Request-Timestamp": "9" * 5000}, Signed.FORGED),
        ({"X-Slack-Request-Timestamp": "١٧٦٧٥٨٢٩٠٠"}, Signed.FORGED),
        ({"X-Slack-Request-Timestamp": str(NOW + 1)}, Signed.FORGED),
        ({"x-slack-signature": "v0=" + "0" * 64}, Signed.MISSING),
    ],
)
def test_anything_else_is_nobody_s_click(change: dict[str, str | None], verdict: Signed) -> None:
    headers = {key: value for key, value in (signed() | change).items() if value is not None}
    assert slack(headers, BODY, SECRET, NOW) is verdict


def test_another_secret_or_another_body_is_forged() -> None:
    assert slack(signed(secret="another"), BODY, SECRET, NOW) is Signed.FORGED
    assert slack(signed(), BODY.replace(b"block", b"clock"), SECRET, NOW) is Signed.FORGED


@pytest.mark.done("4.6")
def test_a_replayed_click_is_refused_as_long_as_its_time_would_let_it_pass() -> None:
    seen, headers = Seen(), signed(at=str(NOW + 300))
    assert slack(headers, BODY, SECRET, NOW, seen) is Signed.VALID
    for later in (0, 1, 300, 599, 600):
        assert slack(headers, BODY, SECRET, NOW + later, seen) is Signed.REPLAYED
    assert slack(headers, BODY, SECRET, NOW + 601, seen) is Signed.STALE
    assert slack(signed(at=str(NOW + 1)), BODY, SECRET, NOW + 1, seen) is Signed.VALID


def test_a_forged_request_is_not_remembered_and_takes_no_room() -> None:
    seen = Seen(limit=1)
    assert slack(signed(secret="another"), BODY, SECRET, NOW, seen) is Signed.FORGED
    assert slack(signed(), BODY, SECRET, NOW, seen) is Signed.VALID


def test_what_is_remembered_is_bounded_and_never_forgotten_early() -> None:
    seen = Seen(limit=2)
    for n in range(2):
        assert slack(signed(at=str(NOW + n)), BODY, SECRET, NOW, seen) is Signed.VALID
    assert slack(signed(at=str(NOW + 2)), BODY, SECRET, NOW, seen) is Signed.REPLAYED, "full: refused, not forgotten"
    assert slack(signed(at=str(NOW)), BODY, SECRET, NOW, seen) is Signed.REPLAYED
    much_later = NOW + 700
    assert slack(signed(at=str(much_later)), BODY, SECRET, much_later, seen) is Signed.VALID


def v1(body: bytes, secret: str = SECRET.reveal()) -> str:
    return "v1=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


@pytest.mark.parametrize(
    ("header", "verdict"),
    [
        (v1(BODY), Signed.VALID),
        (f"{v1(BODY, 'former')},{v1(BODY)}", Signed.VALID),
        (f"{v1(BODY)}, {v1(BODY, 'former')}", Signed.VALID),
        (v1(BODY, "another"), Signed.FORGED),
        (v1(BODY + b" "), Signed.FORGED),
        (v1(BODY).replace("v1=", "v2="), Signed.FORGED),
        (v1(BODY).removeprefix("v1="), Signed.FORGED),
        ("", Signed.FORGED),
        (",".join(["v1=" + "0" * 64] * MAX_SIGNATURES + [v1(BODY)]), Signed.FORGED),
        ("v1=" + "ä" * 64, Signed.FORGED),
    ],
)
def test_pagerduty_signs_with_one_or_several_secrets(header: str, verdict: Signed) -> None:
    assert pagerduty({"X-PagerDuty-Signature": header}, BODY, SECRET, NOW) is verdict


def test_pagerduty_without_a_signature_is_nobody() -> None:
    assert pagerduty({}, BODY, SECRET, NOW) is Signed.MISSING


@pytest.mark.done("4.6")
def test_a_webhook_that_pagerduty_repeats_has_no_second_effect() -> None:
    seen, headers = Seen(), {"X-PagerDuty-Signature": f"{v1(BODY, 'former')},{v1(BODY)}"}
    assert pagerduty(headers, BODY, SECRET, NOW, seen) is Signed.VALID
    again = {"X-PagerDuty-Signature": v1(BODY)}
    assert pagerduty(again, BODY, SECRET, NOW + 86_400, seen) is Signed.REPLAYED
    assert pagerduty({"X-PagerDuty-Signature": v1(BODY + b" ")}, BODY + b" ", SECRET, NOW, seen) is Signed.VALID
