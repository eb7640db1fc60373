"""When an engine started which container: its own words, with its own clock, and so nothing of ours is believed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from runners.docker.sweep import RUN_LABEL, STEP_LABEL


@dataclass(frozen=True, kw_only=True)
class Start:
    """`at` is in seconds since 1970. `run` is the run's key (its name and attempt); `step` is empty for a container
    that carries out no step (a sandbox)."""

    run: str
    step: str
    at: float


class Starts:
    """Listens from when it is entered. `api` is the engine's client, and nobody else uses it meanwhile."""

    def __init__(self, api: Any) -> None:
        self._events = api.events(decode=True, filters={"type": "container", "event": "start"})
        self._found: list[Start] = []
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._listen, name="starts", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._events.close()

    def _listen(self) -> None:
        for event in self._events:
            labels = event["Actor"]["Attributes"]
            if RUN_LABEL not in labels:
                continue
            found = Start(run=labels[RUN_LABEL], step=labels.get(STEP_LABEL, ""), at=event["timeNano"] / 1e9)
            with self._changed:
                self._found.append(found)
                self._changed.notify_all()

    def first(self, run: str, seconds: float = 60) -> Start:
        """The first start of a step's container in any attempt of a run. Raises TimeoutError."""
        return self._wait(lambda one: one.run.rpartition("-")[0] == run, seconds, f"of run {run}")

    def next(self, since: float, seconds: float = 60) -> Start:
        """The first start of a step's container after a moment. Raises TimeoutError."""
        return self._wait(lambda one: one.at > since, seconds, "of any run")

    def _wait(self, wanted: Callable[[Start], bool], seconds: float, what: str) -> Start:
        found: list[Start] = []

        def there() -> bool:
            found[:] = [one for one in self._found if one.step and wanted(one)]
            return bool(found)

        with self._changed:
            if not self._changed.wait_for(there, seconds):
                raise TimeoutError(f"no container {what} was started")
        return found[0]
