"""What a run came to, for programs and for people: one JSON object of a build, and the list of what images stand on.

Pure. The list has the form that ACR Tasks prints, so that what reads theirs reads ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskengine.lightpattern import pattern
from taskengine.registry.reference import ImageReference
from taskengine.runs.event import plain
from taskengine.runs.model import Dependency, DependencyType, ImageResult, RunRecord, StepRecord

_NUMBER = pattern(r"[-+.]?[0-9][0-9_.:+-]*(?:[eE][-+]?[0-9]+)?|0[xXoO][0-9a-fA-F]+")
_WORDS = frozenset(["y", "n", "yes", "no", "on", "off", "true", "false", "null", "~"])

HEAD = "The following dependencies were found:"


def result_json(record: RunRecord, git: Mapping[str, str]) -> dict[str, Any]:
    """A build as one object; the first image stands at the top. What is not known is null. `git` is `commit`, `branch`
    and `repository` of the context, where it has them."""
    images = [_image(image) for image in record.images]
    first: dict[str, Any] = images[0] if images else {}
    return {
        "id": record.id,
        "status": record.status.value,
        "image": first.get("reference") or None,
        "digest": first.get("digest"),
        "imageId": first.get("imageId"),
        "size": first.get("size"),
        "images": images,
        "dependencies": [dependency_json(entry) for entry in record.dependencies],
        "git": dict(git) or None,
        "started": plain(record.started),
        "finished": plain(record.finished),
        "duration": record.duration,
        "message": record.message or None,
        "hint": record.hint or None,
    }


def dependency_json(entry: Dependency) -> dict[str, Any]:
    """All of a dependency; what is not known is null."""
    return {
        "type": entry.type.value,
        "registry": entry.registry,
        "repository": entry.repository,
        "tag": entry.tag,
        "reference": entry.reference,
        "digest": entry.digest,
        "platform": entry.platform,
        "platformDigest": entry.platform_digest,
        "local": entry.local,
        "imageId": entry.image_id or None,
        "note": entry.note or None,
    }


def _image(image: ImageResult) -> dict[str, Any]:
    name = ImageReference.parse(image.reference) if image.reference else None
    return {
        "reference": image.reference or None,
        "registry": name.registry if name else None,
        "repository": name.repository if name else None,
        "tag": name.tag if name else None,
        "digest": image.digest or None,
        "imageId": image.image_id or None,
        "size": image.size,
        "pushed": image.pushed,
    }


def dependency_list(record: RunRecord, git: Mapping[str, str]) -> list[str]:
    """For each name of each image that was built: what it stands on, in the YAML that ACR Tasks prints."""
    final = {image.reference: image for image in record.images}
    lines: list[str] = []
    for step in record.steps:
        for image in step.images if step.type == "build" else ():
            lines += _entry(step, final.get(image.reference, image), git)
    return [HEAD, *lines] if lines else []


def _entry(step: StepRecord, image: ImageResult, git: Mapping[str, str]) -> list[str]:
    lines = ["- image:"]
    if image.reference:
        name = ImageReference.parse(image.reference)
        lines += _fields("    ", name.registry, name.repository, name.tag, image.digest)
    else:
        lines = ["- image: {}"]
    for entry in step.dependencies:
        if entry.type is DependencyType.RUNTIME:
            lines += ["  runtime-dependency:", *_dependency("    ", entry)]
    others = [e for e in step.dependencies if e.type in (DependencyType.BUILDTIME, DependencyType.SYNTAX)]
    lines += ["  buildtime-dependency:"] if others else []
    for entry in others:
        first, *rest = _dependency("    ", entry)
        lines += [f"  - {first.lstrip()}", *rest]
    commit = git.get("commit")
    return [*lines, *(["  git:", f"    git-head-revision: {_scalar(commit)}"] if commit else ["  git: {}"])]


def _dependency(indent: str, entry: Dependency) -> list[str]:
    return _fields(indent, entry.registry, entry.repository, entry.tag, entry.digest or "")


def _fields(indent: str, registry: str, repository: str, tag: str, digest: str) -> list[str]:
    found = {"registry": registry, "repository": repository, "tag": tag, "digest": digest}
    return [f"{indent}{key}: {_scalar(value)}" for key, value in found.items()]


def _scalar(text: str) -> str:
    """A tag such as `1.10` or `on` is text, too; names and digests need no quotes."""
    return f'"{text}"' if not text or _NUMBER.fullmatch(text) or text.lower() in _WORDS else text
