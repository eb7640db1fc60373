"""A plan as a picture: text for a terminal, mermaid, and dot. With times, the critical path is marked.

Pure text. It shows the text of the steps, so whoever prints it puts it through the secret mask first.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from taskengine.plan.graph import critical_path
from taskengine.plan.model import Plan, PlannedStep, StepType

_MAX_TEXT = 72
_SHAPES = {StepType.CMD: ("[", "]"), StepType.BUILD: ("[[", "]]"), StepType.PUSH: ("([", "])")}
_DOT_SHAPES = {StepType.CMD: "box", StepType.BUILD: "component", StepType.PUSH: "cds"}
#: colours of states, readable on light and dark ground
_COLOURS = {
    "succeeded": "#2da44e",
    "failed": "#cf222e",
    "running": "#bf8700",
    "skipped": "#8c959f",
    "canceled": "#8c959f",
}


def plan_text(plan: Plan, times: Mapping[str, float] | None = None) -> str:
    """One line a step: its id, type, what it waits for, what it does; and its time, when known."""
    path, total = _path(plan, times)
    rows = [_row(plan, step, times, step.id in path) for step in plan.steps]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(4)]
    lines = [_header(plan)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        lines.append("  ".join(part for part in (*cells, row[4]) if part.strip() or part == cells[0]).rstrip())
    if path:
        lines.append("")
        lines.append(f"critical path: {' > '.join(path)}  ({seconds(total)})")
    return "\n".join(lines) + "\n"


def _header(plan: Plan) -> str:
    count = len(plan.steps)
    extra = [f"{count} step{'' if count == 1 else 's'}"]
    if plan.networks:
        extra.append("network " + ", ".join(network.name for network in plan.networks))
    if plan.volumes:
        extra.append("volumes " + ", ".join(volume.name for volume in plan.volumes))
    return f"{plan.version}: {'; '.join(extra)}"


def _row(plan: Plan, step: PlannedStep, times: Mapping[str, float] | None, critical: bool) -> tuple[str, ...]:
    mark = "*" if critical else " "
    time = seconds(times[step.id]) if times and step.id in times else ""
    if not step.needs:
        waits = "at once"
    elif step.index and step.needs == (plan.steps[step.index - 1].id,):
        waits = "after the one above"
    else:
        waits = "after " + ", ".join(step.needs)
    return (f"{mark} {step.id}", step.type.value, time, waits, _text(step))


def _text(step: PlannedStep) -> str:
    text = ", ".join(step.push) if step.type is StepType.PUSH else " ".join(step.text.split())
    marks = [name for name, is_set in (("detach", step.detach), ("ignoreErrors", step.ignore_errors)) if is_set]
    if step.retries:
        marks.append(f"retries {step.retries}")
    if step.repeat:
        marks.append(f"repeat {step.repeat}")
    text = text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 3] + "..."
    return f"{text}  ({', '.join(marks)})" if marks else text


def seconds(value: float) -> str:
    """A duration for people: 0.42 s, 12.3 s, 3 m 05 s."""
    if value < 10:
        return f"{value:.2f} s"
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} m {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} m"


def plan_mermaid(plan: Plan, times: Mapping[str, float] | None = None, states: Mapping[str, str] | None = None) -> str:
    """A mermaid flowchart, as GitHub and others draw it in Markdown."""
    path, _ = _path(plan, times)
    names = {step.id: f"s{step.index}" for step in plan.steps}
    lines = ["flowchart TD"]
    for step in plan.steps:
        left, right = _SHAPES[step.type]
        lines.append(f'  {names[step.id]}{left}"{mermaid_text(_label(step, times, "<br/>"))}"{right}')
    edges = [(need, step.id) for step in plan.steps for need in step.needs]
    lines.extend(f"  {names[need]} --> {names[step]}" for need, step in edges)
    chain = set(pairwise(path))
    critical = [str(number) for number, edge in enumerate(edges) if edge in chain]
    if critical:
        lines.append(f"  linkStyle {','.join(critical)} stroke-width:3px")
    lines.extend(f"  style {names[step_id]} stroke-width:3px" for step_id in path)
    for state, colour in _COLOURS.items():
        of_state = [names[step.id] for step in plan.steps if (states or {}).get(step.id) == state]
        if of_state:
            lines.append(f"  classDef {state} stroke:{colour},color:{colour}")
            lines.append(f"  class {','.join(of_state)} {state}")
    return "\n".join(lines) + "\n"


def mermaid_text(text: str) -> str:
    """Text inside the quotes of a mermaid label."""
    for char, code in (("#", "#35;"), ('"', "#quot;"), ("<br/>", "\0"), ("<", "#lt;"), (">", "#gt;"), ("\0", "<br/>")):
        text = text.replace(char, code)
    return text


def plan_dot(plan: Plan, times: Mapping[str, float] | None = None, states: Mapping[str, str] | None = None) -> str:
    """A graph for Graphviz's dot."""
    path, _ = _path(plan, times)
    chain = set(pairwise(path))
    lines = ["digraph task {", "  rankdir=TB;", '  node [fontname="sans-serif"];']
    for step in plan.steps:
        attributes = [f'label="{dot_text(_label(step, times, chr(10)))}"', f"shape={_DOT_SHAPES[step.type]}"]
        if step.id in path:
            attributes.append("penwidth=3")
        colour = _COLOURS.get((states or {}).get(step.id, ""))
        if colour:
            attributes.append(f'color="{colour}"')
        lines.append(f'  "{dot_text(step.id)}" [{", ".join(attributes)}];')
    for step in plan.steps:
        for need in step.needs:
            bold = " [penwidth=3]" if (need, step.id) in chain else ""
            lines.append(f'  "{dot_text(need)}" -> "{dot_text(step.id)}"{bold};')
    return "\n".join([*lines, "}"]) + "\n"


def dot_text(text: str) -> str:
    """Text inside the quotes of a dot label."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _label(step: PlannedStep, times: Mapping[str, float] | None, line_break: str) -> str:
    label = f"{step.id}{line_break}{step.type.value}"
    return f"{label}, {seconds(times[step.id])}" if times and step.id in times else label


def _path(plan: Plan, times: Mapping[str, float] | None) -> tuple[tuple[str, ...], float]:
    if not times:
        return (), 0.0
    return critical_path([step.id for step in plan.steps], {step.id: step.needs for step in plan.steps}, times)
