"""Which stages of a Dockerfile a cache has to hold besides the built one, and how each is asked for by name.

A builder is asked for a stage by its name only, so that one without a name is given one. That changes nothing of what
is built. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field

from taskengine.dockerfile.parse import parse
from taskengine.dockerfile.scan import Scan, scan
from taskengine.errors import InvalidTask
from taskengine.lightclass import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheStages:
    """The Dockerfile with a name for each of these stages: what to call it in a cache, and its name there."""

    dockerfile: str
    stages: tuple[tuple[str, str], ...] = ()
    #: by what a stage is called in the cache: the stages whose layers it has, as BuildKit calls them
    layers: Mapping[str, frozenset[str]] = field(default_factory=dict, hash=False)

    def below(self, stage: str) -> frozenset[str]:
        return self.layers.get(stage, frozenset())


def cache_stages(
    text: str, *, build_args: Mapping[str, str] | None = None, target: str = "", platform: str = ""
) -> CacheStages:
    """The stages that the target needs, without those whose layers another of them, or the target, stands on.

    A file that only its own front end understands has none.
    """
    try:
        found = scan(text, build_args=build_args, target=target, platform=platform)
        built = _target(found, target)
        wanted = [
            index
            for index, stage in enumerate(found.stages)
            if stage.is_needed and index != built and not _is_hidden(found, index)
        ]
        parents = _parents(text, found)
        needed = {*wanted, built}
        covered = {parent for stage, parent in parents.items() if stage in needed}
        wanted = [index for index in wanted if index not in covered]
        named = _named(text, [index for index in wanted if not found.stages[index].name])
        names = [stage.name for stage in scan(named, build_args=build_args, target=target, platform=platform).stages]
    except InvalidTask:
        return CacheStages(dockerfile=text)
    if len(names) != len(found.stages):
        return CacheStages(dockerfile=text)
    stages = [(index, found.stages[index].name or str(index)) for index in wanted if names[index]]
    return CacheStages(
        dockerfile=named,
        stages=tuple((label, names[index]) for index, label in stages),
        layers={label: frozenset(_below(index, parents, found)) for index, label in stages},
    )


def _target(found: Scan, target: str) -> int:
    names = {stage.name: index for index, stage in enumerate(found.stages) if stage.name}
    if target.lower() in names:
        return names[target.lower()]
    return int(target) if target.isascii() and target.isdigit() else len(found.stages) - 1


def _is_hidden(found: Scan, index: int) -> bool:
    """Whether a later stage has the same name: then nobody can ask for this one."""
    name = found.stages[index].name
    return bool(name) and any(stage.name == name for stage in found.stages[index + 1 :])


def _parents(text: str, found: Scan) -> dict[int, int]:
    """The stages that others begin with: who has the upper one's layers has theirs."""
    openings = [i for i in parse(text)[0].instructions if i.keyword == "FROM"]
    above: dict[str, int] = {}
    parents = {}
    for index, opening in enumerate(openings):
        if opening.words and opening.words[0] in above:
            parents[index] = above[opening.words[0]]
        if found.stages[index].name:
            above[found.stages[index].name] = index
    return parents


def _below(stage: int, parents: Mapping[int, int], found: Scan) -> Iterator[str]:
    at: int | None = stage
    while at is not None:
        yield found.stages[at].name or f"stage-{at}"
        at = parents.get(at)


def _named(text: str, stages: list[int]) -> str:
    lines = text.split("\n")
    openings = [i for i in parse(text)[0].instructions if i.keyword == "FROM"]
    for index in stages:
        at = openings[index].last_line - 1
        line = lines[at].rstrip("\r")
        lines[at] = f"{line} AS acr-task-stage-{index}{lines[at][len(line) :]}"
    return "\n".join(lines)
