"""Two places of one service and one record: whoever comes second is refused, whatever it wants (D55)."""

import base64
import json
from pathlib import Path

import pytest
from tests.postgres import Postgres
from tests.unit.cli.program import PROFILE, Answer, Home
from tests.unit.record.events import INCIDENT, RUN
from tests.unit.record.test_folds import whole

from codeblue import wiring
from codeblue.adapters.clock import SystemClock
from codeblue.adapters.record.owned import OwnedRecord
from codeblue.adapters.record.postgres import PostgresRecord
from codeblue.model.errors import Refused, UsageError
from codeblue.model.event import Draft
from codeblue.model.secret import Secret
from codeblue.profile.load import load_text

pytestmark = pytest.mark.slow

DATABASE = "state: {directory: ./state, database: {env: CODEBLUE_TEST_DATABASE}}"
EVERY_VERB = (
    ("status",),
    ("run", "list"),
    ("run", "show", RUN),
    ("run", "approve", RUN),
    ("run", "abort", RUN),
    ("run", "resume", RUN),
    ("incident", "list"),
    ("incident", "show", INCIDENT),
    ("incident", "report", INCIDENT),
    ("rollback", "--reason", "a test", "--yes"),
    ("rollback", "--reason", "a test", "--plan"),
    ("verify",),
    ("serve",),
)


class Two:
    """Production and staging with one record."""

    def __init__(self, path: Path, env: dict[str, str]) -> None:
        profile = PROFILE.replace("state: {directory: ./state}", DATABASE) if env else PROFILE
        self.prod, self.env = Home(path, profile), env
        (path / "staging.yaml").write_text(profile.replace("./local", "./other"))

    def as_prod(self, *argv: str) -> Answer:
        return self.prod.run(*argv, env=self.env)

    def as_staging(self, *argv: str) -> Answer:
        return self.prod.run(*argv, "--profile", "staging.yaml", env=self.env)


@pytest.fixture(params=["sqlite", "postgresql"])
def two(request: pytest.FixtureRequest, tmp_path: Path) -> Two:
    """Nobody has claimed the record yet: it is one from before that was done."""
    if request.param == "sqlite":
        two = Two(tmp_path, {})
        two.prod.tell(whole())
        return two
    postgres: Postgres = request.getfixturevalue("postgres")
    url = postgres.database()
    record = PostgresRecord(Secret(url), "api", SystemClock())
    for e in whole().events:
        record.append(Draft(e.kind, e.actor, e.data, e.run, e.incident))
    record.close()
    return Two(tmp_path, {"CODEBLUE_TEST_DATABASE": url})


@pytest.mark.req("B3")
@pytest.mark.defect("D55")
def test_the_record_of_one_target_is_refused_to_another_until_a_person_says_they_are_one(two: Two) -> None:
    assert two.as_staging("run", "list").code == 0, "looking claims nothing"
    assert two.as_prod("incident", "report", INCIDENT).code == 0
    before = two.as_prod("audit", "verify", "--json").document
    for argv in EVERY_VERB:
        answer = two.as_staging(*argv)
        assert answer.code == 3, (argv, answer)
        assert "belongs to another target: local workload api in " in answer.err
        assert "/other. Nothing was changed." in answer.err
        assert "Next: Use that target's own profile" in answer.err
        assert "postgresql://" not in answer.err + answer.out
    assert two.as_staging("status", "--json").document["exit_code"] == 3
    assert two.as_prod("audit", "verify", "--json").document == before, "nothing was written"
    assert two.as_staging("audit", "verify", "--json").document == before, "whether it is whole is anybody's business"

    assert two.as_staging("audit", "adopt").code == 2
    adopted = two.as_staging("audit", "adopt", "--reason", "the directory was moved")
    assert adopted.code == 0, adopted
    assert "/other." in adopted.out
    assert two.as_staging("run", "list").code == 0
    assert two.as_prod("run", "list").code == 0
    again = two.as_staging("audit", "adopt", "--reason", "again", "--json")
    assert [Path(t["where"]).name for t in again.document["targets"]] == ["local", "other"]
    assert two.as_prod("audit", "verify", "--json").document["events"] == before["events"] + 1


KUBERNETES = """\
version: 1
service: api
platform: {kind: kubernetes, context: default, kubeconfig: ./KUBECONFIG, namespace: ai, deployment: api}
state: {directory: ./state}
"""


@pytest.mark.req("B3")
@pytest.mark.defect("D55")
def test_a_context_of_the_same_name_in_another_cluster_is_another_target(tmp_path: Path) -> None:
    """Whoever acts looks at the cluster's authority; two kubeconfigs can call two clusters "default"."""
    profiles = {}
    for name in ("one", "two"):
        body = base64.b64encode(f"certificate {name}".encode() * 9).decode()
        authority = f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"
        data = base64.b64encode(authority.encode()).decode()
        cluster = {"server": "https://127.0.0.1:1", "certificate-authority-data": data}
        config = {
            "clusters": [{"name": "c", "cluster": cluster}],
            "contexts": [{"name": "default", "context": {"cluster": "c", "user": "u"}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
        }
        (tmp_path / name).write_text(json.dumps(config))
        profiles[name] = load_text(KUBERNETES.replace("KUBECONFIG", name), base=tmp_path)
    store = wiring.open_store(profiles["one"])
    record = OwnedRecord(store, wiring.target_of(profiles["one"]), place="here", acts=True)
    record.append(Draft("test.happened", "test", {}))
    record.close()
    with pytest.raises(Refused, match="another cluster"):
        wiring.open_app(profiles["two"])
    with pytest.raises(UsageError, match="credentials"):  # it got as far as the certificate, which is none
        wiring.open_app(profiles["one"])


def test_a_record_that_is_not_there_is_not_adopted(home: Home) -> None:
    answer = home.run("audit", "adopt", "--reason", "renamed")
    assert answer.code == 3
    assert "Nothing was adopted: there is no record in" in answer.err
    assert not home.file.exists()
