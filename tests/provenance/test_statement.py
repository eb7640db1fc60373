"""What a statement says of an image, and that no secret is in it."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from packageurl import PackageURL

from taskengine.logs.mask import Mask
from taskengine.provenance.materials import PushedImage, materials, pushed_images
from taskengine.provenance.statement import (
    RUN_RECORD,
    ContextOrigin,
    RunInputs,
    record_artifact,
    statement,
    statement_artifact,
)
from taskengine.runs.model import (
    Dependency,
    DependencyType,
    ImageResult,
    RunRecord,
    RunStatus,
    StepRecord,
    StepStatus,
)
from taskengine.runs.schema import event_schema

DIGEST, BASE, TOOL = ("sha256:" + letter * 64 for letter in "abc")
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def depends(reference: str, kind: DependencyType = DependencyType.RUNTIME, **more: Any) -> Dependency:
    return Dependency(type=kind, registry="", repository="", reference=reference, **more)


def step(step_id: str, kind: str = "build", **more: Any) -> StepRecord:
    return StepRecord(id=step_id, type=kind, status=StepStatus.SUCCEEDED, **more)


def built(name: str) -> tuple[ImageResult, ...]:
    return (ImageResult(reference=name),)


def record(*steps: StepRecord, pushed: dict[str, str] | None = None) -> RunRecord:
    images = {"registry.example.com/app:1": DIGEST} if pushed is None else pushed
    return RunRecord(
        id="cb1", status=RunStatus.SUCCEEDED, steps=steps, started=AT, finished=AT,
        images=tuple(ImageResult(reference=name, digest=digest, pushed=True) for name, digest in images.items()),
    )  # fmt: skip


APP = PushedImage(references=("registry.example.com/app:1",), digest=DIGEST)
ONE_BUILD = record(
    step(
        "b",
        images=built("registry.example.com/app:1"),
        dependencies=(depends("alpine:3", digest=BASE, platform="linux/amd64", platform_digest=TOOL),),
    )
)
INPUTS = RunInputs(task_name="task.yaml", task_text=b"steps: []\n", version="1.2.3")


def said(inputs: RunInputs = INPUTS, run: RunRecord = ONE_BUILD, mask: Mask | None = None) -> dict[str, Any]:
    return statement(run, APP, inputs, mask or Mask())


def definition(inputs: RunInputs = INPUTS, run: RunRecord = ONE_BUILD, mask: Mask | None = None) -> dict[str, Any]:
    found: dict[str, Any] = said(inputs, run, mask)["predicate"]["buildDefinition"]
    return found


def test_names_of_one_manifest_share_a_statement() -> None:
    run = record(
        pushed={"r.example/a:1": DIGEST, "r.example/a:2": DIGEST, "r.example/b:1": DIGEST, "r.example/a:3": BASE}
    )
    assert [(image.references, image.digest) for image in pushed_images(run)] == [
        (("r.example/a:1", "r.example/a:2"), DIGEST), (("r.example/b:1",), DIGEST), (("r.example/a:3",), BASE),
    ]  # fmt: skip


def test_an_image_without_a_known_digest_stands_for_itself() -> None:
    run = record(pushed={"r.example/a:1": "", "r.example/a:2": ""})
    assert [image.references for image in pushed_images(run)] == [("r.example/a:1",), ("r.example/a:2",)]


def test_a_statement_has_the_form_of_in_toto_and_slsa() -> None:
    document = said()
    assert document["_type"] == "https://in-toto.io/Statement/v1"
    assert document["predicateType"] == "https://slsa.dev/provenance/v1"
    assert document["subject"] == [{"name": "registry.example.com/app:1", "digest": {"sha256": "a" * 64}}]
    assert set(document["predicate"]) == {"buildDefinition", "runDetails"}
    assert set(document["predicate"]["buildDefinition"]) == {"buildType", "externalParameters", "resolvedDependencies"}
    details = document["predicate"]["runDetails"]
    assert details["metadata"] == {
        "invocationId": "cb1", "startedOn": "2026-01-02T03:04:05Z", "finishedOn": "2026-01-02T03:04:05Z",
    }  # fmt: skip
    assert details["builder"]["version"] == {"acr-task": "1.2.3"}


def test_the_task_is_named_by_its_digest_and_a_made_one_is_told() -> None:
    digest = hashlib.sha256(b"steps: []\n").hexdigest()
    assert definition()["externalParameters"]["task"] == {"name": "task.yaml", "digest": {"sha256": digest}}
    made = RunInputs(task_name="build", task_text=b"steps: []\n", is_made=True)
    assert definition(made)["externalParameters"]["task"]["text"] == "steps: []\n"


def test_base_images_have_their_digests_and_addresses() -> None:
    (base,) = definition()["resolvedDependencies"]
    assert base["digest"] == {"sha256": "b" * 64}
    assert base["annotations"] == {"reference": "alpine:3", "platform": "linux/amd64", "platformDigest": TOOL}
    url = PackageURL.from_string(base["uri"])
    assert (url.type, url.name, url.version) == ("oci", "alpine", BASE)
    assert url.qualifiers == {
        "repository_url": "docker.io/library/alpine", "tag": "3", "platform": "linux/amd64",
    }  # fmt: skip


def test_what_the_steps_before_a_build_used_went_in_and_what_others_used_did_not() -> None:
    run = record(
        step("gen", "cmd", dependencies=(depends("tool:1", DependencyType.CMD, digest=TOOL),)),
        step("base", images=built("base:1"), dependencies=(depends("alpine:3", digest=BASE),)),
        step(
            "app", needs=("gen", "base"), images=built("registry.example.com/app:1"),
            dependencies=(depends("base:1", local=True), depends("golang:1", DependencyType.BUILDTIME, digest=TOOL)),
        ),
        step("else", images=built("other:1"), dependencies=(depends("not-in-it:1", digest=BASE),)),
        step("p", "push", needs=("app", "else")),
    )  # fmt: skip
    assert [one.reference for one in materials(run, APP)] == ["tool:1", "alpine:3", "golang:1"]


def test_an_image_that_was_only_pushed_has_no_known_inputs() -> None:
    assert materials(record(step("p", "push")), APP) == ()


def test_a_context_from_git_is_named_by_its_commit() -> None:
    origin = ContextOrigin(
        uri="https://github.com/team/app.git#main:web", repository="https://github.com/team/app.git",
        commit="c0ffee" * 6, branch="main",
    )  # fmt: skip
    document = definition(RunInputs(task_name="t", task_text=b"", context=origin))
    assert document["resolvedDependencies"][0] == {
        "name": "context",
        "uri": "git+https://github.com/team/app.git@refs/heads/main",
        "digest": {"gitCommit": "c0ffee" * 6},
    }
    assert document["externalParameters"]["context"] == {"uri": "https://github.com/team/app.git#main:web"}


def test_a_context_from_an_archive_is_named_by_its_digest() -> None:
    origin = ContextOrigin(uri="https://example.com/a.tgz", digest=BASE)
    found = definition(RunInputs(task_name="t", task_text=b"", context=origin))["resolvedDependencies"][0]
    assert found == {"name": "context", "uri": "https://example.com/a.tgz", "digest": {"sha256": "b" * 64}}


def test_a_folder_of_the_user_is_said_to_be_local_and_not_where_it_lies() -> None:
    document = definition(RunInputs(task_name="t", task_text=b"", context=ContextOrigin()))
    assert document["externalParameters"]["context"] == {"local": True}
    assert [one["name"] for one in document["resolvedDependencies"]] == ["runtime"]


def test_a_local_folder_is_named_by_its_commit_only_when_nothing_was_changed() -> None:
    clean = ContextOrigin(repository="https://h/r.git", commit="c0ffee", branch="main", changed=False)
    document = definition(RunInputs(task_name="t", task_text=b"", context=clean))
    assert document["externalParameters"]["context"] == {"local": True}
    assert document["resolvedDependencies"][0] == {
        "name": "context", "uri": "git+https://h/r.git@refs/heads/main", "digest": {"gitCommit": "c0ffee"},
    }  # fmt: skip


@pytest.mark.parametrize(("changed", "said"), [(True, True), (None, "unknown")])
def test_a_local_folder_that_was_changed_tells_its_commit_but_is_not_named_by_it(
    changed: bool | None, said: bool | str
) -> None:
    origin = ContextOrigin(commit="c0ffee", changed=changed)
    document = definition(RunInputs(task_name="t", task_text=b"", context=origin))
    assert document["externalParameters"]["context"] == {"local": True, "commit": "c0ffee", "changed": said}
    assert [one["name"] for one in document["resolvedDependencies"]] == ["runtime"]


def test_values_are_told_and_secrets_are_names_only() -> None:
    inputs = RunInputs(
        task_name="t", task_text=b"", values={"tag": "1", "url": "https://u:hunter2-hunter2@h/"},
        values_file=b"a: b\n", secrets=("password",), files={"Dockerfile.prod": b"FROM x\n"},
    )  # fmt: skip
    found = definition(inputs, mask=Mask(["hunter2-hunter2"]))["externalParameters"]
    assert found["values"] == {"tag": "1", "url": "https://u:***@h/"}
    assert found["valuesFile"] == {"digest": {"sha256": hashlib.sha256(b"a: b\n").hexdigest()}}
    assert found["secrets"] == ["password"]
    assert found["files"][0]["name"] == "Dockerfile.prod"


def test_a_secret_that_looks_like_a_part_of_a_digest_does_not_break_it() -> None:
    document = said(mask=Mask(["a" * 64, "b" * 64, "https://slsa.dev/provenance/v1"]))
    assert document["subject"][0]["digest"] == {"sha256": "a" * 64}
    assert document["predicateType"] == "https://slsa.dev/provenance/v1"


@pytest.mark.parametrize("kind", ["statement", "record"])
def test_no_secret_of_a_run_is_in_what_is_attached(kind: str) -> None:
    run = record(step("b", message="failed with hunter2-hunter2", last_lines=("token hunter2-hunter2",)))
    mask = Mask(["hunter2-hunter2"])
    made = statement_artifact(run, APP, INPUTS, mask) if kind == "statement" else record_artifact(run, mask)
    assert b"hunter2" not in made.document


def test_the_statement_names_the_run_record_by_its_digest() -> None:
    attached = record_artifact(ONE_BUILD, Mask())
    (named,) = said()["predicate"]["runDetails"]["byproducts"]
    assert named["digest"] == {"sha256": hashlib.sha256(attached.document).hexdigest()}
    assert attached.kind == RUN_RECORD
    assert json.loads(attached.document)["status"] == "Succeeded"


def test_others_can_tell_the_statement_apart_without_reading_it() -> None:
    made = statement_artifact(ONE_BUILD, APP, INPUTS, Mask())
    assert made.annotations["in-toto.io/predicate-type"] == "https://slsa.dev/provenance/v1"
    assert made.annotations["org.opencontainers.image.created"] == "2026-01-02T03:04:05Z"


def test_a_statement_is_valid_in_the_official_form() -> None:
    """Parsed strictly by in-toto's own definitions: an unknown or misspelt field is an error there."""
    from google.protobuf import json_format
    from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
    from in_toto_attestation.v1 import statement_pb2
    from in_toto_attestation.v1.statement import Statement

    inputs = RunInputs(
        task_name="t", task_text=b"x", is_made=True, values={"a": "b"}, secrets=("s",), files={"f": b""},
        context=ContextOrigin(uri="u", repository="https://h/r", commit="c0ffee", tag="v1"), facts={"commit": "c"},
        version="1",
    )  # fmt: skip
    document = said(inputs)
    official = json_format.ParseDict(document, statement_pb2.Statement())
    Statement.copy_from_pb(official).validate()
    predicate = json_format.ParseDict(document["predicate"], provenance_pb2.Provenance())
    assert predicate.run_details.metadata.started_on.ToJsonString() == "2026-01-02T03:04:05Z"
    assert [one.name for one in predicate.build_definition.resolved_dependencies] == ["context", "runtime"]


def test_the_run_record_is_valid_by_its_schema() -> None:
    from jsonschema import Draft202012Validator

    schema = event_schema()
    document = json.loads(record_artifact(ONE_BUILD, Mask()).document)
    Draft202012Validator({"$ref": "#/$defs/RunRecord", "$defs": schema["$defs"]}).validate(document)
