"""The end of a run in words: each step's time, the critical path, the images, and on failure what to do. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from taskengine.cli.view.chart import bars
from taskengine.cli.view.clean import plain_text, terminal_text
from taskengine.cli.view.result import dependency_list
from taskengine.cli.view.tree import Look
from taskengine.cli.view.words import count, seconds, size, table
from taskengine.runs.model import ImageResult, RunRecord, RunStatus, StepRecord, StepStatus

#: of a larger task only the failed and the slowest steps are listed
MOST = 60

_VERBS = {
    RunStatus.SUCCEEDED: "succeeded",
    RunStatus.FAILED: "failed",
    RunStatus.CANCELED: "was canceled",
    RunStatus.ERROR: "broke off",
    RunStatus.TIMEOUT: "ran out of time",
}


def summary(
    record: RunRecord, look: Look, *, quiet: bool = False, git: Mapping[str, str] = MappingProxyType({})
) -> list[str]:
    """All lines of it. `quiet` keeps the failure and the result."""
    lines: list[str] = []
    if not quiet:
        lines += _steps(record, look) + _path(record) + _images(record) + _dependencies(record, git)
    failed = _failures(record)
    for step in failed:
        lines += ["", *_failure(step, look)]
    lines += [""] if lines else []
    lines.append(_result(record, look))
    if record.hint and not any(record.hint == step.hint for step in failed):
        lines.append(f"hint: {record.hint}")
    return lines


def _steps(record: RunRecord, look: Look) -> list[str]:
    if not record.steps:
        return []
    shown, more = list(record.steps), 0
    if len(shown) > MOST:
        bad = {s.id for s in shown if s.status is StepStatus.FAILED or s.error_ignored}
        slow = {s.id for s in sorted(shown, key=lambda s: -s.duration)[: MOST // 2]}
        shown = [s for s in shown if s.id in bad or s.id in slow][:MOST]
        more = len(record.steps) - len(shown)
    drawn = bars(record, unicode=look.unicode)
    critical = set(record.critical_path)
    rows = [("", "STEP", "TYPE", "STATUS", "TIME", "", "AFTER")]
    rows += [
        (
            "*" if s.id in critical and len(critical) > 1 else "",
            s.id,
            s.type,
            "failed (ignored)" if s.error_ignored else s.status.value,
            seconds(s.duration) if s.attempts else "",
            drawn.get(s.id, ""),
            _remark(s),
        )
        for s in shown
    ]
    head, *body = table(rows, right=(4,))
    styles = {StepStatus.FAILED: "bad", StepStatus.SUCCEEDED: ""}
    lines = ["", look.paint(head, "bold")]
    for line, s in zip(body, shown, strict=True):
        style = "warn" if s.error_ignored else styles.get(s.status, "dim")
        lines += [look.paint(text, style) for text in (line, *_message(s))]
    return lines + ([look.paint(f"... and {count(more, 'more step')}", "dim")] if more else [])


def _remark(step: StepRecord) -> str:
    """What the step waited for, and how often it was tried."""
    parts = [", ".join(step.needs) if len(step.needs) <= 4 else count(len(step.needs), "step")]
    if step.attempts > 1:
        parts.append(f"({count(step.attempts, 'attempt')})")
    return "  ".join(part for part in parts if part)


def _message(step: StepRecord) -> list[str]:
    """What went wrong, as a line of its own below the step's row; else what is worth knowing of it."""
    if step.note and step.status is StepStatus.SUCCEEDED and not step.error_ignored:
        return [f"    {_short(plain_text(step.note))}"]
    if not step.message or (step.status is StepStatus.SUCCEEDED and not step.error_ignored):
        return []
    return [f"    {_short(plain_text(step.message.split(chr(10))[0]))}"]


def _short(text: str) -> str:
    """A line that fits below a table; what is cut is seen to be cut."""
    return text if len(text) <= 100 else f"{text[:97]}..."


def _path(record: RunRecord) -> list[str]:
    if len(record.critical_path) < 2:
        return []
    times = {s.id: s.duration for s in record.steps}
    total = sum(times.get(step, 0.0) for step in record.critical_path)
    path = list(record.critical_path)
    if len(path) > 12:
        path = [*path[:6], f"... {len(path) - 11} more ...", *path[-5:]]
    return ["", f"* critical path: {' > '.join(path)} ({seconds(total)})"]


def _images(record: RunRecord) -> list[str]:
    images = record.images or tuple(image for step in record.steps for image in step.images)
    if not images:
        return []
    rows = [(i.reference, i.digest or i.image_id, "" if i.size is None else size(i.size), _state(i)) for i in images]
    return ["", "images:", *(f"  {line}" for line in table(rows, right=(2,)))]


def _dependencies(record: RunRecord, git: Mapping[str, str]) -> list[str]:
    lines = [plain_text(line) for line in dependency_list(record, git)]
    if len(lines) > MOST * 4:
        lines = [*lines[: MOST * 4], f"... and {count(len(lines) - MOST * 4, 'more line')}; -o json has them all"]
    notes = dict.fromkeys(f"{entry.reference}: {plain_text(entry.note)}" for entry in record.dependencies if entry.note)
    return ["", *lines, *(f"note: {note}" for note in notes)] if lines else []


def _state(image: ImageResult) -> str:
    return "pushed" if image.pushed else "local"


def _failures(record: RunRecord) -> list[StepRecord]:
    failed = [s for s in record.steps if s.status is StepStatus.FAILED]
    # the one that stopped the run comes last, next to the prompt
    return sorted(failed, key=lambda s: s.id == record.failed_step)[-5:]


def _failure(step: StepRecord, look: Look) -> list[str]:
    what = step.message or (step.reason.value if step.reason else "failed")
    if step.exit_code is not None and str(step.exit_code) not in what:
        what += f" (exit code {step.exit_code})"
    tries = f" after {count(step.attempts, 'attempt')}" if step.attempts > 1 else ""
    lines = [look.paint(f"step '{step.id}' failed{tries}: {terminal_text(what, colour=False)}", "bad")]
    if step.last_lines:
        lines.append("its last lines:")
        lines += [f"  | {terminal_text(line, colour=look.colour)}" for line in step.last_lines]
    if step.hint:
        lines.append(f"hint: {step.hint}")
    return lines


def _result(record: RunRecord, look: Look) -> str:
    verb = _VERBS.get(record.status, record.status.value)
    text = f"run {record.id} {verb} after {seconds(record.duration)}"
    if record.status is RunStatus.SUCCEEDED:
        ignored = sum(s.error_ignored for s in record.steps)
        more = f" ({count(ignored, 'failure')} ignored)" if ignored else ""
        return look.paint(f"run {record.id} succeeded in {seconds(record.duration)}{more}", "good")
    if record.message:
        text += f": {terminal_text(record.message, colour=False)}"
    return look.paint(text, "warn" if record.status is RunStatus.CANCELED else "bad")
