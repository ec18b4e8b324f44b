"""A span for each run and each of its steps, for whoever sets up an exporter."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, StatusCode, TraceFlags
from tests.unit.engine.test_executor import Asked, Bench, Switch
from tests.unit.engine.test_runs import Lamp, ended, lab, lamp
from tests.unit.world import Lab

from codeblue.engine import executor
from codeblue.model.errors import LeaseLost
from codeblue.model.health import Outcome

__all__ = ["lab", "lamp"]


class Kept(NonRecordingSpan):
    def __init__(self, name: str, attributes: Any, number: int) -> None:
        super().__init__(SpanContext(1, number, is_remote=False, trace_flags=TraceFlags(1)))
        self.name, self.attributes, self.status = name, dict(attributes), (StatusCode.UNSET, "")
        self.within: Any = trace.get_current_span()

    def is_recording(self) -> bool:
        return True

    def set_attribute(self, key: str, value: Any) -> None:
        self.attributes[key] = value

    def set_status(self, status: Any, description: str | None = None) -> None:
        self.status = (status, description or "")

    def record_exception(self, *_: Any, **__: Any) -> None:
        raise AssertionError("the text of an exception can hold anything")


class Tracer(trace.NoOpTracer):
    """A tracer that keeps what was begun with it."""

    def __init__(self) -> None:
        self.spans: list[Kept] = []

    @contextmanager
    def start_as_current_span(self, name: str, *_: Any, **how: Any) -> Iterator[Kept]:  # type: ignore[override]
        span = Kept(name, how["attributes"], len(self.spans) + 1)
        self.spans.append(span)
        with trace.use_span(
            span, record_exception=how["record_exception"], set_status_on_exception=how["set_status_on_exception"]
        ):
            yield span

    def told(self) -> Sequence[tuple[str, Any, str]]:
        return [(s.name, *s.status) for s in self.spans]


@pytest.fixture
def tracer(monkeypatch: pytest.MonkeyPatch) -> Tracer:
    made = Tracer()
    monkeypatch.setattr(executor, "_TRACER", made)
    return made


async def test_each_step_has_a_span_with_names_and_no_texts(tracer: Tracer) -> None:
    bench = Bench()
    assert (await bench.run(Switch())).ok
    assert not (await bench.run(Asked(Outcome.BREACH, final=True))).ok
    assert [s.status[0] for s in tracer.spans] == [StatusCode.OK, StatusCode.ERROR]
    assert tracer.spans[0].attributes.keys() == {
        "codeblue.run",
        "codeblue.incident",
        "codeblue.step",
        "codeblue.changed",
    }
    assert tracer.spans[0].attributes["codeblue.changed"] is True


async def test_what_ends_a_step_is_named_by_its_type_alone(tracer: Tracer) -> None:
    bench = Bench()
    with pytest.raises(LeaseLost):
        await bench.run(Asked(LeaseLost("password=hunter2")))
    assert tracer.told() == [(tracer.spans[0].name, StatusCode.ERROR, "LeaseLost")]


async def test_a_run_has_a_span_around_those_of_its_steps(tracer: Tracer, lab: Lab, lamp: Lamp) -> None:
    run = await ended(lab, lamp, Switch())
    [around, step] = tracer.spans
    assert around.name == "run lamp"
    assert around.attributes["codeblue.run"] == run.id
    assert around.attributes["codeblue.state"] == "done"
    assert step.within is around
