"""The rule of replacement, walked through with replicas that become ready, or never do, in any order."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from codeblue.adapters.local.rollout import Moves, Replica, next_moves


def step(replicas: list[Replica], moves: Moves, number: int) -> list[Replica]:
    started = [Replica(f"new-{number}-{i}", True, False) for i in range(moves.start)]
    return [r for r in replicas if r.name not in moves.stop] + started


@given(
    desired=st.integers(0, 6),
    surge=st.integers(1, 6),
    former=st.lists(st.booleans(), max_size=8),
    present=st.lists(st.booleans(), max_size=8),
    choices=st.lists(st.integers(0, 7), max_size=60),
)
def test_what_serves_is_never_stopped_below_the_wanted_number(
    desired: int, surge: int, former: list[bool], present: list[bool], choices: list[int]
) -> None:
    replicas = [Replica(f"old-{i}", False, ready) for i, ready in enumerate(former)]
    replicas += [Replica(f"now-{i}", True, ready) for i, ready in enumerate(present)]
    for number, choice in enumerate([*choices, *range(8), *range(8)]):
        moves = next_moves(desired, surge, replicas)
        serving = sum(r.ready for r in replicas)
        after = step(replicas, moves, number)
        assert sum(r.ready for r in after) >= min(serving, desired)
        assert not moves.start or len(after) <= desired + max(1, surge)
        assert len(set(moves.stop)) == len(moves.stop)
        replicas = after
        waiting = [i for i, r in enumerate(replicas) if r.wanted and not r.ready]
        if waiting:
            index = waiting[choice % len(waiting)]
            replicas[index] = replace(replicas[index], ready=True)


@given(
    desired=st.integers(0, 6),
    surge=st.integers(1, 6),
    former=st.lists(st.booleans(), max_size=8),
    present=st.lists(st.booleans(), max_size=8),
)
def test_it_ends_with_the_wanted_number_of_the_wanted_template(
    desired: int, surge: int, former: list[bool], present: list[bool]
) -> None:
    replicas = [Replica(f"old-{i}", False, ready) for i, ready in enumerate(former)]
    replicas += [Replica(f"now-{i}", True, ready) for i, ready in enumerate(present)]
    for number in range(100):
        moves = next_moves(desired, surge, replicas)
        if moves.none and all(r.ready for r in replicas):
            break
        replicas = [replace(r, ready=True) if r.wanted else r for r in step(replicas, moves, number)]
    assert [r.wanted and r.ready for r in replicas] == [True] * desired
    assert next_moves(desired, surge, replicas) == Moves()


def test_a_release_that_never_gets_ready_stops_after_one_replica_and_all_at_once_starts_them_all() -> None:
    old = [Replica(f"old-{i}", False, True) for i in range(3)]
    assert next_moves(3, 1, old) == Moves(start=1)
    stuck = [*old, Replica("new", True, False)]
    assert next_moves(3, 1, stuck) == Moves()
    assert next_moves(3, 3, old) == Moves(start=3)


def test_going_back_removes_the_stuck_replica_and_touches_nobody_else() -> None:
    back = [Replica(f"old-{i}", True, True) for i in range(3)] + [Replica("bad", False, False)]
    assert next_moves(3, 1, back) == Moves(stop=("bad",))


def test_scaling_down_stops_what_does_not_serve_first_then_the_youngest() -> None:
    replicas = [Replica("a", True, True), Replica("b", True, False), Replica("c", True, True), Replica("d", True, True)]
    assert next_moves(2, 1, replicas) == Moves(stop=("b", "d"))
