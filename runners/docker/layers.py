"""Turns what the engine tells of the layers that it pulls or pushes into progress events."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from taskengine.plan.model import PlannedStep
from taskengine.runner import Attempt
from taskengine.runs.event import StepProgress


def layer_progress(
    step: PlannedStep, verb: str, image: str, line: dict[str, Any], attempt: Attempt, now: Callable[[], datetime]
) -> None:
    """Tell one line of what the engine says; `verb` is `pull` or `push`."""
    detail = line.get("progressDetail") or {}
    if not line.get("id") or not line.get("status"):
        return
    attempt.emit(
        StepProgress(
            at=now(), step=step.id, vertex=f"{verb}:{image}:{line['id']}",
            name=f"{verb} {image}: {line['status']}", status="started",
            current=int(detail.get("current") or 0), total=int(detail.get("total") or 0),
        )
    )  # fmt: skip
