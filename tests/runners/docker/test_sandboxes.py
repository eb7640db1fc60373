"""Which step joins which sandbox, what it is called then, and who has a namespace of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runners.docker.lanes import Lane
from runners.docker.sandboxes import Sandboxes

LONG = 1000  # more steps wait than any pool has sandboxes


class Keeper:
    """Makes sandboxes when the test says so, and knows what each is called."""

    def __init__(self, *, open_gate: bool = True) -> None:
        self.gate = threading.Event()
        self.names: dict[str, list[str]] = {}
        self.networks: dict[str, str] = {}
        self.renamed: list[str] = []
        self.removed: list[str] = []
        self.on_rename: Callable[[str], None] = lambda _: None
        self.fails_to_start = False
        if open_gate:
            self.gate.set()

    def start_sandbox(self, number: int, network: str, names: Iterable[str]) -> str:
        assert self.gate.wait(10)
        if self.fails_to_start:
            raise OSError("no")
        self.networks[f"box-{number}"] = network
        self.names[f"box-{number}"] = list(names)
        return f"box-{number}"

    def rename_sandbox(self, container: str, network: str, names: Iterable[str]) -> None:
        assert self.networks[container] == network
        self.on_rename(container)
        self.names[container] = list(names)
        self.renamed.append(container)

    def remove_sandbox(self, container: str) -> None:
        self.removed.append(container)
        del self.names[container]


def lane(number: int, *steps: str, at_once: bool, network: str = "n") -> Lane:
    return Lane(id=number, network=network, steps=steps, at_once=at_once)


def lone(*steps: str, network: str = "n") -> list[Lane]:
    """Steps that do not need each other and start when the test lets them."""
    return [lane(i, step, at_once=True, network=network) for i, step in enumerate(steps)]


def sandboxes_of(keeper: Keeper, *, starts_at_once: int = LONG, most: int = 4) -> Sandboxes:
    return Sandboxes(keeper, starts_at_once=starts_at_once, most=most)


# lanes


def test_all_steps_of_a_chain_join_its_sandbox_which_is_never_renamed() -> None:
    keeper = Keeper()
    sandboxes = sandboxes_of(keeper)
    sandboxes.warm([lane(0, "a", "b", "c", at_once=True)])
    for step in "abc":
        sandboxes.await_lane(step)
        assert sandboxes.take(step) == "box-0"
        sandboxes.leave(step)
    assert (keeper.names, keeper.renamed) == ({"box-0": ["a", "b", "c"]}, [])
    sandboxes.close()


def test_a_lone_step_that_starts_at_once_gets_no_sandbox() -> None:
    keeper = Keeper()
    sandboxes = sandboxes_of(keeper)
    sandboxes.warm(lone("a"))
    assert sandboxes.take("a") is None
    sandboxes.close()
    assert keeper.names == {}


def test_further_chains_that_start_at_once_do_not_wait_for_theirs() -> None:
    keeper = Keeper(open_gate=False)
    sandboxes = sandboxes_of(keeper)
    sandboxes.warm([lane(0, "a", "b", at_once=True), lane(1, "x", "y", at_once=True)])
    sandboxes.await_lane("x")
    assert sandboxes.take("x") is None
    keeper.gate.set()
    assert sandboxes.take("a") == "box-0"
    sandboxes.close()


def test_a_step_that_went_its_own_way_is_not_named_by_the_sandbox() -> None:
    keeper = Keeper(open_gate=False)
    sandboxes = sandboxes_of(keeper)
    sandboxes.warm([lane(0, "a", "b", at_once=True), lane(1, "x", "y", at_once=False)])
    assert sandboxes.take("x") is None
    keeper.gate.set()
    assert sandboxes.take("a") == "box-0"
    sandboxes._ahead.close()
    assert keeper.names["box-1"] == ["y"]
    assert sandboxes.take("y") == "box-1"


def test_chains_of_two_leave_it_to_the_pool_where_more_start_at_once_than_can() -> None:
    keeper = Keeper()
    sandboxes = sandboxes_of(keeper, starts_at_once=2)
    sandboxes.warm([lane(i, f"a{i}", f"b{i}", at_once=True) for i in range(3)])
    sandboxes.close()
    assert keeper.names == {}


def test_a_sandbox_that_cannot_be_started_is_done_without() -> None:
    keeper = Keeper()
    keeper.fails_to_start = True
    sandboxes = sandboxes_of(keeper)
    sandboxes.warm([lane(0, "a", "b", at_once=True)])
    for step in "ab":
        sandboxes.await_lane(step)
        assert sandboxes.take(step) is None
        sandboxes.leave(step)
    sandboxes.close()


def test_a_step_of_no_lane_has_a_namespace_of_its_own_however_many_wait() -> None:
    sandboxes = sandboxes_of(Keeper())
    assert sandboxes.take("unknown", queue=LONG) is None
    sandboxes.leave("unknown")
    sandboxes.close()


# reuse


def test_a_step_takes_a_sandbox_that_another_has_left_under_its_own_name() -> None:
    keeper = Keeper()
    sandboxes = sandboxes_of(keeper, most=1)
    sandboxes.warm(lone("a", "b"))
    assert sandboxes.take("a", queue=LONG) == "box-0"
    sandboxes.leave("a")
    assert sandboxes.take("b") == "box-0"
    assert keeper.names == {"box-0": ["b"]}


def test_nobody_takes_a_sandbox_that_a_step_is_in_nor_waits_for_it() -> None:
    keeper = Keeper()
    sandboxes = sandboxes_of(keeper, most=1)
    sandboxes.warm(lone("a", "b"))
    assert sandboxes.take("a", queue=LONG) == "box-0"
    assert sandboxes.take("b", queue=LONG) is None
    assert keeper.names == {"box-0": ["a"]}


def test_a_lanes_sandbox_serves_others_once_its_last_step_is_over_and_not_before() -> None:
    keeper = Keeper()
    sandboxes = sandboxes_of(keeper)
    sandboxes.warm([lane(0, "a", "b", at_once=True), *lone("x", "y")])
    sandboxes.take("a")
    sandboxes.leave("a")
    assert sandboxes.take("x") is None
    sandboxes.take("b")
    sandboxes.leave("b")
    assert sandboxes.take("y") == "box-0"
    assert keeper.names == {"box-0": ["y"]}
    sandboxes.close()


def test_a_sandbox_stays_in_its_network() -> None:
    keeper = Keeper()
    sandboxes = sandboxes_of(keeper)
    sandboxes.warm([*lone("a"), *lone("b", network="other")])
    sandboxes.take("a", queue=LONG)
    sandboxes.leave("a")
    assert sandboxes.take("b") is None


def test_a_step_that_is_tried_again_finds_its_name_where_it_left_it() -> None:
    keeper = Keeper()
    sandboxes = sandboxes_of(keeper)
    sandboxes.warm(lone("a", "b"))
    for step in "ab":
        sandboxes.take(step, queue=LONG)
    for step in "ab":
        sandboxes.leave(step)
    assert sandboxes.take("b") == "box-1"
    assert keeper.renamed == []


def test_a_step_that_is_tried_again_waits_until_its_old_sandbox_has_lost_its_name() -> None:
    keeper = Keeper()
    sandboxes = sandboxes_of(keeper, most=1)
    sandboxes.warm(lone("a", "b"))
    sandboxes.take("a", queue=LONG)
    sandboxes.leave("a")
    renaming, go_on = threading.Event(), threading.Event()

    def hold(_: str) -> None:
        renaming.set()
        assert go_on.wait(10)

    keeper.on_rename = hold
    with ThreadPoolExecutor(2) as threads:
        other = threads.submit(sandboxes.take, "b")
        assert renaming.wait(10)
        again = threads.submit(sandboxes.take, "a")
        assert not again.done()
        go_on.set()
        assert (other.result(10), again.result(10)) == ("box-0", None)
    assert keeper.names == {"box-0": ["b"]}


def test_a_sandbox_that_was_not_left_for_certain_is_never_used_again() -> None:
    sandboxes = sandboxes_of(Keeper(), most=1)
    sandboxes.warm(lone("a", "b"))
    sandboxes.take("a", queue=LONG)  # its container was lost sight of: nobody says that it left
    assert sandboxes.take("b", queue=LONG) is None


# how many are made


def test_none_is_made_when_nobody_waits() -> None:
    keeper = Keeper()
    sandboxes = sandboxes_of(keeper)
    sandboxes.warm(lone("a", "b"))
    assert [sandboxes.take(step, queue=0) for step in "ab"] == [None, None]
    assert keeper.names == {}


def test_no_more_are_made_than_those_who_wait_can_use_twice() -> None:
    sandboxes = sandboxes_of(Keeper())
    sandboxes.warm(lone("a", "b", "c"))
    assert [sandboxes.take(step, queue=3) for step in "abc"] == ["box-0", "box-1", None]


def test_no_more_are_made_than_the_bound() -> None:
    sandboxes = sandboxes_of(Keeper(), most=2)
    sandboxes.warm(lone("a", "b", "c"))
    assert [sandboxes.take(step, queue=LONG) for step in "abc"] == ["box-0", "box-1", None]


def test_steps_that_start_at_once_are_counted_before_they_have_come() -> None:
    sandboxes = sandboxes_of(Keeper(), starts_at_once=2)
    sandboxes.warm(lone("a", "b", "c", "d"))
    assert sandboxes.take("a", queue=0) == "box-0"


def test_as_many_steps_as_can_start_at_once_make_none() -> None:
    sandboxes = sandboxes_of(Keeper(), starts_at_once=4)
    sandboxes.warm(lone("a", "b", "c", "d"))
    assert sandboxes.take("a", queue=0) is None


# failures


def test_a_sandbox_that_cannot_be_renamed_is_removed_and_no_more_are_made() -> None:
    keeper = Keeper()
    sandboxes = sandboxes_of(keeper)
    sandboxes.warm(lone("a", "b", "c"))
    sandboxes.take("a", queue=LONG)
    sandboxes.leave("a")

    def refuse(_: str) -> None:
        raise OSError("not on this engine")

    keeper.on_rename = refuse
    assert sandboxes.take("b", queue=LONG) is None
    assert keeper.removed == ["box-0"]
    assert sandboxes.take("c", queue=LONG) is None


def test_a_pool_that_cannot_be_filled_is_done_without() -> None:
    keeper = Keeper()
    keeper.fails_to_start = True
    sandboxes = sandboxes_of(keeper)
    sandboxes.warm(lone("a", "b"))
    assert sandboxes.take("a", queue=LONG) is None
    keeper.fails_to_start = False
    assert sandboxes.take("b", queue=LONG) is None


# whatever happens


@given(st.lists(st.tuples(st.sampled_from("abcdefg"), st.integers(0, 9)), max_size=60), st.integers(0, 3))
def test_a_running_step_is_named_by_its_own_sandbox_and_no_other(turns: list[tuple[str, int]], most: int) -> None:
    keeper = Keeper()
    sandboxes = sandboxes_of(keeper, most=most)
    sandboxes.warm([lane(0, "a", "b", "c", at_once=True), *lone("d", "e", "f", "g")])
    running: dict[str, str | None] = {}
    for step, queue in turns:
        if step in running:
            del running[step]
            sandboxes.leave(step)
            continue
        chain = [other for other in "abc" if other in running]
        if step in "abc" and chain:
            continue  # steps of a lane never run at the same time
        running[step] = sandboxes.take(step, queue=queue)
        joined = [box for box in running.values() if box is not None]
        assert len(joined) == len(set(joined))
        for each, box in running.items():
            named = [name for name, names in keeper.names.items() if each in names]
            assert named == ([box] if box is not None else [])
    sandboxes.close()


@pytest.mark.parametrize("crowd", [40])
def test_many_threads_at_once_never_share(crowd: int) -> None:
    keeper = Keeper()
    steps = [f"s{i}" for i in range(crowd)]
    sandboxes = sandboxes_of(keeper, starts_at_once=4, most=6)
    sandboxes.warm(lone(*steps))
    inside: set[str] = set()
    lock = threading.Lock()

    def run(step: str) -> bool:
        for _ in range(3):
            box = sandboxes.take(step, queue=5)
            if box is not None:
                with lock:
                    assert box not in inside
                    inside.add(box)
                assert keeper.names[box] == [step]
                with lock:
                    inside.discard(box)
            sandboxes.leave(step)
        return True

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(run, steps))
    assert len(keeper.names) <= 6
