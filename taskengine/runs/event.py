"""What a run says while it goes on. Frozen data, one class a kind; `to_json` is the form that crosses a border.

Log text does not travel here as events from the runner: it goes through a LogSink, byte for byte, and becomes
`LogLine` events only where somebody asked for JSON lines.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from taskengine.lightclass import dataclass
from taskengine.runs.model import ImageResult, RunRecord, StepRecord


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Base: `at` is an aware datetime in UTC."""

    kind: ClassVar[str] = ""
    at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class RunStarted(Event):
    kind = "run.started"
    run_id: str
    #: id, type and needs of every step, in file order
    steps: tuple[tuple[str, str, tuple[str, ...]], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice(Event):
    """Something a person should know; `level` is "info" or "warning", `step` the step it belongs to, if any."""

    kind = "notice"
    message: str
    level: str = "info"
    step: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class StepStarted(Event):
    """An attempt begins. `attempt` counts from 1, repeats and retries alike; `failed` says that a repetition before
    it failed, and with it the step."""

    kind = "step.started"
    step: str
    attempt: int
    failed: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class StepRetrying(Event):
    """An attempt failed and another follows after `delay` seconds."""

    kind = "step.retrying"
    step: str
    attempt: int
    delay: float
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class StepProgress(Event):
    """Progress inside a step: one BuildKit vertex, one pull or push (`vertex` begins with `pull:` or `push:`), or the
    upload of the context that the step waits for (`upload:workspace`). `status` is one of started, cached, done,
    error; `current` and `total` count bytes when known."""

    kind = "step.progress"
    step: str
    vertex: str
    name: str
    status: str
    inputs: tuple[str, ...] = ()
    current: int = 0
    total: int = 0
    duration: float | None = None
    message: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class LogLine(Event):
    """A line of a step's output, masked, without its newline. `stream` is "stdout" or "stderr"; bytes that are no
    UTF-8 are shown as U+FFFD. `continues` is true for a piece of a very long line that goes on in the next event."""

    kind = "log"
    step: str
    stream: str
    text: str
    continues: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageReady(Event):
    """An image was built or pushed by a step."""

    kind = "image"
    step: str
    image: ImageResult


@dataclass(frozen=True, kw_only=True, slots=True)
class StepFinished(Event):
    kind = "step.finished"
    record: StepRecord


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFinished(Event):
    kind = "run.finished"
    record: RunRecord


def to_json(event: Event) -> dict[str, Any]:
    """The event as plain JSON data: `event` names the kind, `at` is RFC 3339, enums are their values, no nulls."""
    from dataclasses import fields

    out: dict[str, Any] = {"event": event.kind}
    for f in fields(event):
        out[f.name] = plain(getattr(event, f.name))
    return {key: value for key, value in out.items() if value is not None}


def plain(value: Any) -> Any:
    """Plain JSON data from records, enums, datetimes and tuples. Field names become camelCase, as in ACR's API."""
    from dataclasses import fields, is_dataclass
    from enum import Enum

    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if is_dataclass(value) and not isinstance(value, type):
        pairs = ((camel(f.name), plain(getattr(value, f.name))) for f in fields(value))
        return {key: item for key, item in pairs if item is not None}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value


def camel(name: str) -> str:
    """A field's name as JSON has it."""
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)
