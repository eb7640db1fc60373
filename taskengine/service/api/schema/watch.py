"""Watched images, and what a task stands on, as they are shown. Shape only."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from taskengine.service.api.schema.common import Body, Line, View


class SeenView(View):
    """What a tag stood for: its digest, and of an index the manifests by their platforms."""

    digest: str
    platforms: dict[str, str]


class WatchView(View):
    """A watched image. `seen` is null before the first check that went well. `changes` counts how often it stood for
    something new; `changed` is when that was last, `told` when its registry sent the last notification. `error` is the
    last check's, `failures` how many in a row failed. `tasks` is how many a new image may start."""

    image: str
    seen: SeenView | None
    changes: int
    checked: datetime | None
    changed: datetime | None
    told: datetime | None
    next_check: datetime
    failures: int
    error: str
    tasks: int


class WatchList(View):
    value: list[WatchView]
    next_cursor: str | None


class TaskImageView(View):
    """An image of a task: one that it uses (and watches), makes, or does not watch (`reason` says why); or a build of
    which it is not known what it stands on, whose step is `image` then. `type` is what it was needed for; the digests
    are those that a run used last."""

    relation: Literal["uses", "makes", "unwatched", "unknown"]
    image: str
    platform: str | None
    type: str | None
    digest: str | None
    platform_digest: str | None
    reason: str
    watch: WatchView | None


class StandingView(View):
    """`watching` says that a new image may start the task. `revision` is the task's when it was looked at (`scanned`),
    `error` what could not be read then."""

    task: str
    watching: bool
    revision: int
    scanned: datetime | None
    error: str
    images: list[TaskImageView]


class CheckBody(Body):
    image: Line


class CheckView(View):
    """The image by its full name, as the list has it."""

    image: str


class HookToken(View):
    """Shown this once."""

    token: str
