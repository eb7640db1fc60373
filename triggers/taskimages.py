"""What a task makes and what it stands on, put together for the graph out of its plan. Pure.

The builds' records are believed where there are any. Where a task never ran, its Dockerfiles say what it will ask for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from taskengine.dockerfile.scan import Scan
from taskengine.plan.model import Plan
from taskengine.registry.reference import ImageReference
from taskengine.runs.dependency import dependencies
from taskengine.runs.model import RunRecord, RunStatus, StepRecord, StepStatus
from taskengine.runs.watched import Watch, watched
from triggers.imagegraph import TaskImages, made_by, named


def task_images(task: str, plan: Plan, records: Iterable[RunRecord], watch: Watch = Watch.RUNTIME) -> TaskImages:
    """The task as a part of the graph. `records` are its runs, the newest first."""
    found = watched(plan, records, watch)
    uses = (named(ImageReference.parse(image.reference)) for image in found.images)
    return TaskImages(
        task=task,
        makes=made_by(plan),
        uses=tuple(dict.fromkeys(uses)),
        unknown=found.unknown,
        unwatched={one.reference: one.reason for one in found.unwatched},
    )


def foreseen(plan: Plan, scans: Mapping[str, Scan], platform: str) -> RunRecord:
    """What a run's record would tell of the builds whose Dockerfiles were scanned, by step; no digest is known."""
    steps = tuple(
        StepRecord(
            id=step.id,
            type=step.type.value,
            status=StepStatus.SUCCEEDED,
            attempts=1,
            exit_code=0,
            dependencies=dependencies(scans[step.id], (), platform=platform),
        )
        for step in plan.steps
        if step.id in scans
    )
    return RunRecord(id="foreseen", status=RunStatus.SUCCEEDED, steps=steps)
