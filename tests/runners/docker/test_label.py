"""Labels that say where an image comes from, on a real engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.runners.docker.conftest import Outcome, RunTask
from tests.runners.docker.test_dependency import Shelf, _move, of, registries, shelf  # noqa: F401
from tests.support.engine import Engine

OCI = "org.opencontainers.image."
GIVEN = {f"{OCI}revision": "c0ffee", f"{OCI}source": "https://git.example.com/app.git"}

Labelled = Callable[..., tuple[Outcome, dict[str, str]]]


@pytest.fixture
def labelled(run_task: RunTask, engine: Engine, registries: Path, tmp_path: Path) -> Labelled:  # noqa: F811
    """`labelled(dockerfile, tag, options="")` builds with GIVEN and returns the run and the image's labels."""
    folder = tmp_path / "ctx"
    folder.mkdir()

    def build(dockerfile: str, tag: str, options: str = "", **more: Any) -> tuple[Outcome, dict[str, str]]:
        (folder / "Dockerfile").write_text(dockerfile)
        done = run_task(
            f"steps:\n  - {{id: b, build: {options} -t {tag} .}}\n", context=folder,
            environ={"ACR_TASK_REGISTRIES": str(registries)}, grant={"image_labels": GIVEN}, **more,
        )  # fmt: skip
        assert done.status == "Succeeded", done.record
        return done, engine.api.inspect_image(tag)["Config"]["Labels"] or {}

    return build


def dangling(engine: Engine) -> set[str]:
    return {image["Id"] for image in engine.api.images(filters={"dangling": True})}


def test_an_image_says_its_commit_its_source_and_its_base(labelled: Labelled, shelf: Shelf) -> None:  # noqa: F811
    digest = shelf.put("base")
    done, labels = labelled(f"FROM {shelf.name('base')}:1\nRUN true\n", "labelled:1")
    assert labels == GIVEN | {f"{OCI}base.name": f"{shelf.name('base')}:1", f"{OCI}base.digest": digest}
    assert of(done)[0].digest == digest


def test_a_build_with_nothing_changed_gives_the_same_image(labelled: Labelled, shelf: Shelf) -> None:  # noqa: F811
    shelf.put("same")
    first, again = (labelled(f"FROM {shelf.name('same')}:1\nRUN true\n", "labelled:2")[0] for _ in range(2))
    assert first.step("b").images == again.step("b").images


def test_a_base_that_moved_since_the_last_build_is_told_and_leaves_no_wrong_image(
    labelled: Labelled, shelf: Shelf, engine: Engine  # noqa: F811
) -> None:  # fmt: skip
    old = shelf.put("moving", "old")
    dockerfile = f"FROM {shelf.name('moving')}:1\nRUN true\n"
    first, labels = labelled(dockerfile, "labelled:3")
    assert labels[f"{OCI}base.digest"] == old
    before = dangling(engine)
    new = _move(shelf, "moving")
    second, labels = labelled(dockerfile, "labelled:3")
    assert labels[f"{OCI}base.digest"] == new != old
    assert dangling(engine) - before == {first.step("b").images[0].image_id}
    assert second.text("b").count("load metadata") == first.text("b").count("load metadata")


def test_what_the_author_labels_stays_the_authors(labelled: Labelled, shelf: Shelf) -> None:  # noqa: F811
    shelf.put("own")
    dockerfile = f'FROM {shelf.name("own")}:1\nLABEL {OCI}revision=mine "{OCI}base.name"=other\n'
    _, labels = labelled(dockerfile, "labelled:4", f"--label {OCI}source=given")
    assert labels == {f"{OCI}revision": "mine", f"{OCI}source": "given", f"{OCI}base.name": "other"}


def test_a_base_without_a_digest_is_not_named(labelled: Labelled, engine: Engine) -> None:
    engine.build_base("label-local:1", "FROM busybox:1\nRUN echo l > /l\n")
    _, labels = labelled("FROM label-local:1\nRUN true\n", "labelled:5")
    assert labels == GIVEN


def test_an_image_from_scratch_has_no_base(labelled: Labelled) -> None:
    _, labels = labelled("FROM scratch\nCOPY Dockerfile /\n", "labelled:6")
    assert labels == GIVEN


def test_without_asking_an_image_has_no_labels_but_its_own(run_task: RunTask, engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox:1\nRUN true\n")
    done = run_task("steps:\n  - {id: b, build: -t labelled:7 .}\n", context=tmp_path)
    assert done.status == "Succeeded"
    assert not engine.api.inspect_image("labelled:7")["Config"]["Labels"]
