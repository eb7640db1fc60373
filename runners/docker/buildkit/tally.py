"""How much of a build was cached, and what became of the caches it was told to use: read from its vertexes. Pure.

A step is an instruction that makes something (RUN, COPY, ADD, WORKDIR). FROM makes nothing, and neither do the chores
that BuildKit numbers among its vertexes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from taskengine.lightclass import dataclass
from taskengine.lightpattern import pattern

from .model import VertexUpdate

_STEP = pattern(r"\[(?!internal\]|auth\])(?:[^\]]* )?\d+/\d+\] (?!FROM )")
_STAGE = pattern(r"\[(?:[^\] ]* )?([^\] ]+) \d+/\d+\]")
_IMPORT = "importing cache manifest from "
_MISSING = pattern(r"not found|404|manifest unknown|name unknown", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Import:
    """A cache that the build was told to use. `is_missing`: there is none; else `error` says why it was not read."""

    reference: str
    error: str = ""

    @property
    def is_missing(self) -> bool:
        return _MISSING.search(self.error) is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """`ran` are the steps that were carried out, `missed` those of them that stand on nothing but what was cached:
    where the cache ended, in each branch of the build."""

    cached: int = 0
    total: int = 0
    ran: tuple[str, ...] = ()
    missed: tuple[str, ...] = ()
    imports: tuple[Import, ...] = ()

    def __add__(self, other: Tally) -> Tally:
        """Of a build for several platforms. A cache counts as read when any of them read it."""
        imports = {one.reference: one for one in (*self.imports, *other.imports)}
        imports |= {one.reference: one for one in (*self.imports, *other.imports) if not one.error}
        return Tally(
            cached=self.cached + other.cached,
            total=self.total + other.total,
            ran=(*self.ran, *other.ran),
            missed=tuple(dict.fromkeys((*self.missed, *other.missed))),
            imports=tuple(imports.values()),
        )

    @property
    def words(self) -> str:
        """One sentence; empty where there were no steps, or none of them was cached."""
        if not self.cached:
            return ""
        counted = f"{self.cached} of {self.total} steps cached"
        return f"nothing changed: {counted}" if self.cached == self.total else counted


def tally(vertexes: Iterable[VertexUpdate]) -> Tally:
    known = {vertex.digest: vertex for vertex in vertexes}
    steps = [v for v in known.values() if _STEP.match(v.name) and (v.cached or v.completed is not None)]
    ran = {v.digest for v in steps if not v.cached}
    missed = [v.name for v in steps if v.digest in ran and not ran.intersection(v.inputs)]
    imports = [
        Import(reference=v.name.removeprefix(_IMPORT), error=v.error)
        for v in known.values()
        if v.name.startswith(_IMPORT)
    ]
    return Tally(
        cached=len(steps) - len(ran),
        total=len(steps),
        ran=tuple(v.name for v in steps if not v.cached),
        missed=tuple(missed),
        imports=tuple(imports),
    )


def stages_in(names: Iterable[str]) -> frozenset[str]:
    """The stages that steps belong to, as BuildKit calls them: a name, or `stage-2` for one without."""
    return frozenset(found[1] for name in names if (found := _STAGE.match(name)) is not None)


def is_import(vertex: VertexUpdate) -> bool:
    """Whether the vertex reads a cache: its errors fail no build."""
    return vertex.name.startswith(_IMPORT)
