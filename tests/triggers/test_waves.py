"""The order of rebuilds: exactly once, parents first, branches that stop, cycles and storms."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskengine.errors import InvalidInput
from triggers.imagegraph import ImageGraph, TaskImages
from triggers.waves import Caps, MemberState, Wave, plan_wave, refusal

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
CHANGED, UNCHANGED, FAILED = MemberState.CHANGED, MemberState.UNCHANGED, MemberState.FAILED


def graph(**uses: str) -> ImageGraph:
    """Each task makes the image of its own name, and stands on those that are listed."""
    return ImageGraph.of(TaskImages(task=name, makes=(name,), uses=tuple(text.split())) for name, text in uses.items())


DIAMOND = graph(top="base", left="top", right="top", bottom="left right top", other="alone")


def wave(found: ImageGraph, *images: str, caps: Caps | None = None) -> Wave:
    return Wave(plan_wave(found, images, caps), NOW, caps)


def test_every_dependent_is_rebuilt_once_whatever_the_number_of_paths() -> None:
    plan = plan_wave(DIAMOND, ["base"])
    assert [(m.task, m.level, m.parents) for m in plan.members] == [
        ("top", 0, ()),
        ("left", 1, ("top",)),
        ("right", 1, ("top",)),
        ("bottom", 2, ("top", "left", "right")),
    ]
    assert plan.members[0].images == ("base",)
    assert (plan.cycles, plan.left_out, plan.levels) == ((), 0, 3)


def test_an_image_that_nobody_stands_on_leads_to_nothing() -> None:
    assert plan_wave(DIAMOND, ["bottom", "unheard-of"]).members == ()


def test_children_wait_for_all_of_their_parents() -> None:
    one = wave(DIAMOND, "base")
    assert one.begin().start == ("top",)
    assert one.ended("top", CHANGED).start == ("left", "right")
    assert one.ended("right", CHANGED).start == ()
    assert one.ended("left", UNCHANGED).start == ("bottom",)
    assert not one.is_over
    assert one.ended("bottom", CHANGED).start == ()
    assert one.is_over


def test_an_unchanged_result_stops_its_branch() -> None:
    one = wave(graph(a="base", b="a", c="b"), "base")
    one.begin()
    step = one.ended("a", UNCHANGED)
    reason = "nothing that it stands on has changed"
    assert (step.start, step.stopped) == ((), {"b": reason, "c": reason})
    assert one.is_over


def test_a_failed_parent_is_the_reason_that_is_said() -> None:
    one = wave(graph(a="base", b="a"), "base")
    one.begin()
    assert one.ended("a", FAILED).stopped == {"b": "a failed, so that what it stands on is as before"}


def test_a_child_with_a_reason_of_its_own_is_built_after_a_failed_parent() -> None:
    one = wave(graph(a="base", b="a base"), "base")
    assert one.begin().start == ("a",)
    assert one.ended("a", FAILED).start == ("b",)


def test_an_end_that_is_told_twice_changes_nothing() -> None:
    one = wave(DIAMOND, "base")
    one.begin()
    one.ended("top", CHANGED)
    assert one.ended("top", CHANGED).start == ()
    assert one.ended("nobody", CHANGED).start == ()
    assert one.ended("bottom", CHANGED).start == ()
    assert one.begin().start == ()


def test_tasks_that_stand_on_each_other_are_cut_and_said() -> None:
    plan = plan_wave(graph(a="base c", b="a", c="b", d="c"), ["base"])
    assert [(m.task, m.parents) for m in plan.members] == [("a", ()), ("b", ("a",)), ("c", ("b",)), ("d", ("c",))]
    assert plan.cycles == (("a", "b", "c"),)


def test_a_task_does_not_follow_its_own_image() -> None:
    found = graph(a="base a", b="a")
    assert [m.task for m in plan_wave(found, ["base"]).members] == ["a", "b"]
    assert [m.task for m in plan_wave(found, ["a"]).members] == ["b"]
    assert plan_wave(found, ["base"]).cycles == ()


def test_a_wave_is_capped_and_says_how_much_it_leaves_out() -> None:
    plan = plan_wave(DIAMOND, ["base"], Caps(members=2))
    assert ([m.task for m in plan.members], plan.left_out) == (["top", "left"], 2)
    one = Wave(plan, NOW)
    one.begin()
    assert one.ended("top", CHANGED).start == ("left",)


def test_a_further_change_within_the_window_is_folded_in() -> None:
    found = graph(a="base", b="a other", c="other", d="c")
    one = wave(found, "base")
    assert one.begin().start == ("a",)
    step = one.fold(found, ["other"], NOW + timedelta(minutes=1))
    assert step is not None
    assert step.start == ("c",)
    assert one.ended("a", UNCHANGED).start == ("b",)
    assert one.plan.images == ("base", "other")
    assert one.ended("c", CHANGED).start == ("d",)


def test_a_change_that_comes_too_late_is_a_wave_of_its_own() -> None:
    one = wave(DIAMOND, "base")
    one.begin()
    assert one.fold(DIAMOND, ["base"], NOW + timedelta(minutes=1)) is None
    late = wave(graph(a="base", b="other"), "base")
    assert late.fold(graph(a="base", b="other"), ["other"], NOW + timedelta(minutes=6)) is None


def test_what_a_wave_makes_itself_opens_no_other() -> None:
    one = wave(DIAMOND, "base")
    one.begin()
    assert one.covers(DIAMOND, "top")
    assert not one.covers(DIAMOND, "left")
    assert not one.covers(DIAMOND, "base")


def test_a_wave_goes_on_from_what_was_stored() -> None:
    one = wave(DIAMOND, "base")
    one.begin()
    one.ended("top", CHANGED)
    one.ended("left", CHANGED)
    two = wave(DIAMOND, "base")
    two.restore(one.states)
    assert two.begin().start == ()
    assert two.ended("right", UNCHANGED).start == ("bottom",)


def test_an_image_that_changes_all_the_time_is_a_storm() -> None:
    caps = Caps(waves=2)
    opened = [NOW - timedelta(minutes=70), NOW - timedelta(minutes=50), NOW - timedelta(minutes=10)]
    assert refusal("base", opened[:2], NOW, caps) == ""
    assert refusal("base", opened, NOW, caps) == (
        "base has begun 2 waves within 60 minutes, more than that is taken for a storm: again from 2026-01-02T03:14:05Z on"
    )


def test_two_tasks_of_one_name_are_refused() -> None:
    with pytest.raises(InvalidInput, match="two tasks of the name a"):
        ImageGraph.of([TaskImages(task="a"), TaskImages(task="a")])


@st.composite
def graphs(draw: st.DrawFn) -> Mapping[str, tuple[str, ...]]:
    """Any tasks t0, t1, ... on any of each other's images, cycles included; `base` is nobody's."""
    count = draw(st.integers(1, 12))
    names = [f"t{i}" for i in range(count)]
    return {name: tuple(draw(st.lists(st.sampled_from(["base", *names]), max_size=4))) for name in names}


def reachable(uses: Mapping[str, tuple[str, ...]]) -> set[str]:
    found: set[str] = set()
    while True:
        more = {t for t, images in uses.items() if t not in found and ({"base"} | found) & (set(images) - {t})}
        if not more:
            return found
        found |= more


@settings(max_examples=300, deadline=None)
@given(uses=graphs(), seed=st.integers(0, 1000))
def test_in_any_graph_all_dependents_are_built_once_and_after_their_parents(
    uses: Mapping[str, tuple[str, ...]], seed: int
) -> None:
    found = ImageGraph.of(TaskImages(task=name, makes=(name,), uses=images) for name, images in uses.items())
    plan = plan_wave(found, ["base"])
    order = [member.task for member in plan.members]
    assert sorted(order) == sorted(reachable(uses))
    cyclic = {task for cycle in plan.cycles for task in cycle}
    for place, member in enumerate(plan.members):
        assert set(member.parents) <= set(order[:place])
        # every edge counts but those of a cycle that lead back
        wanted = {i for i in uses[member.task] if i in order and i != member.task}
        assert set(member.parents) <= wanted
        assert wanted - set(member.parents) <= cyclic
        assert all(plan.members[order.index(parent)].level < member.level for parent in member.parents)

    random_order = random.Random(seed)
    one = Wave(plan, NOW)
    running, started, ended = list(one.begin().start), [], set()
    while running:
        task = running.pop(random_order.randrange(len(running)))
        member = next(m for m in plan.members if m.task == task)
        assert set(member.parents) <= ended
        started.append(task)
        step = one.ended(task, random_order.choice([CHANGED, UNCHANGED, FAILED]))
        ended |= {task, *step.stopped}
        running += step.start
    assert one.is_over
    assert len(started) == len(set(started))
    states = one.states
    for member in plan.members:
        has_reason = bool(member.images) or any(states[parent] is CHANGED for parent in member.parents)
        assert (member.task in started) == has_reason
