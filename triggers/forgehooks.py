"""Sees to it that forges have the webhooks of the tasks that brought a token, and no others of ours.

What is to be there follows from the tasks; what is there is in the database; the difference is mended by requests that
are made again until they succeed, long after a task is gone if need be. One service does it at a time.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

from taskengine.errors import InvalidInput, TaskEngineError
from taskengine.service.model import Task
from taskengine.service.outgoing import Reach
from taskengine.service.services import Services
from taskengine.service.store import Connection, forgehooks, secrets, tasks
from taskengine.service.store.forgehooks import ForgeHook
from triggers.forges import api_of
from triggers.forges.model import Gone, HookWanted
from triggers.forges.place import place_of
from triggers.forges.speak import carry
from triggers.sourcecontrol.address import canonical
from triggers.sourcetoken import SourceToken, tokens_of
from triggers.turn import Turn

_log = logging.getLogger("triggers.forgehooks")


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """A webhook that a task is to have. `declared` is the trigger's `sourceControlType`."""

    task: str
    name: str
    repository: str
    declared: str
    pushes: bool
    pull_requests: bool
    token: SourceToken
    secret: str = field(repr=False)

    def digest(self, public_url: str) -> str:
        """What makes it another one at the forge, but for the secrets."""
        parts = [self.repository, self.declared, self.pushes, self.pull_requests, public_url]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def kept(self) -> dict[str, str]:
        """What making and removing it takes, to be sealed."""
        events = "".join(letter for letter, on in (("c", self.pushes), ("p", self.pull_requests)) if on)
        return {
            "token": self.token.token, "kind": self.token.kind, "secret": self.secret, "declared": self.declared,
            "events": events,
        }  # fmt: skip


def hooks_of(task: Task, kept: dict[str, str]) -> Iterator[Wanted]:
    """The webhooks of a task: one for each repository, for all of its triggers there. Pure."""
    tokens = tokens_of(kept)
    by_repository: dict[str, list[dict[str, object]]] = {}
    for trigger in (task.document.get("trigger") or {}).get("sourceTriggers") or ():
        repository = trigger.get("sourceRepository") or {}
        where = canonical(str(repository.get("repositoryUrl") or ""))
        is_on = task.enabled and trigger.get("status", "Enabled") == "Enabled"
        if is_on and where and repository.get("sourceControlType") != "Generic":
            by_repository.setdefault(where, []).append(trigger)
    for where, triggers in by_repository.items():
        first = next((one for one in triggers if one.get("name") in tokens), None)
        if first is None or "webhook" not in kept:
            continue
        wanted = {str(kind).lower() for one in triggers for kind in _list(one.get("sourceTriggerEvents"))}
        repository = first["sourceRepository"]
        assert isinstance(repository, dict)  # noqa: S101 - it was one above
        yield Wanted(
            task=task.name,
            name=f"{first['name']}@{hashlib.sha256(where.encode()).hexdigest()[:12]}",
            repository=str(repository["repositoryUrl"]),
            declared=str(repository.get("sourceControlType") or ""),
            pushes="commit" in wanted or any(_list(_filters(one).get("tags")) for one in triggers),
            pull_requests="pullrequest" in wanted,
            token=tokens[str(first["name"])],
            secret=kept["webhook"],
        )


class ForgeHooks:
    """`tick` may be called by one thread."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._turn = Turn(services, "forge hooks")
        self._mark: object = None

    def tick(self, *, most: int = 20) -> int:
        """Makes, changes and removes what is due, if this service is the one that does. Returns how many attempts it
        made."""
        services = self._services
        if not services.settings.public_url or not services.settings.make_forge_hooks or not self._turn.mine():
            return 0
        self._reconcile()
        made = 0
        while made < most:
            found = services.database.transact(lambda conn: forgehooks.due(conn, now=services.now(), most=1))
            if not found or not self._turn.mine():
                break
            self._attempt(found[0])
            made += 1
        return made

    def close(self) -> None:
        """Let another service do it; after the last tick."""
        self._turn.give_back()

    def _reconcile(self) -> None:
        """Write down what is to be there, when a task has changed."""
        services = self._services
        with services.database.read() as conn:
            mark = tasks.mark(conn)
        if mark == self._mark:
            return
        public = services.settings.public_url.rstrip("/")
        wanted = {(one.task, one.name): one for one in self._wanted()}

        def work(conn: Connection) -> None:
            now = services.now()
            there = {(one.task, one.name): one for one in forgehooks.every(conn)}
            for key, hook in there.items():
                if key not in wanted:
                    forgehooks.unwant(conn, hook, now=now)
            for key, one in wanted.items():
                before = there.get(key)
                digest, kept = one.digest(public), one.kept()
                if before and before.wanted == digest and self._secret(conn, before) == kept:
                    continue
                forgehooks.want(
                    conn, services.box, task=one.task, name=one.name, forge=_forge(one), repository=one.repository,
                    wanted=digest, secret=kept, now=now,
                )  # fmt: skip

        services.database.transact(work)
        self._mark = mark

    def _wanted(self) -> Iterator[Wanted]:
        services = self._services
        for task in tasks.each(services.database):
            if not (task.document.get("trigger") or {}).get("sourceTriggers"):
                continue
            try:
                with services.database.read() as conn:
                    kept = secrets.get(conn, services.box, "task", task.name)
            except InvalidInput as error:
                _log.warning("task %s: %s", task.name, error.message)
                continue
            yield from hooks_of(task, kept)

    def _secret(self, conn: Connection, hook: ForgeHook) -> dict[str, str]:
        try:
            return forgehooks.secret(conn, self._services.box, hook)
        except InvalidInput:  # its key is gone; it is made anew with what the task has
            return {}

    def _attempt(self, hook: ForgeHook) -> None:
        services = self._services
        try:
            remote = self._speak(hook)
        except TaskEngineError as error:
            said = f"{error.message}; {error.hint}" if error.hint else error.message
            _log.info("webhook of task %s at %s: %s", hook.task, hook.repository, said)
            wait = error.seconds if isinstance(error, Gone) else 0
            services.database.transact(partial(forgehooks.failed, hook=hook, error=said, now=services.now(), wait=wait))
            return
        if hook.wanted:
            services.database.transact(partial(forgehooks.made, hook=hook, remote=remote, now=services.now()))
        else:
            services.database.transact(partial(forgehooks.forget, hook=hook))

    def _speak(self, hook: ForgeHook) -> str:
        """Make or remove it; its number at the forge. Raises TaskEngineError."""
        services = self._services
        with services.database.read() as conn:
            kept = forgehooks.secret(conn, services.box, hook)
        place = place_of(hook.repository, kept.get("declared", ""))
        api = api_of(place)
        if hook.wanted:
            address = f"{services.settings.public_url.rstrip('/')}/hooks/{place.door}/{hook.task}"
            events = kept.get("events", "")
            talk = api.make_hook(
                place,
                HookWanted(
                    url=address, secret=kept.get("secret", ""), pushes="c" in events, pull_requests="p" in events
                ),
                hook.remote,
            )  # fmt: skip
        else:
            talk = api.remove_hook(place, hook.remote)
        return carry(talk, place, kept.get("token", ""), kept.get("kind", ""), reach=reach_of(services))


def reach_of(services: Services) -> Reach:
    """How far a task's own forge may be: its address comes from whoever made the task."""
    return Reach.ANYWHERE if services.settings.hooks_to_private_addresses else Reach.NETWORK


def _forge(one: Wanted) -> str:
    try:
        return place_of(one.repository, one.declared).forge
    except InvalidInput:
        return ""


def _list(found: object) -> list[object]:
    return list(found) if isinstance(found, list | tuple) else []


def _filters(trigger: dict[str, object]) -> dict[str, object]:
    found = trigger.get("filters")
    return found if isinstance(found, dict) else {}
