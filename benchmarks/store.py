"""A service's store in the benchmark's own process, for what would be drowned by a service around it.

Tasks and what they stand on are written as a service's own duties would leave them. Must not know what is measured.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taskengine.service.services import Services

PLATFORM = "linux/amd64"


@dataclass(frozen=True, kw_only=True)
class Known:
    """A stored task, and what it is known to make and to stand on."""

    name: str
    document: dict[str, Any]
    makes: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()


def open_services(folder: Path, url: str, now: Callable[[], datetime] | None = None) -> Services:
    """Close them. `now` is their clock, the day's without it."""
    from taskengine.ambient import Ambient
    from taskengine.service.bell import Bell
    from taskengine.service.services import Services
    from taskengine.service.store.database import Database
    from taskengine.service.store.feeds import Feeds
    from taskengine.service.store.secrets import SecretBox
    from taskengine.service.store.uploads import UploadFolder

    folder.mkdir()
    database, bell, ambient = Database.open(url), Bell(), Ambient.system()
    return Services(
        database=database, box=SecretBox.open(folder / "key"), bell=bell, data=folder,
        feeds=Feeds(database, folder / "runs", bell), uploads=UploadFolder(database, folder / "uploads"),
        ambient=ambient if now is None else replace(ambient, now=now),
    )  # fmt: skip


def put_tasks(services: Services, known: Iterable[Known]) -> None:
    """Tasks that may be started by new images, as if each had been stored and looked at."""
    from taskengine.service.store.tables import task_images, task_scans, tasks

    now = services.now()
    every = list(known)
    task = {"revision": 1, "enabled": True, "owner": "ann", "created": now, "updated": now}
    scan = {"revision": 1, "watching": True, "due": None, "marks": 1, "scanned": now, "failures": 0, "error": ""}
    related = [_related(one.name, "makes", image) for one in every for image in one.makes]
    related += [_related(one.name, "uses", image) for one in every for image in dict.fromkeys(one.uses)]
    with services.database.write() as conn:
        conn.execute(tasks.insert(), [{"name": one.name, "document": one.document, **task} for one in every])
        conn.execute(task_scans.insert(), [{"task": one.name, **scan} for one in every])
        conn.execute(task_images.insert(), related)


def put_watches(services: Services, images: Iterable[str], digest: str = "") -> None:
    """Images that are due; with a digest, as if they had been seen with it."""
    from taskengine.service.store.tables import watches

    now = services.now()
    seen = {"digest": digest, "platforms": {}} if digest else None
    row = {"seen": seen, "changes": 0, "told_by": {}, "next_at": now, "failures": 0, "error": "", "created": now}
    with services.database.write() as conn:
        conn.execute(watches.insert(), [{"image": image, **row} for image in images])


def digest_of(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _related(task: str, relation: str, image: str) -> dict[str, Any]:
    used = relation == "uses"
    return {
        "task": task, "relation": relation, "image": image, "platform": PLATFORM if used else "",
        "kind": "runtime" if used else "", "digest": "", "platform_digest": "", "reason": "",
    }  # fmt: skip
