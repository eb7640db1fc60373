"""A crowd shares one transaction; one that is wrong harms nobody else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from taskengine.errors import InvalidInput, TaskEngineError, Unreachable
from triggers.gather import Gatherer


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as made:
        yield made


class Slow:
    """Work that holds its first batch until it is released."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.begun, self.release = threading.Event(), threading.Event()

    def __call__(self, things: Sequence[int]) -> list[int | TaskEngineError]:
        self.batches.append(list(things))
        self.begun.set()
        assert self.release.wait(30)
        return [thing * 10 for thing in things]


def test_what_arrives_during_a_batch_makes_up_the_next_one(executor: ThreadPoolExecutor) -> None:
    work = Slow()
    gatherer: Gatherer[int, int] = Gatherer(work, executor, most=3)
    first = gatherer.submit(0)
    assert work.begun.wait(30)
    others = [gatherer.submit(number) for number in range(1, 6)]
    work.release.set()
    assert [one.result(30) for one in (first, *others)] == [0, 10, 20, 30, 40, 50]
    assert work.batches == [[0], [1, 2, 3], [4, 5]]
    assert gatherer.submit(7).result(30) == 70  # it begins anew after it had nothing to do


def test_each_hears_its_own_error(executor: ThreadPoolExecutor) -> None:
    gatherer: Gatherer[int, int] = Gatherer(
        lambda things: [InvalidInput("odd") if one % 2 else one for one in things], executor
    )

    async def all_of() -> list[int | BaseException]:
        return await asyncio.gather(*(gatherer.do(number) for number in range(4)), return_exceptions=True)

    found = asyncio.run(all_of())
    assert [found[0], found[2]] == [0, 2]
    assert all(isinstance(found[number], InvalidInput) for number in (1, 3))


def test_one_that_breaks_the_batch_is_alone_with_it(executor: ThreadPoolExecutor) -> None:
    hold = Slow()

    def work(things: Sequence[int]) -> list[int | TaskEngineError]:
        if 0 in things:
            return hold(things)
        if 3 in things:
            raise ZeroDivisionError
        return list(things)

    gatherer: Gatherer[int, int] = Gatherer(work, executor)
    gatherer.submit(0)
    assert hold.begun.wait(30)
    crowd = {number: gatherer.submit(number) for number in range(2, 6)}
    hold.release.set()
    assert [crowd[number].result(30) for number in (2, 4, 5)] == [2, 4, 5]
    assert isinstance(crowd[3].exception(30), ZeroDivisionError)


def test_a_database_that_is_away_is_asked_once_for_all(executor: ThreadPoolExecutor) -> None:
    hold, asked = Slow(), []

    def work(things: Sequence[int]) -> list[int | TaskEngineError]:
        if 0 in things:
            return hold(things)
        asked.append(list(things))
        raise Unreachable("away")

    gatherer: Gatherer[int, int] = Gatherer(work, executor)
    gatherer.submit(0)
    assert hold.begun.wait(30)
    crowd = [gatherer.submit(number) for number in (1, 2)]
    hold.release.set()
    assert all(isinstance(one.exception(30), Unreachable) for one in crowd)
    assert asked == [[1, 2]]


def test_more_than_may_wait_are_turned_away(executor: ThreadPoolExecutor) -> None:
    work = Slow()
    gatherer: Gatherer[int, int] = Gatherer(work, executor, waiting=2)
    gatherer.submit(0)
    assert work.begun.wait(30)
    waiting = [gatherer.submit(number) for number in (1, 2)]
    with pytest.raises(Unreachable):
        gatherer.submit(3)
    work.release.set()
    assert [one.result(30) for one in waiting] == [10, 20]
