"""The report as a page and as Markdown: numbers lead to events, curves are what was recorded, hostile text is text."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from tests.unit.record.events import INCIDENT, Story
from tests.unit.record.night import Night
from tests.unit.record.test_folds import whole

from codeblue.model.errors import Damaged
from codeblue.model.health import Outcome
from codeblue.record.chain import plain
from codeblue.record.curves import KIND, Curves, Moment, Signal, markers_of, read_curves
from codeblue.record.report import gather, to_markdown
from codeblue.record.report.html import to_html
from codeblue.record.report.readings import after, amount, reading_of
from codeblue.record.report.svg import draw, path_of
from codeblue.record.report.words import shown

HOSTILE = (
    "{{7*7}} {% for x in y %} ${7*7} #{7*7}",
    "$(id) `id`",
    "<script>alert(1)</script>",
    "</style><style>body{display:none}</style>",
    '" onmouseover="alert(1)',
    "' style='background:url(http://evil.example)",
    "<!-- --> <svg/onload=alert(1)> <img src=x onerror=alert(1)>",
    "&lt;b&gt; &amp; &#60;script&#62;",
    "[click](http://evil.example) ![x](http://evil.example/x.png) <http://evil.example>",
    "http://evil.example www.evil.example",
    "line\n## Resolved\n\n| State | resolved |\n\n```\nx",
    "a | b \\| c \\\\| d",
    "`code` **bold** ~~gone~~ _it_ __it__ $x$",
    "\x1b[31mred\x07\x00",
    "\u202egnp.exe\u2066 \u200f\u061c",
    "مريض 漢字 🩺",
    "x" * 10_000,
    "\\",
    "`",
)


def others(test: Callable[..., None]) -> Callable[..., None]:
    """Every hostile text, and any text."""
    for text in HOSTILE:
        test = example(text)(test)
    return settings(max_examples=20, deadline=None)(given(st.text(max_size=80).filter(str.strip))(test))


class Page(HTMLParser):
    """What a browser makes of a page: elements with their attributes, and the text."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.declarations: list[str] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in ("td", "th", "tr", "li", "p", "div", "h3"):
            self.texts.append(" ")

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_decl(self, decl: str) -> None:
        self.declarations.append(decl)

    def handle_comment(self, data: str) -> None:
        self.declarations.append(data)

    @property
    def shape(self) -> list[tuple[str, tuple[str, ...]]]:
        return [(tag, tuple(attributes)) for tag, attributes in self.elements]

    @property
    def text(self) -> str:
        return " ".join("".join(self.texts).split())


def parsed(drawing: str) -> ET.Element:
    return ET.fromstring(drawing)  # noqa: S314  # our own


def page(story: Story) -> Page:
    return Page(to_html(gather(story.events, INCIDENT)))


def marks(source: str) -> Iterator[int]:
    """The numbers that links lead to."""
    return (int(n) for n in re.findall(r'(?:href="|\()#e(\d+)', source))


@pytest.mark.req("R47", "B12")
@pytest.mark.parametrize("story", [Night(), whole()], ids=["a whole night", "a rollback alone"])
def test_every_number_leads_to_an_event_of_the_record(story: Story) -> None:
    facts = gather(story.events, INCIDENT)
    recorded = {e.seq for e in story.events}
    for source, anchor in ((to_html(facts), r'<tr id="e(\d+)"'), (to_markdown(facts), r'<a id="e(\d+)">')):
        anchors = [int(n) for n in re.findall(anchor, source)]
        assert anchors == sorted(recorded), "the appendix has each event once"
        assert set(marks(source)) <= recorded
        assert len(list(marks(source))) > 25
        told = (
            rendered(source) if source.startswith("#") else Page(re.sub(r"<style>.*</style>", "", source, flags=re.S))
        )
        assert {int(n) for n in re.findall(r"#(\d+)\b", told.text)} <= recorded


@pytest.mark.req("R47", "B12")
def test_every_fact_of_the_report_has_an_event_but_what_is_not_recorded() -> None:
    facts = plain(gather(Night().events, INCIDENT))
    found = []

    def walk(value: object) -> None:
        if isinstance(value, dict):
            if value.keys() == {"text", "events"}:
                found.append((value["text"], value["events"]))
            for inner in value.values():
                walk(inner)
        if isinstance(value, list):
            for inner in value:
                walk(inner)

    walk(facts)
    assert len(found) > 30
    assert [text for text, events in found if not events] == ["When it was deployed is not recorded"]
    assert json.loads(json.dumps(facts)) == facts


@pytest.mark.req("R47")
def test_the_page_stands_alone() -> None:
    source = to_html(gather(Night().events, INCIDENT))
    found = Page(source)
    assert found.declarations == ["doctype html"]
    tags = {tag for tag, _ in found.elements}
    assert tags.isdisjoint({"script", "link", "img", "iframe", "object", "embed", "form", "base", "image", "use"})
    names = {name for _, attributes in found.elements for name in attributes}
    assert not {n for n in names if n.startswith("on") or n in ("src", "srcset", "style", "action", "xlink:href")}
    assert all(a["href"] and a["href"].startswith("#") for tag, a in found.elements if tag == "a")
    policies = [a["content"] for tag, a in found.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'"]
    [style] = re.findall(r"<style>(.*?)</style>", source, re.S)
    assert "url(" not in style
    assert "@import" not in style
    assert "prefers-color-scheme: dark" in style
    assert "@media print" in style
    ids = [a["id"] for _, a in found.elements if "id" in a]
    assert len(ids) == len(set(ids))
    assert {a["href"][1:] for tag, a in found.elements if tag == "a" and a["href"]} <= set(ids)
    assert ("html", {"lang": "en"}) in found.elements


@pytest.mark.req("R47")
def test_the_parts_of_the_page_are_all_there() -> None:
    found = page(Night())
    for said in (
        "Mitigated. The recovery was verified by checks that all passed (1 left out)",
        "All times UTC",
        "4 consecutive failures > 3: status 503",
        "rollback (chosen)",
        "+ for: R5: 41.7 % of 312 requests over 120 s > 5 %",
        "− against: more than the AI fails: R4",
        "3 calls in 120 s < 20",
        "budget: 0 automatic rollbacks in 3600 s < 2",
        "passed over: revision 8, 2.4.9: bad (status 503)",
        "on call pagerduty accepted",
        "clinical lead - not sent no channel has an address",
        "acknowledged L1 by person:ada (ada@laptop)",
        "called L2 by person:ada (ada@laptop): status 503",
        "status page says investigating (entry p31zj, https://status.example.org/p31zj)",
        "Quick rollback from 2.5.0 (status 503) to 2.4.1 (0c77fe) ended after 21.5 s as done",
        "Approved by person:ada (ada@laptop)",
        "p95 of 10 requests to the health path alone is 43 ms",
        "no migration: status 503",
        f'Not recorded. Only a person knows: who does what until when. codeblue incident note {INCIDENT} "…" --about',
        "first bad, −35 s",
        "proven, +",
        "Error rate: 80 readings, 5 of them unknown; lowest 0.4 %, highest 42.5 %; limit 5 %",
    ):
        assert said in found.text, said


@pytest.mark.req("R47", "B5")
def test_the_drawn_points_are_the_recorded_numbers_and_unknown_is_a_gap() -> None:
    night = Night()
    source = to_html(gather(night.events, INCIDENT))
    view = read_curves(next(e for e in night.events if e.kind == KIND))
    drawings = [parsed(text) for text in re.findall(r"<svg .*?</svg>", source, re.S)]
    assert len(drawings) == len(Signal) == 4
    for signal, svg in zip(Signal, drawings, strict=True):
        [path] = [e for e in svg.iter() if e.get("class") == "curve"]
        strokes = [s for s in (path.get("d") or "").split("M") if s]
        apart = re.compile(r"[HL]")  # health is either so or so: a reading holds until the next one
        drawn = [tuple(map(float, re.split("[,V]", p))) for s in strokes for p in apart.split(s.removesuffix("h0"))]
        assert ("H" in (path.get("d") or "")) is (signal is Signal.HEALTH)
        assert drawn == [p for p in view.curves[signal] if p[1] is not None]
        values = [value for _, value in view.curves[signal]]
        gaps = sum(a is not None and b is None for a, b in pairwise([*values, 0]))
        assert len(strokes) == gaps + 1
        assert len([e for e in svg.iter() if e.get("class") == "unknown"]) == gaps
        limits = [e for e in svg.iter() if e.get("class") == "limit"]
        assert len(limits) == (signal in view.thresholds)
        assert [e.text for e in svg.iter() if e.get("class") == "number"] == ["1", "2", "3", "4", "5", "6"]
        assert svg.get("role") == "img"
        title, description = list(svg)[:2]
        assert svg.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"
        assert (description.text or "").startswith(reading_of(view, signal))


def test_the_drawing_is_to_scale_and_within_its_box() -> None:
    view = read_curves(next(e for e in Night().events if e.kind == KIND))
    for signal in Signal:
        svg = parsed(draw(view, signal))
        _, _, width, height = map(float, (svg.get("viewBox") or "").split())
        [group] = [e for e in svg.iter() if e.get("transform")]
        a, b, c, d, e, f = map(float, (group.get("transform") or "")[7:-1].split())
        assert (b, c) == (0, 0)
        for at_s, value in view.curves[signal]:
            if value is not None:
                assert 0 <= a * at_s + e <= width
                assert 0 <= d * value + f <= height
        limit = next((x for x in svg.iter() if x.get("class") == "limit"), None)
        if limit is not None:
            assert float(limit.get("y1") or 0) == pytest.approx(d * view.thresholds[signal] + f, abs=0.06)
        opened = next(m for m in view.markers if m.moment is Moment.OPENED)
        lines = [x for x in svg.iter() if x.get("class") == "moment"]
        assert any(float(x.get("x1") or 0) == pytest.approx(a * opened.at_s + e, abs=0.06) for x in lines)


@given(
    st.lists(
        st.tuples(
            st.floats(0.1, 5000),
            st.sampled_from(Outcome),
            st.one_of(st.none(), st.floats(0, 1e9)),
            st.one_of(st.none(), st.floats(0, 1e-6)),
        ),
        max_size=40,
    )
)
@settings(max_examples=30, deadline=None)
def test_any_curve_is_a_drawing(looks: list[tuple[float, Outcome, float | None, float | None]]) -> None:
    kept, at_s = Curves(before_s=1e9), 0.0
    kept.begin()
    for step, health, large, small in looks:
        at_s += step
        kept.add(at_s, health, small, large, large)
    story = whole()
    story.add(KIND, kept.event_data(at_s / 2, {}, markers_of(story.events)), incident=INCIDENT)
    view = read_curves(story.events[-1])
    for signal in Signal:
        svg = parsed(draw(view, signal))
        numbers = [v for e in svg.iter() for k, v in e.attrib.items() if k in ("x", "y", "x1", "y1", "transform", "d")]
        assert not any("nan" in number or "inf" in number for number in numbers)
        [path] = [e for e in svg.iter() if e.get("class") == "curve"]
        assert path.get("d") == path_of(view.curves[signal], steps=signal is Signal.HEALTH)


def test_a_report_without_curves_says_that_they_are_not_recorded() -> None:
    found = page(whole())
    assert "Curves are not recorded." in found.text
    assert "svg" not in {tag for tag, _ in found.elements}
    story = whole()
    story.add(KIND, Curves().event_data(0.0, {}), incident=INCIDENT)
    empty = page(story)
    assert empty.text.count("not recorded Health: not recorded") == 1
    assert "svg" in {tag for tag, _ in empty.elements}


def test_curves_that_name_an_event_of_another_incident_are_damage() -> None:
    story = whole()
    data = curves_data = Curves().event_data(0.0, {}, markers_of(story.events))
    story.add(KIND, curves_data, incident=INCIDENT)
    event = story.events[-1]
    markers = [{**m, "event": 999} for m in data["markers"]]
    events = [*story.events[:-1], replace(event, data={**event.data, "markers": markers})]
    with pytest.raises(Damaged, match=r"event 13 \(incident\.curves\)"):
        gather(events, INCIDENT)


HARMLESS = page(Night("harmless"))


@pytest.mark.req("R47", "B9")
@others
def test_text_of_others_is_shown_literally_on_the_page_and_changes_nothing_else(other: str) -> None:
    found = page(Night(other))
    assert found.shape == HARMLESS.shape, "no element and no attribute more or less"
    assert found.declarations == HARMLESS.declarations
    literal = shown(other)
    said = f"incident opened: R4: 4 consecutive failures > 3: {literal}"
    assert f"{said} watch" in found.text, "the timeline has all of it"
    assert found.text.count(literal) >= 12
    assert all(c.isprintable() for text in found.texts for c in text.strip() if c != "\n")


def rendered(markdown: str) -> Page:
    """What a viewer of GitHub's Markdown makes of it."""
    return Page(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(markdown))


PLAIN = rendered(to_markdown(gather(Night("harmless").events, INCIDENT)))


@pytest.mark.req("R47", "B9")
@others
def test_text_of_others_is_shown_literally_in_markdown_and_changes_nothing_else(other: str) -> None:
    source = to_markdown(gather(Night(other).events, INCIDENT))
    found = rendered(source)
    assert found.shape == PLAIN.shape
    assert f"incident opened: R4: 4 consecutive failures > 3: {shown(other)}" in found.text
    assert all(line.isprintable() for line in source.splitlines())
    assert not re.search(r"https?://|(?<![\w\\])www\.\w", source), "nothing that a viewer makes a link by itself"


@pytest.mark.parametrize(
    ("text", "literal"),
    [
        ("a\nb\tc", "a b c"),
        ("\u202egnp", "⟨U+202E⟩gnp"),
        ("\x1b[31m", "⟨U+001B⟩[31m"),
        ("\u2066x\u2069", "⟨U+2066⟩x⟨U+2069⟩"),
        ("漢字 🩺", "漢字 🩺"),
    ],
)
def test_what_steers_is_shown_by_its_number(text: str, literal: str) -> None:
    assert shown(text) == literal


def test_a_long_text_is_whole_in_the_timeline_and_cut_where_it_is_read_first() -> None:
    label = "y" * 10_240
    facts = gather(Night(label).events, INCIDENT)
    assert all(len(fact.text) < 500 for fact in facts.summary)
    assert all(len(fact.text) < 500 for _, fact in facts.glance if fact)
    assert "… (10268 characters)" in dict(facts.glance)["Trigger"].text  # type: ignore[union-attr]
    assert label in facts.timeline[0].what


@pytest.mark.req("R2", "R47")
def test_a_page_that_is_tried_again_stands_once_for_each_outcome() -> None:
    night = Night()
    night.page("L2", "devops_lead", "slack", "")
    key = night.events[-1].data["key"]
    night.add("page.deferred", {"key": key, "why": "429", "delay_s": 5}, incident=INCIDENT)
    night.page("L2", "devops_lead", "slack", "refused", "no such user")
    night.page("L2", "devops_lead", "slack", "accepted")
    night.page("L2", "devops_lead", "slack", "accepted", cycle=1)
    last = len(night.events)
    pages = [p for p in gather(night.events, INCIDENT).told.pages if p.role == "devops_lead"]
    assert [(p.cycle, p.fate, p.why) for p in pages] == [
        (0, "refused", "no such user"),
        (0, "accepted", ""),
        (1, "accepted", ""),
    ]
    assert [p.events for p in pages] == [
        (last - 7, last - 6, last - 5, last - 4),
        (last - 3, last - 2),
        (last - 1, last),
    ]


@pytest.mark.req("R22", "R47")
def test_what_the_status_page_said_and_did_not_say_is_told() -> None:
    night = Night()
    for kind, data in (
        ("status_page.refused", {"status": "identified", "why": "the key"}),
        ("status_page.unreachable", {"status": "identified", "why": "no connection"}),
        ("status_page.observed", {"status": "monitoring"}),
        ("status_page.abandoned", {"why": "a person took it over"}),
    ):
        night.add(kind, data, incident=INCIDENT)
    assert [f.text.partition("UTC: ")[2] for f in gather(night.events, INCIDENT).told.public] == [
        "status page says investigating (entry p31zj, https://status.example.org/p31zj)",
        "status page refused identified: the key",
        "status page does not say identified yet, it did not answer: no connection",
        "status page would say monitoring (mode observe): nothing was posted",
        "status page given up: a person took it over",
    ]


@pytest.mark.req("R47")
@pytest.mark.parametrize(
    ("upto", "proven", "said"),
    [
        ("incident.opened", False, "Open: the service is not proven healthy, and nothing was run."),
        ("incident.decided", False, "Decided: rollback: R4: 4 consecutive failures > 3: status 503 (mode act)"),
        ("run.approved", False, "Open: quick rollback is requested"),
        ("step.applied", False, "Open: quick rollback is running"),
        ("incident.mitigated", True, "Mitigated. The recovery was verified by checks that all passed (1 left out)"),
    ],
)
def test_the_headline_never_says_more_than_was_proven(upto: str, proven: bool, said: str) -> None:
    events = Night().events
    place = next(n for n, e in enumerate(events) if e.kind == upto)
    headline = gather(events[: place + 1], INCIDENT).headline
    assert headline.proven is proven
    assert said in headline.fact.text
    badge = "recovery verified" if proven else "recovery not verified"
    assert f"{headline.state} · {badge}" in Page(to_html(gather(events[: place + 1], INCIDENT))).text


def test_a_person_who_says_that_it_is_over_proves_nothing() -> None:
    story = Story()
    story.opened()
    story.add("incident.mitigated", {"why": "the ward is served"}, incident=INCIDENT, actor="person:ada")
    headline = gather(story.events, INCIDENT).headline
    assert not headline.proven
    assert headline.fact.text == "Mitigated: the ward is served. No verification proved it"
    night = Night()
    night.requested("run-20260105t040000z-eeeeee", runbook="quick_rollback", reason="again")
    assert not gather(night.events, INCIDENT).headline.proven, "something was run after the verification"


def test_amounts_and_times_for_people() -> None:
    assert [after(s) for s in (0, 30, -90, 3661, -3600)] == ["0 s", "+30 s", "−1 min 30 s", "+1 h 1 min 1 s", "−1 h"]
    assert amount(Signal.ERRORS, 0.0501) == "5.01 %"
    assert amount(Signal.MEMORY, 1.234) == "123 %"
    assert amount(Signal.P95, 31.0) == "31 s"
