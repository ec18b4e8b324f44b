"""The loop and an incident that a person closed."""

import pytest
from tests.unit.test_watch import Bench

from codeblue.model.event import Draft
from codeblue.record.runs import RunState


@pytest.mark.req("R1", "R10")
async def test_after_a_person_closed_an_incident_whose_run_failed_the_loop_is_free_for_the_next() -> None:
    bench = Bench()
    await bench.bad_release()
    bench.sick("1.0")
    await bench.story(8)
    [first] = bench.incidents
    assert first.state == "open"
    assert bench.runs.get(first.runs[0]).state is RunState.FAILED
    assert "a person has to decide" in await bench.cycle()

    bench.record.append(Draft("incident.resolved", "person:ada", {"reason": "closed"}, incident=first.id))
    bench.sick("1.0", 200)
    sentence = await bench.cycle()
    assert sentence.startswith("ok: "), sentence
    assert [i.state for i in bench.incidents] == ["resolved"]

    bench.sick("1.0")
    await bench.story(6)
    assert [i.state for i in bench.incidents] == ["resolved", "open"]
    assert bench.incidents[0].resolution == "closed"


async def test_an_incident_that_a_person_closed_while_the_service_fails_is_not_called_mitigated() -> None:
    bench = Bench("observe")
    await bench.bad_release()
    await bench.story(5)
    [first] = bench.incidents
    bench.record.append(Draft("incident.resolved", "person:ada", {"reason": "closed"}, incident=first.id))
    sentence = await bench.cycle()
    [run] = bench.runs.unfinished()
    assert sentence == f"incident {first.id} was resolved by a person; writing the report ({run.id})"
    assert run.reason == "was resolved by a person"
