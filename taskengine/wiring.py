"""The only module that knows every part: it reads the environment once, makes the parts and hands them to each other.

Importing it costs nothing; each function imports what it wires when it is called.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from taskengine.journals import any_journal, data_folder, journal_folder
from taskengine.lightclass import dataclass

if TYPE_CHECKING:
    from runners.docker.buildkit import Buildkitd
    from runners.docker.connect import Endpoint
    from runners.docker.engine import Engine
    from runners.docker.housekeeping import Housekeeping
    from runners.docker.imagebook import ImageBook
    from runners.docker.runner import DockerRunner
    from taskengine.context.keep import Contexts
    from taskengine.context.model import Deadline, Fetched
    from taskengine.context.model import Limits as ContextLimits
    from taskengine.context.source import Oci, UrlLogin
    from taskengine.plan.model import Plan
    from taskengine.registry.auth import Login
    from taskengine.registry.client import RegistryClient
    from taskengine.registry.endpoint import Registries
    from taskengine.registry.limits import Limits
    from taskengine.registry.platformdigest import PlatformDigests
    from taskengine.runner import RunContext
    from taskengine.taskspec.model import SecretSpec
    from taskengine.worker.tidying import Upkeep


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the environment says, read once. `data_dir` is where this user's data is."""

    data_dir: Path
    environ: Mapping[str, str] = field(repr=False, hash=False, compare=False)
    #: a worker's own folder: the next command must not take a killed worker's runs for dead, as it goes on with them
    worker_dir: Path | None = None

    @property
    def journals(self) -> Path:
        """Where runs leave their journals."""
        return Path(journal_folder(self.environ)) if self.worker_dir is None else self.worker_dir / "journals"

    @property
    def contexts(self) -> Path:
        """Where contexts are fetched to, for as long as their run lives."""
        return (self.worker_dir or self.data_dir) / "contexts"


@functools.cache
def settings() -> Settings:
    """The settings of this process."""
    return read_settings(os.environ)


def read_settings(environ: Mapping[str, str]) -> Settings:
    """The environment, looked at as it is now."""
    return Settings(data_dir=Path(data_folder(environ)), environ=dict(environ))


def sweep_dead_runs(tell: Callable[[str], None]) -> tuple[str, ...]:
    """Remove what runs of killed processes left. Costs one look into a folder when there are none."""
    if not any_journal(settings().environ):
        return ()
    from runners.docker.sweep import sweep_dead_runs
    from taskengine.context.keep import sweep_contexts

    sweep_contexts(settings().contexts, settings().journals)
    return sweep_dead_runs(settings().journals, tell)


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


def greet(using: Settings) -> None:
    """Connect to the engine, and let it find out what it is while this process loads the rest. Raises Unreachable."""
    found = engine(using)
    if (expect := getattr(found, "expect_version", None)) is not None:
        expect()


def engine_platform(using: Settings) -> str:
    """The engine's own platform, such as linux/amd64. Raises Unreachable."""
    version = engine(using).version()
    return f"{version.get('Os', 'linux')}/{version.get('Arch', 'amd64')}"


def runner_for(
    context: RunContext,
    using: Settings,
    *,
    logins: Mapping[str, Login] | None = None,
    contexts: Contexts | None = None,
    bare: bool = False,
) -> DockerRunner:
    """The Docker runner for one run, on the engine of this environment. Raises Unreachable.

    `logins` go before those of Docker's configuration, of which none is used when the run is to be `bare`. The runner
    closes `contexts` with itself."""
    from runners.docker.journal import Journal
    from runners.docker.runner import DockerRunner
    from taskengine.ambient import Ambient
    from taskengine.registry.auth import Logins

    where = endpoint(using)
    known = (Logins() if bare else Logins.read(using.environ)).giving(logins or {})

    def registry() -> RegistryClient:
        from taskengine.registry.client import RegistryClient

        return RegistryClient(known, registries(using))

    return DockerRunner(
        engine(using),
        where,
        context,
        journal=Journal(using.journals, context.run_id, where),
        logins=known,
        ambient=Ambient.system(),
        registry=registry,
        contexts=contexts
        or cast("Contexts", _Later(lambda: contexts_for(context.run_id, using, files=False, bare=bare))),
        buildkitd=buildkitd(using),
        platforms=platform_digests(using),
        book=_book(using.worker_dir / "images.json") if using.worker_dir is not None else None,
    )


class _Later:
    """The contexts of a run, made when one is fetched: most runs fetch none. Thread-safe."""

    def __init__(self, make: Callable[[], Contexts]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: Contexts | None = None

    def fetch(self, text: str, **how: Any) -> Fetched:
        with self._lock:
            if self._made is None:
                self._made = self._make()
        return self._made.fetch(text, **how)

    def close(self) -> None:
        """What is fetched behind this is refused."""
        with self._lock:
            made, self._make = self._made, _refuse
        if made is not None:
            made.close()


def _refuse() -> Contexts:
    raise ValueError("these contexts are closed")


@functools.cache
def _book(path: Path) -> ImageBook:
    """One for the whole process: its runs write into it at once."""
    from runners.docker.imagebook import ImageBook
    from taskengine.ambient import Ambient

    return ImageBook(path, Ambient.system().now)


def housekeeping(using: Settings, upkeep: Upkeep, lacking: Callable[[], int]) -> Housekeeping:
    """Keeps in bounds what a worker's runs leave on its engine. `lacking` says how many bytes its disk is short of."""
    from datetime import timedelta

    from runners.docker.housekeeping import Housekeeping, Rules
    from taskengine.ambient import Ambient

    rules = Rules(
        owns_engine=upkeep.owns_engine,
        cache_most=upkeep.cache_limit,
        cache_least=upkeep.cache_reserve,
        images=timedelta(days=upkeep.image_days) if upkeep.image_days else None,
    )
    book = _book((using.worker_dir or using.data_dir) / "images.json")
    return Housekeeping(lambda: engine(using), book, rules, now=Ambient.system().now, lacking=lacking)


def buildkitd(using: Settings) -> Buildkitd | None:
    """The BuildKit of its own that the environment names. Raises InvalidInput."""
    if "BUILDKIT_HOST" not in using.environ:
        return None  # and its client's many modules are not loaded for a run without builds
    from runners.docker.buildkit import find_buildkitd

    return find_buildkitd(using.environ)


def sweep_worker(using: Settings, keep: Callable[[str], bool]) -> tuple[str, ...]:
    """Remove from the engine what ended or broken runs of a worker have left there, but for those that `keep` says are
    to be gone on with. An engine that is away is asked again the next time."""
    from runners.docker.sweep import sweep_dead_runs
    from taskengine.context.keep import sweep_contexts

    sweep_contexts(using.contexts, using.journals)
    return sweep_dead_runs(using.journals, keep=keep)


def pack_context(folder: Path, out: IO[bytes], *, extra: Mapping[str, bytes], ignores: str = "") -> None:
    """Write a local folder as the archive that a server takes: what of it travels is what would fill a run's workspace
    here. `extra` are further files; `ignores` is a file whose rules go before those of .dockerignore."""
    from runners.docker.workspace import archive

    archive(folder, out, extra=extra, ignores=ignores)


def login_secrets(plan: Plan, allowed: bool | None, using: Settings) -> tuple[str, ...]:
    """What has to be hidden because a step is handed this machine's registry logins, those of credential helpers
    included. A helper is asked only then; one that fails fails again, with its reason, in the step."""
    import base64

    from taskengine.plan.policy import built_images, is_docker_cli
    from taskengine.registry.auth import Logins

    built = built_images(plan.steps)
    handed = any(step.cmd is not None and (allowed or is_docker_cli(step.cmd.image, built)) for step in plan.steps)
    if allowed is False or not handed:
        return ()
    found: list[str] = []
    for login in Logins.read(using.environ).all(on_error=lambda _: None).values():
        found += [login.secret, login.identity_token, login.registry_token]
        if login.secret:
            found.append(base64.b64encode(f"{login.username}:{login.secret}".encode()).decode())
    return tuple(value for value in found if value)


def contexts_for(
    name: str, using: Settings, *, files: bool, logins: Mapping[str, UrlLogin] | None = None, bare: bool = False
) -> Contexts:
    """Where one run's contexts are fetched to. `files` allows addresses of this machine's own disk. `logins` by host
    go before those of the environment, of which a `bare` one has none. Close it."""
    from taskengine.context.access import access_of, without_logins
    from taskengine.context.keep import Contexts

    if bare:
        using = replace(using, environ=without_logins(using.environ))

    def pull(context: Oci, into: Path, limits: ContextLimits, deadline: Deadline) -> Fetched:
        from taskengine.context.oci import fetch_oci

        with registry_client(using) as client:
            return fetch_oci(context, into, client, limits, deadline)

    return Contexts(
        name,
        folder=using.contexts,
        journals=using.journals,
        access=access_of(using.environ, files=files, logins=logins),
        oci=pull,
    )


def registries(using: Settings) -> Registries:
    """The user's registries.yaml: mirrors, certificates, and where encryption is left out."""
    from taskengine.errors import InvalidInput
    from taskengine.registry.config import load_registries

    given = using.environ.get("ACR_TASK_REGISTRIES")
    path = Path(given) if given else using.data_dir / "registries.yaml"
    if given and not path.exists():
        raise InvalidInput(
            f"ACR_TASK_REGISTRIES names {given}, which is not there", hint="correct the path, or unset it"
        )
    return load_registries(path)


def registry_client(
    using: Settings,
    *,
    limits: Limits | None = None,
    on_notice: Callable[[str], None] | None = None,
    logins: Mapping[str, Login] | None = None,
) -> RegistryClient:
    """A client for all registries, with the logins of Docker's configuration, and `logins` before them. Close it, or
    use it with `with`."""
    from taskengine.registry.auth import Logins
    from taskengine.registry.client import RegistryClient

    known = Logins.read(using.environ).giving(logins or {})
    return RegistryClient(known, registries(using), limits=limits, on_notice=on_notice)


def platform_digests(using: Settings) -> PlatformDigests:
    """Finds the manifest of an index for a platform, and remembers it for every later run. Close it."""
    from taskengine.registry.platformdigest import PlatformDigests

    def connect() -> RegistryClient:
        from taskengine.registry.limits import Limits

        return registry_client(using, limits=Limits(tries=1))

    return PlatformDigests(connect, using.data_dir / "platform-digests")


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


def image_aliases(using: Settings) -> Mapping[str, str] | None:
    """The user's own table of image aliases (names at the head of a `cmd`), None where there is none.

    It is the file that ACR_TASK_IMAGE_ALIASES names, else image-aliases.yaml in the data folder: names and images, as
    in `bash: registry.example.com/tools/bash:1`. It adds to the built-in table and goes before it.
    """
    from taskengine.errors import InvalidInput

    given = using.environ.get("ACR_TASK_IMAGE_ALIASES")
    path = Path(given) if given else using.data_dir / "image-aliases.yaml"
    if not given and not path.exists():
        return None
    import yaml

    from taskengine.taskspec.catalog import IMAGE_ALIASES

    try:
        table = yaml.safe_load(path.read_text()) or {}
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise InvalidInput(f"the table of image aliases {path} cannot be read: {error}") from error
    if not isinstance(table, dict) or not all(isinstance(k, str) and isinstance(v, str) for k, v in table.items()):
        raise InvalidInput(f"{path} is no table of image aliases", hint="write one `name: image` a line")
    return {**IMAGE_ALIASES, **table}
