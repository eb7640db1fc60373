"""What went into an image by the statements that are attached to it, and how its inputs stand today.

Says whether a statement is about this image, and nothing about who wrote it: statements are not signed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from taskengine.errors import Interrupted, InvalidInput, TaskEngineError, Unreachable
from taskengine.provenance.reading import Input, NoStatement, Statement, read_statement
from taskengine.provenance.statement import IN_TOTO, PREDICATE_ANNOTATION, PREDICATE_TYPE
from taskengine.registry.client import RegistryClient
from taskengine.registry.content import BrokenContent, Descriptor
from taskengine.registry.endpoint import is_link_local, is_loopback
from taskengine.registry.failure import NotFound
from taskengine.registry.mediatype import INDEXES
from taskengine.registry.reference import ImageReference

_LARGEST = 8 * 1024 * 1024
#: seconds for the answer about one image that went in
PATIENCE = 20.0
MOST_ASKED = 200


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
    inputs = Inputs(client, ref)
    return Verified(
        reference=ref,
        digest=subject.digest,
        statements=tuple(_check(client, ref, subject.digest, one, inputs) for one in statements),
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
    inputs: Inputs,
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
    states = tuple(inputs.state(one) for one in statement.inputs if one.is_image)
    return Checked(digest=attached.digest, statement=statement, inputs=states)


def _document(client: RegistryClient, ref: ImageReference, digest: str, attached: Descriptor) -> bytes:
    manifest = client.manifest(ref.with_digest(attached.digest))
    if manifest.subject is None or manifest.subject.digest != digest:
        raise NoStatement("its manifest is attached to another image")
    if len(manifest.layers) != 1:
        raise NoStatement(f"its manifest has {len(manifest.layers)} documents instead of one")
    return client.blob_bytes(ref, manifest.layers[0], _LARGEST)


class Inputs:
    """Asks how images stand that went in: about each once, and of a registry that cannot be reached nothing more.

    Their names were written by whoever may push to the image's repository. A registry on this machine is asked only
    when the image itself comes from there, so that no statement makes us knock at our own doors.
    """

    def __init__(self, client: RegistryClient, image: ImageReference) -> None:
        self._client = client.bound(seconds=PATIENCE)
        self._is_near = _is_near(image)
        self._known: dict[tuple[str, str, str, str], InputState] = {}
        self._away: dict[str, str] = {}

    def state(self, one: Input) -> InputState:
        """An unreachable registry is a note, and no error."""
        key = (one.reference, one.digest, one.platform, one.platform_digest)
        if key not in self._known:
            if len(self._known) >= MOST_ASKED:
                return InputState(input=one, state=State.UNKNOWN, note=f"only {MOST_ASKED} images are asked about")
            self._known[key] = self._state(one)
        return replace(self._known[key], input=one)

    def _state(self, one: Input) -> InputState:
        def unknown(note: str) -> InputState:
            return InputState(input=one, state=State.UNKNOWN, note=note)

        try:
            ref = ImageReference.parse(one.reference)
        except InvalidInput:
            return unknown("its name is no image's")
        if not one.digest and not one.platform_digest:
            return unknown(one.note or "the statement names no digest")
        if _is_near(ref) and not self._is_near:
            return unknown("its registry is on the machine where it was built")
        if ref.domain in self._away:
            return unknown(self._away[ref.domain])
        try:
            return self._ask(ref, one)
        except NotFound:
            return InputState(input=one, state=State.GONE)
        except Unreachable as error:
            self._away[ref.domain] = error.message
            return unknown(error.message)
        except Interrupted:
            raise
        except TaskEngineError as error:
            return unknown(error.message)

    def _ask(self, ref: ImageReference, one: Input) -> InputState:
        now = self._client.resolve(ref)
        if ref.digest:
            return InputState(input=one, state=State.PINNED)
        known = {one.digest, one.platform_digest}
        if now.digest in known:
            return InputState(input=one, state=State.CURRENT)
        if now.media_type in INDEXES and one.platform and self._platform(ref.with_digest(now.digest), one) in known:
            note = f"other platforms changed, {one.platform} did not"
            return InputState(input=one, state=State.CURRENT, note=note)
        return InputState(input=one, state=State.MOVED, now=now.digest)

    def _platform(self, index: ImageReference, one: Input) -> str:
        """The image of the platform that was built for; a word that is no digest where the index has none."""
        try:
            return self._client.platform_manifest(index, one.platform).digest
        except InvalidInput:
            return "none"


def _is_near(ref: ImageReference) -> bool:
    host = ref.domain.rpartition(":")[0] or ref.domain if not ref.domain.endswith("]") else ref.domain
    return is_loopback(host.strip("[]")) or is_link_local(host.strip("[]"))
