"""What builds and commands are recorded to have stood on, by a real engine and a real registry."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from taskengine.registry import mediatype
from taskengine.registry.auth import Logins
from taskengine.registry.client import RegistryClient
from taskengine.registry.config import parse_registries
from taskengine.registry.reference import ImageReference
from taskengine.runs.model import Dependency
from tests.runners.docker.conftest import Outcome, RunTask
from tests.support.engine import Engine
from tests.support.registry import Registry

_NUMBERS = itertools.count()


@dataclass
class Shelf:
    """Images in the engine's registry and not on the engine, each test's with names of its own."""

    engine: Engine
    client: RegistryClient
    prefix: str = field(default_factory=lambda: f"dep-{next(_NUMBERS)}")

    def put(self, name: str, content: str = "") -> str:
        """An image with one file `/NAME`; its digest. Put again with other content, the tag moves."""
        self.engine.build_base("shelf:1", f"FROM busybox:1\nRUN echo '{content}' > /{name}\n")
        reference = f"{self.name(name)}:1"
        self.engine.push("shelf:1", reference)
        for tag in ("shelf:1", reference):
            self.engine.api.remove_image(tag, force=True, noprune=True)
        return self.digest(name)

    def name(self, name: str) -> str:
        return f"{self.engine.registry}/{self.prefix}/{name}"

    def digest(self, name: str) -> str:
        return self.client.resolve(ImageReference.parse(f"{self.name(name)}:1")).digest

    def put_index(self, name: str, *parts: tuple[str, str]) -> str:
        """An index of images that are there: pairs of platform and name."""
        entries = []
        for platform, part in parts:
            found = self.client.resolve(ImageReference.parse(f"{self.name(part)}:1"))
            raw = self.client.manifest(ImageReference.parse(f"{self.name(part)}:1"))
            target = ImageReference.parse(f"{self.name(name)}@{found.digest}")
            self.client.copy(ImageReference.parse(f"{self.name(part)}:1"), target)
            entries.append(
                raw.descriptor.as_json()
                | {"platform": dict(zip(("os", "architecture"), platform.split("/"), strict=True))}
            )
        index = {"schemaVersion": 2, "mediaType": mediatype.OCI_INDEX, "manifests": entries}
        reference = ImageReference.parse(f"{self.name(name)}:1")
        return self.client.put_manifest(reference, json.dumps(index).encode(), mediatype.OCI_INDEX).digest


@pytest.fixture
def registries(engine: Engine, tmp_path: Path) -> Path:
    """Under the name that the engine has for its registry this process finds it as a mirror."""
    path = tmp_path / "registries.yaml"
    path.write_text(
        f"registries:\n  {engine.registry}:\n    mirrors: ['{engine.registry_url}']\n  {engine.registry_shared}:\n    plain_http: true\n"
    )
    return path


@pytest.fixture
def shelf(engine: Engine) -> Iterator[Shelf]:
    text = f"registries:\n  {engine.registry_shared}:\n    plain_http: true\n"
    with _Renamed(engine, Logins(), parse_registries(text.encode(), source="test")) as client:
        yield Shelf(engine, client)


class _Renamed(RegistryClient):
    """Takes the engine's name for its registry as the one that this process knows."""

    def __init__(self, engine: Engine, *args: Any) -> None:
        super().__init__(*args)
        self._names = (engine.registry, engine.registry_shared)

    def _site(self, ref: ImageReference, endpoint: Any = None) -> Any:
        return super()._site(replace(ref, domain=self._names[1]) if ref.domain == self._names[0] else ref, endpoint)

    def _first(self, ref: ImageReference, action: Any) -> Any:
        return super()._first(replace(ref, domain=self._names[1]) if ref.domain == self._names[0] else ref, action)


Build = Callable[..., Outcome]


@pytest.fixture
def build(run_task: RunTask, registries: Path, tmp_path: Path) -> Build:
    """`build(dockerfile, options="")` is a run of one build step, `b`."""
    folder = tmp_path / "ctx"
    folder.mkdir()

    def run(dockerfile: str, options: str = "", **more: Any) -> Outcome:
        (folder / "Dockerfile").write_text(dockerfile)
        environ = {"ACR_TASK_REGISTRIES": str(registries), **more.pop("environ", {})}
        done = run_task(f"steps:\n  - {{id: b, build: {options} .}}\n", context=folder, environ=environ, **more)
        assert done.status == "Succeeded", done.record
        return done

    return run


def told(done: Outcome, step: str = "b") -> dict[str, tuple[str, str | None, str | None]]:
    """By the last part of the repository: type, digest and the platform's digest."""
    return {d.repository.rpartition("/")[2]: (d.type.value, d.digest, d.platform_digest) for d in of(done, step)}


def of(done: Outcome, step: str = "b") -> tuple[Dependency, ...]:
    return done.step(step).dependencies


def test_each_way_to_take_from_an_image_is_recorded_with_the_digest_that_was_used(build: Build, shelf: Shelf) -> None:
    digests = {name: shelf.put(name) for name in ("one", "two", "three", "four", "five")}
    dockerfile = f"""
ARG BASE={shelf.name("one")}:1
FROM {shelf.name("five")}:1 AS unneeded
FROM $BASE AS first
RUN true
FROM {shelf.name("two")}:1
COPY --from=first /one /one
COPY --from={shelf.name("three")}:1 /three /three
RUN --mount=from={shelf.name("four")}:1,target=/m cat /m/four
"""
    done = build(dockerfile)
    wanted = {
        "two": ("runtime", digests["two"], digests["two"]),
        "one": ("buildtime", digests["one"], digests["one"]),
        "three": ("buildtime", digests["three"], digests["three"]),
        "four": ("buildtime", digests["four"], digests["four"]),
    }
    assert told(done) == wanted
    assert [d.note for d in of(done)] == [""] * 4
    assert done.record.dependencies == of(done)
    again = build(dockerfile)
    assert "CACHED" in again.text("b")
    assert told(again) == wanted


def test_a_base_that_moved_between_two_builds_gives_its_new_digest(build: Build, shelf: Shelf) -> None:
    dockerfile = f"FROM {shelf.name('base')}:1\nCOPY --from={shelf.name('tool')}:1 /tool /t\n"
    old = {name: shelf.put(name, "old") for name in ("base", "tool")}
    first = build(dockerfile)
    new = {name: shelf.put(name, "new") for name in ("base", "tool")}
    second = build(dockerfile)
    assert {name: digest for name, (_, digest, _) in told(first).items()} == old
    assert {name: digest for name, (_, digest, _) in told(second).items()} == new
    assert old != new


def test_an_index_has_its_own_digest_and_that_of_the_platform_in_use(build: Build, shelf: Shelf) -> None:
    amd, arm = shelf.put("amd"), shelf.put("arm", "another")
    index = shelf.put_index("many", ("linux/arm64", "arm"), ("linux/amd64", "amd"))
    [base] = of(build(f"FROM {shelf.name('many')}:1\nRUN true\n"))
    assert (base.digest, base.platform, base.platform_digest) == (index, "linux/amd64", amd)
    assert arm not in (index, amd)


def test_a_pinned_base_keeps_its_digest(build: Build, shelf: Shelf) -> None:
    digest = shelf.put("pinned")
    [base] = of(build(f"FROM {shelf.name('pinned')}@{digest}\nRUN true\n"))
    assert (base.type.value, base.tag, base.digest, base.platform_digest) == ("runtime", "", digest, digest)


def test_an_image_that_is_only_on_the_engine_says_so(build: Build, engine: Engine) -> None:
    ident = engine.build_base("only-here:1", "FROM busybox:1\nRUN echo here > /here\n")
    [base] = of(build("FROM only-here:1\nRUN true\n"))
    assert (base.digest, base.local, base.image_id, base.platform_digest) == (None, True, ident, None)
    assert "engine alone" in base.note


def test_a_pulled_image_is_used_as_it_was_pulled_though_its_tag_moved(
    build: Build, shelf: Shelf, engine: Engine
) -> None:
    old = shelf.put("pulled", "old")
    engine.api.pull(shelf.name("pulled"), tag="1")
    new = _move(shelf, "pulled")
    dockerfile = f"FROM {shelf.name('pulled')}:1\nRUN true\n"
    [base] = of(build(dockerfile))
    assert (base.digest, base.platform_digest, base.local) == (old, old, False)
    assert base.image_id.startswith("sha256:")
    [fresh] = of(build(dockerfile, "--pull"))
    assert fresh.digest == new != old
    engine.api.remove_image(f"{shelf.name('pulled')}:1")


def _move(shelf: Shelf, name: str) -> str:
    """The tag gets another image without the engine's copy noticing."""
    shelf.put("other", "moved")
    shelf.client.copy(ImageReference.parse(f"{shelf.name('other')}:1"), ImageReference.parse(f"{shelf.name(name)}:1"))
    return shelf.digest(name)


def test_a_private_base_is_recorded_like_any_other(
    build: Build, engine: Engine, registry_auth: Registry, tmp_path: Path
) -> None:
    name = f"{registry_auth.name}/dependency/private"
    engine.build_base(f"{name}:1", "FROM busybox:1\nRUN echo private > /p\n")
    engine.api.push(name, tag="1", auth_config={"username": registry_auth.user, "password": registry_auth.password})
    [pushed] = engine.api.inspect_image(f"{name}:1")["RepoDigests"]
    engine.api.remove_image(f"{name}:1", force=True)
    auth = base64.b64encode(f"{registry_auth.user}:{registry_auth.password}".encode()).decode()
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker" / "config.json").write_text(json.dumps({"auths": {registry_auth.name: {"auth": auth}}}))
    done = build(f"FROM busybox:1\nCOPY --from={name}:1 /p /p\n", environ={"DOCKER_CONFIG": str(tmp_path / "docker")})
    private = next(d for d in of(done) if d.repository == "dependency/private")
    assert private.digest == pushed.partition("@")[2]
    assert registry_auth.password not in repr(done.record)


def test_a_registry_that_only_the_engine_reaches_leaves_the_platforms_digest_open(
    build: Build, shelf: Shelf, tmp_path: Path
) -> None:
    digest = shelf.put("far")
    nowhere = tmp_path / "none.yaml"
    nowhere.write_text("registries: {}\n")
    [base] = of(build(f"FROM {shelf.name('far')}:1\nRUN true\n", environ={"ACR_TASK_REGISTRIES": str(nowhere)}))
    assert (base.digest, base.platform_digest) == (digest, None)
    assert base.note.startswith("the manifest for linux/amd64 is not known")


def test_what_the_platforms_digest_is_stays_known_when_the_registry_is_gone(
    build: Build, shelf: Shelf, tmp_path: Path
) -> None:
    digest = shelf.put("kept")
    build(f"FROM {shelf.name('kept')}:1\nRUN true\n")
    nowhere = tmp_path / "none.yaml"
    nowhere.write_text("registries: {}\n")
    [base] = of(build(f"FROM {shelf.name('kept')}:1\nRUN true\n", environ={"ACR_TASK_REGISTRIES": str(nowhere)}))
    assert (base.digest, base.platform_digest, base.note) == (digest, digest, "")


def test_the_triggers_of_a_base_run_and_the_base_is_recorded(build: Build, engine: Engine) -> None:
    engine.build_base("with-trigger:1", "FROM busybox:1\nONBUILD RUN echo triggered > /t\n")
    done = build("FROM with-trigger:1\n")
    assert [(d.type.value, d.reference) for d in of(done)] == [("runtime", "with-trigger:1")]


def test_a_command_is_recorded_with_the_image_that_it_ran(
    run_task: RunTask, engine: Engine, shelf: Shelf, tmp_path: Path
) -> None:
    digest = shelf.put("tool")
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM busybox:1\n")
    done = run_task(
        f"""
steps:
  - {{id: pulled, cmd: '{shelf.name("tool")}:1 cat /tool'}}
  - {{id: local, cmd: busybox:1 true}}
  - {{id: b, build: -t own-image:1 .}}
  - {{id: own, cmd: own-image:1 true}}
""",
        context=folder,
    )
    assert done.status == "Succeeded", done.record
    [pulled], [local] = of(done, "pulled"), of(done, "local")
    assert (pulled.type.value, pulled.digest, pulled.platform) == ("cmd", digest, "linux/amd64")
    assert (local.digest, local.local) == (None, True)
    assert of(done, "own") == ()
    engine.api.remove_image(f"{shelf.name('tool')}:1", force=True)


def test_an_image_of_this_run_is_local_to_the_next_build(run_task: RunTask, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "Dockerfile").write_text("FROM busybox:1\nRUN echo a > /a\n")
    (tmp_path / "a" / "Next").write_text("FROM first-of-run:1\nRUN cat /a\n")
    text = "steps:\n  - {id: a, build: -t first-of-run:1 .}\n  - {id: b, build: -f Next -t second-of-run:1 .}\n"
    done = run_task(text, context=tmp_path / "a")
    [base] = of(done, "b")
    assert (base.reference, base.local, base.image_id) == ("first-of-run:1", True, done.step("a").images[0].image_id)
