"""Whether a statement can be left out without those after it noticing: what it assigns, changes or guards.

Reads parsed templates only; nothing is carried out here."""

from __future__ import annotations

from collections.abc import Mapping

from taskengine.template.node import (
    Action,
    Break,
    Chain,
    Continue,
    Function,
    If,
    Operand,
    Pipeline,
    Range,
    Statement,
    Template,
    Text,
)

#: functions that change what they are given, or are the author's own way to stop
_CHANGES = frozenset({"set", "unset", "merge", "mergeOverwrite", "fail"})


def is_harmless(statement: Statement, trees: Mapping[str, list[Statement]]) -> bool:
    """True when the statements behind this one see the same values and take the same way without it.

    `trees` are the templates that it may call, by name."""
    if isinstance(statement, Action) and statement.pipeline.variables:
        return False
    waiting, called = [statement], {""}
    while waiting:
        part = waiting.pop()
        if isinstance(part, Text):
            continue
        if isinstance(part, Break | Continue):
            return False
        pipeline = part.pipeline
        if pipeline is not None and ((pipeline.assigns and pipeline.variables) or _changes(pipeline)):
            return False
        if isinstance(part, If | Range):
            waiting += (*part.body, *part.otherwise)
        elif isinstance(part, Template) and part.name not in called:
            called.add(part.name)
            waiting += trees.get(part.name, ())
    return True


def _changes(pipeline: Pipeline) -> bool:
    """Whether any function in it changes its arguments; parentheses nest no deeper than the parser lets them."""
    return any(_operand_changes(operand) for command in pipeline.commands for operand in command.args)


def _operand_changes(operand: Operand) -> bool:
    if isinstance(operand, Function):
        return operand.name in _CHANGES
    if isinstance(operand, Chain):
        return _operand_changes(operand.base)
    return isinstance(operand, Pipeline) and (operand.assigns or _changes(operand))
