"""Environment variables as lists of `NAME=value`: a step's, the task's, the command line's."""

from __future__ import annotations

from taskengine.lightpattern import pattern

_NEXT = pattern(r",(?=[A-Za-z_][A-Za-z0-9_.]*=)")


def split_entries(entries: tuple[str, ...], *, always: bool) -> tuple[str, ...]:
    """Entries that hold several variables (`A=1,B=2`) taken apart.

    Those of the command line are split at each comma. A task's own are split only where a name and '=' follow, so
    that a value may hold commas (`LIST=a,b`), which ACR Tasks refuses.
    """
    if not any("," in entry for entry in entries):
        return entries
    parts: list[str] = []
    for entry in entries:
        parts.extend(entry.split(",") if always else _NEXT.split(entry))
    return tuple(parts)


def merge_env(own: tuple[str, ...], inherited: tuple[str, ...]) -> tuple[str, ...]:
    """One's own entries first, then what is inherited and not set by oneself. Names are compared as they are."""
    if not own:
        return inherited
    names = {entry.partition("=")[0] for entry in own}
    return (*own, *(entry for entry in inherited if entry.partition("=")[0] not in names))
