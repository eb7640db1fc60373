"""What the terminal is and can do, read from it and from the environment's conventions (NO_COLOR, TERM)."""

from __future__ import annotations

import os
import shutil
import sys

from taskengine.cli.view.tree import Look


def is_live() -> bool:
    """Whether a person watches a terminal that can move its cursor."""
    if os.environ.get("TERM", "") in ("", "dumb", "unknown"):
        return False
    return _is_tty(sys.stdout) and _is_tty(sys.stderr)


def look(*, no_color: bool) -> Look:
    encoding = (getattr(sys.stdout, "encoding", "") or "").lower().replace("-", "")
    return Look(colour=not no_color and not os.environ.get("NO_COLOR"), unicode=encoding.startswith("utf8"))


def size() -> tuple[int, int]:
    """Columns and lines, asked anew each time: terminals are resized."""
    try:
        columns, lines = os.get_terminal_size(sys.stdout.fileno())
    except (OSError, ValueError):
        columns, lines = shutil.get_terminal_size()
    return columns or 80, lines or 24


def _is_tty(stream: object) -> bool:
    try:
        return bool(stream.isatty())  # type: ignore[attr-defined]
    except (AttributeError, ValueError):
        return False
