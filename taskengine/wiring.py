"""The only module that knows every part: it reads the environment once, makes the parts and hands them to each other.

Importing it costs nothing; each function imports what it wires when it is called.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runners.docker.connect import Endpoint
    from runners.docker.engine import Engine
    from runners.docker.runner import DockerRunner
    from taskengine.runner import RunContext
    from taskengine.runs.event import Event
    from taskengine.taskspec.model import SecretSpec


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the environment says, read once. `data_dir` is where this user's runs leave their journals."""

    data_dir: Path
    environ: Mapping[str, str] = field(repr=False, hash=False, compare=False)

    @property
    def journals(self) -> Path:
        return self.data_dir / "runs"


@functools.cache
def settings() -> Settings:
    """The settings of this process."""
    return read_settings(os.environ)


def read_settings(environ: Mapping[str, str]) -> Settings:
    """ACR_TASK_DATA, else the platform's own folder for data (XDG Base Directory Specification)."""
    if given := environ.get("ACR_TASK_DATA"):
        data = Path(given).absolute()
    else:
        home = Path(environ.get("HOME") or Path.home())
        data = Path(environ.get("XDG_DATA_HOME") or home / ".local" / "share") / "acr-task"
    return Settings(data_dir=data, environ=dict(environ))


def sweep_dead_runs() -> tuple[str, ...]:
    """Remove what runs of killed processes left. Costs one look into a folder when there are none."""
    folder = settings().journals
    try:
        if not any(entry.name.endswith(".json") for entry in os.scandir(folder)):
            return ()
    except OSError:
        return ()
    from runners.docker.sweep import sweep_dead_runs

    return sweep_dead_runs(folder)


def endpoint(using: Settings) -> Endpoint:
    """Where the engine is, without asking it anything."""
    from runners.docker.connect import find_endpoint

    return find_endpoint(using.environ)


def engine(using: Settings) -> Engine:
    """The connection to the engine that Docker's own command line would use. Raises Unreachable."""
    return _connection(endpoint(using))


@functools.cache
def _connection(where: Endpoint) -> Engine:
    from runners.docker.connect import connect

    return connect(where)


def engine_platform(using: Settings) -> str:
    """The engine's own platform, such as linux/amd64. Raises Unreachable."""
    version = engine(using).version()
    return f"{version.get('Os', 'linux')}/{version.get('Arch', 'amd64')}"


def runner_for(context: RunContext, using: Settings, *, emit: Callable[[Event], None]) -> DockerRunner:
    """The Docker runner for one run, on the engine of this environment. Raises Unreachable."""
    from runners.docker.journal import Journal
    from runners.docker.runner import DockerRunner
    from taskengine.ambient import Ambient
    from taskengine.registry.auth import Logins

    where = endpoint(using)
    return DockerRunner(
        engine(using),
        where,
        context,
        journal=Journal(using.journals, context.run_id, where),
        logins=Logins.read(using.environ),
        ambient=Ambient.system(),
        emit=emit,
    )


def secret_resolver(using: Settings) -> Callable[[Sequence[SecretSpec]], Mapping[str, str]]:
    """Fetches the values of a task's `secrets:` from where the user's provider table says they are."""

    def resolve(specs: Sequence[SecretSpec]) -> Mapping[str, str]:
        from taskengine.errors import InvalidInput
        from taskengine.secrets.providers import Resolver
        from taskengine.secrets.table import load_table

        given = using.environ.get("ACR_TASK_SECRET_PROVIDERS")
        path = Path(given) if given else using.data_dir / "secret-providers.yaml"
        if given and not path.exists():
            raise InvalidInput(
                f"ACR_TASK_SECRET_PROVIDERS names {given}, which is not there", hint="correct the path, or unset it"
            )
        return Resolver(load_table(path), using.environ).resolve(specs)

    return resolve
