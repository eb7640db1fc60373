"""Keeps true what is known of each task's images: looks at tasks that are new, were changed, or had a run that ended.

A task whose text is stored is read here at once. One whose files lie in a repository is fetched once for each change of
it, beside the requests and never in one; what cannot be fetched here is told by the task's first run. Any number of
services may look, one at a time does.
"""

from __future__ import annotations

import logging
import secrets as random
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import timedelta

from taskengine.context.access import login_for
from taskengine.context.model import Fetched
from taskengine.context.source import UrlLogin, is_remote, shown
from taskengine.dockerfile.parse import LARGEST_TEXT
from taskengine.errors import Interrupted, InvalidInput, NotFound, TaskEngineError, Unreachable
from taskengine.logs.mask import Mask
from taskengine.plainfile import Folder
from taskengine.plan.model import Plan
from taskengine.runs.decode import record_of
from taskengine.runs.model import RunRecord, RunStatus
from taskengine.runs.spec import RunSpec
from taskengine.service.model import Run, Task
from taskengine.service.services import Services
from taskengine.service.store import Connection, duties, runs, secrets, taskimages, tasks
from taskengine.service.store.taskimages import Scan
from taskengine.service.submission import Asked, Overrides, of_task
from triggers import behind
from triggers.foresee import foresee
from triggers.intake import TOPIC as EVENTS
from triggers.planned import plan_of
from triggers.standing import Known, is_watching, rows, tells_of_task, watch_of
from triggers.taskimages import foreseen

_log = logging.getLogger("triggers.taskscan")
_TERM = timedelta(seconds=15)  # another service goes on so soon after one that was killed; two do no harm
_AT_ONCE = 4
_RECORDS = 10  # of a task's newest runs that are read
_BACK_OFF = timedelta(minutes=5)
_LONGEST_BACK_OFF = timedelta(hours=6)

#: brings a context onto this disk for as long as it is entered; given a name of its own, logins by host, the address
Fetch = Callable[[str, Mapping[str, UrlLogin], str], AbstractContextManager[Fetched]]


@dataclass(frozen=True, kw_only=True)
class _Read:
    """What reading a task's files told: the plan, its Dockerfiles, and what is still open and whether that may change
    by itself."""

    plan: Plan | None = None
    foreseen: RunRecord | None = None
    error: str = ""
    may_change: bool = False


class TaskScan:
    """The duty. `fetch` is None where the service is to fetch nothing."""

    def __init__(self, services: Services, fetch: Fetch | None) -> None:
        self._services = services
        self._fetch = fetch
        self._holder = random.token_hex(8)

    def tick(self) -> int:
        """Looks at what there is to look at. Returns how many tasks it was."""
        now = self._services.now()

        def begin(conn: Connection) -> list[Scan]:
            found = taskimages.due(conn, now=now)
            if not found or not duties.take(conn, "taskscan", self._holder, now=now, term=_TERM):
                return []
            return found

        found = self._services.database.transact(begin)
        if found:
            with ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="taskscan") as pool:
                for _ in pool.map(self.look, found):
                    pass
            self._services.bell.tell("watches")
        return len(found)

    def look(self, scan: Scan) -> None:
        """Looks at one task; whatever is wrong with it is kept, to be shown."""
        try:
            self._look(scan)
        except (NotFound, Interrupted):
            pass  # it was deleted meanwhile; or the service is being stopped, and the next one looks
        except TaskEngineError as error:
            self._failed(scan, error.message)
        except Exception as error:  # noqa: BLE001 - a bug of ours that one task shows must not hold up the others
            _log.exception("task %s could not be looked at", scan.task)
            self._failed(scan, f"looking at it failed unexpectedly: {type(error).__name__}")

    def _look(self, scan: Scan) -> None:
        services = self._services
        with services.database.read() as conn:
            task = tasks.get(conn, scan.task)
            kept = secrets.get(conn, services.box, "task", task.name)
            newest = runs.page(conn, runs.Filter(task=task.name), top=_RECORDS).runs
            before = taskimages.of_task(conn, task.name)
        spec = _spec_of(services, task, kept)
        told = [(run, _record(run)) for run in newest if run.record is not None and tells_of_task(run)]
        records = [record for run, record in told if run.created >= task.updated]
        # a run that went well has told all that there is
        is_told = any(record.status is RunStatus.SUCCEEDED for record in records)
        is_new = scan.revision != task.revision or scan.failures > 0
        read = self._read(task, spec, kept, fetch=is_new or not is_told)
        known = Known(
            plan=read.plan,
            records=records,
            foreseen=read.foreseen,
            older=[record for run, record in told if run.created < task.updated],
        )
        if (read.may_change or not known.tells) and before:
            images = before
        else:
            watch = watch_of(task.document)
            images = rows(task.name, known, watch, platform=spec.platform, before=before)
        error = Mask(tuple(value for value in kept.values() if value)).text(read.error)
        now = services.now()
        again = now + _back_off(scan.failures) if read.may_change else None

        def work(conn: Connection) -> list[int]:
            kept = taskimages.put(
                conn, scan, images, revision=task.revision, watching=is_watching(task), now=now, error=error,
                again=again,
            )  # fmt: skip
            learned = [one for one in images if one not in before]
            return behind.tell(conn, task.name, learned, now=now) if kept and is_watching(task) else []

        if services.database.transact(work):
            services.bell.tell(EVENTS)

    def _read(self, task: Task, spec: RunSpec, kept: Mapping[str, str], *, fetch: bool) -> _Read:
        """What can be known of a task without running it. What needs its context is read where `fetch` says so: after
        a run, its record tells the same and more."""
        if not spec.context or not is_remote(spec.context):
            return _from(task, spec, kept, None)
        if not fetch:
            return _Read() if spec.file else replace(_from(task, spec, kept, None), error="")
        if self._fetch is None:
            return _from(task, spec, kept, None)
        token = kept.get("context:token", "")
        try:
            logins = login_for(spec.context, token) if token else {}
            with self._fetch(f"scan-{random.token_hex(8)}", logins, spec.context) as fetched:
                return _from(task, spec, kept, fetched)
        except (InvalidInput, Unreachable) as failure:
            why = f"{shown(spec.context)} could not be read: {failure.message}"
            may_change = isinstance(failure, Unreachable)
        return replace(_from(task, spec, kept, None), error=why, may_change=may_change)

    def _failed(self, scan: Scan, error: str) -> None:
        again = self._services.now() + _back_off(scan.failures)
        self._services.database.transact(lambda conn: taskimages.failed(conn, scan, error, again=again))


def _from(task: Task, spec: RunSpec, kept: Mapping[str, str], fetched: Fetched | None) -> _Read:
    """What the task's text and the Dockerfiles of its context say, as far as they are here."""
    try:
        plan = plan_of(task.name, spec, kept, fetched)
    except InvalidInput as error:
        return _Read(error=error.message)
    if plan is None:
        return _Read(error="its files lie in its context: its first run will tell")
    if fetched is None:
        return _Read(plan=plan)
    folder = Folder(fetched.folder)
    found = foresee(plan, lambda path: _dockerfile(folder, path), spec.platform, _build_args)
    open_ones = "; ".join(f"step {step}: {why}" for step, why in found.unread.items())
    return _Read(plan=plan, foreseen=foreseen(plan, found.scans, spec.platform), error=open_ones)


def _dockerfile(folder: Folder, path: str) -> str:
    """A stranger's file: nothing outside of the context, no devices, not too much."""
    try:
        return folder.read(path, largest=4 * LARGEST_TEXT).decode(errors="replace")
    except OSError as error:
        raise InvalidInput(
            f"{path} cannot be read in the context: {(error.strerror or str(error)).lower()}",
            hint="correct the Dockerfile's name",
        ) from None


def _build_args(given: tuple[str, ...]) -> Mapping[str, str]:
    return {name: value for name, sign, value in (text.partition("=") for text in given) if sign}


def _spec_of(services: Services, task: Task, kept: Mapping[str, str]) -> RunSpec:
    """What a run of the task would be told. Raises InvalidInput for a task that could not be run."""
    asked = Asked(owner=task.owner, now=services.now())
    request, _ = of_task(replace(task, enabled=True), kept, Overrides(ttl=timedelta(days=1)), asked, services.settings)
    return RunSpec.from_json(request.spec)


def _record(run: Run) -> RunRecord:
    try:
        return record_of(RunRecord, run.record or {})
    except ValueError:  # of a worker of another version
        return RunRecord(id=run.id, status=run.status)


def _back_off(failures: int) -> timedelta:
    return min(_BACK_OFF * (1 << min(failures, 20)), _LONGEST_BACK_OFF)
