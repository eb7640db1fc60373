"""What is looked at before any route: the size of a body, and how long each request took. Plain ASGI, no copies."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

from taskengine.errors import Unreachable
from taskengine.service.api.problem import of_error
from taskengine.service.refusal import TooLarge

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class BodyLimit:
    """Refuses a body of more than `most` bytes: at once when it says so, else when it comes. `larger` says how many
    bytes a path may have instead, None for the usual."""

    def __init__(self, app: App, *, most: int, larger: Callable[[str, str], int | None]) -> None:
        self._app = app
        self._most = most
        self._larger = larger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = self._larger(scope["method"], scope["path"]) or self._most
        error = TooLarge(f"the body is larger than the {most} bytes that are taken here", hint="send less at once")
        length = dict(scope["headers"]).get(b"content-length", b"")
        if length.isdigit() and int(length) > most:
            await of_error(error)(scope, receive, send)
            return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            if message["type"] == "http.request":
                seen += len(message.get("body", b""))
                if seen > most:
                    raise error
            return message

        await self._app(scope, counted, send)


class Intake:
    """Reads the bodies of callers whom nobody has checked yet. What is more than `small` bytes of each shares `most`
    bytes of memory, until its caller is answered, so that strangers cannot fill it; each body has to be there within
    `seconds`."""

    def __init__(self, *, small: int = 64 << 10, most: int = 128 << 20, seconds: float = 60.0) -> None:
        self._small = small
        self._left = most
        self._seconds = seconds

    @asynccontextmanager
    async def body(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Raises Unreachable when it takes too long, or there is no room for it now."""
        found = bytearray()
        taken = 0
        try:
            async with asyncio.timeout(self._seconds):
                async for chunk in chunks:
                    found += chunk
                    need = max(0, len(found) - self._small) - taken
                    if need > self._left:
                        raise Unreachable("too much is being sent here at once", hint="send it again later")
                    self._left -= need
                    taken += need
            yield bytes(found)
        except TimeoutError:
            raise Unreachable(f"the body was not there within {self._seconds:g} s", hint="send it again") from None
        finally:
            self._left += taken


class Watched:
    """Tells `observe` of each request: method, route as it is written, status, seconds until the answer began."""

    def __init__(self, app: App, *, observe: Callable[[str, str, int, float], None]) -> None:
        self._app = app
        self._observe = observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.monotonic()

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = scope.get("route")
                path = getattr(route, "path", "") or "other"
                self._observe(scope["method"], path, int(message["status"]), time.monotonic() - begun)
            await send(message)

        await self._app(scope, receive, watched)
