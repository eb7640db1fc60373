"""Makes of a request's context and Dockerfile what a session offers and a build's attributes say.

The Dockerfile is read here, once, checked, and offered as the very bytes that were checked: it cannot change on its way
to the engine. So are the ignore files beside it. Must not know gRPC.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from functools import partial
from typing import BinaryIO

from taskengine.errors import InvalidInput
from taskengine.lightclass import dataclass
from taskengine.plainfile import Folder, LeadsOut, TooLarge

from . import archive
from .failure import BuildFailed
from .model import BuildRequest, ContextSource, LocalDir, TarStream, Text
from .tree import FolderTree, MemoryTree, Tree

_LARGEST_DOCKERFILE = 8 << 20


@dataclass(frozen=True, kw_only=True)
class Source:
    """What the session serves under which name. `attrs` tell BuildKit where to look for context and Dockerfile."""

    trees: Mapping[str, Tree]
    dockerfile: bytes = b""
    upload: Callable[[], BinaryIO] | None = None
    attrs: Mapping[str, str] = field(default_factory=dict)
    shared_key: str = ""


def read_source(request: BuildRequest, guard: Callable[[bytes, BuildRequest], None]) -> Source:
    """Read and check the Dockerfile, and lay out what the engine may fetch."""
    home = request.context if request.dockerfile_dir is None else request.dockerfile_dir
    files = _dockerfile(home, request.dockerfile)
    name = posixpath.basename(request.dockerfile) or "Dockerfile"
    if request.edit is not None:
        files[name] = request.edit(files[name])
    guard(files[name], request)
    if isinstance(request.context, LocalDir) and request.context.excludes is not None:
        # an ignore file of the Dockerfile's own goes before the context's; the comment keeps it from being empty
        files[f"{name}.dockerignore"] = "\n".join(("# as asked", *request.context.excludes, "")).encode()
    context = request.context
    trees: dict[str, Tree] = {"dockerfile": MemoryTree(files)}
    attrs = {"filename": name}
    for number, (known_as, further) in enumerate(request.contexts.items()):
        if isinstance(further, str):
            attrs[f"context:{known_as}"] = further
        else:
            trees[f"context-{number}"] = _folder(further) if isinstance(further, LocalDir) else MemoryTree({})
            attrs[f"context:{known_as}"] = f"local:context-{number}"
    if isinstance(context, TarStream):
        # without the second key BuildKit would read the Dockerfile from the archive, past our check
        attrs["dockerfilekey"] = "dockerfile"
        upload = partial(_upload, context)
        return Source(trees=trees, dockerfile=files[name], upload=upload, attrs=attrs)
    trees["context"] = _folder(context) if isinstance(context, LocalDir) else MemoryTree({})
    key = request.shared_key or _shared_key(context)
    return Source(trees=trees, dockerfile=files[name], attrs=attrs, shared_key=key)


def _upload(context: TarStream) -> BinaryIO:
    return archive.acceptable(context.open())


def _folder(context: LocalDir) -> FolderTree:
    if context.folder is not None:
        return FolderTree(context.folder)
    if not os.path.isdir(context.path):  # noqa: PTH112  (a str all the way, as the walk needs it)
        raise InvalidInput(f"the build context '{context.path}' is no folder", hint="name a folder that exists")
    return FolderTree(context.path)


def _shared_key(context: ContextSource) -> str:
    """By this name the engine keeps the files of a context. An empty one keeps nothing."""
    if not isinstance(context, LocalDir):
        return ""
    return hashlib.sha256(os.fsencode(os.path.realpath(context.path))).hexdigest()


def _dockerfile(home: ContextSource, path: str) -> dict[str, bytes]:
    """The Dockerfile by its base name, and the ignore file of its own when it has one."""
    name = posixpath.basename(path) or "Dockerfile"
    if isinstance(home, Text):
        content = home.content
        return {name: content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content}
    if isinstance(home, TarStream):
        found = archive.read_files(home.open, (path, f"{path}.dockerignore"), largest=_LARGEST_DOCKERFILE)
    elif isinstance(home, LocalDir):
        found = dict(_read(home, (path, f"{path}.dockerignore")))
    else:
        found = {}
    if path not in found:
        raise BuildFailed(f"there is no Dockerfile '{path}'", hint="name it with -f, relative to the context")
    return {name: found[path], **{f"{name}.dockerignore": data for p, data in found.items() if p != path}}


def _read(home: LocalDir, paths: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    """Files below a folder. A link may lead elsewhere in the folder, not out of it: contexts come from strangers."""
    folder = home.folder or Folder(home.path)
    for path in paths:
        try:
            yield path, folder.read(path, largest=_LARGEST_DOCKERFILE)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except LeadsOut:
            raise BuildFailed(
                f"'{path}' leads out of the folder it is in", hint="keep the Dockerfile inside of it"
            ) from None
        except TooLarge:
            raise BuildFailed(f"'{path}' is larger than {_LARGEST_DOCKERFILE >> 20} MiB and no Dockerfile") from None
        except OSError as error:
            raise BuildFailed(f"'{path}' cannot be read: {error.strerror or error}") from None
