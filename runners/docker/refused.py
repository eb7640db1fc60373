"""What a call to the engine may raise, whichever client makes it: our own for this machine's engine, or docker-py.

docker-py takes longer to load than a cached build takes, so nobody imports its errors to catch them: where it is not
loaded it has raised nothing. An `except` asks these functions, and only once something was raised.
"""

from __future__ import annotations

import sys

Errors = tuple[type[Exception], ...]


class Refused(OSError):
    """The engine answered with an error. `explanation` is its own sentence."""

    def __init__(self, status_code: int, explanation: str) -> None:
        super().__init__(f"the engine answered {status_code}: {explanation}")
        self.status_code = status_code
        self.explanation = explanation


class NotThere(Refused):
    """404: no such container, image, network or volume."""


def refused() -> Errors:
    """The engine answered, and said no. Both kinds have `explanation` and `status_code`."""
    return (Refused, *_of_library("APIError"))


def not_there() -> Errors:
    """What was named does not exist."""
    return (NotThere, *_of_library("NotFound"))


def failed(*others: type[Exception]) -> Errors:
    """The engine said no, or could not be asked; and these others."""
    return (OSError, *_of_library("DockerException"), *others)


def _of_library(name: str) -> Errors:
    errors = sys.modules.get("docker.errors")
    return () if errors is None else (getattr(errors, name),)
