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
from taskengine.service.store.taskimages import Relation, TaskImage
from triggers.imagegraph import ImageGraph, TaskImages, made_by, named


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


def stored_graph(images: Iterable[TaskImage]) -> ImageGraph:
    """The graph of the stored tasks, out of the rows that are kept of them (`store.taskimages.all_images`)."""
    by_task: dict[str, list[TaskImage]] = {}
    for one in images:
        by_task.setdefault(one.task, []).append(one)
    return ImageGraph.of(
        TaskImages(
            task=task,
            makes=_related(found, Relation.MAKES),
            uses=_related(found, Relation.USES),
            unknown=_related(found, Relation.UNKNOWN),
            unwatched={one.image: one.reason for one in found if one.relation is Relation.UNWATCHED},
        )
        for task, found in by_task.items()
    )


def _related(found: Iterable[TaskImage], relation: Relation) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.image for one in found if one.relation is relation))


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
