"""Real servers on loopback for the tests of contexts: repositories behind git's own http-backend, and plain files.

Knows HTTP, CGI and how to make repositories. Must not know the code under test.
"""

from __future__ import annotations

import base64
import os
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_GIT = {
    "GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@example.com", "GIT_AUTHOR_DATE": "2024-01-01T00:00:00Z",
    "GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@example.com", "GIT_COMMITTER_DATE": "2024-01-01T00:00:00Z",
    "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "GIT_ALLOW_PROTOCOL": "file:http",
}  # fmt: skip


def git(folder: Path, *args: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *args], env={**os.environ, **_GIT}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


class Repository:
    """A repository with a work tree. `commit` writes files and returns the commit's name."""

    def __init__(self, folder: Path, *, branch: str = "main") -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        git(folder, "init", "-q", "-b", branch)

    @property
    def url(self) -> str:
        return f"file://{self.folder}"

    def commit(self, files: Mapping[str, str | bytes] | None = None, *, links: Mapping[str, str] | None = None) -> str:
        for name, content in (files or {}).items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        for name, target in (links or {}).items():
            (self.folder / name).symlink_to(target)
        git(self.folder, "add", "-A")
        git(self.folder, "commit", "-q", "--allow-empty", "-m", "x")
        return git(self.folder, "rev-parse", "HEAD")

    def git(self, *args: str) -> str:
        return git(self.folder, *args)


@dataclass
class Request:
    path: str
    headers: Mapping[str, str]


@dataclass
class Answer:
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    #: instead of `body`: writes the answer piece by piece, until it returns or the client goes away
    write: Callable[[Callable[[bytes], Any]], None] | None = None


class Server:
    """`answers` by path. Below `/git/` the repositories of `root`, for those who know `login` where one is set."""

    def __init__(self, root: Path, *, login: tuple[str, str] | None = None, host: str = "127.0.0.1") -> None:
        self.root = root
        self.login = login
        self.answers: dict[str, Answer] = {}
        self.requests: list[Request] = []
        self.dumb = False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer._handle(self)

            do_POST = do_GET  # noqa: N815 - the standard library's name

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer((host, 0), Handler)
        self._server.daemon_threads = True
        self.host = f"{host}:{self._server.server_address[1]}"
        self.url = f"http://{self.host}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handle(self, request: BaseHTTPRequestHandler) -> None:
        path, _, query = request.path.partition("?")
        self.requests.append(Request(path, dict(request.headers)))
        body = _body(request)
        answer = self.answers.get(path)
        if answer is None and path.startswith("/git/"):
            answer = self._login_wanted(request) or self._git(request, path.removeprefix("/git"), query, body)
        _send(request, answer or Answer(status=404))

    def _login_wanted(self, request: BaseHTTPRequestHandler) -> Answer | None:
        if self.login is None:
            return None
        wanted = base64.b64encode(":".join(self.login).encode()).decode()
        if request.headers.get("Authorization") == f"Basic {wanted}":
            return None
        return Answer(status=401, headers={"WWW-Authenticate": 'Basic realm="tests"'})

    def _git(self, request: BaseHTTPRequestHandler, path: str, query: str, body: bytes) -> Answer:
        if self.dumb:
            file = self.root / path.lstrip("/")
            return Answer(body=file.read_bytes()) if file.is_file() else Answer(status=404)
        env = {
            **os.environ,
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": request.command,
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
        }
        done = subprocess.run(["git", "http-backend"], input=body, env=env, capture_output=True, check=False)
        head, _, rest = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if line)
        return Answer(status=int(headers.pop("Status", "200").split()[0]), headers=headers, body=rest)


def _body(request: BaseHTTPRequestHandler) -> bytes:
    if request.headers.get("Transfer-Encoding") != "chunked":
        return request.rfile.read(int(request.headers.get("Content-Length") or 0))
    parts = []
    while size := int(request.rfile.readline(), 16):
        parts.append(request.rfile.read(size))
        request.rfile.readline()
    request.rfile.readline()
    return b"".join(parts)


def _send(request: BaseHTTPRequestHandler, answer: Answer) -> None:
    try:
        request.send_response(answer.status)
        for name, value in answer.headers.items():
            request.send_header(name, value)
        if answer.write is not None:
            request.close_connection = True
            request.end_headers()
            answer.write(request.wfile.write)
            return
        if "Content-Length" not in answer.headers:
            request.send_header("Content-Length", str(len(answer.body)))
        request.end_headers()
        request.wfile.write(answer.body)
    except OSError:
        pass  # the client has seen enough
