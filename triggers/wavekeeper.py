"""Keeps waves going: takes note of runs that ended, says with the machine what follows, and queues what may start.

Each look at a wave, and each handful of runs that are queued, is a transaction of its own under the waves' lock: killed
at any instant, it leaves what the next look finds, and no run that the wave does not know. Several services may look.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import groupby

from taskengine.errors import Conflict, InvalidInput, NotFound, Unreachable
from taskengine.runs.model import RunStatus
from taskengine.service.services import Services
from taskengine.service.store import Connection, imageoutcomes, reach, secrets, tasks, waves
from taskengine.service.store.feeds import topic
from taskengine.service.store.imageoutcomes import ImageOutcome
from taskengine.service.store.signals import QUEUE
from taskengine.service.store.waves import Ended, Pushed
from taskengine.service.submission import Asked, Overrides, of_task
from triggers import coalesce
from triggers.imageevent import SOURCES
from triggers.wavecause import WaveFacts, ancestors, chain
from triggers.waves import Caps, MemberState
from triggers.wavestate import Restored, restore, save

_log = logging.getLogger("triggers.waves")
#: runs that are queued in one transaction, and in one look
_BATCH = 20
MOST = 400
#: what became of members without a run
_Fates = Mapping[str, tuple[MemberState, str]]


def keep(services: Services) -> int:
    """One look at all open waves. Returns how many of them have moved, and runs were queued."""
    with services.database.read() as conn:
        moved = waves.with_ends(conn)
    for number in moved:
        services.database.transact(partial(_advance, services, number, fates={}))
    return len(moved) + queue_ready(services)


def queue_ready(services: Services, *, most: int = MOST) -> int:
    """Queues the runs of members that may start; at most so many, the others at the next look."""
    with services.database.read() as conn:
        found = waves.ready(conn, most=most)
    made = 0
    for number, pairs in groupby(found, key=lambda one: one[0]):
        made += _queue_wave(services, number, [task for _, task in pairs])
    return made


def _queue_wave(services: Services, number: int, members: Sequence[str]) -> int:
    with services.database.read() as conn:
        rows = {row.task: row for row in waves.members(conn, number)}
        above = {one.run for task in members if task in rows for one in ancestors(rows, task)}
        pushed = waves.pushes(conn, above - {""})
    made = 0
    for start in range(0, len(members), _BATCH):
        some = members[start : start + _BATCH]

        def work(conn: Connection, some: Sequence[str] = some) -> tuple[list[str], _Fates]:
            now = services.now()
            waves.lock(conn)
            stored = waves.get(conn, number)
            facts = WaveFacts(wave=stored, members=rows, pushes=pushed, at=now.isoformat().replace("+00:00", "Z"))
            return _queue_some(services, conn, facts, some)

        queued, fates = _try(services, work, some)
        if fates:
            services.database.transact(partial(_advance, services, number, fates=fates))
        if queued:
            services.bell.tell(QUEUE, *(topic(run) for run in queued))
        made += len(queued)
    return made


def _try(
    services: Services, work: Callable[[Connection, Sequence[str]], tuple[list[str], _Fates]], some: Sequence[str]
) -> tuple[list[str], _Fates]:
    """A bug of ours that one task shows must not hold up the others: these are queued one by one then."""
    try:
        return services.database.transact(lambda conn: work(conn, some))
    except Unreachable:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told as the outcome of its task
        if len(some) == 1:
            _log.exception("the run of task %s could not be queued", some[0])
            why = f"queuing its run failed unexpectedly: {type(error).__name__}"
            return [], {some[0]: (MemberState.FAILED, why)}
    queued: list[str] = []
    fates: dict[str, tuple[MemberState, str]] = {}
    for task in some:
        runs, more = _try(services, work, [task])
        queued += runs
        fates.update(more)
    return queued, fates


def _queue_some(
    services: Services, conn: Connection, facts: WaveFacts, members: Sequence[str]
) -> tuple[list[str], _Fates]:
    """Within a transaction that holds the waves' lock: the runs that were queued, and what became of the others."""
    now, number = services.now(), facts.wave.number
    queued: dict[str, str] = {}
    told = []
    fates: dict[str, tuple[MemberState, str]] = {}
    ready = waves.ready_of(conn, number, members)
    for name in members:
        if name not in facts.members or name not in ready:
            continue
        try:
            task = tasks.get(conn, name)
            kept = secrets.get(conn, services.box, "task", name)
            asked = Asked(owner=task.owner, now=now, cause=chain(facts, name))
            overrides = Overrides(facts={"triggered_by": "Image Update"})
            request, _ = of_task(task, kept, overrides, asked, services.settings)
        except (NotFound, Conflict) as error:  # it is gone, or disabled
            fates[name] = MemberState.STOPPED, error.message
            continue
        except InvalidInput as error:
            fates[name] = MemberState.FAILED, error.message
            continue
        run, new = coalesce.enqueue(services, conn, request, now=now)
        queued[name] = run.id
        reason = f"wave {number}" if new else f"wave {number}: {run.id} had not begun and takes the cause over"
        told.append(ImageOutcome(task=name, state="queued", reason=reason, run=run.id))
    waves.started(conn, number, queued)
    imageoutcomes.tell(conn, _events(facts.wave), told)
    return list(queued.values()), fates


def _advance(services: Services, number: int, conn: Connection, *, fates: _Fates) -> None:
    """Takes note of all runs of a wave that ended, and of members that get none, and says what follows."""
    now = services.now()
    waves.lock(conn)
    stored = waves.get(conn, number)
    if stored.state == waves.OVER:
        return
    found = restore(conn, stored, Caps())
    ends = waves.ends(conn, number)
    pushed = waves.pushes(conn, [one.run for one in ends])
    told: list[ImageOutcome] = []
    for end in ends:
        state, reason, news = _judged(conn, found, end, pushed.get(end.run, ()))
        found.reasons[end.task] = reason
        told += _stopped(found, found.machine.ended(end.task, state, news).stopped, number)
    for task in sorted(waves.ready_of(conn, number, fates)):
        state, reason = fates[task]
        found.reasons[task] = reason
        outcome = "failed" if state is MemberState.FAILED else "ignored"
        told.append(ImageOutcome(task=task, state=outcome, reason=f"wave {number}: {reason}"))
        told += _stopped(found, found.machine.ended(task, state, {}).stopped, number)
    save(conn, found)
    imageoutcomes.tell(conn, _events(stored), told)
    if found.machine.is_over:
        waves.close(conn, number, now=now)
    if ends or fates:
        # those that wait for a run of the wave may go on
        imageoutcomes.wake(conn, imageoutcomes.waiting(conn, SOURCES, after=now), now=now)


def _stopped(found: Restored, stopped: Mapping[str, str], number: int) -> Iterable[ImageOutcome]:
    found.reasons.update(stopped)
    return [ImageOutcome(task=task, state="ignored", reason=f"wave {number}: {why}") for task, why in stopped.items()]


def _judged(
    conn: Connection, found: Restored, end: Ended, pushed: Sequence[Pushed]
) -> tuple[MemberState, str, dict[str, list[str]]]:
    """How a member ended, why so, and which changed images are news to which of its children. A name that no child
    stands on (a tag of its own for each run) makes no difference to them."""
    if end.status != RunStatus.SUCCEEDED.value:
        how = f"{end.run} ended as {end.status}" if end.status else f"{end.run} is not there any more"
        return MemberState.FAILED, how + (f": {end.message}" if end.message else ""), {}
    if not pushed:
        return MemberState.UNCHANGED, f"{end.run} pushed nothing", {}
    changed = [one.name for one in pushed if waves.pushed_before(conn, one, end.number) != one.digest]
    children = set(found.machine.children(end.task))
    users = {image: [task for task in names if task in children] for image, names in _users(conn, pushed).items()}
    if children and not any(users.values()):
        users = {one.name: sorted(children) for one in pushed}  # who stands on what has changed since the plan
    news: dict[str, list[str]] = {}
    for image in changed:
        for task in users.get(image, ()):
            news.setdefault(task, []).append(image)
    if news or (changed and not children):
        return MemberState.CHANGED, f"{end.run} pushed {', '.join(changed[:5])}", news
    return MemberState.UNCHANGED, f"{end.run} pushed what was there before", {}


def _users(conn: Connection, pushed: Sequence[Pushed]) -> dict[str, list[str]]:
    return reach.users_of(conn, [one.name for one in pushed])


def _events(stored: waves.StoredWave) -> list[int]:
    return sorted({int(one["event"]) for one in stored.images})
