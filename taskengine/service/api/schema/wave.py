"""Waves of rebuilds, as they are shown. Shape only."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from taskengine.service.api.schema.common import View

WaveState = Literal["open", "over"]


class WaveImage(View):
    """A change that the wave took in: what the image stands for since, and the event that told of it."""

    image: str
    digest: str
    event: int
    at: datetime


class WaveMember(View):
    """A task of the wave. `state` is waiting (for its parents), ready (to be queued), started, changed, unchanged,
    failed or stopped. `images` are those that changed and that it stands on itself. `reason` says why it ended so."""

    task: str
    level: int
    state: str
    run: str | None = None
    parents: list[str]
    images: list[str]
    reason: str


class WaveView(View):
    """`tasks` counts the tasks by state. `members` are there when one wave is shown. `cycles` are tasks that stand on
    each other, `leftOut` is how many tasks were one too many."""

    number: int
    state: WaveState
    event: int
    opened: datetime
    ended: datetime | None = None
    images: list[WaveImage]
    levels: int
    tasks: dict[str, int]
    cycles: list[list[str]]
    left_out: int
    members: list[WaveMember] | None = None


class WaveList(View):
    value: list[WaveView]
    next_cursor: str | None
