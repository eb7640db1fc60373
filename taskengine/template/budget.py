"""What functions see of the rendering they run in: the time, and a budget that stops endless or huge work.

Must not know which functions there are."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from taskengine.template.result import Limits


class OverBudget(Exception):
    """The rendering wants to do more than its limits allow."""


class FunctionError(Exception):
    """A function refuses its arguments."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Env:
    """One rendering's clock and budget."""

    __slots__ = ("_chars", "_clock", "_now", "operations")

    def __init__(self, limits: Limits, clock: Callable[[], datetime]) -> None:
        self.operations = limits.operations
        self._chars = limits.output_chars // 4
        self._clock = clock
        self._now: datetime | None = None

    @property
    def now(self) -> datetime:
        """The same instant for the whole rendering."""
        if self._now is None:
            self._now = self._clock()
        return self._now

    def spend(self, operations: int) -> None:
        self.operations -= operations
        if self.operations < 0:
            raise OverBudget("the template does too much work")

    def grow(self, chars: int) -> None:
        """Ask before building a text or list of this size."""
        self._chars -= chars
        if self._chars < 0:
            raise OverBudget("the template builds texts or lists that are too large")

    def grow_list(self, items: int) -> None:
        """An element is counted like a short text, for that is what it costs."""
        self.spend(items >> 3)
        self.grow(items * 16)
