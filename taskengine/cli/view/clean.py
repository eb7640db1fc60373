"""What of a step's output may reach a terminal: its text and its colours, nothing that moves the cursor, names the
window, writes the clipboard or rings. In a pipe the bytes stay as they are; this is for terminals only."""

from __future__ import annotations

import re

from taskengine.lightpattern import pattern

#: every byte that is harmless on a terminal: line ends, tabs, printable ASCII, and UTF-8 beyond it
_HARMLESS = bytes({9, 10} | set(range(32, 127)) | set(range(128, 256)))

_SEQUENCE = pattern(
    r"""
      \x1b\[ (?P<sgr>[0-9;:]*) m                      # colours: kept
    | (?:\x1b\[|\x9b) [0-?]* [ -/]* (?:[@-~]|$)       # every other control sequence
    | (?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f]) [^\x07\x1b\x9c]* (?:\x07|\x1b\\|\x9c|$)  # titles, links, clipboard
    | \x1b [ -/]* (?:[0-~]|$)                         # short escapes
    | [\x00-\x08\x0b-\x1f\x7f-\x9f]                   # all other controls
    """,
    re.VERBOSE,
)


_COLOURS = pattern(rb"\x1b\[[0-9;:]*m")
#: from a line's first colour to its end, where colours are taken back
_COLOURED = pattern(_COLOURS.pattern + rb"[^\n]*")


def is_harmless(data: bytes) -> bool:
    """Whether there is nothing to take out: the answer for nearly all output, found at the speed of C.

    C1 controls (U+0080 to U+009F) are C2 80 to C2 9F in UTF-8.
    """
    if data.translate(None, _HARMLESS):
        return False
    at = data.find(b"\xc2")
    while at >= 0:
        if data[at + 1 : at + 2] < b"\xa0":
            return False
        at = data.find(b"\xc2", at + 1)
    return True


def terminal_lines(data: bytes, *, colour: bool) -> bytes:
    """Many lines, safe for a terminal, each with its newline: as `terminal_text` does it, at the speed of C for lines
    that hold nothing but text and colours."""
    if is_harmless(data):
        return data
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
    bare = _COLOURS.sub(b"", data)
    if is_harmless(bare):
        return _COLOURED.sub(b"\\g<0>\x1b[0m", data) if colour else bare
    lines = data[:-1].decode("utf-8", "replace").split("\n")
    return "\n".join(terminal_text(line, colour=colour) for line in lines).encode("utf-8", "replace") + b"\n"


def terminal_text(line: str, *, colour: bool) -> str:
    """One line, safe for a terminal. Of a line that rewrites itself with carriage returns the last state counts."""
    if "\r" in line:
        parts = [part for part in line.split("\r") if part]
        line = parts[-1] if parts else ""
    coloured = False

    def keep(match: re.Match[str]) -> str:
        nonlocal coloured
        if colour and match["sgr"] is not None:
            coloured = True
            return match[0]
        return ""

    text = _SEQUENCE.sub(keep, line)
    return text + "\x1b[0m" if coloured else text


def plain_text(line: str) -> str:
    """One line without any control sequence, tabs as blanks: for a place where every column counts."""
    return terminal_text(line, colour=False).replace("\t", "  ")
