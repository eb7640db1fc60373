"""YAML text to a tree of nodes with exact offsets, within limits that keep hostile files harmless.

Reads libyaml's events itself: PyYAML's own loaders are five times slower, keep no places and stop at no limit. Knows
YAML only; what the words mean is decided in `scalar.py` and `parse.py`.
"""

from __future__ import annotations

from taskengine.lightclass import dataclass

MAX_DEPTH = 64
#: counts what aliases (`*name`) stand for as well, so that a small file cannot mean a huge one
MAX_NODES = 400_000


class Scalar:
    __slots__ = ("end", "start", "style", "tag", "text")

    def __init__(self, text: str, start: int, end: int, style: str, tag: str | None) -> None:
        self.text = text
        self.start = start
        self.end = end
        self.style = style  #: "" for a plain scalar, else its first character: ' " | >
        self.tag = tag


class Seq:
    __slots__ = ("end", "items", "start")

    def __init__(self, start: int) -> None:
        self.items: list[Node] = []
        self.start = start
        self.end = start


class Map:
    """`flat` holds key, value, key, value ... in the order written, duplicates and merges (`<<`) included."""

    __slots__ = ("end", "flat", "flow", "start")

    def __init__(self, start: int, *, flow: bool) -> None:
        self.flat: list[Node] = []
        self.start = start
        self.end = start
        self.flow = flow


Node = Scalar | Seq | Map


@dataclass(frozen=True)
class Document:
    """The first document of a text. `rest` is the offset of a second one, None when there is none."""

    root: Node | None
    rest: int | None = None


class YamlError(Exception):
    """The text is no YAML, or more than we are willing to read."""

    def __init__(self, code: str, message: str, offset: int, hint: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.offset = offset
        self.hint = hint


def read(text: str) -> Document:
    """The tree of the text's first document. Raises YamlError."""
    from yaml import YAMLError

    try:
        return _build(_parser(text))
    except YAMLError as error:
        raise _syntax_error(error, text) from None
    except (ValueError, UnicodeError) as error:  # surrogates cannot be encoded for libyaml
        raise YamlError("E103", f"the text cannot be read as YAML: {error}", 0) from None


def _parser(text: str) -> object:
    try:
        from yaml._yaml import CParser  # type: ignore[import-untyped, unused-ignore]
    except ImportError:  # PyYAML was built without libyaml: ten times slower, the same events
        from yaml import SafeLoader

        return SafeLoader(text)
    return CParser(text)


def _build(parser: object) -> Document:
    from yaml import events as ev

    get = parser.get_event  # type: ignore[attr-defined]
    scalar_event, alias_event = ev.ScalarEvent, ev.AliasEvent
    starts = (ev.SequenceStartEvent, ev.MappingStartEvent)
    ends = (ev.SequenceEndEvent, ev.MappingEndEvent)

    root: Node | None = None
    documents = 0
    total = 0
    anchors: dict[str, tuple[Node, int]] = {}
    open_anchors: set[str] = set()
    stack: list[tuple[list[Node], Seq | Map, str | None, int]] = []
    into: list[Node] = []
    while True:
        event = get()
        kind = event.__class__
        if kind is scalar_event:
            total += 1
            node: Node = Scalar(event.value, event.start_mark.index, event.end_mark.index, event.style or "", event.tag)
            if event.anchor is not None:
                anchors[event.anchor] = (node, 1)
            into.append(node)
        elif kind in starts:
            total += 1
            start = event.start_mark.index
            if len(stack) >= MAX_DEPTH:
                raise YamlError("E104", f"nested more than {MAX_DEPTH} levels deep", start)
            node = Map(start, flow=bool(event.flow_style)) if kind is starts[1] else Seq(start)
            into.append(node)
            if event.anchor is not None:
                open_anchors.add(event.anchor)
                anchors.pop(event.anchor, None)
            stack.append((into, node, event.anchor, total))
            into = node.flat if isinstance(node, Map) else node.items
        elif kind in ends:
            into, node, anchor, before = stack.pop()
            node.end = event.end_mark.index
            if anchor is not None:
                open_anchors.discard(anchor)
                anchors[anchor] = (node, total - before + 1)
        elif kind is alias_event:
            node, size = _target(event, anchors, open_anchors)
            total += size
            into.append(node)
        elif kind is ev.DocumentStartEvent:
            documents += 1
            if documents == 2:
                return Document(root, event.start_mark.index)
            into = []
        elif kind is ev.DocumentEndEvent:
            root = into[0] if into else None
        elif kind is ev.StreamEndEvent:
            return Document(root)
        if total > MAX_NODES:
            raise YamlError(
                "E105",
                f"more than {MAX_NODES:,} values, aliases (*name) counted each time",
                event.start_mark.index,
                "split the task, or repeat less through aliases",
            )


def _target(event: object, anchors: dict[str, tuple[Node, int]], open_anchors: set[str]) -> tuple[Node, int]:
    name: str = event.anchor  # type: ignore[attr-defined]
    offset: int = event.start_mark.index  # type: ignore[attr-defined]
    if name in open_anchors:
        raise YamlError("E106", f"the anchor '{name}' contains itself", offset)
    found = anchors.get(name)
    if found is None:
        from taskengine.taskspec.report import did_you_mean

        hint = did_you_mean(name, anchors) or f"write &{name} in front of the value that is meant, above this line"
        raise YamlError("E106", f"unknown anchor '{name}'", offset, hint)
    return found


_HINTS = (
    ("cannot start any token", "\t", "YAML does not allow tabs for indentation: use spaces"),
    ("mapping values are not allowed", "", "put the whole text in quotes: a plain text cannot hold ': '"),
    ("cannot start any token", "@", "put the text in quotes"),
    ("cannot start any token", "`", "put the text in quotes"),
    ("cannot start any token", "%", "put the text in quotes"),
    ("found unexpected end of stream", "", "a quote is not closed"),
    ("could not find expected ':'", "", "a property is written 'name: value'; check the indentation of this line"),
    ("did not find expected key", "", "check the indentation, and quotes inside quotes"),
    ("did not find expected '-' indicator", "", "check the indentation: the entries of a list begin in one column"),
    ("did not find expected ',' or ']'", "", "a list in brackets: [a, b]; quote entries that hold special characters"),
    ("did not find expected ',' or '}'", "", "a mapping in braces: {a: b}; quote entries that hold special characters"),
    ("control characters are not allowed", "", "remove the invisible character"),
)


def _syntax_error(error: Exception, text: str) -> YamlError:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    context = getattr(error, "context", None)
    offset = _mark_offset(mark, error, text)
    message = f"{context}, {problem}" if context else str(problem)
    at = text[offset : offset + 1]
    hint = next((hint for part, char, hint in _HINTS if part in message and (not char or char == at)), None)
    if "unexpected end of stream" in message and getattr(error, "context_mark", None) is not None:
        offset = error.context_mark.index  # type: ignore[attr-defined]  # where the quote was opened says more
    return YamlError("E103", message, offset, hint)


def _mark_offset(mark: object, error: Exception, text: str) -> int:
    if mark is not None:
        return int(mark.index)  # type: ignore[attr-defined]
    position = getattr(error, "position", None)  # the reader counts bytes
    if isinstance(position, int):
        return len(text.encode("utf-8", "surrogatepass")[:position].decode("utf-8", "ignore"))
    return 0


def place_in(text: str, node: Scalar, offset: int) -> int:
    """Where the character at `offset` of a scalar's value stands in the text: folding and quotes looked through."""
    start = node.start + (1 if node.style in ("'", '"') else 0)
    value = node.text
    if text.startswith(value, start):
        return start + offset
    if node.style in ("|", ">"):
        start = text.find("\n", start) + 1
    ink = sum(1 for char in value[:offset] if not char.isspace())
    return _nth_ink(text, start, node, ink)


#: how many characters follow the backslash of an escape in double quotes
_ESCAPE_LENGTH = {"x": 3, "u": 5, "U": 9}
_BLANK_ESCAPES = frozenset("0abtnvfreNLP_ \t\n")


def _nth_ink(text: str, at: int, node: Scalar, ink: int) -> int:
    """The offset of the ink-th visible character: folding only changes white space, so visible ones can be counted."""
    while at < node.end:
        char = text[at]
        width = 1
        blank = char.isspace()
        if char == "\\" and node.style == '"':
            escape = text[at + 1 : at + 2]
            width = 1 + _ESCAPE_LENGTH.get(escape, 1)
            blank = escape in _BLANK_ESCAPES
        elif char == "'" and node.style == "'":
            width = 2
        if not blank:
            if ink == 0:
                return at
            ink -= 1
        at += width
    return min(at, node.end)
