"""Expressions: pipelines, commands, operands, fields, methods and function calls, by Go's rules.

Knows nothing of output or of statements. Recursion follows parentheses only, which the parser bounds."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NoReturn

from taskengine.template.argument import NILABLE, TYPE_NAMES, Signature, fits, parse_signature
from taskengine.template.budget import Env, FunctionError, OverBudget
from taskengine.template.functions import catalog
from taskengine.template.node import (
    Chain,
    Command,
    Dot,
    FieldPath,
    Function,
    Literal,
    Nil,
    Number,
    Operand,
    Pipeline,
    Variable,
)
from taskengine.template.result import TemplateError
from taskengine.template.value import INVALID, GoObject, Int64, StringMap, is_true, type_name


class _NoFinal:
    """The command is the first of its pipeline: nothing is handed to it."""

    __slots__ = ()


NO_FINAL = _NoFinal()


def fail(message: str, pos: int, hint: str | None = None) -> NoReturn:
    raise TemplateError(message, offset=pos, kind="execute", hint=hint)


class Variables:
    """Values of variables. The last one of a name is in force; leaving a block drops the last ones of all."""

    __slots__ = ("_names", "_values")

    def __init__(self) -> None:
        self._names: list[str] = []
        self._values: dict[str, list[Any]] = {}

    def __len__(self) -> int:
        return len(self._names)

    def push(self, name: str, value: Any) -> None:
        self._names.append(name)
        self._values.setdefault(name, []).append(value)

    def find(self, name: str) -> list[Any]:
        """The values of a name, the one in force last; empty when there is none."""
        return self._values.get(name, [])

    def truncate(self, size: int) -> None:
        if size < len(self._names):
            for name in self._names[size:]:
                self._values[name].pop()
            del self._names[size:]


class Evaluator:
    """Values of expressions, with the variables that are declared at the moment."""

    def __init__(self, env: Env) -> None:
        self.env = env
        self.variables = Variables()

    def pipeline(self, dot: Any, pipeline: Pipeline) -> Any:
        value: Any = NO_FINAL
        for command in pipeline.commands:
            value = self._command(dot, command, value)
            if value is None:
                value = INVALID
        for name in pipeline.variables:
            if pipeline.assigns:
                self.assign(name, value, pipeline.pos)
            else:
                self.variables.push(name, value)
        return value

    def assign(self, name: str, value: Any, pos: int) -> None:
        values = self.variables.find(name)
        if not values:
            fail(f"undefined variable: {name}", pos, f"declare it first: {{{{ {name} := ... }}}}")
        values[-1] = value

    def _variable(self, name: str, pos: int) -> Any:
        values = self.variables.find(name)
        if not values:
            fail(f"undefined variable: {name}", pos, "it is declared in another branch than the one that was taken")
        return values[-1]

    # Commands and operands

    def _command(self, dot: Any, command: Command, final: Any) -> Any:
        first = command.args[0]
        args = command.args[1:]
        if isinstance(first, Function):
            return self._function(dot, first, args, final)
        if isinstance(first, FieldPath | Chain | Variable):
            return self._path(dot, first, args, final)
        if args or final is not NO_FINAL:
            fail(f"can't give argument to non-function {first.text}", first.pos)
        if isinstance(first, Nil):
            fail("nil is not a command", first.pos, "nil can only be an argument")
        return self._operand(dot, first)

    def _operand(self, dot: Any, operand: Operand) -> Any:
        """An operand that takes no arguments, where any type will do."""
        if isinstance(operand, Literal):
            return operand.value
        if isinstance(operand, Dot):
            return dot
        if isinstance(operand, Number):
            return _constant(operand)
        if isinstance(operand, Pipeline):
            return self.pipeline(dot, operand)
        if isinstance(operand, Function):
            return self._function(dot, operand, [], NO_FINAL)
        if isinstance(operand, Nil):
            return None
        return self._path(dot, operand, [], NO_FINAL)

    def _path(self, dot: Any, path: FieldPath | Variable | Chain, args: list[Operand], final: Any) -> Any:
        if isinstance(path, FieldPath):
            value = dot
        elif isinstance(path, Variable):
            value = self._variable(path.name, path.pos)
            if not path.names:
                if args or final is not NO_FINAL:
                    fail(f"can't give argument to non-function {path.text}", path.pos)
                return value
        else:
            if isinstance(path.base, Nil):
                fail(f"indirection through explicit nil in {path.text}", path.pos)
            value = self._operand(dot, path.base)
        last = len(path.names) - 1
        for i, name in enumerate(path.names):
            if value is INVALID:
                return INVALID
            if type(value) is dict and (i < last or (not args and final is NO_FINAL)):
                value = value.get(name)
            elif i < last:
                value = self._field(dot, value, name, path, i, [], NO_FINAL)
            else:
                value = self._field(dot, value, name, path, i, args, final)
        return value

    def _field(
        self,
        dot: Any,
        value: Any,
        name: str,
        path: FieldPath | Variable | Chain,
        i: int,
        args: list[Operand],
        final: Any,
    ) -> Any:
        if value is None:
            _refuse_nil(path, i)
        if isinstance(value, GoObject):
            method = value.methods.get(name)
            if method is not None:
                return self._call(dot, name, path.pos, parse_signature(method[0]), method[1], args, final, value)
            if name in value.fields:
                return getattr(value, name.lower())
        elif isinstance(value, datetime | int):
            from taskengine.template.functions.time_method import methods_of

            method = methods_of(value).get(name)
            if method is not None:
                return self._call(dot, name, path.pos, parse_signature(method[0]), method[1], args, final, value)
        elif isinstance(value, dict):
            if args or final is not NO_FINAL:
                fail(
                    f"{name} is not a method but has arguments",
                    path.pos,
                    f"{path.text} is a value: it takes no arguments",
                )
            return value.get(name, "" if isinstance(value, StringMap) else None)
        holder = _prefix(path, i)
        fail(
            f"can't evaluate field {name} in type {type_name(value)}",
            path.pos,
            f"{holder} is a {_plain(value)}, which has nothing inside",
        )

    # Functions

    def _function(self, dot: Any, node: Function, args: list[Operand], final: Any) -> Any:
        if node.name in {"and", "or"}:
            return self._and_or(dot, node, args, final)
        signature, implementation = catalog.load(node.name)
        return self._call(dot, node.name, node.pos, signature, implementation, args, final)

    def _and_or(self, dot: Any, node: Function, args: list[Operand], final: Any) -> Any:
        """These two stop at the operand that decides, without looking at the others."""
        if not args and final is NO_FINAL:
            fail(f"wrong number of args for {node.name}: want at least 1 got 0", node.pos)
        value: Any = None
        for arg in args:
            value = self._argument(dot, "r", arg)
            if is_true(value) == (node.name == "or"):
                return value
        return value if final is NO_FINAL else final

    def _call(
        self,
        dot: Any,
        name: str,
        pos: int,
        signature: Signature,
        implementation: Any,
        args: list[Operand],
        final: Any,
        *receiver: Any,
    ) -> Any:
        count = len(args) + (final is not NO_FINAL)
        fixed = len(signature.fixed)
        if count < fixed or (count > fixed and not signature.rest):
            least = "at least " if signature.rest else ""
            fail(f"wrong number of args for {name}: want {least}{fixed} got {count}", pos, _usage(name, signature))
        values = [self._argument(dot, signature.code(i), arg) for i, arg in enumerate(args)]
        if final is not NO_FINAL:
            values.append(_checked(final, signature.code(count - 1), name, pos))
        try:
            self.env.spend(1 + sum(len(v) >> 7 for v in values if type(v) is str))
            return implementation(self.env, *receiver, *values)
        except FunctionError as error:
            fail(f"error calling {name}: {error.message}", pos, error.hint)
        except OverBudget:
            raise
        except (ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as error:
            fail(f"error calling {name}: {error}", pos)

    def _argument(self, dot: Any, code: str, operand: Operand) -> Any:
        if isinstance(operand, Literal):
            if code in "ar" or ((code == "s") == isinstance(operand.value, str) and code in "sb"):
                return operand.value
            return _mismatch(code, operand)
        if isinstance(operand, Number):
            return _number(code, operand)
        if isinstance(operand, Nil):
            if code in NILABLE:
                return None
            fail(f"cannot assign nil to {TYPE_NAMES[code]}", operand.pos)
        return _checked(self._operand(dot, operand), code, operand.text, operand.pos)


def _checked(value: Any, code: str, text: str, pos: int) -> Any:
    if value is INVALID:
        if code in NILABLE:
            return None
        fail(f"{text}: invalid value; expected {TYPE_NAMES[code]}", pos, _NOT_SET)
    if code in "ar" or fits(value, code):
        return value
    got = "interface {} (not set)" if value is None else type_name(value)
    hint = _NOT_SET if value is None else _CONVERSIONS.get(code)
    fail(f"{text}: wrong type for value; expected {TYPE_NAMES[code]}; got {got}", pos, hint)


_NOT_SET = 'it is not set: give it a value, or a default first: {{ default "..." .Values.name }}'
_CONVERSIONS = {
    "s": "turn it into a text first: toString",
    "i": "turn it into an int first: int",
    "I": "turn it into an int64 first: int64",
    "f": "turn it into a float64 first: float64",
}


def _number(code: str, number: Number) -> Any:
    if code in "ar":
        return _constant(number)
    if code == "i" and number.as_int is not None:
        return number.as_int
    if code in "Id" and number.as_int is not None:
        return Int64(number.as_int)
    if code == "u" and number.as_uint is not None:
        return number.as_uint
    if code == "f" and number.as_float is not None:
        return number.as_float
    return _mismatch(code, number)


def _mismatch(code: str, operand: Literal | Number) -> NoReturn:
    if code in "Lmtvc":
        fail(f"can't handle {operand.text} for arg of type {TYPE_NAMES[code]}", operand.pos)
    word = {"s": "string", "b": "bool", "f": "float", "u": "unsigned integer"}.get(code, "integer")
    fail(f"expected {word}; found {operand.text}", operand.pos)


def _constant(number: Number) -> Any:
    """The value of a number where the syntax alone says its type."""
    text = number.text
    if number.as_complex is not None:
        return number.as_complex
    is_hex = text[:2] in {"0x", "0X"} and not any(c in text for c in "pP")
    if number.as_float is not None and not is_hex and not text.startswith("'") and any(c in text for c in ".eEpP"):
        return number.as_float
    if number.as_int is not None:
        return number.as_int
    fail(f"{text} overflows int", number.pos)


def _prefix(path: FieldPath | Variable | Chain, i: int) -> str:
    """The text of a path up to, but without, its i-th name."""
    return path.text[: len(path.text) - sum(len(name) + 1 for name in path.names[i:])] or "."


def _refuse_nil(path: FieldPath | Variable | Chain, i: int) -> NoReturn:
    holder = _prefix(path, i)
    fail(
        f"nil pointer evaluating interface {{}}.{path.names[i]}: {holder} is not set",
        path.pos,
        f"give {holder} a value, or ask first: {{{{ with {holder} }}}}{{{{ .{path.names[i]} }}}}{{{{ end }}}}",
    )


def _plain(value: Any) -> str:
    return {"string": "text", "int": "number", "float64": "number", "slice": "list"}.get(
        type_name(value), type_name(value)
    )


_PARAMETER_WORDS = {
    "s": "text",
    "i": "int",
    "I": "int64",
    "f": "number",
    "b": "bool",
    "L": "list",
    "m": "dict",
    "t": "time",
}


def _usage(name: str, signature: Signature) -> str:
    words = [_PARAMETER_WORDS.get(code, "value") for code in signature.fixed]
    if signature.rest:
        words.append(f"{_PARAMETER_WORDS.get(signature.rest, 'value')}...")
    return f"usage: {' '.join([name, *words])}"
