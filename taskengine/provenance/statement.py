"""The statement of what an image was made from, as plain data: in-toto Statement v1, SLSA provenance v1 in it. Pure.

Says what the run knows and no more. Nothing here is signed: whoever may push to the repository can write the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from taskengine.errors import InvalidInput
from taskengine.logs.mask import Mask
from taskengine.provenance.materials import PushedImage, materials
from taskengine.registry.artifact import Artifact
from taskengine.registry.purl import image_url
from taskengine.registry.reference import ImageReference
from taskengine.runs.event import plain
from taskengine.runs.model import Dependency, RunRecord

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
#: what the parameters of our statements mean; docs/provenance.md says it under this heading
BUILD_TYPE = "https://github.com/acr-task/acr-task/blob/main/docs/provenance.md#build-type-task-v1"
#: who made the statement: acr-task on somebody's own machine, which vouches for nothing
BUILDER = "https://github.com/acr-task/acr-task/blob/main/docs/provenance.md#builder-local"
#: the same by a worker of a service: who asked for the run had no hand in it, but could not check it either
BUILDER_WORKER = "https://github.com/acr-task/acr-task/blob/main/docs/provenance.md#builder-worker"

IN_TOTO = "application/vnd.in-toto+json"
RUN_RECORD = "application/vnd.acr-task.run.v1+json"
#: the annotation by which others tell statements apart without fetching them
PREDICATE_ANNOTATION = "in-toto.io/predicate-type"
CREATED = "org.opencontainers.image.created"

#: what no mask may touch: a part of it that looks like a secret is none
_NEVER_MASKED = frozenset({"digest", "_type", "predicateType", "buildType"})


@dataclass(frozen=True, kw_only=True)
class ContextOrigin:
    """Where a run's files came from. `uri` is without any login; empty for a folder of the user's machine.

    `changed` is for such a folder in a repository: whether its files differ from the commit, None where nobody knows.
    """

    uri: str = ""
    repository: str = ""
    commit: str = ""
    branch: str = ""
    tag: str = ""
    digest: str = ""
    changed: bool | None = None

    @property
    def is_resolved(self) -> bool:
        """Whether a hash names the very files. That of a local folder does only when nothing was changed."""
        return bool(self.commit or self.digest) and (bool(self.uri) or self.changed is False)


@dataclass(frozen=True, kw_only=True)
class RunInputs:
    """What a run was given. `values` are those of `--set`; of secrets there are only the names.

    `context` is None for no context. `facts` are what the user said of the run's origin, believed but not seen.
    `is_made` tells that the task was made of a command line: nobody keeps its text, so the statement holds it. `files`
    are what builds were given from outside of the context.
    """

    task_name: str
    task_text: bytes = field(repr=False)
    is_made: bool = False
    context: ContextOrigin | None = None
    values: Mapping[str, str] = field(default_factory=dict)
    values_file: bytes | None = field(default=None, repr=False)
    secrets: tuple[str, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    registry: str = ""
    platform: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    version: str = ""
    builder: str = BUILDER


def statement(record: RunRecord, image: PushedImage, inputs: RunInputs, mask: Mask) -> dict[str, Any]:
    """The statement about one pushed image."""
    run_record = record_document(record, mask)
    document = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": _digest(image.digest)} for name in image.references],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": _parameters(inputs),
                "resolvedDependencies": [*_context(inputs.context), *map(_material, materials(record, image))],
            },
            "runDetails": {
                "builder": {"id": inputs.builder, "version": {"acr-task": inputs.version}},
                "metadata": _filled(
                    {
                        "invocationId": record.id,
                        "startedOn": plain(record.started),
                        "finishedOn": plain(record.finished),
                    }
                ),
                "byproducts": [
                    {"name": "run record", "mediaType": RUN_RECORD, "digest": {"sha256": _sha256(run_record)}}
                ],
            },
        },
    }
    masked = _masked(document, mask)
    assert isinstance(masked, dict)  # noqa: S101 - as it was
    return masked


def statement_artifact(record: RunRecord, image: PushedImage, inputs: RunInputs, mask: Mask) -> Artifact:
    return Artifact(
        kind=IN_TOTO,
        media_type=IN_TOTO,
        document=_compact(statement(record, image, inputs, mask)),
        annotations=_annotations(record) | {PREDICATE_ANNOTATION: PREDICATE_TYPE},
    )


def record_artifact(record: RunRecord, mask: Mask) -> Artifact:
    return Artifact(
        kind=RUN_RECORD, media_type=RUN_RECORD, document=record_document(record, mask), annotations=_annotations(record)
    )


def record_document(record: RunRecord, mask: Mask) -> bytes:
    """The record as `--output json` gives it at the end of a run."""
    return _compact(_masked(plain(record), mask))


def _parameters(inputs: RunInputs) -> dict[str, Any]:
    values_file = {"digest": {"sha256": _sha256(inputs.values_file)}} if inputs.values_file is not None else None
    context: dict[str, Any] | None = None
    if inputs.context is not None:
        context = {"uri": inputs.context.uri} if inputs.context.uri else _local(inputs.context)
    return _filled(
        {
            "task": _filled(
                {
                    "name": inputs.task_name,
                    "digest": {"sha256": _sha256(inputs.task_text)},
                    "text": inputs.task_text.decode("utf-8", "replace") if inputs.is_made else "",
                }
            ),
            "context": context,
            "values": dict(inputs.values),
            "valuesFile": values_file,
            "secrets": list(inputs.secrets),
            "files": [{"name": name, "digest": {"sha256": _sha256(data)}} for name, data in inputs.files.items()],
            "registry": inputs.registry,
            "platform": inputs.platform,
            "facts": {key: value for key, value in inputs.facts.items() if value},
        }
    )


def _local(context: ContextOrigin) -> dict[str, Any]:
    found: dict[str, Any] = {"local": True}
    if context.commit and not context.is_resolved:
        found |= {"commit": context.commit, "changed": "unknown" if context.changed is None else context.changed}
    return found


def _context(context: ContextOrigin | None) -> list[dict[str, Any]]:
    """What was fetched, where that can be named by a hash. A folder of the user's machine cannot."""
    if context is None or not context.is_resolved:
        return []
    if not context.commit:
        return [_filled({"name": "context", "uri": context.uri, "digest": _digest(context.digest)})]
    place = context.repository or context.uri
    ref = f"refs/tags/{context.tag}" if context.tag else f"refs/heads/{context.branch}" if context.branch else ""
    uri = f"git+{place}" + (f"@{ref}" if ref else "") if place else ""
    return [_filled({"name": "context", "uri": uri, "digest": {"gitCommit": context.commit}})]


def _material(one: Dependency) -> dict[str, Any]:
    digests = one.digest or one.platform_digest or ""
    return _filled(
        {
            "name": one.type.value,
            "uri": _package_url(one),
            "digest": _digest(digests) if digests else None,
            "annotations": _filled(
                {
                    "reference": one.reference,
                    "platform": one.platform,
                    "platformDigest": one.platform_digest or "",
                    "imageId": one.image_id if one.local else "",
                    "note": one.note,
                }
            ),
        }
    )


def _package_url(one: Dependency) -> str:
    try:
        name = ImageReference.parse(one.reference)
    except InvalidInput:
        return ""
    return image_url(name, one.digest or one.platform_digest, platform=one.platform, local=one.local).to_string()


def _annotations(record: RunRecord) -> dict[str, str]:
    return {CREATED: plain(record.finished)} if record.finished else {}


def _digest(text: str) -> dict[str, str]:
    algorithm, _, value = text.partition(":")
    return {algorithm: value}


def _filled(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value not in (None, "", {}, [])}


def _masked(value: Any, mask: Mask) -> Any:
    if isinstance(value, str):
        return mask.text(value)
    if isinstance(value, list):
        return [_masked(item, mask) for item in value]
    if isinstance(value, dict):
        return {mask.text(key): item if key in _NEVER_MASKED else _masked(item, mask) for key, item in value.items()}
    return value


def _compact(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
