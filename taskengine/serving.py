"""Puts a service together and runs it: database, API, duties, and the worker of this process.

The one module that knows the service, its web server and the embedded worker; used by `acr-task serve`.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from taskengine.errors import InvalidInput

if TYPE_CHECKING:
    from taskengine.service.services import Services
    from taskengine.wiring import Settings
    from taskengine.workerparts import EmbeddedWorker

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """What the service is told when it is started. `data` is its own folder, for its owner only. `database` is a URL,
    empty for SQLite in that folder. `port` 0 takes a free one. `capacity` are the runs that the embedded worker takes
    at once, 0 for no worker here."""

    host: str = "127.0.0.1"
    port: int = 8080
    data: Path
    database: str = ""
    registry: str = ""
    capacity: int = 2
    worker_name: str = "embedded"
    tls_cert: str = ""
    tls_key: str = ""
    admin_token: str = field(default="", repr=False)
    settings_file: str = ""
    grace: int | None = None


def serve(options: ServeOptions, using: Settings, say: Say) -> int:
    """Serve until SIGTERM or SIGINT. Runs that are not over within the grace go on by themselves; the next start goes
    on with them. Raises InvalidInput or Unreachable when it cannot begin."""
    import uvicorn

    from taskengine.service.api.app import make_app
    from taskengine.service.duty import Duties

    _check_tls(options)
    options.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.closing(_listen(options)) as listening, contextlib.closing(_services(options, using)) as services:
        address = _address(options, listening)
        _first_token(services, options, address, say)
        server = uvicorn.Server(
            uvicorn.Config(
                make_app(services), log_config=None, access_log=False, lifespan="off", server_header=False,
                ssl_certfile=options.tls_cert or None, ssl_keyfile=options.tls_key or None, http="h11",
                timeout_graceful_shutdown=5,
            )
        )  # fmt: skip
        said = _Signals(server, services, say)
        worker = _worker(options, services, using, address, say)
        grace = services.settings.drain_seconds if options.grace is None else options.grace
        with said, Duties(services):
            say(f"serving {address} (API below /api/v1); data in {options.data}")
            if worker is not None:
                worker.start()
            web = threading.Thread(target=lambda: server.run(sockets=[listening]), name="web", daemon=True)
            web.start()
            said.asked.wait()
            services.draining = True
            if worker is not None:
                _settle(worker, grace, said.hurried, say)
            services.bell.close()  # lets go of all who wait and follow
            server.should_exit = True
            web.join(timeout=15)
    return 0


class _Signals:
    """The first signal drains, the second does not wait."""

    def __init__(self, server: Any, services: Services, say: Say) -> None:
        self._server, self._services, self._say = server, services, say
        self.asked, self.hurried = threading.Event(), threading.Event()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, *_: object) -> None:
        if self.asked.is_set():
            self.hurried.set()
        self.asked.set()


def _settle(worker: EmbeddedWorker, grace: float, hurried: threading.Event, say: Say) -> None:
    """Wait for what runs, for so many seconds, or until somebody is in a hurry."""
    over = worker.drain(0)
    left = grace
    while not over and left > 0 and not hurried.wait(min(0.5, left)):
        left -= 0.5
        over = worker.drain(0)
    if not over:
        say("leaving what runs to the next start")
        worker.leave()


def _services(options: ServeOptions, using: Settings) -> Services:
    from dataclasses import replace

    from taskengine.ambient import Ambient
    from taskengine.service.bell import Bell
    from taskengine.service.services import Services
    from taskengine.service.settings import read_settings
    from taskengine.service.store.database import Database
    from taskengine.service.store.feeds import Feeds
    from taskengine.service.store.secrets import SecretBox
    from taskengine.service.store.uploads import UploadFolder

    given = Path(options.settings_file) if options.settings_file else options.data / "settings.yaml"
    settings = read_settings(given, required=bool(options.settings_file))
    if options.registry:
        settings = replace(settings, registry=options.registry)
    box = SecretBox.open(options.data / "secret.key", given=using.environ.get("ACR_TASK_SECRET_KEY"))
    database = Database.open(options.database or f"sqlite:///{options.data / 'service.db'}")
    ambient, bell = Ambient.system(), Bell()
    feeds = Feeds(database, options.data / "runs", bell)
    services = Services(
        database=database, box=box, feeds=feeds, uploads=UploadFolder(database, options.data / "uploads"),
        data=options.data, ambient=ambient, settings=settings, bell=bell,
    )  # fmt: skip
    try:
        feeds.recover(now=ambient.now())
    except BaseException:
        services.close()
        raise
    return services


def _first_token(services: Services, options: ServeOptions, address: str, say: Say) -> None:
    from taskengine.service.store import tokens

    def work(conn: Any) -> str | None:
        return tokens.first_admin(conn, now=services.now(), given=options.admin_token or None)

    made = services.database.transact(work)
    if made is not None and not options.admin_token:
        say(f"the first admin token, shown this once: {made}")
        say(f"use it with: acr-task login {address}")


def _worker(
    options: ServeOptions, services: Services, using: Settings, address: str, say: Say
) -> EmbeddedWorker | None:
    """The worker of this process, with a token that lives as long as the process."""
    if not options.capacity:
        return None
    from dataclasses import replace

    from taskengine.service.model import Role
    from taskengine.service.store import tokens
    from taskengine.workerparts import WorkerOptions, embedded_worker

    name = f"embedded worker {options.worker_name}"

    def work(conn: Any) -> str:
        for old in tokens.list_all(conn):
            if old.name == name and old.role is Role.WORKER:
                tokens.revoke(conn, old.id, now=services.now())
        return tokens.create(conn, name=name, role=Role.WORKER, now=services.now())[1]

    return embedded_worker(
        WorkerOptions(
            url=address,
            token=services.database.transact(work),
            name=options.worker_name,
            capacity=options.capacity,
            ca_file=options.tls_cert,
        ),
        replace(using, data_dir=options.data),
        lambda text: say(f"worker: {text}"),
    )


def _listen(options: ServeOptions) -> socket.socket:
    """The socket, taken before anything else: a port that is in use is told at once."""
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((options.host, options.port))
    except OSError as error:
        found.close()
        raise InvalidInput(
            f"cannot listen on {options.host}:{options.port}: {(error.strerror or str(error)).lower()}",
            hint="choose another with --host and --port",
        ) from error
    return found


def _address(options: ServeOptions, listening: socket.socket) -> str:
    """How this process reaches itself, and its log names it."""
    scheme = "https" if options.tls_cert else "http"
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(options.host, options.host)  # noqa: S104 - the other way round
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    return f"{scheme}://{host}:{listening.getsockname()[1]}"


def _check_tls(options: ServeOptions) -> None:
    if bool(options.tls_cert) != bool(options.tls_key):
        raise InvalidInput("TLS needs both a certificate and its key", hint="give --tls-cert and --tls-key")
    for name in (options.tls_cert, options.tls_key):
        if name and not Path(name).is_file():
            raise InvalidInput(f"{name} is no file", hint="correct --tls-cert and --tls-key")
    if not options.tls_cert and not _is_loopback(options.host):
        print(
            f"warning: tokens and logs travel in clear text to {options.host}; use --tls-cert and --tls-key, or a "
            "proxy that speaks TLS",
            file=sys.stderr,
        )


def _is_loopback(host: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
