"""What the API asks of the triggers, which it does not know: handed in when the service is put together. Types only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from taskengine.service.caller import Caller
    from taskengine.service.services import Services


class Triggering(Protocol):
    """Questions and orders that only the triggers understand."""

    def approve(self, services: Services, caller: Caller, number: int) -> object:
        """Start what waits for a person. Raises NotFound, InvalidInput, and Conflict for what waits for nobody."""

    def refuse(self, services: Services, caller: Caller, number: int, *, reason: str) -> object:
        """Never start it. Raises NotFound, and Conflict for what waits for nobody."""

    def explain(self, services: Services, caller: Caller, run: str) -> dict[str, Any]:
        """Why a run was queued, as the API shows it. Raises NotFound."""

    def graph(self, services: Services, caller: Caller) -> dict[str, Any]:
        """What each task that the caller may see makes, and what it stands on, as the API shows it."""
