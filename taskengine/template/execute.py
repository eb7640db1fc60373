"""Statements: walks a parsed template and writes the output together with where each piece came from.

Keeps its own stack, so that templates may call templates deeply. Must not know Go's rules for expressions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from taskengine.template.budget import Env
from taskengine.template.effect import is_harmless
from taskengine.template.evaluate import Evaluator, Variables, fail
from taskengine.template.gofmt import display
from taskengine.template.node import Action, Break, Continue, If, Range, Statement, Template, Text
from taskengine.template.result import MOST_TOLD, Limits, Rendered, Segment, TemplateError
from taskengine.template.value import INVALID, is_true, kind, to_bytes, type_name

_INTEGERS = frozenset({"int", "int64", "uint8", "uint64"})


class _Frame:
    """A list of statements that is being carried out: a branch, a turn of a loop, a template's body."""

    __slots__ = ("body", "dot", "i", "loop", "mark", "outer", "turns")

    def __init__(self, body: list[Statement], dot: Any, mark: int) -> None:
        self.body = body
        self.dot = dot
        self.i = 0
        # How many variables are in force when the frame is left.
        self.mark = mark
        self.loop: Range | None = None
        self.turns: Iterator[tuple[Any, Any]] = iter(())
        # A template's frame keeps its caller's variables.
        self.outer: Variables | None = None


class Executor:
    """One rendering."""

    def __init__(self, trees: dict[str, list[Statement]], env: Env, limits: Limits) -> None:
        self._trees = trees
        self._env = env
        self._limits = limits
        self._evaluator = Evaluator(env)
        self._frames: list[_Frame] = []
        self._depth = 0
        self._pieces: list[str] = []
        self._segments: list[Segment] = []
        self._length = 0
        self.pos = 0
        # what failed so far; the output is of no use then
        self.errors: list[TemplateError] = []

    def run(self, name: str, data: Any) -> Rendered:
        """The output. Raises TemplateError where the rest cannot be trusted any more; `errors` holds those before."""
        self._evaluator.variables.push("$", data)
        self._frames.append(_Frame(self._trees[name], data, 1))
        env = self._env
        while self._frames:
            frame = self._frames[-1]
            if frame.i >= len(frame.body):
                self._leave(frame)
                continue
            statement = frame.body[frame.i]
            frame.i += 1
            self.pos = statement.pos
            env.spend(1)
            if type(statement) is Text:
                self._write(statement.text, statement.pos, verbatim=True)
                continue
            before = len(self._frames), len(self._evaluator.variables)
            try:
                self._carry_out(frame, statement)
            except TemplateError as error:
                self._pass_over(statement, error, before)
        return Rendered("".join(self._pieces), tuple(self._segments))

    def _carry_out(self, frame: _Frame, statement: Statement) -> None:
        if type(statement) is Action:
            value = self._evaluator.pipeline(frame.dot, statement.pipeline)
            if not statement.pipeline.variables and value is not INVALID:
                self._write(_clean(display(self._env, value)), statement.pos, verbatim=False)
        elif type(statement) is If:
            self._branch(frame, statement)
        elif type(statement) is Range:
            self._range(frame, statement)
        elif type(statement) is Template:
            self._template(frame, statement)
        elif isinstance(statement, Break | Continue):
            self._jump(statement)

    def _pass_over(self, statement: Statement, error: TemplateError, before: tuple[int, int]) -> None:
        """Go on behind a statement that failed, so that further mistakes are told with it; or raise the error again
        when the statement may have changed what those after it see: they would fail for its sake."""
        frames, variables = before
        if error.kind != "execute" or len(self._frames) != frames or len(self.errors) >= MOST_TOLD - 1:
            raise error
        if not is_harmless(statement, self._trees):
            raise error
        self._evaluator.variables.truncate(variables)
        if all(known.offset != error.offset for known in self.errors):
            self.errors.append(error)

    def _write(self, text: str, src: int, *, verbatim: bool) -> None:
        if not text:
            return
        size = len(text)
        self._pieces.append(text)
        self._segments.append(Segment(self._length, size, src, verbatim))
        self._length += size
        if self._length > self._limits.output_chars:
            raise TemplateError(
                f"the rendered text is longer than {self._limits.output_chars} characters", offset=src, kind="limit"
            )

    def _leave(self, frame: _Frame) -> None:
        variables = self._evaluator.variables
        if frame.loop is not None and self._turn(frame):
            return
        self._frames.pop()
        if frame.outer is not None:
            self._evaluator.variables = frame.outer
            self._depth -= 1
        else:
            variables.truncate(frame.mark)

    def _branch(self, frame: _Frame, statement: If) -> None:
        mark = len(self._evaluator.variables)
        value = self._evaluator.pipeline(frame.dot, statement.pipeline)
        if is_true(value):
            self._frames.append(_Frame(statement.body, value if statement.sets_dot else frame.dot, mark))
        elif statement.otherwise:
            self._frames.append(_Frame(statement.otherwise, frame.dot, mark))
        else:
            self._evaluator.variables.truncate(mark)

    def _range(self, frame: _Frame, statement: Range) -> None:
        mark = len(self._evaluator.variables)
        value = self._evaluator.pipeline(frame.dot, statement.pipeline)
        loop = _Frame(statement.body, frame.dot, mark)
        loop.loop = statement
        loop.turns = _turns(value, statement)
        # The loop's own variables stay from turn to turn, the body's do not.
        self._frames.append(loop)
        if not self._turn(loop, first=True):
            self._frames.pop()
            if statement.otherwise:
                self._frames.append(_Frame(statement.otherwise, frame.dot, mark))
            else:
                self._evaluator.variables.truncate(mark)

    def _turn(self, frame: _Frame, *, first: bool = False) -> bool:
        """Begin the next turn of a loop; False when there is none."""
        pair = next(frame.turns, None)
        if pair is None or frame.loop is None:
            return False
        self._env.spend(1)
        evaluator, names = self._evaluator, frame.loop.pipeline.variables
        own = 0 if frame.loop.pipeline.assigns else len(names)
        if not first:
            evaluator.variables.truncate(frame.mark + own)
        values = pair[1:] if len(names) == 1 else pair
        for name, value in zip(names, values, strict=False):
            evaluator.assign(name, value, frame.loop.pos)
        frame.dot = pair[1]
        frame.i = 0
        return True

    def _template(self, frame: _Frame, statement: Template) -> None:
        body = self._trees.get(statement.name)
        if body is None:
            known = ", ".join(sorted(f'"{name}"' for name in self._trees)[:10])
            fail(f'template "{statement.name}" not defined', statement.pos, f"defined are: {known}")
        if self._depth >= self._limits.depth:
            raise TemplateError(
                f"exceeded maximum template depth ({self._limits.depth})",
                offset=statement.pos,
                kind="limit",
                hint=f'template "{statement.name}" calls itself without end',
            )
        dot = INVALID if statement.pipeline is None else self._evaluator.pipeline(frame.dot, statement.pipeline)
        called = _Frame(body, dot, 0)
        called.outer = self._evaluator.variables
        self._evaluator.variables = Variables()
        self._evaluator.variables.push("$", dot)
        self._depth += 1
        self._frames.append(called)

    def _jump(self, statement: Break | Continue) -> None:
        while self._frames[-1].loop is None:
            self._frames.pop()
        frame = self._frames[-1]
        frame.i = len(frame.body)
        if isinstance(statement, Break):
            frame.turns = iter(())


def _turns(value: Any, statement: Range) -> Iterator[tuple[Any, Any]]:
    """The (index, element) pairs of a loop."""
    if value is INVALID:
        return iter(())
    if isinstance(value, list):
        return enumerate(value)
    if isinstance(value, dict):
        return iter(sorted(value.items(), key=lambda item: item[0]))
    if kind(value) not in _INTEGERS:
        hint = "lists, maps and whole numbers can be iterated; splitList makes a list of a text"
        fail(f"range can't iterate over a {type_name(value)}", statement.pos, hint)
    if len(statement.pipeline.variables) > 1:
        fail(f"can't use {value} to iterate over more than one variable", statement.pos)
    of_type = type(value)
    return ((INVALID, of_type(i)) for i in range(value))


def _clean(text: str) -> str:
    """Bytes that make no UTF-8 become the replacement character, once whole characters have come together again."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return to_bytes(text).decode("utf-8", "replace")
    return text
