"""One ill pod of many is ended, and another one serves in its place."""

import pytest
from tests.unit.world import Lab

from codeblue.engine.runs import make_plan
from codeblue.model.errors import Conflict, Refused, Unreachable
from codeblue.record.runs import RunState
from codeblue.runbooks.replace_pod import Request


@pytest.fixture
def lab() -> Lab:
    return Lab()


def names(lab: Lab) -> list[str]:
    return [p.name for p in lab.cluster.pods() if not p.terminating]


@pytest.mark.req("R7", "R1")
async def test_the_pod_is_gone_and_another_one_is_ready(lab: Lab) -> None:
    ill, *others = names(lab)
    run = await lab.perform("replace_pod", Request((ill,)))
    assert run.state is RunState.DONE
    assert ill not in names(lab)
    assert set(others) < set(names(lab))
    assert len(names(lab)) == 3
    assert [c.kind for c in lab.cluster.accepted] == ["pod"]
    assert lab.cluster.generation == 1


async def test_the_plan_says_which(lab: Lab) -> None:
    ill = names(lab)[0]
    plan = await make_plan("replace_pod", Request((ill,)), lab.world)
    assert plan.lines == (f"replaces {ill} by another pod of {lab.cluster.template.label}",)


@pytest.mark.req("R1")
async def test_without_another_ready_pod_nothing_is_ended(lab: Lab) -> None:
    with pytest.raises(Refused, match="would be an outage"):
        await make_plan("replace_pod", Request(tuple(names(lab))), lab.world)
    with pytest.raises(Refused, match="has no pod gone"):
        await make_plan("replace_pod", Request(("gone",)), lab.world)
    with pytest.raises(Refused, match="has no pod to replace"):
        await make_plan("replace_pod", Request(()), lab.world)


@pytest.mark.req("B3")
@pytest.mark.parametrize(
    ("error", "accepted"), [(Conflict("moved on"), False), (Unreachable("cut"), False), (Unreachable("cut"), True)]
)
async def test_an_answer_that_is_lost_ends_no_second_pod(lab: Lab, error: Exception, accepted: bool) -> None:
    ill, *others = names(lab)
    lab.cluster.fail("apply", error, accepted=accepted)
    run = await lab.perform("replace_pod", Request((ill,)))
    assert run.state is RunState.DONE
    assert set(others) < set(names(lab))
    assert len(lab.cluster.accepted) == 1


async def test_a_pod_that_went_by_itself_is_no_failure(lab: Lab) -> None:
    ill, *_ = names(lab)
    plan = await make_plan("replace_pod", Request((ill,)), lab.world)
    run = lab.runs.request(plan, actor="watch", reason="r")
    lab.cluster.replaced.add(f"uid-{ill}")
    await lab.clock.sleep(5)
    assert (await lab.execute(run.id)).state is RunState.DONE
    assert lab.cluster.accepted == []
