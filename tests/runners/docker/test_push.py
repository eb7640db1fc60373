"""Pushing what a registry has already, on a real engine with a real registry."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from runners.docker.push import known_digests
from taskengine.registry.client import RegistryClient
from taskengine.registry.endpoint import HostConfig, Registries
from taskengine.registry.mediatype import OCI_INDEX
from taskengine.registry.reference import ImageReference
from taskengine.runs.event import Event, StepProgress, StepRetrying
from tests.runners.docker.conftest import Outcome, RunTask
from tests.runners.docker.test_build_and_push import login_config
from tests.support.engine import Engine
from tests.support.registry import Registry


@pytest.fixture
def image(engine: Engine) -> str:
    """An image with content of its own, named for the engine's registry."""
    name = f"{engine.registry}/push/{os.urandom(4).hex()}:1"
    engine.build_base(name, f"FROM busybox:1\nLABEL only={os.urandom(4).hex()}\n")
    return name


@pytest.fixture
def shared(engine: Engine) -> Iterator[RegistryClient]:
    """Reaches the engine's registry from this process."""
    registries = Registries(hosts={engine.registry_shared: HostConfig(plain_http=True)})
    with RegistryClient(registries=registries) as client:
        yield client


def push(run_task: RunTask, image: str) -> Outcome:
    done = run_task(f"steps:\n  - {{id: p, push: ['{image}']}}\n")
    assert done.status == "Succeeded", done.record
    return done


def sent(done: Outcome) -> list[StepProgress]:
    return [event for event in done.events if isinstance(event, StepProgress)]


def test_an_image_that_is_there_already_is_not_pushed_again(run_task: RunTask, image: str) -> None:
    first = push(run_task, image)
    again = push(run_task, image)
    (pushed,) = first.record.images
    assert first.text("p") == f"pushed {image}@{pushed.digest}\n"
    assert again.text("p") == f"already there: {image}@{pushed.digest}\n"
    assert again.record.images == first.record.images
    assert sent(first)
    assert not sent(again)


def test_a_tag_that_was_moved_is_pushed_again(run_task: RunTask, engine: Engine, image: str) -> None:
    first = push(run_task, image)
    engine.push("busybox:1", image.rpartition(":")[0] + ":other")
    engine.api.tag("busybox:1", image.rpartition(":")[0], "1")
    moved = push(run_task, image)
    assert moved.text("p").startswith("pushed ")
    assert moved.record.images[0].digest != first.record.images[0].digest


def test_an_image_that_was_deleted_is_pushed_again(
    run_task: RunTask, engine: Engine, image: str, shared: RegistryClient
) -> None:
    digest = push(run_task, image).record.images[0].digest
    where = ImageReference.parse(image.replace(engine.registry, engine.registry_shared)).with_digest(digest)
    shared.delete(where)
    assert push(run_task, image).text("p") == f"pushed {image}@{digest}\n"


def test_an_index_under_the_tag_is_not_taken_for_the_image(
    run_task: RunTask, engine: Engine, image: str, shared: RegistryClient
) -> None:
    digest = push(run_task, image).record.images[0].digest
    where = ImageReference.parse(image.replace(engine.registry, engine.registry_shared))
    entry = shared.resolve(where).as_json()
    shared.put_manifest(where, json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode(), OCI_INDEX)
    assert push(run_task, image).text("p") == f"pushed {image}@{digest}\n"
    assert shared.resolve(where).digest == digest


def test_a_push_is_tried_again_with_a_growing_pause_until_the_registry_is_back(
    run_task: RunTask, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runners.docker.push.FIRST_PAUSE", 0.01)
    late = engine._new_registry(None)
    engine._registries.append(late)  # it ends with the engine
    name = f"{late.name}/late/app:1"
    engine.build_base(name)
    retries: list[StepRetrying] = []

    def listener(event: Event) -> None:
        if isinstance(event, StepRetrying):
            retries.append(event)
            if len(retries) == 2:
                late.launch()
                late.await_ready()

    done = run_task(f"steps:\n  - {{id: p, push: ['{name}']}}\n", listener=listener)
    assert done.text("p").startswith(f"pushed {name}@sha256:")
    assert [event.delay for event in retries] == [0.01, 0.02]


def test_an_engine_that_cannot_ask_pushes(run_task: RunTask, image: str) -> None:
    class NoSuchCall:
        """An engine without the call, such as Podman."""

        def __init__(self, api: object) -> None:
            self._api = api

        def __getattr__(self, name: str) -> object:
            return getattr(self._api, name)

        def inspect_distribution(self, *_: object, **__: object) -> None:
            from docker.errors import NotFound

            raise NotFound("no such call")

    push(run_task, image)
    done = run_task(f"steps:\n  - {{id: p, push: ['{image}']}}\n", wrap=NoSuchCall)
    assert done.text("p").startswith("pushed ")


def test_a_registry_that_wants_a_login_is_asked_with_it(
    run_task: RunTask, engine: Engine, registry_auth: Registry, tmp_path: Path
) -> None:
    name = f"{registry_auth.name}/push/{os.urandom(4).hex()}:1"
    engine.build_base(name, f"FROM busybox:1\nLABEL only={os.urandom(4).hex()}\n")
    environ = login_config(tmp_path, registry_auth, registry_auth.password)
    text = f"steps:\n  - {{id: p, push: ['{name}']}}\n"
    assert run_task(text, environ=environ).text("p").startswith("pushed ")
    assert run_task(text, environ=environ).text("p").startswith("already there: ")


def test_the_digests_of_another_repository_say_nothing() -> None:
    digest, other = "sha256:" + "1" * 64, "sha256:" + "2" * 64
    inspected = {"RepoDigests": [f"alpine@{digest}", f"registry.example.com/alpine@{other}", "<none>@<none>"]}
    assert known_digests(inspected, ImageReference.parse("docker.io/library/alpine:3")) == {digest}
    assert known_digests({"RepoDigests": None}, ImageReference.parse("alpine:3")) == frozenset()
