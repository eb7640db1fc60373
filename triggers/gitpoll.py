"""Asks repositories what their branches and tags stand for, and puts what moved into the ledger.

Polling is the truth: it finds what no webhook told, after a downtime too, for what was seen is in the database. One
service does it at a time. What is seen for the first time, or for the first time for a task, starts nothing.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime

from taskengine.context.access import login_for
from taskengine.context.heads import Change, describe, list_heads, moved
from taskengine.context.model import Access, Deadline, Limits, without_login
from taskengine.context.source import Git, Tarball, UrlLogin, parse_context
from taskengine.errors import Interrupted, InvalidInput, TaskEngineError
from taskengine.runner import Cancel
from taskengine.service.model import Task
from taskengine.service.services import Services
from taskengine.service.store import Connection, heads, ledger, secrets, tasks
from taskengine.service.store.heads import Repository
from triggers.gitplan import Budget, Watched, after_check, after_failure, is_due, watched
from triggers.processor import key_of
from triggers.sourcecontrol import FORGES
from triggers.sourcecontrol.polled import SOURCE, body, probe
from triggers.sourcetoken import tokens_of
from triggers.turn import Turn

_log = logging.getLogger("triggers.gitpoll")
#: hosts that are asked at the same time
_AT_ONCE = 8
#: refs of one repository that are told of in one turn; the others follow in the next
_MOST_NEWS = 100
_LIST_SECONDS = 30.0
_LOOK_SECONDS = 60.0
_LIMITS = Limits(download=256 << 20)

Asking = Callable[[Mapping[str, UrlLogin]], Access]


class GitPoller:
    """`asking` gives the access of git commands with these logins by host. `tick` may be called by one thread."""

    def __init__(self, services: Services, asking: Asking) -> None:
        self._services = services
        self._asking = asking
        self._turn = Turn(services, "poll git")
        self._stop = Cancel()
        self._budget = Budget(services.settings.git_polls_per_minute)
        self._mark: object = None
        self._plan: dict[str, Watched] = {}

    def stop(self) -> None:
        """Ask nothing more; what is being asked ends at once."""
        self._stop.set()

    def close(self) -> None:
        """Let another service ask; after the last tick."""
        self._turn.give_back()

    def tick(self) -> int:
        """Asks what is due, if this service is the one that does. Returns how many repositories it asked."""
        services = self._services
        if not services.settings.git_poll_seconds or not self._turn.mine():
            return 0
        self._refresh()
        now = services.now()
        with services.database.read() as conn:
            rows = heads.every(conn)
        due = [one for one in self._plan.values() if is_due(one, rows.get(one.name), now)]
        due.sort(key=lambda one: (rows[one.name].next_at if one.name in rows else now, one.name))
        by_host: dict[str, list[Watched]] = {}
        for one in due:
            if self._budget.take(one.host, now):
                by_host.setdefault(one.host, []).append(one)
        if by_host:
            with ThreadPoolExecutor(max_workers=min(_AT_ONCE, len(by_host)), thread_name_prefix="git-poll") as pool:
                for job in [pool.submit(self._ask_host, ones) for ones in by_host.values()]:
                    job.result()
        return sum(len(ones) for ones in by_host.values())

    def _refresh(self) -> None:
        """Plan anew when a task has changed."""
        with self._services.database.read() as conn:
            mark = tasks.mark(conn)
        if mark == self._mark:
            return
        self._plan = watched(self._tasks())
        with self._services.database.read() as conn:
            stale = heads.every(conn).keys() - self._plan.keys()
        if stale:
            self._services.database.transact(lambda conn: heads.forget(conn, self._plan.keys()))
        self._mark = mark

    def _tasks(self) -> Iterator[tuple[Task, Mapping[str, str]]]:
        for task in tasks.each(self._services.database):
            if not (task.document.get("trigger") or {}).get("sourceTriggers"):
                continue
            with self._services.database.read() as conn:
                try:
                    kept = secrets.get(conn, self._services.box, "task", task.name)
                except InvalidInput as error:  # sealed by a key that is gone: asked without a token, which says so
                    _log.warning("task %s: %s", task.name, error.message)
                    kept = {}
            yield task, {name: one.token for name, one in tokens_of(kept).items()}

    def _ask_host(self, ones: list[Watched]) -> None:
        for one in ones:
            if self._stop.is_set or not self._turn.mine():
                return
            try:
                self.check(one)
            except Interrupted:
                return
            except Exception as error:  # noqa: BLE001 - one repository must not hold up the others
                _log.exception("%s could not be looked after", one.name)
                self._failed(one, f"looking after it failed unexpectedly: {type(error).__name__}")

    def check(self, one: Watched) -> None:
        """Asks one repository, and puts into the ledger what moved. Raises Interrupted; other failures are noted."""
        try:
            context, access = self._way(one)
            there = list_heads(context, access, _LIMITS, self._deadline(_LIST_SECONDS), tags=one.tags)
        except Interrupted:
            raise
        except TaskEngineError as error:
            self._failed(one, error.message)
            return
        there = {ref: commit for ref, commit in there.items() if one.wanting(ref)}
        with self._services.database.read() as conn:
            row = heads.get(conn, one.name)
            before = heads.refs(conn, one.name)
            news = self._news(conn, one, row, before, there)
        now, later = list(news)[:_MOST_NEWS], list(news)[_MOST_NEWS:]
        looked = {ref: self._look(one, context, access, ref, there[ref], before.get(ref, "")) for ref in now}
        self._write(one, {ref: (news[ref], looked[ref]) for ref in now}, there, later)

    def _news(
        self, conn: Connection, one: Watched, row: Repository | None, before: Mapping[str, str],
        there: Mapping[str, str],
    ) -> dict[str, list[str]]:  # fmt: skip
        """The refs that moved, each with the tasks that nobody has told of it. Those that were not asked for when it
        was seen last have to begin somewhere: for them it is the first sight."""
        scope = one.scope
        if row is None or row.checked is None:
            return {}
        old = {task for task, wanted in scope.items() if row.scope.get(task) == wanted}
        found: dict[str, list[str]] = {}
        for ref in moved(before, there):
            event = probe(ref, there[ref])
            told = [
                task for task in one.wanting(ref) if task in old and not ledger.is_known(conn, key_of(task, event))
            ]  # fmt: skip
            if told:
                found[ref] = told
        return found

    def _look(
        self, one: Watched, context: Git, access: Access, ref: str, commit: str, before: str
    ) -> Change:  # fmt: skip
        """What the commit says of itself. What cannot be found out filters nothing: better one run too many."""
        try:
            return describe(context, ref, commit, before, access, _LIMITS, self._deadline(_LOOK_SECONDS))
        except Interrupted:
            raise
        except TaskEngineError as error:
            _log.info("%s: %s could not be looked at: %s", one.name, commit[:12], error.message)
            return Change()

    def _write(
        self, one: Watched, news: Mapping[str, tuple[list[str], Change]], there: Mapping[str, str], later: list[str]
    ) -> None:
        services = self._services

        def work(conn: Connection) -> int:
            now = services.now()
            row = heads.get(conn, one.name) or Repository(repository=one.name, next_at=now)
            before = heads.refs(conn, one.name)
            made = 0
            for ref, (told, change) in news.items():
                for task in told:
                    made += self._record(conn, one, task, ref, there[ref], before.get(ref, ""), change, now)
            # what is left for the next turn stays as it was
            seen = {ref: commit for ref, commit in there.items() if ref not in later}
            seen |= {ref: before[ref] for ref in later if ref in before}
            something = row.checked is None or bool(moved(before, seen))
            row = replace(row, scope=one.scope, changed=now if something else row.changed)
            if made:
                row = replace(row, missed=now)
            hooked = ledger.last_told(conn, [*one.scope], FORGES)
            row = after_check(
                row, now, services.settings,
                hooked=hooked is not None and (row.missed is None or hooked > row.missed),
            )  # fmt: skip
            heads.put(conn, replace(row, next_at=now) if later else row)
            heads.see(conn, one.name, seen, now=now)
            return made

        if services.database.transact(work):
            services.bell.tell("events")

    def _record(
        self, conn: Connection, one: Watched, task: str, ref: str, commit: str, before: str, change: Change,
        now: datetime,
    ) -> bool:  # fmt: skip
        event = probe(ref, commit, url=without_login(one.url.partition("#")[0]))
        kept = body(
            event, before=before, author=change.email or change.author, sender=change.author, message=change.message,
            paths=change.paths,
        )  # fmt: skip
        delivery = f"head:{hashlib.sha256(f'{one.name} {ref} {commit}'.encode()).hexdigest()}"
        return ledger.record(conn, source=SOURCE, task=task, headers={}, body=kept, now=now, delivery=delivery)[1]

    def _failed(self, one: Watched, error: str) -> None:
        services = self._services

        def work(conn: Connection) -> None:
            now = services.now()
            row = heads.get(conn, one.name) or Repository(repository=one.name, next_at=now)
            heads.put(conn, after_failure(row, error, now))

        services.database.transact(work)

    def _way(self, one: Watched) -> tuple[Git, Access]:
        """How to ask: the repository as git knows it, and its login."""
        parsed = parse_context(one.url.partition("#")[0])
        if not isinstance(parsed, Git | Tarball):
            raise InvalidInput(f"{one.url} is no address of a repository")
        return Git(url=parsed.url, login=parsed.login), self._asking(login_for(one.url, one.token))

    def _deadline(self, seconds: float) -> Deadline:
        return Deadline(seconds, self._stop)
