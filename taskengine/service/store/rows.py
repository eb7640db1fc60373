"""Between rows and the model: one place where a column becomes a field. Pure."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row

from taskengine.errors import InvalidInput
from taskengine.runs.model import RunStatus
from taskengine.service.model import Group, GroupPolicy, Role, Run, RunType, Task, Token, Worker, WorkerState

ACTIVE = (RunStatus.STARTED.value, RunStatus.RUNNING.value)
UNFINISHED = (RunStatus.QUEUED.value, *ACTIVE)

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def run_id(number: int) -> str:
    """A run's short name: `ca` and its number in base 36."""
    digits = ""
    while True:
        number, rest = divmod(number, 36)
        digits = _DIGITS[rest] + digits
        if number == 0:
            return f"ca{digits}"


def clean(text: str, most: int = 10_000) -> str:
    """A stranger's text, fit for a column: no NUL (PostgreSQL takes none), no half characters, not too long."""
    return text[:most].replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def place_of_cursor(text: str) -> int:
    """The number that a page's cursor names. Raises InvalidInput for one that no page gave."""
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise InvalidInput("this cursor is none that a page gave", hint="take nextCursor as it was given")
    return int(text)


def run_of(row: Row[Any], images: tuple[dict[str, Any], ...] = ()) -> Run:
    group = None
    if row.group_name:
        group = Group(name=row.group_name, limit=row.group_limit, policy=GroupPolicy(row.group_policy))
    return Run(
        number=row.number, id=row.id, type=RunType(row.type), status=RunStatus(row.status), spec=row.spec,
        owner=row.owner, task=row.task, priority=row.priority, group=group, pool=row.pool, labels=row.labels,
        cause=tuple(row.cause), created=row.created, not_before=row.not_before, expires=row.expires,
        started=row.started, finished=row.finished, updated=row.updated, timeout=row.timeout, attempt=row.attempt,
        max_attempts=row.max_attempts, worker=row.worker, epoch=row.epoch, lease_until=row.lease_until,
        cancel_reason=row.cancel_reason, message=row.message, hint=row.hint, feed_size=row.feed_size,
        record=row.record, images=images, archived=row.archived,
    )  # fmt: skip


def task_of(row: Row[Any]) -> Task:
    return Task(
        name=row.name, document=row.document, revision=row.revision, enabled=row.enabled, owner=row.owner,
        created=row.created, updated=row.updated,
    )  # fmt: skip


def worker_of(row: Row[Any]) -> Worker:
    state = WorkerState(row.state)
    if row.drain and state is not WorkerState.LOST:
        state = WorkerState.DRAINING
    return Worker(
        id=row.id, name=row.name, pool=row.pool, labels=row.labels, platforms=tuple(row.platforms),
        capacity=row.capacity, version=row.version, state=state, health=row.health, registered=row.registered,
        seen=row.seen,
    )  # fmt: skip


def token_of(row: Row[Any]) -> Token:
    return Token(
        id=row.id, name=row.name, role=Role(row.role), scopes=tuple(row.scopes), created=row.created,
        expires=row.expires, worker=row.worker,
    )  # fmt: skip
