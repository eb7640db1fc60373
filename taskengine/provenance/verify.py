"""What went into an image by the statements that are attached to it, and how its inputs stand today.

Says whether a statement is about this image, and nothing about who wrote it: statements are not signed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from taskengine.errors import InvalidInput, TaskEngineError
from taskengine.provenance.reading import Input, NoStatement, Statement, read_statement
from taskengine.provenance.statement import IN_TOTO, PREDICATE_ANNOTATION, PREDICATE_TYPE
from taskengine.registry.client import RegistryClient
from taskengine.registry.content import BrokenContent, Descriptor
from taskengine.registry.failure import NotFound
from taskengine.registry.mediatype import INDEXES
from taskengine.registry.reference import ImageReference

_LARGEST = 8 * 1024 * 1024


class State(Enum):
    """How an image that went in stands today."""

    #: its tag still stands for it
    CURRENT = "current"
    #: its tag stands for another one
    MOVED = "moved"
    #: its tag is no more
    GONE = "gone"
    #: it was named by digest, which no tag can move
    PINNED = "pinned"
    #: nobody can say; the note tells why
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True, slots=True)
class InputState:
    """`now` is what the tag stands for today, where that is something else."""

    input: Input
    state: State
    now: str = ""
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """One statement. `problem` is a sentence when it is not about this image or cannot be read, else empty."""

    digest: str
    statement: Statement | None = None
    problem: str = ""
    inputs: tuple[InputState, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Verified:
    """All statements about one image. `others` are the kinds of what else is attached."""

    reference: ImageReference
    digest: str
    statements: tuple[Checked, ...]
    others: tuple[str, ...] = ()

    @property
    def matches(self) -> bool:
        """Whether there is a statement, and each one is about this image."""
        return bool(self.statements) and not any(one.problem for one in self.statements)


def verify(client: RegistryClient, ref: ImageReference) -> Verified:
    """Fetch and check the statements of the image that `ref` stands for. Raises what the client raises."""
    subject = client.resolve(ref)
    attached = client.referrers(ref, subject.digest)
    statements = [one for one in attached if _is_statement(one)]
    known: dict[tuple[str, str, str], InputState] = {}
    return Verified(
        reference=ref,
        digest=subject.digest,
        statements=tuple(_check(client, ref, subject.digest, one, known) for one in statements),
        others=tuple(one.artifact_type for one in attached if one not in statements),
    )


def _is_statement(one: Descriptor) -> bool:
    """Statements of other kinds (a bill of materials in in-toto's wrapping) say so in their annotation."""
    return one.artifact_type == IN_TOTO and one.annotations.get(PREDICATE_ANNOTATION, PREDICATE_TYPE) == PREDICATE_TYPE


def _check(
    client: RegistryClient,
    ref: ImageReference,
    digest: str,
    attached: Descriptor,
    known: dict[tuple[str, str, str], InputState],
) -> Checked:
    try:
        statement = read_statement(_document(client, ref, digest, attached))
    except (NoStatement, BrokenContent, NotFound) as error:
        words = error.message if isinstance(error, TaskEngineError) else str(error)
        return Checked(digest=attached.digest, problem=words)
    if digest not in statement.subjects:
        named = ", ".join(statement.subjects[:5]) or "nothing"
        return Checked(
            digest=attached.digest, statement=statement, problem=f"it is about {named} and not about this image"
        )
    states = []
    for one in statement.inputs:
        if one.is_image:
            key = (one.reference, one.digest, one.platform)
            if key not in known:
                known[key] = input_state(client, one)
            states.append(InputState(input=one, state=known[key].state, now=known[key].now, note=known[key].note))
    return Checked(digest=attached.digest, statement=statement, inputs=tuple(states))


def _document(client: RegistryClient, ref: ImageReference, digest: str, attached: Descriptor) -> bytes:
    manifest = client.manifest(ref.with_digest(attached.digest))
    if manifest.subject is None or manifest.subject.digest != digest:
        raise NoStatement("its manifest is attached to another image")
    if len(manifest.layers) != 1:
        raise NoStatement(f"its manifest has {len(manifest.layers)} documents instead of one")
    return client.blob_bytes(ref, manifest.layers[0], _LARGEST)


def input_state(client: RegistryClient, one: Input) -> InputState:
    """How an image that went in stands today. An unreachable registry is a note, and no error."""
    try:
        ref = ImageReference.parse(one.reference)
    except InvalidInput:
        return InputState(input=one, state=State.UNKNOWN, note="its name is no image's")
    if not one.digest and not one.platform_digest:
        return InputState(input=one, state=State.UNKNOWN, note=one.note or "the statement names no digest")
    try:
        if ref.digest:
            client.resolve(ref)
            return InputState(input=one, state=State.PINNED)
        return _tag_state(client, ref, one)
    except NotFound:
        return InputState(input=one, state=State.GONE)
    except TaskEngineError as error:
        return InputState(input=one, state=State.UNKNOWN, note=error.message)


def _tag_state(client: RegistryClient, ref: ImageReference, one: Input) -> InputState:
    now = client.resolve(ref)
    if now.digest in (one.digest, one.platform_digest):
        return InputState(input=one, state=State.CURRENT)
    if now.media_type in INDEXES and one.platform:
        known = {one.digest, one.platform_digest}
        if any(digest in known for digest in _platform_digests(client, ref.with_digest(now.digest), one.platform)):
            note = f"other platforms changed, {one.platform} did not"
            return InputState(input=one, state=State.CURRENT, note=note)
    return InputState(input=one, state=State.MOVED, now=now.digest)


def _platform_digests(client: RegistryClient, ref: ImageReference, platform: str) -> Iterator[str]:
    try:
        yield client.platform_manifest(ref, platform).digest
    except (NotFound, InvalidInput):
        return
