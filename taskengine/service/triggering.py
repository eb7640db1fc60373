"""What the API asks of the triggers, which it does not know: handed in when the service is put together. Types only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from datetime import datetime

    from taskengine.service.caller import Caller
    from taskengine.service.services import Services


@dataclass(frozen=True, kw_only=True, slots=True)
class Push:
    """A push that is imagined. `ref` is a branch, `refs/tags/...` or a pull request's; `into` is the branch that this
    one wants to go into. `paths` are the changed files, None for not known."""

    repository: str
    ref: str
    commit: str = ""
    into: str = ""
    author: str = ""
    message: str = ""
    paths: tuple[str, ...] | None = None
    is_fork: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """What would happen if: exactly one of them is there. `image` may name a digest; without one it is something new
    for every platform."""

    image: str | None = None
    push: Push | None = None
    at: datetime | None = None


class Triggering(Protocol):
    """Questions and orders that only the triggers understand."""

    def approve(self, services: Services, caller: Caller, number: int) -> object:
        """Start what waits for a person. Raises NotFound, InvalidInput, and Conflict for what waits for nobody."""

    def refuse(self, services: Services, caller: Caller, number: int, *, reason: str) -> object:
        """Never start it. Raises NotFound, and Conflict for what waits for nobody."""

    def explain(self, services: Services, caller: Caller, run: str) -> dict[str, Any]:
        """Why a run was queued, as the API shows it. Raises NotFound."""

    def sources(self, services: Services, caller: Caller, task: str) -> list[dict[str, Any]]:
        """How it goes with a task's source triggers. Raises NotFound."""

    def retry_sources(self, services: Services, caller: Caller, task: str) -> list[dict[str, Any]]:
        """Try again at once what went wrong with them. Raises NotFound."""

    def graph(self, services: Services, caller: Caller) -> dict[str, Any]:
        """What each task that the caller may see makes, and what it stands on, as the API shows it."""

    def simulate(self, services: Services, caller: Caller, question: Question) -> dict[str, Any]:
        """What would happen, as the API shows it; nothing is done. Raises InvalidInput."""
