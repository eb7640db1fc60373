"""Puts a service together and runs it: database, API, duties, triggers, and the worker of this process.

The one module that knows the service, its web server, the triggers and the embedded worker; used by `acr-task serve`.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Callable
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from taskengine.errors import InvalidInput, RunnerError
from taskengine.givensecret import given_secret
from taskengine.lightclass import dataclass
from taskengine.supervisor import Supervisor

if TYPE_CHECKING:
    from fastapi import FastAPI

    from taskengine.service.services import Services
    from taskengine.wiring import Settings
    from taskengine.workerparts import EmbeddedWorker
    from triggers.refusals import Refusals

Say = Callable[[str], None]
#: seconds until a signal is heard at the latest
_TURN = 0.5
#: seconds for what comes after the grace: the worker's and the web server's last answers, and duties that end
_LAST_THINGS = 60


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
    public_url: str = ""
    capacity: int = 2
    worker_name: str = "embedded"
    tls_cert: str = ""
    tls_key: str = ""
    admin_token: str = field(default="", repr=False)
    settings_file: str = ""
    grace: int | None = None


def serve(options: ServeOptions, using: Settings, say: Say) -> int:
    """Serve until SIGTERM or SIGINT. Runs that are not over within the grace go on by themselves; the next start goes
    on with them. Raises InvalidInput or Unreachable when it cannot begin, RunnerError when the web server broke."""
    from taskengine import wiring
    from taskengine.context.access import access_of
    from taskengine.service.api.app import make_app
    from taskengine.service.duty import Duties, Duty
    from taskengine.service.store.signals import QUEUE
    from taskengine.service.web import Web, listen
    from taskengine.watching import Watching
    from triggers.answers import Answers
    from triggers.commitstatus import CommitStatuses
    from triggers.forgehooks import ForgeHooks
    from triggers.gitpoll import GitPoller
    from triggers.intake import TOPIC
    from triggers.looking import Looking
    from triggers.processor import process_due
    from triggers.refusals import Refusals
    from triggers.timers import Timers
    from triggers.wavekeeper import keep

    supervisor = Supervisor.of(using.environ)
    _check_tls(options, say)
    _make_folder(options.data)
    with contextlib.ExitStack() as stack:
        public = stack.enter_context(contextlib.closing(listen(options.host, options.port)))
        services = stack.enter_context(contextlib.closing(_services(options, using)))
        look = stack.enter_context(contextlib.closing(Looking(lambda: wiring.registry_client(using))))
        services.triggers = Answers(look)
        _reseal(services, say)
        app = make_app(services)
        refusals = Refusals(services)
        watching = stack.enter_context(contextlib.closing(Watching(services, using, count=app.state.metrics.checked)))
        take_deliveries(app, services, refusals)
        watching.take_notifications(app, refusals)
        said = _Signals()
        web = Web(app, trusted_proxies=services.settings.trusted_proxies, on_death=said.asked.set)
        web.add(public, certificate=options.tls_cert, key=options.tls_key)
        address = inner = _address(options, public)
        if options.capacity and (options.tls_cert or not _is_loopback(options.host)):
            # the certificate names the service for others, and its address may be filtered here: the worker of this
            # process has a door of its own, which nobody else reaches
            private = stack.enter_context(contextlib.closing(listen("127.0.0.1", 0)))
            web.add(private)
            inner = f"http://127.0.0.1:{private.getsockname()[1]}"
        _first_token(services, options, address, say)
        worker = _worker(options, services, using, inner, say)
        stack.enter_context(said)
        poller = stack.enter_context(
            contextlib.closing(GitPoller(services, lambda logins: access_of(using.environ, files=False, logins=logins)))
        )
        forge_hooks = stack.enter_context(contextlib.closing(ForgeHooks(services)))
        commit_statuses = stack.enter_context(contextlib.closing(CommitStatuses(services)))
        triggering = (
            Duty("events", 0.5, lambda: process_due(services), topic=TOPIC),
            Duty("refusals", 5.0, refusals.flush),
            Duty("timers", 5.0, Timers(services).tick),
            Duty("waves", 0.5, lambda: keep(services), topic="waves"),  # at once again while there is more to queue
            Duty("poll git", 2.0, poller.tick, first=1.0),
            Duty("forge hooks", 5.0, forge_hooks.tick, first=1.0),
            Duty("commit statuses", 1.0, commit_statuses.tick),
        )
        stack.enter_context(Duties(services, *triggering, *watching.duties))
        stack.callback(watching.stop)  # before the duties' end, which waits for what they do
        stack.callback(poller.stop)
        with web, supervisor.watching(web.answers):
            say(f"serving {address} (API below /api/v1); data in {options.data}")
            if worker is not None:
                worker.start()
            supervisor.ready(f"serving {address}")
            said.wait()
            broken = web.died
            if broken:
                say(f"the web server broke: {broken}")
            grace = services.settings.drain_seconds if options.grace is None else options.grace
            supervisor.stopping(grace + _LAST_THINGS)
            services.draining = True
            services.bell.tell(QUEUE)  # whoever waits for a run hears that there will be none
            if worker is not None:
                _settle(worker, 0 if broken else grace, said.hurried, say)
            services.bell.close()  # lets go of all who wait and follow
    if broken:
        raise RunnerError(
            f"the service ended, for its web server broke: {broken}",
            hint="start it again, it goes on with what runs; and report this",
        )
    return 0


def _make_folder(folder: Path) -> None:
    from taskengine.errors import Unreachable

    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Unreachable(
            f"the data folder {folder} cannot be made: {(error.strerror or str(error)).lower()}",
            hint="name another one: --data or ACR_TASK_DATA",
        ) from error


def take_deliveries(app: FastAPI, services: Services, refusals: Refusals | None = None) -> None:
    """Adds `/hooks/FORGE/TASK`, where forges deliver: it needs no token, for each delivery proves whom it is from. The
    answer is 202 when the event is kept; 200 when this delivery came before. `refusals` counts what nobody believes."""
    from concurrent.futures import ThreadPoolExecutor

    from fastapi import Request
    from fastapi.responses import JSONResponse

    from taskengine.service.api.limit import Intake
    from triggers.gather import Gatherer
    from triggers.intake import Arrived, Received, receive_all

    intake = Intake()
    writer = ThreadPoolExecutor(1, thread_name_prefix="deliveries")
    arrivals: Gatherer[Arrived, Received] = Gatherer(lambda batch: receive_all(services, batch, refusals), writer)

    async def deliver(request: Request) -> JSONResponse:
        names = request.path_params
        async with intake.body(request.stream()) as body:
            number, new = await arrivals.do(
                Arrived(forge=names["forge"], task=names["task"], headers=dict(request.headers), body=body)
            )
        return JSONResponse({"event": number, "new": new}, status_code=202 if new else 200)

    app.add_route("/hooks/{forge}/{task}", deliver, methods=["POST"], include_in_schema=False)
    app.router.routes.insert(0, app.router.routes.pop())  # first, as every route before it would cost each delivery


class _Signals:
    """The first signal drains, the second does not wait."""

    def __init__(self) -> None:
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

    def wait(self) -> None:
        """Until the first signal. In short turns: a signal that reaches another thread does not wake this one, and only
        this one runs handlers."""
        while not self.asked.wait(_TURN):
            pass

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
    from taskengine.service.settings import parse_settings, read_settings
    from taskengine.service.store.database import Database
    from taskengine.service.store.feeds import Feeds
    from taskengine.service.store.secrets import SecretBox
    from taskengine.service.store.uploads import UploadFolder

    given = Path(options.settings_file) if options.settings_file else options.data / "settings.yaml"
    settings = read_settings(given, required=bool(options.settings_file))
    if options.registry:
        settings = replace(settings, registry=options.registry)
    if options.public_url:
        settings = replace(settings, public_url=parse_settings({"publicUrl": options.public_url}).public_url)
    box = SecretBox.open(options.data / "secret.key", given=given_secret(using.environ, "ACR_TASK_SECRET_KEY"))
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


def _reseal(services: Services, say: Say) -> None:
    """With a new key before an old one, everything is sealed by the new one from now on, so that the old may go."""
    from taskengine.service.store import secrets

    if services.box.keys < 2:
        return
    try:
        count = services.database.transact(lambda conn: secrets.rotate(conn, services.box, now=services.now()))
    except InvalidInput as error:
        say(f"warning: the key of secrets was not rotated: {error.message}; {error.hint}")
    else:
        say(f"{count} secrets are sealed by the first of {services.box.keys} keys; the others may go")


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
    from taskengine.worker.tidying import Upkeep
    from taskengine.workerparts import WorkerOptions, embedded_worker

    name = f"embedded worker {options.worker_name}"

    def work(conn: Any) -> str:
        for old in tokens.list_all(conn):
            if old.name == name and old.role is Role.WORKER:
                tokens.revoke(conn, old.id, now=services.now())
        return tokens.create(conn, name=name, role=Role.WORKER, now=services.now(), worker=options.worker_name)[1]

    settings = services.settings
    return embedded_worker(
        WorkerOptions(
            url=address,
            token=services.database.transact(work),
            name=options.worker_name,
            capacity=options.capacity,
            upkeep=Upkeep(
                min_free=settings.min_free,
                owns_engine=settings.own_engine,
                cache_limit=settings.cache_limit,
                cache_reserve=settings.cache_reserve,
                image_days=settings.image_days,
            ),
        ),
        replace(using, data_dir=options.data),
        lambda text: say(f"worker: {text}"),
    )


def _address(options: ServeOptions, listening: socket.socket) -> str:
    """How this process reaches itself, and its log names it."""
    scheme = "https" if options.tls_cert else "http"
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(options.host, options.host)  # noqa: S104 - the other way round
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    return f"{scheme}://{host}:{listening.getsockname()[1]}"


def _check_tls(options: ServeOptions, say: Say) -> None:
    if bool(options.tls_cert) != bool(options.tls_key):
        raise InvalidInput("TLS needs both a certificate and its key", hint="give --tls-cert and --tls-key")
    for name in (options.tls_cert, options.tls_key):
        if name and not Path(name).is_file():
            raise InvalidInput(f"{name} is no file", hint="correct --tls-cert and --tls-key")
    if not options.tls_cert and not _is_loopback(options.host):
        say(
            f"warning: tokens and logs travel in clear text to {options.host}; use --tls-cert and --tls-key, or a "
            "proxy that speaks TLS"
        )


def _is_loopback(host: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
