"""Stages: which instructions belong to which, what each builds on, and what the built one needs in the end.

Knows names, numbers and edges. It must not know registries, variables' values or files: bases come in expanded.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

from taskengine.dockerfile.instruction import FrontEnd, judge, stage_name
from taskengine.dockerfile.model import Dockerfile, Instruction
from taskengine.dockerfile.parse import old_builder_finds_from
from taskengine.dockerfile.problem import Problems
from taskengine.lightclass import dataclass

SCRATCH = "scratch"


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """One FROM and what follows it. `is_sound` says that the FROM itself can be interpreted."""

    index: int
    name: str
    opening: Instruction
    commands: tuple[Instruction, ...]
    is_sound: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Structure:
    """A file's stages, and the ARGs before the first of them."""

    global_args: tuple[Instruction, ...]
    stages: tuple[Stage, ...]


def structure(dockerfile: Dockerfile, problems: Problems, front_end: FrontEnd) -> Structure:
    """Sort the instructions into stages; judge each of them, and the order of the file."""
    global_args: list[Instruction] = []
    openings: list[tuple[Instruction, bool]] = []
    commands: list[list[Instruction]] = []
    for instruction in dockerfile.instructions:
        is_sound = judge(instruction, problems, front_end)
        if instruction.keyword == "FROM":
            openings.append((instruction, is_sound))
            commands.append([])
        elif openings:
            if is_sound:
                commands[-1].append(instruction)
        elif instruction.keyword == "ARG":
            if is_sound:
                global_args.append(instruction)
        elif is_sound:
            _before_from(instruction, problems)
    if not openings:
        _no_from(dockerfile, problems)
    elif not old_builder_finds_from(dockerfile.source):
        hint = "end no line above FROM with the escape character, and leave out `# check=`"
        problems.add("E701", "older builders find no FROM in this file", openings[0][0].line, hint=hint)
    stages = (
        Stage(
            index=index,
            name=stage_name(opening) if is_sound else "",
            opening=opening,
            commands=tuple(commands[index]),
            is_sound=is_sound,
        )
        for index, (opening, is_sound) in enumerate(openings)
    )
    return Structure(global_args=tuple(global_args), stages=tuple(stages))


def _before_from(instruction: Instruction, problems: Problems) -> None:
    keyword = instruction.keyword
    hint = (
        "only ARG may; a value for a FROM is declared with ARG" if keyword == "ENV" else "only ARG may; move it below"
    )
    problems.add("E701", f"{keyword} stands before the first FROM", instruction.line, hint=hint)


def _no_from(dockerfile: Dockerfile, problems: Problems) -> None:
    only = {instruction.keyword for instruction in dockerfile.instructions}
    if not dockerfile.source.lines or not any(line.strip() for line in dockerfile.source.lines):
        message = "the Dockerfile is empty"
    elif not only:
        message = "the Dockerfile has no instructions"
    elif only == {"ARG"}:
        message = "the Dockerfile has nothing but ARG: there is no FROM"
    else:
        message = "the Dockerfile has no FROM"
    line = dockerfile.instructions[0].line if dockerfile.instructions else 1
    problems.add("E701", message, line, hint="begin with FROM IMAGE, or with FROM scratch")


def find_target(stages: Sequence[Stage], target: str, problems: Problems) -> int | None:
    """The number of the stage to be built: by name in any case, by number, the last one when none is asked for."""
    if not stages:
        return None
    if not target:
        return len(stages) - 1
    names = names_of(stages)
    if target.lower() in names:
        return names[target.lower()]
    if target.isascii() and target.isdigit() and len(target) < 9 and int(target) < len(stages):
        return int(target)
    near = difflib.get_close_matches(target.lower()[:60], names, n=1)
    known = f"its stages are {', '.join(list(names)[:20])}" if names else "its stages have no names"
    hint = f"did you mean {near[0]}?" if near else known
    problems.add_elsewhere("E709", f"the Dockerfile has no stage {target[:80]!r}", hint=hint)
    return None


def names_of(stages: Iterable[Stage]) -> dict[str, int]:
    """Stage numbers by name; of two stages with one name the later is meant."""
    return {stage.name: stage.index for stage in stages if stage.name}


def reachable(target: int, edges: Mapping[int, Iterable[int]]) -> frozenset[int]:
    """Every stage that the target needs, the target included."""
    found = {target}
    waiting = [target]
    while waiting:
        for stage in edges.get(waiting.pop(), ()):
            if stage not in found:
                found.add(stage)
                waiting.append(stage)
    return frozenset(found)


def find_cycle(count: int, edges: Mapping[int, Sequence[int]]) -> int | None:
    """A stage that needs itself in the end, or None."""
    done: set[int] = set()
    for root in range(count):
        path: set[int] = set()
        stack = [(root, iter(edges.get(root, ())))] if root not in done else []
        path.add(root)
        while stack:
            stage, following = stack[-1]
            for other in following:
                if other in path:
                    return other
                if other not in done:
                    path.add(other)
                    stack.append((other, iter(edges.get(other, ()))))
                    break
            else:
                stack.pop()
                path.discard(stage)
                done.add(stage)
    return None
