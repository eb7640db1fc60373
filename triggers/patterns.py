"""Globs over branches, tags, paths and authors. Pure, and linear in what strangers choose.

`*` and `?` stay within one part between slashes, `**` stands for any parts. A pattern after `!` takes away again; the
last one that fits decides. Patterns that only take away begin with everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase


def chosen(text: str, patterns: Sequence[str]) -> bool:
    """Whether the patterns choose this text. No patterns choose all."""
    found = all(pattern.startswith("!") for pattern in patterns)
    for pattern in patterns:
        taking = pattern.startswith("!")
        if found == taking and fits(text, pattern.removeprefix("!")):
            found = not taking
    return found


def fits(text: str, pattern: str) -> bool:
    """Whether one pattern, without `!`, fits the whole text."""
    parts = text.split("/")
    reached = {0}  # how many parts of the text the pattern's parts so far may have used up
    for wanted in pattern.removeprefix("./").split("/"):
        if wanted == "**":
            reached = set(range(min(reached), len(parts) + 1))
        else:
            reached = {at + 1 for at in reached if at < len(parts) and fnmatchcase(parts[at], wanted)}
        if not reached:
            return False
    return len(parts) in reached
