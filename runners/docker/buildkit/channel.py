"""The control side: one connection to the engine's BuildKit, over which all builds of a run are ordered and watched.

It is opened with the first call, and anew when it broke. Must not know what a build is.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Any

from . import messages as pb
from .call import Caller, Outgoing
from .dial import Dial
from .link import CallError

_CONTROL = "/moby.buildkit.v1.Control/"


class Channel:
    """BuildKit's Control service. Thread-safe. Every call raises what dialing raises, and CallError."""

    def __init__(self, dial: Dial) -> None:
        self._dial = dial
        self._lock = threading.Lock()
        self._caller: Caller | None = None
        self._closed = False

    def _call(self, method: str, message: Any, timeout: float) -> Outgoing:
        caller = self._open()
        data: bytes = message.encode()
        try:
            return caller.call(_CONTROL + method, data, timeout=timeout)
        except CallError:
            if caller.is_open:
                raise
        return self._open().call(_CONTROL + method, data, timeout=timeout)  # it had ended unnoticed

    def _open(self) -> Caller:
        with self._lock:
            if self._closed:
                raise ConnectionError("the client is closed")
            if self._caller is None or not self._caller.is_open:
                self._caller = Caller(self._dial("/grpc", ()))
                self._caller.start()
            return self._caller

    def solve(self, request: Any, *, timeout: float) -> Outgoing:
        """Start a build; its result() is what the build answers."""
        return self._call("Solve", request, timeout)

    def status(self, ref: str, *, timeout: float) -> Outgoing:
        """A stream of status messages, which can be canceled."""
        return self._call("Status", pb.StatusRequest(Ref=ref), timeout)

    def workers(self, *, timeout: float) -> Iterator[Mapping[str, Any]]:
        """What builds there: one entry a worker, with its labels and platforms."""
        answer = self._call("ListWorkers", pb.ListWorkersRequest(), timeout).result()
        for record in pb.ListWorkersResponse.decode(answer).record:
            yield {
                "id": record.ID,
                "labels": dict(record.Labels),
                "platforms": tuple("/".join(filter(None, (p.OS, p.Architecture, p.Variant))) for p in record.platforms),
            }

    def close(self) -> None:
        with self._lock:
            self._closed = True
            caller, self._caller = self._caller, None
        if caller is not None:
            caller.close()
