"""When a machine is fit to take runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from taskengine.errors import Unreachable
from taskengine.worker.health import GIB, Checkup, Watermarks


def test_a_worker_that_ran_short_of_room_waits_for_more_than_that(tmp_path: Path) -> None:
    free = iter((4, 1.5, 2.5, 3.5))
    checkup = Checkup(dict, (tmp_path,), Watermarks(), lambda _: int(next(free) * GIB))
    assert [checkup.look().is_fit for _ in range(4)] == [True, False, False, True]


def test_an_engine_that_is_away_makes_it_unfit(tmp_path: Path) -> None:
    def engine() -> dict[str, Any]:
        raise Unreachable("the engine does not answer")

    assert Checkup(engine, (tmp_path,), Watermarks()).look().why == "the engine does not answer"


def test_a_disk_that_does_not_answer_makes_it_unfit(tmp_path: Path) -> None:
    def free(_: Path) -> int:
        raise OSError(5, "Input/output error")

    assert Checkup(dict, (tmp_path,), Watermarks(), free).look().why == "the disk does not answer: input/output error"


def test_what_is_lacking_is_told_only_while_runs_are_refused(tmp_path: Path) -> None:
    free = [2.5]
    checkup = Checkup(dict, (tmp_path,), Watermarks(), lambda _: int(free[0] * GIB))
    assert (checkup.look().is_short, checkup.lacking()) == (False, 0)
    free[0] = 1
    assert (checkup.look().is_short, checkup.lacking()) == (True, 2 * GIB)
    free[0] = 2.5
    assert (checkup.look().is_short, checkup.lacking()) == (True, GIB // 2)
    free[0] = 3
    assert (checkup.look().is_short, checkup.lacking()) == (False, 0)


def test_without_a_watermark_no_disk_is_too_full(tmp_path: Path) -> None:
    assert Checkup(dict, (tmp_path,), Watermarks(stop=0, go=0), lambda _: 0).look().is_fit
