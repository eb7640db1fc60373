"""The tokens of a task's source triggers, out of its secrets. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

_PREFIX = "source:"


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceToken:
    """`kind` is `PAT` or `OAuth`."""

    token: str = field(repr=False)
    kind: str = "PAT"


def tokens_of(kept: Mapping[str, str]) -> dict[str, SourceToken]:
    """By the names of the triggers that have one."""
    found = {}
    for name, value in kept.items():
        if not name.startswith(_PREFIX):
            continue
        try:
            given = json.loads(value)
        except ValueError:
            continue
        if isinstance(given, dict) and isinstance(token := given.get("token"), str) and token:
            kind = "OAuth" if given.get("tokenType") == "OAuth" else "PAT"
            found[name.removeprefix(_PREFIX)] = SourceToken(token=token, kind=kind)
    return found
