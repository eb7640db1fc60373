"""`dataclass` as the standard library has it, for what a command loads each time it starts.

The library compiles six methods for each class when it is made, about half a millisecond, and most of them are never
called: a hundred classes were a fifth of a command's own start. Here it still does all but that: fields, defaults,
slots. The methods come from here; only `__init__` is compiled, and that when
many objects are made.

What `order` and `InitVar` do is left to the library: a class that wants them takes its decorator. Must not know any of
the classes.
"""

from __future__ import annotations

import dataclasses
import inspect
import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass  # to a type checker they are one and the same
else:

    def dataclass(cls=None, /, *, eq=True, frozen=False, kw_only=False, slots=False):
        """The library's decorator with these of its options. Objects behave as the library's would."""

        def wrap(found):
            return _made(found, eq=eq, frozen=frozen, kw_only=kw_only, slots=slots)

        return wrap if cls is None else wrap(cls)


_set: Callable[[object, str, Any], None] = object.__setattr__
_NONE: Any = dataclasses.MISSING
#: so many objects of a class are made without compiling anything
_FEW = 16


def _made(cls: type, *, eq: bool, frozen: bool, kw_only: bool, slots: bool) -> type:
    own_init, own_repr, own_eq, own_hash = (
        name in cls.__dict__ for name in ("__init__", "__repr__", "__eq__", "__hash__")
    )
    if own_eq and cls.__dict__["__hash__"] is None:
        own_hash = False  # Python put it there
    if not cls.__doc__:
        cls.__doc__ = f"{cls.__name__}(...)"  # the library would work out the signature
    made = _fielded(cls, kw_only=kw_only, slots=slots)
    fields = dataclasses.fields(made)
    if not own_init:
        made.__init__ = _late_init(made, frozen=frozen)
    if not own_repr:
        made.__repr__ = _repr
    if eq:
        if not own_eq:
            made.__eq__ = _eq(tuple(f.name for f in fields if f.compare))
        if not own_hash:
            hashed = tuple(f.name for f in fields if (f.compare if f.hash is None else f.hash))
            made.__hash__ = _hash(hashed) if frozen else None
    if frozen:
        _freeze(made, frozenset(f.name for f in fields))
        if slots:  # as the library does, for copies
            made.__getstate__, made.__setstate__ = _state, _restore
    return made  # type: ignore[no-any-return]


def _fielded(cls: type, *, kw_only: bool, slots: bool) -> Any:
    """The class with its fields, found by the library. Of a type that is a text, as ours all are, it would search out
    with three regular expressions whether it is special: only one that is does it get to see."""
    types = inspect.get_annotations(cls)
    if types:
        cls.__annotations__ = {
            name: kind if not isinstance(kind, str) or "ClassVar" in kind else object for name, kind in types.items()
        }
    made: Any = dataclasses.dataclass(init=False, repr=False, eq=False, kw_only=kw_only, slots=slots)(cls)
    if types:
        made.__annotations__ = types
        for f in dataclasses.fields(made):
            if f.name in types:
                f.type = types[f.name]
    return made


def _late_init(cls: Any, *, frozen: bool) -> Callable[..., None]:
    """An `__init__` that compiles its successor when it is called often, or not as it should be."""
    fields = dataclasses.fields(cls)
    plain = tuple(f.name for f in fields if f.init and not f.kw_only)
    rows: tuple[tuple[str, bool, Any, Any], ...]
    rows = tuple((f.name, f.init, f.default, f.default_factory) for f in fields)
    has_post_init = hasattr(cls, "__post_init__")
    calls = 0

    def __init__(_self: Any, /, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        nonlocal calls
        calls += 1
        given = dict(zip(plain, args, strict=False)) if args else {}
        if calls > _FEW or len(args) > len(plain) or not given.keys().isdisjoint(kwargs):
            compiled(_self, args, kwargs)
            return
        given |= kwargs
        for name, is_given, default, make in rows:
            if is_given and name in given:
                value = given.pop(name)
            elif make is not _NONE:
                value = make()
            elif default is not _NONE:
                value = default
            elif is_given:
                compiled(_self, args, kwargs)  # which says what is missing
                return
            else:
                continue
            _set(_self, name, value)
        if given:
            compiled(_self, args, kwargs)  # which says what is too much
        elif has_post_init:
            _self.__post_init__()

    def compiled(self: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        made = _init(cls, frozen=frozen)
        cls.__init__ = made
        made(self, *args, **kwargs)

    __init__.__qualname__ = f"{cls.__qualname__}.__init__"
    return __init__


def _init(cls: Any, *, frozen: bool) -> Callable[..., None]:
    known: dict[str, Any] = {"_set": _set, "_none": _NONE}
    plain: list[str] = []
    named: list[str] = []
    body: list[str] = []
    for f in dataclasses.fields(cls):
        name, value = f.name, f.name
        if f.default_factory is not _NONE:
            known[f"_make_{name}"] = f.default_factory
            value = f"_make_{name}() if {name} is _none else {name}" if f.init else f"_make_{name}()"
            default = "=_none"
        elif f.default is not _NONE:
            known[f"_default_{name}"] = f.default
            value = name if f.init else f"_default_{name}"
            default = f"=_default_{name}"
        else:
            default = ""
        if f.init:
            (named if f.kw_only else plain).append(name + default)
        elif not default:
            continue
        body.append(f"  _set(_self, {name!r}, {value})" if frozen else f"  _self.{name} = {value}")
    if hasattr(cls, "__post_init__"):
        body.append("  _self.__post_init__()")
    parameters = ", ".join(["_self", *plain, *(["*", *named] if named else [])])
    lines = [f" def __init__({parameters}):", *(body or ["  pass"]), " return __init__"]
    space: dict[str, Any] = {}
    exec("\n".join([f"def make({', '.join(known)}):", *lines]), space)  # noqa: S102 - of names in our own classes
    made: Callable[..., None] = space["make"](**known)
    made.__qualname__ = f"{cls.__qualname__}.__init__"
    return made


def _repr(self: Any) -> str:
    shown = ", ".join(f"{f.name}={getattr(self, f.name)!r}" for f in dataclasses.fields(self) if f.repr)
    return f"{self.__class__.__qualname__}({shown})"


def _values(names: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    """All of these attributes of an object."""
    if len(names) > 1:
        return operator.attrgetter(*names)
    if not names:
        return lambda _: ()
    one = operator.attrgetter(*names)
    return lambda found: (one(found),)


def _eq(names: tuple[str, ...]) -> Callable[[Any, object], Any]:
    values = _values(names)

    def __eq__(self: Any, other: object) -> Any:  # noqa: N807
        return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

    return __eq__


def _hash(names: tuple[str, ...]) -> Callable[[Any], int]:
    values = _values(names)

    def __hash__(self: Any) -> int:  # noqa: N807
        return hash(values(self))

    return __hash__


def _freeze(cls: Any, names: frozenset[str]) -> None:
    def __setattr__(self: Any, name: str, value: Any) -> None:  # noqa: N807
        if type(self) is cls or name in names:
            raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")
        super(cls, self).__setattr__(name, value)

    def __delattr__(self: Any, name: str) -> None:  # noqa: N807
        if type(self) is cls or name in names:
            raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")
        super(cls, self).__delattr__(name)

    cls.__setattr__, cls.__delattr__ = __setattr__, __delattr__


def _state(self: Any) -> list[Any]:
    return [getattr(self, f.name) for f in dataclasses.fields(self)]


def _restore(self: Any, state: list[Any]) -> None:
    for f, value in zip(dataclasses.fields(self), state, strict=True):
        _set(self, f.name, value)
