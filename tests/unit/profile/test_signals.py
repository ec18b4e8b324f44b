"""Where the metrics come from by default, and what is no traffic of clients."""

import pytest
from tests.unit.profile.faults import LOCAL

from codeblue.profile.load import load_text

METRICS = "contract: {metrics: /metrics, health_redis: /redis}\n"
PROMETHEUS = "signals: {source: prometheus, prometheus: {url: 'http://prometheus:9090'}}\n"


@pytest.mark.parametrize(
    ("profile", "source"),
    [
        ("", "none"),
        (METRICS, "scrape"),
        (METRICS + "signals: {source: none}\n", "none"),
        (METRICS + PROMETHEUS, "prometheus"),
        (PROMETHEUS, "prometheus"),
    ],
)
def test_the_source(profile: str, source: str) -> None:
    assert load_text(LOCAL + profile).signal_source == source


def test_what_the_profile_itself_asks_for_is_no_traffic_unless_it_says_otherwise() -> None:
    assert load_text(LOCAL + METRICS).ignored_routes == {"/api/health", "/redis", "/metrics"}
    own = "signals: {ignore_routes: ['/live', '/api/items/{id}']}\n"
    assert load_text(LOCAL + METRICS + own).ignored_routes == {"/live", "/api/items/{id}"}
    assert load_text(LOCAL + METRICS + "signals: {ignore_routes: []}\n").ignored_routes == frozenset()
