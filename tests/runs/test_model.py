"""The states of a run."""

from __future__ import annotations

from taskengine.runs.model import RunStatus


def test_a_run_that_has_ended_is_final_and_one_that_goes_on_is_not() -> None:
    going_on = {RunStatus.QUEUED, RunStatus.STARTED, RunStatus.RUNNING}
    assert {status for status in RunStatus if not status.is_final} == going_on
