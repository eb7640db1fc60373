"""Which chain of steps a run's time went into. Ids, needs and seconds only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def critical_path(
    nodes: Sequence[str], needs: Mapping[str, Sequence[str]], weights: Mapping[str, float]
) -> tuple[str, ...]:
    """The heaviest chain, first step first. `nodes` stand below what they need; one without a weight counts 0.

    Of equal chains the one that ends first in `nodes` is taken, and of equal needs the first.
    """
    total: dict[str, float] = {}
    before: dict[str, str | None] = {}
    for node in nodes:
        heaviest = max((need for need in needs.get(node, ()) if need in total), key=total.__getitem__, default=None)
        before[node] = heaviest
        total[node] = weights.get(node, 0.0) + (0.0 if heaviest is None else total[heaviest])
    path: list[str] = []
    at = max(nodes, key=total.__getitem__, default=None)
    while at is not None:
        path.append(at)
        at = before[at]
    return tuple(reversed(path))
