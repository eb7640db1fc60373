"""Builds for platforms: which are asked for, what their images are called, and what it means that one cannot be built.

Pure, but for the one record that a run keeps of its images of several platforms.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from runners.docker.parts import Part
from taskengine.dockerfile.platform import parse_list
from taskengine.registry.platform import split
from taskengine.registry.reference import ImageReference

if TYPE_CHECKING:
    from runners.docker.buildkit import BuildFailed

_WRONG_PROGRAM = "exec format error"
_NO_SUCH_IMAGE = ("no match for platform", "no matching manifest")


def platforms_of(text: str) -> tuple[str, ...]:
    """The platforms of `linux/amd64,linux/arm64`, in BuildKit's spelling, each once. Raises InvalidInput."""
    return tuple(map(str, parse_list(text)))


def local_name(tag: str, platform: str) -> str:
    """What the image for one of several platforms is called on the engine: `app:1-linux-arm64`."""
    reference = ImageReference.parse(tag)
    return reference.with_tag(f"{reference.tag}-{platform.replace('/', '-')}"[-128:].lstrip("-.")).normalised


def is_among(platform: str, offered: Sequence[str]) -> bool:
    """Whether the engine runs programs of the platform itself (or has been taught to)."""
    return split(platform) in {split(one) for one in offered}


def own_among(platforms: Sequence[str], offered: Sequence[str]) -> str:
    """The platform whose image later steps run under the plain name: the engine's own, else the first."""
    known = [split(one) for one in offered]
    runnable = [p for p in platforms if split(p) in known]
    return min(runnable, key=lambda p: known.index(split(p)), default=platforms[0])


def explained(failure: BuildFailed, platform: str, offered: Sequence[str]) -> BuildFailed:
    """The failure in terms of platforms, where it is about them."""
    own = offered[0] if offered else "its own platform"
    said = (failure.message, *failure.log)
    if any(_WRONG_PROGRAM in text for text in said):
        if platform and not is_among(platform, offered):
            system, _, architecture = platform.partition("/")
            message = f"{failure.vertex or failure.message}: this engine cannot run {platform}"
            hint = (
                f"build that stage FROM --platform=$BUILDPLATFORM and cross-compile, build on a {system} machine of "
                f"{architecture}, or install QEMU on the engine's machine: "
                f"docker run --privileged --rm tonistiigi/binfmt --install {architecture.partition('/')[0]}"
            )
        else:
            message = f"{failure.vertex or failure.message}: the program is of another platform than {platform or own}"
            hint = "check the platform of the base image, or of the program that was copied"
        return _changed(failure, message, hint)
    if any(text in failure.message for text in _NO_SUCH_IMAGE):
        wanted = platform or own
        return _changed(failure, failure.message, f"the base image has none for {wanted}; name one that has")
    return failure


def _changed(failure: BuildFailed, message: str, hint: str) -> BuildFailed:
    from runners.docker.buildkit import BuildFailed

    return BuildFailed(
        message, hint=hint, exit_code=failure.exit_code, vertex=failure.vertex, line=failure.line, log=failure.log
    )


class Indexes:
    """The names under which a run built for several platforms, so that a push sends all of them. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._parts: dict[str, tuple[Part, ...]] = {}

    def set(self, tag: str, parts: Sequence[Part]) -> None:
        """What the name stands for from now on; one image alone is no index."""
        name = ImageReference.parse(tag).normalised
        with self._lock:
            self._parts.pop(name, None)
            if len(parts) > 1:
                self._parts[name] = tuple(replace(part, name=part.platform) for part in parts)

    def of(self, image: str) -> tuple[Part, ...]:
        with self._lock:
            return self._parts.get(ImageReference.parse(image).normalised, ())
