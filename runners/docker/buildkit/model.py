"""What a build is asked for, what it tells while it runs, and what it leaves: plain, frozen data.

Must not know gRPC, sockets or the engine, so that it can be imported and compared freely.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from datetime import datetime
from typing import BinaryIO

from taskengine.lightclass import dataclass
from taskengine.plainfile import Folder

#: Gives user and secret for a registry host; Docker Hub is asked for as "docker.io". A token goes with an empty user.
Credentials = Callable[[str], tuple[str, str] | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalDir:
    """A folder of this machine, of which only the files that changed since the last build travel.

    `excludes` are lines as in a .dockerignore; None lets the folder's own file (or the Dockerfile's) decide. With a
    `folder` that is held open, `path` is but its name: where strangers write, a path may lead elsewhere a moment later.
    """

    path: str
    excludes: tuple[str, ...] | None = None
    folder: Folder | None = field(default=None, compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class TarStream:
    """An archive, plain or compressed. `open` is called once to look for the Dockerfile and once for each attempt."""

    open: Callable[[], BinaryIO]


@dataclass(frozen=True, kw_only=True, slots=True)
class Text:
    """A Dockerfile given as its content."""

    content: str | bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Empty:
    """No context: whatever a Dockerfile copies from it is missing."""


ContextSource = LocalDir | TarStream | Text | Empty


@dataclass(frozen=True, kw_only=True, slots=True)
class Ulimit:
    """A limit for RUN. -1 is 'unlimited', as for Docker."""

    name: str
    soft: int
    hard: int

    def __str__(self) -> str:
        return f"{self.name}={self.soft}:{self.hard}"


@dataclass(frozen=True, kw_only=True, slots=True)
class RegistryCache:
    """A cache that the engine itself writes to a registry; not every engine can."""

    reference: str
    all_stages: bool = False


@dataclass(frozen=True, kw_only=True)
class BuildRequest:
    """One build. `dockerfile` is relative to `dockerfile_dir`, or to the context when that is None."""

    context: ContextSource
    dockerfile: str = "Dockerfile"
    dockerfile_dir: ContextSource | None = None
    #: further contexts by the name that the Dockerfile has for them; a text is an address that BuildKit resolves
    contexts: Mapping[str, ContextSource | str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    build_args: Mapping[str, str] = field(default_factory=dict)
    target: str = ""
    platform: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    no_cache: bool = False
    #: these stages are built anew, where `no_cache` does not say so of all
    no_cache_stages: tuple[str, ...] = ()
    pull: bool = False
    #: "" (the engine's own), "host" or "none"; BuildKit knows no others
    network: str = ""
    #: "name:address", as for `docker build --add-host`
    add_hosts: tuple[str, ...] = ()
    shm_size: int | None = None
    ulimits: tuple[Ulimit, ...] = ()
    #: limits of memory and processors by the names of the Engine API; only the classic builder knows any
    limits: Mapping[str, str] = field(default_factory=dict)
    cache_from: tuple[str, ...] = ()
    #: write what `cache_from` needs into the image itself
    inline_cache: bool = False
    registry_cache: RegistryCache | None = None
    #: False: nothing is left on the engine but its cache
    exported: bool = True
    #: what is built is not the Dockerfile as it is read but what this makes of it
    edit: Callable[[bytes], bytes] | None = None
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    #: agent sockets by id; "default" is the one that a Dockerfile gets without naming one
    ssh: Mapping[str, str] = field(default_factory=dict)
    credentials: Credentials | None = field(default=None, repr=False)
    #: names the context, so that the engine knows which files it has already; default: made from the folder's path
    shared_key: str = ""
    extra_attrs: Mapping[str, str] = field(default_factory=dict)
    deadline_s: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class VertexUpdate:
    """A node of the build's graph as it stands now; later updates of the same digest replace earlier ones."""

    digest: str
    name: str
    inputs: tuple[str, ...] = ()
    cached: bool = False
    started: datetime | None = None
    completed: datetime | None = None
    error: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class VertexStatus:
    """How far something inside a vertex is: bytes of a layer, files of a context. `total` is 0 when unknown."""

    id: str
    vertex: str
    name: str
    current: int
    total: int
    timestamp: datetime | None = None
    started: datetime | None = None
    completed: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class VertexLog:
    """Output of a RUN: `stream` is 1 (stdout) or 2 (stderr), `data` need not end at a line's end."""

    vertex: str
    stream: int
    data: bytes
    timestamp: datetime | None = None


Progress = VertexUpdate | VertexStatus | VertexLog


@dataclass(frozen=True, kw_only=True, slots=True)
class ResolvedImage:
    """A source image that BuildKit looked up, by its normalised name, with a tag where it has one.

    `digest` is empty where BuildKit told none: of an image of the engine's own store, and before BuildKit 0.10 of what
    a COPY or a mount takes from. `is_frontend`: it read the Dockerfile.
    """

    reference: str
    digest: str = ""
    is_frontend: bool = False


@dataclass(frozen=True, kw_only=True)
class BuildOutcome:
    """What a build left. `digest` is the manifest's; only engines with containerd's image store know it by now."""

    image_id: str
    digest: str = ""
    response: Mapping[str, str] = field(default_factory=dict)
    vertexes: tuple[VertexUpdate, ...] = ()
    resolved: tuple[ResolvedImage, ...] = ()
    #: the Dockerfile, byte for byte as it was built
    dockerfile: bytes = b""
    files_sent: int = 0
    bytes_sent: int = 0
