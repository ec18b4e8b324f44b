"""Reports in memory and in a directory keep one contract; and what the directory owes besides."""

import errno
from pathlib import Path

import pytest

from codeblue.adapters import report_directory
from codeblue.adapters.report_directory import ReportDirectory
from codeblue.model.errors import Refused, Unreachable
from codeblue.ports.reports import Form, Reports
from codeblue.testing.contracts.reports import ONE, OTHER, ReportsContract
from codeblue.testing.memory_record import MemoryReports


class TestMemory(ReportsContract):
    @pytest.fixture
    def reports(self) -> Reports:
        return MemoryReports()


class TestDirectory(ReportsContract):
    @pytest.fixture
    def reports(self, tmp_path: Path) -> Reports:
        return ReportDirectory(tmp_path / "below" / "reports")


@pytest.mark.defect("D51")
def test_an_id_with_a_slash_leaves_nothing_behind_anywhere(tmp_path: Path) -> None:
    reports = ReportDirectory(tmp_path / "reports")
    for id_ in ("../outside", "a/b", f"{ONE}/../../outside", str(tmp_path / "outside")):
        with pytest.raises(Refused):
            reports.save(id_, Form.HTML, "x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.defect("D51")
@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_a_report_that_cannot_be_written_leaves_the_earlier_one_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    reports = ReportDirectory(tmp_path)
    before = {i: reports.save(i, Form.MARKDOWN, "the earlier one") for i in (ONE, OTHER)}

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        if call == "fsync":
            patched.setattr(report_directory.os, "fsync", full)
        else:
            patched.setattr(Path, "replace", full)
        with pytest.raises(Unreachable, match="No space left on device"):
            reports.save(ONE, Form.MARKDOWN, "a later one")
    assert {i: reports.find(i, Form.MARKDOWN) for i in before} == before
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"{ONE}.md", f"{OTHER}.md"], "no rest of it"


def test_a_link_in_the_place_of_a_report_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / f"{ONE}.md").symlink_to("mine")
    ReportDirectory(tmp_path).save(ONE, Form.MARKDOWN, "the report")
    assert (tmp_path / "mine").read_text() == "mine"
    assert (tmp_path / f"{ONE}.md").read_text() == "the report"
