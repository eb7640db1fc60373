"""One run for causes that meet: a commit and a new base image of one task, while none of them has begun.

Both would build the same thing, if the commit is one of the branch that the task builds anyway. The run that waits is
kept; it builds the commit, and carries the causes of both. Pull requests, tags and runs that somebody asked for with
values of their own build something else and are left alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from taskengine.service.model import Run, RunRequest
from taskengine.service.services import Services
from taskengine.service.store import Connection, queue, takeover

#: what may differ between two runs that build the same thing
_PASSING = frozenset({"context", "commit", "branch", "git_tag", "repository", "triggered_by", "date"})
_USUAL_BRANCHES = ("main", "master")


def enqueue(services: Services, conn: Connection, request: RunRequest, *, now: datetime) -> tuple[Run, bool]:
    """Queues the run, or hands its cause to one that waits; the second value is False for that."""
    kind = _kind(request.cause)
    if kind in ("push", "imageUpdate"):
        for run in takeover.waiting_like(conn, request, now=now):
            kinds = {_kind((cause,)) for cause in run.cause} - {"wave"}
            if kind == "imageUpdate" and kinds <= {"push", "timer", "imageUpdate"}:
                if same_build(run.spec, request.spec):
                    takeover.add_causes(conn, run.id, request.cause, now=now)
                    return run, False
            elif kind == "push" and kinds <= {"timer", "imageUpdate"} and same_build(request.spec, run.spec):
                takeover.rebuild_as(conn, services.box, run, request, now=now)
                return run, False
    return queue.enqueue(conn, request, now=now, box=services.box)


def same_build(exact: Mapping[str, Any], usual: Mapping[str, Any]) -> bool:
    """Whether a run of `exact`, which may name a commit, does all that one of `usual`, the task as it is, would do.
    Pure."""
    names = (exact.keys() | usual.keys()) - _PASSING
    if any(exact.get(name) != usual.get(name) for name in names) or exact.get("git_tag"):
        return False
    if exact.get("context", "") == usual.get("context", ""):
        return True
    url, ref, folder = _parted(str(exact.get("context", "")))
    usual_url, usual_ref, usual_folder = _parted(str(usual.get("context", "")))
    if (url, folder) != (usual_url, usual_folder) or not ref or ref != exact.get("commit"):
        return False
    branch = str(exact.get("branch", "")).removeprefix("refs/heads/")
    return branch == usual_ref.removeprefix("refs/heads/") if usual_ref else branch in _USUAL_BRANCHES


def _kind(causes: tuple[Mapping[str, Any], ...]) -> str:
    return str(causes[0].get("kind", "")) if causes else ""


def _parted(context: str) -> tuple[str, str, str]:
    """Address, ref and folder."""
    url, _, fragment = context.partition("#")
    ref, _, folder = fragment.partition(":")
    return url, ref, folder.strip("/")
