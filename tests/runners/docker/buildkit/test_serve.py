"""Our serving side against gRPC's own client."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from runners.docker.buildkit.connection import SocketConnection
from runners.docker.buildkit.link import Call, CallError, Status
from runners.docker.buildkit.serve import Answer, Handler, Server

Ask = Callable[..., Any]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[Handler], Any]]:
    """Serves one handler as /t/T; gives gRPC's function to call it with a stream of messages."""
    servers: list[Server] = []
    closers: list[Callable[[], None]] = []

    def make(handler: Handler) -> Any:
        path = str(tmp_path / "sock")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()

        def accept() -> None:
            servers.append(Server(SocketConnection(listener.accept()[0]), {"/t/T": handler}))
            servers[-1].start()

        threading.Thread(target=accept, daemon=True).start()
        channel = grpc.insecure_channel(f"unix:{path}", options=[("grpc.max_metadata_size", 1 << 20)])
        closers.extend((channel.close, listener.close))
        return channel.stream_stream("/t/T")

    yield make
    for close in (*closers, *(server.close for server in servers)):
        close()


def echo(requests: Iterable[bytes], _call: Call) -> Answer:
    for message in requests:
        yield message
        yield None


def test_messages_go_back_and_forth(serve: Callable[[Handler], Any]) -> None:
    assert list(serve(echo)(iter([b"a", b"", b"c" * 300_000]), timeout=20)) == [b"a", b"", b"c" * 300_000]


def test_more_small_requests_than_a_window_holds_get_through(serve: Callable[[Handler], Any]) -> None:
    def count(requests: Iterable[bytes], _call: Call) -> Answer:
        yield str(sum(1 for _ in requests)).encode()

    assert list(serve(count)(iter([b"0123456789"] * 30_000), timeout=60)) == [b"30000"]


def test_more_answers_than_a_window_holds_get_through(serve: Callable[[Handler], Any]) -> None:
    def talk(_requests: Iterable[bytes], _call: Call) -> Answer:
        for number in range(200):
            yield bytes([number]) * 100_000

    received = list(serve(talk)(iter([]), timeout=60))
    assert [m[:1] for m in received] == [bytes([n]) for n in range(200)]
    assert {len(m) for m in received} == {100_000}


def test_what_is_said_before_a_wait_arrives_before_it_ends(serve: Callable[[Handler], Any]) -> None:
    go = threading.Event()

    def patient(_requests: Iterable[bytes], _call: Call) -> Answer:
        yield b"first"
        yield None
        assert go.wait(20)
        yield b"second"

    answers = serve(patient)(iter([]), timeout=20)
    assert next(answers) == b"first"
    go.set()
    assert next(answers) == b"second"


def test_a_handlers_error_is_the_calls_status(serve: Callable[[Handler], Any]) -> None:
    def refuse(_requests: Iterable[bytes], _call: Call) -> Answer:
        yield b"so far"
        raise CallError(Status.NOT_FOUND, "größer als 100 %")

    answers = serve(refuse)(iter([]), timeout=20)
    with pytest.raises(grpc.RpcError) as caught:
        list(answers)
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.NOT_FOUND, "größer als 100 %")


def test_an_unforeseen_error_tells_its_kind_and_nothing_of_its_text(serve: Callable[[Handler], Any]) -> None:
    def fail(_requests: Iterable[bytes], _call: Call) -> Answer:
        yield b""
        raise LookupError("hunter2")

    with pytest.raises(grpc.RpcError) as caught:
        list(serve(fail)(iter([]), timeout=20))
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.INTERNAL, "LookupError")


def test_a_call_that_is_given_up_tells_its_handler(serve: Callable[[Handler], Any]) -> None:
    told = threading.Event()

    def wait(_requests: Iterable[bytes], call: Call) -> Answer:
        call.on_end(told.set)
        yield b"begun"
        yield None
        told.wait(20)

    answers = serve(wait)(iter([]), timeout=20)
    assert next(answers) == b"begun"
    answers.cancel()
    assert told.wait(10)


def test_metadata_may_be_as_long_as_an_ignore_file(serve: Callable[[Handler], Any]) -> None:
    def count(_requests: Iterable[bytes], call: Call) -> Answer:
        yield str(sum(len(value) for name, value in call.metadata if name == "exclude-patterns")).encode()

    metadata = [("exclude-patterns", f"folder-{n:04d}/**/*.generated.file") for n in range(2000)]
    assert list(serve(count)(iter([]), timeout=20, metadata=metadata)) == [
        str(sum(len(v) for _, v in metadata)).encode()
    ]
