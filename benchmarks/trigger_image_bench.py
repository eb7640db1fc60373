"""From a push to a registry to the rebuild that it queues; and how many requests keep 5,000 images in sight.

The registry is a real docker-registry. In the first half it notifies a real service; in the second nobody notifies
anybody, and what it was asked is counted in its own access log.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self

from benchmarks.measure import Figure, p50_p95, shown
from benchmarks.served import Caller, Served, rows, say
from benchmarks.store import Known, open_services, put_tasks, put_watches
from tests.support.registry import Registry, free_port

_TOKEN = "the-token-of-the-hook-of-registries"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
#: tags in one repository, and one of how many images changes between two rounds
_TAGS, _CHANGES = 100, 100
_WAIT = 60.0


def measure(*, pushes: int = 20, images: int = 5_000) -> list[Figure]:
    return [*_pushed(pushes), *_polled(images)]


# a push


def _pushed(count: int) -> list[Figure]:
    """Each push is of another image, as one that was just rebuilt for would fold the next change in."""
    with tempfile.TemporaryDirectory() as name, _registry(Path(name) / "registry") as (registry, start):
        served = Served(
            Path(name) / "service", "--no-worker", more={"ACR_TASK_REGISTRY_HOOK_TOKEN": _TOKEN},
            settings=f"registry: {registry.name}\n",
        )  # fmt: skip
        with served.start(), Caller(served) as caller, _Pusher(registry) as pusher:
            start({"notifications": {"endpoints": [_endpoint(served)]}})
            say("pushes to a registry")
            for number in range(count + 1):
                pusher.push(f"base/app{number}", "1", "before")
                caller.post("/tasks", _task(f"app{number}", f"{registry.name}/base/app{number}:1"))
            _await_watches(served, count + 1)
            taken = []
            for number in range(count + 1):
                begin = time.clock_gettime(time.CLOCK_REALTIME)
                pusher.push(f"base/app{number}", "1", "after")
                run = _await_run(caller, f"app{number}")
                if number:  # the first one warms up
                    taken.append(datetime.fromisoformat(run["createTime"]).timestamp() - begin)
    return [
        Figure(
            name="a push to a registry, from its beginning until the rebuild is queued, p50 / p95",
            found=p50_p95(taken), target="p95 < 1 s",
        )
    ]  # fmt: skip


def _endpoint(served: Served) -> dict[str, Any]:
    return {
        "name": "service", "url": f"{served.url}/hooks/registry/distribution", "timeout": "5s", "threshold": 5,
        "headers": {"Authorization": [f"Bearer {_TOKEN}"]}, "backoff": "1s",
    }  # fmt: skip


def _task(name: str, image: str) -> dict[str, Any]:
    text = f"version: v1.1.0\nsteps:\n  - cmd: {image} true\n"
    return {
        "name": name,
        "step": {"type": "EncodedTask", "encodedTaskContent": base64.b64encode(text.encode()).decode()},
        "trigger": {"baseImageTrigger": {"name": "base", "baseImageTriggerType": "All"}},
    }


def _await_watches(served: Served, count: int) -> None:
    """Until every image was seen."""
    end = time.monotonic() + _WAIT
    while time.monotonic() < end:
        if rows(served.database, "SELECT count(*) FROM watches WHERE seen IS NOT NULL")[0][0] == count:
            return
        time.sleep(0.1)
    raise AssertionError("the images were not all seen")


def _await_run(caller: Caller, task: str) -> dict[str, Any]:
    end = time.monotonic() + _WAIT
    while time.monotonic() < end:
        if found := caller.get(f"/runs?task={task}")["value"]:
            return dict(found[0])
        time.sleep(0.02)
    raise AssertionError(f"the push led to no run of {task}: {caller.get('/events')['value'][:3]}")


# polling


def _polled(count: int) -> list[Figure]:
    """Two rounds: every image is seen for the first time, and then one in a hundred has changed. Two tasks stand on
    each, and still it is asked about once."""
    from taskengine.ambient import Ambient
    from taskengine.registry.auth import Logins
    from taskengine.registry.client import RegistryClient
    from triggers.imagewatch import ImageWatch
    from triggers.watchplan import Rules

    now = Ambient.system().now()
    with tempfile.TemporaryDirectory() as name, _registry(Path(name) / "registry") as (registry, start):
        start({})
        services = open_services(Path(name) / "service", f"sqlite:///{name}/service.db", lambda: now)
        names = [(f"base/app{number // _TAGS}", f"v{number % _TAGS}") for number in range(count)]
        full = [f"{registry.name}/{repository}:{tag}" for repository, tag in names]
        with _Pusher(registry) as pusher:
            say(f"{count:,} images")
            for repository, tag in names:
                pusher.push(repository, tag, "before")
            document: dict[str, Any] = {"name": "app", "step": {}}
            put_tasks(
                services,
                (
                    Known(name=f"t{half}-{number}", document=document, uses=(image,))
                    for half in range(2)
                    for number, image in enumerate(full)
                ),
            )
            put_watches(services, full)
            counted: list[str] = []
            watch = ImageWatch(services, RegistryClient(Logins()), Rules(), count=counted.append)
            asked, rounds = _asked(registry), []
            try:
                for _ in range(2):
                    begin = time.perf_counter()
                    while watch.tick():
                        watch.wait()
                    rounds.append(time.perf_counter() - begin)
                    pushed = _asked(registry)
                    for repository, tag in names[::_CHANGES]:
                        pusher.push(repository, tag, "after")
                    asked += _asked(registry) - pushed
                    now += timedelta(hours=7)
            finally:
                watch.close()
                services.close()
            requests = pushed - asked
    changed = counted.count("changed")
    if len(counted) != 2 * count or "failed" in counted or changed != len(names[::_CHANGES]):
        raise AssertionError(f"{len(counted)} checks, {changed} changes and {counted.count('failed')} failures")
    return [
        Figure(
            name=f"two rounds of asking about {count:,} images of {2 * count:,} tasks: requests against the minimum",
            found=f"{requests:,} / {2 * count:,} = {requests / (2 * count):.3f}", target="<= 1.02",
        ),
        Figure(name="a round of it takes", found=shown(sum(rounds) / len(rounds))),
    ]  # fmt: skip


def _asked(registry: Registry) -> int:
    """Requests that the registry has answered so far, by its own log."""
    log = (registry.folder / "log").read_bytes()
    return log.count(b'"HEAD /v2/') + log.count(b'"GET /v2/')


# the registry


@contextmanager
def _registry(folder: Path) -> Iterator[tuple[Registry, Any]]:
    """A registry whose name is known, and what starts it with further sections of its configuration."""
    registry = Registry(folder, address="127.0.0.1", port=free_port())

    def start(extra: dict[str, Any]) -> None:
        registry.stop()
        registry.launch(extra)
        registry.await_ready()

    start({})
    try:
        yield registry, start
    finally:
        registry.stop()


class _Pusher:
    """Pushes images without layers over one kept connection."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._connection: http.client.HTTPConnection | None = None
        self._config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers"}}).encode()
        self._digest = f"sha256:{hashlib.sha256(self._config).hexdigest()}"
        self._there: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection is not None:
            self._connection.close()

    def push(self, repository: str, tag: str, content: str) -> None:
        if repository not in self._there:
            place = self._call("POST", f"/v2/{repository}/blobs/uploads/", b"")
            mark = "&" if "?" in place else "?"
            self._call("PUT", f"{place}{mark}digest={self._digest}", self._config, "application/octet-stream")
            self._there.add(repository)
        manifest = {
            "schemaVersion": 2, "mediaType": _MANIFEST, "layers": [], "annotations": {"of": f"{tag} {content}"},
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json", "digest": self._digest,
                "size": len(self._config),
            },
        }  # fmt: skip
        self._call("PUT", f"/v2/{repository}/manifests/{tag}", json.dumps(manifest).encode(), _MANIFEST)

    def _call(self, method: str, path: str, body: bytes, kind: str = "") -> str:
        """Where the registry says to go on."""
        try:
            return self._once(method, path, body, kind)
        except (http.client.HTTPException, OSError):  # it was started anew
            self._connection = None
            return self._once(method, path, body, kind)

    def _once(self, method: str, path: str, body: bytes, kind: str) -> str:
        if self._connection is None:
            self._connection = http.client.HTTPConnection(self._registry.address, self._registry.port, timeout=60)
        self._connection.request(method, path, body=body, headers={"Content-Type": kind} if kind else {})
        answer = self._connection.getresponse()
        said = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {said[:300]!r}")
        place = answer.headers.get("Location", "")
        return place[place.find("/v2/") :] if "/v2/" in place else ""
