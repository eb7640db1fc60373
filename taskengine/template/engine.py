"""Renders a template that has actions: parse, bring the data into Go's shape, execute, and name every failure.

The only module that knows all parts of the engine."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from taskengine.template.budget import Env, OverBudget
from taskengine.template.execute import Executor
from taskengine.template.functions import catalog
from taskengine.template.gofmt import display
from taskengine.template.parser import Parser
from taskengine.template.result import Limits, Rendered, TemplateError, together
from taskengine.template.value import GoObject, NestedMap, Slice, StringMap, Uint64

_HINT = "such a template is refused, because it would never end or fill the memory"


def render_actions(text: str, data: Mapping[str, Any], *, name: str, limits: Limits, now: datetime | None) -> Rendered:
    """Render a template that may hold actions. Raises TemplateError and nothing else."""
    try:
        trees = Parser(text, name, limits, is_function=catalog.knows, suggest=catalog.suggest).parse()
    except RecursionError:
        raise TemplateError("the template is nested too deeply", offset=0, kind="limit", hint=_HINT) from None
    env = Env(limits, lambda: now if now is not None else _system_now())
    executor = Executor(trees, env, limits)
    try:
        rendered = executor.run(name, _shaped(env, data))
    except TemplateError as error:
        last = error
    except OverBudget as error:
        last = TemplateError(str(error), offset=executor.pos, kind="limit", hint=_HINT)
    except (RecursionError, MemoryError):
        message = "a value is nested too deeply or too large"
        last = TemplateError(message, offset=executor.pos, kind="limit", hint=_HINT)
    else:
        if not executor.errors:
            return rendered
        raise together(executor.errors)
    raise together((*executor.errors, last))


def _system_now() -> datetime:
    from taskengine.ambient import Ambient

    return Ambient.system().now()


def _shaped(env: Env, data: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the data with Go's types: templates may change maps, and must not change the caller's.

    Maps on the first two levels have text keys; those below them come from YAML, where keys are anything."""
    seen: dict[int, Any] = {}
    return _map(env, data, {}, seen, 0)


def _map(
    env: Env, source: Mapping[Any, Any], target: dict[str, Any], seen: dict[int, Any], level: int
) -> dict[str, Any]:
    seen[id(source)] = target
    for key, value in source.items():
        target[key if type(key) is str else display(env, _scalar(key))] = _value(env, value, seen, level + 1)
    return target


def _value(env: Env, value: Any, seen: dict[int, Any], level: int) -> Any:
    if type(value) is str or value is None or type(value) is bool or type(value) is float:
        return value
    if isinstance(value, Mapping) and not isinstance(value, StringMap):
        known = seen.get(id(value))
        return known if known is not None else _map(env, value, {} if level < 2 else NestedMap(), seen, level)
    if isinstance(value, list | tuple) and not isinstance(value, Slice):
        known = seen.get(id(value))
        if known is None:
            known = seen[id(value)] = []
            known.extend(_value(env, item, seen, level + 1) for item in value)
        return known
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if type(value) is int:
        if -(2**63) <= value < 2**63:
            return value
        return Uint64(value) if 0 <= value < 2**64 else float(value) if value.bit_length() < 1000 else str(value)
    if value is None or isinstance(value, str | bool | float | GoObject | StringMap | Slice):
        return value
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return value if isinstance(value, int) else str(value)
