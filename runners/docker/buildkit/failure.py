"""The three ways in which a build ends without an image, and how their texts are read. Knows no gRPC.

A failed build is the author's affair and is told in the author's terms; a lost one is ours and may be tried again.
"""

from __future__ import annotations

from taskengine.errors import RunnerError
from taskengine.lightpattern import pattern

#: Wrappings that say only which function passed the error on.
_NOISE = pattern(
    r"^(?:rpc error: code = \w+ desc = "
    r"|failed to solve(?: with frontend [\w.]+)?: "
    r"|failed to (?:create LLB definition|build LLB|compute cache key|load cache key|read dockerfile"
    r"|calculate checksum of ref [\w:-]+|process \"build\" request): "
    r"|error from sender: )+"
)
_TWICE = pattern(r"(not found): not found$")
_MISSING = pattern(r'"/[^"]*"(?: not found)?: not found|"/[^"]*" not found')
_EXIT_CODE = pattern(r"exit code: (\d+)\b")
_LOST = pattern(
    r"no active session|session \S+ not found|no such job|transport is closing|connection error"
    r"|error reading from server: EOF|closing transport|broken pipe|connection reset by peer|healthcheck failed"
)


class BuildFailed(Exception):
    """The build itself failed: a RUN, a missing file, a Dockerfile that cannot be read. A result, not an error of ours.

    `exit_code` is that of the RUN, `vertex` the name of the failed node, `line` its line in the Dockerfile (from 1),
    `log` the last lines that it printed.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        exit_code: int | None = None,
        vertex: str = "",
        line: int | None = None,
        log: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code
        self.vertex = vertex
        self.line = line
        self.log = log


class BuildLost(RunnerError):
    """The engine or the connection to it went away. Nothing is known about the build."""

    def __init__(self, message: str, *, hint: str = "did the Docker Engine stop or restart?") -> None:
        super().__init__(message, hint=hint)


class BuildCanceled(Exception):
    """The build was stopped on request, or because its deadline had passed."""


def plain(message: str) -> str:
    """The part of an engine's error that speaks to the author."""
    return _TWICE.sub(r"\1", _NOISE.sub("", message.strip()))


def hint_for(message: str) -> str | None:
    """What to do about the errors that are met most."""
    if _MISSING.search(message):
        return "is it in the build context, and not named in .dockerignore?"
    if "no basic auth credentials" in message or "authorization failed" in message or "401 Unauthorized" in message:
        return "log in to the registry of the base image"
    if "target stage" in message and "could not be found" in message:
        return "name a stage of the Dockerfile with --target"
    return None


def exit_code_of(message: str) -> int | None:
    """The RUN's exit code, in the wording of any BuildKit so far; None when it was no RUN."""
    found = _EXIT_CODE.findall(message)
    return int(found[-1]) if found else None


def sounds_lost(message: str) -> bool:
    """Whether an error text tells of a lost session or connection, whatever code it came with."""
    return _LOST.search(message) is not None
