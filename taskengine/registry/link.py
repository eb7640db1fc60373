"""The `Link` header (RFC 8288), by which registries page their lists: which address comes next. Pure."""

from __future__ import annotations

import re

from taskengine.lightpattern import pattern

_LINK = pattern(r'[\s,]*<([^>]*)>((?:[^",]|"(?:[^"\\]|\\.)*")*)')
_RELATION = pattern(r';\s*rel\s*=\s*(?:"([^"]*)"|([^\s;,"]+))', re.IGNORECASE)


def next_address(header: str | None) -> str:
    """The target of the first link whose relation is `next`, as written; empty when there is none."""
    text, at = header or "", 0
    while found := _LINK.match(text, at):
        relation = _RELATION.search(found[2])
        if relation and "next" in (relation[1] or relation[2] or "").lower().split():
            return found[1].strip()
        at = found.end()
    return ""
