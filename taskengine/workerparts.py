"""Puts a worker together: the service's address and this machine become a `WorkerLoop`.

The one module that knows both the worker and what wires runners; used by `acr-task worker` and `acr-task serve`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskengine import wiring
from taskengine.errors import InvalidInput, RunnerError
from taskengine.lightclass import dataclass
from taskengine.lightpattern import pattern
from taskengine.worker.tidying import Upkeep

if TYPE_CHECKING:
    from taskengine.client.workers import LeasedRun
    from taskengine.registry.auth import Login
    from taskengine.runner import Cancel, RunContext
    from taskengine.taskspec.model import SecretSpec
    from taskengine.wiring import Settings
    from taskengine.worker.carry import Contexts, Machine
    from taskengine.worker.health import Checkup
    from taskengine.worker.loop import WorkerLoop

_NAME = pattern(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """What a worker is told when it is started. `capacity` is how many runs it takes at once; `registry` is where it
    proves that it can push, none leaves that out; `ca_file` is the authority of the service's certificate; `upkeep`
    bounds what it leaves on the disk."""

    url: str
    token: str = field(repr=False)
    name: str = "worker"
    pool: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    capacity: int = 2
    registry: str = ""
    ca_file: str = ""
    upkeep: Upkeep = field(default_factory=Upkeep)


def worker_loop(options: WorkerOptions, using: Settings, say: Callable[[str], None]) -> WorkerLoop:
    """A worker of this machine's engine for a service. Raises Unreachable when the engine does not answer."""
    from taskengine import __version__
    from taskengine.client.transport import Transport
    from taskengine.client.workers import Registration, WorkerApi
    from taskengine.worker.loop import Parts, WorkerLoop
    from taskengine.worker.tidying import Tidying

    mine, folder = _own(options, using)
    api = WorkerApi(Transport(options.url, options.token, verify=options.ca_file or True))
    machine = _machine(api, mine)
    about = Registration(
        name=options.name,
        pool=options.pool,
        labels=options.labels,
        platforms=(machine.platform(),),
        capacity=options.capacity,
        version=__version__,
    )
    checkup = _checkup(options, mine)
    house = wiring.housekeeping(mine, options.upkeep, checkup.lacking)
    return WorkerLoop(
        Parts(
            api=api,
            machine=machine,
            about=about,
            folder=folder / "runs",
            checkup=checkup,
            tidying=Tidying(house, say),
            prove=lambda: _prove(machine, folder / "proof", options.registry),
            sweep=lambda keep: wiring.sweep_worker(mine, keep),
            say=say,
        )
    )


def what_would_go(options: WorkerOptions, using: Settings) -> list[Any]:
    """What this worker would let go of its engine now; changes nothing. Raises Unreachable."""
    mine, _ = _own(options, using)
    checkup = _checkup(options, mine)
    checkup.look()
    return list(wiring.housekeeping(mine, options.upkeep, checkup.lacking).plan())


def _own(options: WorkerOptions, using: Settings) -> tuple[Settings, Path]:
    """The settings with this worker's own folder, and the folder."""
    if not _NAME.fullmatch(options.name):
        raise InvalidInput(
            f"a worker cannot be called {options.name!r}", hint="use letters, digits, dots, underscores and hyphens"
        )
    folder = using.data_dir / "worker" / options.name
    return replace(using, worker_dir=folder), folder


def _checkup(options: WorkerOptions, using: Settings) -> Checkup:
    from taskengine.worker.health import Checkup, Watermarks

    least = options.upkeep.min_free
    marks = Watermarks(stop=least, go=least * 3 // 2)
    folders = (using.worker_dir or using.data_dir, *_engine_folders(using))
    return Checkup(lambda: _engine_facts(using), folders, marks)


def _machine(api: Any, using: Settings) -> Machine:
    from taskengine.worker.carry import Machine

    def runner(context: RunContext, logins: Mapping[str, Login], contexts: Contexts, *, bare: bool = False) -> Any:
        return wiring.runner_for(context, using, logins=logins, contexts=contexts, bare=bare)  # type: ignore[arg-type]

    def uploaded(leased: LeasedRun, into: Path, cancel: Cancel) -> None:
        import shutil

        from taskengine.context.archive import unpack
        from taskengine.context.model import Deadline, Limits

        archive = into.with_suffix(".tar")
        api.context(leased.worker, leased.run, epoch=leased.epoch, into=archive)
        staging = into.with_suffix(".new")
        limits = Limits()
        shutil.rmtree(staging, ignore_errors=True)  # of a process that died while it unpacked
        staging.mkdir(mode=0o700)
        with archive.open("rb") as file:
            unpack(
                file, staging, limits=limits, deadline=Deadline(limits.seconds, cancel), shown="the uploaded context"
            )
        staging.rename(into)
        archive.unlink()

    own = Machine(
        runner=runner,
        contexts=lambda name, logins: wiring.contexts_for(name, using, files=False, logins=logins),
        uploaded=uploaded,
        platform=lambda: wiring.engine_platform(using),
        image_aliases=lambda: wiring.image_aliases(using),
        resolve_secrets=wiring.secret_resolver(using),
        registry=lambda logins: wiring.registry_client(using, logins=logins),
    )
    bare = replace(
        own,
        runner=partial(runner, bare=True),
        contexts=lambda name, logins: wiring.contexts_for(name, using, files=False, logins=logins, bare=True),
        resolve_secrets=_no_secrets,
        registry=None,  # they push nothing
    )
    return replace(own, bare=bare)


def _no_secrets(specs: Sequence[SecretSpec]) -> Mapping[str, str]:
    """What a stranger's files are answered that ask for secrets."""
    from taskengine.errors import InvalidInput

    raise InvalidInput(
        f"the run is of a stranger's files, and gets no secrets: it asks for '{specs[0].id}'",
        hint="let the task do without them for pull requests of forks",
    )


def _engine_facts(using: Settings) -> dict[str, Any]:
    version = wiring.engine(using).version()
    return {"engine": version.get("Version", ""), "platform": f"{version.get('Os')}/{version.get('Arch')}"}


def _engine_folders(using: Settings) -> tuple[Path, ...]:
    """Where the engine keeps its images, if it is this machine's own."""
    if not wiring.endpoint(using).host.startswith("unix://"):
        return ()
    root = wiring.engine(using).info().get("DockerRootDir")
    return (Path(root),) if root else ()


def _prove(machine: Machine, folder: Path, registry: str) -> None:
    """Carry out a small task: a context, a build, and a push where a registry is named. Raises RunnerError. Its image
    stays: some bytes under one name, the same each time."""
    import shutil

    from taskengine.ambient import Ambient
    from taskengine.client.workers import LeasedRun
    from taskengine.runner import Cancel
    from taskengine.runs.model import RunStatus
    from taskengine.runs.spec import RunSpec
    from taskengine.worker.carry import carry_out
    from taskengine.worker.spool import Lease, Spool

    ambient = Ambient.system()
    run = f"proof-{ambient.new_id()}"
    name = f"{registry}/acr-task/proof:1" if registry else "acr-task/proof:1"
    text = f"version: v1.1.0\nsteps:\n  - build: -t {name} .\n"
    if registry:
        text += f"  - push: ['{name}']\n"
    spec = RunSpec(text=text, text_name="proof", context="upload:proof", timeout=120)
    leased = LeasedRun(worker="", run=run, attempt=1, epoch=0, spec=spec, secrets={})
    spool = Spool(folder / run, Lease(run=run, attempt=1, epoch=0), ambient)

    def context(_: LeasedRun, into: Path, __: Cancel) -> None:
        into.mkdir()
        (into / "Dockerfile").write_text("FROM scratch\nCOPY proof /proof\n")
        (into / "proof").write_text("this worker can build\n")

    try:
        record = carry_out(leased, spool, replace(machine, uploaded=context), Cancel(), ambient)
    finally:
        spool.remove()
        shutil.rmtree(folder, ignore_errors=True)
    if record.status is not RunStatus.SUCCEEDED:
        raise RunnerError(f"a small build went wrong: {record.message}", hint=record.hint or None)


class EmbeddedWorker:
    """A worker in threads of this process, for `acr-task serve`. It speaks to the service over HTTP like any other,
    and waits by itself for a service, or an engine, that is not there yet."""

    def __init__(self, options: WorkerOptions, using: Settings, say: Callable[[str], None]) -> None:
        import threading

        self._options, self._using, self._say = options, using, say
        self._stop = threading.Event()
        self._loop: WorkerLoop | None = None
        self._thread = threading.Thread(target=self._work, name="worker", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _work(self) -> None:
        from taskengine.errors import TaskEngineError

        pause = 1.0
        while not self._stop.is_set():
            try:
                self._loop = worker_loop(self._options, self._using, self._say)
                if not self._stop.is_set():
                    self._loop.run()
                return
            except TaskEngineError as error:
                self._say(f"no runs can be carried out here: {error.message}; trying again in {pause:g} s")
                self._stop.wait(pause)
                pause = min(pause * 2, 30.0)

    def drain(self, seconds: float) -> bool:
        """Take nothing new and wait so long for what runs; whether nothing runs any more."""
        self._stop.set()
        if self._loop is not None:
            self._loop.drain()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def leave(self) -> None:
        """Let go of what still runs: its containers go on, and the next start goes on with them."""
        self._stop.set()
        if self._loop is not None:
            self._loop.leave()
        self._thread.join(timeout=5)


def embedded_worker(options: WorkerOptions, using: Settings, say: Callable[[str], None]) -> EmbeddedWorker:
    """The worker of `acr-task serve`; `start` it."""
    return EmbeddedWorker(options, using, say)
