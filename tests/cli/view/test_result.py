"""The result of a build as one object, and the list of dependencies."""

from __future__ import annotations

from dataclasses import replace

import yaml

from taskengine.cli.view.result import HEAD, dependency_list, result_json
from taskengine.registry.reference import ImageReference
from taskengine.runs.dependency import of_image
from taskengine.runs.model import Dependency, DependencyType, ImageResult, RunRecord, RunStatus, StepRecord, StepStatus

A, B, C = (f"sha256:{letter * 64}" for letter in "abc")


def image(name: str, kind: str, digest: str) -> Dependency:
    return of_image(ImageReference.parse(name), DependencyType(kind), digest=digest, platform="linux/amd64")


def record(*dependencies: Dependency, tags: tuple[str, ...] = ("r.io/app:1.10",), digest: str = A) -> RunRecord:
    built = tuple(ImageResult(reference=tag, image_id=C, size=5) for tag in tags)
    step = StepRecord(id="b", type="build", status=StepStatus.SUCCEEDED, images=built, dependencies=dependencies)
    pushed = tuple(replace(image, digest=digest, pushed=True) for image in built)
    return RunRecord(id="r1", status=RunStatus.SUCCEEDED, steps=(step,), images=pushed, dependencies=dependencies)


def read(run: RunRecord, git: dict[str, str] | None = None) -> list[dict[str, object]]:
    head, *lines = dependency_list(run, git or {})
    assert head == HEAD
    found: list[dict[str, object]] = yaml.safe_load("\n".join(lines))
    return found


def test_the_list_is_yaml_in_the_form_of_acr_tasks() -> None:
    run = record(image("alpine:3", "runtime", B), image("r.io/go:1", "buildtime", C))
    assert read(run, {"commit": "0" * 40, "branch": "main"}) == [
        {
            "image": {"registry": "r.io", "repository": "app", "tag": "1.10", "digest": A},
            "runtime-dependency": {
                "registry": "registry.hub.docker.com",
                "repository": "library/alpine",
                "tag": "3",
                "digest": B,
            },
            "buildtime-dependency": [{"registry": "r.io", "repository": "go", "tag": "1", "digest": C}],
            "git": {"git-head-revision": "0" * 40},
        }
    ]


def test_each_name_of_an_image_stands_in_the_list() -> None:
    found = read(record(tags=("r.io/app:1", "r.io/app:on", "127.0.0.1:5000/app:9-alpine")))
    assert [entry["image"]["tag"] for entry in found] == ["1", "on", "9-alpine"]  # type: ignore[index]


def test_what_is_not_known_is_an_empty_text_in_the_list_and_null_in_the_object() -> None:
    local = replace(image("here:1", "runtime", B), digest=None, local=True)
    [found] = read(record(local, digest=""))
    assert found["runtime-dependency"]["digest"] == ""  # type: ignore[index]
    told = result_json(record(local, digest=""), {})
    assert (told["digest"], told["git"], told["dependencies"][0]["digest"]) == (None, None, None)
    assert told["dependencies"][0]["local"] is True


def test_a_build_without_a_name_is_in_the_list() -> None:
    [found] = read(record(image("r.io/base:1", "runtime", B), tags=("",)))
    assert found["image"] == {}


def test_a_run_that_built_nothing_has_no_list() -> None:
    step = StepRecord(id="c", type="cmd", status=StepStatus.SUCCEEDED, dependencies=(image("r.io/x:1", "cmd", A),))
    assert dependency_list(RunRecord(id="r", status=RunStatus.SUCCEEDED, steps=(step,)), {}) == []


def test_the_object_has_the_first_image_at_its_top() -> None:
    told = result_json(record(image("r.io/base:1", "runtime", B), tags=("r.io/app:1", "r.io/app:2")), {"commit": "abc"})
    assert {key: told[key] for key in ("id", "status", "image", "digest", "imageId", "size", "git")} == {
        "id": "r1", "status": "Succeeded", "image": "r.io/app:1", "digest": A, "imageId": C, "size": 5,
        "git": {"commit": "abc"},
    }  # fmt: skip
    assert [entry["tag"] for entry in told["images"]] == ["1", "2"]
    assert told["dependencies"] == [
        {
            "type": "runtime", "registry": "r.io", "repository": "base", "tag": "1", "reference": "r.io/base:1",
            "digest": B, "platform": "linux/amd64", "platformDigest": None, "local": False, "imageId": None,
            "note": None,
        }
    ]  # fmt: skip
