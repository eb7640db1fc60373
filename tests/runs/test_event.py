"""Events as JSON: what scripts and the service read."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from taskengine.runs.event import LogLine, RunFinished, StepFinished, to_json
from taskengine.runs.model import ImageResult, Reason, RunRecord, RunStatus, StepRecord, StepStatus

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_a_line_of_output_names_its_step_and_stream() -> None:
    assert to_json(LogLine(at=AT, step="a", stream="stdout", text="hello")) == {
        "event": "log",
        "at": "2026-01-02T03:04:05Z",
        "step": "a",
        "stream": "stdout",
        "text": "hello",
        "continues": False,
    }


def test_a_step_record_has_names_for_states_and_no_nulls() -> None:
    record = StepRecord(id="a", type="cmd", status=StepStatus.FAILED, exit_code=7, reason=Reason.EXIT_CODE)
    data = to_json(StepFinished(at=AT, record=record))
    assert data["record"]["status"] == "failed"
    assert data["record"]["reason"] == "exit code"
    assert data["record"]["exitCode"] == 7
    assert "started" not in data["record"]


def test_a_run_record_is_plain_json_all_through() -> None:
    images = (ImageResult(reference="app:1", digest="sha256:1", pushed=True),)
    record = RunRecord(id="r1", status=RunStatus.SUCCEEDED, started=AT, images=images, critical_path=("a",))
    data = json.loads(json.dumps(to_json(RunFinished(at=AT, record=record))))
    assert data["record"]["status"] == "Succeeded"
    assert data["record"]["criticalPath"] == ["a"]
    assert data["record"]["images"][0]["digest"] == "sha256:1"
