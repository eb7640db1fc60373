"""What is to become of an image's change: to whom it is news, which wave takes it in, and whether one more would be a
storm. Reads only; what decides about real changes (`rebuild`) and about imagined ones (`simulate`) is the same.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from taskengine.service.store import Connection, reach, waves
from taskengine.service.store.reach import Use
from triggers.imagechange import Seen
from triggers.imagegraph import ImageGraph
from triggers.imageverdict import Verdicts, verdicts
from triggers.waves import Caps, refusal
from triggers.wavestate import Restored, graph_of, restore, with_more


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Who stands on the image, who makes it, and to whom its change is news."""

    uses: Sequence[Use]
    makers: Sequence[str]
    verdicts: Verdicts


@dataclass(frozen=True, kw_only=True)
class Place:
    """An open wave that has taken the change in, as it would go on; nothing of it is stored. `unbegun` are its tasks
    whose runs have not begun, so that they see the change."""

    wave: Restored
    graph: ImageGraph
    unbegun: Collection[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Storm:
    """Why no further wave may be opened, and from when on one may."""

    reason: str
    over: datetime


def judge(
    conn: Connection, image: str, before: Seen | None, after: Seen, *, platform: str, again: bool = False
) -> Judged:
    """`platform` is that of uses of which none is known; with `again` the change counts whatever was built since."""
    uses, makers = reach.uses_of(conn, image), reach.makers_of(conn, image)
    found = verdicts(uses, before, after, makers=makers, platform=platform, again=again)
    return Judged(uses=uses, makers=makers, verdicts=found)


def place(conn: Connection, image: str, wanted: Collection[str], now: datetime, caps: Caps) -> Place | None:
    """The newest open wave that can take the change in; None when none can."""
    for stored in waves.open_ones(conn):
        if now - stored.opened > caps.window:
            return None
        found = restore(conn, stored, caps)
        graph = graph_of(conn, [*found.machine.plan.images, image])
        only = with_more(found.only, image, wanted)
        unbegun = waves.unbegun(conn, stored.number)
        if found.machine.fold(graph, [image], now, unstarted=unbegun, only=only) is not None:
            return Place(wave=found, graph=graph, unbegun=unbegun)
    return None


def storm(conn: Connection, image: str, now: datetime, caps: Caps) -> Storm | None:
    """Whether this image has begun as many waves of late as it may."""
    recent = waves.since(conn, now - caps.within)
    opened = [one.opened for one in recent if one.images and one.images[0]["image"] == image]
    if why := refusal(image, opened, now, caps):
        counted = [moment for moment in opened if now - moment < caps.within]
        return Storm(reason=why, over=min(counted) + caps.within)
    return None
