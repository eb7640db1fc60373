"""A pattern does what `re.compile`'s does, and is compiled when it is first used."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from taskengine.lightpattern import pattern


@pytest.mark.parametrize(
    "use",
    [
        lambda p: p.match("ab12").group(1),
        lambda p: p.fullmatch("AB1") is not None,
        lambda p: p.search("  cd34")[2],
        lambda p: p.sub("<>", "ab1 cd2"),
        lambda p: p.subn("<>", "ab1 cd2"),
        lambda p: p.split("ab1 cd2"),
        lambda p: p.findall("ab1 cd2"),
        lambda p: [m[0] for m in p.finditer("ab1 cd2")],
        lambda p: (p.pattern, p.flags, p.groups, repr(p)),
    ],
)
def test_it_does_what_the_library_does(use: Callable[[Any], Any]) -> None:
    lazy, given = pattern(r"([a-z]+)(\d+)", re.IGNORECASE), re.compile(r"([a-z]+)(\d+)", re.IGNORECASE)

    assert use(lazy) == use(given)
    assert use(lazy) == use(given)


def test_bytes_are_bytes() -> None:
    found = pattern(rb"a(\xff+)").search(b"xa\xff\xff")

    assert found is not None
    assert found[1] == b"\xff\xff"


def test_a_wrong_one_is_told_of_when_it_is_used() -> None:
    wrong = pattern("(")

    with pytest.raises(re.error):
        wrong.match("")


def test_loading_a_build_compiles_none_of_ours() -> None:
    script = """
import re._compiler as compiler, sys
real, ours = compiler.compile, []
def compile(text, flags=0):
    frame = sys._getframe(1)
    while '/re/' in frame.f_code.co_filename:
        frame = frame.f_back
    name = frame.f_globals.get('__name__', '')
    if name.split('.')[0] in ('taskengine', 'runners'):
        ours.append(f'{name}:{frame.f_lineno}')
    return real(text, flags)
compiler.compile = compile
import taskengine.cli.build, taskengine.cli.submit, taskengine.scheduler.loop, runners.docker.build
import runners.docker.buildkit.solve, taskengine.taskspec.load
print(*ours)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.split() == []
