"""The picture of the image graph: layers from left to right, every node and line once, and nothing of a name that is markup."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from triggers.graphjson import graph_json, graph_of_json
from triggers.graphlayout import layout
from triggers.graphsvg import graph_svg
from triggers.imagegraph import ImageGraph, TaskImages

SVG = "{http://www.w3.org/2000/svg}"
ALPINE, TOP = "docker.io/library/alpine:3", "r.example.com/top:1"
GRAPH = ImageGraph.of(
    [
        TaskImages(task="top", uses=(ALPINE,), makes=(TOP,)),
        TaskImages(task="left", uses=(TOP,), makes=("r.example.com/left:1",)),
        TaskImages(
            task="end", uses=("r.example.com/left:1", ALPINE), unwatched={"x@sha256:1": "fixed"}, unknown=("b",)
        ),
    ]
)

nodes = st.integers(0, 12)
edges = st.lists(st.tuples(nodes, nodes), max_size=40)


@given(edges)
def test_every_node_has_a_place_of_its_own_and_every_edge_runs_from_layer_to_layer(
    found: list[tuple[int, int]],
) -> None:
    made = layout(range(13), found)
    assert len(set(made.places.values())) == 13
    assert set(made.paths) == {edge for edge in found if edge[0] != edge[1]}
    for (a, b), path in made.paths.items():
        assert (path[0], path[-1]) == (made.places[a], made.places[b])
        steps = {after[0] - before[0] for before, after in pairwise(path)}
        assert steps in ({1}, {-1})
        assert all(0 <= place < made.sizes[layer] for layer, place in path)


def test_without_a_way_round_all_edges_lead_to_the_right() -> None:
    made = layout("abcd", [("a", "b"), ("b", "c"), ("a", "c"), ("c", "d")])
    assert [made.places[node][0] for node in "abcd"] == [0, 1, 2, 3]
    assert len(made.paths["a", "c"]) == 3


def test_crossings_are_undone_by_sorting() -> None:
    made = layout("abcd", [("a", "d"), ("b", "c")])
    assert (made.places["a"][1] < made.places["b"][1]) == (made.places["d"][1] < made.places["c"][1])


def test_the_picture_has_each_image_task_and_line_once() -> None:
    root = ET.fromstring(graph_svg(GRAPH))
    labels = [one.text for one in root.iter(f"{SVG}text")]
    assert labels == ["alpine:3", TOP, "r.example.com/left:1", "top", "left", "end"]
    paths = [one for one in root.iter(f"{SVG}path") if one.get("marker-end")]
    assert len(paths) == 6
    assert sum(one.get("class") == "makes" for one in paths) == 2


def test_names_are_text_in_the_picture_whatever_they_are() -> None:
    made = graph_svg(ImageGraph.of([TaskImages(task="<script>&")]))
    assert [one.text for one in ET.fromstring(made).iter(f"{SVG}text")] == ["<script>&"]
    assert graph_svg(ImageGraph.of([])).startswith("<svg")


def test_a_graph_is_the_same_after_a_way_as_data() -> None:
    assert graph_of_json(graph_json(GRAPH)) == GRAPH
