"""One new base image with 10,000 dependents in a service's own store: the plan, its memory, and each of the runs once.

The same images as in `wave_bench`, as stored tasks. Runs are not carried out: each is ended by the benchmark as if its
worker had told that it pushed something new. So what is measured is all that the service does for a wave.
"""

from __future__ import annotations

import base64
import re
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import Figure, megabytes, shown
from benchmarks.served import databases, say
from benchmarks.store import Known, digest_of, open_services, put_tasks, put_watches
from benchmarks.wave_bench import LEVELS, images

_BASE = "docker.io/library/base:1"
#: rounds of the wave's keeper without anything new, after which it hangs
_STUCK = 20


def measure(
    *, levels: Sequence[int] = LEVELS, only: tuple[str, ...] = ("SQLite", "PostgreSQL"), carry_out: str = "SQLite"
) -> list[Figure]:
    """`carry_out` is the kind of database on which the runs are queued, too: that takes a minute."""
    total = sum(levels)
    plans, memory, found = [], [], []
    with tempfile.TemporaryDirectory() as name, databases(Path(name), only=only) as urls:
        for kind, url in urls.items():
            say(f"a wave of {total:,} tasks, {kind}")
            wave = _Store(Path(name) / kind, url)
            try:
                wave.fill(levels)
                seconds, size = wave.plan(total)
                plans.append(f"{shown(seconds)} {kind}")
                memory.append(f"{megabytes(size)} {kind}")
                if kind == carry_out:
                    seconds = wave.carry_out(total)
                    text = f"{shown(seconds)} ({total / seconds:,.0f} a second)"
                    found.append(
                        Figure(name=f"the same, until each of {total:,} runs was queued once, {kind}", found=text)
                    )
            finally:
                wave.close()
    what = f"{total:,} dependents of one image, {len(levels)} levels with diamonds"
    return [
        Figure(name=f"{what}: from the event to the stored plan", found=", ".join(plans), target="< 3 s"),
        Figure(name="memory that this takes on top", found=", ".join(memory)),
        *found,
    ]


class _Store:
    """A service's store in this process, and what its duties do for waves."""

    def __init__(self, folder: Path, url: str) -> None:
        self.services = open_services(folder, url)

    def close(self) -> None:
        self.services.close()

    def fill(self, levels: Sequence[int]) -> None:
        """The tasks, and what they are known to make and to stand on."""
        put_tasks(
            self.services,
            (
                Known(
                    name=re.sub(r".*/(l\d+)/(app-\d+):1", r"\1-\2", image), document=_document(image), makes=(image,),
                    uses=tuple(_BASE if base == "base" else base for base in bases),
                )
                for image, bases in images(tuple(levels))
            ),
        )  # fmt: skip
        put_watches(self.services, [_BASE], digest_of("new"))

    def plan(self, expected: int) -> tuple[float, int]:
        """Seconds from the event to the plan that is stored, and the bytes that it took at most."""
        from taskengine.service.store import Connection, ledger
        from triggers import imageevent, rebuild
        from triggers.imagechange import Seen

        event = imageevent.ImageEvent(
            source=imageevent.POLL, image=_BASE, before=Seen(digest=digest_of("old")),
            after=Seen(digest=digest_of("new")),
            key="the change",
        )  # fmt: skip

        def put(conn: Connection) -> ledger.Event:
            return ledger.get(conn, imageevent.put(conn, event, now=self.services.now()))

        stored = self.services.database.transact(put)
        before = _memory(anew=True)
        begin = time.perf_counter()
        rebuild.process(self.services, stored)
        seconds = time.perf_counter() - begin
        size = _memory() - before
        if (found := self._count("SELECT count(*) FROM wave_members")) != expected:
            raise AssertionError(f"the wave has {found} members, and not {expected}")
        return seconds, size

    def carry_out(self, expected: int) -> float:
        """Seconds until every run was queued, each once. What ends the runs is not counted."""
        from triggers.wavekeeper import keep

        seconds, idle = 0.0, 0
        while self._count("SELECT count(*) FROM waves WHERE state = 'open'"):
            begin = time.perf_counter()
            moved = keep(self.services)
            seconds += time.perf_counter() - begin
            idle = 0 if self._end_runs() or moved else idle + 1
            if idle > _STUCK:
                raise AssertionError("the wave does not go on")
        runs, tasks = self._count("SELECT count(*) FROM runs"), self._count("SELECT count(DISTINCT task) FROM runs")
        if (runs, tasks) != (expected, expected):
            raise AssertionError(f"{runs} runs of {tasks} tasks were queued, and not one of each of {expected}")
        return seconds

    def _end_runs(self) -> int:
        """Every run that is queued has pushed a new image."""
        from sqlalchemy import text

        now = int(self.services.now().timestamp() * 1_000_000)
        with self.services.database.write() as conn:
            found = conn.execute(text("SELECT number, task FROM runs WHERE status = 'Queued'")).all()
            if not found:
                return 0
            pushed = [
                {
                    "number": number, "repository": task.replace("-", "/", 1), "digest": digest_of(task),
                }
                for number, task in found
            ]  # fmt: skip
            conn.execute(
                text(
                    "INSERT INTO run_images (number, position, registry, repository, tag, digest) "
                    "VALUES (:number, 0, 'registry.example.com', :repository, '1', :digest)"
                ),
                pushed,
            )
            ended = "UPDATE runs SET status = 'Succeeded', finished = :now WHERE status = 'Queued'"
            conn.execute(text(ended), {"now": now})
        return len(found)

    def _count(self, statement: str) -> int:
        from sqlalchemy import text

        with self.services.database.read() as conn:
            return int(conn.execute(text(statement)).scalar_one())


def _document(image: str) -> dict[str, Any]:
    text = f"version: v1.1.0\nsteps:\n  - build: -t {image} https://github.com/octo/web.git\n  - push: ['{image}']\n"
    return {
        "name": "app", "step": {"type": "EncodedTask", "encodedTaskContent": base64.b64encode(text.encode()).decode()},
        "trigger": {"baseImageTrigger": {"name": "base", "baseImageTriggerType": "Runtime"}},
    }  # fmt: skip


def _memory(*, anew: bool = False) -> int:
    """The most bytes that this process has had; with `anew`, those that it has, and the count begins again."""
    if anew:
        Path("/proc/self/clear_refs").write_text("5")
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found.group(1)) * 1024
