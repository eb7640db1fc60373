"""Watched images as they are looked at, what a task stands on, and the token of the registries' hook. Use cases.

Must not know HTTP.

Who is bound to some tasks sees the images that these stand on.
"""

from __future__ import annotations

import secrets as random
from collections.abc import Mapping
from dataclasses import dataclass

from taskengine.errors import NotFound
from taskengine.registry.reference import DEFAULT_TAG, ImageReference
from taskengine.service.caller import Caller
from taskengine.service.services import Services
from taskengine.service.store import Connection, secrets, taskimages, tasks, watches
from taskengine.service.store.taskimages import Relation, Scan, TaskImage
from taskengine.service.store.watches import Watch

#: told when an image may be due
TOPIC = "watches"
_KIND, _OWNER, _NAME = "service", "registry hook", "token"


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What a task makes and stands on. `scan` is None until it was looked at; `watches` by image."""

    task: str
    scan: Scan | None
    images: tuple[TaskImage, ...]
    watches: Mapping[str, Watch]


def page(
    services: Services, caller: Caller, *, top: int, cursor: str | None, failing: bool = False, task: str | None = None
) -> tuple[list[Watch], str | None]:
    """By the images' names. Raises NotFound for a task that the caller may not see."""
    if task is not None:
        caller.check_task(task)
    with services.database.read() as conn:
        return watches.page(conn, top=top, cursor=cursor, failing=failing, task=task, scopes=caller.scopes)


def standing(services: Services, caller: Caller, task: str) -> Standing:
    """Raises NotFound."""
    caller.check_task(task)
    with services.database.read() as conn:
        tasks.get(conn, task)
        images = tuple(taskimages.of_task(conn, task))
        used = (one.image for one in images if one.relation is Relation.USES)
        return Standing(
            task=task, scan=taskimages.scan_of(conn, task), images=images, watches=watches.of_images(conn, used)
        )  # fmt: skip


def check(services: Services, caller: Caller, image: str) -> str:
    """Have the image's registry asked now, as far as its limit allows. Returns the image's full name. Raises
    InvalidInput for what is no name, and NotFound for an image that none of the caller's tasks watches."""
    reference = ImageReference.parse(image)
    name = f"{reference.name}:{reference.tag or DEFAULT_TAG}"

    def work(conn: Connection) -> bool:
        return watches.hasten(conn, name, now=services.now(), scopes=caller.scopes)

    if not services.database.transact(work):
        raise NotFound(f"no task watches {name}", hint="acr-task watches list shows the names")
    services.bell.tell(TOPIC)
    return name


def new_token(services: Services, caller: Caller) -> str:
    """A token for the registries' hook, in place of the one before, which is good no longer."""
    token = random.token_urlsafe(32)

    def work(conn: Connection) -> None:
        secrets.put(conn, services.box, _KIND, _OWNER, {_NAME: token}, now=services.now(), replace=True)
        services.note(conn, caller, "registryhook.token", "registry hook")

    services.database.transact(work)
    return token


def hook_token(services: Services) -> str:
    """Empty for none."""
    with services.database.read() as conn:
        return secrets.get(conn, services.box, _KIND, _OWNER).get(_NAME, "")
