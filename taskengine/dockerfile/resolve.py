"""Puts values and names together: what each stage's base is, and which stages and images its instructions take from.

Follows BuildKit: only ARGs above the first FROM and the automatic platform variables count in a FROM, a base is looked
up among the stages above it by its exact name, every other name of a stage in any case and anywhere in the file.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field

from taskengine.dockerfile.instruction import FrontEnd, flag_value, judge, key_and_value, mounts
from taskengine.dockerfile.model import Instruction
from taskengine.dockerfile.platform import Platform, automatic_variables
from taskengine.dockerfile.problem import Problems
from taskengine.dockerfile.shell import Expanded, ExpansionError, expand
from taskengine.dockerfile.stage import SCRATCH, Stage, Structure, find_cycle, names_of, reachable
from taskengine.dockerfile.trigger import trigger_instructions
from taskengine.errors import InvalidInput
from taskengine.lightclass import dataclass
from taskengine.lightpattern import pattern
from taskengine.registry.reference import ImageReference, InvalidReference

_INDEX = pattern(r"[+-]?[0-9]{1,18}")
_MOST_TRIGGERS = 10_000
_IN_MOUNT = pattern(r"\$.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Resolution:
    """What was found. `bases` are the images that a FROM names, `roots` what each stage comes from in the end."""

    target: int
    roots: Mapping[int, ImageReference | None]
    bases: Mapping[int, ImageReference | None]
    takes: Mapping[int, Sequence[ImageReference]]
    platforms: Mapping[int, str]
    needed: frozenset[int]

    def base_of(self, stage: int) -> ImageReference | None:
        return self.roots.get(stage)

    def images(self, *, needed: bool) -> Iterator[ImageReference]:
        """The images that the needed stages, or the others, name; in the order of the file.

        Stages below the target count only where a needed one takes from them: to a builder the file ends at its target.
        """
        last = max(self.needed) if needed else self.target
        for stage in range(last + 1):
            if (stage in self.needed) is needed:
                if base := self.bases.get(stage):
                    yield base
                yield from self.takes.get(stage, ())


@dataclass(kw_only=True, slots=True)
class Resolver:
    """Resolves one file. `strict` makes errors of what a builder refuses although every base image is known."""

    structure: Structure
    problems: Problems
    escape: str
    build_args: Mapping[str, str]
    platforms: tuple[Platform, Platform]
    target: int
    front_end: FrontEnd
    strict: bool
    #: the ONBUILD triggers of base images, as far as they are known
    triggers: Mapping[ImageReference, Sequence[str]] = field(default_factory=dict)
    _names: dict[str, int] = field(default_factory=dict)
    _parents: dict[int, int] = field(default_factory=dict)
    _bases: dict[int, ImageReference | None] = field(default_factory=dict)
    _roots: dict[int, ImageReference | None] = field(default_factory=dict)
    _triggered: int = 0
    _takes: dict[int, list[ImageReference]] = field(default_factory=dict)
    _edges: dict[int, list[int]] = field(default_factory=dict)
    _sources: list[tuple[int, int, Instruction]] = field(default_factory=list)
    _flags: dict[int, str] = field(default_factory=dict)

    def resolve(self) -> Resolution:
        stages = self.structure.stages
        variables = self._global_variables(stages[self.target].name)
        above: dict[str, int] = {}
        for stage in stages:
            if stage.is_sound:
                self._open(stage, variables, above)
            if stage.name:
                above[stage.name] = stage.index
        self._names = names_of(stages)
        for stage in stages:
            for command in self._commands(stage):
                self._take(stage, command)
        needed = reachable(self.target, self._edges)
        self._refuse_circles(stages)
        self._refuse_later_sources(needed)
        return Resolution(
            target=self.target,
            roots=self._roots,
            bases=self._bases,
            takes=self._takes,
            platforms=self._flags,
            needed=needed,
        )

    def _global_variables(self, target_name: str) -> dict[str, str]:
        target, build = self.platforms
        variables = automatic_variables(target, build, target_name)
        variables.update({key: self.build_args[key] for key in variables if key in self.build_args})
        for instruction in self.structure.global_args:
            for word in instruction.words:
                key, default = key_and_value(word)
                value = self.build_args.get(key)
                if value is None and default is not None:
                    value = self._expand(default, variables, instruction, word)
                if value is not None:
                    variables[key] = value
        return variables

    def _expand(self, word: str, variables: Mapping[str, str], at: Instruction, needle: str) -> str | None:
        try:
            return expand(word, variables, self.escape).text
        except ExpansionError as error:
            self._add("E707", f"{_clip(needle)!r} cannot be expanded: {_clip(str(error))}", at, needle)
            return None

    def _open(self, stage: Stage, variables: Mapping[str, str], above: Mapping[str, int]) -> None:
        """Find what a stage is built on: a stage above it, nothing at all (scratch), or an image."""
        opening, word = stage.opening, stage.opening.words[0]
        self._platform(stage, variables)
        try:
            expanded = expand(word, variables, self.escape)
        except ExpansionError as error:
            self._add("E707", f"{_clip(word)!r} cannot be expanded: {_clip(str(error))}", opening, word)
            return
        base = expanded.text
        if not base:
            hint = self._missing_hint(expanded.missing, variables)
            self._add("E708", f"the base {_clip(word)!r} is blank once its variables are replaced", opening, word, hint)
        elif base in above:
            self._parents[stage.index] = above[base]
            self._roots[stage.index] = self._roots.get(above[base])
            self._edges.setdefault(stage.index, []).append(above[base])
        elif base == SCRATCH:
            self._bases[stage.index] = None
        elif image := self._image(base, opening, word, lambda: self._base_hint(base, expanded, variables, above)):
            self._bases[stage.index] = self._roots[stage.index] = image

    def _platform(self, stage: Stage, variables: Mapping[str, str]) -> None:
        word = flag_value(stage.opening, "platform")
        if not word:
            return
        try:
            expanded = expand(word, variables, self.escape)
            if not expanded.text:
                hint = self._missing_hint(expanded.missing, variables)
                self._add("E710", f"--platform={_clip(word)} has no value", stage.opening, "--platform", hint)
            else:
                self._flags[stage.index] = str(Platform.parse(expanded.text))
        except ExpansionError as error:
            self._add("E707", f"{_clip(word)!r} cannot be expanded: {_clip(str(error))}", stage.opening, "--platform")
        except InvalidInput as error:
            self._add("E710", error.message, stage.opening, "--platform", error.hint)

    def _commands(self, stage: Stage) -> Iterator[Instruction]:
        """A stage's instructions, preceded by what the stage or the image below it left for it with ONBUILD."""
        base = self._bases.get(stage.index)
        if base is not None and base in self.triggers:
            for command in trigger_instructions(self.triggers[base], stage.opening, self.front_end):
                if self._may_trigger(stage.opening):
                    yield command
        parent = self._parents.get(stage.index)
        if parent is not None:
            for command in self.structure.stages[parent].commands:
                if command.inner and self._may_trigger(command) and judge(command.inner, self.problems, self.front_end):
                    yield command.inner
        yield from stage.commands

    def _may_trigger(self, command: Instruction) -> bool:
        self._triggered += 1
        if self._triggered == _MOST_TRIGGERS:
            self._add("E711", f"ONBUILD would make more than {_MOST_TRIGGERS} instructions", command, "")
        return self._triggered < _MOST_TRIGGERS

    def _take(self, stage: Stage, command: Instruction) -> None:
        if command.keyword == "COPY":
            if source := flag_value(command, "from"):
                self._take_from(stage, command, source)
        elif command.keyword == "RUN" and command.flags:
            for mount in mounts(command):
                if not mount.source or mount.kind == "tmpfs":
                    continue
                if _IN_MOUNT.search(mount.source):
                    self._refused(command, f"from={_clip(mount.source)} cannot hold a variable", mount.source)
                else:
                    self._take_named(stage, command, mount.source)

    def _take_from(self, stage: Stage, command: Instruction, source: str) -> None:
        if self._changes(source):
            self._refused(command, f"--from={_clip(source)} cannot hold a variable", source)
        elif _INDEX.fullmatch(source):
            index = int(source)
            if 0 <= index < len(self.structure.stages):
                self._take_stage(stage, command, index)
            else:
                hint = f"stages count from 0; the last one is {len(self.structure.stages) - 1}"
                self._add("E709", f"there is no stage {index}", command, "--from", hint)
        else:
            self._take_named(stage, command, source)

    def _changes(self, source: str) -> bool:
        try:
            return expand(source, {}, self.escape).text != source
        except ExpansionError:
            return True

    def _take_named(self, stage: Stage, command: Instruction, source: str) -> None:
        index = self._names.get(source.lower())
        if index is not None:
            self._take_stage(stage, command, index)
        elif source != SCRATCH and (image := self._image(source, command, source)):
            self._takes.setdefault(stage.index, []).append(image)

    def _take_stage(self, stage: Stage, command: Instruction, index: int) -> None:
        self._edges.setdefault(stage.index, []).append(index)
        self._sources.append((stage.index, index, command))

    def _image(
        self, text: str, at: Instruction, needle: str, better_hint: Callable[[], str | None] = lambda: None
    ) -> ImageReference | None:
        try:
            return ImageReference.parse(text)
        except InvalidReference as error:
            if not self.problems.is_full:
                self._add("E708", error.message, at, needle, better_hint() or error.hint)
            return None

    def _refuse_circles(self, stages: Sequence[Stage]) -> None:
        circle = find_cycle(len(stages), self._edges)
        if circle is not None:
            stage = stages[circle]
            shown = stage.name or str(circle)
            self._add(
                "E709", f"stage {shown} needs itself", stage.opening, "", "no stage may copy from one built on it"
            )

    def _refuse_later_sources(self, needed: frozenset[int]) -> None:
        for taker, source, command in self._sources:
            if source > taker and taker in needed:
                name = self.structure.stages[source].name or str(source)
                hint = "move that stage up"
                self._refused(command, f"stage {name} is taken from before it is defined", name, hint)

    def _refused(self, at: Instruction, message: str, needle: str, hint: str | None = None) -> None:
        hint = hint or "name a stage here, and use the variable in that stage's FROM"
        self._add("E709" if self.strict else "W702", message, at, needle, hint)

    def _missing_hint(self, missing: tuple[str, ...], variables: Mapping[str, str]) -> str | None:
        if not missing or self.problems.is_full:
            return None
        name = missing[0]
        declared = {key_and_value(word)[0] for arg in self.structure.global_args for word in arg.words}
        if name in declared:
            return f"{name} has no value: give it one with --build-arg {name}=..., or a default in its ARG"
        for stage in self.structure.stages:
            for command in stage.commands:
                if command.keyword in {"ARG", "ENV"} and any(key_and_value(w)[0] == name for w in command.words):
                    return f"{command.keyword} {name} does not count in a FROM: declare ARG {name} above the first one"
        near = difflib.get_close_matches(name[:60], variables, n=1, cutoff=0.8)
        if near:
            return f"nothing declares {name}; did you mean {near[0]}?"
        return f"nothing declares {name}: put ARG {name} above the first FROM"

    def _base_hint(
        self, base: str, expanded: Expanded, variables: Mapping[str, str], above: Mapping[str, int]
    ) -> str | None:
        if base.lower() in above:
            return f"did you mean the stage {base.lower()}? A FROM wants its name in lower case"
        return self._missing_hint(expanded.missing, variables)

    def _add(self, code: str, message: str, at: Instruction, needle: str, hint: str | None = None) -> None:
        self.problems.add(code, message, at.line, hint=hint, needle=needle, last_line=at.last_line)


def _clip(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."
