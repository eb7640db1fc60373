"""Waves of rebuilds as they are looked at. Use cases; must not know HTTP.

Who is bound to some tasks sees the waves that one of these is in, and of a wave those of its tasks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from taskengine.errors import NotFound
from taskengine.service.caller import Caller
from taskengine.service.services import Services
from taskengine.service.store import waves
from taskengine.service.store.waves import StoredMember, StoredWave


@dataclass(frozen=True, kw_only=True)
class ShownWave:
    """`tasks` counts the members by their states; `ready` are those that may start and whose runs are not queued yet.
    `members` are None in a list. `cycles` are tasks that stand on each other, as far as the caller may know them."""

    wave: StoredWave
    tasks: Mapping[str, int]
    members: tuple[StoredMember, ...] | None = None
    cycles: tuple[tuple[str, ...], ...] = ()


def page(
    services: Services, caller: Caller, *, state: str | None, top: int, cursor: str | None
) -> tuple[list[ShownWave], str | None]:
    """The newest first. Raises InvalidInput for a cursor that is none."""
    with services.database.read() as conn:
        found, after = waves.page(conn, top=top, cursor=cursor, state=state, scopes=caller.scopes)
        counted = waves.counts(conn, [one.number for one in found], caller.scopes)
    return [_shown(caller, one, counted[one.number], None) for one in found], after


def show(services: Services, caller: Caller, number: int) -> ShownWave:
    """Raises NotFound."""
    with services.database.read() as conn:
        found = waves.get(conn, number)
        members = tuple(waves.members(conn, number, caller.scopes))
        counted = waves.counts(conn, [number], caller.scopes)[number]
    if caller.scopes and not members:
        raise NotFound(f"there is no wave {number}", hint="acr-task waves list shows them")
    return _shown(caller, found, counted, members)


def _shown(
    caller: Caller, wave: StoredWave, counted: Mapping[str, int], members: tuple[StoredMember, ...] | None
) -> ShownWave:
    if members is not None and caller.scopes:
        members = tuple(replace(one, parents=tuple(filter(caller.in_scope, one.parents))) for one in members)
    cycles = tuple(tuple(task for task in cycle if caller.in_scope(task)) for cycle in wave.plan.get("cycles", ()))
    return ShownWave(wave=wave, tasks=counted, members=members, cycles=tuple(one for one in cycles if one))
