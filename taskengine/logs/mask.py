"""Hides secrets in bytes and text. Which shapes of a secret are looked for is `secretforms.py`'s business.

Every stretch covered by one or more (overlapping) secrets becomes one `***`. A stream may be cut anywhere: the result
is the same as for the whole, and only a tail that could be the beginning of a secret is held back.
Must not know steps, lines or where the bytes go.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from taskengine.logs.secretforms import SHORTEST, Forms, forms_of

Data = bytes  # inside Mask the name `bytes` is a method
REPLACEMENT = b"***"
#: So many bytes of each form go into the search pattern; the rest is compared where they were found.
_HEAD = 16


class Mask:
    """Hides a fixed set of secrets. Without secrets (or with none that can be masked) it costs nothing."""

    def __init__(self, secrets: Iterable[str | bytes] = ()) -> None:
        forms: Forms = forms_of(secrets)
        self.empty = not (forms.anywhere or forms.words)
        self._words = forms.words
        self._too_short = forms.too_short
        if self.empty:
            return
        everything = forms.anywhere | forms.words
        self._sorted = sorted(everything)
        self._longest = max(map(len, everything))
        self._by_start: dict[bytes, list[bytes]] = defaultdict(list)
        for form in sorted(everything, key=len, reverse=True):
            self._by_start[form[:SHORTEST]].append(form)
        self._search = _searcher({form[:_HEAD] for form in everything})
        self._search_start = _searcher(set(self._by_start))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should know about this mask; names no value."""
        if not self._too_short:
            return ()
        count = "1 secret value is" if self._too_short == 1 else f"{self._too_short} secret values are"
        return (f"{count} too short or too common to be masked in logs",)

    def text(self, text: str) -> str:
        if self.empty or not text:
            return text
        return self.bytes(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")

    def bytes(self, data: bytes) -> bytes:
        if self.empty or self._search(data, 0) < 0:
            return data
        stream = self.stream()
        return stream.feed(data) + stream.close()

    def stream(self) -> MaskStream:
        """For bytes that come in pieces. Not thread-safe: one stream has one writer."""
        return MaskStream(self)

    def _match(self, data: Data, at: int, before: Data) -> int:
        """The end of the longest secret that starts at `at`, -1 for none. `before` is the byte in front of `data`."""
        for form in self._by_start.get(data[at : at + SHORTEST], ()):
            if data.startswith(form, at) and (form not in self._words or _stands_alone(data, at, form, before)):
                return at + len(form)
        return -1

    def _undecided(self, data: Data) -> int:
        """The first place from which on more bytes could make a secret, or undo one; the length when there is none."""
        size = len(data)
        at = max(0, size - self._longest)
        while True:
            at = self._search_start(data, at)
            if at < 0:
                break
            if self._could_grow(data[at:]):
                return at
            at += 1
        for tail in range(max(0, size - SHORTEST + 1), size):
            if self._could_grow(data[tail:]):
                return tail
        return size

    def _could_grow(self, tail: Data) -> bool:
        """Whether some form is longer than `tail` and starts with it, or is it and needs to see what follows."""
        index = bisect_left(self._sorted, tail)
        if index < len(self._sorted) and self._sorted[index] == tail:
            if tail in self._words:
                return True
            index += 1
        return index < len(self._sorted) and self._sorted[index].startswith(tail)


class MaskStream:
    """A stream on its way through a mask. `feed` gives what is certain, `close` the rest (and starts afresh)."""

    def __init__(self, mask: Mask) -> None:
        self._mask = mask
        self._held = b""
        self._before = b""  # the byte in front of what is held
        self._covered = 0  # so many bytes of what is held belong to a secret whose asterisks are out already

    def feed(self, chunk: bytes) -> bytes:
        if self._mask.empty or not chunk:
            return chunk
        return self._pass(self._held + chunk if self._held else chunk, final=False)

    def close(self) -> bytes:
        out = self._pass(self._held, final=True) if self._held else b""
        self._before = b""
        return out

    def _pass(self, data: bytes, *, final: bool) -> bytes:
        mask = self._mask
        end = len(data) if final else mask._undecided(data)
        out: list[bytes] = []
        at = self._covered  # all before it is dealt with; it is also where the last hidden stretch ends
        found = mask._search(data, 0)
        while 0 <= found < end:
            stop = mask._match(data, found, self._before)
            if stop >= 0:
                if found >= at:
                    out += (data[at:found], REPLACEMENT)
                at = max(at, stop)
            found = mask._search(data, found + 1)
        if at < end:
            out.append(data[at:end])
        self._covered = max(0, at - end)
        self._held = data[end:]
        if end:
            self._before = data[end - 1 : end]
        return out[0] if len(out) == 1 else b"".join(out)


def _stands_alone(data: bytes, at: int, form: bytes, before: bytes) -> bool:
    left = data[at - 1 : at] if at else before
    right = data[at + len(form) : at + len(form) + 1]
    return not (_is_word(form[:1]) and _is_word(left)) and not (_is_word(form[-1:]) and _is_word(right))


def _is_word(byte: bytes) -> bool:
    return byte.isalnum() or byte == b"_"


def _searcher(heads: set[bytes]) -> Callable[[bytes, int], int]:
    """A function that finds the first of `heads` in bytes from a position on (-1: none).

    RE2, because its speed does not depend on the number of alternatives; imported here, because most runs of the
    command have no secrets.
    """
    import re2

    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.max_mem = 256 << 20
    options.log_errors = False
    pattern: Any = re2.compile(b"|".join(_escape(head) for head in sorted(heads)), options)

    def search(data: bytes, start: int) -> int:
        found = pattern.search(data, start)
        return -1 if found is None else int(found.start())

    return search


def _escape(literal: bytes) -> bytes:
    return b"".join(b"\\x%02x" % byte for byte in literal)
