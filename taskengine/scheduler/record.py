"""Puts a run's record together out of what its steps and its end were. Pure; knows no runner and no clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from taskengine.errors import Unreachable
from taskengine.plan.graph import critical_path
from taskengine.plan.model import Plan, PlannedStep
from taskengine.runs.model import ImageResult, RunRecord, RunStatus, StepRecord, StepStatus


def skipped(step: PlannedStep, cause: str) -> StepRecord:
    """The record of a step that never started; `cause` is a sentence."""
    return StepRecord(id=step.id, type=step.type.value, status=StepStatus.SKIPPED, needs=step.needs, message=cause)


def run_record(
    plan: Plan,
    records: Mapping[str, StepRecord],
    *,
    run_id: str,
    status: RunStatus,
    started: datetime,
    finished: datetime,
    duration: float,
    failed_step: str | None = None,
    message: str = "",
    hint: str = "",
    error_exit_code: int = 0,
) -> RunRecord:
    """The record of the run; the failed step says what happened unless `message` does."""
    steps = tuple(records[step.id] for step in plan.steps)
    failed = records.get(failed_step) if failed_step is not None else None
    ran = {step.id: step for step in steps if step.attempts}
    path, _ = critical_path(
        list(ran),
        {step.id: [need for need in step.needs if need in ran] for step in ran.values()},
        {step.id: step.duration for step in ran.values()},
    )
    return RunRecord(
        id=run_id,
        status=status,
        steps=steps,
        started=started,
        finished=finished,
        duration=duration,
        message=message or (failure_message(failed) if failed is not None else ""),
        hint=hint or (failed.hint if failed is not None else ""),
        failed_step=failed_step,
        critical_path=path,
        images=_images(ran.values()),
        dependencies=tuple(dict.fromkeys(d for step in ran.values() for d in step.dependencies)),
        error_exit_code=error_exit_code or (Unreachable.exit_code if failed is not None and failed.unreachable else 0),
    )


def failure_message(failed: StepRecord) -> str:
    """One sentence that names the step once."""
    what = failed.message or (f"exit code {failed.exit_code}" if failed.exit_code is not None else "no reason given")
    return what if f"step {failed.id!r}" in what else f"step {failed.id!r} failed: {what}"


def _images(steps: Iterable[StepRecord]) -> tuple[ImageResult, ...]:
    """Every image once, in the order it first appeared, with what was said about it last (a push adds the digest)."""
    images: dict[str, ImageResult] = {}
    for step in steps:
        for image in step.images:
            known = images.get(image.reference)
            images[image.reference] = image if known is None else _merged(known, image)
    return tuple(images.values())


def _merged(old: ImageResult, new: ImageResult) -> ImageResult:
    return ImageResult(
        reference=new.reference,
        digest=new.digest or old.digest,
        image_id=new.image_id or old.image_id,
        size=new.size if new.size is not None else old.size,
        pushed=new.pushed or old.pushed,
    )
