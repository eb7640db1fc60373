"""What a rendering takes and gives: limits, segments, the rendered text and the one error.

Plain data. Must not know how templates are parsed or executed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from taskengine.lightclass import dataclass


@dataclass(frozen=True, slots=True)
class Segment:
    """Characters [out, out + length) of the output come from offset `src` of the template text.

    `verbatim`: character i comes from src + i. Otherwise the action that starts at `src` made all of them."""

    out: int
    length: int
    src: int
    verbatim: bool


@dataclass(frozen=True)
class Rendered:
    """The text, and where each piece of it came from: in output order, without gaps."""

    text: str
    segments: tuple[Segment, ...]


@dataclass(frozen=True)
class Limits:
    """How much one rendering may do before it is refused. Ordinary task files stay a hundred times below.

    `output_chars` bounds the output, and a quarter of it everything that functions build on the way.
    `operations` bounds the work: roughly one for each action, function call and loop turn, more for long inputs.
    `depth` bounds templates that call templates."""

    output_chars: int = 16_000_000
    operations: int = 250_000
    depth: int = 10_000


#: more mistakes of one template are not told
MOST_TOLD = 50


class TemplateError(Exception):
    """A template that cannot be rendered: `offset` is the place in the template text, counted in characters from 0.
    `others` are further mistakes of the same template, in the order of the text."""

    def __init__(
        self,
        message: str,
        *,
        offset: int,
        kind: Literal["parse", "execute", "limit"],
        hint: str | None = None,
    ) -> None:
        # Operands are quoted in messages, and a hostile one may be as long as the file.
        if len(message) > 500:
            message = message[:300] + " ... " + message[-195:]
        super().__init__(message)
        self.message = message
        self.offset = offset
        self.kind = kind
        self.hint = hint
        self.others: tuple[TemplateError, ...] = ()


def together(errors: Iterable[TemplateError]) -> TemplateError:
    """The first of the errors by its place, with the others in it; of several at one place only the earliest."""
    places: dict[int, TemplateError] = {}
    for error in errors:
        places.setdefault(error.offset, error)
    first, *others = sorted(places.values(), key=lambda error: error.offset)
    first.others = tuple(others[: MOST_TOLD - 1])
    return first
