"""Tokens of one action to expressions: pipelines, commands and operands, with the variables that they declare.

Checks that functions exist and variables are declared. Must not know statements, nor what functions do."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from taskengine.template.lexer import Kind, Token, fail
from taskengine.template.literal import BadLiteral, parse_number, unquote
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

_MAX_PARENS = 60


class Names:
    """The variables that are declared at the moment, in order; the same name may be there more than once."""

    def __init__(self) -> None:
        self._names = ["$"]
        self._counts = {"$": 1}

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: str) -> bool:
        return self._counts.get(name, 0) > 0

    def append(self, name: str) -> None:
        self._names.append(name)
        self._counts[name] = self._counts.get(name, 0) + 1

    def truncate(self, size: int) -> None:
        for name in self._names[size:]:
            self._counts[name] -= 1
        del self._names[size:]


class ExpressionParser:
    """Reads the tokens of one action after the other; the statements around them are a subclass's business."""

    def __init__(self, text: str, *, is_function: Callable[[str], bool], suggest: Callable[[str], str | None]) -> None:
        self._text = text
        self._is_function = is_function
        self._suggest = suggest
        self._tokens: list[Token] = []
        self._at = 0
        self._variables = Names()
        self._parens = 0
        self._more_declared = False
        # False once a mistake has hidden which variables there are: none is called undefined then.
        self._knows_names = True

    # Tokens of the action that is being parsed; it always ends with CLOSE, which nothing reads past.

    def _next(self) -> Token:
        token = self._tokens[self._at]
        self._at += 1
        return token

    def _peek(self) -> Token:
        return self._tokens[self._at]

    def _next_word(self) -> Token:
        token = self._peek_word()
        self._at += 1
        return token

    def _peek_word(self) -> Token:
        token = self._tokens[self._at]
        while token.kind == Kind.SPACE:
            self._at += 1
            token = self._tokens[self._at]
        return token

    def _unexpected(self, token: Token, context: str) -> NoReturn:
        what = f"<{token.text}>" if token.kind == Kind.KEYWORD else repr(token.text)
        fail(f"unexpected {what} in {context}", token.pos)

    def _close(self, context: str) -> None:
        token = self._next_word()
        if token.kind != Kind.CLOSE:
            self._unexpected(token, context)

    def _unquoted(self, token: Token) -> str:
        try:
            return unquote(token.text)
        except BadLiteral as error:
            fail(f"invalid string {token.text}: {error}", token.pos, "write a backslash as \\\\, or use `...`")

    # Pipelines

    def _pipeline(self, context: str, end: str) -> Pipeline:
        first = self._peek_word()
        pipeline = Pipeline(first.pos)
        while first.kind == Kind.VARIABLE and self._declaration(pipeline, context):
            first = self._peek_word()
            if len(pipeline.variables) == 2 or first.kind != Kind.VARIABLE or not self._more_declared:
                break
        while True:
            token = self._next_word()
            if token.kind == end:
                self._check(pipeline, context, token)
                pipeline.text = self._text[pipeline.pos : token.pos].strip()
                return pipeline
            if token.kind not in _OPERANDS and not (token.kind == Kind.KEYWORD and token.text == "nil"):
                self._unexpected(token, context)
            self._at -= 1
            pipeline.commands.append(self._command())

    def _declaration(self, pipeline: Pipeline, context: str) -> bool:
        """Take `$x :=`, `$x =` or, in a range, `$x,`. Without any of them the variable is put back."""
        start = self._at
        variable = self._next()
        token = self._peek_word()
        self._more_declared = False
        if token.kind == Kind.DECLARE or token.kind == Kind.ASSIGN:
            pipeline.assigns = token.kind == Kind.ASSIGN
        elif token.kind == Kind.CHAR and token.text == ",":
            if context != "range" or pipeline.variables:
                fail(f"too many declarations in {context}", variable.pos)
            self._more_declared = True
        else:
            self._at = start
            return False
        self._next()
        pipeline.variables.append(variable.text)
        self._variables.append(variable.text)
        following = self._peek_word()
        if self._more_declared and following.kind not in {Kind.VARIABLE, Kind.CLOSE, Kind.PAREN_CLOSE}:
            fail("range can only initialize variables", variable.pos)
        return True

    def _check(self, pipeline: Pipeline, context: str, end: Token) -> None:
        if not pipeline.commands:
            fail(f"missing value for {context}", end.pos)
        for stage, command in enumerate(pipeline.commands[1:], 2):
            if isinstance(command.args[0], Literal | Number | Dot | Nil):
                fail(f"non executable command in pipeline stage {stage}", command.pos, "only functions follow a |")

    def _command(self) -> Command:
        command = Command(self._peek_word().pos)
        while True:
            operand = self._operand()
            if operand is not None:
                command.args.append(operand)
            token = self._next()
            if token.kind == Kind.SPACE:
                continue
            if token.kind in {Kind.CLOSE, Kind.PAREN_CLOSE}:
                self._at -= 1
            elif token.kind != Kind.PIPE:
                self._unexpected(token, "operand")
            break
        if not command.args:
            fail("empty command", command.pos)
        return command

    def _operand(self) -> Operand | None:
        term = self._term()
        if term is None or self._peek().kind != Kind.FIELD:
            return term
        names: list[str] = []
        text = term.text
        while self._peek().kind == Kind.FIELD:
            token = self._next()
            names += token.text[1:].split(".")
            text += token.text
        if isinstance(term, FieldPath):
            return FieldPath(term.pos, (*term.names, *names), text)
        if isinstance(term, Variable):
            return Variable(term.pos, term.name, (*term.names, *names), text)
        if isinstance(term, Literal | Number | Dot | Nil):
            fail(f"unexpected . after term {term.text}", term.pos)
        return Chain(term.pos, term, tuple(names), text)

    def _term(self) -> Operand | None:
        token = self._next_word()
        build = _TERMS.get(token.kind)
        if build is not None:
            return build(self, token)
        if token.kind == Kind.KEYWORD and token.text == "nil":
            return Nil(token.pos)
        self._at -= 1
        return None

    def _word(self, token: Token) -> Operand:
        if token.text in {"true", "false"}:
            return Literal(token.pos, token.text == "true", token.text)
        if not self._is_function(token.text):
            fail(f'function "{token.text}" is not defined', token.pos, self._suggest(token.text))
        return Function(token.pos, token.text, token.text)

    def _variable(self, token: Token) -> Operand:
        if token.text not in self._variables and self._knows_names:
            hint = f"declare it first: {{{{ {token.text} := ... }}}}; it lives until the end of its block"
            fail(f"undefined variable: {token.text}", token.pos, hint)
        return Variable(token.pos, token.text, (), token.text)

    def _field(self, token: Token) -> Operand:
        return FieldPath(token.pos, tuple(token.text[1:].split(".")), token.text)

    def _dot(self, token: Token) -> Operand:
        return Dot(token.pos)

    def _string(self, token: Token) -> Operand:
        return Literal(token.pos, self._unquoted(token), token.text)

    def _number(self, token: Token) -> Operand:
        try:
            return parse_number(token.text, token.pos)
        except BadLiteral as error:
            fail(str(error), token.pos)

    def _paren(self, token: Token) -> Operand:
        self._parens += 1
        if self._parens > _MAX_PARENS:
            message = f"parentheses are nested more than {_MAX_PARENS} deep"
            raise TemplateError(message, offset=token.pos, kind="limit", hint="keep parts of it in variables")
        pipeline = self._pipeline("parenthesized pipeline", Kind.PAREN_CLOSE)
        self._parens -= 1
        pipeline.pos, pipeline.text = token.pos, f"({pipeline.text})"
        return pipeline


_TERMS: dict[str, Callable[[ExpressionParser, Token], Operand]] = {
    Kind.WORD: ExpressionParser._word,
    Kind.VARIABLE: ExpressionParser._variable,
    Kind.FIELD: ExpressionParser._field,
    Kind.DOT: ExpressionParser._dot,
    Kind.STRING: ExpressionParser._string,
    Kind.NUMBER: ExpressionParser._number,
    Kind.PAREN_OPEN: ExpressionParser._paren,
}
_OPERANDS = frozenset(_TERMS)
