"""Refuses a Dockerfile that would harm the engine: one without FROM ends dockerd, with every container on it.

Reads just enough of the syntax to be sure: comments, continued lines, the escape directive. Everything else that is
wrong with a Dockerfile is BuildKit's to say. Pure: bytes in, an error or nothing out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from .failure import BuildFailed

_DIRECTIVE = re.compile(r"#\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(.+?)\s*$")


def refuse_without_from(dockerfile: bytes) -> None:
    """Raise BuildFailed unless an instruction other than ARG comes first or a FROM follows the ARGs.

    An instruction before FROM that is no ARG makes BuildKit stop with an error of its own, which does no harm.
    """
    words = list(_instructions(dockerfile.decode("utf-8", "replace")))
    if not words:
        raise BuildFailed("the Dockerfile is empty", hint="begin it with FROM, for example 'FROM scratch'")
    if all(word == "ARG" for word in words):
        raise BuildFailed("the Dockerfile has no FROM", hint="name the base image, for example 'FROM scratch'")


def _instructions(text: str) -> Iterator[str]:
    """The first word of each instruction, in capitals."""
    lines = [line.removesuffix("\r") for line in text.removeprefix("\ufeff").split("\n")]
    continued = re.compile(re.escape(_escape(lines)) + r"[ \t]*$")
    inside = False
    for line in lines:
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        if not inside:
            yield stripped.split(None, 1)[0].upper()
        inside = continued.search(line) is not None


def _escape(lines: list[str]) -> str:
    for line in lines:
        found = _DIRECTIVE.match(line.strip())
        if not found:
            break
        if found[1].lower() == "escape":
            return found[2]
    return "\\"
