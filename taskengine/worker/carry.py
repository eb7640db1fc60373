"""Carries out one run that a worker holds: its context, its text, its plan, and then the scheduler, as a run on a
laptop does it.

Everything that the run says goes to its spool. Must not know HTTP, Docker or where the spool goes; what it needs of the
machine is handed in (`Machine`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from taskengine.ambient import Ambient
from taskengine.context.access import login_for
from taskengine.context.model import Fetched
from taskengine.context.source import UrlLogin, secrets_of
from taskengine.errors import Interrupted, InvalidInput, InvalidTask, TaskEngineError, Unreachable
from taskengine.plan.policy import breaches
from taskengine.registry.auth import Login
from taskengine.runner import Cancel, RunContext, Runner
from taskengine.runs.event import Event, Notice, RunFinished, RunStarted
from taskengine.runs.model import RunRecord, RunStatus
from taskengine.worker.attaching import Attaching, Registry, inputs_of
from taskengine.worker.spool import Spool
from taskengine.worker.text import ARG, LOGIN, SECRET, TOKEN, inputs_of_run, named, text_of

if TYPE_CHECKING:
    from taskengine.client.workers import LeasedRun
    from taskengine.logs.mask import Mask
    from taskengine.registry.client import RegistryClient
    from taskengine.runs.spec import RunSpec
    from taskengine.taskspec.load import LoadedTask
    from taskengine.taskspec.model import SecretSpec


class Contexts(Protocol):
    """What `taskengine.context.keep.Contexts` offers."""

    def fetch(self, text: str, *, stop: Cancel | None = None, notice: Callable[[str], None] = ...) -> Fetched: ...

    def close(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What a run needs of the machine that carries it out.

    `runner` makes a runner for a run with these logins. `contexts` says where a run's contexts are fetched to, given
    the logins for their hosts. `uploaded` unpacks the context that was uploaded for the run into a folder. `platform`
    is the engine's own. `resolve_secrets` fetches the values of a task's `secrets:` that came without one, and
    of registry logins that lie in a secret store. `bare` is the same machine without anything of its owner's (logins,
    tokens, secret providers), for runs of strangers' files; without it, such a run is refused. `registry` is a client
    for registries that has these logins; without it, nothing can be attached to images.
    """

    runner: Callable[[RunContext, Mapping[str, Login], Contexts], Runner]
    contexts: Callable[[str, Mapping[str, UrlLogin]], Contexts]
    uploaded: Callable[[LeasedRun, Path, Cancel], None]
    platform: Callable[[], str]
    image_aliases: Callable[[], Mapping[str, str] | None] = field(default=lambda: None)
    resolve_secrets: Callable[[Sequence[SecretSpec]], Mapping[str, str]] | None = None
    bare: Machine | None = None
    registry: Callable[[Mapping[str, Login]], AbstractContextManager[RegistryClient]] | None = None


def carry_out(leased: LeasedRun, spool: Spool, machine: Machine, cancel: Cancel, ambient: Ambient) -> RunRecord:
    """Carry the run out, or go on with it where the spool says that it was begun. Returns how it ended, which the
    spool's last event says too. Raises only what the spool raises."""
    from taskengine.scheduler.loop import MAX_PARALLEL, execute
    from taskengine.scheduler.resume import resume_from
    from taskengine.taskspec.load import load_task

    said = tuple(spool.events())
    if said and isinstance(said[-1], RunFinished):  # all that is left is to send it
        return said[-1].record
    resume = resume_from(said)
    say = _Voice(spool, ambient)
    can_isolate = machine.bare is not None
    if leased.spec.untrusted and machine.bare is not None:
        machine = machine.bare
    contexts = machine.contexts(leased.key, _context_logins(leased))
    try:
        with _told(say, leased, resume.began, cancel, ambient) as failed:
            if leased.spec.untrusted and not can_isolate:
                raise InvalidInput("this worker carries out no files of strangers", hint="take another worker")
            folder = _folder(leased, contexts, spool, machine, cancel, say)
            text, name = text_of(leased, folder)
            inputs = inputs_of_run(leased, folder, machine)
            loaded = load_task(text, file=name, inputs=inputs)
            for warning in loaded.warnings:
                say.notice(warning.message, "warning")
            _check(leased, loaded)
            logins, fetched = _logins(leased.secrets, machine)
            context, mask = _context(leased, loaded, folder, logins, fetched, resumed=resume.began is not None)
            attaching = None
            if leased.spec.attach:
                given = inputs_of(leased, loaded, text, name, folder, values=inputs.values_text)
                attaching = Attaching(spool, leased.spec.attach, given, mask, _registry(machine, logins), say, cancel)
            runner = machine.runner(context, logins, contexts)
        if failed:
            return failed[0]
        if resume.began is not None:
            spool.skip_what_was_said()
        record = execute(
            loaded.plan,
            runner,
            run_id=leased.run,
            listener=attaching or spool,
            log=spool,
            cancel=cancel,
            ambient=ambient,
            run_timeout=leased.spec.timeout,
            mask=mask,
            resume=resume,
            max_parallel=leased.spec.max_parallel or MAX_PARALLEL,
        )
        return attaching.record or record if attaching is not None else record
    finally:
        contexts.close()


def _registry(machine: Machine, logins: Mapping[str, Login]) -> Registry:
    """A client for registries with the run's logins, when it is needed. Raises InvalidInput."""
    if machine.registry is None:
        raise InvalidInput("this worker attaches nothing to images", hint="leave out provenance and sbom")
    return partial(machine.registry, logins)


class _Voice:
    """What the worker itself says in a run's feed."""

    def __init__(self, spool: Spool, ambient: Ambient) -> None:
        self._spool = spool
        self._now = ambient.now

    def notice(self, message: str, level: str = "info") -> None:
        self._spool(Notice(at=self._now(), message=message, level=level))

    def __call__(self, event: Event) -> None:
        self._spool(event)


@contextmanager
def _told(
    say: _Voice, leased: LeasedRun, resumed: datetime | None, cancel: Cancel, ambient: Ambient
) -> Iterator[list[RunRecord]]:
    """What goes wrong before the first step is the run's end, told as every end is. A context or a secret store that
    is away, and this machine's disk, are infrastructure errors; what the author has to mend is a failure. `resumed` is
    when the run began in an earlier life, if it did."""
    ended: list[RunRecord] = []
    began = resumed or ambient.now()
    try:
        yield ended
    except InvalidTask as error:
        hidden = _hidden_values(leased)
        for problem in error.problems:
            place = f"{problem.location}: " if problem.location else ""
            what = problem.severity.value
            hint = f" ({problem.hint})" if problem.hint else ""
            say.notice(_without(f"{place}{what}: {problem.message}{hint}", hidden), "warning")
        ended.append(_end(leased, RunStatus.FAILED, error, began, ambient))
    except Interrupted as error:
        ended.append(_end(leased, RunStatus.CANCELED, Interrupted(cancel.reason or error.message), began, ambient))
    except TaskEngineError as error:
        status = RunStatus.ERROR if isinstance(error, Unreachable) else RunStatus.FAILED
        ended.append(_end(leased, status, error, began, ambient))
    except OSError as error:
        disk = TaskEngineError(f"the worker's disk failed: {(error.strerror or str(error)).lower()}")
        ended.append(_end(leased, RunStatus.ERROR, disk, began, ambient))
    except Exception as error:  # noqa: BLE001 - a bug of ours must end the run and not hang it
        bug = TaskEngineError(
            f"the worker failed unexpectedly: {type(error).__name__}: {error}",
            hint="this is a bug in the worker and not in the task: please report it",
        )
        ended.append(_end(leased, RunStatus.ERROR, bug, began, ambient))
    for record in ended:
        if resumed is None:
            say(RunStarted(at=began, run_id=leased.run, steps=()))
        say(RunFinished(at=ambient.now(), record=record))


def _end(leased: LeasedRun, status: RunStatus, error: TaskEngineError, began: datetime, ambient: Ambient) -> RunRecord:
    now = ambient.now()
    hidden = _hidden_values(leased)
    return RunRecord(
        id=leased.run,
        status=status,
        started=began,
        finished=now,
        duration=max(0.0, (now - began).total_seconds()),
        message=_without(error.message, hidden),
        hint=_without(error.hint or "", hidden),
        error_exit_code=error.exit_code,
    )


def _hidden_values(leased: LeasedRun) -> tuple[str, ...]:
    return tuple(value for value in (*leased.secrets.values(), *secrets_of(leased.spec.context)) if value)


def _without(text: str, values: tuple[str, ...]) -> str:
    from taskengine.logs.mask import Mask

    return Mask(values).text(text)


# the context and the text


def _folder(
    leased: LeasedRun, contexts: Contexts, spool: Spool, machine: Machine, cancel: Cancel, say: _Voice
) -> Fetched | None:
    """The run's context on this disk, None for a run without one."""
    from taskengine.context.source import is_remote, shown

    context = leased.spec.context
    if not context or context == "/dev/null":
        return None
    if context.startswith("upload:"):
        into = spool.folder / "context"
        if not into.exists():
            machine.uploaded(leased, into, cancel)
        return Fetched(folder=into)
    if not is_remote(context):
        raise InvalidInput(
            f"the context {context} is no address that a worker can fetch",
            hint="name a repository, an archive or an artifact, or upload a folder",
        )
    say.notice(f"fetching {shown(context)}")
    return contexts.fetch(context, stop=cancel, notice=lambda text: say.notice(text, "warning"))


def _context_logins(leased: LeasedRun) -> dict[str, UrlLogin]:
    token = leased.secrets.get(TOKEN, "")
    try:
        return login_for(leased.spec.context, token) if token else {}
    except InvalidInput:  # fetching it says what is wrong with it
        return {}


def _check(leased: LeasedRun, loaded: LoadedTask) -> None:
    """The same rules as where the run was queued, now with the plan that is about to be carried out."""
    spec = leased.spec
    own = [host for host in (spec.registry, *named(leased.secrets, LOGIN)) if host and not spec.untrusted]
    if found := breaches(loaded.plan, spec.grants, own):
        raise InvalidTask(found)


def _context(
    leased: LeasedRun, loaded: LoadedTask, folder: Fetched | None, logins: Mapping[str, Login],
    fetched: Sequence[str], *, resumed: bool,
) -> tuple[RunContext, Mask]:  # fmt: skip
    from taskengine.prepared import build_secrets, hidden

    spec, secrets = leased.spec, leased.secrets
    given = (*_hidden_values(leased), *fetched)
    secret = hidden(loaded, given=given, logins=[login.secret for login in logins.values()])
    context = RunContext(
        run_id=leased.key,
        registry=spec.registry,
        task_name=spec.task_name,
        shared_volume=spec.shared_volume,
        context_dir=str(folder.folder) if folder is not None else None,
        context_identity=_identity(spec.context, folder),
        platform=spec.platform,
        secrets=secret.values,
        build_secrets=build_secrets(loaded, named(secrets, SECRET)),
        build_args=named(secrets, ARG),
        allow_docker_socket="docker-socket" in spec.grants,
        allow_registry_logins="registry-logins" in spec.grants,
        labels=dict(spec.labels),
        durable=True,
        resumed=resumed,
        step_limits=dict(spec.step_limits),
        image_labels=_image_labels(spec, folder),
    )
    return context, secret.mask


def _image_labels(spec: RunSpec, folder: Fetched | None) -> dict[str, str] | None:
    from taskengine.prepared import image_labels

    if spec.build is None or not spec.build.oci_labels:
        return None
    known = folder or Fetched(folder=Path())
    return image_labels(spec.commit or known.commit, spec.repository or known.repository, known.committed)


def _identity(context: str, folder: Fetched | None) -> str:
    """What a fetched context's files are, the same from run to run: BuildKit is not sent what it has."""
    return "" if folder is None or context.startswith("upload:") else folder.identity(context)


def _logins(secrets: Mapping[str, str], machine: Machine) -> tuple[dict[str, Login], tuple[str, ...]]:
    """The run's own registry logins, and what of them was fetched from a secret store. Raises InvalidInput, and
    Unreachable for a store that is away."""
    from taskengine.taskspec.model import SecretSpec

    said = {host: json.loads(text) for host, text in named(secrets, LOGIN).items()}
    wanted = [
        SecretSpec(id=f"{part} of {host}", keyvault=login[f"{part}Vault"], client_id=login.get("identity", ""))
        for host, login in said.items()
        for part in ("username", "password")
        if login.get(f"{part}Vault")
    ]
    if wanted and machine.resolve_secrets is None:
        raise InvalidInput(
            f"the {wanted[0].id} lies in a secret store, and this worker asks none",
            hint="give the login itself to the task",
        )
    found = machine.resolve_secrets(wanted) if wanted and machine.resolve_secrets else {}
    logins = {
        host: Login(
            username=found.get(f"username of {host}", login.get("username", "")),
            secret=found.get(f"password of {host}", login.get("password", "")),
        )
        for host, login in said.items()
    }
    return logins, tuple(found.values())
