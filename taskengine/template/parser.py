"""Tokens to a tree of statements for each template that the text defines.

Checks what can be checked without data: known functions, declared variables, balanced blocks. All mistakes are told
together; after each the parser goes on behind the action that it is in, and what may only be its echo is left out.
Must not know what functions do or what values look like."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import Any

from taskengine.lightclass import dataclass
from taskengine.template.expression import ExpressionParser, Names
from taskengine.template.lexer import Kind, fail, scan
from taskengine.template.node import Action, Break, Continue, If, Pipeline, Range, Statement, Template, Text
from taskengine.template.result import MOST_TOLD, Limits, TemplateError, together

_MAX_BLOCKS = 2_000

Trees = dict[str, list[Statement]]


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


class _Unbalanced(TemplateError):
    """Blocks do not fit together: a mistake of its own only where no other came before."""


class Parser(ExpressionParser):
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
        super().__init__(text, is_function=is_function, suggest=suggest)
        self._name = name
        self._limits = limits
        self._loops = 0
        self._blocks: list[_Open] = []
        self._trees: Trees = {}
        self._errors: list[TemplateError] = []

    def parse(self) -> Trees:
        """The statements of each template by name. Raises TemplateError with all mistakes that could be found."""
        root: list[Statement] = []
        try:
            self._parse_into(root)
            if self._blocks and not self._errors:
                block = self._blocks[-1]
                fail(f"unexpected end of file: {{{{{block.kind}}}}} has no {{{{end}}}}", block.pos, "add {{ end }}")
            self._define(self._name, root, 0)
        except TemplateError as error:
            self._errors.append(error)
        if self._errors:
            raise together(self._errors)
        return self._trees

    def _parse_into(self, into: list[Statement]) -> None:
        left = self._limits.operations
        for opening, piece, broken in scan(self._text):
            self._tokens = piece
            token = piece[0]
            if token.kind == Kind.TEXT:
                into.append(Text(token.pos, token.text))
                continue
            left -= max(len(piece), 5)
            if left < 0:
                raise TemplateError("the template has too many actions", offset=opening, kind="limit")
            self._at = 0
            variables = len(self._variables)
            try:
                if broken is not None:
                    raise broken
                into = self._statement(opening, into)
            except TemplateError as error:
                if error.kind == "limit":
                    raise
                self._note(error)
                if len(self._errors) >= MOST_TOLD:
                    return
                into = self._recover(opening, into, variables)

    # Mistakes

    def _note(self, error: TemplateError) -> None:
        if isinstance(error, _Unbalanced):
            self._knows_names = False
            if self._errors:
                return  # a block that was opened by what could not be read
        self._errors.append(error)

    def _recover(self, pos: int, into: list[Statement], mark: int) -> list[Statement]:
        """Leave a broken action as if it had been a good one of its kind, so that blocks and variables stay in step.
        `mark` is the number of variables before it."""
        self._parens = 0
        tokens = [token for token in self._tokens if token.kind != Kind.SPACE]
        words = [token.text if token.kind == Kind.KEYWORD else "" for token in (*tokens, tokens[-1])]
        if "{{" in self._text[pos + 2 : tokens[-1].pos]:
            self._knows_names = False
        for token in tokens:
            if token.kind == Kind.VARIABLE:
                self._variables.append(token.text)
        if words[0] in {"if", "with"}:
            return self._open_branch(words[0], pos, into, mark)
        if words[0] == "range":
            node = Range(pos, Pipeline(pos))
            self._open("range", pos, node, into, mark)
            self._loops += 1
            return node.body
        if words[0] in {"define", "block"}:
            return self._open_template(words[0], pos, f"{{{{{pos}}}}}", into)
        if not self._blocks or words[0] not in {"else", "end"}:
            return into
        if words[0] == "end":
            return self._leave(into)
        if self._blocks[-1].kind in {"define", "block"}:
            return into
        otherwise: list[Statement] = self._blocks[-1].node.otherwise
        if words[1] not in {"if", "with"}:
            return otherwise
        inner = self._open_branch(words[1], pos, otherwise, mark)
        self._blocks[-1].shares_end = True
        return inner

    def _open_branch(self, kind: str, pos: int, into: list[Statement], variables: int) -> list[Statement]:
        node = If(pos, Pipeline(pos))
        self._open(kind, pos, node, into, variables)
        return node.body

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
            hint = "it belongs between {{ if }} (or with, range) and {{ end }}, once"
            raise _Unbalanced("unexpected {{else}}", offset=pos, kind="parse", hint=hint)
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
            hint = "there is no open if, with, range, define or block"
            raise _Unbalanced("unexpected {{end}}", offset=pos, kind="parse", hint=hint)
        return self._leave(into)

    def _leave(self, into: list[Statement]) -> list[Statement]:
        """Close the innermost block, whose last statements are `into`."""
        while True:
            block = self._blocks.pop()
            self._variables.truncate(block.variables)
            self._loops = block.loops
            if not block.shares_end:
                break
        if block.kind in {"define", "block"}:
            self._variables = block.outer_variables
            try:
                self._define(block.node, into, block.pos)
            except TemplateError as error:
                self._note(error)
        return block.into

    def _break(self, pos: int, into: list[Statement]) -> list[Statement]:
        return self._jump(pos, into, "break", Break(pos))

    def _continue(self, pos: int, into: list[Statement]) -> list[Statement]:
        return self._jump(pos, into, "continue", Continue(pos))

    def _jump(self, pos: int, into: list[Statement], word: str, node: Break | Continue) -> list[Statement]:
        self._close(f"{{{{{word}}}}}")
        if not self._loops:
            raise _Unbalanced(f"{{{{{word}}}}} outside {{{{range}}}}", offset=pos, kind="parse")
        into.append(node)
        return into

    def _define_clause(self, pos: int, into: list[Statement]) -> list[Statement]:
        if self._blocks:
            inside = self._blocks[-1].kind
            hint = "define templates at the top level"
            raise _Unbalanced(f"unexpected <define> inside {{{{{inside}}}}}", offset=pos, kind="parse", hint=hint)
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

    def _define(self, name: str, body: list[Statement], pos: int) -> None:
        if name not in self._trees or _is_blank(self._trees[name]):
            self._trees[name] = body
        elif not _is_blank(body):
            fail(f'template "{name}" is defined more than once', pos)


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
