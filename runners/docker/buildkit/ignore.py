"""The patterns of .dockerignore: which paths of a build context stay at home. Text and paths in, booleans out.

Docker's own rules: the last pattern that matches decides, `!` takes a path back in, a pattern that matches a folder
covers all below it, `*` and `?` stop at a slash, `**` does not. Paths are relative, with slashes, without one at the
end. BuildKit sends the same patterns, already cleaned, with each request for files.

Must not know the file system, BuildKit or Docker.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Sequence

from taskengine.errors import InvalidInput
from taskengine.lightclass import dataclass

#: Which patterns matched a folder or one of its parents, one bit a pattern; `step` hands it on to the folder's content.
Marks = int


def parse_lines(text: str) -> tuple[str, ...]:
    """The patterns of a .dockerignore file: comments, blank lines and a byte order mark dropped, paths cleaned."""
    patterns = []
    for line in text.removeprefix("\ufeff").split("\n"):
        if line.startswith("#") or not (pattern := line.strip()):
            continue
        invert = pattern.startswith("!")
        if invert:
            pattern = pattern[1:].strip()
        if pattern:
            pattern = _clean(pattern)
            if len(pattern) > 1:
                pattern = pattern.removeprefix("/")
        patterns.append("!" + pattern if invert else pattern)
    return tuple(patterns)


class IgnoreMatcher:
    """A list of patterns, compiled. Immutable, so that several walks may share it."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._patterns = tuple(_compile(p) for p in (raw.strip() for raw in patterns) if p)
        self._exceptions = tuple(p for p in self._patterns if p.exception)

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def matches(self, path: str) -> bool:
        """Whether `path` is matched, by itself or through one of its folders."""
        marks, matched = 0, False
        parts = path.strip("/").split("/")
        for end in range(1, len(parts) + 1):
            matched, marks = self.step("/".join(parts[:end]), marks)
        return matched

    def step(self, path: str, parent: Marks) -> tuple[bool, Marks]:
        """The same for a walk from the root downwards, where `parent` is what the call for the folder handed on."""
        matched, marks = False, 0
        for bit, pattern in enumerate(self._patterns):
            hit = bool(parent >> bit & 1)
            if not hit:
                if pattern.exception != matched:
                    continue
                hit = pattern.test(path)
            if hit:
                marks |= 1 << bit
                matched = not pattern.exception
        return matched, marks

    def covers(self, marks: Marks) -> bool:
        """Whether a folder with these marks, and with it all below that no other pattern matches, is matched."""
        last = marks.bit_length() - 1
        return last >= 0 and not self._patterns[last].exception

    def is_settled(self, folder: str, marks: Marks) -> bool:
        """Whether `step` says the same of everything below a folder with these marks: no pattern that did not match
        the folder can match anything in it."""
        return all(marks >> bit & 1 or not _reaches_below(p.parts, folder) for bit, p in enumerate(self._patterns))

    def may_match_below(self, folder: str) -> bool:
        """False when no pattern can match anything inside of a folder that is not matched itself."""
        return any(_reaches_below(p.parts, folder) for p in self._patterns if not p.exception)

    def may_except_below(self, folder: str) -> bool:
        """False when no exception can take anything inside of a matched folder back in."""
        return any(_reaches_below(p.parts, folder) for p in self._exceptions)


@dataclass(frozen=True, slots=True)
class _Pattern:
    exception: bool
    test: Callable[[str], bool]
    parts: tuple[str, ...]


def _clean(path: str) -> str:
    cleaned = posixpath.normpath(path)
    return cleaned[1:] if cleaned.startswith("//") else cleaned


def _compile(raw: str) -> _Pattern:
    text = _clean(raw)
    exception = text.startswith("!")
    if exception:
        text = text[1:]
        if not text:
            raise InvalidInput("'!' alone is no pattern", hint="write '!PATH' to take a path back into the context")
    return _Pattern(exception=exception, test=tester(text), parts=tuple(text.split("/")))


def tester(text: str) -> Callable[[str], bool]:
    """A test for one pattern without its `!`. Literal patterns, by far the most, are compared and not searched."""
    expression, wild = _Translation(text).run()
    if not wild:
        return text.__eq__
    if text.startswith("**") and not set(text[2:]) & set("*?[]\\"):
        # Docker takes `**x` for "ends with x", which is wider than its regular expression would be
        end = text[2:]
        bare = end.removeprefix("/") if end.startswith("/") else None
        return lambda path: path.endswith(end) or path == bare
    compiled = re.compile(expression)
    return lambda path: compiled.fullmatch(path) is not None


class _Translation:
    """One pass over a pattern that makes a regular expression of it and refuses what Go's matcher refuses."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def run(self) -> tuple[str, bool]:
        """The expression, and whether it is more than the literal text."""
        out: list[str] = []
        wild = False
        while self._at < len(self._text):
            char = self._next()
            if char not in "*?[]\\":
                out.append(re.escape(char))
                continue
            wild = True
            out.append(self._special(char))
        return "".join(out), wild

    def _special(self, char: str) -> str:
        if char == "*":
            return self._stars()
        if char == "?":
            return "[^/]"
        if char == "[":
            return self._class()
        if char == "\\":
            return re.escape(self._next())
        return re.escape(char)

    def _next(self) -> str:
        if self._at >= len(self._text):
            raise InvalidInput(f"syntax error in the pattern '{self._text}'", hint="close '[' with ']'; '\\' escapes")
        char = self._text[self._at]
        self._at += 1
        return char

    def _take(self, wanted: str) -> bool:
        if self._text.startswith(wanted, self._at):
            self._at += len(wanted)
            return True
        return False

    def _stars(self) -> str:
        if not self._take("*"):
            return "[^/]*"
        self._take("/")
        return ".*" if self._at == len(self._text) else "(?:.*/)?"

    def _class(self) -> str:
        negated = "^" if self._take("^") else ""
        items: list[str] = []
        seen = False
        while not (seen and self._take("]")):
            seen = True
            low = high = self._member()
            if self._take("-"):
                high = self._member()
            if low <= high:
                items.append(f"{re.escape(low)}-{re.escape(high)}")
        if not items:
            return r"[\s\S]" if negated else "(?!)"
        return f"[{negated}{''.join(items)}]"

    def _member(self) -> str:
        char = self._next()
        if char in "-]":
            self._at = len(self._text)
            return self._next()
        return self._next() if char == "\\" else char


def _reaches_below(parts: Sequence[str], folder: str) -> bool:
    """Whether a pattern with these parts can match a path below `folder`. When in doubt, it can."""
    names = folder.split("/")
    for depth, part in enumerate(parts):
        if "**" in part or depth == len(names):
            return True
        if not _part_matches(part, names[depth]):
            return False
    return False


def _part_matches(part: str, name: str) -> bool:
    try:
        return tester(part)(name)
    except InvalidInput:
        return True  # half a class: the pattern has a slash between brackets
