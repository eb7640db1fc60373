"""What the triggers answer: why a run came to be, who stands on what, and what would happen. Shape only."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from taskengine.service.api.schema.common import Body, Flag, Line, Moment, View, Word

_PART = r"[a-z0-9]+([._-][a-z0-9]+)*"
#: an image, with or without its host, tag and digest
REFERENCE = (
    rf"^([a-z0-9]+([.-][a-z0-9]+)*(:[0-9]{{1,5}})?/)?{_PART}(/{_PART})*"
    r"(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?$"
)


class CauseView(View):
    """`depth` 0 started the run itself; each other cause led to the nearest one above it that is less deep."""

    kind: str
    text: str
    depth: int
    at: datetime | None
    event: int | None
    run: str | None
    wave: int | None
    facts: dict[str, Any]


class AttemptView(View):
    attempt: int
    leased: datetime
    outcome: str | None


class Explanation(View):
    """`isCoalesced` says that several things asked for this one run."""

    run_id: str
    task: str | None
    type: str
    status: str
    create_time: datetime
    owner: str
    context: str | None
    commit: str | None
    is_coalesced: bool
    causes: list[CauseView]
    attempts: list[AttemptView]


class UnwatchedView(View):
    image: str
    reason: str


class GraphTask(View):
    """Images by their full names. `unknown` are builds of which nobody knows yet what they stand on. `watching` says
    that a new image may start the task; `error` what could not be read when it was `scanned`."""

    name: str
    uses: list[str]
    makes: list[str]
    unknown: list[str]
    unwatched: list[UnwatchedView]
    watching: bool
    scanned: datetime | None
    error: str | None


class GraphView(View):
    tasks: list[GraphTask]


class PushBody(Body):
    """A push that is imagined. `ref` is a branch, `refs/tags/NAME` or a pull request's, such as `refs/pull/7/head`,
    which is to go `into` a branch (main). `paths` are the changed files; without them, filters for paths let it pass.
    """

    repository: Annotated[Line, Field(min_length=1)]
    ref: Annotated[Word, Field(min_length=1)]
    commit: Annotated[str, Field(pattern=r"^([0-9a-fA-F]{7,64})?$")] = ""
    into: Word = ""
    author: Word = ""
    message: Annotated[str, Field(max_length=10_000)] = ""
    paths: Annotated[list[Line], Field(max_length=1000)] | None = None
    is_fork: Flag = False


class SimulateBody(Body):
    """What is imagined: exactly one of them. An `image` with a digest is compared with what its tag stands for; without
    one it is something new on every platform."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["image"]}, {"required": ["push"]}, {"required": ["at"]}]}
    )

    image: Annotated[str, Field(pattern=REFERENCE, max_length=250)] | None = None
    push: PushBody | None = None
    at: Moment | None = None


class PlannedView(View):
    """A run that would start: at level 0 at once, else after all that it waits for."""

    task: str
    level: int
    waits_for: list[str]
    images: list[str]
    reason: str
    needs_approval: bool


class HeldView(View):
    """A task that would not run; `kind` is disabled, filter, unchanged, known, storm, cap, group, invalid, parents."""

    task: str
    kind: str
    reason: str


class SimulationView(View):
    asked: str
    runs: list[PlannedView]
    held: list[HeldView]
    notes: list[str]
