"""The JSON Schema of a run's events, made from the classes of `event.py` and `model.py`.

Pure. `python -m taskengine.runs.schema` prints it; a test holds schemas/event.schema.json equal to it.
"""

from __future__ import annotations

import types
import typing
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from taskengine.runs import event as events
from taskengine.taskspec.schema import schema_text


def event_schema() -> dict[str, Any]:
    """One schema for all kinds; unknown properties are allowed, since later versions may add some."""
    defs: dict[str, Any] = {}
    kinds = sorted(_kinds(events.Event), key=lambda kind: kind.kind)
    for kind in kinds:
        defs[kind.kind] = _event(kind, defs)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "event.schema.json",
        "title": "Event of a run",
        "description": "One line of `acr-task run --output json`.",
        "oneOf": [{"$ref": f"#/$defs/{kind.kind}"} for kind in kinds],
        "$defs": dict(sorted(defs.items())),
    }


def _kinds(base: type[events.Event]) -> list[type[events.Event]]:
    found = []
    for kind in base.__subclasses__():
        if getattr(events, kind.__name__, None) is kind:  # a class with slots is made twice: this is the one in use
            found += [kind, *_kinds(kind)]
    return found


def _event(kind: type[events.Event], defs: dict[str, Any]) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    properties: dict[str, Any] = {"event": {"const": kind.kind}}
    required = ["event"]
    for entry in fields(kind):
        schema, optional = _type(hints[entry.name], defs)
        properties[entry.name] = schema
        if not optional:
            required.append(entry.name)
    return {"type": "object", **_described(kind), "properties": properties, "required": required}


def _record(kind: type, defs: dict[str, Any]) -> dict[str, Any]:
    if kind.__name__ not in defs:
        defs[kind.__name__] = {}  # a place holder, should a record ever hold its own kind
        hints = typing.get_type_hints(kind)
        properties = {}
        required = []
        for entry in fields(kind):
            schema, optional = _type(hints[entry.name], defs)
            name = events.camel(entry.name)
            properties[name] = schema
            if not optional:
                required.append(name)
        defs[kind.__name__] = {"type": "object", **_described(kind), "properties": properties, "required": required}
    return {"$ref": f"#/$defs/{kind.__name__}"}


def _described(kind: type) -> dict[str, str]:
    text = (kind.__doc__ or "").split("\n\n")[0]
    return {} if text.startswith(f"{kind.__name__}(") or not text else {"description": " ".join(text.split())}


_PLAIN = {str: "string", bool: "boolean", int: "integer", float: "number"}


def _type(hint: Any, defs: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """The schema of a Python type, and whether it may be missing."""
    origin = typing.get_origin(hint)
    arguments = typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        inner = [argument for argument in arguments if argument is not types.NoneType]
        return _type(inner[0], defs)[0], len(inner) < len(arguments)
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return {"type": "array", "items": _type(arguments[0], defs)[0]}, False
        return {"type": "array", "prefixItems": [_type(argument, defs)[0] for argument in arguments]}, False
    if hint is datetime:
        return {"type": "string", "format": "date-time"}, False
    if isinstance(hint, type) and issubclass(hint, Enum):
        return {"enum": [member.value for member in hint]}, False
    if is_dataclass(hint) and isinstance(hint, type):
        return _record(hint, defs), False
    return {"type": _PLAIN[hint]}, False


if __name__ == "__main__":
    print(schema_text(event_schema()), end="")
