"""Named nodes and their order: topological order, successors, the critical path.

Knows ids and edges only. Must not know steps, YAML, runners or time. `to_networkx` is the one door to plans.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import networkx as nx

    from taskengine.plan.model import Plan

#: the nodes that each node waits for
Edges = Mapping[str, Sequence[str]]


class Cycle(ValueError):
    """Nodes wait for each other; `nodes` are those that could not be ordered."""

    def __init__(self, nodes: tuple[str, ...]) -> None:
        super().__init__(f"{', '.join(nodes[:10])} wait for each other")
        self.nodes = nodes


def successors(nodes: Sequence[str], needs: Edges) -> dict[str, list[str]]:
    """Which nodes wait for each node, in the order of `nodes`."""
    after: dict[str, list[str]] = {node: [] for node in nodes}
    for node in nodes:
        for need in needs.get(node, ()):
            after[need].append(node)
    return after


def topological_order(nodes: Sequence[str], needs: Edges) -> tuple[str, ...]:
    """The nodes, each after all that it waits for; the given order is kept where it can be. Raises Cycle."""
    open_needs = {node: len(set(needs.get(node, ()))) for node in nodes}
    after = successors(nodes, {node: tuple(dict.fromkeys(needs.get(node, ()))) for node in nodes})
    ready = [node for node in nodes if not open_needs[node]]
    order: list[str] = []
    for node in ready:
        order.append(node)
        for following in after[node]:
            open_needs[following] -= 1
            if not open_needs[following]:
                ready.append(following)
    if len(order) < len(nodes):
        done = set(order)
        raise Cycle(tuple(node for node in nodes if node not in done))
    return tuple(order)


def critical_path(nodes: Sequence[str], needs: Edges, weights: Mapping[str, float]) -> tuple[tuple[str, ...], float]:
    """The chain of nodes that takes longest, and how long. Nodes without a weight weigh nothing."""
    finish: dict[str, float] = {}
    came_from: dict[str, str | None] = {}
    for node in topological_order(nodes, needs):
        last = max(needs.get(node, ()), key=finish.__getitem__, default=None)
        came_from[node] = last
        finish[node] = (finish[last] if last is not None else 0.0) + weights.get(node, 0.0)
    if not finish:
        return (), 0.0
    end: str | None = max(finish, key=finish.__getitem__)
    total = finish[end] if end is not None else 0.0
    path: list[str] = []
    while end is not None:
        path.append(end)
        end = came_from[end]
    return tuple(reversed(path)), total


def to_networkx(plan: Plan) -> nx.DiGraph[str]:
    """The plan as networkx holds graphs: a node for each step, with the step as its attribute, an edge to each step
    that waits for it."""
    import networkx as nx

    graph: Any = nx.DiGraph(version=plan.version)
    for step in plan.steps:
        graph.add_node(step.id, type=step.type.value, index=step.index, step=step)
        graph.add_edges_from((need, step.id) for need in step.needs)
    result: nx.DiGraph[str] = graph
    return result
