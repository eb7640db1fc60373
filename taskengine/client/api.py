"""The part of the API that people use: tasks, runs, uploads, tokens. Thin: one call, one function, plain data.

What comes back is the API's own JSON (docs/api.md). Raises what Transport raises.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from io import BufferedRandom, BufferedReader
from typing import Any, NamedTuple, Self

from taskengine.client import sse
from taskengine.client.transport import Conflict, NotFound, Transport
from taskengine.errors import Unreachable
from taskengine.runs.decode import event_of
from taskengine.runs.event import Event

Document = dict[str, Any]
_PIECE = 4 << 20
_STREAMS = {"stdout": 1, "stderr": 2}
#: how often a piece of an upload is tried again where the service is away
_TRIES = 5


class Output(NamedTuple):
    """A piece of a step's output, byte for byte."""

    step: str
    stream: int
    data: bytes


class Ended(NamedTuple):
    """The run is over; `run` is its last state."""

    run: Document


class ServiceApi:
    """Calls of people. Close it, or use it with `with`."""

    def __init__(self, transport: Transport) -> None:
        self.to = transport

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.to.close()

    def version(self) -> Document:
        return self._one("version")

    # tasks

    def tasks(self) -> Iterator[Document]:
        return self._all("tasks")

    def task(self, name: str) -> Document:
        return self._one("tasks", name)

    def create_task(self, document: Mapping[str, Any]) -> Document:
        return self._sent("POST", "tasks", body=document)

    def replace_task(self, name: str, document: Mapping[str, Any]) -> Document:
        return self._sent("PUT", "tasks", name, body=document)

    def update_task(self, name: str, change: Mapping[str, Any]) -> Document:
        """Merge into what is stored: what is left out stays, null takes away."""
        return self._sent("PATCH", "tasks", name, body=change)

    def delete_task(self, name: str) -> None:
        self.to.call("DELETE", "tasks", name)

    def run_task(self, name: str, body: Mapping[str, Any], *, key: str = "") -> Document:
        return self._sent("POST", "tasks", name, "runs", body=body, key=key)

    # runs

    def queue_run(self, body: Mapping[str, Any], *, key: str = "") -> Document:
        return self._sent("POST", "runs", body=body, key=key)

    def check_run(self, body: Mapping[str, Any]) -> None:
        """Raises what `queue_run` would raise for this body; queues nothing. An older service is not asked."""
        with contextlib.suppress(NotFound):
            self._sent("POST", "validate", body=body)

    def run(self, run: str) -> Document:
        return self._one("runs", run)

    def runs(self, filters: Mapping[str, Any] | None = None, *, top: int | None = None) -> Iterator[Document]:
        """The newest first; `top` of them, or all."""
        return self._all("runs", filters=filters, top=top)

    def update_run(self, run: str, *, archived: bool) -> Document:
        return self._sent("PATCH", "runs", run, body={"isArchiveEnabled": archived})

    def cancel_run(self, run: str, reason: str = "") -> Document:
        return self._sent("POST", "runs", run, "cancel", body={"reason": reason})

    def log(self, run: str, *, step: str = "", attempt: int | None = None) -> Iterator[bytes]:
        """The log as it is now, as bytes."""
        params = {name: value for name, value in (("step", step), ("attempt", attempt)) if value}
        with self.to.raw("GET", "runs", run, "logs", params=params, stream=True) as response:
            chunks = response.iter_content(None)
            while (chunk := self.to.reading(lambda: next(chunks, None))) is not None:
                yield chunk

    def follow(
        self, run: str, *, on_break: Callable[[Unreachable], None] = lambda _: None
    ) -> Iterator[Event | Output | Ended]:
        """Everything that a run says from its beginning on, through broken connections, until it is over."""
        for sent in sse.follow(self.to, "runs", run, "logs", params={"follow": "true"}, last="end", on_break=on_break):
            data = json.loads(sent.data)
            if sent.name == "log":
                text = data.get("text")
                payload = base64.b64decode(data["base64"]) if text is None else text.encode()
                yield Output(data["step"], _STREAMS[data["stream"]], payload)
            elif sent.name == "run" and (event := event_of(data)) is not None:
                yield event
            elif sent.name == "end":
                yield Ended(data)

    # uploads

    def upload(self, file: BufferedReader | BufferedRandom, *, progress: Callable[[int], None] = lambda _: None) -> str:
        """Send a file, in pieces that go on where a broken connection left off; returns what a run calls it."""
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        size = file.seek(0, 2)
        made = self._sent("POST", "uploads", body={"size": size, "sha256": digest})
        name, offset = str(made["id"]), int(made.get("received", 0))
        tries = _TRIES
        while offset < size:
            file.seek(offset)
            try:
                offset = self._piece(name, offset, file.read(_PIECE))
                tries = _TRIES
            except Conflict as error:
                if error.offset is None:
                    raise
                offset = error.offset
            except Unreachable:
                tries -= 1
                if not tries:
                    raise
                offset = int(self._one("uploads", name)["received"])
            progress(offset)
        self.to.post("uploads", name, "commit")
        return f"upload:{name}"

    def _piece(self, name: str, offset: int, data: bytes) -> int:
        headers = {"Upload-Offset": str(offset), "Content-Type": "application/octet-stream"}
        with self.to.raw("PUT", "uploads", name, data=data, headers=headers) as response:
            return int(response.json()["received"])

    # everything else is asked for by its path

    def list(self, *path: str, filters: Mapping[str, Any] | None = None, top: int | None = None) -> Iterator[Document]:
        """The entries of a list; `top` of them, or all."""
        return self._all(*path, filters=filters, top=top)

    def _one(self, *path: str) -> Document:
        found: Document = self.to.get(*path)
        return found

    def _sent(self, method: str, *path: str, body: Mapping[str, Any], key: str = "") -> Document:
        headers = {"Idempotency-Key": key} if key else None
        found: Document = self.to.call(method, *path, body=dict(body), headers=headers)
        return found

    def _all(self, *path: str, filters: Mapping[str, Any] | None = None, top: int | None = None) -> Iterator[Document]:
        """The entries of a list, page by page."""
        params = {name: value for name, value in (filters or {}).items() if value not in (None, "")}
        params["top"] = min(top or 100, 100)
        left = top
        while True:
            page = self.to.get(*path, params=params)
            for entry in page["value"]:
                if left == 0:
                    return
                left = None if left is None else left - 1
                yield entry
            if not page.get("nextCursor") or left == 0:
                return
            params["cursor"] = page["nextCursor"]
