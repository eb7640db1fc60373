"""The poller against a real docker-registry: requests counted, changes found, notifications received and read."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from taskengine.ambient import Ambient
from taskengine.registry.client import RegistryClient
from taskengine.registry.reference import ImageReference
from tests.registry.conftest import push_image, push_index
from tests.support.registry import Registry, free_port
from triggers.imagechange import Change, Unchanged, changed
from triggers.registries.model import Delivery, ImagePushed, Product
from triggers.registries.receive import read, verify
from triggers.watch import Checked, Poller
from triggers.watchplan import Rules, WatchedImage

START = datetime(2026, 1, 1, tzinfo=UTC)
SECRET = "s3cret-of-the-hook"
AMD64, ARM64 = "linux/amd64", "linux/arm64"


@dataclass
class Hook:
    """Where the registry sends its notifications."""

    server: ThreadingHTTPServer
    deliveries: queue.Queue[Delivery] = field(default_factory=queue.Queue)

    def pushes(self, count: int) -> list[ImagePushed]:
        """The next pushes of tags, read and verified as the service would."""
        found: list[ImagePushed] = []
        while len(found) < count:
            delivery = self.deliveries.get(timeout=20)
            verify(Product.DISTRIBUTION, delivery, SECRET)
            found += read(Product.DISTRIBUTION, delivery).pushed
        return found

    def requests(self, until: str) -> list[tuple[str, str]]:
        """Method and repository of what the registry was asked, up to the push of the repository `until`."""
        found: list[tuple[str, str]] = []
        while True:
            for event in json.loads(self.deliveries.get(timeout=20).body)["events"]:
                if event["target"]["repository"] == until:
                    return found
                found.append((event["request"]["method"], event["target"]["repository"]))


@pytest.fixture
def hook() -> Iterator[Hook]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            one.deliveries.put(Delivery(headers={k.lower(): v for k, v in self.headers.items()}, body=body))
            self.send_response(202)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    one = Hook(server)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield one
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def telling(hook: Hook, tmp_path: Path) -> Iterator[Registry]:
    """A registry with notifications on."""
    registry = Registry(tmp_path / "registry", address="127.0.0.1", port=free_port())
    endpoint = {
        "name": "hook",
        "url": f"http://127.0.0.1:{hook.server.server_address[1]}/hooks/registry/distribution",
        "headers": {"Authorization": [f"Bearer {SECRET}"]},
        "timeout": "5s",
        "threshold": 5,
        "backoff": "1s",
        "ignoredmediatypes": ["application/octet-stream"],
    }
    registry.launch({"notifications": {"endpoints": [endpoint]}})
    registry.await_ready()
    yield registry
    registry.stop()


class Clock:
    def __init__(self) -> None:
        self.now = START

    def ambient(self) -> Ambient:
        return Ambient(now=lambda: self.now, monotonic=lambda: 0.0, new_id=lambda: "r1")


def image(registry: Registry, name: str) -> ImageReference:
    return ImageReference.parse(f"{registry.name}/{name}")


def test_a_push_is_told_at_once_and_read(telling: Registry, hook: Hook, client: RegistryClient) -> None:
    where = image(telling, "base:1")
    pushed = push_image(client, where, "one")
    (event,) = hook.pushes(1)
    assert event.image == where
    assert (event.digest, event.media_type) == (pushed.digest, pushed.media_type)
    assert event.event_id
    assert event.at is not None
    push_image(client, where, "one")
    (again,) = hook.pushes(1)
    assert (again.digest, again.event_id != event.event_id) == (event.digest, True)


def test_an_image_that_stays_the_same_costs_conditional_heads_only(
    telling: Registry, hook: Hook, client: RegistryClient
) -> None:
    push_index(client, image(telling, "base:1"), AMD64, ARM64)
    clock, states = Clock(), [WatchedImage(image=image(telling, "base:1"))]
    poller = Poller(client, Rules(), clock.ambient())
    for _ in range(3):
        found: list[Checked] = []
        poller.turn(states, found.append)
        states = [one.after for one in found]
        clock.now += timedelta(hours=2)
    push_image(client, image(telling, "end:1"))
    asked = [method for method, name in hook.requests("end") if name == "base" and method in ("GET", "HEAD")]
    # a request that is answered by "not modified" is no pull, and docker-registry does not tell of it
    assert asked == ["HEAD", "GET"]


def test_only_another_image_for_the_platform_is_a_change(telling: Registry, client: RegistryClient) -> None:
    where = image(telling, "base:1")
    push_index(client, where, AMD64)
    poller = Poller(client, Rules(), Clock().ambient())
    first = poller.check(WatchedImage(image=where))
    push_index(client, where, AMD64, ARM64)
    second = poller.check(first)
    assert first.seen is not None
    assert second.seen is not None
    found = changed(first.seen, second.seen, AMD64)
    assert isinstance(found, Unchanged)
    assert found.reason == f"only other platforms changed: {ARM64}"
    push_image(client, where, "something else")
    third = poller.check(second)
    assert third.seen is not None
    assert isinstance(changed(second.seen, third.seen, AMD64), Change)
    assert isinstance(changed(second.seen, third.seen, ARM64), Change)


def test_a_check_that_fails_says_why_and_keeps_what_was_seen(telling: Registry, client: RegistryClient) -> None:
    where = image(telling, "base:1")
    push_image(client, where)
    poller = Poller(client, Rules(), Clock().ambient())
    seen = poller.check(WatchedImage(image=where))
    assert poller.check(WatchedImage(image=image(telling, "none:1"))).error
    client.delete(where.with_digest(seen.seen.digest if seen.seen else ""))
    gone = poller.check(seen)
    assert (gone.seen, gone.failures) == (seen.seen, 1)
    assert "base:1" in gone.error
    assert not Checked(before=seen, after=gone).is_news


def test_images_of_several_registries_are_checked_in_one_turn(
    telling: Registry, client: RegistryClient, tmp_path: Path
) -> None:
    push_image(client, image(telling, "a:1"))
    push_image(client, image(telling, "b:1"))
    nobody = ImageReference.parse(f"127.0.0.1:{free_port()}/c:1")
    states = [WatchedImage(image=one) for one in (image(telling, "a:1"), image(telling, "b:1"), nobody)]
    found: list[Checked] = []
    quick = client.bound(seconds=1)
    Poller(quick, Rules(), Clock().ambient()).turn(states, found.append)
    assert {one.after.image.path: bool(one.after.error) for one in found} == {"a": False, "b": False, "c": True}
    assert all(one.after.due and one.after.due > START for one in found)


def test_a_poller_that_was_stopped_asks_nobody(telling: Registry, client: RegistryClient) -> None:
    poller = Poller(client, Rules(), Clock().ambient())
    poller.stop()
    found: list[Checked] = []
    poller.turn([WatchedImage(image=image(telling, "a:1"))], found.append)
    assert found == []
