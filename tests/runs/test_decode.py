"""What one process said as JSON is the same data in another."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from taskengine.runs.decode import event_of, kinds
from taskengine.runs.event import (
    Event,
    ImageReady,
    LogLine,
    Notice,
    RunFinished,
    RunStarted,
    StepFinished,
    StepProgress,
    StepRetrying,
    StepStarted,
    to_json,
)
from taskengine.runs.model import ImageResult, Reason, RunRecord, RunStatus, StepRecord, StepStatus

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
STEP = StepRecord(
    id="a", type="cmd", status=StepStatus.FAILED, needs=("b",), attempts=2, exit_code=7, reason=Reason.EXIT_CODE,
    message="no", error_ignored=True, started=AT, finished=AT, duration=1.5, last_lines=("x", "y"),
    images=(ImageResult(reference="app:1", digest="sha256:1", size=5, pushed=True),),
)  # fmt: skip
EVENTS: list[Event] = [
    RunStarted(at=AT, run_id="r1", steps=(("a", "cmd", ()), ("b", "build", ("a",)))),
    Notice(at=AT, message="look", level="warning", step="a"),
    Notice(at=AT, message="look"),
    StepStarted(at=AT, step="a", attempt=2, failed=True),
    StepRetrying(at=AT, step="a", attempt=1, delay=2.5, message="again"),
    StepProgress(at=AT, step="a", vertex="v", name="n", status="done", inputs=("w",), current=1, total=2, duration=0.5),
    LogLine(at=AT, step="a", stream="stderr", text="ü", continues=True),
    ImageReady(at=AT, step="a", image=STEP.images[0]),
    StepFinished(at=AT, record=STEP),
    RunFinished(at=AT, record=RunRecord(id="r1", status=RunStatus.FAILED, steps=(STEP,), critical_path=("a",))),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.kind)
def test_an_event_survives_json(event: Event) -> None:
    assert event_of(json.loads(json.dumps(to_json(event)))) == event


def test_every_kind_of_event_is_among_those() -> None:
    assert {type(event) for event in EVENTS} == set(kinds())


def test_a_kind_from_a_newer_version_is_nothing_and_a_key_of_one_is_left_out() -> None:
    assert event_of({"event": "step.dreamt", "at": "2026-01-02T03:04:05Z"}) is None
    newer = {**to_json(EVENTS[2]), "colour": "red"}
    assert event_of(newer) == EVENTS[2]


@pytest.mark.parametrize("broken", [{"event": "notice"}, {"event": "notice", "at": "soon", "message": "x"}])
def test_what_lacks_its_parts_is_refused(broken: dict[str, str]) -> None:
    with pytest.raises(ValueError):
        event_of(broken)
