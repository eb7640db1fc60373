"""Our `dataclass` does what the library's does, and does it without compiling anything where it can."""

from __future__ import annotations

import copy
import dataclasses
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import field, fields, replace
from typing import Any

import pytest

from taskengine import lightclass

BOTH = pytest.mark.parametrize("dataclass", [dataclasses.dataclass, lightclass.dataclass], ids=["library", "ours"])
#: before `__init__` is compiled, and behind it
OFTEN = pytest.mark.parametrize("times", [1, 3 * lightclass._FEW])


def shapes(dataclass: Any) -> tuple[Any, Any, Any]:
    @dataclass
    class Plain:
        one: int
        two: list[int] = field(default_factory=list)
        three: str = "x"

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Frozen:
        """Its words."""

        name: str
        size: int = 0
        secret: str = field(default="s", repr=False)
        note: str = field(default="", compare=False)
        doubled: int = field(init=False, default=7)
        more: tuple[int, ...] = field(default_factory=tuple, hash=False)

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Derived(Frozen):
        extra: int = 1

    return Plain, Frozen, Derived


@lightclass.dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    text: str
    numbers: tuple[int, ...] = ()


@BOTH
@OFTEN
def test_objects_are_made_with_defaults_and_factories(dataclass: Any, times: int) -> None:
    plain, frozen, derived = shapes(dataclass)
    for _ in range(times):
        one, other = plain(1), plain(one=1, three="x")
        assert one == other
        assert one.two is not other.two
        made = frozen(name="a")
        assert (made.name, made.size, made.secret, made.note, made.doubled, made.more) == ("a", 0, "s", "", 7, ())
        below = derived(name="a", extra=2)
        assert (below.name, below.extra) == ("a", 2)
        assert plain(1, [2], "y") == plain(three="y", two=[2], one=1)


@BOTH
@OFTEN
@pytest.mark.parametrize(
    "make",
    [
        lambda plain, _: plain(),
        lambda plain, _: plain(1, [], "x", 4),
        lambda plain, _: plain(1, one=2),
        lambda plain, _: plain(1, four=4),
        lambda _, frozen: frozen("a"),
        lambda _, frozen: frozen(size=1),
        lambda _, frozen: frozen(name="a", doubled=1),
    ],
)
def test_wrong_arguments_are_type_errors(dataclass: Any, times: int, make: Callable[[Any, Any], Any]) -> None:
    plain, frozen, _ = shapes(dataclass)
    for _ in range(times):
        plain(1)
        frozen(name="a")
    with pytest.raises(TypeError):
        make(plain, frozen)


@BOTH
def test_they_compare_and_hash_by_their_fields(dataclass: Any) -> None:
    plain, frozen, derived = shapes(dataclass)
    assert frozen(name="a", note="x") == frozen(name="a", note="y")
    assert frozen(name="a") != frozen(name="b")
    assert frozen(name="a") != derived(name="a")
    assert hash(frozen(name="a", more=(1,))) == hash(frozen(name="a", more=(2,)))
    assert hash(frozen(name="a")) == hash(("a", 0, "s", 7))
    assert plain.__hash__ is None
    assert plain(1) != 1


@BOTH
def test_they_say_what_they_are(dataclass: Any) -> None:
    plain, frozen, _ = shapes(dataclass)
    where = "shapes.<locals>."
    assert repr(plain(1)) == f"{where}Plain(one=1, two=[], three='x')"
    assert repr(frozen(name="a")) == f"{where}Frozen(name='a', size=0, note='', doubled=7, more=())"
    assert frozen.__doc__ == "Its words."
    assert plain.__doc__.startswith("Plain(")
    assert frozen.__match_args__ == ()
    assert plain.__match_args__ == ("one", "two", "three")
    assert [f.name for f in fields(frozen)] == ["name", "size", "secret", "note", "doubled", "more"]
    assert frozen.__slots__ == ("name", "size", "secret", "note", "doubled", "more")
    assert dataclasses.is_dataclass(plain)


@BOTH
def test_frozen_ones_cannot_be_changed(dataclass: Any) -> None:
    _, frozen, derived = shapes(dataclass)
    for made in (frozen(name="a"), derived(name="a")):
        with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'name'"):
            made.name = "b"
        with pytest.raises(dataclasses.FrozenInstanceError, match="cannot delete field 'name'"):
            del made.name
        assert made.name == "a"
    assert replace(frozen(name="a"), name="b", size=2).size == 2


@BOTH
@OFTEN
def test_what_a_class_has_itself_stays(dataclass: Any, times: int) -> None:
    @dataclass(frozen=True)
    class Own:
        one: int
        two: int = field(default=0, init=False)

        def __post_init__(self) -> None:
            object.__setattr__(self, "two", self.one * 2)

        def __repr__(self) -> str:
            return "own"

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Own)

    for number in range(times):
        made = Own(number)
        assert made.two == 2 * number
    assert repr(made) == "own"
    assert made == Own(77)
    assert hash(made) == hash(Own(times - 1))

    @dataclass(eq=False)
    class Same:
        one: int

    assert Same(1) != Same(1)
    assert len({Same(1), Same(1)}) == 2


def test_they_are_copied_and_pickled() -> None:
    kept = Kept(text="a", numbers=(1, 2))

    assert copy.copy(kept) == copy.deepcopy(kept) == pickle.loads(pickle.dumps(kept)) == kept


def test_a_build_loads_no_class_of_the_library_s_making() -> None:
    script = """
import sys, dataclasses
import taskengine.cli.build, taskengine.cli.submit, taskengine.scheduler.loop, runners.docker.build
import runners.docker.buildkit.solve, taskengine.taskspec.load
for name, module in sys.modules.items():
    if name.split('.')[0] in ('taskengine', 'runners') and getattr(module, 'dataclass', None) is dataclasses.dataclass:
        print(name)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env={**os.environ}
    )

    # its order is the library's to make
    assert set(done.stdout.split()) <= {"taskengine.scheduler.deadline"}
