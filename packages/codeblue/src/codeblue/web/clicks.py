"""POST /v1/slack/actions, POST /v1/pagerduty: what a person pressed elsewhere becomes an event in the record.

Who pressed is known by the provider's signature alone. Nothing is sent back but the answer: replacing the message is
the business of whoever reads the record.
"""

import hashlib
import re
from collections.abc import Iterable
from typing import Any, Final, TypeVar
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from codeblue.engine.runs import too_late
from codeblue.model.event import Draft, Event
from codeblue.model.incident import Level
from codeblue.model.reply import Acknowledge, Approve, read_button, read_incident_key
from codeblue.model.secret import Secret
from codeblue.ports.clock import moment_of
from codeblue.record.incidents import fold_incidents
from codeblue.record.pages import ACKNOWLEDGED, anchor_data
from codeblue.record.runs import RunState, fold_runs
from codeblue.web.answers import Problem, errors
from codeblue.web.bounds import SIGNED_BYTES, read_body
from codeblue.web.desk import CLICK_S, Desk
from codeblue.web.signatures import Seen, Signed, pagerduty, slack

M = TypeVar("M")

#: A person saw a notice, which has no level to be taken over.
SEEN: Final = "page.acknowledged"

#: What a Slack user's id looks like; anything else is nobody.
_USER: Final = re.compile(r"[UW][A-Z0-9]{2,30}", re.ASCII)
#: The type of an agent in PagerDuty that is a person; integrations and PagerDuty itself are agents too.
_PERSON: Final = "user_reference"
_EVENT: Final = re.compile(r"[A-Za-z0-9_-]{1,100}", re.ASCII)


class Done(BaseModel):
    """What became of a click."""

    message: str = Field(description="What was recorded, or why nothing had to be.")


class _Loose(BaseModel):
    model_config = ConfigDict(strict=True, hide_input_in_errors=True)


class _User(_Loose):
    id: str


class _Action(_Loose):
    action_id: str = ""
    value: str = ""


class _Click(_Loose):
    type: str
    user: _User
    actions: list[_Action] = Field(max_length=25)


class _Agent(_Loose):
    id: str = ""
    type: str = ""


class _Incident(_Loose):
    incident_key: str | None = None


class _Happened(_Loose):
    id: str
    event_type: str
    agent: _Agent | None = None
    data: _Incident


class _Webhook(_Loose):
    event: _Happened


_CLICK, _WEBHOOK = TypeAdapter(_Click), TypeAdapter(_Webhook)


def slack_actions(desk: Desk, secret: Secret) -> APIRouter:
    """The endpoint of Slack's interactivity."""
    router, seen = APIRouter(), Seen()

    @router.post(
        "/v1/slack/actions",
        summary="Take a click on a button of ours in Slack",
        responses=errors(400, 401, 403, 404, 408, 409, 413, 422, 503),
        openapi_extra=_signed(
            "application/x-www-form-urlencoded",
            {"type": "object", "required": ["payload"], "properties": {"payload": {"type": "string"}}},
            ("X-Slack-Signature", "X-Slack-Request-Timestamp"),
        ),
    )
    async def post_slack_actions(request: Request) -> Done:
        """Acknowledge takes over a level of an incident; Approve starts the run whose plan was shown, and no other."""
        desk.must_store()
        body = await read_body(request, SIGNED_BYTES)
        verdict = slack(request.headers, body, secret, desk.clock.now().timestamp(), seen)
        if verdict is not Signed.VALID:
            raise _not_signed(verdict)
        click = _read_click(body)
        if not _USER.fullmatch(click.user.id):
            raise _not_understood()
        replies = [read_button(a.action_id, a.value) for a in click.actions] if click.type == "block_actions" else []
        reply = next((r for r in replies if r is not None), None)
        actor = f"slack:{click.user.id}"
        match reply:
            case Acknowledge():
                click_id = _click_id(request)
                return await desk.with_record(lambda: _acknowledge_once(desk, reply, actor, click_id), limit_s=CLICK_S)
            case Approve():
                if click.user.id not in desk.api.slack_approvers:
                    raise Problem(
                        403,
                        "You may not approve a run. Nothing was approved.",
                        "Ask somebody who may; api.slack_approvers in the profile lists them.",
                    )
                return await desk.with_record(lambda: approve(desk, reply, actor), limit_s=CLICK_S)
        return Done(message="No button of Code Blue's: nothing to do.")

    return router


def pagerduty_webhook(desk: Desk, secret: Secret) -> APIRouter:
    """The endpoint of PagerDuty's webhook subscription, version 3."""
    router = APIRouter()

    @router.post(
        "/v1/pagerduty",
        summary="Take an acknowledgement from PagerDuty",
        responses=errors(400, 401, 404, 408, 409, 413, 422, 503),
        openapi_extra=_signed("application/json", {"type": "object"}, ("X-PagerDuty-Signature",)),
    )
    async def post_pagerduty(request: Request) -> Done:
        """`incident.acknowledged` by a person takes over the level that the incident's key names; others do nothing.

        What Code Blue itself acknowledges there comes back too, without a person: it is nobody's acknowledgement.

        PagerDuty repeats what was not answered with 2xx, with the same signature: an event of it is recorded once.
        """
        desk.must_store()
        body = await read_body(request, SIGNED_BYTES)
        verdict = pagerduty(request.headers, body, secret, desk.clock.now().timestamp())
        if verdict is not Signed.VALID:
            raise _not_signed(verdict)
        happened = _parsed(_WEBHOOK, body).event
        reply = read_incident_key(happened.data.incident_key or "")
        if happened.event_type != "incident.acknowledged" or reply is None:
            return Done(message="Nothing that Code Blue acts on.")
        if not _EVENT.fullmatch(happened.id):
            raise _not_understood()
        if happened.agent is None or happened.agent.type != _PERSON:
            return Done(message="No person acknowledged it: nothing to record.")
        who = happened.agent.id
        actor = f"pagerduty:{who if _EVENT.fullmatch(who) else 'unknown'}"
        return await desk.with_record(lambda: acknowledge(desk, reply, actor, event=happened.id))

    return router


def acknowledge(desk: Desk, reply: Acknowledge, actor: str, *, event: str = "") -> Done:
    """Record that a person took over a level of an incident.

    Args:
        event: the provider's id of what happened: what was recorded once, ever, is not recorded again.

    Raises:
        Problem: no such incident, or it is over. Errors as `RecordStore.append`.
    """
    events = desk.record.read(incident=reply.incident)
    incident = fold_incidents(events).get(reply.incident)
    if incident is None:
        raise Problem(404, "There is no such incident.", "`codeblue incident list` shows them.")
    if event and _is_recorded(events, event):
        return Done(message="It is recorded already.")
    if incident.state == "resolved":
        raise Problem(409, "The incident is closed: nothing was recorded.", "Nobody is paged for it any more.")
    # the anchor places it in the incident's own time, which no correction of the clock moves
    data = {"level": reply.level, "anchor": anchor_data(desk.clock.anchor())} | ({"event": event} if event else {})
    # a notice is outside of the ladder: who saw it is recorded, and no level is taken over
    kind = ACKNOWLEDGED if reply.level in Level.__members__ else SEEN
    desk.record.append(Draft(kind, actor, data, incident=reply.incident))
    return Done(message=f"Acknowledged {reply.incident}, {reply.level}.")


def _acknowledge_once(desk: Desk, reply: Acknowledge, actor: str, click_id: str) -> Done:
    """The same for a request that nobody sends twice. A restart forgets which were seen, the record does not."""
    if _is_recorded(desk.record.read(incident=reply.incident, kinds=(ACKNOWLEDGED, SEEN)), click_id):
        raise _not_signed(Signed.REPLAYED)
    return acknowledge(desk, reply, actor, event=click_id)


def _is_recorded(events: Iterable[Event], event: str) -> bool:
    return any(e.kind in (ACKNOWLEDGED, SEEN) and e.data.get("event") == event for e in events)


def _click_id(request: Request) -> str:
    """What a click is known by in the record: its signature, which nobody can make another one of, as a digest."""
    signature = request.headers["x-slack-signature"].strip()
    return f"slack:{hashlib.sha256(signature.encode()).hexdigest()[:32]}"


def approve(desk: Desk, reply: Approve, actor: str) -> Done:
    """Record a person's approval of a run, bound to the digest of the plan that was shown (R1a).

    Raises:
        Problem: no such run, it does not wait, or its plan is another one. Errors as `RecordStore.append`.
    """
    run = fold_runs(desk.record.read(run=reply.run)).get(reply.run)
    if run is None or run.incident != reply.incident:
        raise Problem(404, "There is no such run. Nothing was approved.", "`codeblue run list` shows them.")
    if run.digest != reply.digest:
        raise Problem(
            409,
            "The plan is another one than you saw. Nothing was approved.",
            f"`codeblue run show {run.id}` shows it as it is; `codeblue run approve {run.id}` approves that.",
        )
    if run.approved_by:
        return Done(message=f"{run.id} was approved already, by {run.approved_by}.")
    if run.state not in (RunState.WAITING, RunState.REQUESTED):
        raise Problem(
            409,
            f"The run does not wait for an approval any more: it is {run.state}. Nothing was approved.",
            f"`codeblue run show {run.id}` tells what became of it.",
        )
    late = too_late(run, moment_of(desk.clock))
    if late:
        raise Problem(
            409,
            f"The run can no longer be approved: {late}. Nothing was approved.",
            "Look at the service as it is now: what is still needed is asked for anew.",
        )
    data = {"digest": run.digest, "anchor": anchor_data(desk.clock.anchor())}
    desk.record.append(Draft("run.approved", actor, data, run=run.id, incident=run.incident))
    return Done(message=f"Approved {run.id}.")


def _read_click(body: bytes) -> _Click:
    try:
        form = parse_qs(body.decode("utf-8"), max_num_fields=50, strict_parsing=True)
    except (UnicodeDecodeError, ValueError):
        raise Problem(400, "It is no form that can be read.", "Send the form field `payload`, as Slack does.") from None
    payloads = form.get("payload", [])
    if len(payloads) != 1:
        raise Problem(422, "It has not one field `payload`.", "Send the form field `payload`, as Slack does.")
    return _parsed(_CLICK, payloads[0].encode("utf-8", "replace"))


def _parsed(kind: TypeAdapter[M], body: bytes) -> M:
    try:
        return kind.validate_json(body)
    except ValidationError as error:
        if error.errors(include_url=False, include_context=False, include_input=False)[0]["type"] == "json_invalid":
            raise Problem(400, "It is no JSON that can be read.", "Send what the provider sends.") from None
        raise _not_understood() from None


def _not_understood() -> Problem:
    return Problem(422, "It does not say what it must. Nothing was recorded.", "Send what the provider sends.")


def _not_signed(verdict: Signed) -> Problem:
    return Problem(
        401,
        f"{verdict.value[0].upper()}{verdict.value[1:]}. Nothing was recorded.",
        "Send it as the provider signs it; api in the profile refers to the secret.",
        close=True,
    )


def _signed(media: str, schema: dict[str, Any], headers: tuple[str, ...]) -> dict[str, Any]:
    return {
        "requestBody": {"required": True, "content": {media: {"schema": schema}}},
        "parameters": [
            {"in": "header", "name": name, "required": True, "schema": {"type": "string"}} for name in headers
        ],
    }
