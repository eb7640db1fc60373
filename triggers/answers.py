"""What the service's API asks of the triggers, in one object: it is handed to the service when that is put together."""

from __future__ import annotations

from typing import Any

from taskengine.service.caller import Caller
from taskengine.service.services import Services
from taskengine.service.triggering import Question
from triggers import approval, explain, sources, storedgraph
from triggers.simulate import Look, simulate


class Answers:
    """`taskengine/service/triggering.py` says what each is for. `look` asks registries; without it nobody does."""

    def __init__(self, look: Look | None = None) -> None:
        self._look = look

    def approve(self, services: Services, caller: Caller, number: int) -> None:
        approval.approve(services, caller, number)

    def sources(self, services: Services, caller: Caller, task: str) -> list[dict[str, Any]]:
        return sources.sources(services, caller, task)

    def retry_sources(self, services: Services, caller: Caller, task: str) -> list[dict[str, Any]]:
        return sources.retry(services, caller, task)

    def refuse(self, services: Services, caller: Caller, number: int, *, reason: str) -> None:
        approval.refuse(services, caller, number, reason=reason)

    def explain(self, services: Services, caller: Caller, run: str) -> dict[str, Any]:
        return explain.explain(services, caller, run)

    def graph(self, services: Services, caller: Caller) -> dict[str, Any]:
        return storedgraph.document(services, caller)

    def simulate(self, services: Services, caller: Caller, question: Question) -> dict[str, Any]:
        return simulate(services, caller, question, self._look)
