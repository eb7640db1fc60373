"""Threads for steps: enough of them, not too many, and none left."""

from __future__ import annotations

import threading

import pytest

from taskengine.errors import RunnerError
from taskengine.scheduler.deadline import Deadlines
from taskengine.scheduler.pool import Pool


def test_every_job_has_a_thread_of_its_own_at_once() -> None:
    pool, together = Pool(100, "t"), threading.Barrier(20, timeout=20)
    pool.submit([together.wait] * 10)  # type: ignore[list-item]
    pool.submit([together.wait] * 10)  # type: ignore[list-item]
    pool.close()
    assert not together.broken


def test_a_job_may_submit_a_job_that_it_waits_for() -> None:
    pool, done = Pool(2, "t"), threading.Event()
    seen: list[bool] = []

    def outer() -> None:
        pool.submit([done.set])
        seen.append(done.wait(20))

    pool.submit([outer])
    assert done.wait(20)
    pool.close()
    assert seen == [True]


def test_closing_waits_for_what_was_submitted_and_leaves_no_thread() -> None:
    before, pool, done = threading.active_count(), Pool(3, "t"), list[int]()
    pool.submit([lambda i=i: done.append(i) for i in range(500)])  # type: ignore[misc]
    pool.close()
    assert sorted(done) == list(range(500))
    assert threading.active_count() <= before


def test_a_machine_without_threads_is_told_as_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RunnerError, match="no thread"):
        Pool(3, "t").submit([lambda: None])


def test_deadlines_come_due_in_order_and_not_when_taken_back() -> None:
    woken: list[int] = []
    deadlines, said = Deadlines(lambda: woken.append(1)), list[str]()
    deadlines.add(3, lambda: said.append("three"))
    deadlines.add(1, lambda: said.append("one"))
    dropped = deadlines.add(2, lambda: said.append("two"))
    deadlines.drop(dropped)
    assert deadlines.next() == 1
    for action in deadlines.take_due(5):
        action()
    assert said == ["one", "three"]
    assert deadlines.next() is None


def test_only_a_deadline_before_the_awaited_one_is_news() -> None:
    woken: list[int] = []
    deadlines = Deadlines(lambda: woken.append(1))
    deadlines.add(10, lambda: None)
    deadlines.add(20, lambda: None)
    assert len(woken) == 1
    deadlines.add(5, lambda: None)
    assert len(woken) == 2
