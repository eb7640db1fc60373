"""Which task makes which image, and which task stands on it: the graph that a rebuild follows. Pure.

Images are named in full, by their tags (`docker.io/library/alpine:3`). Knows no store, no registry and no runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from taskengine.errors import InvalidInput
from taskengine.plan.model import Plan
from taskengine.registry.reference import ImageReference


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskImages:
    """What a task pushes and what it watches. `unknown` are its builds of which nobody knows yet what they stand on,
    `unwatched` images that cannot tell of anything new, and why."""

    task: str
    makes: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    unwatched: Mapping[str, str] = field(default_factory=dict)


def made_by(plan: Plan) -> tuple[str, ...]:
    """The images that a plan's runs push, each once."""
    found = []
    for step in plan.steps:
        for name in step.push:
            try:
                found.append(named(ImageReference.parse(name)))
            except InvalidInput:
                continue
    return tuple(dict.fromkeys(found))


def named(image: ImageReference) -> str:
    """The name of an image in the graph: without a digest, as a new one comes under the same tag."""
    return f"{image.name}:{image.tag or 'latest'}"


@dataclass(frozen=True, kw_only=True)
class ImageGraph:
    """Tasks by name, and for each image those that make it and those that stand on it, in the order of the tasks."""

    tasks: Mapping[str, TaskImages] = field(default_factory=dict)
    makers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    users: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, tasks: Iterable[TaskImages]) -> ImageGraph:
        by_name: dict[str, TaskImages] = {}
        makers: dict[str, list[str]] = {}
        users: dict[str, list[str]] = {}
        for task in tasks:
            if task.task in by_name:
                raise InvalidInput(f"there are two tasks of the name {task.task}", hint="give each its own name")
            by_name[task.task] = task
            for image in dict.fromkeys(task.makes):
                makers.setdefault(image, []).append(task.task)
            for image in dict.fromkeys(task.uses):
                users.setdefault(image, []).append(task.task)
        return cls(
            tasks=by_name,
            makers={image: tuple(names) for image, names in makers.items()},
            users={image: tuple(names) for image, names in users.items()},
        )

    def children(self, task: str) -> tuple[str, ...]:
        """The tasks that stand on what this one makes, each once; never itself."""
        found = (user for image in self.tasks[task].makes for user in self.users.get(image, ()) if user != task)
        return tuple(dict.fromkeys(found))

    @property
    def images(self) -> tuple[str, ...]:
        """Every image, each once."""
        return tuple(dict.fromkeys(one for task in self.tasks.values() for one in (*task.uses, *task.makes)))
