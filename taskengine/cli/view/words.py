"""Small words for people: durations, sizes, counts. Pure."""

from __future__ import annotations

from collections.abc import Sequence


def seconds(value: float) -> str:
    """0.4s, 12.3s, 1m05s, 2h03m."""
    if value < 59.95:
        return f"{max(value, 0.0):.1f}s"
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02}m"


def size(value: float) -> str:
    """17 B, 1.2 kB, 3.4 MB: powers of ten, as Docker writes them."""
    for unit in ("B", "kB", "MB"):
        if value < 999.5:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def count(number: int, what: str) -> str:
    """1 step, 2 steps."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def listing(items: Sequence[str], limit: int = 3) -> str:
    """a, b, c and 4 more."""
    shown = ", ".join(items[:limit])
    return f"{shown} and {len(items) - limit} more" if len(items) > limit else shown


def table(rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> list[str]:
    """Columns two blanks apart; those named in `right` are set flush right; no blanks at a line's end."""
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))] if rows else []
    lines = []
    for row in rows:
        cells = [cell.rjust(w) if n in right else cell.ljust(w) for n, (cell, w) in enumerate(zip(row, widths))]  # noqa: B905 - rows are our own
        lines.append("  ".join(cells).rstrip())
    return lines
