"""`build` on a server: one image as the body of a request, with the Dockerfile on its way wherever it lies."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import Any

from taskengine.cli.server.quick import Quick, is_address, with_context
from taskengine.cli.source import STDIN, read_file
from taskengine.errors import InvalidInput
from taskengine.lightclass import dataclass


@dataclass(frozen=True, kw_only=True)
class Image:
    """What is to be built, as the command line said it."""

    tags: tuple[str, ...] = ()
    registry: str = ""
    build_args: Mapping[str, str] = field(default_factory=dict)
    secret_args: Mapping[str, str] = field(default_factory=dict, repr=False)
    target: str = ""
    platforms: tuple[str, ...] = ()
    no_cache: bool = False
    push: bool = True
    cache_from: tuple[str, ...] = ()
    cache_to: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    oci_labels: bool = True


def of_build(image: Image, context: str, file: str, *, timeout: int | None) -> Quick:
    """The request, and what has to be uploaded for it."""
    if context == STDIN or is_address(context):
        if file == STDIN:
            raise InvalidInput(
                "a Dockerfile from standard input needs a context on this machine", hint="name a folder, or add --local"
            )
        return with_context(_quick(image, file or "Dockerfile", timeout), context)
    from taskengine.cli.build import place

    folder, name, outside = place(context, file)
    root = Path(str(folder))
    if outside:
        return _outside(image, name, outside, root, timeout)
    name = name or "Dockerfile"
    # as Docker does: what is named as the Dockerfile travels, and its own rules go before the folder's
    extra = {name: read_file(str(root / name))[0]}
    own = f"{name}.dockerignore"
    quick = with_context(_quick(image, name, timeout), folder)
    return replace(quick, extra=extra, ignores=own if (root / own).is_file() else "")


def _outside(image: Image, name: str, files: Mapping[str, bytes], root: Path, timeout: int | None) -> Quick:
    """The Dockerfile, and the rules that lie beside it, under a name that nothing in the context has."""
    inner = f".acr-task-{os.urandom(6).hex()}.Dockerfile"
    extra = {path.replace(name, inner, 1): data for path, data in files.items()}
    return replace(with_context(_quick(image, inner, timeout), str(root)), extra=extra)


def _quick(image: Image, dockerfile: str, timeout: int | None) -> Quick:
    from taskengine.taskspec.quick import with_registry

    build: dict[str, Any] = {
        "dockerfile": dockerfile,
        "tags": [with_registry(name, image.registry) for name in image.tags],
        "buildArgs": [f"{name}={value}" for name, value in image.build_args.items()],
        "target": image.target,
        "noCache": image.no_cache,
        "push": image.push,
        "labels": list(image.labels),
        "ociLabels": image.oci_labels,
        "cacheFrom": list(image.cache_from),
        "cacheTo": list(image.cache_to),
    }
    # the build's own line names several; the run itself is then of the server's usual platform
    several = len(image.platforms) > 1
    if several:
        build["platforms"] = list(image.platforms)
    platform = "" if several else "".join(image.platforms)
    found = {"build": build, "registry": image.registry, "platform": platform, "timeout": timeout}
    body = {name: value for name, value in found.items() if value}
    return Quick(body=body, secrets={f"arg:{name}": value for name, value in image.secret_args.items()})
