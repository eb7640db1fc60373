"""How fast the API lists and shows runs when there is a long history, on SQLite and on PostgreSQL.

A few runs are made over the API as people and workers make them; SQL then makes as many copies as there are to be.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.measure import Figure, percentile, shown
from benchmarks.served import Caller, Served, databases, say

#: of the runs that are copied, so many fail and so many belong to each task
_TEMPLATES, _FAIL_EVERY, _TASKS = 20, 10, 5
_STEPS = ("fetch", "build", "push")
_DIGEST = "sha256:" + "ab" * 32


@dataclass(frozen=True, kw_only=True)
class Ask:
    """A question that is timed: `path` below the API's root."""

    name: str
    path: str


def measure(
    *, count: int = 100_000, times: int = 200, only: tuple[str, ...] = ("SQLite", "PostgreSQL")
) -> list[Figure]:
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as name, databases(Path(name), only=only) as urls:
        for kind, url in urls.items():
            say(f"{count:,} runs in {kind}")
            for ask, seconds in _ask_all(Path(name) / kind, url, count, times).items():
                found.setdefault(ask, {})[kind] = seconds
    return [
        Figure(
            name=f"{ask}, {count:,} runs in history: p95",
            found=", ".join(f"{shown(seconds)} {kind}" for kind, seconds in by_kind.items()),
            target="< 50 ms",
        )
        for ask, by_kind in found.items()
    ]


def _ask_all(folder: Path, url: str, count: int, times: int) -> dict[str, float]:
    with Served(folder, "--no-worker", database=url).start() as served:
        _make_templates(served)
    names = multiply(url, count)
    with Served(folder, "--no-worker", database=url).start() as served, Caller(served) as caller:
        _check(caller, count)
        return {ask.name: _p95(caller, ask.path, names, times) for ask in _questions(names)}


def _questions(names: Sequence[Any]) -> list[Ask]:
    middle = _of_task(2, len(names) // 2)
    return [
        Ask(name="the newest 15 runs", path="/runs"),
        Ask(name="100 runs from the middle of the list", path=f"/runs?top=100&cursor={middle}"),
        Ask(name="the newest failed runs of a task", path="/runs?task=app-1&status=Failed"),
        Ask(name="the runs of one day", path=f"/runs?from={_minute(middle - 1440)}&to={_minute(middle)}"),
        Ask(name="the run that pushed a digest", path=f"/runs?image=app-2@{_digest(middle)}"),
        Ask(name="one run with its steps", path="/runs/{run}"),
    ]


def _of_task(task: int, number: int) -> int:
    """The number of a run of a task, near this one."""
    return number // _TEMPLATES * _TEMPLATES + task + 1


def _p95(caller: Caller, path: str, names: Sequence[str], times: int) -> float:
    found = []
    for number in range(times + 5):
        asked = path.replace("{run}", names[(number * 7919) % len(names)])
        found.append(caller.timed(asked))
    return percentile(found[5:], 0.95)


def _check(caller: Caller, count: int) -> None:
    """What is timed has to be the right answer."""
    newest = caller.get("/runs")["value"]
    if len(newest) != 15 or newest[0]["number"] != count:
        raise AssertionError(f"the newest run is not number {count}")
    one = caller.get(f"/runs/{newest[7]['runId']}")
    if len(one["steps"]) != len(_STEPS) or not one["outputImages"]:
        raise AssertionError("a copied run is not whole")
    for ask in _questions(range(count)):
        if ask.path.startswith("/runs?") and not caller.get(ask.path)["value"]:
            raise AssertionError(f"{ask.name}: there is none")


# the runs that are copied


def _make_templates(served: Served) -> None:
    from taskengine.client.transport import Transport
    from taskengine.client.workers import Registration, WorkerApi

    with Caller(served) as caller:
        token = caller.post("/tokens", {"name": "hand", "role": "worker"})["token"]
        for task in range(_TASKS):
            caller.post(
                "/tasks", {"name": f"app-{task}", "step": {"type": "EncodedTask", "encodedTaskContent": task_text()}}
            )
        for number in range(_TEMPLATES):
            caller.post(f"/tasks/app-{number % _TASKS}/runs")
        api = WorkerApi(Transport(served.url, token))
        worker = api.register(Registration(name="hand", capacity=_TEMPLATES)).id
        api.heartbeat(worker, state="ready", health={}, leases=())
        for number in range(_TEMPLATES):
            run = api.lease(worker, free=_TEMPLATES, seconds=5)
            if run is None:
                raise AssertionError("the service gives out no run")
            said = _feed(run.run, run.spec.task_name, failed=number % _FAIL_EVERY == 1)
            api.append(worker, run.run, epoch=run.epoch, offset=0, data=said)


def task_text(steps: Sequence[str] = _STEPS) -> str:
    """A task's text, encoded as an API takes it."""
    import base64

    text = "version: v1.1.0\nsteps:\n" + "".join(f"  - id: {step}\n    cmd: busybox:1 echo {step}\n" for step in steps)
    return base64.b64encode(text.encode()).decode()


def _feed(run: str, task: str, *, failed: bool) -> bytes:
    """What a worker tells of a run with three steps and one image."""
    from taskengine.runs.feed import event_frame, log_frames

    at = datetime.now(UTC)  # noqa: TID251 - a worker's clock
    now = at.isoformat()
    steps = [
        {
            "id": step,
            "type": "cmd",
            "status": "succeeded",
            "attempts": 1,
            "exitCode": 0,
            "started": now,
            "finished": now,
        }
        for step in _STEPS
    ]
    data = event_frame(
        at, {"event": "run.started", "at": now, "run_id": run, "steps": [[s, "cmd", []] for s in _STEPS]}
    )
    for step in steps:
        data += log_frames(at, step["id"], 1, b"some words\n" * 20)
        data += event_frame(at, {"event": "step.finished", "at": now, "record": step})
    image = {"reference": f"registry.example.com/{task}:1", "digest": _DIGEST, "pushed": True}
    data += event_frame(at, {"event": "image", "at": now, "image": image})
    record = {
        "id": run, "status": "Failed" if failed else "Succeeded", "started": now, "finished": now, "duration": 1.0,
        "steps": steps, "message": "step push: exit code 1" if failed else "",
    }  # fmt: skip
    return data + event_frame(at, {"event": "run.finished", "at": now, "record": record})


# the copies


def multiply(url: str, count: int) -> list[str]:
    """Copies the runs that there are, and all that belongs to them, until there are `count`, a minute apart; returns
    all names, the oldest first."""
    from sqlalchemy import text

    from taskengine.service.store.database import Database
    from taskengine.service.store.rows import run_id
    from taskengine.service.store.tables import run_attempts, run_images, run_steps, runs

    names = [run_id(number) for number in range(1, count + 1)]
    database = Database.open(url)
    try:
        with database.write() as conn:
            known = [name for (name,) in conn.execute(text("SELECT id FROM runs ORDER BY number"))]
            conn.execute(text("CREATE TEMPORARY TABLE copies (number BIGINT, id TEXT, old BIGINT, old_id TEXT)"))
            copies = [
                {
                    "number": n,
                    "id": names[n - 1],
                    "old": (n - 1) % len(known) + 1,
                    "old_id": known[(n - 1) % len(known)],
                }
                for n in range(len(known) + 1, count + 1)
            ]
            conn.execute(text("INSERT INTO copies VALUES (:number, :id, :old, :old_id)"), copies)
            conn.execute(text("CREATE INDEX copies_old ON copies (old)"))
            at = f"{_microseconds(_FIRST)} + c.number * 60000000"
            _copy(conn, runs, "o.number = c.old", {"number": "c.number", "id": "c.id", "created": at, "finished": at})
            for table in (run_attempts, run_steps):
                _copy(conn, table, "o.run = c.old_id", {"run": "c.id"})
            digest = "substr(o.digest, 1, 50) || substr('0000000000000000000000' || c.number, -21)"
            if conn.dialect.name == "postgresql":
                digest = "substr(o.digest, 1, 50) || lpad(CAST(c.number AS TEXT), 21, '0')"
            _copy(conn, run_images, "o.number = c.old", {"number": "c.number", "digest": digest})
            conn.execute(text("UPDATE runs SET created = :at + number * 60000000"), {"at": _microseconds(_FIRST)})
            conn.execute(text("UPDATE counters SET value = :count WHERE name = 'run'"), {"count": count})
            conn.execute(text("DROP TABLE copies"))
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
            conn.execute(text("ANALYZE"))
    finally:
        database.close()
    return names


def _copy(conn: Any, table: Any, where: str, new: dict[str, str]) -> None:
    from sqlalchemy import text

    columns = [column.name for column in table.columns]
    values = ", ".join(new.get(name, f"o.{name}") for name in columns)
    into = f"{table.name} ({', '.join(columns)})"
    conn.execute(text(f"INSERT INTO {into} SELECT {values} FROM copies c JOIN {table.name} o ON {where}"))


_FIRST = datetime(2026, 9, 1, tzinfo=UTC)


def _minute(number: int) -> str:
    """When the run of this number was queued."""
    return (_FIRST + timedelta(minutes=number)).isoformat().replace("+00:00", "Z")


def _digest(number: int) -> str:
    return _DIGEST[:50] + f"{number:021d}"


def _microseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000)
