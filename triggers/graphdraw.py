"""The image graph and a wave as text, mermaid and dot. Pure text; images are named as people write them."""

from __future__ import annotations

from taskengine.plan.draw import dot_text, mermaid_text
from taskengine.registry.reference import ImageReference
from triggers.imagegraph import ImageGraph


def shown(image: str) -> str:
    """An image as people write it."""
    return ImageReference.parse(image).familiar


def graph_text(graph: ImageGraph) -> str:
    """A paragraph for each task: what it stands on, what it makes, and what is not known or watched."""
    parts = []
    for task in graph.tasks.values():
        lines = [task.task]
        lines += [f"  on      {shown(image)}{_from(graph, image, task.task)}" for image in task.uses]
        lines += [f"  makes   {shown(image)}" for image in task.makes]
        lines += [f"  unknown what the build {step} stands on" for step in task.unknown]
        lines += [f"  ignores {image}: {reason}" for image, reason in task.unwatched.items()]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _from(graph: ImageGraph, image: str, task: str) -> str:
    makers = [maker for maker in graph.makers.get(image, ()) if maker != task]
    return f"  (made by {', '.join(makers)})" if makers else ""


def graph_mermaid(graph: ImageGraph) -> str:
    """A mermaid flowchart: images are round, tasks are boxes."""
    images = {image: f"i{number}" for number, image in enumerate(graph.images)}
    lines = ["flowchart LR"]
    lines += [f'  {node}(["{mermaid_text(shown(image))}"])' for image, node in images.items()]
    for number, task in enumerate(graph.tasks.values()):
        node = f"t{number}"
        lines.append(f'  {node}["{mermaid_text(task.task)}"]')
        lines += [f"  {images[image]} --> {node}" for image in task.uses]
        lines += [f"  {node} ==> {images[image]}" for image in task.makes]
    return "\n".join(lines) + "\n"


def graph_dot(graph: ImageGraph) -> str:
    """A graph for Graphviz's dot."""
    lines = ["digraph images {", "  rankdir=LR;", '  node [fontname="sans-serif"];']
    images = {image: f"i{number}" for number, image in enumerate(graph.images)}
    lines += [f'  {node} [label="{dot_text(shown(image))}", shape=oval];' for image, node in images.items()]
    for number, task in enumerate(graph.tasks.values()):
        node = f"t{number}"
        lines.append(f'  {node} [label="{dot_text(task.task)}", shape=box];')
        lines += [f"  {images[image]} -> {node};" for image in task.uses]
        lines += [f"  {node} -> {images[image]} [style=bold];" for image in task.makes]
    return "\n".join([*lines, "}"]) + "\n"
