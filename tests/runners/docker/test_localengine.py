"""This machine's engine without docker-py: what is asked over the socket, and what becomes of the answers."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import runners.docker
from runners.docker.connect import Endpoint, connect
from runners.docker.engine import Engine
from runners.docker.localengine import LocalEngine
from runners.docker.refused import NotThere, Refused, failed, not_there, refused
from taskengine.errors import Unreachable


def said(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def chunked(*pieces: bytes) -> bytes:
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body + b"0\r\n\r\n"


class Peer:
    """A socket that answers requests with what it was given, in turn, and remembers them. `connections` counts."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "engine.sock")
        self.answers: list[bytes | Callable[[socket.socket], None]] = []
        self.requests: list[bytes] = []
        self.connections = 0
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(self.path)
        self._socket.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            while (request := self._read(connection)) is not None:
                self.requests.append(request)
                answer = self.answers.pop(0)
                if callable(answer):
                    answer(connection)
                    return
                connection.sendall(answer)

    def _read(self, connection: socket.socket) -> bytes | None:
        data = b""
        while b"\r\n\r\n" not in data:
            if not (more := connection.recv(65536)):
                return None
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        if b"Transfer-Encoding: chunked" in head:
            while not body.endswith(b"0\r\n\r\n"):
                body += connection.recv(65536)
        for line in head.split(b"\r\n"):
            if line.startswith(b"Content-Length: "):
                while len(body) < int(line.split()[1]):
                    body += connection.recv(65536)
        return head + b"\r\n\r\n" + body

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[Peer]:
    made = Peer(tmp_path)
    yield made
    made.close()


@pytest.fixture
def api(peer: Peer) -> Iterator[LocalEngine]:
    made = LocalEngine(peer.path, timeout=5, headers={"X-Own": "1"})
    made._version = "1.41"
    yield made
    made.close()


def test_requests_follow_each_other_on_one_connection(peer: Peer, api: LocalEngine) -> None:
    peer.answers = [said(b'{"Id": "a"}'), chunked(b'{"Id"', b': "b"}'), b"HTTP/1.1 204 No Content\r\n\r\n", said(b"OK")]

    assert api.inspect_image("busybox:1")["Id"] == "a"
    assert api.inspect_container("c1")["Id"] == "b"
    api.start("c1")
    assert api.ping()

    assert peer.connections == 1
    assert [request.split(b"\r\n")[0] for request in peer.requests] == [
        b"GET /v1.41/images/busybox:1/json HTTP/1.1",
        b"GET /v1.41/containers/c1/json HTTP/1.1",
        b"POST /v1.41/containers/c1/start HTTP/1.1",
        b"GET /v1.41/_ping HTTP/1.1",
    ]
    assert all(b"\r\nX-Own: 1\r\n" in request for request in peer.requests)


def test_the_engine_s_own_sentence_is_told(peer: Peer, api: LocalEngine) -> None:
    peer.answers = [
        said(b'{"message": "No such image: x:1"}', "404 Not Found"),
        said(b'{"message": "in use"}', "409 Conflict"),
        said(b"gateway", "502 Bad Gateway"),
        said(b"OK"),
    ]

    with pytest.raises(NotThere, match="No such image: x:1"):
        api.inspect_image("x:1")
    with pytest.raises(Refused) as refusal:
        api.remove_volume("v", force=True)
    assert (refusal.value.status_code, refusal.value.explanation) == (409, "in use")
    with pytest.raises(Refused, match="gateway"):
        api.info()
    assert api.ping()
    assert peer.connections == 1


def test_documents_of_a_stream_come_one_by_one(peer: Peer, api: LocalEngine) -> None:
    peer.answers = [chunked(b'{"status": "a"}\r\n{"sta', b'tus": "b"}\r\n', b'{"aux": {"Digest": "d"}}{"last": 1}')]

    lines = list(api.push("r.example.com/app", tag="1", auth_config={"username": "u"}))

    assert lines == [{"status": "a"}, {"status": "b"}, {"aux": {"Digest": "d"}}, {"last": 1}]
    assert peer.requests[0].startswith(b"POST /v1.41/images/r.example.com/app/push?tag=1 HTTP/1.1\r\n")
    assert b"\r\nX-Registry-Auth: eyJ1c2VybmFtZSI6ICJ1In0=\r\n" in peer.requests[0]


def test_a_body_without_a_known_length_is_sent_in_pieces(peer: Peer, api: LocalEngine) -> None:
    peer.answers = [said(b"")]

    api.put_archive("c1", "/keep", iter([b"abc", b"", b"de"]))

    assert peer.requests[0].endswith(b"\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")


def test_filters_and_flags_are_written_as_the_engine_reads_them(peer: Peer, api: LocalEngine) -> None:
    peer.answers = [said(b"[]"), said(b"", "204 No Content")]

    api.containers(all=True, filters={"label": "a=b"})
    api.remove_container("c1", v=True, force=False)

    first, second = (request.split(b" ")[1].decode() for request in peer.requests)
    assert first == "/v1.41/containers/json?all=1&filters=%7B%22label%22%3A+%5B%22a%3Db%22%5D%7D"
    assert second == "/v1.41/containers/c1?v=1&force=0"


def test_a_connection_that_the_engine_has_closed_is_not_used_again(peer: Peer, api: LocalEngine) -> None:
    peer.answers = [lambda connection: connection.sendall(said(b"OK")), said(b"OK")]

    assert api.ping()
    while peer.connections == 1:
        assert api.ping()

    assert peer.connections == 2


def test_an_answer_that_breaks_off_is_an_error_and_not_less(peer: Peer, api: LocalEngine) -> None:
    peer.answers = [lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}")]

    with pytest.raises(ConnectionError):
        api.info()


def test_an_attached_stream_is_handed_over_with_what_came_along(peer: Peer, api: LocalEngine) -> None:
    def attach(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\n\r\nfirst")
        connection.sendall(b" last")

    peer.answers = [attach]

    stream = api.attach_socket("c1", params={"stdout": 1})

    data = b""
    while more := stream.recv(3):
        data += more
    assert data == b"first last"
    stream.close()


def test_events_end_when_they_are_closed_elsewhere(peer: Peer, api: LocalEngine) -> None:
    opened, over = threading.Event(), threading.Event()

    def events(connection: socket.socket) -> None:
        connection.sendall(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{"id":1}\n\r\n')
        over.wait(10)

    peer.answers = [events]
    stream = api.events(filters={"type": "container"})
    seen: list[Any] = []

    def follow() -> None:
        try:
            for event in stream:
                seen.append(event)
                opened.set()
        except OSError:
            pass

    thread = threading.Thread(target=follow)
    thread.start()
    assert opened.wait(10)
    stream.close()
    thread.join(10)
    over.set()

    assert not thread.is_alive()
    assert seen == [{"id": 1}]


def test_the_version_is_learnt_by_the_one_request_that_starts_nothing(peer: Peer) -> None:
    peer.answers = [said(b"OK", "200 OK", "Api-Version: 1.45")]

    api = connect(Endpoint(host=f"unix://{peer.path}"))

    assert api.api_version == "1.45"
    assert [request.split(b" ")[1] for request in peer.requests] == [b"/_ping"]
    api.close()


def test_the_user_s_own_headers_go_along(peer: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"HttpHeaders": {"X-Meta": "mine"}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    peer.answers = [said(b"OK", "200 OK", "Api-Version: 1.45")]

    connect(Endpoint(host=f"unix://{peer.path}")).close()

    assert b"\r\nX-Meta: mine\r\n" in peer.requests[0]


def test_nobody_there_is_unreachable(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="no such socket"):
        connect(Endpoint(host=f"unix://{tmp_path}/none.sock"))


def test_both_clients_errors_are_named() -> None:
    from docker.errors import APIError, ImageNotFound, NullResource

    assert issubclass(ImageNotFound, not_there())
    assert issubclass(APIError, refused())
    assert issubclass(NullResource, failed())
    assert issubclass(ValueError, failed(ValueError))
    for error in (NotThere(404, "x"), Refused(500, "x"), ConnectionError()):
        assert isinstance(error, failed())


def test_the_errors_of_docker_py_are_named_in_one_place() -> None:
    """Whoever catches docker-py's own does not hear what this machine's engine refuses."""
    home = Path(runners.docker.__file__).parent
    named = {
        p.name for p in home.rglob("*.py") if re.search(r"^\s+from docker\.errors import", p.read_text(), re.MULTILINE)
    }

    assert named == set()


def test_a_build_and_its_push_load_no_docker_py(engine: Any, tmp_path: Path) -> None:
    """docker-py and requests take longer to load than a cached build takes."""
    (tmp_path / "Dockerfile").write_text("FROM busybox:1\n")
    script = (
        "import sys\nfrom taskengine.cli.entry import main\ncode = main(sys.argv[1:])\n"
        "print(sorted({'docker', 'requests', 'ssl', 'http.client', 'tarfile', 'google'} & set(sys.modules)), code)"
    )
    name = f"{engine.registry}/light:1"

    done = subprocess.run(
        [sys.executable, "-c", script, "build", "-q", "-t", name, str(tmp_path)],
        capture_output=True, text=True, check=False, env={**os.environ, **engine.env},
    )  # fmt: skip

    assert done.stdout.splitlines()[-1:] == ["[] 0"], done.stderr


def test_it_offers_every_call_that_runs_make() -> None:
    wanted = {name for name in vars(Engine) if not name.startswith("_")}

    assert wanted <= set(dir(LocalEngine)) | {"base_url"}


def test_a_build_and_its_push_ask_the_engine_no_more_than_they_need(engine: Any, tmp_path: Path) -> None:
    """Every question costs a millisecond, /version and /info many: the engine starts programs to answer them."""
    (tmp_path / "Dockerfile").write_text("FROM busybox:1\nCOPY Dockerfile /\n")
    script = """
import re, sys
from runners.docker import http1
asked = []
def note(method, target):
    asked.append(method + " " + re.sub(r"sha256:[0-9a-f]+", "ID", re.sub(r"^/v[0-9.]+", "", target)))
request, begin = http1.Http1.request, http1.Http1.begin
http1.Http1.request = lambda self, method, target, **k: (note(method, target), request(self, method, target, **k))[1]
http1.Http1.begin = lambda self, target, **k: (note("GET", target), begin(self, target, **k))[1]
from taskengine.cli.entry import main
assert main(sys.argv[1:]) == 0
print(*asked, sep="\\n")
"""
    name = f"{engine.registry}/counted:1"
    line = [sys.executable, "-c", script, "build", "-q", "-t", name, str(tmp_path)]
    for _ in range(2):
        done = subprocess.run(line, capture_output=True, text=True, check=False, env={**os.environ, **engine.env})
        assert done.returncode == 0, done.stderr

    asked = done.stdout.splitlines()
    assert asked == [
        "GET /_ping",
        "GET /version",
        f"GET /images/{name}/json",  # which base the last image was labelled with
        "GET /images/docker.io/library/busybox:1/json",  # the digest of the base, where it tells none
        "GET /images/docker.io/library/busybox:1/json",  # what the build stood on
        "GET /images/ID/json",  # what was built
        f"GET /images/{name}/json",  # what is to be pushed
        f"GET /distribution/{name}/json",  # whether it is there
        "GET /_ping",  # whether the engine answers to the end
    ]


def test_what_was_asked_ahead_is_there_when_it_is_wanted(peer: Peer, api: LocalEngine) -> None:
    peer.answers = [said(b'{"Os": "linux"}'), said(b'{"Os": "other"}')]

    api.expect_version()

    assert api.version() == {"Os": "linux"}
    assert api.version() == {"Os": "other"}


def test_what_was_asked_ahead_and_went_wrong_is_asked_again(peer: Peer, api: LocalEngine) -> None:
    peer.answers = [lambda connection: connection.close(), said(b'{"Os": "linux"}')]

    api.expect_version()

    assert api.version() == {"Os": "linux"}
