"""schemathesis against /openapi.json: what is described is what is answered, whatever is sent."""

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from tests.unit.web.desk import STATUS_TOKEN, TOKEN, Front

DESK = Front("api: {alerts_per_hour: 100000}\n")
schema = schemathesis.openapi.from_asgi("/openapi.json", DESK.app)


@pytest.mark.done("4.6")
@schema.parametrize()
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_the_api_is_what_it_says(case: schemathesis.Case) -> None:
    token = {"/v1/alerts": TOKEN, "/v1/status": STATUS_TOKEN}.get(case.operation.path)
    case.call_and_validate(headers={"Authorization": f"Bearer {token}"} if token else None)
