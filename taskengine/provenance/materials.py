"""What went into a pushed image: the images that its build, and the steps before it, stood on. Pure.

Reads the record of a run and nothing else: what was not seen while it ran is not claimed here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from taskengine.errors import InvalidInput
from taskengine.registry.reference import ImageReference
from taskengine.runs.model import Dependency, RunRecord, StepRecord


@dataclass(frozen=True, kw_only=True, slots=True)
class PushedImage:
    """One manifest in one repository, with all the names under which the run pushed it there."""

    references: tuple[str, ...]
    digest: str

    @property
    def reference(self) -> ImageReference:
        """The repository with the first name's tag, and the digest."""
        named = ImageReference.parse(self.references[0])
        return named.with_digest(self.digest) if self.digest else named


def pushed_images(record: RunRecord) -> tuple[PushedImage, ...]:
    """Every image that the run pushed, in the order in which it was first named."""
    found: dict[tuple[str, str], list[str]] = {}
    for image in record.images:
        if image.pushed:
            repository = ImageReference.parse(image.reference).name
            key = (repository, image.digest) if image.digest else (image.reference, "")
            found.setdefault(key, []).append(image.reference)
    return tuple(PushedImage(references=tuple(names), digest=digest) for (_, digest), names in found.items())


def materials(record: RunRecord, image: PushedImage) -> tuple[Dependency, ...]:
    """The images that the steps which made this one used: its build, and all that had to be done before it.

    Images that the run itself built stand for what they were built from. Empty for an image that the run only pushed.
    """
    builders = _built(record, image.references)
    found: dict[tuple[object, ...], Dependency] = {}
    for step in _upstream(record, builders):
        for one in step.dependencies:
            if not _built(record, [one.reference]):
                found.setdefault((one.type, one.reference, one.digest, one.platform), one)
    return tuple(found.values())


def _built(record: RunRecord, references: Iterable[str]) -> list[StepRecord]:
    wanted = {_normal(reference) for reference in references}
    return [
        step
        for step in record.steps
        if step.type == "build" and any(_normal(image.reference) in wanted for image in step.images)
    ]


def _upstream(record: RunRecord, steps: Iterable[StepRecord]) -> Iterator[StepRecord]:
    """The steps, and those that they waited for, in the order of the file."""
    by_id = {step.id: step for step in record.steps}
    waiting = [step.id for step in steps]
    seen: set[str] = set()
    while waiting:
        step_id = waiting.pop()
        if step_id in by_id and step_id not in seen:
            seen.add(step_id)
            waiting += by_id[step_id].needs
    return (step for step in record.steps if step.id in seen)


def _normal(reference: str) -> str:
    try:
        return ImageReference.parse(reference).normalised
    except InvalidInput:
        return reference
