"""The drawing of a running task: rows of styled text for a terminal of a given size. Pure; writes nothing."""

from __future__ import annotations

from taskengine.cli.view.state import RunState, StepState, TreeRow
from taskengine.cli.view.words import listing, seconds
from taskengine.lightclass import dataclass
from taskengine.runs.model import StepStatus

#: styles by name, as SGR parameters: the terminal's own sixteen colours, so that they fit its theme
STYLES = {
    "": "",
    "dim": "2",
    "bold": "1",
    "good": "32",
    "bad": "31;1",
    "busy": "36",
    "warn": "33",
}

#: the colours of step prefixes; none of them means good or bad
PREFIXES = ("36", "35", "34", "96", "95", "94", "33", "92")


@dataclass(frozen=True)
class Look:
    """What the terminal can show."""

    colour: bool = True
    unicode: bool = True

    def paint(self, text: str, style: str) -> str:
        code = STYLES.get(style, style)
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour and code and text else text


_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_ASCII_SPINNER = "|/-\\"
_MARKS = {
    StepStatus.PENDING: ("○", ".", "dim"),
    StepStatus.RUNNING: ("●", "*", "busy"),
    StepStatus.SUCCEEDED: ("✔", "+", "good"),
    StepStatus.FAILED: ("✘", "x", "bad"),
    StepStatus.SKIPPED: ("–", "-", "dim"),
    StepStatus.CANCELED: ("■", "#", "warn"),
}
_ASCII = str.maketrans({"├": "|", "└": "`", "│": "|", "…": "~", "·": "-"})

Segment = tuple[str, str]


def draw(state: RunState, *, now: float, width: int, height: int, look: Look) -> list[str]:
    """At most half the terminal: the tree when it fits, else the steps that run; then one line about the whole."""
    budget = max(1, min(height - 2, max(5, height // 2)) - 1)
    total = len(state.steps)
    if total <= budget:
        rows = state.tree()
    else:
        urgent = [*state.running.values(), *state.failed.values()]
        rows = [TreeRow("", step) for step in urgent[:budget]]
    names = max((len(row.guides) + cells(row.step.id) for row in rows), default=0)
    names = min(names, max(8, width * 2 // 5))
    lines = [_fit(_row(state, row, now, names, look), width, look) for row in rows]
    hidden = len(state.running) - len(rows) if total > budget else 0
    lines.append(_fit(_footer(state, now, hidden), width, look))
    return lines


def _row(state: RunState, row: TreeRow, now: float, names: int, look: Look) -> list[Segment]:
    step = row.step
    mark, ascii_mark, style = _MARKS[step.status]
    if step.status is StepStatus.RUNNING and step.retry_at is None:
        spinner = _SPINNER if look.unicode else _ASCII_SPINNER
        mark = ascii_mark = spinner[int(now * 10) % len(spinner)]
    if step.error_ignored:
        mark, ascii_mark, style = "✘", "x", "warn"
    name = cut(step.id, max(1, names - len(row.guides)))
    pad = " " * max(0, names - len(row.guides) - cells(name))
    return [
        (" ", ""),
        (row.guides, "dim"),
        (mark if look.unicode else ascii_mark, style),
        (" ", ""),
        (name, "dim" if step.status in (StepStatus.PENDING, StepStatus.SKIPPED) else "bold"),
        (pad, ""),
        (f" {_time(step, now):>7}  ", "dim"),
        *_detail(state, step, now),
    ]


def _time(step: StepState, now: float) -> str:
    if step.status is StepStatus.RUNNING:
        return seconds(now - step.began)
    return seconds(step.duration) if step.status not in (StepStatus.PENDING, StepStatus.SKIPPED) else ""


def _detail(state: RunState, step: StepState, now: float) -> list[Segment]:
    out: list[Segment] = []
    if step.attempt > 1:
        out.append((f"attempt {step.attempt}  ", "warn"))
    if step.status is StepStatus.PENDING:
        waits = state.waits_for(step)
        out.append((f"waits for {listing(waits)}" if waits else "", "dim"))
    elif step.status is StepStatus.RUNNING and step.retry_at is not None:
        out.append((f"again in {seconds(max(0.0, step.retry_at - now))}: {step.message}", "warn"))
    elif step.status is StepStatus.RUNNING:
        text = step.doing or step.last_line
        cached = f"{step.cached} cached  " if step.cached else ""
        out += [(cached, "good"), (text, "dim")]
    elif step.status is StepStatus.SUCCEEDED and step.error_ignored:
        out.append((f"failed, ignored: {step.message}", "warn"))
    elif step.status is StepStatus.SUCCEEDED:
        out.append((step.note or (f"{step.cached} cached" if step.cached else ""), "dim"))
    else:
        out.append((step.message or step.status.value, "bad" if step.status is StepStatus.FAILED else "dim"))
    return out


def _footer(state: RunState, now: float, hidden: int) -> list[Segment]:
    waiting = len(state.steps) - state.finished - len(state.running)
    parts = [f"{state.finished} of {len(state.steps)} done", f"{len(state.running)} running"]
    if hidden > 0:
        parts[-1] += f" ({hidden} not shown)"
    if waiting > 0:
        parts.append(f"{waiting} waiting")
    if state.failed:
        parts.append(f"{len(state.failed)} failed")
    parts.append(seconds(now - state.began) if state.began else "0.0s")
    text = " · ".join(parts)
    if state.interrupted:
        return [(" stopping, Ctrl-C again stops at once", "warn"), (" · " + text, "dim")]
    return [(" " + text, "dim")]


def _fit(segments: list[Segment], width: int, look: Look) -> str:
    """The segments in at most width - 1 columns: the last one stays free, so that no terminal wraps."""
    room = max(1, width - 1)
    out = []
    for text, style in segments:
        if room <= 0:
            break
        shown = cut(text, room)
        room -= cells(shown)
        out.append(look.paint(shown if look.unicode else shown.translate(_ASCII), style))
    return "".join(out)


def cells(text: str) -> int:
    """The columns a text takes on a terminal."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def cut(text: str, room: int) -> str:
    """The text in at most `room` columns, with an ellipsis where something is left out."""
    if cells(text) <= room:
        return text
    if room <= 1:
        return "…"[:room]
    from rich.cells import set_cell_size

    return set_cell_size(text, room - 1).rstrip() + "…"
