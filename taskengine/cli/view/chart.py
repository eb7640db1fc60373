"""Draws a run over time: a bar for each step, from its start to its end, so that what ran beside what can be seen.

Pure: a record in, text out.
"""

from __future__ import annotations

from datetime import datetime

from taskengine.runs.model import RunRecord, StepRecord

WIDTH = 30


def bars(record: RunRecord, *, unicode: bool, width: int = WIDTH) -> dict[str, str]:
    """The bar of every step that ran, `width` characters for the time from the first start to the last end."""
    ran = [s for s in record.steps if s.started is not None and s.finished is not None]
    if not ran:
        return {}
    begin = min(s.started for s in ran if s.started is not None)
    end = max(s.finished for s in ran if s.finished is not None)
    total = max((end - begin).total_seconds(), 1e-9)
    return {s.id: _bar(s, begin, total / width, width, unicode=unicode) for s in ran}


def _bar(step: StepRecord, begin: datetime, unit: float, width: int, *, unicode: bool) -> str:
    if step.started is None or step.finished is None:
        return ""
    first = min(width - 1, int((step.started - begin).total_seconds() / unit))
    last = min(width, max(first + 1, round((step.finished - begin).total_seconds() / unit)))
    empty, full = ("·", "█") if unicode else (".", "#")
    return empty * first + full * (last - first) + empty * (width - last)
