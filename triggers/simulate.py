"""What a changed image, a push or a moment would start, in which order, and what would be held back. Writes nothing.

Each answer comes from the functions that decide when it happens in earnest: `wavedecision` and `waves` of images,
`match` of pushes, `timers` of moments, and the submission of every run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from taskengine.errors import InvalidInput, NotFound, TaskEngineError
from taskengine.registry.reference import ImageReference
from taskengine.service.caller import Caller
from taskengine.service.model import Role, Task
from taskengine.service.services import Services
from taskengine.service.store import Connection, ledger, taskimages, tasks, ticks, watches, waves
from taskengine.service.store.taskimages import Relation
from taskengine.service.submission import Overrides
from taskengine.service.triggering import Push, Question
from triggers import match, processor, wavedecision
from triggers.causewords import rfc3339
from triggers.dryrun import objection
from triggers.graphdraw import shown
from triggers.imagechange import Seen
from triggers.imagegraph import named
from triggers.imagined import Hold, Imagined, Planned, without_the_held
from triggers.sourcecontrol.address import same_repository
from triggers.sourcecontrol.model import Kind, SourceEvent
from triggers.timers import due_instants
from triggers.waves import Caps, WavePlan, plan_wave
from triggers.wavestate import graph_of

#: asks a registry what an image stands for, with the manifests of its platforms; raises TaskEngineError
Look = Callable[[ImageReference], Seen]
#: tasks whose texts are checked; what is beyond is believed to be well
_CHECKED = 500
_ASKING = (Role.DEVELOPER, Role.OPERATOR, Role.ADMIN)
_MINUTE = timedelta(minutes=1)
#: stand for a content, and a commit, that nobody named
_NEW, _OLD = Seen(digest="sha256:" + "f" * 64), Seen(digest="sha256:" + "0" * 64)
_COMMIT = "0" * 40


def simulate(services: Services, caller: Caller, question: Question, look: Look | None = None) -> dict[str, Any]:
    """The answer as plain data, about the tasks that the caller may see. Raises InvalidInput."""
    if sum(one is not None for one in (question.image, question.push, question.at)) != 1:
        raise InvalidInput("ask about exactly one of an image, a push and a time", hint="image, push or at")
    after = _looked_up(services, caller, question.image, look) if question.image else None
    with services.database.read() as conn:
        asking = _Asking(services, conn, after)
        if question.image is not None:
            found = asking.of_image(question.image)
        elif question.push is not None:
            found = asking.of_push(question.push)
        else:
            assert question.at is not None  # noqa: S101 - one of three is there
            found = asking.of_time(question.at)
    return found.as_json(caller.in_scope)


def _looked_up(services: Services, caller: Caller, image: str, look: Look | None) -> Seen | str | None:
    """What the image's digest has for each platform, or why that is not known; None where no digest was named.

    Only registries of images that are watched anyway are asked, and not for readers: nobody else makes this service
    speak to a host."""
    reference = ImageReference.parse(image)
    if not reference.digest:
        return None
    with services.database.read() as conn:
        watched = watches.of_images(conn, [named(reference)])
    if look is None or not watched or caller.role not in _ASKING:
        return "no registry was asked"
    try:
        return look(reference)
    except TaskEngineError as error:
        return error.message


class _Asking:
    """One question, within a transaction that only reads."""

    def __init__(self, services: Services, conn: Connection, after: Seen | str | None) -> None:
        self._services, self._conn, self._looked_up = services, conn, after
        self._now = services.now()
        self._caps = Caps()
        self._unchecked = _CHECKED

    # images

    def of_image(self, text: str) -> Imagined:
        reference = ImageReference.parse(text)
        image = named(reference)
        out = Imagined(asked=f"{shown(image)} stands for {reference.digest or 'something new on every platform'}")
        watch = watches.of_images(self._conn, [image]).get(image)
        before = Seen.of_json(watch.seen) if watch and watch.seen else None
        after = self._looked_up if isinstance(self._looked_up, Seen) else Seen(digest=reference.digest)
        if not reference.digest:
            before, after = before or _OLD, _NEW
        elif isinstance(self._looked_up, str):
            out.note(f"which platforms this digest has is not known, all are taken for changed: {self._looked_up}")
        judged = wavedecision.judge(self._conn, image, before, after, platform=self._services.settings.platform)
        for task, why in judged.verdicts.ignored.items():
            out.hold(task, Hold.UNCHANGED, why)
        self._unreached(out, image, {one.task for one in judged.uses})
        wanted = judged.verdicts.wanted
        if not wanted:
            return out
        for number, task, run in waves.at_work(self._conn, judged.makers):
            out.note(f"all of it would wait for {run or task}, which makes the image in wave {number}", task)
        graph, only = graph_of(self._conn, [image]), {image: set(wanted)}
        if place := wavedecision.place(self._conn, image, set(wanted), self._now, self._caps):
            out.note(f"wave {place.wave.stored.number} is open and would take it in")
        elif storm := wavedecision.storm(self._conn, image, self._now, self._caps):
            for task in wanted:
                out.hold(task, Hold.STORM, storm.reason)
            return out
        plan = plan_wave(graph, [image], self._caps, only=only)
        for task in wanted.keys() - {member.task for member in plan.members}:
            out.hold(task, Hold.CAP, f"a wave has at most {self._caps.members} tasks")
        reasons = {task: f"{shown(image)} is new for {change.platform}" for task, change in wanted.items()}
        self._add_wave(out, plan, reasons)
        runs = {one.task for one in out.runs}  # some to which it is no news themselves have a place by another way
        out.held = [one for one in out.held if one.task not in runs]
        return out

    def _unreached(self, out: Imagined, image: str, reached: set[str]) -> None:
        """Tasks that stand on the image and are not asked at all."""
        for one in taskimages.standing_on(self._conn, image):
            if one.task in reached or any(held.task == one.task for held in out.held):
                continue
            if one.relation is Relation.UNWATCHED:
                out.hold(one.task, Hold.FILTER, one.reason)
            else:
                enabled = tasks.get(self._conn, one.task).enabled
                trigger = "its base image trigger is disabled, or it has none"
                out.hold(one.task, Hold.DISABLED, trigger if enabled else "the task is disabled")

    # pushes

    def of_push(self, push: Push) -> Imagined:
        event = event_of(push)
        what = f"pull request {event.number} into {event.branch}" if event.kind is Kind.PULL_REQUEST else event.ref
        commit = f" at {push.commit[:12]}" if push.commit else ""
        out = Imagined(asked=f"{what} of {push.repository} has a new commit{commit}")
        started: dict[str, str] = {}
        elsewhere = 0
        for task in self._all_tasks():
            if not _may_hear(task, push.repository):
                elsewhere += bool((task.document.get("trigger") or {}).get("sourceTriggers"))
                continue
            verdict = match.judge(task.document, event)
            if not verdict.wanted:
                disabled = "disabled" in verdict.reason
                out.hold(task.name, Hold.DISABLED if disabled else Hold.FILTER, verdict.reason)
                continue
            overrides = processor.overrides_of(task, event, untrusted=verdict.needs_approval)
            if held := self._objection(out, task, overrides):
                out.hold(task.name, *held)
                continue
            known = ledger.told_before(self._conn, processor.key_of(task.name, event)) if push.commit else ""
            if known:
                out.hold(task.name, Hold.KNOWN, known)
                continue
            reason = verdict.reason if push.commit else verdict.reason.replace(f" at {_COMMIT[:12]}", "")
            out.runs.append(Planned(task=task.name, level=0, reason=reason, needs_approval=verdict.needs_approval))
            if not verdict.needs_approval:  # such a run pushes nothing
                started[task.name] = reason
        if elsewhere:
            out.note(f"{elsewhere} task{'s' * (elsewhere != 1)} with source triggers watch other repositories")
        if event.paths is None:
            out.note("no changed files were named, so that filters for paths let it pass")
        self._add_followers(out, started)
        return out

    # moments

    def of_time(self, at: datetime) -> Imagined:
        out = Imagined(asked=f"it is {rfc3339(at)}")
        started: dict[str, str] = {}
        for task in self._all_tasks():
            for timer in (task.document.get("trigger") or {}).get("timerTriggers") or ():
                name = timer["name"]
                try:
                    instants = due_instants(timer, at - _MINUTE, at)
                except InvalidInput as error:
                    out.hold(task.name, Hold.INVALID, f"timer {name}: {error.message}")
                    continue
                for instant in instants:
                    reason = f"the timer {name} is due at {rfc3339(instant)} (schedule {timer['schedule']})"
                    if held := self._held_timer(out, task, timer, instant):
                        out.hold(task.name, *held)
                    else:
                        out.runs.append(Planned(task=task.name, level=0, reason=reason))
                        started[task.name] = reason
        self._add_followers(out, started)
        return out

    def _held_timer(
        self, out: Imagined, task: Task, timer: Mapping[str, Any], instant: datetime
    ) -> tuple[Hold, str] | None:
        name = timer["name"]
        if timer.get("status", "Enabled") != "Enabled":
            return Hold.DISABLED, f"the timer {name} is disabled"
        run = ticks.fired(self._conn, task.name, name, instant)
        if run is not None:
            return Hold.KNOWN, f"the timer {name} has fired for {rfc3339(instant)}" + (f": {run}" if run else "")
        overrides = Overrides(facts={"triggered_by": "Timer"})
        return self._objection(out, task, overrides)

    def _objection(self, out: Imagined, task: Task, overrides: Overrides) -> tuple[Hold, str] | None:
        """What would hold a task's run back. Of very many tasks, not all texts are read."""
        if task.enabled and self._unchecked <= 0:
            if not self._unchecked:
                self._unchecked -= 1
                out.note(f"whether they can run was looked into for {_CHECKED} tasks only")
            return None
        self._unchecked -= task.enabled
        return objection(self._services, self._conn, task, overrides)

    # what follows

    def _add_followers(self, out: Imagined, started: Mapping[str, str]) -> None:
        """The rebuilds of what stands on the images that these tasks push, if each is a new one."""
        made = taskimages.made_by(self._conn, started)
        plan = plan_wave(graph_of(self._conn, made), made, self._caps)
        for image in made:
            if storm := wavedecision.storm(self._conn, image, self._now, self._caps):
                out.note(f"rebuilds would wait: {storm.reason}")
        self._add_wave(out, plan, {}, base=1, makers=made)

    def _add_wave(
        self, out: Imagined, plan: WavePlan, why: Mapping[str, str], *, base: int = 0,
        makers: Mapping[str, Sequence[str]] | None = None,
    ) -> None:  # fmt: skip
        """The members of a wave, and what would hold some of them back."""
        held: dict[str, tuple[Hold, str]] = {}
        overrides = Overrides(facts={"triggered_by": "Image Update"})
        for member in plan.members:
            try:
                task = tasks.get(self._conn, member.task)
            except NotFound:
                continue
            if found := self._objection(out, task, overrides):
                held[member.task] = found
        reasons = {task: reason for task, (_, reason) in held.items()}
        for member, stopped in without_the_held(plan.members, reasons, base=base, parents=makers or {}):
            if stopped:
                out.hold(member.task, held[member.task][0] if member.task in held else Hold.PARENTS, stopped)
                continue
            reason = why.get(member.task) or f"if what {_listed(member.parents)} makes is new"
            out.runs.append(
                Planned(
                    task=member.task, level=member.level, waits_for=member.parents, images=member.images, reason=reason
                )
            )
        for cycle in plan.cycles:
            out.note(f"these tasks stand on each other, each is rebuilt once: {', '.join(cycle)}", *cycle)
        if plan.left_out:
            out.note(f"{plan.left_out} more tasks are left out: a wave has at most {self._caps.members}")

    def _all_tasks(self) -> Iterator[Task]:
        cursor = None
        while True:
            page = tasks.page(self._conn, top=500, cursor=cursor)
            yield from page.tasks
            if not (cursor := page.cursor):
                return


def event_of(push: Push) -> SourceEvent:
    """A push as a forge would tell of it. Pure. Raises InvalidInput."""
    ref, tag, branch, number = push.ref, "", "", ""
    kind = Kind.PUSH
    if ref.startswith("refs/tags/"):
        kind, tag = Kind.TAG, ref.removeprefix("refs/tags/")
    elif ref.startswith(("refs/pull/", "refs/merge-requests/", "refs/pull-requests/")):
        kind, number, branch = Kind.PULL_REQUEST, ref.split("/")[2], push.into or "main"
    else:
        branch = ref.removeprefix("refs/heads/")
        ref = f"refs/heads/{branch}"
    if push.is_fork and kind is not Kind.PULL_REQUEST:
        raise InvalidInput("only a pull request comes from a fork", hint="name a ref such as refs/pull/7/head")
    return SourceEvent(
        kind=kind, provider="Github", repositories=(push.repository,), ref=ref, branch=branch, tag=tag, number=number,
        commit=push.commit or _COMMIT, author=push.author, message=push.message, paths=push.paths,
        is_fork=push.is_fork, base=branch if kind is Kind.PULL_REQUEST else "",
    )  # fmt: skip


def _may_hear(task: Task, repository: str) -> bool:
    """Whether one of the task's triggers watches this repository."""
    context = (task.document.get("step") or {}).get("contextPath") or ""
    urls = (
        (trigger.get("sourceRepository") or {}).get("repositoryUrl") or context
        for trigger in (task.document.get("trigger") or {}).get("sourceTriggers") or ()
    )
    return any(same_repository(url, repository) for url in urls)


def _listed(names: Iterable[str], most: int = 5) -> str:
    every = list(names)
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more
