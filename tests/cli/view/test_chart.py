"""A run over time, drawn."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from taskengine.cli.view.chart import bars
from taskengine.runs.model import RunRecord, RunStatus, StepRecord, StepStatus

START = datetime(2024, 1, 1, tzinfo=UTC)


def step(step_id: str, begin: float | None, end: float | None) -> StepRecord:
    at = [None if t is None else START + timedelta(seconds=t) for t in (begin, end)]
    return StepRecord(id=step_id, type="cmd", status=StepStatus.SUCCEEDED, started=at[0], finished=at[1])


def drawn(*steps: StepRecord, width: int = 10) -> dict[str, str]:
    return bars(RunRecord(id="r", status=RunStatus.SUCCEEDED, steps=steps), unicode=False, width=width)


def test_a_step_is_drawn_where_it_ran() -> None:
    assert drawn(step("a", 0, 5), step("b", 5, 10)) == {"a": "#####.....", "b": ".....#####"}


def test_steps_that_ran_beside_each_other_are_drawn_below_each_other() -> None:
    assert drawn(step("a", 0, 10), step("b", 2, 4)) == {"a": "##########", "b": "..##......"}


def test_the_shortest_step_is_still_seen() -> None:
    assert drawn(step("a", 0, 10), step("b", 9.99, 10))["b"] == ".........#"


def test_a_step_that_never_ran_has_no_bar() -> None:
    assert list(drawn(step("a", 0, 1), step("b", None, None))) == ["a"]


def test_a_run_of_no_length_is_drawn_all_the_same() -> None:
    assert drawn(step("a", 0, 0)) == {"a": "#........."}
