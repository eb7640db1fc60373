"""Of several services one has a duty, for as long as it works."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from taskengine.service.store.database import Database
from tests.triggers.test_service import Clock
from triggers.turn import Turn


def test_one_has_it_until_it_is_silent_or_gives_it_back(database: Database, tmp_path: Path) -> None:
    clock = Clock()
    one, two = (Turn(clock.services(database, tmp_path), "poll") for _ in range(2))
    other = Turn(clock.services(database, tmp_path), "hooks")
    assert (one.mine(), two.mine(), other.mine()) == (True, False, True)
    for _ in range(5):
        clock.at += timedelta(seconds=8)
        assert (one.mine(), two.mine()) == (True, False)
    clock.at += timedelta(seconds=21)
    assert (two.mine(), one.mine()) == (True, False)
    two.give_back()
    one.give_back()  # it is nobody's already
    assert (one.mine(), two.mine()) == (True, False)


def test_it_is_not_written_down_again_all_the_time(database: Database, tmp_path: Path) -> None:
    clock = Clock()
    turn = Turn(clock.services(database, tmp_path), "poll")
    writes = 0
    transact = database.transact

    def counted(work):  # type: ignore[no-untyped-def]
        nonlocal writes
        writes += 1
        return transact(work)

    database.transact = counted  # type: ignore[method-assign]
    for _ in range(40):
        assert turn.mine()
        clock.at += timedelta(seconds=1)
    assert writes == 4
    clock.at -= timedelta(hours=1)  # a clock that was put back
    assert turn.mine()
    assert writes == 5
