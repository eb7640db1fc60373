"""Statements that somebody attached to an image, read back: a stranger's document in, data or a reason out. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from taskengine.provenance.statement import BUILD_TYPE, PREDICATE_TYPE, STATEMENT_TYPE

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")
_LONGEST = 500
_MOST = 1000


class NoStatement(Exception):
    """The document is no statement that we understand; its text says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Input:
    """Something that is said to have gone in. `use` is what for; `reference` is an image's name as it was written."""

    use: str
    uri: str = ""
    reference: str = ""
    digest: str = ""
    platform: str = ""
    platform_digest: str = ""
    note: str = ""

    @property
    def is_image(self) -> bool:
        return bool(self.reference)


@dataclass(frozen=True, kw_only=True, slots=True)
class Statement:
    """What a statement says. `subjects` are digests; `is_ours` tells whether it is of our kind, whose parts are known
    here. Fields are empty where it says nothing."""

    subjects: tuple[str, ...]
    is_ours: bool = False
    builder: str = ""
    version: str = ""
    run: str = ""
    started: str = ""
    finished: str = ""
    task: str = ""
    task_digest: str = ""
    context: str = ""
    commit: str = ""
    values: tuple[tuple[str, str], ...] = ()
    inputs: tuple[Input, ...] = ()


def read_statement(raw: bytes) -> Statement:
    """The statement in a document. Raises NoStatement."""
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        raise NoStatement("it is no JSON") from None
    if not isinstance(document, dict) or document.get("_type") != STATEMENT_TYPE:
        raise NoStatement("it is no in-toto statement of version 1")
    if document.get("predicateType") != PREDICATE_TYPE:
        raise NoStatement("it does not tell where the image comes from (no SLSA provenance of version 1)")
    predicate = _object(document.get("predicate"))
    definition, details = _object(predicate.get("buildDefinition")), _object(predicate.get("runDetails"))
    builder, metadata = _object(details.get("builder")), _object(details.get("metadata"))
    parameters = _object(definition.get("externalParameters"))
    task, context = _object(parameters.get("task")), _object(parameters.get("context"))
    values = list(_object(parameters.get("values")).items())
    resolved = _objects(definition.get("resolvedDependencies"))
    return Statement(
        subjects=tuple(_digest(one.get("digest")) for one in _objects(document.get("subject"))),
        is_ours=definition.get("buildType") == BUILD_TYPE,
        builder=_text(builder.get("id")),
        version=_text(_object(builder.get("version")).get("acr-task")),
        run=_text(metadata.get("invocationId")),
        started=_text(metadata.get("startedOn")),
        finished=_text(metadata.get("finishedOn")),
        task=_text(task.get("name")),
        task_digest=_digest(task.get("digest")),
        context=_text(context.get("uri")) or _local(context),
        commit=next(filter(None, map(_git_commit, resolved)), "") or _text(context.get("commit")),
        values=tuple((_text(key), _text(value)) for key, value in values[:_MOST]),
        inputs=tuple(map(_input, resolved)),
    )


def _local(context: Mapping[str, Any]) -> str:
    if context.get("local") is not True:
        return ""
    changed = {True: ", changed since its commit", "unknown": ", perhaps changed since its commit"}
    said = context.get("changed")
    return "a local folder" + (changed.get(said, "") if isinstance(said, bool | str) else "")


def _input(found: Mapping[str, Any]) -> Input:
    marks = _object(found.get("annotations"))
    return Input(
        use=_text(found.get("name")),
        uri=_text(found.get("uri")),
        reference=_text(marks.get("reference")),
        digest=_digest(found.get("digest")),
        platform=_text(marks.get("platform")),
        platform_digest=_text(marks.get("platformDigest")),
        note=_text(marks.get("note")),
    )


def _git_commit(found: Mapping[str, Any]) -> str:
    return _text(_object(found.get("digest")).get("gitCommit"))


def _digest(value: object) -> str:
    """`sha256:...` of a digest set; the first of other algorithms where it has none of that."""
    known = _object(value)
    algorithm = "sha256" if "sha256" in known else next(iter(known), "")
    return f"{_text(algorithm)}:{_text(known[algorithm])}" if algorithm else ""


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(value: object) -> list[Mapping[str, Any]]:
    if not isinstance(value, list):
        return []
    found: list[Mapping[str, Any]] = [one for one in value if isinstance(one, dict)]
    return found[:_MOST]


def _text(value: object) -> str:
    """One line of a stranger's text, of bounded length."""
    return _CONTROL.sub(" ", value)[:_LONGEST] if isinstance(value, str) else ""
