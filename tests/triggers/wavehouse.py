"""A service with tasks that stand on each other's images, whose clock and runs are moved by hand."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from taskengine.ambient import Ambient
from taskengine.registry.reference import ImageReference
from taskengine.runs.model import RunStatus
from taskengine.service.bell import Bell
from taskengine.service.model import Run
from taskengine.service.services import Services
from taskengine.service.store import ending, ledger, queue, runs, taskimages, tasks, watches, waves, workers
from taskengine.service.store.database import Database
from taskengine.service.store.feeds import Feeds
from taskengine.service.store.tables import run_images
from taskengine.service.store.taskimages import Relation, TaskImage
from taskengine.service.store.uploads import UploadFolder
from tests.service.api.support import inline
from tests.service.support import BOX
from tests.service.support import worker as make_worker
from triggers import imageevent
from triggers.imagechange import Seen
from triggers.processor import process_due
from triggers.wavekeeper import keep

AT = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
ALPINE = "docker.io/library/alpine:3"
AMD64 = "linux/amd64"


def image(name: str) -> str:
    """The full name of what a task of this name makes; a full name stays as it is."""
    return name if ":" in name else f"reg.example.com/{name}:1"


def digest(text: str) -> str:
    return "sha256:" + text.encode().hex().ljust(64, "0")[:64]


class House:
    """`services` are what the service under test works with. Times move only by `later`."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.at = AT
        self.database, self.folder = database, folder
        self.services = self.another()
        with database.write() as conn:
            make_worker(conn, "w1", now=AT, capacity=10_000)

    def another(self) -> Services:
        """A further service on the same database."""
        bell = Bell()
        return Services(
            database=self.database, box=BOX, bell=bell, feeds=Feeds(self.database, self.folder / "runs", bell),
            uploads=UploadFolder(self.database, self.folder / "uploads"), data=self.folder,
            ambient=replace(Ambient.system(), now=lambda: self.at),
        )  # fmt: skip

    def later(self, **span: float) -> None:
        self.at += timedelta(**span)

    def task(
        self, name: str, *uses: str, makes: Iterable[str] | None = None, platform: str = AMD64, used: str = "",
        platform_used: str = "", document: dict[str, Any] | None = None, watching: bool = True,
    ) -> None:  # fmt: skip
        """A task that stands on these images, and makes the one of its own name."""
        with self.database.write() as conn:
            tasks.create(conn, name, document or inline(name), owner="ann", now=self.at)
            self.put_images(
                conn, name, *uses, makes=makes, platform=platform, used=used, platform_used=platform_used,
                watching=watching,
            )  # fmt: skip

    def put_images(
        self, conn: Connection, name: str, *uses: str, makes: Iterable[str] | None = None, platform: str = AMD64,
        used: str = "", platform_used: str = "", watching: bool = True,
    ) -> None:  # fmt: skip
        found = [
            TaskImage(
                task=name, relation=Relation.USES, image=image(one), platform=platform, kind="runtime", digest=used,
                platform_digest=platform_used,
            )
            for one in uses
        ]  # fmt: skip
        made = [name] if makes is None else makes
        found += [TaskImage(task=name, relation=Relation.MAKES, image=image(one)) for one in made]
        scan = taskimages.scan_of(conn, name)
        assert scan is not None
        assert taskimages.put(conn, scan, found, revision=1, watching=watching, now=self.at)

    def diamond(self) -> None:
        self.task("top", ALPINE)
        self.task("left", "top")
        self.task("right", "top")
        self.task("bottom", "left", "right", "top")

    def change(self, name: str, before: Seen | str | None, after: Seen | str, *, source: str = "poll") -> int:
        """The tag stands for something new, and the ledger knows; the event's number."""
        old, new = (Seen(digest=digest(one)) if isinstance(one, str) else one for one in (before, after))
        assert new is not None
        with self.database.write() as conn:
            watch = watches.of_images(conn, [image(name)]).get(image(name))
            changes = 0
            if watch is not None:
                assert watches.settle(
                    conn, watch, seen=new.as_json(), checked=self.at, changed=self.at, failures=0, error="",
                    next_at=self.at + timedelta(hours=1),
                )  # fmt: skip
                changes = watch.changes + 1
            found = imageevent.ImageEvent(
                source=source, image=image(name), before=old, after=new, key=f"{name}:{new.digest}:{changes}:{self.at}"
            )  # fmt: skip
            return imageevent.put(conn, found, now=self.at)

    def work(self) -> None:
        """All that is due, until nothing is."""
        while process_due(self.services) or keep(self.services):
            pass

    def begin(self, run: str) -> None:
        """A worker takes it; others that come first are put back."""
        with self.database.write() as conn:
            worker = workers.get(conn, "w1")
            taken = []
            while (held := queue.lease(conn, worker, now=self.at)) is not None and held.run.id != run:
                taken.append(held)
            assert held is not None, f"{run} does not wait"
            for other in taken:
                queue.give_back(conn, worker.id, other.run.id, other.epoch, "not yet", now=self.at)

    def end(self, run: str, *pushed: str, status: RunStatus = RunStatus.SUCCEEDED, message: str = "") -> None:
        """The run is over; `pushed` are images with what they stand for now: `top=2`."""
        with self.database.write() as conn:
            row = queue.row_of(conn, run)
            for position, text in enumerate(pushed):
                name, _, content = text.partition("=")
                ref = ImageReference.parse(image(name))
                conn.execute(
                    run_images.insert().values(
                        number=row.number, position=position, registry=ref.domain, repository=ref.path, tag=ref.tag,
                        digest=digest(content),
                    )
                )  # fmt: skip
            ending.finish(conn, row, status, now=self.at, message=message)

    def settled(self, task: str, *uses: str, used: str, makes: Iterable[str] | None = None) -> None:
        """What the task's last run used was taken in."""
        with self.database.write() as conn:
            self.put_images(conn, task, *uses, used=digest(used), makes=makes)

    def runs(self) -> list[Run]:
        """The oldest first."""
        with self.database.read() as conn:
            return list(runs.page(conn, top=20_000).runs)[::-1]

    def tasks_run(self) -> list[str]:
        return [run.task for run in self.runs()]

    def event(self, number: int) -> tuple[str, str]:
        with self.database.read() as conn:
            found = ledger.get(conn, number)
        return found.state, found.reason

    def outcomes(self, number: int) -> dict[str, tuple[str, str, str]]:
        with self.database.read() as conn:
            return {one.task: (one.state, one.run, one.reason) for one in ledger.outcomes(conn, number)}

    def states(self, wave: int = 1) -> dict[str, str]:
        with self.database.read() as conn:
            return {one.task: one.state for one in waves.members(conn, wave)}

    def wave(self, number: int = 1) -> waves.StoredWave:
        with self.database.read() as conn:
            return waves.get(conn, number)

    def count_waves(self) -> int:
        with self.database.read() as conn:
            return len(waves.page(conn, top=100)[0])
