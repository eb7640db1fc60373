"""The image graph as plain data, and back. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from triggers.imagegraph import ImageGraph, TaskImages


def graph_json(graph: ImageGraph) -> dict[str, Any]:
    """Images by their full names."""
    return {
        "tasks": [
            {
                "name": task.task,
                "uses": list(task.uses),
                "makes": list(task.makes),
                "unknown": list(task.unknown),
                "unwatched": [{"image": image, "reason": reason} for image, reason in task.unwatched.items()],
            }
            for task in graph.tasks.values()
        ]
    }


def graph_of_json(document: Mapping[str, Any]) -> ImageGraph:
    """What `graph_json` made; further properties are not heard."""
    return ImageGraph.of(
        TaskImages(
            task=one["name"],
            uses=tuple(one["uses"]),
            makes=tuple(one["makes"]),
            unknown=tuple(one["unknown"]),
            unwatched={entry["image"]: entry["reason"] for entry in one["unwatched"]},
        )
        for one in document["tasks"]
    )
