"""A Dockerfile as data: instructions in the order of the file, and the stages that they make.

No meaning is given to anything here; `parse.py` makes these from text, `stage.py` and `scan.py` read them.
"""

from __future__ import annotations

from taskengine.errors import Location
from taskengine.lightclass import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """The text under judgement, by lines, so that every problem can show the line it is about."""

    file: str
    lines: tuple[str, ...]

    def line(self, number: int) -> str | None:
        return self.lines[number - 1] if 0 < number <= len(self.lines) else None

    def place(self, number: int, needle: str = "", last: int = 0) -> Location:
        """Where `needle` stands from line `number` to line `last`; the line's first word when it is not found."""
        if needle:
            for candidate in range(number, min(max(number, last), len(self.lines)) + 1):
                column = self.lines[candidate - 1].find(needle)
                if column >= 0:
                    return Location(file=self.file, line=candidate, column=column + 1)
        text = self.line(number) or ""
        return Location(file=self.file, line=number, column=len(text) - len(text.lstrip()) + 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Directive:
    """A parser directive at the head of the file, `# name=value`."""

    name: str
    value: str
    line: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Heredoc:
    name: str
    expand: bool
    chomp: bool
    content: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Instruction:
    """One instruction, continued lines joined. `keyword` is in upper case; `rest` is what follows the flags.

    `words` are the arguments as the keyword's own rules split them; `is_json` says that they were a JSON list.
    `inner` is the instruction of an ONBUILD.
    """

    keyword: str
    written: str
    flags: tuple[str, ...]
    rest: str
    words: tuple[str, ...]
    is_json: bool
    line: int
    last_line: int
    heredocs: tuple[Heredoc, ...] = ()
    inner: Instruction | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Dockerfile:
    source: Source
    escape: str
    syntax: Directive | None
    check: Directive | None
    instructions: tuple[Instruction, ...]
