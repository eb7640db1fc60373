"""Sprig's list and dict functions. Lists are copied, dicts are changed in place, as their authors expect."""

from __future__ import annotations

from typing import Any

from taskengine.template.budget import Env, FunctionError
from taskengine.template.functions.number import integer
from taskengine.template.functions.text import string_value
from taskengine.template.value import Slice, deep_equal, is_empty, is_nil, kind

Dict = dict[str, Any]


def _items(env: Env, value: Any, complaint: str) -> list[Any]:
    if not isinstance(value, list):
        hint = "the value is not set" if value is None else "this function takes a list; splitList makes one of a text"
        raise FunctionError(f"{complaint} {kind(value)}", hint)
    env.grow_list(len(value))
    return value


def make_list(_env: Env, *values: Any) -> list[Any]:
    return list(values)


def append(env: Env, items: Any, value: Any) -> list[Any]:
    return [*_items(env, items, "Cannot push on type"), value]


def prepend(env: Env, items: Any, value: Any) -> list[Any]:
    return [value, *_items(env, items, "Cannot prepend on type")]


def first(env: Env, items: Any) -> Any:
    found = _items(env, items, "Cannot find first on type")
    return found[0] if found else None


def last(env: Env, items: Any) -> Any:
    found = _items(env, items, "Cannot find last on type")
    return found[-1] if found else None


def rest(env: Env, items: Any) -> list[Any]:
    found = _items(env, items, "Cannot find rest on type")
    return list(found[1:]) if found else Slice(is_nil=True)


def initial(env: Env, items: Any) -> list[Any]:
    found = _items(env, items, "Cannot find initial on type")
    return list(found[:-1]) if found else Slice(is_nil=True)


def reverse(env: Env, items: Any) -> list[Any]:
    return list(reversed(_items(env, items, "Cannot find reverse on type")))


def compact(env: Env, items: Any) -> list[Any]:
    return [item for item in _items(env, items, "Cannot compact on type") if not is_empty(item)]


def _among(env: Env, items: list[Any], needle: Any) -> bool:
    return any(deep_equal(needle, item, env.spend) for item in items)


def uniq(env: Env, items: Any) -> list[Any]:
    found: list[Any] = []
    for item in _items(env, items, "Cannot find uniq on type"):
        if not _among(env, found, item):
            found.append(item)
    return found


def without(env: Env, items: Any, *omitted: Any) -> list[Any]:
    known = list(omitted)
    return [item for item in _items(env, items, "Cannot find without on type") if not _among(env, known, item)]


def has(env: Env, needle: Any, items: Any) -> bool:
    return items is not None and _among(env, _items(env, items, "Cannot find has on type"), needle)


def slice(env: Env, items: Any, *bounds: Any) -> Any:  # noqa: A001 (the functions carry their template names)
    found = _items(env, items, "list should be type of slice or array but")
    if not found:
        return None
    start = integer(env, bounds[0]) if bounds else 0
    end = integer(env, bounds[1]) if len(bounds) > 1 else len(found)
    if not 0 <= start <= end <= len(found):
        raise FunctionError("reflect.Value.Slice: slice index out of bounds", f"the list has {len(found)} elements")
    return Slice(found[start:end], found.elem) if isinstance(found, Slice) else found[start:end]


def concat(env: Env, *lists: Any) -> list[Any]:
    out: list[Any] = []
    for items in lists:
        if not isinstance(items, list):
            raise FunctionError(f"Cannot concat type {kind(items)} as list")
        out += _items(env, items, "")
    return out or Slice(is_nil=True)


# Dicts


def make_dict(env: Env, *values: Any) -> Dict:
    """Keys and values in turn; a last key without a value gets an empty text."""
    made: Dict = {}
    for i in range(0, len(values), 2):
        made[string_value(env, values[i])] = values[i + 1] if i + 1 < len(values) else ""
    return made


def set_key(env: Env, target: Dict | None, key: str, value: Any) -> Dict:
    if target is None:
        raise FunctionError("assignment to entry in nil map", "the dict is not set")
    env.grow(16)
    target[key] = value
    return target


def unset(_env: Env, target: Dict | None, key: str) -> Dict:
    if target is None:
        return {}
    target.pop(key, None)
    return target


def has_key(_env: Env, source: Dict | None, key: str) -> bool:
    return source is not None and key in source


def pluck(_env: Env, key: str, *sources: Dict | None) -> list[Any]:
    return [source[key] for source in sources if source is not None and key in source]


def keys(env: Env, *sources: Dict | None) -> Slice:
    """Sorted, for Go's own order changes from run to run."""
    found: list[str] = []
    for source in sources:
        env.grow_list(len(source or ()))
        found += sorted(source or ())
    return Slice(found, "string")


def values(env: Env, source: Dict | None) -> list[Any]:
    env.grow_list(len(source or ()))
    return [source[key] for key in sorted(source)] if source else []


def pick(_env: Env, source: Dict | None, *wanted: str) -> Dict:
    return {key: source[key] for key in wanted if source and key in source}


def omit(env: Env, source: Dict | None, *unwanted: str) -> Dict:
    env.grow_list(len(source or ()))
    dropped = frozenset(unwanted)
    return {key: value for key, value in (source or {}).items() if key not in dropped}


def merge(env: Env, target: Dict | None, *sources: Dict | None) -> Dict:
    """What the target lacks, or has empty, comes from the sources; the first one wins."""
    return _merged(env, target, sources, overwrite=False)


def merge_overwrite(env: Env, target: Dict | None, *sources: Dict | None) -> Dict:
    """What the sources have replaces what the target has; the last one wins."""
    return _merged(env, target, sources, overwrite=True)


def _merged(env: Env, target: Dict | None, sources: tuple[Dict | None, ...], *, overwrite: bool) -> Dict:
    made = {} if target is None else target
    for source in sources:
        _fill(env, made, source or {}, overwrite=overwrite)
    return made


def _fill(env: Env, target: Dict, source: Dict, *, overwrite: bool) -> None:
    env.grow_list(len(source) + 1)
    env.spend(len(source) + 1)
    if target is source:
        return
    for key, value in list(source.items()):
        own = target.get(key)
        if is_nil(value):
            if overwrite:
                target[key] = value
            continue
        if isinstance(value, dict) and isinstance(own, dict):
            _fill(env, own, value, overwrite=overwrite)
        elif isinstance(value, list) and overwrite:
            target[key] = value
        if key in target and not is_empty(own) and isinstance(value, dict | list):
            continue
        if overwrite or is_empty(own):
            target[key] = value
