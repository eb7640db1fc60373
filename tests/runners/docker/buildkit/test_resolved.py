"""What the names of vertexes say about images."""

from __future__ import annotations

import base64
import json

import pytest

from runners.docker.buildkit.model import ResolvedImage, VertexUpdate
from runners.docker.buildkit.resolved import resolved

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def read(*names: str, response: dict[str, str] | None = None) -> list[tuple[str, str]]:
    vertexes = [VertexUpdate(digest=str(n), name=name) for n, name in enumerate(names)]
    return [(image.reference, image.digest) for image in resolved(vertexes, response)]


def info(*sources: object) -> dict[str, str]:
    text = json.dumps({"frontend": "dockerfile.v0", "sources": sources})
    return {"containerimage.buildinfo": base64.b64encode(text.encode()).decode()}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["[internal] load metadata for r.io/a:1", f"[1/2] FROM r.io/a:1@{A}"], [("r.io/a:1", A)]),
        (["[linux/arm64 internal] load metadata for r.io/a:1", f"[linux/arm64 b 1/2] FROM r.io/a:1@{A}"], [("r.io/a:1", A)]),
        (["[internal] load metadata for r.io/a:1", "[stage-0 1/2] FROM r.io/a:1"], [("r.io/a:1", "")]),
        (["[internal] load metadata for r.io/a:latest", f"[1/2] FROM r.io/a@{A}"], [("r.io/a:latest", A)]),
        (["FROM r.io/b:1"], [("r.io/b:1", "")]),
        (["[internal] load metadata for r.io/b:1", f"FROM r.io/b:1@{B}"], [("r.io/b:1", B)]),
        ([f"[internal] load metadata for r.io/a:1@{A}", f"[1/1] FROM r.io/a:1@{A}"], [("r.io/a:1", A)]),
        ([f"[internal] load metadata for r.io/a@{A}", f"[1/1] FROM r.io/a@{A}"], [("r.io/a", A)]),
    ],
)  # fmt: skip
def test_the_names_of_vertexes_tell_images_and_digests(names: list[str], expected: list[tuple[str, str]]) -> None:
    assert read(*names) == expected


def test_an_image_by_digest_does_not_lend_its_digest_to_the_tag() -> None:
    names = ("[internal] load metadata for r.io/a:latest", f"[1/2] FROM r.io/a:latest@{A}", f"FROM r.io/a@{B}")
    assert read(*names) == [("r.io/a:latest", A), ("r.io/a", B)]


@pytest.mark.parametrize("prefix", ["", "docker-image://"])
def test_a_front_end_is_told_apart(prefix: str) -> None:
    names = (
        f"resolve image config for {prefix}docker.io/docker/dockerfile:1",
        f"docker-image://docker.io/docker/dockerfile:1@{A}",
    )
    vertexes = [VertexUpdate(digest=name, name=name) for name in names]
    wanted = ResolvedImage(reference="docker.io/docker/dockerfile:1", digest=A, is_frontend=True)
    assert resolved(vertexes) == (wanted,)


@pytest.mark.parametrize(
    "name",
    ["[2/2] RUN echo FROM r.io/a:1", "[internal] load .dockerignore", "FROM a b", "[a] COPY --from=r.io/a:1 / /"],
)
def test_other_vertexes_name_no_image(name: str) -> None:
    assert read(name) == []


def test_engines_that_list_their_sources_are_heard() -> None:
    response = info(
        {"type": "docker-image", "ref": "docker.io/library/a:1", "pin": A},
        {"type": "docker-image", "ref": f"docker.io/library/b:1@{B}", "pin": B},
        {"type": "git", "ref": "https://e.example/x.git", "pin": "0" * 40},
    )  # fmt: skip
    assert read("FROM docker.io/library/a:1", response=response) == [
        ("docker.io/library/a:1", A),
        ("docker.io/library/b:1", B),
    ]


@pytest.mark.parametrize(
    "text", ["", "%%%", "bm8ganNvbg==", base64.b64encode(b"[1]").decode(), base64.b64encode(b'{"sources": 3}').decode()]
)
def test_a_list_that_cannot_be_read_lists_nothing(text: str) -> None:
    assert read(response={"containerimage.buildinfo": text}) == []


def test_a_pin_that_is_no_digest_is_not_believed() -> None:
    assert read(response=info({"type": "docker-image", "ref": "r.io/a:1", "pin": "sha256:x"})) == []
