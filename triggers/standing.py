"""From what is known of a task to the rows that are kept of it: what it makes, stands on, and does not watch.

Pure. The plan says what a task would do, the records of its runs what its builds really stood on; a Dockerfile that was
read counts where no run has told yet. Must not know where any of them come from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from taskengine.errors import InvalidInput
from taskengine.plan.model import Plan
from taskengine.registry.reference import ImageReference
from taskengine.runs.model import RunRecord
from taskengine.runs.watched import Watch, Watched, watched, watched_by_records
from taskengine.service.model import Document, Run, Task
from taskengine.service.store.taskimages import Relation, TaskImage
from triggers.imagegraph import made_by, named

_RUNTIME_ONLY = "the trigger watches runtime bases only (baseImageTriggerType Runtime)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """What is known of a task. `plan` is None where its text could not be read. `records` are its runs, the newest
    first, `foreseen` what the Dockerfiles that were read say: it goes before the records of runs from before the task
    was changed (`older`)."""

    plan: Plan | None = None
    records: Sequence[RunRecord] = ()
    foreseen: RunRecord | None = None
    older: Sequence[RunRecord] = ()

    @property
    def all_records(self) -> tuple[RunRecord, ...]:
        return (*self.records, *((self.foreseen,) if self.foreseen else ()), *self.older)

    @property
    def tells(self) -> bool:
        """Whether anything is known of its steps at all."""
        return self.plan is not None or any(record.steps for record in self.all_records)


def trigger_of(document: Document) -> Mapping[str, Any]:
    """The task's base image trigger; empty for none."""
    return (document.get("trigger") or {}).get("baseImageTrigger") or {}


def is_watching(task: Task) -> bool:
    """Whether a new image may start the task at all."""
    trigger = trigger_of(task.document)
    return task.enabled and bool(trigger) and trigger.get("status", "Enabled") == "Enabled"


def watch_of(document: Document) -> Watch:
    return Watch(trigger_of(document).get("baseImageTriggerType") or Watch.RUNTIME.value)


def tells_of_task(run: Run) -> bool:
    """Whether a run's record says what the task stands on: a pull request's files are not the task's, nor are those
    of a context that was given for one run."""
    return not (run.spec.get("untrusted") or any(cause.get("kind") == "pullRequest" for cause in run.cause))


def rows(task: str, known: Known, watch: Watch, *, platform: str, before: Iterable[TaskImage] = ()) -> list[TaskImage]:
    """All that is to be kept of a task that is run on `platform`. `before` is what was kept: a digest that a run used
    stays known, also where only a Dockerfile tells of the image now."""
    chosen, all_of_it = _watched(known, watch), _watched(known, Watch.ALL)
    used = {(one.image, one.platform): one for one in before if one.relation is Relation.USES and one.digest}
    found = list(_uses(task, chosen, used, platform))
    watching = {one.image for one in found}
    found += (TaskImage(task=task, relation=Relation.MAKES, image=image) for image in _makes(known))
    for one in (*chosen.unwatched, *all_of_it.unwatched):
        name = ImageReference.parse(one.reference).normalised
        found.append(TaskImage(task=task, relation=Relation.UNWATCHED, image=name, reason=one.reason))
    for entry in all_of_it.images:
        name = named(ImageReference.parse(entry.reference))
        if name not in watching:
            found.append(
                TaskImage(
                    task=task, relation=Relation.UNWATCHED, image=name, platform=entry.platform, kind=entry.type.value,
                    digest=entry.digest or "", platform_digest=entry.platform_digest or "", reason=_RUNTIME_ONLY,
                )
            )  # fmt: skip
    for step in chosen.unknown:
        reason = "no run and no Dockerfile has told yet what this build stands on"
        found.append(TaskImage(task=task, relation=Relation.UNKNOWN, image=step, reason=reason))
    return found


def _watched(known: Known, watch: Watch) -> Watched:
    if known.plan is not None:
        return watched(known.plan, known.all_records, watch)
    return watched_by_records(known.all_records, watch)


def _uses(task: str, found: Watched, used: Mapping[tuple[str, str], TaskImage], platform: str) -> Iterator[TaskImage]:
    for entry in found.images:
        one = TaskImage(
            task=task, relation=Relation.USES, image=named(ImageReference.parse(entry.reference)),
            platform=entry.platform or platform, kind=entry.type.value, digest=entry.digest or "",
            platform_digest=entry.platform_digest or "",
        )  # fmt: skip
        earlier = used.get((one.image, one.platform))
        if not one.digest and earlier is not None:
            one = replace(one, digest=earlier.digest, platform_digest=earlier.platform_digest)
        yield one


def _makes(known: Known) -> tuple[str, ...]:
    if known.plan is not None:
        return made_by(known.plan)
    newest = next((run for run in known.all_records if any(image.pushed for image in run.images)), None)
    names = []
    for image in newest.images if newest else ():
        try:
            names.append(named(ImageReference.parse(image.reference)))
        except InvalidInput:
            continue
    return tuple(dict.fromkeys(names))
