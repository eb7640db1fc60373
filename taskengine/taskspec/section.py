"""Looks at a task file before it can be parsed as YAML: its version, and its top-level sections, by their lines.

Templates make a file no YAML, so this is done on lines. The one exception is a file that is a single mapping in
braces (JSON): there YAML is asked.
"""

from __future__ import annotations

import re

from taskengine.lightclass import dataclass
from taskengine.lightpattern import pattern
from taskengine.taskspec.catalog import ALIAS_VERSION
from taskengine.taskspec.nodes import Map, Scalar, YamlError, read

#: a line that begins a top-level property; entries of a list may stand at the first column too
_TOP_LEVEL = pattern(r"(?!-\s)[^\s:]+[^:\n]*:")
#: the version's line, or the line between two documents
_HEADS = pattern(r"""^(?:---(?=\s|$)|(["']?)version\1[ \t]*:(?=\s|$)([^\n]*))""", re.MULTILINE)
_COMMENT = pattern(r"[ \t\f\v]*#")


@dataclass(frozen=True)
class Version:
    """The version as written. `literal` is false when a template makes it: then nothing is known of it yet."""

    text: str
    offset: int
    literal: bool = True

    @property
    def aliases(self) -> bool:
        return self.literal and self.text.lower() == ALIAS_VERSION


@dataclass(frozen=True)
class Span:
    start: int
    end: int


def is_flow(text: str) -> bool:
    """Whether the file is one mapping in braces and not the beginning of a template."""
    head = _without_comments(text)
    return head.startswith("{") and not head.startswith("{{")


def _without_comments(text: str) -> str:
    lines = text[:4096].splitlines()
    return "\n".join(
        line for line in lines if line.strip() and not _COMMENT.match(line) and not line.startswith(("---", "%"))
    )


def find_version(text: str) -> Version | None:
    """The version of a task file that is not rendered yet; None when it has none."""
    if is_flow(text):
        return _flow_version(text)
    found: Version | None = None
    for match in _HEADS.finditer(text):
        if match.group(2) is None:
            if _without_comments(text[: match.start()]):  # only the first document counts
                break
            continue
        value = _scalar(match.group(2)) or _next_line(text, match.end())
        found = Version(value, match.start(2) + _indent(match.group(2)), literal="{{" not in value)
    return found if found and found.text else None


def _scalar(text: str) -> str:
    """The text of a one-line scalar: tag, anchor, quotes and comment taken off."""
    text = re.sub(r"^\s*(?:[!&]\S*\s+)*", "", text)
    quoted = re.match(r"""(["'])(.*?)\1""", text)
    if quoted:
        return quoted.group(2)
    return re.split(r"(?:^|\s)#", text, maxsplit=1)[0].strip()


def _next_line(text: str, at: int) -> str:
    match = re.compile(r"\s*\n[ \t]+([^\s#:][^\n:]*)(?:\n|$)").match(text, at)
    return _scalar(match.group(1)) if match else ""


def _indent(text: str) -> int:
    return len(text) - len(text.lstrip())


def _flow_version(text: str) -> Version | None:
    try:
        root = read(text).root
    except YamlError:
        return None
    if isinstance(root, Map):
        for key, value in zip(root.flat[::2], root.flat[1::2], strict=True):
            if isinstance(key, Scalar) and key.text == "version" and isinstance(value, Scalar):
                return Version(value.text, value.start, literal="{{" not in value.text)
    return None


def _lines(text: str) -> list[tuple[int, str]]:
    """Offset and text of each line, line ends left out."""
    lines = []
    start = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        line = text[start : end - 1] if end > start and text[end - 1] == "\r" else text[start:end]
        lines.append((start, line))
        start = end + 1
    return lines


def content_lines(text: str) -> list[tuple[int, str]]:
    """The lines that are no comment. Those whose first visible character is # never reach a template."""
    if "#" not in text:
        return _lines(text)
    comment = _COMMENT.match
    return [(start, line) for start, line in _lines(text) if not ("#" in line and comment(line))]


def section_lines(lines: list[tuple[int, str]], name: str) -> tuple[list[tuple[int, str]], list[tuple[int, str]]]:
    """The lines of one top-level property (each time it occurs), and all others."""
    head = re.compile(rf"""(["']?){re.escape(name)}\1\s*:""")
    section: list[tuple[int, str]] = []
    rest: list[tuple[int, str]] = []
    inside = False
    top = _TOP_LEVEL.match
    for entry in lines:
        line = entry[1]
        if line and line[0] not in " \t" and (not inside or top(line)):
            inside = head.match(line) is not None
        (section if inside else rest).append(entry)
    return section, rest


def flow_section(text: str, name: str) -> tuple[Span, Span] | None:
    """For a file in braces: the span of a top-level property's value, and the span to cut to be rid of the property."""
    try:
        root = read(text).root
    except YamlError:
        return None
    if not isinstance(root, Map):
        return None
    flat = root.flat
    for index in range(0, len(flat), 2):
        key, value = flat[index], flat[index + 1]
        if isinstance(key, Scalar) and key.text == name:
            comma = re.compile(r"\s*,\s*").match(text, value.end)
            return Span(value.start, value.end), Span(key.start, comma.end() if comma else value.end)
    return None
