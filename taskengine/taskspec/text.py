"""The bytes of a task file to text: size, encoding, byte order mark. Refuses early what could only do harm."""

from __future__ import annotations

from typing import NoReturn

from taskengine.errors import InvalidTask
from taskengine.taskspec.report import Report
from taskengine.taskspec.source import Source

MAX_SIZE = 8 << 20
_WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff")


def decode(data: str | bytes, file: str) -> Source:
    """The author's text. Raises InvalidTask when it is too large or no text."""
    if len(data) > MAX_SIZE:
        size = f"{len(data) / (1 << 20):.1f} MiB"
        _refuse("E101", f"the file is too large for a task: {size}, at most {MAX_SIZE >> 20} MiB", file, b"", 0)
    if isinstance(data, bytes):
        data = _text(data, file)
    text = data.removeprefix("\ufeff")
    nul = text.find("\0")
    if nul >= 0:
        _refuse("E102", "the file holds a NUL character: it is binary, not text", file, text.encode(), nul)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        _refuse("E102", "the text holds half a character (a lone surrogate)", file, b"", error.start)
    return Source(text, file)


def _text(data: bytes, file: str) -> str:
    if data.startswith(_WIDE_MARKS):
        _refuse("E102", "the file is UTF-16, not UTF-8", file, b"", 0, "save it as UTF-8")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = data[error.start]
        _refuse("E102", f"the file is no UTF-8 text: byte 0x{byte:02x}", file, data[: error.start], error.start)


def _refuse(code: str, message: str, file: str, before: bytes, offset: int, hint: str | None = None) -> NoReturn:
    head = before.decode("utf-8", "replace")
    source = Source(head, file)
    report = Report()
    at = source.locate(min(offset, len(head)))
    report.error(code, message, at, hint=hint or "is it the right file? A task file is YAML in UTF-8")
    raise InvalidTask(report.problems)
