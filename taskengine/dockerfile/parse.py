"""Text to instructions: directives, comments, continued lines, heredocs, flags and words, as BuildKit's parser does it.

Says what is wrong with the form of the text and goes on, so that one look finds everything. Which instructions exist
and what arguments they want is `instruction.py`'s knowledge; stages and images are nobody's here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import field, replace

from taskengine.dockerfile.model import Directive, Dockerfile, Heredoc, Instruction, Source
from taskengine.dockerfile.problem import Problems
from taskengine.dockerfile.shell import ExpansionError, split_raw
from taskengine.dockerfile.words import (
    SPACE,
    NotStrings,
    json_list,
    split_flags,
    split_gaps,
    split_keyword,
    split_quoted,
)
from taskengine.lightclass import dataclass
from taskengine.lightpattern import pattern

LARGEST_TEXT = 4 * 1024 * 1024
_LONGEST_LINE = 65535
_DIRECTIVE = pattern(r"([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(\S.*)")
_DIRECTIVES = frozenset({"syntax", "escape", "check"})
_OLD_DIRECTIVES = frozenset({"syntax", "escape"})
_HEREDOC = pattern(r"(\d*)<<(-?)([^<]*)", re.ASCII)
_WITH_HEREDOC = frozenset({"ADD", "COPY", "RUN"})
_SHELL_OR_JSON = frozenset({"CMD", "ENTRYPOINT", "RUN", "SHELL"})
_LIST_OR_JSON = frozenset({"ADD", "COPY", "VOLUME"})
_ONE_STRING = frozenset({"MAINTAINER", "STOPSIGNAL", "USER", "WORKDIR"})
_QUOTED_WORDS = frozenset({"ARG", "ENV", "LABEL"})


def parse(text: str, *, file: str = "Dockerfile") -> tuple[Dockerfile, Problems]:
    """The instructions of a Dockerfile, and what is wrong with its form."""
    too_large = len(text) > LARGEST_TEXT
    lines = () if too_large else _lines(text.removeprefix("\ufeff"))
    source = Source(file=file, lines=lines)
    problems = Problems(source)
    if too_large:
        problems.add("E711", f"the file is larger than {LARGEST_TEXT} characters", 1, hint="is it a Dockerfile?")
    elif "\0" in text:
        problems.add("E711", "the file holds NUL characters: it is no text", 1, hint="is it a Dockerfile?")
        lines = ()
    reader = _Reader(lines=lines, problems=problems)
    instructions = tuple(reader.instructions())
    syntax, check = _front_end(lines)
    return Dockerfile(
        source=source, escape=reader.escape, syntax=syntax, check=check, instructions=instructions
    ), problems


def old_builder_finds_from(source: Source) -> bool:
    """Whether builders of some years ago, too, find a FROM: without any they do not refuse the file, they crash.

    They know no `check` directive and no heredocs, and a doubled escape character continued the line for them.
    """
    reader = _Reader(lines=source.lines, problems=Problems(source), is_old=True)
    return any(instruction.keyword == "FROM" for instruction in reader.instructions())


def _lines(text: str) -> tuple[str, ...]:
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return tuple(line.rstrip("\r") for line in lines)


@dataclass(slots=True)
class _Reader:
    """Walks through the lines; `next_line` counts from 0 and so is also the number of the line just read."""

    lines: tuple[str, ...]
    problems: Problems
    escape: str = "\\"
    next_line: int = 0
    is_old: bool = False
    seen: set[str] = field(default_factory=set)
    past_head: bool = False

    def instructions(self) -> Iterator[Instruction]:
        while self.next_line < len(self.lines):
            stripped = self._read().lstrip(SPACE)
            if not self.past_head:
                self._directive(stripped)
            if not stripped or stripped.startswith("#"):
                continue
            start = self.next_line
            whole = self._joined(stripped)
            if instruction := self._instruction(whole, start):
                yield instruction

    def _read(self) -> str:
        line = self.lines[self.next_line]
        self.next_line += 1
        if len(line) > _LONGEST_LINE:
            self.problems.add(
                "E711",
                f"the line is longer than {_LONGEST_LINE} characters",
                self.next_line,
                hint="continue it on more lines",
            )
        return line

    def _directive(self, stripped: str) -> None:
        match = _DIRECTIVE.match(stripped[1:].lstrip(SPACE)) if stripped.startswith("#") else None
        name = match[1].lower() if match else ""
        if match is None or name not in (_OLD_DIRECTIVES if self.is_old else _DIRECTIVES):
            self.past_head = True
            return
        if name in self.seen:
            self.problems.add(
                "E705", f"the directive {name} stands here a second time", self.next_line, hint="remove one of them"
            )
        self.seen.add(name)
        if name == "escape":
            self._set_escape(match[2].rstrip())

    def _set_escape(self, value: str) -> None:
        if value in {"\\", "`"}:
            self.escape = value
        else:
            self.problems.add(
                "E705", f"the escape character cannot be {value!r}", self.next_line, hint="it is \\ or `", needle=value
            )

    def _joined(self, first: str) -> str:
        """The whole instruction, its continued lines joined; comments between them are left out."""
        line, goes_on = self._cut_continuation(first)
        parts = [line]
        empty = 0
        while goes_on and self.next_line < len(self.lines):
            raw = self._read()
            stripped = raw.lstrip(SPACE)
            if stripped.startswith("#"):
                continue
            if not stripped:
                empty = empty or self.next_line
                continue
            line, goes_on = self._cut_continuation(raw)
            parts.append(line)
        if empty:
            self.problems.add(
                "W701", "an empty line inside a continued instruction", empty, hint="remove it, or end the line above"
            )
        return "".join(parts)

    def _cut_continuation(self, line: str) -> tuple[str, bool]:
        trimmed = line.rstrip(" \t")
        if trimmed.endswith(self.escape) and (self.is_old or trimmed[-2:-1] != self.escape):
            return trimmed[:-1], True
        return line, False

    def _instruction(self, whole: str, start: int) -> Instruction | None:
        try:
            instruction = _instruction(whole, self.escape, start, self.next_line)
        except NotStrings:
            self.problems.add(
                "E703", "a JSON list of arguments may hold strings only", start, hint="put every argument in quotes"
            )
            return None
        if "<<" not in whole or self.is_old or not _can_hold_heredocs(instruction):
            return instruction
        return replace(instruction, heredocs=self._heredocs(whole, start), last_line=self.next_line)

    def _heredocs(self, whole: str, start: int) -> tuple[Heredoc, ...]:
        found = []
        for heredoc in _named_heredocs(whole, start, self.problems):
            content = self._heredoc_content(heredoc)
            if content is None:
                self.problems.add(
                    "E706",
                    f"the heredoc {heredoc.name!r} has no end",
                    start,
                    needle="<<",
                    last_line=self.next_line,
                    hint=f"end it with a line that is {heredoc.name} and nothing else",
                )
                break
            found.append(replace(heredoc, content=content))
        return tuple(found)

    def _heredoc_content(self, heredoc: Heredoc) -> str | None:
        begin = self.next_line
        while self.next_line < len(self.lines):
            line = self.lines[self.next_line]
            self.next_line += 1
            if (line.lstrip("\t") if heredoc.chomp else line) == heredoc.name:
                return "".join(f"{text}\n" for text in self.lines[begin : self.next_line - 1])
        return None


def _instruction(whole: str, escape: str, start: int, last: int, *, depth: int = 0) -> Instruction:
    written, after = split_keyword(whole)
    flags, rest = split_flags(after)
    keyword = written.upper() if written.isascii() else written
    words, is_json = _arguments(keyword, rest, escape)
    inner = None
    if keyword == "ONBUILD" and rest and depth == 0:
        inner = _instruction(rest, escape, start, last, depth=1)
    return Instruction(
        keyword=keyword,
        written=written,
        flags=flags,
        rest=rest,
        words=words,
        is_json=is_json,
        line=start,
        last_line=last,
        inner=inner,
    )


def _arguments(keyword: str, rest: str, escape: str) -> tuple[tuple[str, ...], bool]:
    if not rest:
        return (), False
    if keyword in _SHELL_OR_JSON or keyword in _LIST_OR_JSON:
        listed = json_list(rest)
        if listed is not None:
            return listed, True
        return (split_gaps(rest) if keyword in _LIST_OR_JSON else (rest,)), False
    if keyword in _QUOTED_WORDS:
        return split_quoted(rest, escape), False
    if keyword in _ONE_STRING:
        return (rest,), False
    if keyword == "HEALTHCHECK":
        kind, *command = rest.split(maxsplit=1)
        listed = json_list(command[0]) if command else None
        return (kind, *(listed if listed is not None else command)), listed is not None
    return split_gaps(rest), False


def _can_hold_heredocs(instruction: Instruction) -> bool:
    bearer = instruction.inner or instruction
    return bearer.keyword in _WITH_HEREDOC and not bearer.is_json


def _named_heredocs(whole: str, line: int, problems: Problems) -> Iterator[Heredoc]:
    try:
        words = split_raw(whole, quotes=True)
    except ExpansionError:
        return
    for word in words:
        match = _HEREDOC.fullmatch(word)
        if match is None or not match[3]:
            continue
        try:
            names = split_raw(match[3], quotes=False)
            raw = split_raw(match[3], quotes=True)
        except ExpansionError as error:
            problems.add("E706", f"the name of the heredoc {word!r} is wrong: {error}", line, needle=word)
            continue
        if len(names) == 1:
            yield Heredoc(name=names[0], expand=_quotes(names) == _quotes(raw), chomp=bool(match[2]), content="")


def _quotes(words: tuple[str, ...]) -> int:
    return sum(word.count("'") + word.count('"') for word in words)


def _front_end(lines: tuple[str, ...]) -> tuple[Directive | None, Directive | None]:
    """The directives that a builder looks for before it parses: in the first column only, `//` is a comment as well."""
    begin = 1 if lines and lines[0].startswith("#!") else 0
    found = _front_end_directives(lines, begin, "#")
    if "syntax" not in found:
        found = {**_front_end_directives(lines, begin, "//"), **found}
    return found.get("syntax"), found.get("check")


def _front_end_directives(lines: tuple[str, ...], begin: int, comment: str) -> dict[str, Directive]:
    found: dict[str, Directive] = {}
    for number in range(begin, len(lines)):
        line = lines[number]
        match = _DIRECTIVE.match(line[len(comment) :].lstrip(SPACE)) if line.startswith(comment) else None
        name = match[1].lower() if match else ""
        if match is None or name not in _DIRECTIVES or name in found:
            break
        found[name] = Directive(name=name, value=match[2].rstrip(), line=number + 1)
    return found
