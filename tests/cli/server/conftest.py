"""A real service on a port of its own, and a real worker whose runner plays scripts."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from runners.noop.runner import NoopRunner, Script
from taskengine.client.transport import Transport
from taskengine.client.workers import Registration, WorkerApi
from taskengine.service.api.app import make_app
from taskengine.service.model import Role
from taskengine.service.services import Services
from taskengine.service.settings import ServerSettings
from taskengine.service.store import tokens
from taskengine.worker.carry import Machine
from taskengine.worker.health import Checkup, Watermarks
from taskengine.worker.loop import Parts, WorkerLoop
from tests.cli.conftest import Wiring
from tests.service.api.support import make_services


@dataclass
class Server:
    """A running service. `behaviour` is what steps do, `contexts` and `uploads` what the worker was given."""

    url: str
    services: Services
    folder: Path
    behaviour: dict[str, Script] = field(default_factory=dict)
    contexts: list[Any] = field(default_factory=list)
    plans: list[Any] = field(default_factory=list)
    uploads: list[Path] = field(default_factory=list)
    loop: WorkerLoop | None = None
    thread: threading.Thread | None = None

    def token(self, role: Role) -> str:
        with self.services.database.write() as conn:
            _, text = tokens.create(conn, name=f"{role.value}-{id(conn)}", role=role, now=self.services.now())
        return text

    def files(self) -> set[str]:
        """What was in the newest uploaded context."""
        folder = self.uploads[-1]
        return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}

    def work(self) -> None:
        """Start the worker."""
        api = WorkerApi(Transport(self.url, self.token(Role.WORKER)))
        machine = Machine(
            runner=self._runner,
            contexts=lambda name, logins: _Nowhere(),  # type: ignore[arg-type,return-value]
            uploaded=lambda leased, into, cancel: self._unpack(api, leased, into),
            platform=lambda: "linux/amd64",
        )
        self.loop = WorkerLoop(
            Parts(
                api=api, machine=machine, about=Registration(name="w1", platforms=("linux/amd64",)),
                folder=self.folder / "worker", checkup=Checkup(dict, (self.folder,), Watermarks(stop=0, go=0)),
                prove=lambda: None, sweep=lambda key: None, say=lambda text: None,
            )
        )  # fmt: skip
        self.thread = threading.Thread(target=self.loop.run, daemon=True)
        self.thread.start()

    def _runner(self, context: Any, logins: Any, contexts: Any) -> NoopRunner:
        self.contexts.append(context)
        return _Kept(self.behaviour, self.plans)

    def _unpack(self, api: WorkerApi, leased: Any, into: Path) -> None:
        from taskengine.context.archive import unpack
        from taskengine.context.model import Deadline, Limits
        from taskengine.runner import Cancel

        archive = self.folder / f"{leased.key}.tar"
        api.context(leased.worker, leased.run, epoch=leased.epoch, into=archive)
        into.mkdir()
        with archive.open("rb") as file:
            unpack(file, into, limits=Limits(), deadline=Deadline(60, Cancel()), shown="the upload")
        kept = self.folder / "contexts" / leased.key
        shutil.copytree(into, kept, symlinks=True)
        self.uploads.append(kept)


class _Kept(NoopRunner):
    """Keeps the plan that it is to carry out."""

    def __init__(self, behaviour: dict[str, Script], plans: list[Any]) -> None:
        super().__init__(behaviour)
        self._plans = plans

    def prepare(self, plan: Any) -> None:
        self._plans.append(plan)
        super().prepare(plan)


class _Nowhere:
    def fetch(self, text: str, **_: Any) -> Any:
        raise AssertionError(f"nobody fetches {text} here")

    def close(self) -> None:
        """Nothing."""


@pytest.fixture
def idle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service without a worker."""
    folder = tmp_path_factory.mktemp("service")
    services = make_services(folder, ServerSettings(failed_logins=1000))
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(make_app(services), log_level="warning", timeout_graceful_shutdown=1)
    process = uvicorn.Server(config)
    thread = threading.Thread(target=process.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    made = Server(url=f"http://127.0.0.1:{listener.getsockname()[1]}", services=services, folder=folder)
    try:
        yield made
    finally:
        if made.loop is not None and made.thread is not None:
            made.loop.stop()
            made.thread.join(20)
        process.should_exit = True
        thread.join(20)
        services.close()
        listener.close()


@pytest.fixture
def server(idle: Server) -> Server:
    """A service with a worker."""
    idle.work()
    return idle


@pytest.fixture
def logged_in(idle: Server, wiring: Wiring) -> Server:
    """The command line speaks to the service as an administrator."""
    wiring.environ.update(ACR_TASK_SERVER=idle.url, ACR_TASK_TOKEN=idle.token(Role.ADMIN))
    return idle
