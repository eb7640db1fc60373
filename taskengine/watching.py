"""Puts together what watches images for a service: what is asked of registries and how often, with which logins, and
the door at which registries tell of pushes.

Used by `serving`; must not know what a change leads to.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from taskengine.givensecret import given_secret
from taskengine.service.duty import Duty

if TYPE_CHECKING:
    from fastapi import FastAPI

    from taskengine.context.model import Fetched
    from taskengine.context.source import UrlLogin
    from taskengine.registry.auth import Login
    from taskengine.registry.client import RegistryClient
    from taskengine.service.services import Services
    from taskengine.service.settings import ServerSettings
    from taskengine.wiring import Settings
    from triggers.refusals import Refusals
    from triggers.watchplan import Rules


#: a token for the registries' hook that is given from outside, in place of one that is made and kept here
HOOK_TOKEN = "ACR_TASK_REGISTRY_HOOK_TOKEN"  # noqa: S105 - the name of a variable


class Watching:
    """`duties` are for as long as the service runs. `stop` lets what is under way end at once, `close` gives back what
    is held; in this order, with the duties' end in between. `count` is told the result of each check of an image."""

    def __init__(self, services: Services, using: Settings, *, count: Callable[[str], None] = lambda _: None) -> None:
        from taskengine import wiring
        from taskengine.runner import Cancel
        from taskengine.service.watches import TOPIC
        from triggers.imagelogins import TaskLogins
        from triggers.imagewatch import ImageWatch
        from triggers.taskscan import TaskScan

        self._services = services
        self._using = replace(using, data_dir=services.data)
        self._stopped = Cancel()
        self._given = given_secret(using.environ, HOOK_TOKEN)
        self._client = wiring.registry_client(using)
        self._logins = TaskLogins(services, self._connect)
        ours = self._client.bound(cancel=self._stopped)
        self._watch = ImageWatch(services, ours, rules_of(services.settings), others=self._logins, count=count)
        scan = TaskScan(services, self._fetch if services.settings.scan_contexts else None)
        self.duties = (
            Duty("task images", 0.5, scan.tick, topic="task images"),  # at once again while there is more to look at
            Duty("images", 0.5, self._watch.tick, first=1.0, topic=TOPIC),
        )

    def stop(self) -> None:
        self._stopped.set("the service is being stopped")
        self._watch.stop()

    def close(self) -> None:
        self._watch.close()
        self._logins.close()
        self._client.close()

    def take_notifications(self, app: FastAPI, refusals: Refusals | None = None) -> None:
        """Adds `/hooks/registry/PRODUCT`, where registries tell of pushes. The answer is 202 when that is kept, and
        what was pushed will be asked about at once; 200 when it was told before, or is about no push. To be
        called after `take_deliveries`."""
        from fastapi import Request
        from fastapi.responses import JSONResponse
        from starlette.concurrency import run_in_threadpool

        from taskengine.service.api.limit import Intake
        from triggers.registryhook import RegistryHook

        intake = Intake()
        hook = RegistryHook(self._services, given=self._given, refusals=refusals)

        async def deliver(request: Request) -> JSONResponse:
            query = request.query_params
            async with intake.body(request.stream()) as body:
                found = await run_in_threadpool(
                    hook.receive, request.path_params["product"], dict(request.headers), body,
                    token=query.get("token", ""), registry=query.get("registry", ""),
                )  # fmt: skip
            return JSONResponse(
                {"event": found.event or None, "new": found.new}, status_code=202 if found.new else 200
            )  # fmt: skip

        app.add_route("/hooks/registry/{product}", deliver, methods=["POST"], include_in_schema=False)
        app.router.routes.insert(0, app.router.routes.pop())  # before that of forges, whose address would fit it, too

    def _connect(self, host: str, login: Login) -> RegistryClient:
        from taskengine import wiring
        from taskengine.registry.auth import Logins
        from taskengine.registry.client import RegistryClient
        from taskengine.registry.limits import Limits

        logins = Logins().giving({host: login})
        return RegistryClient(logins, wiring.registries(self._using), limits=Limits(cancel=self._stopped))

    @contextlib.contextmanager
    def _fetch(self, name: str, logins: Mapping[str, UrlLogin], address: str) -> Iterator[Fetched]:
        from taskengine import wiring

        contexts = wiring.contexts_for(name, self._using, files=False, logins=logins)
        with contextlib.closing(contexts):
            yield contexts.fetch(address, stop=self._stopped)


def rules_of(settings: ServerSettings) -> Rules:
    """How often the images of which registry are asked about."""
    from triggers.watchplan import Pace, Rules

    told = timedelta(seconds=settings.image_poll_told_seconds)

    def pace(shortest: int, longest: int) -> Pace:
        return Pace(
            shortest=timedelta(seconds=shortest), longest=timedelta(seconds=max(shortest, longest)), told=told
        )  # fmt: skip

    own = settings.registry.partition("/")[0]
    of_own = pace(settings.image_poll_own_seconds, settings.image_poll_own_longest_seconds)
    return Rules(
        usual=pace(settings.image_poll_seconds, settings.image_poll_longest_seconds),
        paces={own: of_own} if own else {},
        reserve=settings.image_poll_reserve_percent / 100,
    )
