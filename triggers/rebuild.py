"""What follows from an image's event: a wave of rebuilds, a place in a wave that is under way, or for each task that
stands on the image the reason why not.

All of it is one transaction: the wave, what is told of each task, and the event that is done. The runs are queued right
afterwards, a few at a time, by `wavekeeper`; a service that dies in between leaves members that may start, which the
next look finds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from taskengine.service.model import Document
from taskengine.service.services import Services
from taskengine.service.store import Connection, imageoutcomes, ledger, takeover, watches, waves
from taskengine.service.store.imageoutcomes import ImageOutcome
from taskengine.service.store.reach import Use
from triggers import imageevent, wavedecision
from triggers.imagechange import Seen
from triggers.imageverdict import uses_already
from triggers.wavecause import of_event
from triggers.waves import Caps, Member, MemberState, Wave, WavePlan, plan_wave
from triggers.wavestate import graph_of, plan_json, rows_of, save

#: an event that waits for a run is looked at again after so long, when the run's end did not wake it before
_LOOK_AGAIN = timedelta(minutes=1)


def process(services: Services, event: ledger.Event, caps: Caps | None = None) -> bool:
    """Works on an image's event; whether there is a run to queue now. Raises InvalidInput for an event that is none,
    and Unreachable."""
    found = imageevent.read(event)
    return services.database.transact(lambda conn: _Change(services, conn, event, found, caps or Caps()).decide())


class _Change:
    """One event being worked on, within a transaction."""

    def __init__(
        self, services: Services, conn: Connection, event: ledger.Event, found: imageevent.ImageEvent, caps: Caps
    ) -> None:
        self._conn, self._event, self._found, self._caps = conn, event, found, caps
        self._now = services.now()
        self._platform = services.settings.platform
        self._after = found.after
        self._told: set[str] = set()

    def decide(self) -> bool:
        conn, image = self._conn, self._found.image
        waves.lock(conn)
        if not ledger.hold(conn, self._event.number):
            return False
        # several changes that wait are one: what counts is what the tag stands for by now
        watch = watches.of_images(conn, [image]).get(image)
        self._after = Seen.of_json(watch.seen) if watch and watch.seen else self._found.after
        again = imageoutcomes.was_replayed(conn, self._event.number)
        judged = wavedecision.judge(
            conn, image, self._found.before, self._after, platform=self._platform, again=again
        )  # fmt: skip
        if not judged.uses:
            self._settle("ignored", "no task that it may start stands on it")
            return False
        covered = {} if again else self._covered(judged.uses, judged.verdicts.wanted)
        ignored = {**judged.verdicts.ignored, **covered}
        wanted = [task for task in judged.verdicts.wanted if task not in covered]
        if wanted and (going := waves.at_work(conn, judged.makers)):
            number, task, run = going[0]
            self._postpone(self._now + _LOOK_AGAIN, f"waits for {run or task}, which makes it in wave {number}")
            return False
        if not wanted:
            self._tell(ImageOutcome(task=task, state="ignored", reason=why) for task, why in ignored.items())
            self._settle("ignored", _summary(ignored))
            return False
        led_to = self._fold(wanted) or self._open(wanted)
        if led_to is None:
            return False
        self._tell(ImageOutcome(task=task, state="ignored", reason=why) for task, why in ignored.items())
        self._settle("queued", led_to)
        return True

    def _covered(self, uses: Iterable[Use], wanted: Collection[str]) -> dict[str, str]:
        """The tasks that are rebuilt for this very change already, or were: by the wave whose run pushed it, or by one
        that took it in when it worked on an older event."""
        image = self._found.reference
        known = {use.task: use for use in uses}
        pushed = waves.makers(self._conn, image.domain, image.path, image.tag or "latest", self._after.digest)
        found = {}
        for (number, task), member in waves.places_of(self._conn, {one for one, _ in pushed}, wanted).items():
            state = MemberState(member.state)
            if state is MemberState.STOPPED:
                continue
            over = state in (MemberState.CHANGED, MemberState.UNCHANGED)
            use = known[task]
            if over and use.settled and use.digest and not uses_already(use, self._after, self._platform):
                cycles = waves.get(self._conn, number).plan.get("cycles", ())
                if not any(task in cycle for cycle in cycles):
                    continue  # something else was behind the tag when it ran
            found[task] = f"wave {number} made it and sees to it"
        taken = [one for one in waves.since(self._conn, self._event.received) if self._took(one)]
        for (number, task), member in waves.places_of(
            self._conn, [one.number for one in taken], [task for task in wanted if task not in found]
        ).items():
            if MemberState(member.state) is not MemberState.STOPPED and self._found.image in member.images:
                found[task] = f"wave {number} sees to it"
        return found

    def _took(self, wave: waves.StoredWave) -> bool:
        """Whether a wave has known of this change since the event was there."""
        return any(
            one["image"] == self._found.image
            and one["digest"] == self._after.digest
            and one["event"] != self._event.number
            and datetime.fromisoformat(one["at"]) >= self._event.received
            for one in wave.images
        )

    def _fold(self, wanted: Collection[str]) -> str | None:
        """Into the newest wave that can take it; None when none can."""
        conn, image = self._conn, self._found.image
        place = wavedecision.place(conn, image, wanted, self._now, self._caps)
        if place is None:
            return None
        found, stored, entry = place.wave, place.wave.stored, self._entry()
        waves.extend(conn, stored.number, images=[*stored.images, entry], plan=plan_json(found.machine.plan))
        save(conn, found)
        runs = {row.task: row.run for row in found.rows.values() if row.run and row.task in place.unbegun}
        members = plan_wave(place.graph, [image], self._caps, only={image: wanted}).members
        for member in members:
            if member.images and (run := runs.get(member.task)):
                takeover.add_causes(conn, run, (of_event(stored.number, entry, member.task),), now=self._now)
        self._tell_members(stored.number, members, wanted, found.machine.states, runs)
        return f"taken into wave {stored.number}: {_tasks(len(members))}"

    def _open(self, wanted: Collection[str]) -> str | None:
        """A wave of its own; None when that would be a storm, and the event waits until it is over."""
        conn, image, caps = self._conn, self._found.image, self._caps
        if storm := wavedecision.storm(conn, image, self._now, caps):
            self._postpone(storm.over, storm.reason)
            return None
        plan = plan_wave(graph_of(conn, [image]), [image], caps, only={image: wanted})
        machine = Wave(plan, self._now, caps, by_image=True)
        machine.begin()
        number = waves.begin(
            conn, event=self._event.number, images=[self._entry()], plan=plan_json(plan), now=self._now,
            members=rows_of(machine, {}, {}),
        )  # fmt: skip
        self._tell_members(number, plan.members, wanted, machine.states, {})
        return f"wave {number}: {_plan_words(plan)}"

    def _tell_members(
        self, number: int, members: Iterable[Member], wanted: Collection[str], states: Mapping[str, MemberState],
        runs: Mapping[str, str],
    ) -> None:  # fmt: skip
        found = []
        for member in members:
            run = runs.get(member.task, "")
            if run:
                why = f"{run} of wave {number} has not begun, and sees it"
            elif states[member.task] is MemberState.STARTED:
                why = f"wave {number}: about to be queued"
            else:
                why = f"wave {number}: waits for {_names(member.parents)}"
            found.append(ImageOutcome(task=member.task, state="queued" if run else "waiting", reason=why, run=run))
        present = {one.task for one in found}
        why = f"wave {number} has as many tasks as a wave may have"
        found += [ImageOutcome(task=one, state="ignored", reason=why) for one in wanted if one not in present]
        self._tell(found)

    def _entry(self) -> Document:
        return {
            "image": self._found.image,
            "digest": self._after.digest,
            "event": self._event.number,
            "at": self._now.isoformat(),
        }

    def _tell(self, outcomes: Iterable[ImageOutcome]) -> None:
        """Each task hears of the event once: one to which it is no news may have a place in the wave by another way."""
        found = [one for one in outcomes if one.task not in self._told]
        self._told.update(one.task for one in found)
        facts: dict[str, Any] = {
            "kind": "imageUpdate", "image": self._found.image, "digest": self._after.digest,
            "source": self._found.source,
        }  # fmt: skip
        imageoutcomes.put(self._conn, self._event.number, found, facts=facts, now=self._now)

    def _settle(self, state: str, reason: str) -> None:
        ledger.settle(self._conn, self._event.number, state, reason, now=self._now)

    def _postpone(self, until: datetime, reason: str) -> None:
        imageoutcomes.postpone(self._conn, self._event.number, until=until, reason=reason)


def _summary(ignored: Mapping[str, str]) -> str:
    """The one reason of all tasks, or that there are several."""
    reasons = sorted(set(ignored.values()))
    if len(reasons) == 1:
        return reasons[0]
    return f"nothing that any of its {len(ignored)} tasks needs: {'; '.join(reasons[:3])}"


def _plan_words(plan: WavePlan) -> str:
    levels = "" if plan.levels < 2 else f" in {plan.levels} levels"
    more = f"; {plan.left_out} more are left out, it is too large" if plan.left_out else ""
    cut = f"; {len(plan.cycles)} groups of tasks stand on each other and are cut" if plan.cycles else ""
    return f"{_tasks(len(plan.members))}{levels}{more}{cut}"


def _tasks(number: int) -> str:
    return f"{number} task{'s' * (number != 1)}"


def _names(names: Collection[str], most: int = 5) -> str:
    shown = list(names)[:most]
    return ", ".join(shown) + (f" and {len(names) - most} more" if len(names) > most else "")
