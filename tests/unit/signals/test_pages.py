"""A page of metrics becomes a reading, or a reason; never a traceback, never a 0 that nobody counted."""

import contextlib
import math
import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.signals.pages import GOOD, VOCABULARY, changed, without

from codeblue.adapters.signals.exposition import LINES_LIMIT, PAGE_LIMIT, SAMPLES_LIMIT, NotMetrics, read_page
from codeblue.adapters.signals.series import Found, Vocabulary
from codeblue.model.signal import Reading
from codeblue.profile.signals import Names


def read(page: str | bytes, vocabulary: Vocabulary = VOCABULARY) -> Found:
    body = page if isinstance(page, bytes) else page.encode()
    found = read_page(body, vocabulary.wanted)
    return vocabulary.read("api-1", 7.0, found.samples, found.declared)


def reading(page: str | bytes, vocabulary: Vocabulary = VOCABULARY) -> Reading:
    found = read(page, vocabulary)
    assert found.reading is not None
    return found.reading


@pytest.mark.req("R5", "R6", "R7", "R8")
def test_a_page_is_summed_over_its_label_sets() -> None:
    assert read(GOOD) == Found(
        Reading(
            pod="api-1",
            at_s=7.0,
            requests=100.0,
            errors=10.0,
            buckets=((0.5, 80.0), (30.0, 85.0), (60.0, 90.0), (math.inf, 90.0)),
            ai_calls=25.0,
            ai_failures=2.0,
            working_set_bytes=9.5e7,
            memory_limit_bytes=1e8,
            oom_kills=1,
        ),
        (),
    )


def test_probes_are_no_traffic_of_clients() -> None:
    all_of_it = Vocabulary(Names(), frozenset())
    assert (reading(GOOD, all_of_it).requests, reading(GOOD, all_of_it).errors) == (4150.0, 60.0)
    probed_only = "".join(line for line in GOOD.splitlines(keepends=True) if "/api/health" in line)
    quiet = reading(probed_only)
    assert (quiet.requests, quiet.errors) == (0.0, 0.0)
    assert [count for _, count in quiet.buckets] == [0.0] * 4, "the bounds are known, and nothing is counted"


@pytest.mark.parametrize("name", ["http_requests_total", "ai_requests_total", "ai_failures_total"])
def test_a_metric_that_is_not_offered_is_none(name: str) -> None:
    field = {"http_requests_total": "requests", "ai_requests_total": "ai_calls", "ai_failures_total": "ai_failures"}
    gone = reading(without(f"# TYPE {name}", without(name)))
    assert getattr(gone, field[name]) is None
    if name == "http_requests_total":
        assert gone.errors is None
    declared = reading(without(name))
    assert getattr(declared, field[name]) == 0.0, "declared, and nothing counted yet"


def test_memory_that_is_not_offered_is_none() -> None:
    bare = reading(without("# TYPE service", without("service_")))
    assert (bare.working_set_bytes, bare.memory_limit_bytes, bare.oom_kills) == (None, None, None)
    assert reading(changed("service_memory_limit_bytes", "0")).memory_limit_bytes is None


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf", "-1", "-0.5"])
@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("http_requests_total", ("requests", "errors")),
        ('http_requests_total{method="GET",route="(early)"', ("requests", "errors")),
        ("http_request_duration_seconds_bucket", ("buckets",)),
        ("ai_requests_total", ("ai_calls",)),
        ("ai_failures_total", ("ai_failures",)),
        ("service_memory_working_set_bytes", ("working_set_bytes",)),
        ("service_memory_limit_bytes", ("memory_limit_bytes",)),
        ("service_oom_kills_total", ("oom_kills",)),
    ],
)
def test_a_value_that_is_no_count_is_unknown_and_the_rest_is_told(
    name: str, fields: tuple[str, ...], value: str
) -> None:
    found = read(changed(name, value))
    assert found.reading is not None
    [problem] = found.problems
    assert problem.startswith(name.partition("{")[0])
    before = reading(GOOD)
    for field in Reading.__dataclass_fields__:
        if field in fields:
            assert getattr(found.reading, field) in (None, ())
        else:
            assert getattr(found.reading, field) == getattr(before, field)


def test_what_is_damaged_about_a_histogram_is_said() -> None:
    bucket = "http_request_duration_seconds_bucket"
    last = f'{bucket}{{le="+Inf",method="GET",route="/api/version"}} 90.0\n'
    for page, why in (
        (GOOD.replace(last, ""), "different bounds"),
        (GOOD.replace('le="60.0"', 'le="x"'), "no number"),
        (GOOD.replace('le="60.0"', 'le="NaN"'), "no number"),
        (GOOD.replace('le="+Inf"', 'le="90"'), "le=+Inf"),
        (
            GOOD.replace(
                '{le="60.0",method="GET",route="/api/version"} 90', '{le="60",method="GET",route="/api/version"} 3'
            ),
            "fall",
        ),
        (
            GOOD.replace('le="60.0",method="GET",route="/api/version"', 'le="30.00",method="GET",route="/api/version"'),
            "same bound",
        ),
    ):
        found = read(page)
        assert found.reading is not None and found.reading.buckets == ()
        assert [why in problem for problem in found.problems] == [True], (why, found.problems)
        assert found.reading.requests == 100.0


@pytest.mark.parametrize(("status", "errors"), [("5xx", 7.0), ("5XX", 7.0), ("599", 7.0), ("499", 0.0), ("2xx", 0.0)])
def test_a_status_can_be_a_class(status: str, errors: float) -> None:
    page = without('http_requests_total{method="POST"').replace('status="500"', f'status="{status}"')
    assert reading(page).errors == errors


@pytest.mark.parametrize("label", ['status="broken"', 'status=""', 'code="500"', 'status="5000"', 'status="٥٠٠"'])
def test_requests_without_a_status_are_counted_and_their_errors_unknown(label: str) -> None:
    found = read(GOOD.replace('status="500"', label))
    assert found.reading is not None
    assert (found.reading.requests, found.reading.errors) == (100.0, None)
    assert found.problems == ("http_requests_total has series without a status in the label 'status'",)


def test_other_names_and_a_counter_of_errors_of_its_own() -> None:
    names = Names(requests="calls", errors="failed_calls", status_label="code", latency=None, ai_requests=None)
    own = Vocabulary(names, frozenset())
    page = 'calls 10\nfailed_calls{x="1"} 2\nfailed_calls{x="2"} 1\nai_requests_total 5\n'
    assert reading(page, own) == Reading("api-1", 7.0, requests=10.0, errors=3.0)


REFUSED = {
    "empty": (b"", "empty"),
    "blank": (b" \n\n", "empty"),
    "html": (b"<!DOCTYPE html><html><body>sign in</body></html>\n", "HTML"),
    "json": (b'{"status": "ok"}\n', "JSON"),
    "prose": (b"Internal error happened\n", "line 1 is no metric"),
    "garbage": (GOOD.encode() + b"!!! $(id)\n", "is no metric"),
    "binary": (bytes(range(128, 256)) + b"\n", "UTF-8"),
    "half a line": (GOOD.encode()[:-9], "middle of a line"),
    "too large": (b"a 1\n" * (PAGE_LIMIT // 4 + 1), "larger than"),
    "too many lines": (b"\n" * 9 + b"a 1\n" * (LINES_LIMIT + 1), "lines"),
    "too many series": (
        b"".join(b'http_requests_total{a="%d"} 1\n' % n for n in range(SAMPLES_LIMIT + 2)),
        "series of wanted metrics",
    ),
    "a long line": (b'http_requests_total{a="' + b"x" * 2**20 + b'"} 1\n', "line 1 is longer"),
    "a long line of escapes": (b'http_requests_total{a="' + rb"\"" * 2**19 + b'"} 1\n', "line 1 is longer"),
    "a long line of a wanted metric": (b'http_requests_total{a="' + b"x" * 3000 + b'"} 1\n', "longer than 2 KiB"),
    "twice": (GOOD.encode() + b"service_memory_working_set_bytes 9.5e+07\n", "twice"),
    "twice in another order": (
        GOOD.encode() + b'http_requests_total{status="500",route="(early)",method="GET"} 7.0\n',
        "twice",
    ),
    "an unclosed label": (b'http_requests_total{a="b} 1\n', "cannot be parsed"),
    "a label twice": (b'http_requests_total{a="b",a="c"} 1\n', "cannot be parsed"),
    "no quotes": (b"http_requests_total{a=b} 1\n", "cannot be parsed"),
    "no value": (b'http_requests_total{a="b"}\n', "is no metric"),
    "a number that is none": (b"http_requests_total 1_000\n", "cannot be parsed"),
    "a colossal number": (b"http_requests_total 1" + b"0" * 400 + b"\n", "cannot be parsed"),
}


@pytest.mark.req("B5")
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_page_of_metrics_is_refused_with_a_reason(name: str) -> None:
    body, why = REFUSED[name]
    with pytest.raises(NotMetrics, match=why) as refused:
        read(body)
    assert "\n" not in str(refused.value) and "$(id)" not in str(refused.value)


def test_escapes_in_labels_are_read_as_they_are_meant() -> None:
    page = 'http_requests_total{route="a\\"} 5 {",status="500"} 3\n'
    page += 'http_requests_total{route="b\\\\",status="200"} 4 1000\n'
    assert (reading(page).requests, reading(page).errors) == (7.0, 3.0)


def test_open_metrics() -> None:
    page = (
        "# TYPE http_requests counter\n# UNIT other_seconds seconds\n# TYPE other_seconds gauge\n"
        'http_requests_total{status="200"} 97 # {trace_id="abc"} 1.0 1700000000.1\n'
        'http_requests_total{status="502"} 3.0\n'
        'http_requests_created{status="200"} 1700000000.1\n'
        "# TYPE http_request_duration_seconds histogram\n"
        'http_request_duration_seconds_bucket{le="1.0"} 5\n'
        'http_request_duration_seconds_bucket{le="+Inf"} 6\n'
        "http_request_duration_seconds_count 6\nhttp_request_duration_seconds_sum 9.5\n"
        "# TYPE ai_failures counter\n"
        "# EOF\n"
    )
    found = reading(page)
    assert (found.requests, found.errors) == (100.0, 3.0)
    assert found.buckets == ((1.0, 5.0), (math.inf, 6.0))
    assert (found.ai_failures, found.ai_calls) == (0.0, None)
    twice = page.replace('http_requests_total{status="502"} 3.0\n', 'http_requests_total{status="502"} 3.0\n' * 2)
    with pytest.raises(NotMetrics, match="twice"):
        read(twice)
    with pytest.raises(NotMetrics, match="cannot be parsed"):
        read(page.replace("} 5\n", "} 7\n"))


@pytest.mark.parametrize(
    "body",
    [
        b"x" * (PAGE_LIMIT + 1),
        b"".join(b'http_requests_total{path="/a/%d",status="200"} %d\n' % (n, n) for n in range(90_000)),
        b"".join(b'other{path="/a/%d",status="200"} %d\n' % (n, n) for n in range(100_000)),
        b"".join(b'http_requests_total{a="%d' % n + rb"\"" * 1000 + b'"} 1\n' for n in range(1500)),
        b"".join(
            b"http_requests_total{" + b",".join(b'l%d="a"' % n for n in range(200)) + b"} 1\n" for _ in range(1500)
        ),
        b"#" * (PAGE_LIMIT - 1) + b"\n",
        b"\n" * PAGE_LIMIT,
        (b"other" + b"{}" * 4000 + b"\n") * 400,
    ],
    ids=["10MB", "wanted", "unwanted", "escapes", "labels", "comment", "blank", "braces"],
)
def test_a_hostile_page_stays_within_bounds(body: bytes) -> None:
    began = time.process_time()
    with contextlib.suppress(NotMetrics):
        read(body)
    assert time.process_time() - began < 3.5
    tracemalloc.start()
    try:
        with contextlib.suppress(NotMetrics):
            read(body)
        assert tracemalloc.get_traced_memory()[1] < 80 * 2**20
    finally:
        tracemalloc.stop()


PIECES = st.sampled_from(
    ["http_requests_total", "ai_failures_total", "http_request_duration_seconds_bucket", "# TYPE ", "# EOF", "{", "}",
     '"', "\\", ",", "=", " ", "\n", "le", "status", "500", "NaN", "1e999", "-1", "+Inf", "\x00", "é", "# {", "counter",
     "histogram"]
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.lists(PIECES, max_size=40).map("".join))
def test_no_page_ends_in_a_traceback(text: str) -> None:
    try:
        found = read(text + "\n")
    except NotMetrics:
        return
    for value in (found.reading.requests, found.reading.errors, found.reading.ai_failures) if found.reading else ():
        assert value is None or (0 <= value < math.inf)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.binary(max_size=3), st.integers(0, 30))
def test_no_damage_to_a_good_page_ends_in_a_traceback(place: int, put: bytes, removed: int) -> None:
    body = GOOD.encode()
    try:
        read(body[:place] + put + body[place + removed :])
    except NotMetrics as why:
        assert str(why)
