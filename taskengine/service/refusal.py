"""Why the service says no, beyond what errors.py has: plain errors that know no HTTP; api/problem.py numbers them."""

from __future__ import annotations

from taskengine.errors import InvalidInput


class Unauthorized(InvalidInput):
    """Nobody knows who calls."""


class Forbidden(InvalidInput):
    """Who calls may not do this."""


class TooLarge(InvalidInput):
    """More bytes than the service takes."""


class TooOften(InvalidInput):
    """The caller has to wait. `seconds` says how long."""

    def __init__(self, message: str, *, seconds: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.seconds = seconds
