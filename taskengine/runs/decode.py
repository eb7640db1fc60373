"""Events and records out of the JSON that `event.to_json` makes: what one process said, understood by another.

Pure. A key that this version does not know is left out, and one that is missing takes its default: a view must not
fall over what a newer worker says. What is no event at all is None.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union

from taskengine.runs import event as events
from taskengine.runs.event import Event

T = TypeVar("T")


@cache
def _kinds() -> Mapping[str, type[Event]]:
    return {kind.kind: kind for kind in kinds()}


def kinds() -> tuple[type[Event], ...]:
    """Every kind of event there is."""
    named = vars(events).values()
    return tuple(kind for kind in named if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event)


def event_of(data: Mapping[str, Any]) -> Event | None:
    """The event, or None for a kind that this version does not know. Raises ValueError for what is none."""
    kind = _kinds().get(str(data.get("event")))
    return None if kind is None else record_of(kind, data)


def record_of(kind: type[T], data: Mapping[str, Any]) -> T:
    """A dataclass of `taskengine.runs` out of plain JSON data. Raises ValueError when something needed is not there
    or is of another shape."""
    hints = _hints(kind)  # type: ignore[arg-type]
    found: dict[str, Any] = {}
    for f in fields(kind):  # type: ignore[arg-type]
        key = f.name if f.name in data else events.camel(f.name)
        if key in data:
            try:
                found[f.name] = _value(hints[f.name], data[key])
            except (TypeError, KeyError) as error:
                raise ValueError(f"{kind.__name__}.{f.name} is not understood: {error}") from error
        elif f.default is MISSING and f.default_factory is MISSING:
            if type(None) not in typing.get_args(hints[f.name]):
                raise ValueError(f"{kind.__name__} without {f.name}")
            found[f.name] = None
    return kind(**found)


@cache
def _hints(kind: type[Any]) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _value(hint: Any, value: Any) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        if value is None:
            return None
        return _value(next(a for a in arguments if a is not type(None)), value)
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is ...:
            return tuple(_value(arguments[0], item) for item in value)
        return tuple(_value(a, item) for a, item in zip(arguments, value, strict=True))
    if isinstance(hint, type):
        if issubclass(hint, Enum):
            return hint(value)
        if issubclass(hint, datetime):
            return datetime.fromisoformat(value)
        if is_dataclass(hint):
            return record_of(hint, value)
    return value
