"""Which steps share a sandbox."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from runners.docker.lanes import Lane, assign
from taskengine.plan.model import PlannedStep, StepType


def steps(*needs: tuple[int, ...], network: str = "n") -> list[PlannedStep]:
    return [
        PlannedStep(id=f"s{i}", type=StepType.CMD, index=i, needs=tuple(f"s{n}" for n in of), network=network)
        for i, of in enumerate(needs)
    ]


def chains(*needs: tuple[int, ...]) -> list[tuple[str, ...]]:
    return [lane.steps for lane in assign(steps(*needs), lambda _: True)]


def test_a_chain_is_one_lane() -> None:
    assert chains((), (0,), (1,)) == [("s0", "s1", "s2")]


def test_parallel_steps_have_lanes_of_their_own() -> None:
    assert chains((), (), ()) == [("s0",), ("s1",), ("s2",)]


def test_a_fan_out_continues_in_one_lane_only() -> None:
    assert chains((), (0,), (0,), (1, 2)) == [("s0", "s1", "s3"), ("s2",)]


def test_a_step_that_may_not_share_stands_outside() -> None:
    lanes = assign(steps((), (0,), (1,)), lambda step: step.id != "s1")
    assert [lane.steps for lane in lanes] == [("s0",), ("s2",)]


def test_a_lane_stays_in_one_network() -> None:
    first, second = steps((), network="a"), steps((), (0,), network="b")[1:]
    assert [lane.network for lane in assign([*first, *second], lambda _: True)] == ["a", "b"]


def test_a_lane_knows_whether_it_starts_at_once() -> None:
    assert [lane.at_once for lane in assign(steps((), (0,), (0,)), lambda _: True)] == [True, False]


def _reaches(needs: list[tuple[int, ...]], later: int, earlier: int) -> bool:
    return earlier in needs[later] or any(_reaches(needs, n, earlier) for n in needs[later])


@st.composite
def graphs(draw: st.DrawFn) -> list[tuple[int, ...]]:
    size = draw(st.integers(1, 8))
    return [tuple(sorted(draw(st.sets(st.integers(0, i - 1), max_size=3)))) if i else () for i in range(size)]


@given(graphs())
def test_two_steps_of_a_lane_can_never_run_at_the_same_time(needs: list[tuple[int, ...]]) -> None:
    lanes: tuple[Lane, ...] = assign(steps(*needs), lambda _: True)
    for lane in lanes:
        numbers = [int(s[1:]) for s in lane.steps]
        assert all(_reaches(needs, b, a) for a, b in itertools.pairwise(numbers))
    assert sorted(s for lane in lanes for s in lane.steps) == sorted(f"s{i}" for i in range(len(needs)))
