"""What a process that died has left of a step on the engine: its container, taken over with all that it has said.

The attach stream died with the process; the engine's own log of the container has every byte, so that is read from the
first one on, and once more to its end when the container has ended (older engines end a followed log too early). Who
adopts knows how much of it is known already. Must not know runs or what the step does afterwards.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from runners.docker import stream
from runners.docker.engine import Engine, Json
from runners.docker.localengine import LocalEngine
from runners.docker.refused import not_there, refused
from taskengine.lightclass import dataclass

#: states in which there is nothing to take over: the container never ran
_NEVER_RAN = frozenset({"created"})
_ROLE = "io.acr-task.role"


@dataclass(frozen=True, kw_only=True, slots=True)
class Orphan:
    """A step's container that ran, or runs. `sandbox` is the container whose network it shares, if it shares one."""

    container: str
    tty: bool
    running: bool
    image: str
    sandbox: str = ""


def find(api: Engine, name: str) -> Orphan | None:
    """The container of that name if it ever ran; one that was made and never started is removed."""
    try:
        found = api.inspect_container(name)
    except not_there():
        return None
    state = found["State"]
    if state["Status"] in _NEVER_RAN:
        api.remove_container(found["Id"], v=True, force=True)
        return None
    kind, _, other = str(found["HostConfig"].get("NetworkMode", "")).partition(":")
    return Orphan(
        container=found["Id"],
        tty=bool(found["Config"].get("Tty")),
        running=bool(state.get("Running")),
        image=str(found.get("Image", "")),
        sandbox=other if kind == "container" else "",
    )


def read_log(api: Engine, orphan: Orphan, write: Callable[[int, bytes], None]) -> None:
    """All that the container has said and will say, until it ends. Raises OSError when the connection breaks."""
    said = {1: 0, 2: 0}

    def count(number: int, data: bytes) -> None:
        said[number] += len(data)
        write(number, data)

    _copy(api, orphan, count, follow=True)
    left = dict(said)

    def rest(number: int, data: bytes) -> None:
        known = min(left[number], len(data))
        left[number] -= known
        if data := data[known:]:
            write(number, data)

    _copy(api, orphan, rest, follow=False)


def _copy(api: Engine, orphan: Orphan, write: Callable[[int, bytes], None], *, follow: bool) -> None:
    with contextlib.closing(open_log(api, orphan.container, follow=follow)) as log:
        stream.copy(log, write, tty=orphan.tty)


class EngineLog:
    """The engine's log of a container as something with `recv` (ContainerLogs, Engine API)."""

    def __init__(self, response: Any, pieces: Iterator[bytes]) -> None:
        self._response = response
        self._pieces = pieces

    def recv(self, _: int, /) -> bytes:
        try:
            return next(self._pieces, b"")
        except OSError as error:
            raise ConnectionError(f"the log of a container broke off: {error}") from error

    def close(self) -> None:
        self._response.close()


def open_log(api: Any, container: str, *, follow: bool) -> EngineLog:
    """Ask for a log as the engine sends it; docker-py's own `logs` throws the streams together."""
    if isinstance(api, LocalEngine):
        answer = api.open_log(container, follow=follow)
        return EngineLog(answer, iter(answer))
    address = api._url("/containers/{0}/logs", container)
    params = {"stdout": 1, "stderr": 1, "follow": int(follow), "timestamps": 0, "tail": "all"}
    response = api._get(address, params=params, stream=True, timeout=None)
    api._raise_for_status(response)
    return EngineLog(response, response.iter_content(None))


def end_of_sandbox(api: Engine, orphan: Orphan) -> None:
    """Take away the sandbox of a step that has ended: its names belong to steps that are made anew."""
    if not orphan.sandbox:
        return
    with contextlib.suppress(*refused()):
        if _labels(api.inspect_container(orphan.sandbox)).get(_ROLE) == "sandbox":
            api.remove_container(orphan.sandbox, v=True, force=True)


def idle_sandboxes(api: Engine, mine: Json) -> list[str]:
    """The sandboxes of a run (found by the filter `mine`) that no running container shares."""
    containers = api.containers(all=True, filters=mine)
    used = {
        str((c.get("HostConfig") or {}).get("NetworkMode", "")).removeprefix("container:")
        for c in containers
        if c.get("State") == "running"
    }
    return [c["Id"] for c in containers if (c.get("Labels") or {}).get(_ROLE) == "sandbox" and c["Id"] not in used]


def _labels(found: Json) -> Json:
    labels: Json = (found.get("Config") or {}).get("Labels") or {}
    return labels
