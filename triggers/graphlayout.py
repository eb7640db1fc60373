"""Where the nodes of a graph stand when it is drawn from left to right: in layers, with few crossings. Pure.

Sugiyama's way: edges that lead back are turned round, each node stands one layer behind the last that leads to it,
edges over several layers get a place in each, and every layer is sorted by the middle of its neighbours a few times.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Generic, TypeVar

N = TypeVar("N", bound=Hashable)
_SWEEPS = 4


@dataclass(frozen=True, kw_only=True)
class Layout(Generic[N]):
    """`places` are by node its layer and its place in it, both from 0; `paths` by edge the places that it runs through,
    the first and the last of which are those of its nodes. `sizes` is how many places each layer has."""

    places: Mapping[N, tuple[int, int]]
    paths: Mapping[tuple[N, N], Sequence[tuple[int, int]]]
    sizes: Sequence[int]


def layout(nodes: Iterable[N], edges: Iterable[tuple[N, N]]) -> Layout[N]:
    """Nodes that stand alone are in the first layer. An edge to the node itself is left out."""
    every = list(dict.fromkeys(nodes))
    kept = [edge for edge in dict.fromkeys(edges) if edge[0] != edge[1]]
    turned = _turned(every, kept)
    forward = list(dict.fromkeys((b, a) if (a, b) in turned else (a, b) for a, b in kept))
    layers = _layers(every, forward)
    slots: list[list[object]] = [[] for _ in range(max(layers.values(), default=-1) + 1)]
    for node in every:
        slots[layers[node]].append(node)
    chains: dict[tuple[N, N], list[object]] = {}
    for number, (above, below) in enumerate(forward):
        chain: list[object] = [above]
        for layer in range(layers[above] + 1, layers[below]):
            bend = (_Bend, number, layer)
            slots[layer].append(bend)
            chain.append(bend)
        chains[above, below] = [*chain, below]
    _sort(slots, chains.values())
    place = {slot: (layer, n) for layer, row in enumerate(slots) for n, slot in enumerate(row)}
    paths = {}
    for a, b in kept:
        chain = chains[b, a][::-1] if (a, b) in turned else chains[a, b]
        paths[a, b] = [place[slot] for slot in chain]
    return Layout(places={node: place[node] for node in every}, paths=paths, sizes=[len(row) for row in slots])


class _Bend:
    """Marks the place of an edge in a layer that it only crosses."""


def _turned(nodes: Sequence[N], edges: Sequence[tuple[N, N]]) -> set[tuple[N, N]]:
    """Edges that lead back to where the way came from."""
    below: dict[N, list[N]] = {node: [] for node in nodes}
    for a, b in edges:
        below[a].append(b)
    found: set[tuple[N, N]] = set()
    state: dict[N, int] = {}  # 1 while the way leads through it, 2 when all below it was seen
    for root in nodes:
        if root in state:
            continue
        state[root] = 1
        way = [(root, iter(below[root]))]
        while way:
            node, rest = way[-1]
            child = next(rest, None)
            if child is None:
                state[node] = 2
                way.pop()
            elif child not in state:
                state[child] = 1
                way.append((child, iter(below[child])))
            elif state[child] == 1:
                found.add((node, child))
    return found


def _layers(nodes: Sequence[N], edges: Sequence[tuple[N, N]]) -> dict[N, int]:
    below: dict[N, list[N]] = {node: [] for node in nodes}
    unmet = dict.fromkeys(nodes, 0)
    for a, b in edges:
        below[a].append(b)
        unmet[b] += 1
    layer = dict.fromkeys(nodes, 0)
    ready = [node for node in nodes if not unmet[node]]
    for node in ready:
        for child in below[node]:
            layer[child] = max(layer[child], layer[node] + 1)
            unmet[child] -= 1
            if not unmet[child]:
                ready.append(child)
    return layer


def _sort(slots: list[list[object]], chains: Iterable[Sequence[object]]) -> None:
    """Each layer by the middle of its neighbours, there and back."""
    above: dict[object, list[object]] = {}
    below: dict[object, list[object]] = {}
    for chain in chains:
        for a, b in pairwise(chain):
            below.setdefault(a, []).append(b)
            above.setdefault(b, []).append(a)
    place = {slot: float(n) for row in slots for n, slot in enumerate(row)}
    for sweep in range(_SWEEPS):
        beside = above if sweep % 2 == 0 else below
        for row in slots if sweep % 2 == 0 else reversed(slots):
            middle = {
                slot: sum(place[one] for one in beside[slot]) / len(beside[slot]) if beside.get(slot) else place[slot]
                for slot in row
            }
            row.sort(key=middle.__getitem__)
            place.update({slot: float(n) for n, slot in enumerate(row)})
