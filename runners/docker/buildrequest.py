"""What a `build` step asks for, as a request: its options, its secrets, and where its context comes from.

Decides that so that as little as possible travels: the author's folder while no step can have changed the workspace,
else the workspace itself, as a folder where the engine shares our file system and as an archive where it does not.

Must not know who builds.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from runners.docker.agents import Agents
from runners.docker.archive import rebased
from runners.docker.buildkit import (
    BuildRequest,
    ContextSource,
    LocalDir,
    TarStream,
    Text,
    Ulimit,
)
from runners.docker.buildkit.ignore import parse_lines
from runners.docker.buildlimit import classic_limits
from runners.docker.container import resolve_directory, size_bytes
from runners.docker.failure import fail
from runners.docker.login import build_credentials
from runners.docker.remote import fetch_context, is_remote, remote_dockerfile
from runners.docker.scope import Scope
from runners.docker.workspace import DEFAULT_IGNORES, ignore_file, ignore_lines
from taskengine.errors import InvalidInput
from taskengine.plainfile import Folder, LeadsOut
from taskengine.plan.buildvalue import DOCKER_IMAGE, named_context
from taskengine.plan.cachetarget import cache_source, cache_target
from taskengine.plan.model import WORKSPACE, BuildLine, PlannedStep
from taskengine.plan.words import runtime_env
from taskengine.registry.auth import Logins
from taskengine.registry.reference import ImageReference
from taskengine.runner import Attempt, RunContext
from taskengine.runs.model import Reason

if TYPE_CHECKING:
    from taskengine.context.keep import Contexts
    from taskengine.context.model import Fetched

_LARGEST_SECRET = 1 << 20


class Requests:
    """Makes the requests of one run's builds. Thread-safe."""

    def __init__(
        self,
        context: RunContext,
        scope: Scope,
        logins: Logins,
        *,
        agents: Agents,
        contexts: Contexts | None = None,
    ) -> None:
        self._context = context
        self._scope = scope
        self._logins = logins
        self._agents = agents
        self._contexts = contexts
        self._pristine = True

    def workspace_may_change(self) -> None:
        """From now on only the workspace tells the truth."""
        self._pristine = False

    def make(
        self, step: PlannedStep, line: BuildLine, attempt: Attempt, *, now: Callable[[], datetime]
    ) -> BuildRequest:
        """One step's request; what has to be fetched for it is. Raises StepFailed for what the author has to mend."""
        fetched = fetch_context(self._contexts, step, line, attempt, now) if is_remote(line.context) else None
        return self._request(step, line, fetched, self._further(step, line, attempt, now))

    def _further(
        self, step: PlannedStep, line: BuildLine, attempt: Attempt, now: Callable[[], datetime]
    ) -> tuple[dict[str, ContextSource | str], str]:
        """What --build-context names (folders of the workspace, addresses that are fetched, images), and the key of
        the files in it (see `_shared_key`)."""
        found: dict[str, ContextSource | str] = {}
        keys = ""
        for text in line.all("build-context"):
            name, where = named_context(text)
            if where.startswith(DOCKER_IMAGE):
                found[name] = DOCKER_IMAGE + ImageReference.parse(where.removeprefix(DOCKER_IMAGE)).normalised
                continue
            there = replace(line, context=where)
            if is_remote(where):
                fetched = fetch_context(self._contexts, step, there, attempt, now)
                found[name] = LocalDir(path=str(fetched.folder), excludes=())
                keys += f"\n{self._fetched_key(where, fetched)}"
                continue
            source = self._source(_context_path(step, there), "", what=f"the context {name}")
            if isinstance(source, TarStream):
                raise fail(
                    Reason.INVALID, f"--build-context {name}: this engine shares no files with acr-task",
                    hint="copy the files into the build's own context, or name an address",
                )  # fmt: skip
            found[name] = source
            keys += f"\n{self._files_key(where, source)}"
        return found, keys

    def _request(
        self,
        step: PlannedStep,
        line: BuildLine,
        found: Fetched | None,
        further: tuple[Mapping[str, ContextSource | str], str],
    ) -> BuildRequest:
        fetched = found.folder if found is not None else None
        path = line.context if fetched is not None else _context_path(step, line)
        dockerfile, home, ignores = self._dockerfile(step, line, path, fetched)
        context = self._source(path, dockerfile, ignores, fetched)
        return BuildRequest(
            context=context,
            dockerfile=posixpath.basename(dockerfile) if home else dockerfile,
            dockerfile_dir=home,
            contexts=further[0],
            tags=tuple(ImageReference.parse(tag).normalised for tag in line.tags),
            build_args={**_build_args(step, line), **self._context.build_args},
            target=line.target,
            platform=line.last("platform") or self._context.platform,
            labels=dict(_pair(label) for label in line.all("label")),
            no_cache=_on(line.last("no-cache")),
            no_cache_stages=tuple(name for value in line.all("no-cache-filter") for name in value.split(",") if name),
            pull=_on(line.last("pull")) or step.pull,
            network=_build_network(line),
            limits=classic_limits(line),
            add_hosts=line.all("add-host"),
            shm_size=size_bytes(size) if (size := line.last("shm-size")) else None,
            ulimits=tuple(_ulimit(u) for u in line.all("ulimit")),
            cache_from=tuple(dict.fromkeys(cache_source(c) for c in line.all("cache-from"))),
            inline_cache=any(cache_target(c).is_inline for c in line.all("cache-to")),
            secrets=self._secrets(step, line),
            ssh=self._agents.sockets(line.all("ssh")),
            credentials=lambda host: build_credentials(self._logins, host),
            shared_key=self._shared_key(
                self._fetched_key(line.context, found) or self._files_key(path, context), further[1]
            ),
        )

    def _shared_key(self, context: str, further: str) -> str:
        """Under which BuildKit remembers the files it was sent, told apart by size and time of change only: from run
        to run for the author's own folder and for the same commit or archive, within this run for a workspace, whose
        times the steps may set. Takes the keys of the context's files and of named contexts' files."""
        return "acr-task-" + hashlib.sha256((context + further).encode()).hexdigest()[:24]

    def _fetched_key(self, text: str, found: Fetched | None) -> str:
        return "" if found is None else found.identity(text) or f"{self._context.run_id}:{text}"

    def _files_key(self, path: str, context: ContextSource) -> str:
        is_authors = isinstance(context, LocalDir) and context.excludes is not None
        authors = self._context.context_identity or self._context.context_dir
        return f"{authors if is_authors else self._context.run_id}:{path}"

    def _dockerfile(
        self, step: PlannedStep, line: BuildLine, context: str, fetched: Path | None
    ) -> tuple[str, ContextSource | None, tuple[str, ...]]:
        """The Dockerfile's path, where it is when not in the context, and its own ignore lines when they are known."""
        files = self._context.build_files
        if (given := files.get(line.dockerfile)) is not None:
            ignores = files.get(f"{line.dockerfile}.dockerignore", b"")
            name = "Dockerfile" if line.dockerfile == "-" else line.dockerfile
            return name, Text(content=given), tuple(parse_lines(ignores.decode("utf-8-sig", "surrogateescape")))
        if fetched is not None:
            return remote_dockerfile(line, fetched), None, ()
        path, outside = _dockerfile_path(step, line, context)
        return path, self._source(outside, "", what="the Dockerfile's folder") if outside else None, ()

    def _source(
        self,
        path: str,
        dockerfile: str,
        ignores: tuple[str, ...] = (),
        fetched: Path | None = None,
        *,
        what: str = "the build context",
    ) -> ContextSource:
        """The folder at `path` (absolute, in the workspace), or the one that was fetched, as a build context.
        `ignores`, where there are any, are the Dockerfile's own and go before the folder's."""
        relative = _in_workspace(path) if fetched is None else ""
        if (root := fetched or self._author_folder(relative)) is not None:
            folder = _folder(root, relative, path, what)
            excludes = (*DEFAULT_IGNORES, *ignores) if ignores else _excludes(folder, dockerfile)
            return LocalDir(path=str(root / relative), folder=folder, excludes=excludes)
        if (root := self._scope.workspace_folder()) is not None:
            folder = _folder(root, relative, path, what)
            return LocalDir(path=str(root / relative), folder=folder, excludes=ignores or None)
        return TarStream(open=lambda: cast(BinaryIO, rebased(self._scope.workspace_archive(path))))

    def _author_folder(self, relative: str) -> Path | None:
        """The author's own folder, the top of it, as long as the workspace is sure to hold just the same below it."""
        if not self._pristine or self._context.context_dir is None or self._context.shared_volume:
            return None
        root = Path(self._context.context_dir)
        if relative and len(ignore_lines(root)) > len(DEFAULT_IGNORES):
            return None  # the root's .dockerignore keeps things out of the workspace that this folder would show
        return root

    def _secrets(self, step: PlannedStep, line: BuildLine) -> dict[str, bytes]:
        # a secret argument may be mounted under its name instead, which leaves nothing in the image
        secrets = {name: value.encode() for name, value in self._context.build_args.items()}
        secrets |= self._context.build_secrets
        for text in line.all("secret"):
            fields = dict(_pair(part) for part in text.split(","))
            name, source = fields.get("id", ""), fields.get("src") or fields.get("source")
            if source:
                secrets[name or posixpath.basename(source)] = self._read_file(step, source)
            elif name not in secrets:
                raise fail(
                    Reason.INVALID, f"--secret {text!r}: there is no secret {name!r}",
                    hint=f"declare it under `secrets:`, give it with --secret {name}=VALUE, or name a file with src=",
                )  # fmt: skip
        return secrets

    def _read_file(self, step: PlannedStep, name: str) -> bytes:
        for mount in step.volume_mounts:  # the step's secret volumes, as a container of it would see them
            inside = mount.mount_path.rstrip("/") + "/"
            if name.startswith(inside):
                return self._scope.secret_file(mount.name, name[len(inside) :])
        path = posixpath.normpath(posixpath.join(resolve_directory(step.working_directory), name))
        root = self._author_folder("") or self._scope.workspace_folder()
        try:
            if root is not None:
                return Folder(root).read(_in_workspace(path), largest=_LARGEST_SECRET)
            return rebased(self._scope.workspace_archive(path), single=_LARGEST_SECRET).read()
        except OSError as error:
            why = f": {error.strerror}" if error.strerror else ""
            raise fail(
                Reason.INVALID, f"--secret: the file {name!r} cannot be read{why}",
                hint=f"a secret is an ordinary file of at most {_LARGEST_SECRET >> 20} MiB in the workspace",
            ) from None  # fmt: skip


def _context_path(step: PlannedStep, line: BuildLine) -> str:
    return posixpath.normpath(posixpath.join(resolve_directory(step.working_directory), line.context))


def _dockerfile_path(step: PlannedStep, line: BuildLine, context: str) -> tuple[str, str]:
    """The Dockerfile below the context, or its own folder when it lies outside of it (second value)."""
    if not line.dockerfile:
        return "Dockerfile", ""
    path = posixpath.normpath(posixpath.join(resolve_directory(step.working_directory), line.dockerfile))
    if path.startswith(context.rstrip("/") + "/"):
        return path[len(context.rstrip("/")) + 1 :], ""
    return path, posixpath.dirname(path)


def _in_workspace(path: str) -> str:
    if path == WORKSPACE:
        return ""
    if not path.startswith(WORKSPACE + "/"):
        raise fail(
            Reason.INVALID, f"{path} lies outside of the workspace",
            hint=f"a build sees {WORKSPACE} only; copy what it needs there in an earlier step",
        )  # fmt: skip
    return path[len(WORKSPACE) + 1 :]


def _folder(root: Path, relative: str, path: str, what: str) -> Folder:
    """The folder at `root/relative`, held open: a step may write to the workspace while it is built, and a path that
    was checked may be a link to elsewhere when it is read."""
    try:
        return Folder(root).folder(relative)
    except LeadsOut:
        raise fail(Reason.INVALID, f"{relative} is a link that leads out of the workspace") from None
    except FileNotFoundError:
        why = "does not exist"
    except NotADirectoryError:
        why = "is not a folder"
    except OSError as error:
        why = f"cannot be opened: {error.strerror}"
    raise fail(
        Reason.INVALID, f"{what} {path} {why}",
        hint=f"it is looked for below the step's working directory, in {WORKSPACE}",
    )  # fmt: skip


def _excludes(folder: Folder, dockerfile: str) -> tuple[str, ...]:
    """The ignore lines of the author's own folder: version control stays out, as it does of the workspace."""
    is_below = dockerfile and not dockerfile.startswith("/")  # an absolute one is in the workspace, not on this machine
    own = ignore_file(folder, f"{dockerfile}.dockerignore") if is_below else None
    return ignore_lines(folder) if own is None else (*DEFAULT_IGNORES, *own)


def _build_args(step: PlannedStep, line: BuildLine) -> dict[str, str]:
    """The build arguments; one without a value takes it from the step's environment, as the docker command line does
    from its own, or is left to the Dockerfile's default."""
    environment = dict(_pair(runtime_env(entry)) for entry in step.env if "=" in entry)
    args = {}
    for text in line.build_args:
        name, equals, value = text.partition("=")
        if equals or name in environment:
            args[name] = value if equals else environment[name]
    return args


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value


def _on(value: str | None) -> bool:
    return value is not None and value.lower() not in {"false", "0"}


def _build_network(line: BuildLine) -> str:
    network = line.last("network") or ""
    return "" if network in {"default", "bridge"} else network


def _ulimit(text: str) -> Ulimit:
    name, limits = _pair(text)
    soft, _, hard = limits.partition(":")
    try:
        return Ulimit(name=name, soft=int(soft), hard=int(hard or soft))
    except ValueError:
        raise InvalidInput(f"--ulimit {text!r} is not understood", hint="write NAME=SOFT[:HARD]") from None
