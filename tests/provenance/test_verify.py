"""What is read back from statements in a real registry, how inputs stand, and statements that lie."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskengine.errors import Unreachable
from taskengine.logs.mask import Mask
from taskengine.provenance.attach import attach_to
from taskengine.provenance.materials import PushedImage
from taskengine.provenance.reading import Input, NoStatement, read_statement
from taskengine.provenance.statement import IN_TOTO, RUN_RECORD, ContextOrigin, RunInputs
from taskengine.provenance.verify import Inputs, State, verify
from taskengine.registry.artifact import Artifact
from taskengine.registry.client import RegistryClient
from taskengine.registry.content import Descriptor
from taskengine.registry.reference import ImageReference
from taskengine.runs.model import ImageResult, RunRecord
from taskengine.sbom.document import CYCLONEDX
from tests.provenance.conftest import Push
from tests.provenance.test_statement import depends, record, step
from tests.registry.conftest import push_image, push_index
from tests.registry.memory import MemoryRegistry
from tests.support.registry import Registry, free_port

INPUTS = RunInputs(
    task_name="task.yaml", task_text=b"steps: []\n", values={"tag": "1"}, version="1.2.3",
    context=ContextOrigin(uri="https://h/r.git", repository="https://h/r.git", commit="c0ffee" * 6),
)  # fmt: skip


NEAR, FAR = ImageReference.parse("127.0.0.1:5000/app:1"), ImageReference.parse("registry.example.com/app:1")


def run_of(name: str, image: Descriptor, *bases: Any) -> RunRecord:
    made = step("b", images=(ImageResult(reference=name),), dependencies=bases)
    return record(made, pushed={name: image.digest})


def attach(client: RegistryClient, name: str, image: Descriptor, *bases: Any, sbom: bool = False) -> ImageReference:
    pushed = PushedImage(references=(name,), digest=image.digest)
    attach_to(client, pushed, run_of(name, image, *bases), INPUTS, Mask(), provenance=True, sbom=sbom)
    return ImageReference.parse(name)


def test_what_went_in_is_read_back(client: RegistryClient, registry: Registry, push: Push) -> None:
    base, image = push("verify/base:1", "base"), push("verify/app:1", "app")
    basename = f"{registry.name}/verify/base:1"
    ref = attach(client, f"{registry.name}/verify/app:1", image, depends(basename, digest=base.digest), sbom=True)
    found = verify(client, ref)
    assert (found.matches, found.digest) == (True, image.digest)
    assert found.others == (RUN_RECORD, CYCLONEDX)
    (checked,) = found.statements
    assert checked.statement is not None
    assert checked.statement.is_ours
    assert (checked.statement.run, checked.statement.task) == ("cb1", "task.yaml")
    assert (checked.statement.commit, checked.statement.values) == ("c0ffee" * 6, (("tag", "1"),))
    assert [(one.input.reference, one.state) for one in checked.inputs] == [(basename, State.CURRENT)]


def test_a_registry_with_the_referrers_api_is_read_by_it(client: RegistryClient) -> None:
    api = MemoryRegistry()
    try:
        ref = ImageReference.parse(f"{api.name}/verify/app:1")
        image = push_image(client, ref)
        attach(client, str(ref), image, sbom=True)
        found = verify(client, ref)
        assert (found.matches, found.others) == (True, (RUN_RECORD, CYCLONEDX))
        assert list(client.tags(ref)) == ["1"]
    finally:
        api.close()


def test_the_image_stays_what_it_was(client: RegistryClient, registry: Registry, push: Push) -> None:
    image = push("verify/same:1")
    ref = attach(client, f"{registry.name}/verify/same:1", image, sbom=True)
    assert client.manifest(ref).digest == image.digest
    assert not client.manifest(ref).is_index


def test_an_engine_that_tells_no_digest_is_no_hindrance(client: RegistryClient, registry: Registry, push: Push) -> None:
    name, image = f"{registry.name}/verify/untold:1", push("verify/untold:1")
    untold = PushedImage(references=(name,), digest="")
    attach_to(client, untold, run_of(name, image), INPUTS, Mask(), provenance=True, sbom=False)
    assert verify(client, ImageReference.parse(name)).matches


def test_a_base_whose_tag_moved_or_went_is_told(client: RegistryClient, registry: Registry, push: Push) -> None:
    old, gone = push("verify/moves:1", "old"), push("verify/goes:1", "gone")
    new = push("verify/moves:1", "new")
    client.delete(ImageReference.parse(f"{registry.name}/verify/goes@{gone.digest}"))
    image = push("verify/stale:1", "stale")
    ref = attach(
        client, f"{registry.name}/verify/stale:1", image,
        depends(f"{registry.name}/verify/moves:1", digest=old.digest),
        depends(f"{registry.name}/verify/goes:1", digest=gone.digest),
    )  # fmt: skip
    found = verify(client, ref)
    assert [(one.state, one.now) for one in found.statements[0].inputs] == [(State.MOVED, new.digest), (State.GONE, "")]
    assert found.matches


def test_an_index_that_changed_for_other_platforms_only_is_current(client: RegistryClient, registry: Registry) -> None:
    ref = ImageReference.parse(f"{registry.name}/verify/multi:1")
    before = push_index(client, ref, "linux/amd64")
    mine = client.platform_manifest(ref, "linux/amd64").digest
    push_index(client, ref, "linux/amd64", "linux/arm64")
    one = Input(
        use="runtime", reference=str(ref), digest=before.digest, platform="linux/amd64", platform_digest=mine
    )  # fmt: skip
    found = Inputs(client, NEAR).state(one)
    assert (found.state, found.note) == (State.CURRENT, "other platforms changed, linux/amd64 did not")


def test_a_base_named_by_digest_cannot_move(client: RegistryClient, registry: Registry, push: Push) -> None:
    digest = push("verify/pinned:1", "pinned").digest
    one = Input(use="runtime", reference=f"{registry.name}/verify/pinned@{digest}", digest=digest)
    assert Inputs(client, NEAR).state(one).state is State.PINNED


@pytest.mark.parametrize(
    ("one", "note"),
    [
        (Input(use="runtime", reference="NOT a name", digest="sha256:" + "a" * 64), "its name is no image's"),
        (Input(use="runtime", reference="app:1", note="it is on the engine alone"), "it is on the engine alone"),
        (Input(use="runtime", reference="app:1"), "the statement names no digest"),
        (Input(use="runtime", reference=f"127.0.0.1:{free_port()}/x:1", digest="sha256:" + "a" * 64), "cannot be reached"),
    ],
)  # fmt: skip
def test_what_nobody_can_say_is_unknown_with_its_reason(client: RegistryClient, one: Input, note: str) -> None:
    found = Inputs(client, NEAR).state(one)
    assert found.state is State.UNKNOWN
    assert note in found.note


@pytest.mark.parametrize("host", ["localhost:5000", "127.0.0.1:5000", "[::1]:5000", "169.254.169.254"])
def test_a_statement_from_elsewhere_makes_nobody_ask_this_machine(client: RegistryClient, host: str) -> None:
    one = Input(use="runtime", reference=f"{host}/x:1", digest="sha256:" + "a" * 64)
    found = Inputs(client, FAR).state(one)
    assert found.state is State.UNKNOWN
    assert "on the machine where it was built" in found.note


def test_a_registry_that_is_away_is_asked_once(client: RegistryClient, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def resolve(ref: ImageReference) -> None:
        asked.append(str(ref))
        raise Unreachable("it is away")

    inputs = Inputs(client, FAR)
    monkeypatch.setattr(inputs._client, "resolve", resolve)
    names = ("r.example.com/a:1", "r.example.com/b:1", "r.example.com/a:1")
    states = [inputs.state(Input(use="runtime", reference=name, digest="sha256:" + "a" * 64)) for name in names]
    assert [one.note for one in states] == ["it is away"] * 3
    assert len(asked) == 1


def forged(subject: str) -> bytes:
    document = {
        "_type": "https://in-toto.io/Statement/v1", "predicateType": "https://slsa.dev/provenance/v1",
        "subject": [{"name": "x", "digest": {"sha256": subject}}], "predicate": {},
    }  # fmt: skip
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        (forged("f" * 64), "it is about sha256:ffff"),
        (b"not json", "it is no JSON"),
        (b'{"_type": "https://in-toto.io/Statement/v0.1"}', "no in-toto statement of version 1"),
        (b'{"_type": "https://in-toto.io/Statement/v1", "predicateType": "x"}', "does not tell where"),
    ],
)
def test_a_statement_that_is_not_about_the_image_does_not_match(
    client: RegistryClient, registry: Registry, push: Push, document: bytes, problem: str
) -> None:
    name = f"verify/forged-{abs(hash(problem))}:1"
    image, ref = push(name, problem), ImageReference.parse(f"{registry.name}/{name}")
    client.attach(ref, image, [Artifact(kind=IN_TOTO, media_type=IN_TOTO, document=document)])
    found = verify(client, ref)
    assert not found.matches
    assert problem in found.statements[0].problem


def test_one_statement_that_lies_spoils_those_that_do_not(
    client: RegistryClient, registry: Registry, push: Push
) -> None:
    image = push("verify/spoilt:1", "spoilt")
    ref = attach(client, f"{registry.name}/verify/spoilt:1", image)
    client.attach(ref, image, [Artifact(kind=IN_TOTO, media_type=IN_TOTO, document=forged("f" * 64))])
    found = verify(client, ref)
    assert sorted(bool(one.problem) for one in found.statements) == [False, True]
    assert not found.matches


def test_a_statement_listed_for_another_image_does_not_match(
    client: RegistryClient, registry: Registry, push: Push
) -> None:
    """The list of the tag scheme can be written by anybody who may push: it is not believed."""
    from taskengine.registry import tagscheme

    one, two = push("verify/swap:1", "one"), push("verify/swap:2", "two")
    ref = attach(client, f"{registry.name}/verify/swap:1", one)
    stolen = [each for each in client.referrers(ref, one.digest) if each.artifact_type == IN_TOTO]
    tagscheme.add(client._site(ref), two.digest, stolen)
    found = verify(client, ref.with_tag("2"))
    assert not found.matches
    assert "attached to another image" in found.statements[0].problem


def test_an_image_without_a_statement_has_none_that_matches(
    client: RegistryClient, registry: Registry, push: Push
) -> None:
    push("verify/bare:1", "bare")
    found = verify(client, ImageReference.parse(f"{registry.name}/verify/bare:1"))
    assert (found.statements, found.matches) == ((), False)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["predicate", "buildDefinition", "resolvedDependencies", "digest", "sha256", "subject", "values",
                         "externalParameters", "annotations", "task", "context", "runDetails", "builder"]), inner, max_size=4,
    ),
    max_leaves=20,
)  # fmt: skip


@given(JSON)
def test_any_document_is_read_or_refused(inner: Any) -> None:
    head = {"_type": "https://in-toto.io/Statement/v1", "predicateType": "https://slsa.dev/provenance/v1"}
    read_statement(json.dumps({**(inner if isinstance(inner, dict) else {"predicate": inner}), **head}).encode())
    with pytest.raises(NoStatement):
        read_statement(json.dumps(inner).encode())
