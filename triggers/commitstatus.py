"""Tells forges how the runs of their commits go: waiting, running, over, with a link to the run.

In order for each commit, again and again until it is taken; a newer state takes an older one's place. One service does
it at a time. The token is that of the task's trigger, and goes to the host that the trigger names.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from taskengine.errors import InvalidInput, NotFound, TaskEngineError
from taskengine.service.services import Services
from taskengine.service.store import secrets, statuses, tasks
from taskengine.service.store.statuses import CommitStatus
from triggers.forgehooks import reach_of
from triggers.forges import api_of
from triggers.forges.model import Gone, Refused, StatusWanted, Told
from triggers.forges.place import Place, place_of
from triggers.forges.speak import carry
from triggers.sourcetoken import SourceToken, tokens_of
from triggers.turn import Turn

_log = logging.getLogger("triggers.commitstatus")
_AT_ONCE = 4


class CommitStatuses:
    """`tick` may be called by one thread."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._turn = Turn(services, "commit statuses")

    def close(self) -> None:
        """Let another service do it; after the last tick."""
        self._turn.give_back()

    def tick(self, *, most: int = 40) -> int:
        """Tells what is due, if this service is the one that does. Returns how many attempts it made."""
        services = self._services
        now = services.now()
        if not self._turn.mine():
            return 0
        found = services.database.transact(lambda conn: statuses.due(conn, now=now, most=most))
        by_host: dict[str, list[CommitStatus]] = {}
        for one in found:
            by_host.setdefault(one.repository.partition("://")[2].partition("/")[0], []).append(one)
        if by_host:
            with ThreadPoolExecutor(max_workers=min(_AT_ONCE, len(by_host)), thread_name_prefix="status") as pool:
                for job in [pool.submit(self._tell_all, ones) for ones in by_host.values()]:
                    job.result()
        return len(found)

    def _tell_all(self, ones: list[CommitStatus]) -> None:
        behind: set[tuple[str, str]] = set()
        for one in ones:
            if (one.task, one.commit_id) in behind:
                continue  # what is told of a commit stays in order: it comes again in two minutes, or is superseded
            if not self._tell(one):
                behind.add((one.task, one.commit_id))

    def _tell(self, one: CommitStatus) -> bool:
        services = self._services
        status, error, wait, final = 200, "", 0, False
        try:
            place, token = self._way(one)
            link = services.settings.public_url.rstrip("/")
            wanted = StatusWanted(
                commit=one.commit_id, told=Told(one.told), name=f"acr-task/{one.task}", description=one.description,
                link=f"{link}/api/v1/runs/{one.run}" if link else "",
            )  # fmt: skip
            carry(api_of(place).set_status(place, wanted), place, token.token, token.kind, reach=reach_of(services))
        except TaskEngineError as failure:
            error = f"{failure.message}; {failure.hint}" if failure.hint else failure.message
            status = failure.status if isinstance(failure, Gone | Refused) else 0
            wait = failure.seconds if isinstance(failure, Gone) else 0
            # what is wrong with the task or the settings is not mended by asking again
            final = isinstance(failure, InvalidInput) and not isinstance(failure, Refused)
            _log.info("status of run %s for %s: %s", one.run, one.repository, error)
        report = partial(
            statuses.told, number=one.number, now=services.now(), ok=not error, status=status, error=error, wait=wait,
            final=final,
        )  # fmt: skip
        services.database.transact(report)
        return not error

    def _way(self, one: CommitStatus) -> tuple[Place, SourceToken]:
        """Where to tell it, and with which token. Raises InvalidInput."""
        services = self._services
        try:
            with services.database.read() as conn:
                task = tasks.get(conn, one.task)
                kept = secrets.get(conn, services.box, "task", one.task)
        except NotFound as error:
            raise InvalidInput(error.message) from None
        triggers = (task.document.get("trigger") or {}).get("sourceTriggers") or ()
        repository = next((t.get("sourceRepository") or {} for t in triggers if t.get("name") == one.source), None)
        token = tokens_of(kept).get(one.source)
        if repository is None or token is None:
            raise InvalidInput(f"the trigger {one.source} is gone, or has no token any more")
        place = place_of(str(repository.get("repositoryUrl") or ""), str(repository.get("sourceControlType") or ""))
        return place, token
