"""The graph of a service's tasks, as it is kept: for those who look at it. Writes nothing."""

from __future__ import annotations

from typing import Any

from taskengine.service.caller import Caller
from taskengine.service.services import Services
from taskengine.service.store import taskimages
from triggers.causewords import rfc3339
from triggers.graphjson import graph_json
from triggers.taskimages import stored_graph


def document(services: Services, caller: Caller) -> dict[str, Any]:
    """Every task that the caller may see, also those of which nothing is known yet. `watching` says that a new image
    may start it, `scanned` when it was looked at last, and `error` what could not be read then."""
    with services.database.read() as conn:
        scans = {task: scan for task, scan in taskimages.scans(conn).items() if caller.in_scope(task)}
        rows = [one for one in taskimages.all_images(conn, watching=False) if one.task in scans]
    known = {one["name"]: one for one in graph_json(stored_graph(rows))["tasks"]}
    nothing: dict[str, Any] = {"uses": [], "makes": [], "unknown": [], "unwatched": []}
    return {
        "tasks": [
            {
                **(known.get(task) or {"name": task, **nothing}),
                "watching": scan.watching,
                "scanned": rfc3339(scan.scanned) or None,
                "error": scan.error or None,
            }
            for task, scan in scans.items()
        ]
    }
