"""Tokens to a tree of statements for each template that the text defines.

Checks what can be checked without data: known functions, declared variables, balanced blocks.
Must not know what functions do or what values look like."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

from taskengine.template.lexer import Kind, Token, fail, scan
from taskengine.template.literal import BadLiteral, parse_number, unquote
from taskengine.template.node import (
    Action,
    Break,
    Chain,
    Command,
    Continue,
    Dot,
    FieldPath,
    Function,
    If,
    Literal,
    Nil,
    Number,
    Operand,
    Pipeline,
    Range,
    Statement,
    Template,
    Text,
    Variable,
)
from taskengine.template.result import Limits, TemplateError

_MAX_PARENS = 60
_MAX_BLOCKS = 2_000

Trees = dict[str, list[Statement]]


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


@dataclass(slots=True)
class _Open:
    """A block whose {{end}} has not come yet."""

    kind: str
    pos: int
    node: Any
    into: list[Statement]
    variables: int
    loops: int
    # {{else if}} opens an inner block that shares its {{end}}.
    shares_end: bool = False
    has_else: bool = False
    # What a define or block sets aside until it ends.
    outer_variables: Names = field(default_factory=Names)


class Parser:
    """One text, parsed once."""

    def __init__(
        self,
        text: str,
        name: str,
        limits: Limits,
        *,
        is_function: Callable[[str], bool],
        suggest: Callable[[str], str | None],
    ) -> None:
        self._text = text
        self._name = name
        self._limits = limits
        self._is_function = is_function
        self._suggest = suggest
        self._tokens: list[Token] = []
        self._at = 0
        self._variables = Names()
        self._loops = 0
        self._parens = 0
        self._more_declared = False
        self._blocks: list[_Open] = []
        self._trees: Trees = {}

    def parse(self) -> Trees:
        root: list[Statement] = []
        into = root
        left = self._limits.operations // 2
        for opening, piece in scan(self._text):
            self._tokens = piece
            token = self._tokens[0]
            left -= len(self._tokens)
            if left < 0:
                raise TemplateError("the template has too many actions", offset=token.pos, kind="limit")
            if token.kind == Kind.TEXT:
                into.append(Text(token.pos, token.text))
            else:
                self._at = 0
                into = self._statement(opening, into)
        if self._blocks:
            block = self._blocks[-1]
            fail(f"unexpected end of file: {{{{{block.kind}}}}} has no {{{{end}}}}", block.pos, "add {{ end }}")
        self._define(self._name, root, 0)
        return self._trees

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

    # Statements

    def _statement(self, pos: int, into: list[Statement]) -> list[Statement]:
        """Parse one action; gives the list into which the statements after it go."""
        token = self._peek_word()
        if token.kind == Kind.KEYWORD:
            handler = _STATEMENTS.get(token.text)
            if handler is not None:
                self._at += 1
                return handler(self, pos, into)
        into.append(Action(pos, self._pipeline("command", Kind.CLOSE)))
        return into

    def _open(self, kind: str, pos: int, node: Any, into: list[Statement], variables: int) -> _Open:
        if len(self._blocks) >= _MAX_BLOCKS:
            raise TemplateError(f"blocks are nested more than {_MAX_BLOCKS} deep", offset=pos, kind="limit")
        block = _Open(kind, pos, node, into, variables, self._loops)
        self._blocks.append(block)
        return block

    def _if(self, pos: int, into: list[Statement]) -> list[Statement]:
        return self._condition(pos, into, "if")

    def _with(self, pos: int, into: list[Statement]) -> list[Statement]:
        return self._condition(pos, into, "with")

    def _condition(self, pos: int, into: list[Statement], kind: str) -> list[Statement]:
        variables = len(self._variables)
        node = If(pos, self._pipeline(kind, Kind.CLOSE), sets_dot=kind == "with")
        self._open(kind, pos, node, into, variables)
        into.append(node)
        return node.body

    def _range(self, pos: int, into: list[Statement]) -> list[Statement]:
        variables = len(self._variables)
        node = Range(pos, self._pipeline("range", Kind.CLOSE))
        self._open("range", pos, node, into, variables)
        into.append(node)
        self._loops += 1
        return node.body

    def _else(self, pos: int, _into: list[Statement]) -> list[Statement]:
        block = self._blocks[-1] if self._blocks else None
        if block is None or block.kind in {"define", "block"} or block.has_else:
            fail("unexpected {{else}}", pos, "it belongs between {{ if }} (or with, range) and {{ end }}, once")
        block.has_else = True
        # A loop's else is outside of the loop.
        self._loops = block.loops
        token = self._peek_word()
        if token.kind == Kind.KEYWORD and token.text in {"if", "with"}:
            if token.text != block.kind:
                self._unexpected(token, f"else of {block.kind}")
            self._next()
            inner = self._condition(pos, block.node.otherwise, token.text)
            self._blocks[-1].shares_end = True
            return inner
        self._close("else")
        otherwise: list[Statement] = block.node.otherwise
        return otherwise

    def _end(self, pos: int, into: list[Statement]) -> list[Statement]:
        self._close("end")
        if not self._blocks:
            fail("unexpected {{end}}", pos, "there is no open if, with, range, define or block")
        while True:
            block = self._blocks.pop()
            self._variables.truncate(block.variables)
            self._loops = block.loops
            if not block.shares_end:
                break
        if block.kind in {"define", "block"}:
            self._variables = block.outer_variables
            self._define(block.node, into, block.pos)
        return block.into

    def _break(self, pos: int, into: list[Statement]) -> list[Statement]:
        return self._jump(pos, into, "break", Break(pos))

    def _continue(self, pos: int, into: list[Statement]) -> list[Statement]:
        return self._jump(pos, into, "continue", Continue(pos))

    def _jump(self, pos: int, into: list[Statement], word: str, node: Break | Continue) -> list[Statement]:
        self._close(f"{{{{{word}}}}}")
        if not self._loops:
            fail(f"{{{{{word}}}}} outside {{{{range}}}}", pos)
        into.append(node)
        return into

    def _define_clause(self, pos: int, into: list[Statement]) -> list[Statement]:
        if self._blocks:
            inside = self._blocks[-1].kind
            fail(f"unexpected <define> inside {{{{{inside}}}}}", pos, "define templates at the top level")
        name = self._template_name("define clause")
        self._close("define clause")
        return self._open_template("define", pos, name, into)

    def _block_clause(self, pos: int, into: list[Statement]) -> list[Statement]:
        name = self._template_name("block clause")
        into.append(Template(pos, name, self._pipeline("block clause", Kind.CLOSE)))
        return self._open_template("block", pos, name, into)

    def _open_template(self, kind: str, pos: int, name: str, into: list[Statement]) -> list[Statement]:
        block = self._open(kind, pos, name, into, 1)
        block.outer_variables, self._variables = self._variables, Names()
        self._loops = 0
        return []

    def _template(self, pos: int, into: list[Statement]) -> list[Statement]:
        name = self._template_name("template clause")
        pipeline = None
        if self._peek_word().kind == Kind.CLOSE:
            self._next()
        else:
            pipeline = self._pipeline("template clause", Kind.CLOSE)
        into.append(Template(pos, name, pipeline))
        return into

    def _template_name(self, context: str) -> str:
        token = self._next_word()
        if token.kind != Kind.STRING:
            self._unexpected(token, context)
        return self._unquoted(token)

    def _unquoted(self, token: Token) -> str:
        try:
            return unquote(token.text)
        except BadLiteral as error:
            fail(f"invalid string {token.text}: {error}", token.pos, "write a backslash as \\\\, or use `...`")

    def _define(self, name: str, body: list[Statement], pos: int) -> None:
        if name not in self._trees or _is_blank(self._trees[name]):
            self._trees[name] = body
        elif not _is_blank(body):
            fail(f'template "{name}" is defined more than once', pos)

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
            names.append(token.text[1:])
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
        if token.text not in self._variables:
            hint = f"declare it first: {{{{ {token.text} := ... }}}}; it lives until the end of its block"
            fail(f"undefined variable: {token.text}", token.pos, hint)
        return Variable(token.pos, token.text, (), token.text)

    def _field(self, token: Token) -> Operand:
        return FieldPath(token.pos, (token.text[1:],), token.text)

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


def _is_blank(body: list[Statement]) -> bool:
    return all(isinstance(statement, Text) and not statement.text.strip() for statement in body)


_STATEMENTS: dict[str, Callable[[Parser, int, list[Statement]], list[Statement]]] = {
    "if": Parser._if,
    "with": Parser._with,
    "range": Parser._range,
    "else": Parser._else,
    "end": Parser._end,
    "break": Parser._break,
    "continue": Parser._continue,
    "define": Parser._define_clause,
    "block": Parser._block_clause,
    "template": Parser._template,
}
_TERMS: dict[str, Callable[[Parser, Token], Operand]] = {
    Kind.WORD: Parser._word,
    Kind.VARIABLE: Parser._variable,
    Kind.FIELD: Parser._field,
    Kind.DOT: Parser._dot,
    Kind.STRING: Parser._string,
    Kind.NUMBER: Parser._number,
    Kind.PAREN_OPEN: Parser._paren,
}
_OPERANDS = frozenset(_TERMS)
