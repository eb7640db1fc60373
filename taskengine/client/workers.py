"""The part of the API that workers use: registering, leases, feeds. Thin: one call, one function."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from taskengine.client.transport import Transport
from taskengine.runs.spec import RunSpec

if TYPE_CHECKING:
    from pathlib import Path

#: seconds that the service may hold a question for work, and what the answer may take on top
LONG_POLL, MARGIN = 5.0, 10.0
_CHUNK = 1 << 18


@dataclass(frozen=True, kw_only=True)
class Registration:
    """What a worker says of itself. `capacity` is how many runs it takes at once."""

    name: str
    pool: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    platforms: tuple[str, ...] = ()
    capacity: int = 2
    version: str = ""


@dataclass(frozen=True, kw_only=True)
class Registered:
    """What the service made of it: the worker's id, and the times that it has to keep, in seconds."""

    id: str
    lease_seconds: float = 30.0
    heartbeat_seconds: float = 5.0


@dataclass(frozen=True, kw_only=True)
class LeasedRun:
    """A run to carry out. `epoch` is the fencing number that every word about it has to carry."""

    worker: str
    run: str
    attempt: int
    epoch: int
    spec: RunSpec
    secrets: Mapping[str, str] = field(repr=False)
    feed_size: int = 0

    @property
    def key(self) -> str:
        """The run's name on this worker and on its engine: two attempts never share one."""
        return f"{self.run}-{self.attempt}"


@dataclass(frozen=True, kw_only=True)
class Held:
    """What the service says of one lease: whether it is still held, and whether the run is to be canceled."""

    run: str
    epoch: int
    held: bool
    cancel: str | None = None


@dataclass(frozen=True, kw_only=True)
class Appended:
    """Where the service's copy of a feed ends now, and why the run is to be canceled, if it is."""

    offset: int
    cancel: str = ""


class WorkerApi:
    """Raises what Transport raises: Gone for a lease that is no more, Conflict for a feed that is elsewhere."""

    def __init__(self, transport: Transport) -> None:
        self._to = transport

    def register(self, about: Registration) -> Registered:
        said = self._to.post(
            "workers",
            body={
                "name": about.name, "pool": about.pool, "labels": dict(about.labels),
                "platforms": list(about.platforms), "capacity": about.capacity, "version": about.version,
            },
        )  # fmt: skip
        return Registered(id=said["id"], lease_seconds=said["leaseSeconds"], heartbeat_seconds=said["heartbeatSeconds"])

    def heartbeat(
        self, worker: str, *, state: str, health: Mapping[str, Any], leases: Iterable[tuple[str, int]]
    ) -> tuple[tuple[Held, ...], bool]:
        """Renew the leases; returns what became of each, and whether the worker is to drain."""
        said = self._to.call(
            "POST", "workers", worker, "heartbeat",
            body={
                "state": state, "health": dict(health),
                "leases": [{"run": run, "epoch": epoch} for run, epoch in leases],
            },
            seconds=10.0,
        )  # fmt: skip
        held = tuple(
            Held(run=one["run"], epoch=one["epoch"], held=one["state"] == "held", cancel=one.get("cancel"))
            for one in said["leases"]
        )
        return held, bool(said.get("drain"))

    def lease(self, worker: str, *, free: int, seconds: float = LONG_POLL) -> LeasedRun | None:
        """The next run, waited for up to `seconds`; None when there was none."""
        said = self._to.call(
            "POST", "workers", worker, "lease", body={"free": free, "wait": seconds}, seconds=seconds + MARGIN
        )
        return None if said is None else _leased(worker, said)

    def resume(self, worker: str, run: str, epoch: int) -> LeasedRun:
        """A run that this worker holds since before its restart."""
        return _leased(worker, self._to.get("workers", worker, "runs", run, params={"epoch": epoch}))

    def release(self, worker: str, run: str, *, epoch: int, reason: str) -> None:
        """Give back a run that was not begun."""
        self._to.post("workers", worker, "runs", run, "release", body={"epoch": epoch, "reason": reason})

    def append(self, worker: str, run: str, *, epoch: int, offset: int, data: bytes) -> Appended:
        """Append whole frames to the run's feed."""
        headers = {
            "Upload-Offset": str(offset), "X-Epoch": str(epoch), "Content-Type": "application/offset+octet-stream",
        }  # fmt: skip
        with self._to.raw("PATCH", "workers", worker, "runs", run, "feed", data=data, headers=headers) as response:
            return Appended(offset=int(response.headers["Upload-Offset"]), cancel=response.headers.get("X-Cancel", ""))

    def context(self, worker: str, run: str, *, epoch: int, into: Path) -> None:
        """Write the run's uploaded context to a file."""
        with (
            self._to.raw(
                "GET", "workers", worker, "runs", run, "context", params={"epoch": epoch}, stream=True
            ) as response,
            into.open("wb") as file,
        ):
            chunks = response.iter_content(_CHUNK)
            while (chunk := self._to.reading(lambda: next(chunks, None))) is not None:
                file.write(chunk)


def _leased(worker: str, said: Mapping[str, Any]) -> LeasedRun:
    return LeasedRun(
        worker=worker,
        run=said["run"],
        attempt=said["attempt"],
        epoch=said["epoch"],
        spec=RunSpec.from_json(said["spec"]),
        secrets=said.get("secrets") or {},
        feed_size=said.get("feedSize", 0),
    )
