"""One HTTP request with a body that is made as it is sent, and an answer of JSON lines that is read as it comes.

It has a connection of its own, which close() ends from any thread, whatever waits on it: that is how the engine learns
that nobody wants a build any more. Must not know builds.
"""

from __future__ import annotations

import http.client
import io
import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from runners.docker.buildkit.connection import Connection

_LONGEST_ERROR = 64 * 1024


class Refused(Exception):
    """The engine answered with an error instead of a build's progress."""


class Exchange:
    def __init__(self, connection: Connection, path: str, headers: Mapping[str, str]) -> None:
        self._connection = connection
        fields = {"Host": "docker", "User-Agent": "acr-task", "Transfer-Encoding": "chunked", "Connection": "close"}
        lines = [f"{name}: {value}" for name, value in {**fields, **headers}.items()]
        self._head = "\r\n".join([f"POST {path} HTTP/1.1", *lines, "", ""]).encode("latin-1")
        self._trouble: Exception | None = None

    def run(self, body: Iterable[bytes]) -> Iterator[Any]:
        """The answer's messages. Raises Refused, OSError and EOFError, and what making the body raises."""
        self._connection.sendall(self._head)
        # an engine that refuses, or that builds while it reads, answers before the body is over
        sender = threading.Thread(target=self._send, args=(body,), name="classic-context", daemon=True)
        sender.start()
        try:
            yield from self._answer()
        except (OSError, EOFError, http.client.HTTPException) as error:
            if self._trouble is not None:
                raise self._trouble from error
            raise EOFError(f"no whole answer: {error}") from error
        finally:
            self._connection.close()
            sender.join(2)
        if self._trouble is not None and not isinstance(self._trouble, OSError):
            raise self._trouble

    def _send(self, body: Iterable[bytes]) -> None:
        try:
            for piece in body:
                if piece:
                    self._connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
            self._connection.sendall(b"0\r\n\r\n")
        except OSError:
            pass  # the engine has answered already, or is gone: reading tells which
        except Exception as error:  # noqa: BLE001  (the context cannot be read: run() raises it)
            self._trouble = error
            self._connection.close()

    def _answer(self) -> Iterator[Any]:
        answer = http.client.HTTPResponse(cast(Any, _Socket(self._connection)), method="POST")
        answer.begin()
        if answer.status != http.client.OK:
            raise Refused(_reason(answer.status, answer.read(_LONGEST_ERROR)))
        decoder, waiting = json.JSONDecoder(), ""
        while data := answer.read1(64 * 1024):
            waiting += data.decode("utf-8", "replace")
            while waiting := waiting.lstrip():
                try:
                    message, end = decoder.raw_decode(waiting)
                except ValueError:
                    break  # the rest of it is on its way
                waiting = waiting[end:]
                yield message

    def close(self) -> None:
        self._connection.close()


def _reason(status: int, body: bytes) -> str:
    try:
        said = json.loads(body)
        return str(said.get("message") or said.get("cause") or status)
    except (ValueError, AttributeError):
        return body.decode("utf-8", "replace").strip() or f"HTTP {status}"


class _Socket:
    """What http.client wants of a socket."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self._connection), 64 * 1024)


class _Reader(io.RawIOBase):
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        data = self._connection.recv(len(buffer))
        buffer[: len(data)] = data
        return len(data)
