"""A scan, completed by asking registries: digests, the manifest for the platform, and the triggers of base images.

The one module here that reaches out; what it was told goes into the scan as data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from taskengine.dockerfile.platform import DEFAULT
from taskengine.dockerfile.scan import Scan
from taskengine.errors import TaskEngineError
from taskengine.lightclass import dataclass
from taskengine.registry.client import RegistryClient
from taskengine.registry.reference import ImageReference

_AT_ONCE = 8

Triggers = Mapping[ImageReference, Sequence[str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What a registry says of an image now. `trouble` is why it says nothing, or not all."""

    digest: str = ""
    platform: str = ""
    platform_digest: str = ""
    triggers: tuple[str, ...] = ()
    trouble: TaskEngineError | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Online:
    found: Scan
    answers: Mapping[ImageReference, Answer]

    @property
    def troubles(self) -> tuple[TaskEngineError, ...]:
        return tuple(answer.trouble for answer in self.answers.values() if answer.trouble is not None)


def ask(scan: Callable[[Triggers], Scan], client: RegistryClient, *, platform: str = "") -> Online:
    """Scan, ask about each image at once, and scan again where base images carry triggers. `scan` is given those.

    A registry that does not answer is trouble of its images and never raised.
    """
    found, answers = scan({}), dict[ImageReference, Answer]()
    for _ in range(2):  # triggers name images, but images that are only taken from trigger nothing
        new = [image for image in found.all if image not in answers]
        one = partial(_ask, client, found, platform or DEFAULT)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            answers |= zip(new, pool.map(one, new), strict=True)
        triggers = {image: answer.triggers for image, answer in answers.items() if answer.triggers}
        if not triggers:
            break
        found = scan(triggers)
    return Online(found=found, answers=answers)


def online_json(online: Online, offline: Mapping[str, Any]) -> dict[str, Any]:
    """The scan's JSON form with what registries added: `digest`, `platform`, `platformDigest`, `problem`."""
    answers = {image.normalised: answer for image, answer in online.answers.items()}

    def add(image: Any) -> Any:
        answer = answers.get(ImageReference.parse(image["reference"]).normalised) if image else None
        if answer is None:
            return image
        problem = {"problem": answer.trouble.message} if answer.trouble else {}
        told = {"platform": answer.platform, "platformDigest": answer.platform_digest or None}
        return {**image, "digest": answer.digest or image["digest"], **told, **problem}

    lists = {key: [add(image) for image in offline[key]] for key in ("buildtime", "unused")}
    return {**offline, "runtime": add(offline["runtime"]), **lists, "syntax": add(offline["syntax"])}


def _ask(client: RegistryClient, found: Scan, otherwise: str, image: ImageReference) -> Answer:
    platform = found.platform_of(image, otherwise)
    is_base = any(stage.base == image for stage in found.stages)
    digest = platform_digest = ""
    try:
        digest = image.digest or client.resolve(image).digest
        pinned = image.with_digest(digest)
        platform_digest = client.platform_manifest(pinned, platform).digest
        triggers = _triggers(client.config(pinned.with_digest(platform_digest))) if is_base else ()
        return Answer(digest=digest, platform=platform, platform_digest=platform_digest, triggers=triggers)
    except TaskEngineError as error:
        return Answer(digest=digest, platform=platform, platform_digest=platform_digest, trouble=error)


def _triggers(config: Mapping[str, Any]) -> tuple[str, ...]:
    inner = config.get("config")
    texts = inner.get("OnBuild") if isinstance(inner, dict) else None
    return tuple(text for text in texts if isinstance(text, str)) if isinstance(texts, list) else ()
