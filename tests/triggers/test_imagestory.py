"""A real registry, with and without notifications, and a service in a process of its own that is killed.

Each change of a base image starts its task once."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from taskengine.registry.client import RegistryClient
from tests.registry.conftest import push_image, push_index, ref
from tests.service.process import Process
from tests.support.registry import Registry, free_port
from tests.triggers.test_story import until

TOKEN = "the-token-of-the-hook-of-registries"


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    made = Registry(tmp_path / "registry", address="127.0.0.1", port=free_port())
    yield made
    made.stop()


def serve(folder: Path, registry: Registry, port: int = 0, *, poll: int = 3600) -> Process:
    """A service that asks its registry about each image every `poll` seconds."""
    (folder / "service").mkdir(exist_ok=True)
    settings = f"registry: {registry.name}\nimagePollOwnSeconds: {poll}\nimagePollOwnLongestSeconds: {poll}\n"
    (folder / "service" / "settings.yaml").write_text(settings)
    further = {"ACR_TASK_REGISTRY_HOOK_TOKEN": TOKEN}
    return Process(folder / "service", "--no-worker", env=os.environ, further=further, port=port)


def launch(registry: Registry, service: str = "") -> None:
    """With the address of a service, that is told of pushes."""
    endpoint = {
        "name": "service", "url": f"{service}/hooks/registry/distribution",
        "headers": {"Authorization": [f"Bearer {TOKEN}"]}, "timeout": "5s", "threshold": 5, "backoff": "1s",
    }  # fmt: skip
    registry.launch({"notifications": {"endpoints": [endpoint]}} if service else None)
    registry.await_ready()


def make(service: Process, registry: Registry, name: str = "app", base: str = "base:1") -> None:
    text = f"version: v1.1.0\nsteps:\n  - cmd: {registry.name}/{base} true\n"
    step = {"type": "EncodedTask", "encodedTaskContent": base64.b64encode(text.encode()).decode()}
    trigger = {"baseImageTrigger": {"baseImageTriggerType": "All"}}
    status, answer = service.call("POST", "/api/v1/tasks", {"name": name, "step": step, "trigger": trigger})
    assert status == 201, answer


def watch(service: Process) -> dict[str, Any]:
    value: list[dict[str, Any]] = service.call("GET", "/api/v1/watches")[1]["value"]
    return value[0] if value else {"seen": None}


def seen(service: Process) -> str:
    return (watch(service)["seen"] or {}).get("digest", "")


def updates(service: Process) -> list[str]:
    """The digests that runs were queued for, the oldest first."""
    value = service.call("GET", "/api/v1/runs?top=100")[1]["value"]
    return [one["imageUpdateTrigger"]["images"][0]["digest"] for one in reversed(value)]


def changes(service: Process) -> list[tuple[str, str]]:
    """The events of changes, the oldest first: who told, and what became of it."""
    value = service.call("GET", "/api/v1/events?top=100")[1]["value"]
    return [(one["source"], one["state"]) for one in reversed(value) if one["source"] in ("registry", "own", "poll")]


def test_a_push_that_the_registry_tells_of_starts_the_task_once(
    tmp_path: Path, registry: Registry, client: RegistryClient
) -> None:
    with serve(tmp_path, registry) as service:
        launch(registry, service.url)
        base = ref(registry, "base:1")
        push_index(client, base, "linux/amd64")
        make(service, registry)
        until(lambda: seen(service))
        second = push_image(client, base, "two")
        until(lambda: updates(service) == [second.digest])
        assert changes(service) == [("registry", "queued")]
        (run,) = service.call("GET", "/api/v1/runs")[1]["value"]
        trigger = run["imageUpdateTrigger"]["images"][0]
        assert (trigger["registry"], trigger["repository"], trigger["tag"]) == (registry.name, "base", "1")
        kinds = [one["source"] for one in service.call("GET", "/api/v1/events?state=noted")[1]["value"]]
        assert set(kinds) == {"distribution"}
        assert service.stop() == 0
    assert "Traceback" not in service.errors


def test_what_nobody_told_of_is_found_by_asking_also_after_the_service_was_killed(
    tmp_path: Path, registry: Registry, client: RegistryClient
) -> None:
    launch(registry)
    base = ref(registry, "base:1")
    first = push_image(client, base, "one")
    with serve(tmp_path, registry, poll=1) as service:
        make(service, registry)
        until(lambda: seen(service) == first.digest)
        second = push_image(client, base, "two")
        until(lambda: updates(service) == [second.digest])
        service.kill()
    third = push_image(client, base, "three")
    with serve(tmp_path, registry, poll=1) as service:
        # the run of the second has not begun: it builds the third, too
        until(lambda: len(changes(service)) == 2 and all(state == "queued" for _, state in changes(service)))
        assert seen(service) == third.digest
        push_image(client, base, "three")
        before = watch(service)["checked"]
        until(lambda: watch(service)["checked"] > before)
        assert changes(service) == [("poll", "queued"), ("poll", "queued")]
        assert len(updates(service)) <= 2
        assert service.stop() == 0


def test_a_service_that_is_killed_again_and_again_tells_of_each_change_once(
    tmp_path: Path, registry: Registry, client: RegistryClient
) -> None:
    port = free_port()
    images = [ref(registry, f"base{number}:1") for number in range(4)]
    launch(registry, f"http://127.0.0.1:{port}")
    newest = [push_image(client, image, "first").digest for image in images]
    with serve(tmp_path, registry, port, poll=1) as service:
        for number in range(len(images)):
            make(service, registry, f"app{number}", f"base{number}:1")
        until(lambda: all(one["seen"] for one in watches(service)) and len(watches(service)) == len(images))
        service.kill()
    for turn in range(4):
        with serve(tmp_path, registry, port, poll=1) as service:
            for number, image in enumerate(images):
                newest[number] = push_image(client, image, f"{number} of turn {turn}").digest
                if number == turn:
                    service.kill()  # some of the pushes are told to nobody
    with serve(tmp_path, registry, port, poll=1) as service:
        until(lambda: [one["seen"]["digest"] for one in watches(service)] == newest)
        until(lambda: all(state != "received" for _, state in changes(service)))
        told = [event for event in bodies(service) if event["after"]["digest"] in newest]
        assert sorted(event["after"]["digest"] for event in told) == sorted(newest)
        queued = updates(service)
        assert len(queued) == len(set(queued))
        assert {run["task"] for run in service.call("GET", "/api/v1/runs?top=100")[1]["value"]} == {
            f"app{number}" for number in range(len(images))
        }
        assert service.stop() == 0


def watches(service: Process) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = service.call("GET", "/api/v1/watches")[1]["value"]
    return found


def bodies(service: Process) -> list[dict[str, Any]]:
    """What the events of changes say."""
    value = service.call("GET", "/api/v1/events?top=100")[1]["value"]
    numbers = [one["number"] for one in value if one["source"] in ("registry", "own", "poll")]
    return [json.loads(service.call("GET", f"/api/v1/events/{number}")[1]["body"]) for number in numbers]
