"""Order, successors and the critical path of named nodes."""

from __future__ import annotations

import random

import pytest

from taskengine.plan.graph import Cycle, critical_path, successors, to_networkx, topological_order
from taskengine.taskspec.inputs import Inputs
from taskengine.taskspec.load import load_task

DIAMOND = {"b": ("a",), "c": ("a",), "d": ("b", "c")}


def test_each_node_comes_after_what_it_waits_for() -> None:
    assert topological_order(("d", "c", "b", "a"), DIAMOND) == ("a", "c", "b", "d")


def test_an_order_that_works_is_kept() -> None:
    assert topological_order(("a", "b", "c", "d"), DIAMOND) == ("a", "b", "c", "d")


def test_an_edge_given_twice_counts_once() -> None:
    assert topological_order(("a", "b"), {"b": ("a", "a")}) == ("a", "b")


def test_nodes_that_wait_for_each_other_are_named() -> None:
    with pytest.raises(Cycle) as caught:
        topological_order(("a", "b", "c"), {"b": ("c",), "c": ("b",)})
    assert caught.value.nodes == ("b", "c")


def test_successors_are_the_edges_turned_round() -> None:
    assert successors(("a", "b", "c", "d"), DIAMOND) == {"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": []}


def test_the_critical_path_is_the_chain_that_takes_longest() -> None:
    path, total = critical_path(("a", "b", "c", "d"), DIAMOND, {"a": 1, "b": 5, "c": 2, "d": 1})
    assert path == ("a", "b", "d")
    assert total == 7


def test_nothing_has_no_critical_path() -> None:
    assert critical_path((), {}, {}) == ((), 0.0)


def test_the_critical_path_is_no_shorter_than_any_chain() -> None:
    rng = random.Random(7)
    nodes = tuple(str(number) for number in range(60))
    needs = {node: tuple(rng.sample(nodes[:index], min(index, 2))) for index, node in enumerate(nodes)}
    weights = {node: rng.random() for node in nodes}
    path, total = critical_path(nodes, needs, weights)
    assert total == pytest.approx(sum(weights[node] for node in path))
    for _ in range(200):
        node = rng.choice(nodes)
        length = weights[node]
        while needs[node]:
            node = rng.choice(needs[node])
            length += weights[node]
        assert length <= total + 1e-9


def test_a_plan_is_networkx_data() -> None:
    text = "steps:\n  - {id: a, cmd: x}\n  - {id: b, build: ., when: ['-']}\n  - {id: c, push: [x], when: [a, b]}\n"
    graph = to_networkx(load_task(text, file="t.yaml", inputs=Inputs()).plan)
    assert list(graph.nodes) == ["a", "b", "c"]
    assert set(graph.edges) == {("a", "c"), ("b", "c")}
    assert graph.nodes["b"]["type"] == "build"
