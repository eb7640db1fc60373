"""The order of the queue, and what each waiting run is told. Pure: no database."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskengine.service.model import WorkerState
from taskengine.service.queueing import Caps, Place, Running, Waiting, order, pick, spots
from tests.service.support import AT

FREE = Place(id="w1", name="w1", capacity=99)


def waiting(number: int, owner: str = "ann", **more: Any) -> Waiting:
    return Waiting(id=f"ca{number}", number=number, owner=owner, **more)


def running(number: int, owner: str = "ann", **more: Any) -> Running:
    return Running(id=f"ca{number}", owner=owner, worker=more.pop("worker", "w9"), **more)


def picked(runs: list[Waiting], present: list[Running] | None = None, **more: Any) -> str | None:
    given = {"served": {}, "caps": Caps(), "place": FREE, "now": AT} | more
    found = pick(runs, present or [], given["served"], given["caps"], given["place"], given["now"])
    return found.id if found else None


def reasons(
    runs: list[Waiting], present: list[Running] | None = None, places: tuple[Place, ...] = (FREE,), **more: Any
) -> list[str]:
    found = spots(runs, present or [], more.get("served", {}), more.get("caps", Caps()), places, AT)
    return [spot.reason for spot in sorted(found, key=lambda spot: spot.run)]


# ---- the order


def test_the_oldest_run_starts_first() -> None:
    assert picked([waiting(3), waiting(1), waiting(2)]) == "ca1"


def test_a_higher_priority_goes_before_age_and_before_fair_share() -> None:
    runs = [waiting(1, "ann"), waiting(2, "bob", priority=5)]
    assert picked(runs, [running(9, "bob")]) == "ca2"


def test_the_owner_with_fewest_running_goes_first() -> None:
    assert picked([waiting(1, "ann"), waiting(2, "bob")], [running(9, "ann")]) == "ca2"


def test_among_owners_with_as_many_the_least_recently_served_goes_first() -> None:
    assert picked([waiting(1, "ann"), waiting(2, "bob")], served={"ann": 7, "bob": 3}) == "ca2"


def test_an_owner_that_was_never_served_goes_before_those_that_were() -> None:
    assert picked([waiting(1, "ann"), waiting(2, "bob")], served={"ann": 1}) == "ca2"


def test_one_owners_flood_does_not_keep_another_waiting() -> None:
    runs = [*(waiting(n, "ann") for n in range(1, 101)), waiting(101, "bob")]
    assert [run.id for run in order(runs, [], {})][:3] == ["ca1", "ca101", "ca2"]


# ---- what is passed over


def test_a_full_group_is_passed_over_and_in_nobodys_way() -> None:
    runs = [waiting(1, group="g"), waiting(2)]
    assert picked(runs, [running(9, group="g")]) == "ca2"
    assert picked([waiting(1, group="g", group_limit=2)], [running(9, group="g")]) == "ca1"


def test_a_cap_of_an_owner_or_a_task_is_kept() -> None:
    caps = Caps(owner=1, tasks={"big": 1})
    assert picked([waiting(1)], [running(9)], caps=caps) is None
    assert picked([waiting(1, task="big")], [running(9, "bob", task="big")], caps=caps) is None
    assert picked([waiting(1, task="big"), waiting(2)], [running(9, "bob", task="big")], caps=caps) == "ca2"
    assert picked([waiting(1)], [running(9)], caps=Caps(owner=1, owners={"ann": 2})) == "ca1"


def test_a_task_cap_is_not_for_quick_runs() -> None:
    assert picked([waiting(1)], [running(9, "bob")], caps=Caps(task=1)) == "ca1"


def test_a_worker_at_its_capacity_gets_nothing() -> None:
    assert picked([waiting(1)], [running(9, worker="w1")], place=Place(id="w1", capacity=1)) is None


@pytest.mark.parametrize("state", [state for state in WorkerState if state is not WorkerState.READY])
def test_only_a_ready_worker_gets_a_run(state: WorkerState) -> None:
    assert picked([waiting(1)], place=Place(id="w1", state=state)) is None


def test_a_delayed_run_waits_for_its_time() -> None:
    run = waiting(1, not_before=AT + timedelta(seconds=1))
    assert picked([run]) is None
    assert picked([run], now=AT + timedelta(seconds=1)) == "ca1"


@pytest.mark.parametrize(
    ("wanted", "known", "fits"),
    [
        ("", ("linux/amd64",), True),
        ("linux", ("linux/amd64",), True),
        ("linux/amd64", ("linux/arm64",), False),
        ("linux/arm64", ("linux/amd64", "linux/arm64"), True),
        ("linux/arm", ("linux/arm/v7",), True),
        ("linux/arm/v6", ("linux/arm/v7",), False),
        ("Linux/AMD64", ("linux/amd64",), True),
        ("windows", ("linux/amd64",), False),
        ("linux/amd64", (), True),
    ],
)
def test_a_run_goes_to_a_worker_of_its_platform(wanted: str, known: tuple[str, ...], fits: bool) -> None:
    assert picked([waiting(1, platform=wanted)], place=Place(id="w1", platforms=known)) == ("ca1" if fits else None)


def test_a_run_goes_to_its_pool_and_to_a_worker_with_its_labels() -> None:
    assert picked([waiting(1, pool="big")]) is None
    assert picked([waiting(1)], place=Place(id="w1", pool="big")) is None
    assert picked([waiting(1, pool="big")], place=Place(id="w1", pool="big")) == "ca1"
    assert picked([waiting(1, labels={"disk": "ssd"})], place=Place(id="w1", labels={"disk": "hdd"})) is None
    assert picked([waiting(1, labels={"disk": "ssd"})], place=Place(id="w1", labels={"disk": "ssd", "a": "b"})) == "ca1"


# ---- reasons


def test_each_waiting_run_says_why_it_waits() -> None:
    later = AT + timedelta(seconds=30)
    assert reasons([waiting(1)]) == ["is next"]
    assert reasons([waiting(1), waiting(2)])[1] == "waits its turn (1 before it)"
    assert reasons([waiting(1, not_before=later)]) == ["not before 2026-11-24T12:00:30Z"]
    assert reasons([waiting(1, not_before=later, attempt=2)]) == [
        "tries again at 2026-11-24T12:00:30Z, after an infrastructure error"
    ]
    assert reasons([waiting(1, group="g")], [running(5, group="g")]) == ["waits for group g (1 of 1 running: ca5)"]
    assert reasons([waiting(1)], [running(5)], caps=Caps(owner=1)) == ["owner ann is at its cap (1 of 1 running)"]
    assert reasons([waiting(1, task="t")], [running(5, "bob", task="t")], caps=Caps(task=1)) == [
        "task t is at its cap (1 of 1 running)"
    ]


def test_what_the_workers_lack_is_told_without_asking_them() -> None:
    assert reasons([waiting(1)], places=()) == ["no worker"]
    assert reasons([waiting(1, pool="big")]) == ["no worker in pool big"]
    assert reasons([waiting(1, platform="windows/amd64")], places=(Place(id="w1", platforms=("linux/amd64",)),)) == [
        "no worker for platform windows/amd64"
    ]
    assert reasons([waiting(1, labels={"a": "b"})]) == ["no worker with labels a=b"]
    unfit = Place(id="w1", name="one", state=WorkerState.UNFIT, why_not="the disk is full")
    assert reasons([waiting(1)], places=(unfit,)) == ["no worker is ready: one is unfit (the disk is full)"]
    assert reasons([waiting(1)], places=(Place(id="w1", state=WorkerState.LOST),)) == ["no worker"]
    busy = Place(id="w1", capacity=2)
    assert reasons([waiting(1)], [running(8, worker="w1"), running(9, worker="w1")], (busy,)) == [
        "waits for a free worker (2 of 2 places taken)"
    ]


# ---- properties

_waiting = st.builds(
    waiting, st.integers(1, 30), st.sampled_from("abc"), priority=st.integers(-1, 1), group=st.sampled_from(["", "g"]),
    task=st.sampled_from(["", "t"]),
)  # fmt: skip
_running = st.builds(
    running,
    st.integers(31, 60),
    st.sampled_from("abc"),
    group=st.sampled_from(["", "g"]),
    task=st.sampled_from(["", "t"]),
)
_caps = st.builds(Caps, owner=st.none() | st.integers(1, 3), task=st.none() | st.integers(1, 3))


@given(
    st.lists(_waiting, max_size=12, unique_by=lambda run: run.number),
    st.lists(_running, max_size=6, unique_by=lambda run: run.id),
    _caps,
)
def test_starting_runs_one_by_one_breaks_no_cap_and_no_group(
    runs: list[Waiting], present: list[Running], caps: Caps
) -> None:
    left, now_running = list(runs), list(present)
    while (run := pick(left, now_running, {}, caps, FREE, AT)) is not None:
        assert sum(1 for other in now_running if other.owner == run.owner) < (caps.owner or 99)
        assert not run.task or sum(1 for other in now_running if other.task == run.task) < (caps.task or 99)
        assert not run.group or not [other for other in now_running if other.group == run.group]
        left.remove(run)
        now_running.append(running(run.number, run.owner, group=run.group, task=run.task))
    told = {spot.run: spot.reason for spot in spots(left, now_running, {}, caps, [FREE], AT)}
    assert all("group" in reason or "cap" in reason for reason in told.values()), "what could start was started"


@given(
    st.lists(_waiting, max_size=12, unique_by=lambda run: run.number),
    st.lists(_running, max_size=6, unique_by=lambda run: run.id),
)
def test_positions_are_the_order_in_which_runs_would_start(runs: list[Waiting], present: list[Running]) -> None:
    plain = [Waiting(id=run.id, number=run.number, owner=run.owner, priority=run.priority) for run in runs]
    left, now_running, served, turn, found = list(plain), list(present), {}, 0, []
    while (run := pick(left, now_running, served, Caps(), Place(id="w1", capacity=999), AT)) is not None:
        left.remove(run)
        now_running.append(running(run.number, run.owner))
        turn += 1
        served[run.owner] = turn
        found.append(run.id)
    assert [run.id for run in order(plain, present, {})] == found
