"""What is rebuilt after images have changed, and in which order: each task exactly once, after all it stands on. Pure.

`plan_wave` says what one change leads to; a `Wave` is that plan on its way: told what ended and how, it says what may
start and what need not. It makes no runs and keeps no clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum

from triggers.imagegraph import ImageGraph

#: tasks by image
Only = Mapping[str, Collection[str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Caps:
    """What keeps a change from becoming a storm.

    `members`: tasks of one wave. `waves`: waves that one image may begin `within` a time. `window`: how long a wave
    takes further changes in.
    """

    members: int = 20_000
    waves: int = 6
    within: timedelta = timedelta(hours=1)
    window: timedelta = timedelta(minutes=5)


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """A task of a wave. It waits for `parents`; `images` are those of the change that it stands on itself."""

    task: str
    level: int
    parents: tuple[str, ...] = ()
    images: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class WavePlan:
    """`members` in an order in which every task comes after its parents.

    `cycles` are tasks that stand on each other: the way around is cut where it comes back to what the change reached
    earlier. `left_out` are tasks above the cap.
    """

    images: tuple[str, ...]
    members: tuple[Member, ...] = ()
    cycles: tuple[tuple[str, ...], ...] = ()
    left_out: int = 0

    @property
    def levels(self) -> int:
        return max((member.level for member in self.members), default=-1) + 1


def plan_wave(
    graph: ImageGraph, images: Iterable[str], caps: Caps | None = None, *, only: Only | None = None
) -> WavePlan:
    """The rebuilds that a change of these images leads to. `only` names, by image, the tasks to which its change is
    news, where it is not to all that stand on it."""
    caps = caps or Caps()
    changed = tuple(dict.fromkeys(images))
    direct: dict[str, list[str]] = {}
    for image in changed:
        for task in graph.users.get(image, ()):
            # who made the image itself is not behind it
            if image not in graph.tasks[task].makes and (only is None or task in only.get(image, (task,))):
                direct.setdefault(task, []).append(image)
    children = _reached(graph, direct)
    order = {task: place for place, task in enumerate(children)}
    cycles = _cycles(children)
    for cycle in cycles:
        inside = set(cycle)
        for task in cycle:
            children[task] = tuple(
                child for child in children[task] if child not in inside or order[child] > order[task]
            )
    members = _sorted(children, direct)
    left_out = max(0, len(members) - caps.members)
    # parents come first, so what is cut off at the end is nobody's parent
    kept = tuple(members[: caps.members])
    return WavePlan(images=changed, members=kept, cycles=tuple(cycles), left_out=left_out)


def _reached(graph: ImageGraph, direct: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Each task that the change reaches, with its children, nearest first."""
    found: dict[str, tuple[str, ...]] = {}
    waiting = deque(direct)
    seen = set(waiting)
    while waiting:
        task = waiting.popleft()
        found[task] = graph.children(task)
        for child in found[task]:
            if child not in seen:
                seen.add(child)
                waiting.append(child)
    return found


def _cycles(children: Mapping[str, Sequence[str]]) -> list[tuple[str, ...]]:
    """The groups of tasks that stand on each other, each in the order of `children`."""
    if _is_ordered(children):
        return []
    import networkx as nx

    graph: nx.DiGraph[str] = nx.DiGraph((task, child) for task, below in children.items() for child in below)
    place = {task: number for number, task in enumerate(children)}
    groups = (group for group in nx.strongly_connected_components(graph) if len(group) > 1)
    return sorted((tuple(sorted(group, key=place.__getitem__)) for group in groups), key=lambda g: place[g[0]])


def _is_ordered(children: Mapping[str, Sequence[str]]) -> bool:
    return len(_sorted(children, {})) == len(children)


def _sorted(children: Mapping[str, Sequence[str]], direct: Mapping[str, Sequence[str]]) -> list[Member]:
    """The tasks level by level. A task's level is one below that of its lowest parent."""
    parents: dict[str, list[str]] = {task: [] for task in children}
    for task, below in children.items():
        for child in below:
            parents[child].append(task)
    unmet = {task: len(above) for task, above in parents.items()}
    level = dict.fromkeys(children, 0)
    ready = deque(task for task, count in unmet.items() if not count)
    members = []
    while ready:
        task = ready.popleft()
        members.append(
            Member(
                task=task, level=level[task], parents=tuple(parents[task]), images=tuple(direct.get(task, ()))
            )
        )  # fmt: skip
        for child in children[task]:
            unmet[child] -= 1
            level[child] = max(level[child], level[task] + 1)
            if not unmet[child]:
                ready.append(child)
    return members


class MemberState(Enum):
    WAITING = "waiting"
    #: may start, or runs
    STARTED = "started"
    #: its run pushed something new
    CHANGED = "changed"
    #: its run pushed what was there before, or nothing
    UNCHANGED = "unchanged"
    FAILED = "failed"
    #: there was nothing to build it for
    STOPPED = "stopped"

    @property
    def is_final(self) -> bool:
        return self not in (MemberState.WAITING, MemberState.STARTED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """What follows from something that happened: tasks whose runs are to be queued, and those that are stopped, and
    why."""

    start: tuple[str, ...] = ()
    stopped: Mapping[str, str] = field(default_factory=dict)


class Wave:
    """A plan on its way. Told the same things in the same order, it says the same; it is not for several threads.

    With `by_image` a changed parent is no reason by itself: `ended` has to say which of its images are news to whom.
    """

    def __init__(self, plan: WavePlan, opened: datetime, caps: Caps | None = None, *, by_image: bool = False) -> None:
        self.opened = opened
        self._caps = caps or Caps()
        self._by_image = by_image
        self._begun = False
        self._members: dict[str, Member] = {}
        self._adopt(plan, {})

    def _adopt(self, plan: WavePlan, states: Mapping[str, MemberState]) -> None:
        self.plan = plan
        known = {task: member.images for task, member in self._members.items()}
        self._members = {member.task: _with_images(member, known.get(member.task, ())) for member in plan.members}
        self._states = {task: states.get(task, MemberState.WAITING) for task in self._members}
        self._children: dict[str, list[str]] = {task: [] for task in self._members}
        for member in plan.members:
            for parent in member.parents:
                self._children[parent].append(member.task)
        self._unmet = {
            member.task: sum(not self._states[parent].is_final for parent in member.parents)
            for member in plan.members
        }  # fmt: skip

    @property
    def members(self) -> Mapping[str, Member]:
        """By task, each with all images that are known to have changed beneath it."""
        return dict(self._members)

    def children(self, task: str) -> Sequence[str]:
        return tuple(self._children.get(task, ()))

    @property
    def states(self) -> Mapping[str, MemberState]:
        return dict(self._states)

    @property
    def is_over(self) -> bool:
        return all(state.is_final for state in self._states.values())

    def begin(self) -> Step:
        """What may start at once. Also after the wave was restored with `restore`: what was started is not again."""
        self._begun = True
        return self._go(member.task for member in self.plan.members if not self._unmet[member.task])

    def restore(self, states: Mapping[str, MemberState]) -> None:
        """Go on from what was stored of the members."""
        self._adopt(self.plan, states)

    def ended(self, task: str, state: MemberState, news: Mapping[str, Iterable[str]] | None = None) -> Step:
        """A task's run has ended as CHANGED, UNCHANGED or FAILED. Told twice, or of a stranger, nothing follows. `news`
        are by child the images that it stands on and that the run has changed."""
        if self._states.get(task) is not MemberState.STARTED or not state.is_final:
            return Step()
        self._states[task] = state
        for child, images in (news or {}).items():
            if child in self._children[task]:
                self._members[child] = _with_images(self._members[child], images)
        return self._go(self._met(task))

    def fold(
        self, graph: ImageGraph, images: Iterable[str], now: datetime, *, unstarted: Collection[str] = (),
        only: Only | None = None,
    ) -> Step | None:  # fmt: skip
        """Take a further change in; None when another wave has to: the window is over, or a task that it concerns has
        started already. `unstarted` are tasks that may start, but whose runs have not begun yet: these see the change,
        too, unless they would now have to wait for others."""
        further = tuple(images)
        merged = plan_wave(graph, (*self.plan.images, *further), self._caps, only=only)
        concerned = {member.task for member in plan_wave(graph, further, self._caps, only=only).members}
        if now - self.opened > self._caps.window or self.is_over:
            return None
        begun = {
            task for task, state in self._states.items() if state is not MemberState.WAITING and task not in unstarted
        }
        if concerned & begun:
            return None
        if not self._states.keys() <= {member.task for member in merged.members}:
            return None  # tasks have changed since, or the cap leaves others out
        if any(self._must_wait(member) for member in merged.members):
            return None
        self._adopt(merged, self._states)
        return self.begin() if self._begun else Step()

    def _must_wait(self, member: Member) -> bool:
        """Whether a task that may start already has a parent that is not over."""
        return self._states.get(member.task) is MemberState.STARTED and any(
            not self._states.get(parent, MemberState.WAITING).is_final for parent in member.parents
        )

    def covers(self, graph: ImageGraph, image: str) -> bool:
        """Whether a change of this image is one that the wave makes itself and sees to: no wave is opened for it."""
        return any(
            self._states.get(maker) in (MemberState.STARTED, MemberState.CHANGED)
            for maker in graph.makers.get(image, ())
        )

    def _met(self, task: str) -> list[str]:
        found = []
        for child in self._children[task]:
            self._unmet[child] -= 1
            if not self._unmet[child]:
                found.append(child)
        return found

    def _go(self, tasks: Iterable[str]) -> Step:
        """Start the tasks that have a reason, stop those that have none, and go on below these."""
        start, stopped = [], {}
        waiting = deque(tasks)
        while waiting:
            task = waiting.popleft()
            if self._states[task] is not MemberState.WAITING:
                continue
            if reason := self._why_not(task):
                self._states[task] = MemberState.STOPPED
                stopped[task] = reason
                waiting.extend(self._met(task))
            else:
                self._states[task] = MemberState.STARTED
                start.append(task)
        return Step(start=tuple(start), stopped=stopped)

    def _why_not(self, task: str) -> str:
        """Why a task whose parents have all ended need not be built; empty when it has to be."""
        member = self._members[task]
        states = {parent: self._states[parent] for parent in member.parents}
        if member.images or (MemberState.CHANGED in states.values() and not self._by_image):
            return ""
        failed = [parent for parent, state in states.items() if state is MemberState.FAILED]
        if failed:
            return f"{', '.join(failed[:5])} failed, so that what it stands on is as before"
        return "nothing that it stands on has changed"


def _with_images(member: Member, images: Iterable[str]) -> Member:
    return replace(member, images=tuple(dict.fromkeys((*member.images, *images))))


def refusal(image: str, opened: Sequence[datetime], now: datetime, caps: Caps) -> str:
    """Why a change of `image` must not open one more wave, given when it opened the last ones; empty when it may."""
    recent = [moment for moment in opened if now - moment < caps.within]
    if len(recent) < caps.waves:
        return ""
    minutes = int(caps.within.total_seconds() // 60)
    again = min(recent) + caps.within
    return (
        f"{image} has begun {len(recent)} waves within {minutes} minutes, more than that is taken for a storm: "
        f"again from {again:%Y-%m-%dT%H:%M:%SZ} on"
    )
