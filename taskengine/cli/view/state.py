"""Where a run stands, told by its events. Decides nothing and draws nothing; the clock is handed in."""

from __future__ import annotations

from dataclasses import field

from taskengine.cli.view.clean import plain_text
from taskengine.lightclass import dataclass
from taskengine.runs.event import Event, RunStarted, StepFinished, StepProgress, StepRetrying, StepStarted
from taskengine.runs.model import StepStatus


@dataclass(slots=True)
class StepState:
    """One step as the view sees it. Times are monotonic seconds."""

    id: str
    type: str
    needs: tuple[str, ...]
    status: StepStatus = StepStatus.PENDING
    attempt: int = 0
    began: float = 0.0
    duration: float = 0.0
    last_line: str = ""
    doing: str = ""
    vertex: str = ""
    cached: int = 0
    done: int = 0
    retry_at: float | None = None
    message: str = ""
    note: str = ""
    error_ignored: bool = False


@dataclass(slots=True)
class TreeRow:
    """A step's place in the drawing: the lines that lead to it, and the step."""

    guides: str
    step: StepState


@dataclass
class RunState:
    """All steps, and the few sets that a drawing needs without looking at all of them."""

    run_id: str = ""
    began: float = 0.0
    steps: dict[str, StepState] = field(default_factory=dict)
    running: dict[str, StepState] = field(default_factory=dict)
    failed: dict[str, StepState] = field(default_factory=dict)
    finished: int = 0
    interrupted: bool = False
    _tree: list[TreeRow] | None = None

    def apply(self, event: Event, now: float) -> None:
        """Take an event in. Unknown kinds change nothing."""
        if isinstance(event, RunStarted):
            self.run_id, self.began = event.run_id, now
            self.steps = {i: StepState(i, kind, needs) for i, kind, needs in event.steps}
            self._tree = None
        elif isinstance(event, StepStarted):
            self._start(self._step(event.step), event.attempt, now)
        elif isinstance(event, StepRetrying):
            step = self._step(event.step)
            step.retry_at, step.message, step.doing = now + event.delay, event.message, ""
        elif isinstance(event, StepProgress):
            self._progress(self._step(event.step), event)
        elif isinstance(event, StepFinished):
            record = event.record
            step = self._step(record.id)
            step.status, step.duration, step.message = record.status, record.duration, record.message
            step.note = plain_text(record.note)
            step.attempt, step.error_ignored, step.retry_at = record.attempts, record.error_ignored, None
            self.running.pop(step.id, None)
            self.finished += 1
            if record.status is StepStatus.FAILED:
                self.failed[step.id] = step

    def line(self, step_id: str, text: str) -> None:
        """Remember a step's newest line of output."""
        text = plain_text(text).strip()
        if text:
            step = self._step(step_id)
            step.last_line = text[:400]
            if step.vertex.startswith(_BEFORE):  # over now, for the step speaks itself
                step.vertex = step.doing = ""

    def tree(self) -> list[TreeRow]:
        """The steps as a tree: each under the last of the steps it waits for. Made once."""
        if self._tree is None:
            self._tree = _tree(self.steps)
        return self._tree

    def waits_for(self, step: StepState) -> tuple[str, ...]:
        """The needs of a step that are not over yet."""
        over = (StepStatus.PENDING, StepStatus.RUNNING)
        return tuple(n for n in step.needs if n in self.steps and self.steps[n].status in over)

    def _step(self, step_id: str) -> StepState:
        if step_id not in self.steps:
            self.steps[step_id] = StepState(step_id, "", ())
            self._tree = None
        return self.steps[step_id]

    def _start(self, step: StepState, attempt: int, now: float) -> None:
        if step.status is not StepStatus.RUNNING:
            step.began = now
        step.status, step.attempt, step.retry_at = StepStatus.RUNNING, attempt, None
        step.doing = step.vertex = ""
        self.running[step.id] = step

    @staticmethod
    def _progress(step: StepState, event: StepProgress) -> None:
        name = plain_text(event.name).strip()
        if event.status == "started":
            step.vertex, step.doing = event.vertex, name + _part(event.current, event.total)
        elif event.status == "cached":
            step.cached += 1
            step.vertex, step.doing = event.vertex, f"{name} (cached)"
        elif event.status == "error":
            step.vertex, step.doing = event.vertex, f"{name}: {plain_text(event.message)}"
        else:
            step.done += 1
            if step.vertex == event.vertex:
                step.doing = "" if event.vertex.startswith(_BEFORE) else name


def _part(current: int, total: int) -> str:
    from taskengine.cli.view.words import size

    if total > 0:
        return f" {min(100, current * 100 // total)}% of {size(total)}"
    return f" {size(current)}" if current else ""


#: what is done for a step before it starts: its vertexes begin so
_BEFORE = ("pull:", "upload:")
#: deeper levels are drawn at this depth, so that a long chain does not run out of a narrow terminal
DEEPEST = 6


def _tree(steps: dict[str, StepState]) -> list[TreeRow]:
    depth: dict[str, int] = {}
    children: dict[str, list[StepState]] = {}
    roots: list[StepState] = []
    for step in steps.values():
        known = [n for n in step.needs if n in depth]
        if known:
            # the deepest of them is the one it is most likely to wait for; of equals the one further down the file
            parent = max(enumerate(known), key=lambda pair: (depth[pair[1]], pair[0]))[1]
            depth[step.id] = depth[parent] + 1
            children.setdefault(parent, []).append(step)
        else:
            depth[step.id] = 0
            roots.append(step)
    rows: list[TreeRow] = []
    # an explicit stack: a chain of ten thousand steps is no reason to recurse ten thousand deep
    stack: list[tuple[StepState, str, str]] = [(root, "", "") for root in reversed(roots)]
    while stack:
        step, guides, below = stack.pop()
        rows.append(TreeRow(guides, step))
        family = children.get(step.id, [])
        if len(below) >= 2 * DEEPEST:
            stack.extend((child, guides, below) for child in reversed(family))
            continue
        entries = [(c, below + "├ ", below + "│ ") for c in family[:-1]]
        entries += [(c, below + "└ ", below + "  ") for c in family[-1:]]
        stack.extend(reversed(entries))
    return rows
