"""What the tests of the store share: a moment, requests, and a worker's frames."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from taskengine.runs.feed import event_frame, log_frames
from taskengine.service.model import Group, GroupPolicy, Lease, Run, RunRequest, RunType, Worker, WorkerState
from taskengine.service.store import queue, workers
from taskengine.service.store.secrets import SecretBox

AT = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
BOX = SecretBox(("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",))


def later(seconds: float) -> datetime:
    return AT + timedelta(seconds=seconds)


def request(owner: str = "ann", **kwargs: Any) -> RunRequest:
    spec = {"text": "steps: []"} | kwargs.pop("spec", {})
    if isinstance(group := kwargs.get("group"), str):
        kwargs["group"] = Group(name=group)
    return RunRequest(type=RunType.QUICK_RUN, spec=spec, owner=owner, **kwargs)


def group(name: str = "g", limit: int = 1, policy: str = "queue") -> Group:
    return Group(name=name, limit=limit, policy=GroupPolicy(policy))


def enqueue(conn: Connection, owner: str = "ann", now: datetime = AT, **kwargs: Any) -> Run:
    return queue.enqueue(conn, request(owner, **kwargs), now=now, box=BOX)[0]


def worker(conn: Connection, name: str = "w1", now: datetime = AT, **kwargs: Any) -> Worker:
    """A worker that is ready."""
    made = workers.register(conn, name=name, new_id=name, now=now, **kwargs)
    return workers.beat(conn, made.id, WorkerState.READY, {}, now=now)


def lease(conn: Connection, name: str = "w1", now: datetime = AT, **kwargs: Any) -> Lease:
    found = queue.lease(conn, workers.get(conn, name), now=now, **kwargs)
    assert found is not None
    return found


def started(run: str, *steps: str, at: datetime = AT) -> bytes:
    plan = [[step, "cmd", []] for step in steps]
    return event_frame(at, {"event": "run.started", "at": at.isoformat(), "run_id": run, "steps": plan})


def step_started(step: str) -> bytes:
    return event_frame(AT, {"event": "step.started", "step": step, "attempt": 1})


def step_finished(step: str, status: str = "succeeded", **more: Any) -> bytes:
    return event_frame(AT, {"event": "step.finished", "record": {"id": step, "type": "cmd", "status": status, **more}})


def finished(run: str, status: str = "Succeeded", **more: Any) -> bytes:
    return event_frame(AT, {"event": "run.finished", "record": {"id": run, "status": status, **more}})


def output(step: str, text: str, stream: int = 1) -> bytes:
    return log_frames(AT, step, stream, text.encode())
