"""Which images a task watches, so that a new one behind the same tag can start it again. Pure.

Found from the task's plan and from what its runs are recorded to have stood on; asks no registry, decides no run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from enum import Enum

from taskengine.errors import InvalidInput
from taskengine.lightclass import dataclass
from taskengine.plan.model import Plan, PlannedStep, StepType
from taskengine.registry.reference import ImageReference
from taskengine.runs.dependency import of_image
from taskengine.runs.model import Dependency, DependencyType, RunRecord, StepRecord

_BUILD = StepType.BUILD.value


class Watch(Enum):
    """How far a task looks; the names are ACR's (`--base-image-trigger-type`)."""

    #: only what built images are built on
    RUNTIME = "Runtime"
    #: all that its steps stand on: what builds take from, front ends and the images of commands, too
    ALL = "All"


@dataclass(frozen=True, kw_only=True, slots=True)
class Unwatched:
    """An image that cannot tell of anything new, and why."""

    reference: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Watched:
    """`images` are watched by their tags: each dependency holds the digests that were used last, None for never.

    `unknown` are the builds of which no run has told yet what they stand on: the task has to run once.
    """

    images: tuple[Dependency, ...] = ()
    unwatched: tuple[Unwatched, ...] = ()
    unknown: tuple[str, ...] = ()


def watched(plan: Plan, records: Iterable[RunRecord], watch: Watch = Watch.RUNTIME) -> Watched:
    """The images that a task with this plan watches. `records` are its runs, the newest first: of each step counts the
    newest that says what the step stood on."""
    last = _last_told({step.id: step.type.value for step in plan.steps}, records)
    return _sorted_out(((step.id, _of_step(step, last, watch)) for step in plan.steps), _made_by(plan))


def watched_by_records(records: Sequence[RunRecord], watch: Watch = Watch.RUNTIME) -> Watched:
    """The images that a task watches whose plan is not at hand: its newest run that got to its steps says which there
    are. `records` are its runs, the newest first."""
    newest = next((run for run in records if run.steps), None)
    if newest is None:
        return Watched()
    last = _last_told({step.id: step.type for step in newest.steps}, records)
    built = (image for run in records for step in run.steps if step.type == _BUILD for image in step.images)
    made_here = frozenset(ImageReference.parse(image.reference) for image in built)
    return _sorted_out(((step.id, _of_record(step, last, watch)) for step in newest.steps), made_here)


def _sorted_out(
    steps: Iterable[tuple[str, Sequence[Dependency] | None]], made_here: frozenset[ImageReference]
) -> Watched:
    found: dict[tuple[ImageReference, str], Dependency] = {}
    unwatched: dict[str, str] = {}
    unknown = []
    for step, dependencies in steps:
        if dependencies is None:
            unknown.append(step)
        for entry in dependencies or ():
            image = ImageReference.parse(entry.reference)
            if reason := _why_not(entry, image, made_here):
                unwatched[entry.reference] = reason
            else:
                key = (image, entry.platform)
                found[key] = _better(found.get(key), entry)
    return Watched(
        images=tuple(found.values()),
        unwatched=tuple(Unwatched(reference=name, reason=reason) for name, reason in unwatched.items()),
        unknown=tuple(unknown),
    )


def _of_step(step: PlannedStep, last: Mapping[str, StepRecord], watch: Watch) -> Sequence[Dependency] | None:
    """What a step stands on as far as it is watched; None when nobody knows."""
    if step.type is StepType.BUILD:
        return _of_build(last.get(step.id), watch)
    if step.type is not StepType.CMD or watch is Watch.RUNTIME or step.cmd is None:
        return ()
    try:
        image = ImageReference.parse(step.cmd.image)
    except InvalidInput:
        return ()
    # the plan names the image of a command, whatever ran last time; the record adds the digest
    record = last.get(step.id)
    known = next((d for d in record.dependencies if _is(d, image)), None) if record else None
    return (known or of_image(image, DependencyType.CMD),)


def _of_record(step: StepRecord, last: Mapping[str, StepRecord], watch: Watch) -> Sequence[Dependency] | None:
    """The same, of a step of which no more is known than its records."""
    if step.type == _BUILD:
        return _of_build(last.get(step.id), watch)
    told = last.get(step.id, step).dependencies
    return told if watch is Watch.ALL else ()


def _of_build(record: StepRecord | None, watch: Watch) -> Sequence[Dependency] | None:
    if record is None:
        return None
    return [d for d in record.dependencies if watch is Watch.ALL or d.type is DependencyType.RUNTIME]


def _last_told(wanted: Mapping[str, str], records: Iterable[RunRecord]) -> Mapping[str, StepRecord]:
    """By step the newest record that tells what it stood on, of the steps that are `wanted` by id and type. A build
    from nothing tells so by having succeeded."""
    last: dict[str, StepRecord] = {}
    for run in records:
        for step in run.steps:
            told = step.dependencies or (step.attempts and step.exit_code == 0)
            if told and wanted.get(step.id) == step.type:
                last.setdefault(step.id, step)
    return last


def _made_by(plan: Plan) -> frozenset[ImageReference]:
    return frozenset(ImageReference.parse(tag) for step in plan.steps if step.build for tag in step.build.tags)


def _why_not(entry: Dependency, image: ImageReference, made_here: frozenset[ImageReference]) -> str:
    if replace(image, digest="") in made_here:
        return "the task builds it itself"
    if image.digest:
        return "it is named by its digest and cannot change"
    if entry.local:
        return "it was on the engine alone, and no registry tells of it"
    return ""


def _better(known: Dependency | None, new: Dependency) -> Dependency:
    """Of two uses of one image the one whose digest is known; a runtime base counts as that."""
    if known is None:
        return new
    order = list(DependencyType)
    best = known if known.digest or not new.digest else new
    return replace(best, type=min(known.type, new.type, key=order.index))


def _is(entry: Dependency, image: ImageReference) -> bool:
    return ImageReference.parse(entry.reference) == image
