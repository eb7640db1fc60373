"""The image graph as a picture that stands alone (SVG). Pure text: no program and no font is needed to make it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from xml.sax.saxutils import escape

from triggers.graphdraw import shown
from triggers.graphlayout import layout
from triggers.imagegraph import ImageGraph

_ROW, _BOX, _GAP, _EDGE, _LETTER, _PAD = 40, 26, 60, 16, 7.3, 14
_LONGEST = 60
_STYLE = (
    "text{font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;text-anchor:middle;fill:#1f2328}"
    "rect{stroke:#57606a;fill:#fff}.task rect{fill:#ddf4ff;stroke:#0969da}"
    "path{fill:none;stroke:#8c959f;stroke-width:1.2}.makes{stroke:#0969da;stroke-width:2}"
    "marker path{fill:#8c959f;stroke:none}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}rect{fill:#0d1117;stroke:#8b949e}"
    ".task rect{fill:#10233f;stroke:#4493f8}path{stroke:#6e7681}.makes{stroke:#4493f8}}"
)
Node = tuple[str, str]


def graph_svg(graph: ImageGraph) -> str:
    """Images are round, tasks are boxes; a thin line leads from an image to who stands on it, a thick one from a task
    to what it makes."""
    nodes: list[Node] = [("image", image) for image in graph.images]
    nodes += [("task", name) for name in graph.tasks]
    uses = [(("image", image), ("task", task.task)) for task in graph.tasks.values() for image in task.uses]
    makes = [(("task", task.task), ("image", image)) for task in graph.tasks.values() for image in task.makes]
    found = layout(nodes, [*uses, *makes])
    label = {node: _short(shown(node[1]) if node[0] == "image" else node[1]) for node in nodes}
    widths = [60.0] * len(found.sizes)
    for node, (layer, _) in found.places.items():
        widths[layer] = max(widths[layer], len(label[node]) * _LETTER + 2 * _PAD)
    lefts = [_EDGE + sum(widths[:layer]) + _GAP * layer for layer in range(len(widths))]
    height = max(found.sizes, default=0) * _ROW + 2 * _EDGE
    width = (lefts[-1] + widths[-1] if lefts else 0) + _EDGE

    def middle(place: tuple[int, int]) -> float:
        layer, n = place
        return (height - found.sizes[layer] * _ROW) / 2 + n * _ROW + _ROW / 2

    size = f'width="{width:.0f}" height="{height:.0f}"'
    arrow = (
        '<defs><marker id="end" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto" '
        'markerUnits="userSpaceOnUse"><path d="M0,0.5L8,4L0,7.5Z"/></marker></defs>'
    )
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" {size} role="img">',
        f"<title>Which task makes which image, and which stands on it</title><style>{_STYLE}</style>",
        arrow,
    ]
    for edge in dict.fromkeys([*uses, *makes]):
        points = []
        for place in found.paths.get(edge, ()):
            left, right = lefts[place[0]], lefts[place[0]] + widths[place[0]]
            points += [(left, middle(place)), (right, middle(place))]
        kind = ' class="makes"' if edge[0][0] == "task" else ""
        if points:
            lines.append(f'<path{kind} marker-end="url(#end)" d="{_curve(points)}"/>')
    for node in nodes:
        place = found.places[node]
        left, wide, at = lefts[place[0]], widths[place[0]], middle(place)
        lines.append(
            f'<g class="{node[0]}"><rect x="{left:.1f}" y="{at - _BOX / 2:.1f}" width="{wide:.1f}" height="{_BOX}" '
            f'rx="{_BOX / 2 if node[0] == "image" else 3:.0f}"/>'
            f'<text x="{left + wide / 2:.1f}" y="{at + 4:.1f}">{escape(label[node])}</text></g>'
        )
    return "\n".join([*lines, "</svg>"]) + "\n"


def _curve(points: Sequence[tuple[float, float]]) -> str:
    """A line from the edge of the first place to the edge of the last: curved between layers, straight across one."""
    forward = points[0][0] <= points[-1][0]
    ordered = points[1:-1] if forward else [points[0], *_swapped(points[2:-2]), points[-1]]
    parts = [f"M{ordered[0][0]:.1f},{ordered[0][1]:.1f}"]
    for n, ((x, y), (to_x, to_y)) in enumerate(pairwise(ordered)):
        bend = (x + to_x) / 2
        if n % 2:
            parts.append(f"L{to_x:.1f},{to_y:.1f}")
        else:
            parts.append(f"C{bend:.1f},{y:.1f} {bend:.1f},{to_y:.1f} {to_x:.1f},{to_y:.1f}")
    return " ".join(parts)


def _swapped(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """An edge that leads back goes into each layer from its right."""
    return [point for n in range(0, len(points), 2) for point in (points[n + 1], points[n])]


def _short(text: str) -> str:
    """A long name keeps its end, which tells most."""
    return text if len(text) <= _LONGEST else "…" + text[-_LONGEST + 1 :]
