"""The parts of a parsed template. Plain data; positions are character offsets in the template text."""

from __future__ import annotations

from dataclasses import field
from typing import Any

from taskengine.lightclass import dataclass


@dataclass(slots=True)
class Literal:
    """A bool or a string."""

    pos: int
    value: bool | str
    text: str


@dataclass(slots=True)
class Number:
    """A number constant: which values it may stand for depends on where it is used."""

    pos: int
    text: str
    as_int: int | None = None
    as_uint: int | None = None
    as_float: float | None = None
    as_complex: complex | None = None


@dataclass(slots=True)
class Dot:
    pos: int
    text: str = "."


@dataclass(slots=True)
class Nil:
    pos: int
    text: str = "nil"


@dataclass(slots=True)
class FieldPath:
    """.A.B"""

    pos: int
    names: tuple[str, ...]
    text: str


@dataclass(slots=True)
class Variable:
    """$x or $x.A.B; the name keeps its dollar."""

    pos: int
    name: str
    names: tuple[str, ...]
    text: str


@dataclass(slots=True)
class Function:
    pos: int
    name: str
    text: str


@dataclass(slots=True)
class Chain:
    """(pipeline).A.B or function.A.B"""

    pos: int
    base: Operand
    names: tuple[str, ...]
    text: str


@dataclass(slots=True)
class Command:
    pos: int
    args: list[Operand] = field(default_factory=list)


@dataclass(slots=True)
class Pipeline:
    pos: int
    text: str = ""
    variables: list[str] = field(default_factory=list)
    assigns: bool = False
    commands: list[Command] = field(default_factory=list)


Operand = Literal | Number | Dot | Nil | FieldPath | Variable | Function | Chain | Pipeline


@dataclass(slots=True)
class Text:
    pos: int
    text: str


@dataclass(slots=True)
class Action:
    """`pos` is the place of the opening braces, here and in the statements below."""

    pos: int
    pipeline: Pipeline


@dataclass(slots=True)
class If:
    """An if or, with `sets_dot`, a with."""

    pos: int
    pipeline: Pipeline
    sets_dot: bool = False
    body: list[Any] = field(default_factory=list)
    otherwise: list[Any] = field(default_factory=list)


@dataclass(slots=True)
class Range:
    pos: int
    pipeline: Pipeline
    body: list[Any] = field(default_factory=list)
    otherwise: list[Any] = field(default_factory=list)


@dataclass(slots=True)
class Template:
    """A call of a named template."""

    pos: int
    name: str
    pipeline: Pipeline | None


@dataclass(slots=True)
class Break:
    pos: int


@dataclass(slots=True)
class Continue:
    pos: int


Statement = Text | Action | If | Range | Template | Break | Continue
