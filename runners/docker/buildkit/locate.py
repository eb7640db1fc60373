"""Where in the Dockerfile a build failed.

BuildKit attaches the place to its errors since some years; for older ones it is found by comparing the failed vertex's
name with the instructions. Pure: bytes and texts in, a line number or None out.
"""

from __future__ import annotations

import contextlib
import json
import re

from taskengine.dockerfile.instruction import flag_value
from taskengine.dockerfile.model import Instruction
from taskengine.dockerfile.parse import parse
from taskengine.errors import InvalidInput
from taskengine.lightpattern import pattern
from taskengine.registry.reference import ImageReference

_SAID = pattern(r"dockerfile parse error (?:on )?line (\d+)")
_METADATA = pattern(r"load metadata for (\S+)")
_STAGE = pattern(r"\[[^\]]*\] ")
_VARIABLE = pattern(r"\\\$(?:\\\{.*?\\\}|\w+)")


def line_of(dockerfile: bytes, *, message: str, vertex: str, source: bytes = b"") -> int | None:
    """`source` is what BuildKit attached, `message` its error, `vertex` the name of the vertex that failed."""
    if (line := _attached(source)) is not None:
        return line
    if said := _SAID.search(message):
        return int(said[1])
    return _of_vertex(dockerfile, vertex) if vertex else None


def _attached(source: bytes) -> int | None:
    with contextlib.suppress(ValueError, KeyError, IndexError, TypeError):
        return int(json.loads(source)["ranges"][0]["start"]["line"])
    return None


def _of_vertex(dockerfile: bytes, vertex: str) -> int | None:
    """The only instruction that can have this name. Names have their variables replaced, except in a RUN."""
    wanted = _STAGE.sub("", vertex, count=1)
    wanted = " ".join(wanted.split())
    found, _ = parse(dockerfile.decode("utf-8", "replace"))
    if image := _METADATA.fullmatch(wanted):
        return next((i.line for i in found.instructions if _takes(i, image[1])), None)
    lines = [i.line for i in found.instructions if _names((i.keyword, *i.flags, i.rest), wanted)]
    return lines[0] if len(lines) == 1 else None


def _takes(instruction: Instruction, image: str) -> bool:
    """Whether an instruction can be the one that asks for an image, by its full name; the first that does is told."""
    if instruction.keyword == "FROM":
        word = instruction.words[0] if instruction.words else ""
    else:
        word = flag_value(instruction, "from") if instruction.keyword == "COPY" else ""
    if "$" in word:
        return re.fullmatch(".*" + _VARIABLE.sub(".*", re.escape(word)) + ".*", image) is not None
    try:
        return bool(word) and ImageReference.parse(word).normalised == image
    except InvalidInput:
        return False


def _names(parts: tuple[str, ...], wanted: str) -> bool:
    text = re.escape(" ".join(" ".join(parts).split()))
    return re.fullmatch(_VARIABLE.sub(".*", text), wanted) is not None
