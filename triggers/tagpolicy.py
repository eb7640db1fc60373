"""Which tag of a repository a task follows, where it may be one of many: by pattern, by range of versions, the newest.

Pure. Registries do not tell when a tag came, so "newest" is always the highest version, never the last one pushed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any

from taskengine.errors import InvalidInput

_LONGEST = 500
_MOST_PARTS = 50
_VERSION = re.compile(
    r"v?([0-9]{1,18})(?:\.([0-9]{1,18}))?(?:\.([0-9]{1,18}))?"
    r"(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z.-]+)?"
)
_PART = re.compile(r"(\^|~|>=|<=|>|<|=)?v?([0-9]{1,18}|[xX*])(?:\.([0-9]{1,18}|[xX*]))?(?:\.([0-9]{1,18}|[xX*]))?")
_NUMBERS = re.compile(r"([0-9]{1,18})")
_EXAMPLES = "write regex:^1\\.[0-9]+$, semver:^1.2, semver:>=1.2 <2, or newest"

Release = tuple[int, int, int]


class PolicyKind(Enum):
    REGEX = "regex"
    SEMVER = "semver"
    NEWEST = "newest"


@dataclass(frozen=True, kw_only=True, slots=True)
class Version:
    """A version as far as its tag tells: what is missing is 0. `rest` is what stands after `-`."""

    release: Release
    rest: str = ""
    parts: int = 3

    @classmethod
    def parse(cls, tag: str) -> Version | None:
        found = _VERSION.fullmatch(tag)
        if found is None:
            return None
        major, minor, patch = (int(text) if text else 0 for text in found.group(1, 2, 3))
        parts = sum(text is not None for text in found.group(1, 2, 3))
        return cls(release=(major, minor, patch), rest=found[4] or "", parts=parts)

    @property
    def rank(self) -> tuple[Any, ...]:
        """Sorts as semantic versions do; of `1`, `1.0` and `1.0.0` the fullest is the highest."""
        rest = tuple((0, int(one), "") if one.isdigit() else (1, 0, one) for one in self.rest.split("."))
        return (self.release, not self.rest, rest if self.rest else (), self.parts)


@dataclass(frozen=True, kw_only=True)
class TagPolicy:
    """`text` is the pattern or the range, empty for the newest. Made by `parse`, which checks it."""

    kind: PolicyKind
    text: str = ""

    @classmethod
    def parse(cls, text: str) -> TagPolicy:
        """Read `regex:PATTERN`, `semver:RANGE` or `newest`. Raises InvalidInput."""
        name, _, rest = text.strip().partition(":")
        rest = rest.strip()
        if len(text) > _LONGEST:
            raise InvalidInput(f"the tag policy is longer than {_LONGEST} characters", hint=_EXAMPLES)
        known = {kind.value: kind for kind in PolicyKind}
        kind = known.get(name)
        if kind is None or bool(rest) == (kind is PolicyKind.NEWEST):
            raise InvalidInput(f"{text!r} is no tag policy", hint=_EXAMPLES)
        policy = cls(kind=kind, text=rest)
        if kind is PolicyKind.REGEX:
            _ = policy._pattern
        elif kind is PolicyKind.SEMVER:
            _ = policy._range
        return policy

    @cached_property
    def _pattern(self) -> Any:
        # re2 takes time in proportion to the text; the pattern is a stranger's
        import re2

        options = re2.Options()
        options.log_errors = False
        try:
            return re2.compile(self.text, options)
        except re2.error:
            raise InvalidInput(
                f"{self.text!r} is no regular expression", hint="the syntax is RE2's, without look-ahead"
            ) from None

    @cached_property
    def _range(self) -> tuple[tuple[tuple[Release, Release | None], ...], ...]:
        return tuple(_all_of(part) for part in self.text.split("||")[:_MOST_PARTS])

    def matches(self, tag: str) -> bool:
        """Whether the task follows this tag. Versions before a release (`2.0.0-rc1`) are in no range."""
        if self.kind is PolicyKind.REGEX:
            return self._pattern.search(tag) is not None
        version = Version.parse(tag)
        if version is None or version.rest:
            return False
        if self.kind is PolicyKind.NEWEST:
            return True
        return any(
            all(low <= version.release and (high is None or version.release < high) for low, high in both)
            for both in self._range
        )

    def best(self, tags: Iterable[str]) -> str:
        """The tag to follow now: the highest of those that match; empty when none does."""
        found = [tag for tag in tags if self.matches(tag)]
        return max(found, key=_rank, default="")


def _rank(tag: str) -> tuple[Any, ...]:
    """Versions sort as versions; other tags below them, by the numbers in them."""
    if version := Version.parse(tag):
        return (1, version.rank, tag)
    pieces = tuple((1, int(one), "") if _NUMBERS.fullmatch(one) else (0, 0, one) for one in _NUMBERS.split(tag) if one)
    return (0, pieces, tag)


def _all_of(text: str) -> tuple[tuple[Release, Release | None], ...]:
    """Words that must all be fulfilled: each from a release (included) to another (not included), None for no end."""
    words = re.sub(r"([<>=^~])\s+", r"\1", text).replace(",", " ").split()
    if not words or len(words) > _MOST_PARTS:
        raise InvalidInput("a part of the range of versions is empty, or too long", hint=_EXAMPLES)
    return tuple(_bounds(word) for word in words)


def _bounds(word: str) -> tuple[Release, Release | None]:
    found = _PART.fullmatch(word)
    if found is None:
        raise InvalidInput(f"{word[:50]!r} is no range of versions", hint=_EXAMPLES)
    sign = found[1] or "="
    numbers = [int(text) for text in _until_wildcard(found.group(2, 3, 4))]
    low = _release(numbers)
    after = _release([*numbers[:-1], numbers[-1] + 1]) if numbers else None
    if sign == "=":
        return low, after
    if sign == ">=":
        return low, None
    if sign == ">":
        return (after, None) if after else ((0, 0, 0), (0, 0, 0))
    if sign == "<":
        return (0, 0, 0), low
    if sign == "<=":
        return (0, 0, 0), after
    if sign == "~":
        return low, _release([*numbers[:1], numbers[1] + 1]) if len(numbers) > 1 else after
    # ^: up to the next change of the first number that is not 0
    first = next((place for place, number in enumerate(numbers) if number), len(numbers) - 1)
    return low, _release([*numbers[:first], numbers[first] + 1]) if numbers else None


def _until_wildcard(texts: Iterable[str | None]) -> Iterable[str]:
    for text in texts:
        if text is None or text in "xX*":
            return
        yield text


def _release(numbers: list[int]) -> Release:
    major, minor, patch = [*numbers, 0, 0, 0][:3]
    return major, minor, patch
