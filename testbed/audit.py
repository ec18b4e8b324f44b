"""What happened in the cluster, read from the API server's audit log. Pure: lines in, facts out.

The log is the only witness that a program under test cannot talk to: effects are counted here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

WRITES_OF_A_DEPLOYMENT = ("create", "update", "patch")


@dataclass(frozen=True)
class AuditEvent:
    """One answered request that meant to change something (reads are not in the log).

    Attributes:
        code: the HTTP status of the answer.
        dry_run: the request was validated and not carried out.
        request: the body (a patch may be a list); None where the policy leaves it out.
        response: the object after the change, or a Status.
        raw: the whole event, as audit.k8s.io/v1 has it.
    """

    at: datetime
    verb: str
    user: str
    group: str
    resource: str
    subresource: str
    namespace: str
    name: str
    code: int
    dry_run: bool
    request: Any
    response: Mapping[str, Any] | None
    raw: Mapping[str, Any]

    @property
    def accepted(self) -> bool:
        """The change took effect."""
        return self.code < 300 and not self.dry_run

    @property
    def rejected(self) -> bool:
        """The API server refused: forbidden, conflict, invalid, not found …"""
        return self.code >= 400


class TemplateChanges(NamedTuple):
    """How often a pod template really changed, with the events that did it."""

    number: int
    events: list[AuditEvent]


def parse(line: str | bytes) -> AuditEvent:
    """One line of the log.

    Raises:
        ValueError: it is not a complete audit event.
    """
    raw = json.loads(line)
    target = raw.get("objectRef", {})
    uri = urlsplit(raw["requestURI"])
    response = raw.get("responseObject")
    # A create is addressed to the collection, so the name is only in the bodies.
    name = target.get("name") or _name_in(response) or _name_in(raw.get("requestObject"))
    return AuditEvent(
        at=datetime.fromisoformat(raw["requestReceivedTimestamp"]),
        verb=raw["verb"],
        user=raw.get("user", {}).get("username", ""),
        group=target.get("apiGroup", ""),
        resource=target.get("resource", ""),
        subresource=target.get("subresource", ""),
        namespace=target.get("namespace", ""),
        name=name,
        code=raw.get("responseStatus", {}).get("code", 0),
        dry_run=bool(parse_qs(uri.query).get("dryRun")),
        request=raw.get("requestObject"),
        response=response,
        raw=raw,
    )


def _name_in(body: object) -> str:
    if not isinstance(body, dict) or body.get("kind") == "Status":
        return ""
    metadata = body.get("metadata")
    return str(metadata.get("name", "")) if isinstance(metadata, dict) else ""


def template_changes(
    before: Iterable[AuditEvent], since: Iterable[AuditEvent], namespace: str, deployment: str
) -> TemplateChanges:
    """Counts the changes of ``.spec.template`` of one Deployment.

    What only scales, annotates or labels it does not count, nor a dry run, nor a write that gives the template it
    already has. Creating it does.

    Args:
        before: the events up to the mark, all of them; they tell the template at the mark.
        since: the events after it.
    """
    known = [template for _, template in _templates(before, namespace, deployment)]
    template = known[-1] if known else None
    changes = []
    for event, now in _templates(since, namespace, deployment):
        if now is not None and now != template:
            changes.append(event)
        template = now
    return TemplateChanges(len(changes), changes)


def _templates(events: Iterable[AuditEvent], namespace: str, deployment: str) -> Iterator[tuple[AuditEvent, object]]:
    """The events after which the template is known; None when the Deployment was deleted."""
    for event in events:
        if (event.group, event.resource, event.namespace) != ("apps", "deployments", namespace) or event.subresource:
            continue
        if not event.accepted:
            continue
        if event.verb == "deletecollection" or (event.verb == "delete" and event.name == deployment):
            yield event, None
        elif event.verb in WRITES_OF_A_DEPLOYMENT and event.name == deployment and event.response is not None:
            yield event, event.response["spec"]["template"]
