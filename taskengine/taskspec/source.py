"""Where something stands in the author's own file, also after aliases and templates have changed the text.

A pass over a text keeps a `TextMap` from what it made back to what it read; a `View` is a text with all such maps
behind it, and turns an offset into a `Location` of the file that a person wrote. Knows offsets and lines only.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from taskengine.errors import Location


class Source:
    """A file as its author wrote it: text, name, lines. Offsets and columns count characters."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        self._starts: list[int] | None = None

    @property
    def starts(self) -> list[int]:
        """The offset of every line's first character."""
        if self._starts is None:
            starts = [0]
            find = self.text.find
            at = find("\n")
            while at >= 0:
                starts.append(at + 1)
                at = find("\n", at + 1)
            self._starts = starts
        return self._starts

    def locate(self, offset: int) -> Location:
        offset = max(0, min(offset, len(self.text)))
        line = bisect_right(self.starts, offset)
        return Location(file=self.file, line=line, column=offset - self.starts[line - 1] + 1)

    def line(self, number: int) -> str:
        """The text of a line, counted from 1, without its end."""
        starts = self.starts
        if not 1 <= number <= len(starts):
            return ""
        end = starts[number] - 1 if number < len(starts) else len(self.text)
        return self.text[starts[number - 1] : end].rstrip("\r")


#: one piece of a made text: its offset there, its length, the offset it came from, whether it was copied as it is
Piece = tuple[int, int, int, bool]


class TextMap:
    """From offsets in a made text back to offsets in the text it was made of."""

    def __init__(self, pieces: Iterable[Piece]) -> None:
        self._pieces = sorted(pieces)
        self._outs = [piece[0] for piece in self._pieces]

    def back(self, offset: int) -> int:
        if not self._pieces:
            return offset
        out, length, src, verbatim = self._pieces[max(0, bisect_right(self._outs, offset) - 1)]
        if not verbatim:
            return src
        return src + max(0, min(offset - out, length))


class View:
    """A text after some passes, with the way back to its source."""

    def __init__(self, text: str, source: Source, maps: tuple[TextMap, ...] = ()) -> None:
        self.text = text
        self.source = source
        self._maps = maps

    @classmethod
    def of(cls, source: Source) -> View:
        return cls(source.text, source)

    def then(self, text: str, pieces: Iterable[Piece]) -> View:
        """The view after one more pass, which made `text` out of this one's text."""
        return View(text, self.source, (TextMap(pieces), *self._maps))

    def locate(self, offset: int) -> Location:
        for step in self._maps:
            offset = step.back(offset)
        return self.source.locate(offset)


class Builder:
    """Puts a new text together out of pieces of an old one and of new words, and remembers which is which."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._parts: list[str] = []
        self._pieces: list[Piece] = []
        self.length = 0

    def copy(self, start: int, end: int) -> None:
        """Take over the old text from `start` to `end`."""
        if end > start:
            self._add(self._text[start:end], start, verbatim=True)

    def put(self, text: str, src: int) -> None:
        """Write new words that stand for what is at `src` of the old text."""
        if text:
            self._add(text, src, verbatim=False)

    def _add(self, part: str, src: int, *, verbatim: bool) -> None:
        self._pieces.append((self.length, len(part), src, verbatim))
        self._parts.append(part)
        self.length += len(part)

    def text(self) -> str:
        return "".join(self._parts)

    @property
    def pieces(self) -> list[Piece]:
        return self._pieces
