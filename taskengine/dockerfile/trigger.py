"""The ONBUILD triggers that an image's configuration carries, as instructions of the stage built on it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from taskengine.dockerfile.instruction import FrontEnd, judge
from taskengine.dockerfile.model import Instruction
from taskengine.dockerfile.parse import parse

_MOST = 1000


def trigger_instructions(texts: Iterable[str], opening: Instruction, front_end: FrontEnd) -> Iterator[Instruction]:
    """What the triggers say, placed at the FROM that sets them off. One that no builder would take says nothing."""
    for number, text in enumerate(texts):
        if number == _MOST:
            return
        dockerfile, problems = parse(text, file="ONBUILD")
        for instruction in dockerfile.instructions[:1]:
            if not problems.has_errors and judge(instruction, problems, front_end):
                yield replace(instruction, line=opening.line, last_line=opening.last_line)
