"""Puts together what watches images for a service: which contexts may be fetched to be read, and with which logins.

Used by `serving`; must not know the web server.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from taskengine.service.duty import Duty

if TYPE_CHECKING:
    from taskengine.context.model import Fetched
    from taskengine.context.source import UrlLogin
    from taskengine.service.services import Services
    from taskengine.wiring import Settings


class Watching:
    """`duties` are for as long as the service runs. `stop` lets what is under way end at once, `close` gives back what
    is held; in this order, with the duties' end in between."""

    def __init__(self, services: Services, using: Settings) -> None:
        from taskengine.runner import Cancel
        from triggers.taskscan import TaskScan

        self._using = replace(using, data_dir=services.data)
        self._stopped = Cancel()
        scan = TaskScan(services, self._fetch if services.settings.scan_contexts else None)
        self.duties = (Duty("task images", 0.5, scan.tick),)

    def stop(self) -> None:
        self._stopped.set("the service is being stopped")

    def close(self) -> None:
        pass

    @contextlib.contextmanager
    def _fetch(self, name: str, logins: Mapping[str, UrlLogin], address: str) -> Iterator[Fetched]:
        from taskengine import wiring

        contexts = wiring.contexts_for(name, self._using, files=False, logins=logins)
        with contextlib.closing(contexts):
            yield contexts.fetch(address, stop=self._stopped)
