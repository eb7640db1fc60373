"""Joins images of this engine into one index in a registry: the engine pushes each, we write what binds them.

An engine pushes by tag only. So each image goes out under a tag of its own (`1.0.acr-task.linux-arm64`), which is taken
away again where the registry can; the index names them by digest. Must not know builds or steps.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from runners.docker.engine import Engine
from runners.docker.failure import fail
from runners.docker.push import Pushed, Pusher
from runners.docker.refused import refused
from taskengine.errors import Interrupted, TaskEngineError, Unreachable
from taskengine.lightclass import dataclass
from taskengine.registry.content import BrokenContent
from taskengine.registry.digest import digest_of
from taskengine.registry.failure import NotFound
from taskengine.registry.mediatype import OCI_INDEX
from taskengine.registry.reference import ImageReference
from taskengine.runner import Cancel
from taskengine.runs.model import ImageResult, Reason

if TYPE_CHECKING:
    from taskengine.registry.client import RegistryClient
    from taskengine.registry.content import Descriptor, Manifest

_LONGEST_TAG = 128
#: another run may move the tag of a part between our push and our look at it
_TRIES = 3

Progress = Callable[[dict[str, Any]], None]
Retrying = Callable[[int, float, str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """An image of the engine: `name` tells it apart from its siblings, `platform` is what it runs on, where said."""

    image_id: str
    name: str
    platform: str = ""
    size: int = 0


class Joiner:
    """Thread-safe."""

    def __init__(self, api: Engine, pusher: Pusher, registry: Callable[[], RegistryClient]) -> None:
        self._api = api
        self._pusher = pusher
        self._registry = registry

    def push(
        self, image: str, parts: Sequence[Part], *, cancel: Cancel, progress: Progress, retrying: Retrying
    ) -> Pushed:
        """Push the parts and, under the name `image`, the index of them. Raises StepFailed."""
        with self.join(image, cancel=cancel, progress=progress, retrying=retrying) as joint:
            was_there = joint.write([joint.add(part) for part in parts])
            size = sum(part.size for part in parts)
            done = ImageResult(reference=image, digest=joint.digest, size=size, pushed=True)
        return Pushed(image=done, was_there=was_there)

    @contextlib.contextmanager
    def join(self, image: str, *, cancel: Cancel, progress: Progress, retrying: Retrying) -> Iterator[Joint]:
        """Work at one index. What goes wrong with the registry is raised as StepFailed."""
        try:
            with self._registry() as client:
                bound = client.bound(cancel=cancel)
                push = partial(self._pusher.push, cancel=cancel, progress=progress, retrying=retrying)
                yield Joint(self._api, bound, ImageReference.parse(image), push)
        except Interrupted as error:
            raise fail(Reason.CANCELED, f"canceled while pushing {image}") from error
        except TaskEngineError as error:
            hint = error.hint or ""
            raise fail(
                Reason.PUSH, f"the index of {image} was not written: {error.message}",
                hint=f"{hint}; acr-task writes it itself, so this machine must reach the registry".lstrip("; "),
                unreachable=isinstance(error, Unreachable),
            ) from error  # fmt: skip


class Joint:
    """One index while it is worked at: what it holds now, and what it shall hold."""

    def __init__(
        self, api: Engine, client: RegistryClient, target: ImageReference, push: Callable[[str], Pushed]
    ) -> None:
        self._api = api
        self._client = client
        self._target = target
        self._push = push
        self.digest = ""

    def entries(self) -> tuple[Descriptor, ...]:
        """The entries of the index that is there; an image alone is its own entry."""
        try:
            there = self._client.manifest(self._target)
        except NotFound:
            return ()
        return there.manifests if there.is_index else (there.descriptor,)

    def config(self, entry: Descriptor) -> Mapping[str, Any]:
        """The configuration of an entry's image; empty where the image is gone, or is none."""
        try:
            return self._client.config(self._target.with_digest(entry.digest))
        except (NotFound, BrokenContent):
            return {}

    def write(self, entries: Sequence[Descriptor]) -> bool:
        """Put the index in its place; true when it was there already. `digest` is then its."""
        document = {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": [entry.as_json() for entry in entries],
        }
        raw = json.dumps(document, separators=(",", ":")).encode()
        self.digest = digest_of(raw)
        was_there = _digest_at(self._client, self._target) == self.digest
        if not was_there:
            self._client.put_manifest(self._target, raw, OCI_INDEX)
        return was_there

    def add(self, part: Part) -> Descriptor:
        """Push an image of the engine, so that an index may name it."""
        there = self._target.with_tag(part_tag(self._target.tag, part.name))
        for _ in range(_TRIES):
            with self._tagged(part.image_id, there):
                done = self._push(there.normalised)
            # an engine with containerd's store does not say the digest
            manifest = self._pushed(there.with_digest(done.image.digest) if done.image.digest else there)
            if _holds(manifest, part.image_id):
                break
        else:
            raise fail(
                Reason.PUSH, f"{there.familiar} was changed by somebody else again and again",
                hint="do two runs push the same tag at once?",
            )  # fmt: skip
        with contextlib.suppress(TaskEngineError):  # many registries cannot delete a tag: then it stays
            self._client.delete(there)
            # some delete what the tag stands for as well
            self._client.put_manifest(replace(there, tag="", digest=manifest.digest), manifest.raw, manifest.media_type)
        return replace(manifest.descriptor, platform=part.platform, artifact_type="", annotations={})

    def _pushed(self, reference: ImageReference) -> Manifest:
        """What the engine has just pushed. Nothing more is written where it cannot be seen."""
        try:
            return self._client.manifest(reference)
        except NotFound:
            raise Unreachable(
                f"what the engine has pushed to {reference.domain} is not there for this machine",
                hint=f"does {reference.domain} mean another registry here than on the engine?",
            ) from None

    @contextlib.contextmanager
    def _tagged(self, image_id: str, reference: ImageReference) -> Iterator[None]:
        self._api.tag(image_id, reference.name, reference.tag)
        try:
            yield
        finally:
            with contextlib.suppress(*refused()):  # another run with the same image was first
                self._api.remove_image(reference.normalised, noprune=True)


def part_tag(tag: str, name: str) -> str:
    """The tag under which a part travels."""
    end = f".acr-task.{name.replace('/', '-')}"
    if len(tag) + len(end) <= _LONGEST_TAG:
        return f"{tag}{end}"
    return "acr-task." + hashlib.sha256(f"{tag}{end}".encode()).hexdigest()[:32]


def _digest_at(client: RegistryClient, reference: ImageReference) -> str:
    try:
        return client.resolve(reference).digest
    except NotFound:
        return ""


def _holds(manifest: Manifest, image_id: str) -> bool:
    """Whether it is this image's: an engine knows an image by its configuration, or by its manifest."""
    return image_id in (manifest.digest, manifest.config.digest if manifest.config else "")
