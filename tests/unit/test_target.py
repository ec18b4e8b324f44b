"""Whether two profiles are about one target: by what they name, and by what a cluster or machine is known for."""

import base64
from pathlib import Path

import pytest
from lightkube.config.kubeconfig import KubeConfig

from codeblue.adapters.kubernetes.authority import authorities
from codeblue.adapters.local.machine import machine
from codeblue.model.target import Target


def cluster(where: str, *place: str, name: str = "ai/api") -> Target:
    return Target("kubernetes", where, name, place)


def looking(where: str) -> Target:
    return Target("kubernetes", where, "ai/api")


@pytest.mark.defect("D55")
@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (cluster("prod", "a"), cluster("prod", "a"), True),
        (cluster("prod", "a"), cluster("staging", "b"), False),
        (cluster("prod", "a"), cluster("staging", "a"), False),  # one proxy before two clusters
        (cluster("prod", "a"), cluster("prod", "a", name="ai/other"), False),
        (cluster("prod", "a"), cluster("prod", "a", name="test/api"), False),
        (cluster("prod"), cluster("prod", "a"), True),  # a kubeconfig without an authority of its own
        (cluster("default", "a"), cluster("default", "b"), False),  # installers call every cluster so
        (cluster("in-cluster", "a"), cluster("in-cluster", "b"), False),
        (cluster("in-cluster", "a"), cluster("prod", "a"), True),  # the daemon inside, the person outside
        (cluster("in-cluster", "a"), cluster("prod", "b"), False),
        (cluster("in-cluster", "a"), cluster("prod"), False),
        (cluster("in-cluster", "a"), looking("prod"), True),  # whoever only looks is told, not turned away
        (cluster("prod", "a", "b"), cluster("prod", "b", "c"), True),  # while the authority is replaced
        (cluster("prod", "a"), looking("prod"), True),
        (cluster("prod", "a"), looking("staging"), False),
        (Target("local", "/srv/a", "api", ("m",)), Target("local", "/srv/a", "api", ("m",)), True),
        (Target("local", "/srv/a", "api", ("m",)), Target("local", "/srv/a", "api", ("n",)), False),
        (Target("local", "/srv/a", "api", ("m",)), Target("local", "/srv/b", "api", ("m",)), False),
        (Target("local", "/srv/a", "api"), Target("kubernetes", "/srv/a", "api"), False),
    ],
)
def test_two_targets_are_one(one: Target, other: Target, same: bool) -> None:
    assert one.same_as(other) is same
    assert other.same_as(one) is same


def test_a_target_is_recorded_whole() -> None:
    target = cluster("prod", "a", "b")
    assert Target.load(target.plain()) == target
    for key in target.plain():
        with pytest.raises(TypeError):
            Target.load({**target.plain(), key: 1})
    with pytest.raises(KeyError):
        Target.load({})


def certificate(letter: str) -> str:
    body = "\n".join([letter * 64] * 3)
    return f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"


def connection(**cluster: object) -> "tuple[str, ...]":
    config = {
        "clusters": [{"name": "c", "cluster": {"server": "https://x", **cluster}}],
        "contexts": [{"name": "prod", "context": {"cluster": "c"}}],
    }
    found = KubeConfig.from_dict(config).get("prod")
    assert found is not None
    return authorities(found)


def test_a_cluster_is_known_by_each_certificate_that_it_is_trusted_by(tmp_path: Path) -> None:
    def data(text: str) -> str:
        return base64.b64encode(text.encode()).decode()

    one, two = (connection(**{"certificate-authority-data": data(certificate(x))}) for x in "ab")
    assert (len(one), len(two)) == (1, 1)
    assert one != two
    both = connection(**{"certificate-authority-data": data("a comment\n" + certificate("b") + certificate("a"))})
    assert set(both) == {*one, *two}
    (tmp_path / "ca.crt").write_text(certificate("a").replace("\n", "\r\n"))
    assert connection(**{"certificate-authority": str(tmp_path / "ca.crt")}) == one
    assert connection(**{"certificate-authority": str(tmp_path / "none.crt")}) == ()
    assert connection(**{"certificate-authority-data": "%%%"}) == ()
    assert connection() == ()


def test_a_machine_is_known_by_its_id_which_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("0123456789abcdef0123456789abcdef\n")
    (tmp_path / "two").write_text("fedcba9876543210fedcba9876543210\n")
    (tmp_path / "none").write_text("")
    (one,), (two,) = machine(tmp_path / "one"), machine(tmp_path / "two")
    assert one != two
    assert one not in "0123456789abcdef0123456789abcdef"
    assert machine(tmp_path / "none") == machine(tmp_path / "absent") == ()
