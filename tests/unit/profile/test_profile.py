"""What a valid profile becomes: units, paths, defaults, and a value that cannot change."""

import copy
import pickle
from pathlib import Path

import pytest
from pydantic import ValidationError
from tests.unit.profile.faults import CLUSTER, LOCAL
from tests.unit.profile.valid import EXAMPLES, PEOPLE, example, full

from codeblue.profile.load import ProfileError, load, load_text
from codeblue.profile.model import Profile
from codeblue.profile.platform import Kubernetes, Local
from codeblue.profile.units import parse_duration, parse_percent, show_duration


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_are_valid(name: str) -> None:
    assert load_text(example(name)).service == "ai-diagnostics-api"


@pytest.mark.req("R1c")
def test_tier_0_needs_no_more_than_a_deployment() -> None:
    profile = load_text(CLUSTER)
    assert isinstance(profile.platform, Kubernetes)
    assert profile.platform.service is None
    assert profile.workload == "ai-diagnostics-api"
    contract = profile.contract
    assert (contract.health_database, contract.health_redis, contract.health_ai_services) == (None, None, None)
    assert (contract.metrics, contract.processes, contract.commands) == (None, None, {})


@pytest.mark.req("R4")
@pytest.mark.req("R10")
@pytest.mark.req("R11")
def test_the_defaults_are_those_of_the_document() -> None:
    profile = load_text(LOCAL)
    assert (profile.health.path, profile.health.interval, profile.health.timeout) == ("/api/health", 10.0, 5.0)
    assert (profile.verify.checks, profile.verify.every, profile.runbooks.quick_rollback.deadline) == (10, 10.0, 300.0)
    assert (profile.triggers.health.failures, profile.triggers.health.mode) == (3, "observe")
    assert (profile.verify.error_rate, profile.verify.memory, profile.verify.latency_samples) == (0.05, 0.95, 10)
    assert (profile.triggers.budget.rollbacks, profile.triggers.budget.per, profile.triggers.policy) == (
        2,
        3600.0,
        "safe",
    )
    assert profile.triggers.recent_change is None


def test_the_full_example_says_the_same_as_the_defaults() -> None:
    stated, silent = load_text(example("full.yaml")), load_text(LOCAL)
    for section in ("verify", "runbooks", "known_good", "lease", "report", "health"):
        assert getattr(stated, section) == getattr(silent, section), section


def test_paths_start_at_the_profile_and_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    file = tmp_path / "codeblue.yaml"
    file.write_text(LOCAL + "report:\n  directory: ../reports\n")
    profile = load(file)
    assert isinstance(profile.platform, Local)
    assert profile.platform.directory == tmp_path / "local"
    assert profile.platform.workload == profile.workload == "ai-diagnostics-api"
    assert profile.report.directory == tmp_path / "../reports"
    assert profile.state.directory.parent == Path("/home/ada/.local/state/codeblue/ai-diagnostics-api")


@pytest.mark.defect("D55")
def test_each_target_of_a_service_has_a_state_of_its_own_that_says_which(tmp_path: Path) -> None:
    def directory(old: str = "", new: str = "", text: str = CLUSTER) -> Path:
        assert old in text
        return load_text(text.replace(old, new), base=tmp_path).state.directory

    found = [
        directory(),
        directory("context: prod-eu", "context: staging"),
        directory("context: prod-eu", "context: arn:aws:eks:eu-central-1:1:cluster/prod"),
        directory("context: prod-eu", "context: prod-eu\n  kubeconfig: ./other"),
        directory("namespace: ai-diagnostics-prod", "namespace: ai-diagnostics-test"),
        directory("deployment: ai-diagnostics-api", "deployment: ai-diagnostics-api-2"),
        directory(text=LOCAL),
        directory("./local", "./local2", text=LOCAL),
        directory("./local", "./local\n  workload: other", text=LOCAL),
    ]
    assert len(set(found)) == len(found)
    assert {path.parent.name for path in found} == {"ai-diagnostics-api"}
    assert found[0].name.startswith("prod-eu.ai-diagnostics-prod-ai-diagnostics-api-")
    assert all(path.name.replace("-", "").replace(".", "").isalnum() and len(path.name) < 80 for path in found)
    assert directory() == found[0]
    assert directory("./local", "./x/../local", text=LOCAL) == found[6], "the same directory, written otherwise"
    assert load_text(CLUSTER + "state: {database: {env: A}}\n").state.directory == found[0], (
        "only the database is named"
    )
    assert load_text(CLUSTER + "state: {directory: /s}\n").state.directory == Path("/s")


def test_relative_paths_are_absolute_wherever_it_is_loaded_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "codeblue.yaml").write_text(LOCAL)
    monkeypatch.chdir(tmp_path)
    profile = load(Path("codeblue.yaml"))
    assert profile.report.directory == tmp_path / "incidents"


def test_a_mark_of_utf_8_and_line_ends_of_windows_are_read(tmp_path: Path) -> None:
    file = tmp_path / "codeblue.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + LOCAL.replace("\n", "\r\n").encode())
    assert load(file).service == "ai-diagnostics-api"


def test_a_profile_is_frozen_all_the_way_down() -> None:
    profile = load_text(full())
    with pytest.raises(ValidationError):
        profile.service = "other"
    with pytest.raises(TypeError):
        profile.flags["ai_diagnostics_enabled"] = False
    with pytest.raises(TypeError):
        profile.contract.commands.clear()
    assert hash(profile) == hash(load_text(full()))
    assert pickle.loads(pickle.dumps(profile)) == profile == copy.deepcopy(profile)  # noqa: S301
    assert profile.model_dump(mode="json")["flags"] == profile.flags


@pytest.mark.req("R42")
def test_flags_keep_the_difference_between_a_switch_and_a_number() -> None:
    flags = load_text(LOCAL + "flags: {a: true, b: 1, c: 0, d: false}\n").flags
    assert [type(value) for value in flags.values()] == [bool, int, int, bool]


def test_all_nine_people_can_be_named() -> None:
    contacts = load_text(full()).contacts
    assert contacts is not None
    assert all(getattr(contacts, role).name == f"Ada Berg {role}" for role in PEOPLE)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("10s", 10.0), ("5m", 300.0), ("1h", 3600.0), ("1.5 h", 5400.0), ("7d", 604800.0), ("0s", 0.0)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds
    assert parse_duration(show_duration(seconds)) == seconds


@pytest.mark.parametrize(("text", "fraction"), [("5 %", 0.05), ("95%", 0.95), ("0.1 %", 0.001), ("100 %", 1.0)])
def test_percentages(text: str, fraction: float) -> None:
    assert parse_percent(text) == fraction


def test_quotes_make_a_text_of_what_yaml_readers_dispute() -> None:
    profile = load_text(CLUSTER.replace("prod-eu", '"no"'))
    assert isinstance(profile.platform, Kubernetes)
    assert profile.platform.context == "no"


def test_a_model_without_the_loader_needs_no_context() -> None:
    data = {"version": 1, "service": "x", "platform": {"kind": "local", "directory": "d"}}
    assert Profile.model_validate(data).service == "x"


def test_a_default_named_after_a_wrong_service_is_no_second_problem() -> None:
    with pytest.raises(ProfileError) as caught:
        load_text(LOCAL.replace("ai-diagnostics-api", "A b"))
    assert [problem.path for problem in caught.value.problems] == ["service"]
