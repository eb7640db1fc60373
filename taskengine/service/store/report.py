"""What a worker's frames mean for a run: its status, its steps, its images, its end. Applied within the transaction
that notes their bytes, so that both are known or neither. Must not know files.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select

from taskengine.errors import InvalidInput
from taskengine.registry.reference import DEFAULT_TAG, ImageReference
from taskengine.runs.feed import Frame, FrameKind
from taskengine.runs.model import Reason, RunStatus, StepStatus
from taskengine.service.store import ending, hooks, queue, watches
from taskengine.service.store.rows import clean
from taskengine.service.store.tables import run_images, run_steps, runs

_INVALID_INPUT = 2  # errors.InvalidInput.exit_code: the task is wrong, and would be the next time


@dataclass(frozen=True, kw_only=True, slots=True)
class Applied:
    """What frames have changed: whether a step ended by them, and whether the worker's part in the run did."""

    step_ended: bool = False
    run_ended: bool = False


def apply(conn: Connection, row: Row[Any], read: Iterable[Frame], *, now: datetime) -> Applied:
    """`row` is the run's, locked, in the hands of the worker whose frames these are. Raises InvalidInput for frames
    that no worker of ours sends; nothing is to be kept then."""
    output: Counter[str] = Counter()
    step_ended = run_ended = False
    for frame in read:
        if frame.kind is FrameKind.LOG:
            output[frame.step] += len(frame.payload)
            continue
        event = _event(frame)
        kind = event.get("event")
        try:
            if kind == "run.started":
                _run_started(conn, row, event, _between(row.created, frame.at, now), now)
            elif kind == "step.started":
                _step_started(conn, row, event)
            elif kind == "step.finished":
                _step_finished(conn, row, event["record"])
                step_ended = True
            elif kind == "image":
                _images(conn, row, [event["image"]], now)
            elif kind == "run.finished" and not run_ended:
                _add_output(conn, row, output)
                output.clear()
                _run_finished(conn, row, event["record"], now)
                run_ended = True
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidInput(
                f"the event {clean(str(kind), 50)!r} of this feed is not in its form: {error}"
            ) from error
    _add_output(conn, row, output)
    return Applied(step_ended=step_ended, run_ended=run_ended)


def is_infrastructure(record: Mapping[str, Any]) -> bool:
    """Whether a run's record tells of an error that is not its author's: another attempt may do better. A failure of
    the task itself never is one."""
    if record.get("status") == RunStatus.ERROR.value:
        return record.get("errorExitCode") != _INVALID_INPUT
    if record.get("status") != RunStatus.FAILED.value:
        return False
    failed = record.get("failedStep")
    steps = [step for step in record.get("steps", ()) if step.get("id") == failed]
    return any(step.get("reason") == Reason.INFRASTRUCTURE.value for step in steps)


def _run_started(conn: Connection, row: Row[Any], event: Mapping[str, Any], at: datetime, now: datetime) -> None:
    values = {"status": RunStatus.RUNNING.value, "started": at, "updated": now}
    mine = (runs.c.number == row.number, runs.c.status == RunStatus.STARTED.value)
    if not conn.execute(runs.update().where(*mine).values(**values)).rowcount:
        return  # a worker that came back tells again
    steps = [
        {
            "run": row.id, "attempt": row.attempt, "step": clean(str(name), 500), "position": position,
            "status": StepStatus.PENDING.value, "log_size": 0,
            "record": {"id": name, "type": kind, "needs": list(needs)},
        }
        for position, (name, kind, needs) in enumerate(event["steps"])
    ]  # fmt: skip
    known = set(conn.execute(select(run_steps.c.step).where(*_attempt(row))).scalars())
    steps = [step for step in steps if step["step"] not in known]
    if steps:
        conn.execute(run_steps.insert(), steps)
    hooks.announce(conn, row, RunStatus.RUNNING, now=now)


def _step_started(conn: Connection, row: Row[Any], event: Mapping[str, Any]) -> None:
    mine = (*_attempt(row), run_steps.c.step == clean(str(event["step"]), 500))
    pending = run_steps.c.status == StepStatus.PENDING.value
    conn.execute(run_steps.update().where(*mine, pending).values(status=StepStatus.RUNNING.value))


def _step_finished(conn: Connection, row: Row[Any], record: Mapping[str, Any]) -> None:
    status = StepStatus(record["status"]).value
    mine = (*_attempt(row), run_steps.c.step == clean(str(record["id"]), 500))
    conn.execute(run_steps.update().where(*mine).values(status=status, record=record))


def _run_finished(conn: Connection, row: Row[Any], record: Mapping[str, Any], now: datetime) -> None:
    status = RunStatus(record["status"])
    if not status.is_final:
        raise InvalidInput(f"a run does not end as {status.value}")
    _images(conn, row, record.get("images", ()), now)
    for step in record.get("steps", ()):
        _step_finished(conn, row, step)
    message, hint = str(record.get("message", "")), str(record.get("hint", ""))
    if is_infrastructure(record):
        queue.break_off(conn, row, message or "a step broke off", now=now, hint=hint, record=record)
        return
    if status is RunStatus.CANCELED and row.cancel_reason:
        status = queue.canceled_as(row)
        message = message or row.cancel_reason
    if status is RunStatus.FAILED and not message:
        message = _failure(record)
    ending.finish(conn, row, status, now=now, message=message, hint=hint, record=record)


def _failure(record: Mapping[str, Any]) -> str:
    for step in record.get("steps", ()):
        if step.get("id") == record.get("failedStep"):
            return f"step {step['id']}: {step.get('message') or 'failed'}"
    return ""


def _images(conn: Connection, row: Row[Any], found: Iterable[Mapping[str, Any]], now: datetime) -> None:
    """Pushed images only: what stays on a worker is nothing that others can use. Whoever stands on one hears of it as
    if its registry had told."""
    pushed = [image for image in found if image.get("pushed")]
    if not pushed:
        return
    c = run_images.c
    known = {
        (one.registry, one.repository, one.tag, one.digest)
        for one in conn.execute(select(run_images).where(c.number == row.number))
    }
    for image in pushed:
        reference = ImageReference.parse(str(image["reference"]))
        digest = clean(str(image.get("digest") or reference.digest), 200)
        name = (reference.domain, reference.path, reference.tag, digest)
        if name in known:
            continue
        values = dict(zip(("registry", "repository", "tag", "digest"), name, strict=True))
        conn.execute(run_images.insert().values(number=row.number, position=len(known), **values))
        known.add(name)
        watched = f"{reference.name}:{reference.tag or DEFAULT_TAG}"
        watches.notice(conn, watched, by={"kind": watches.OWN, "run": row.id}, digest=digest, now=now)


def _add_output(conn: Connection, row: Row[Any], output: Mapping[str, int]) -> None:
    for step, size in output.items():
        name = clean(step, 500)
        mine = (*_attempt(row), run_steps.c.step == name)
        grown = run_steps.update().where(*mine).values(log_size=run_steps.c.log_size + size)
        if not conn.execute(grown).rowcount:  # output of a step that the plan does not name, or before it was told
            count = conn.execute(select(func.count()).select_from(run_steps).where(*_attempt(row))).scalar_one()
            conn.execute(
                run_steps.insert().values(
                    run=row.id, attempt=row.attempt, step=name, position=count, status=StepStatus.PENDING.value,
                    log_size=size, record=None,
                )
            )  # fmt: skip


def _attempt(row: Row[Any]) -> tuple[Any, ...]:
    return (run_steps.c.run == row.id, run_steps.c.attempt == row.attempt)


def _event(frame: Frame) -> Mapping[str, Any]:
    try:
        found = json.loads(frame.payload, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise InvalidInput("an event of this feed is no JSON") from error
    if not isinstance(found, dict):
        raise InvalidInput("an event of this feed is no JSON object")
    return found


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no JSON")  # and nothing that an API should pass on


def _between(first: datetime, at: datetime, last: datetime) -> datetime:
    """A worker's clock may be off: what it tells is never before the run was queued, nor in the future."""
    return min(max(first, at), last)
