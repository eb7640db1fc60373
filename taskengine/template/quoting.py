"""Go's quoted forms of strings and characters, as strconv writes them.

Must not know verbs, templates or JSON."""

from __future__ import annotations

_SHORT = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\"}


def quote(text: str, *, ascii_only: bool = False, mark: str = '"') -> str:
    """strconv.Quote, QuoteToASCII and, with a single quote as mark, QuoteRune."""
    if text.isprintable() and (not ascii_only or text.isascii()):
        body = text.replace("\\", "\\\\").replace(mark, "\\" + mark)
        return f"{mark}{body}{mark}"
    return mark + "".join(_escape(char, ascii_only, mark) for char in text) + mark


def _escape(char: str, ascii_only: bool, mark: str) -> str:
    if char == mark:
        return "\\" + char
    if char in _SHORT:
        return _SHORT[char]
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if 0xD800 <= code <= 0xDFFF:
        return "\\ufffd"
    if char.isprintable() and (code < 0x80 or not ascii_only):
        return char
    if code < 0x20 or code == 0x7F:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def can_backquote(text: str) -> bool:
    """Whether a text can stand between backquotes on one line."""
    return not any(c in "`\x7f\ufeff" or (c < " " and c != "\t") or "\ud800" <= c <= "\udfff" for c in text)
