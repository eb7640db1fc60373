"""Judges a Dockerfile before the engine sees it: one without FROM ends dockerd, with every container on it.

A file that names its own frontend (`# syntax=` in the first line, which every BuildKit knows) is that frontend's to
judge, and is parsed in a container of its own. Pure: bytes in, an error or nothing out.
"""

from __future__ import annotations

import re

from taskengine.errors import Problem, Severity
from taskengine.lightpattern import pattern

from .failure import BuildFailed
from .model import BuildRequest

_OWN_FRONTEND = pattern(rb"#[ \t]*syntax[ \t]*=[ \t]*\S", re.IGNORECASE)


def names_own_frontend(dockerfile: bytes) -> bool:
    """Whether the file is read by a frontend that it names itself, and not by the engine's."""
    return _OWN_FRONTEND.match(dockerfile) is not None


def refuse_what_cannot_be_built(dockerfile: bytes, request: BuildRequest) -> None:
    """Raise BuildFailed for the first thing in the file that no builder accepts, with its line."""
    if names_own_frontend(dockerfile):
        return
    from taskengine.dockerfile.scan import check

    problems = check(
        dockerfile.decode("utf-8", "replace"),
        build_args=request.build_args,
        target=request.target,
        platform=request.platform,
        file=request.dockerfile,
    )
    for problem in problems:
        if problem.severity is Severity.ERROR:
            raise _failure(problem)


def _failure(problem: Problem) -> BuildFailed:
    where = f"{problem.location}: " if problem.location is not None else ""
    line = problem.location.line if problem.location is not None else None
    return BuildFailed(f"{where}{problem.message}", hint=problem.hint, line=line)
