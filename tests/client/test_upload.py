"""Uploads that go on where a broken connection left off."""

from __future__ import annotations

import tempfile
from typing import Any, Self

import pytest

from taskengine.client import api as module
from taskengine.client.api import ServiceApi
from taskengine.client.transport import Conflict
from taskengine.errors import Unreachable


class Service:
    """Keeps what comes in; `faults` happen to the pieces, in their order."""

    def __init__(self, *faults: str) -> None:
        self.faults, self.kept, self.committed = list(faults), b"", False

    def call(self, method: str, *path: str, body: Any = None, **_: Any) -> Any:
        assert (method, path) == ("POST", ("uploads",))
        self.size = body["size"]
        return {"id": "u1", "received": 0}

    def get(self, *path: str, **_: Any) -> Any:
        return {"received": len(self.kept)}

    def post(self, *path: str, **_: Any) -> None:
        assert (path, len(self.kept)) == (("uploads", "u1", "commit"), self.size)
        self.committed = True

    def raw(self, method: str, *path: str, data: bytes, headers: dict[str, str]) -> Any:
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "half":
            self.kept += data[: len(data) // 2]
        if fault:
            raise Unreachable("reset")
        if int(headers["Upload-Offset"]) != len(self.kept):
            error = Conflict("elsewhere")
            error.offset = len(self.kept)
            raise error
        self.kept += data
        return Answer(len(self.kept))


class Answer:
    def __init__(self, received: int) -> None:
        self.received = received

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing."""

    def json(self) -> dict[str, int]:
        return {"received": self.received}


def sent(service: Service, data: bytes) -> list[int]:
    moves: list[int] = []
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        assert ServiceApi(service).upload(file, progress=moves.append) == "upload:u1"  # type: ignore[arg-type]
    return moves


def test_a_piece_that_came_in_halfway_is_not_sent_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PIECE", 4)
    service = Service("", "half", "lost")
    assert sent(service, b"0123456789")[-1] == 10
    assert (service.kept, service.committed) == (b"0123456789", True)


def test_a_service_that_stays_away_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service(*["lost"] * 20)
    with pytest.raises(Unreachable):
        sent(service, b"0123456789")
    assert not service.committed
