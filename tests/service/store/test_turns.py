"""Writers take turns in the order in which they came."""

from __future__ import annotations

import threading

from taskengine.service.store.turns import Turns


def asked_after(turns: Turns, line: list[str], name: str) -> threading.Thread:
    """A thread that is in line by now, and notes its name when it is its turn."""
    before = turns.waiting

    def work() -> None:
        assert turns.acquire(60)
        line.append(name)
        turns.release()

    thread = threading.Thread(target=work)
    thread.start()
    while turns.waiting == before:
        assert thread.is_alive()
    return thread


def test_who_asked_first_is_next_and_who_releases_goes_to_the_end() -> None:
    turns, line = Turns(), list[str]()
    assert turns.acquire(1)
    threads = [asked_after(turns, line, name) for name in ("a", "b", "c")]
    turns.release()
    assert turns.acquire(60)  # after all who were in line before
    line.append("again")
    turns.release()
    for thread in threads:
        thread.join(60)
    assert line == ["a", "b", "c", "again"]


def test_who_gives_up_is_out_of_the_line() -> None:
    turns, line = Turns(), list[str]()
    assert turns.acquire(1)
    assert not turns.acquire(0.01)
    assert turns.waiting == 0
    thread = asked_after(turns, line, "a")
    turns.release()
    thread.join(60)
    assert line == ["a"]
    assert turns.acquire(0)
    turns.release()


def test_one_at_a_time_whatever_the_crowd() -> None:
    turns = Turns()
    inside, most = [0], [0]

    def work() -> None:
        for _ in range(200):
            assert turns.acquire(60)
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            inside[0] -= 1
            turns.release()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert most == [1]
