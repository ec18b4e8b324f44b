"""Whom an alert is about: by its labels, and only by what they say."""

from datetime import UTC, datetime

import pytest
from tests.unit.profile.faults import CLUSTER, LOCAL

from codeblue.profile.load import load_text
from codeblue.record.alerts import AlertView, Identity
from codeblue.rules.alerts import concerns

OURS = "ai-diagnostics-api"
AT = datetime(2026, 1, 5, 3, 10, tzinfo=UTC)


def alert(service: str, namespace: str, deployment: str) -> AlertView:
    return AlertView(Identity("a", "b"), "CodeBlueErrors", "", "R5", service, namespace, deployment, "", AT, AT, 1)


@pytest.mark.parametrize(
    ("service", "namespace", "deployment", "ours"),
    [
        (OURS, "", "", True),
        (OURS, "ai-diagnostics-prod", "", True),
        (OURS, "", OURS, True),
        ("ai-diagnostics", "ai-diagnostics-prod", OURS, True),
        ("", "ai-diagnostics-prod", OURS, True),
        ("", "", "", False),
        ("billing", "", "", False),
        ("billing", "billing", "billing-api", False),
        ("", "ai-diagnostics-prod", "", False),
        ("", "", OURS, False),
        ("billing", "ai-diagnostics-prod", "billing", False),
        (OURS, "ai-diagnostics-staging", "", False),
        (OURS, "ai-diagnostics-staging", OURS, False),
        (OURS, "", "billing-api", False),
        (OURS, "ai-diagnostics-prod", "billing-api", False),
        (OURS.upper(), "", "", False),
    ],
)
def test_an_alert_of_a_cluster_is_ours_by_its_place_or_by_its_service(
    service: str, namespace: str, deployment: str, ours: bool
) -> None:
    assert concerns(alert(service, namespace, deployment), load_text(CLUSTER)) is ours


@pytest.mark.parametrize(
    ("service", "namespace", "ours"), [(OURS, "", True), (OURS, "x", True), ("billing", "", False), ("", "", False)]
)
def test_on_one_machine_it_is_ours_by_its_service(service: str, namespace: str, ours: bool) -> None:
    assert concerns(alert(service, namespace, namespace), load_text(LOCAL)) is ours
