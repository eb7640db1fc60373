"""The web server: the application on one or two sockets, in a thread with an event loop of its own.

Two, where the worker of this process needs a door of its own: the public one may show a certificate that names the
service for others. Must not know signals, workers or drains.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from taskengine.errors import InvalidInput, RunnerError

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI

_BACKLOG = 2048
#: seconds for answers that are under way when everything else has ended
LAST_ANSWERS = 5


def listen(host: str, port: int) -> socket.socket:
    """A socket that is bound; a port that is in use is told at once. Raises InvalidInput for what is no address of this
    machine, and for a port that cannot be had."""
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise InvalidInput(
            f"'{host}' is no address to listen on", hint="--host 127.0.0.1, or 0.0.0.0 for all"
        ) from error
    family, kind, protocol, _, address = found[0]
    # with its protocol, for then asyncio sends small answers at once (TCP_NODELAY) and not 40 ms later
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        raise InvalidInput(
            f"port {port} on {host} cannot be used: {(error.strerror or str(error)).lower()}",
            hint="another program may listen there; choose another with --port",
        ) from error
    return sock


class Web:
    """Serves while it is entered. Raises InvalidInput for a certificate that is none. `on_death` is called, in another
    thread, when it ends though nobody left it; `died` says then why."""

    def __init__(self, app: FastAPI, *, trusted_proxies: str = "", on_death: Callable[[], None] = lambda: None) -> None:
        self._app = app
        self._trusted = trusted_proxies
        self._on_death = on_death
        self._leaving = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._servers: list[tuple[uvicorn.Server, socket.socket]] = []
        self._up = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)

    def add(self, sock: socket.socket, *, certificate: str = "", key: str = "") -> None:
        """Serve there too; before it begins."""
        import uvicorn

        config = uvicorn.Config(
            self._app,
            log_config=None,
            access_log=False,
            lifespan="off",
            http="h11",
            ws="none",
            server_header=False,
            backlog=_BACKLOG,
            proxy_headers=bool(self._trusted),
            forwarded_allow_ips=self._trusted,
            timeout_graceful_shutdown=LAST_ANSWERS,
            h11_max_incomplete_event_size=1 << 16,
            ssl_certfile=certificate or None,
            ssl_keyfile=key or None,
        )
        try:
            config.load()
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise InvalidInput(
                f"the certificate {Path(certificate).name} or its key cannot be used: {error}",
                hint="both are PEM files, and belong together: --tls-cert, --tls-key",
            ) from error
        self._servers.append((uvicorn.Server(config), sock))

    def __enter__(self) -> Self:
        self._thread.start()
        self._up.wait()
        if self._failure is not None:
            raise RunnerError(f"the web server did not start: {self._failure}") from self._failure
        return self

    def __exit__(self, *_: object) -> None:
        self._leaving = True
        for server, _sock in self._servers:
            server.should_exit = True
        self._thread.join(timeout=LAST_ANSWERS + 10)

    @property
    def died(self) -> str:
        """Why it ended by itself; empty as long as it has not."""
        return "" if self._failure is None else str(self._failure) or type(self._failure).__name__

    def answers(self, seconds: float = 10.0) -> bool:
        """Whether its event loop still gets round to things within so many seconds."""
        answered = threading.Event()
        try:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(answered.set)
        except RuntimeError:  # the loop is closed
            return False
        return answered.wait(seconds)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
            if not self._leaving:
                raise RuntimeError("it ended")  # noqa: TRY301 - one place tells of every end
        except BaseException as error:  # noqa: BLE001 - told by the thread that waits
            self._failure = error
        finally:
            began = self._up.is_set()
            self._up.set()
            if self._failure is not None and began:
                self._on_death()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        tasks: list[asyncio.Task[Any]] = [
            asyncio.create_task(server.serve(sockets=[sock])) for server, sock in self._servers
        ]
        while not all(server.started for server, _ in self._servers) and not any(task.done() for task in tasks):  # noqa: ASYNC110
            await asyncio.sleep(0.005)  # uvicorn has no other way of saying so
        if any(task.done() for task in tasks):
            for server, _ in self._servers:
                server.should_exit = True
            with contextlib.suppress(SystemExit):
                await asyncio.gather(*tasks)
            raise RuntimeError("it ended at once")
        self._up.set()
        await asyncio.gather(*tasks)
