"""Our calling side against gRPC's own server."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from runners.docker.buildkit.call import Caller
from runners.docker.buildkit.connection import SocketConnection
from runners.docker.buildkit.link import CallError, Status

pytestmark = pytest.mark.timeout(60)

Serve = Callable[[Callable[[Any, Any], Iterator[bytes]]], Caller]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """gRPC's server with one handler as /t/T, which is given the requests; and a caller that is connected to it."""
    pool = ThreadPoolExecutor(4)
    server = grpc.server(pool, options=[("grpc.max_metadata_size", 8 << 20)])
    callers: list[Caller] = []

    def make(handler: Callable[[Any, Any], Iterator[bytes]]) -> Caller:
        method = grpc.stream_stream_rpc_method_handler(handler)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t", {"T": method}),))
        server.add_insecure_port(f"unix:{tmp_path}/sock")
        server.start()
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(f"{tmp_path}/sock")
        callers.append(Caller(SocketConnection(sock)))
        callers[-1].start()
        return callers[-1]

    yield make
    for caller in callers:
        caller.close()
    server.stop(None).wait(10)
    pool.shutdown()


def echo(requests: Any, _context: Any) -> Iterator[bytes]:
    yield from requests


def test_one_request_has_one_answer(serve: Serve) -> None:
    assert serve(echo).call("/t/T", b"hello", timeout=20).result() == b"hello"


def test_messages_go_back_and_forth(serve: Serve) -> None:
    call = serve(echo).open("/t/T", timeout=20)
    answers = iter(call)
    for message in (b"a", b"", b"c" * 300_000):
        call.send(message)
        assert next(answers) == message
    call.done_sending()
    assert list(answers) == []


def test_more_than_a_window_holds_gets_through_both_ways(serve: Serve) -> None:
    caller = serve(echo)
    assert len(caller.call("/t/T", b"x" * (3 << 20), timeout=50).result()) == 3 << 20


def test_many_calls_share_the_connection(serve: Serve) -> None:
    caller = serve(echo)
    with ThreadPoolExecutor(4) as pool:
        asked = [bytes([n]) * 100_000 for n in range(40)]
        assert list(pool.map(lambda m: caller.call("/t/T", m, timeout=50).result(), asked)) == asked


def test_calls_that_nobody_reads_take_no_room_from_others(serve: Serve) -> None:
    caller = serve(echo)
    for _ in range(30):
        call = caller.call("/t/T", b"x" * 100_000, timeout=20)
        next(iter(call))
        call = caller.call("/t/T", b"x" * 100_000, timeout=20)
        call.cancel()
    assert len(caller.call("/t/T", b"y" * (1 << 20), timeout=20).result()) == 1 << 20
    assert caller.calls == {}


def test_metadata_is_sent(serve: Serve) -> None:
    def tell(_requests: Any, context: Any) -> Iterator[bytes]:
        yield ",".join(v for k, v in context.invocation_metadata() if k == "x-method").encode()

    call = serve(tell).open("/t/T", metadata=[("X-Method", "/a"), ("X-Method", "/b")], timeout=20)
    call.done_sending()
    assert call.result() == b"/a,/b"


def test_the_servers_error_is_raised_with_what_came_along(serve: Serve) -> None:
    def refuse(_requests: Any, context: Any) -> Iterator[bytes]:
        yield b"so far"
        context.set_trailing_metadata([("detail-bin", b"\x00\xff" * 200_000)])
        context.abort(grpc.StatusCode.NOT_FOUND, "größer als 100 %")

    call = serve(refuse).call("/t/T", b"", timeout=20)
    answers = iter(call)
    assert next(answers) == b"so far"
    with pytest.raises(CallError, match="größer als 100 %") as caught:
        next(answers)
    assert caught.value.status is Status.NOT_FOUND
    assert len(dict(caught.value.trailers)["detail-bin"]) > 400_000


def test_an_unknown_method_is_unimplemented(serve: Serve) -> None:
    with pytest.raises(CallError) as caught:
        serve(echo).call("/t/Other", b"", timeout=20).result()
    assert caught.value.status is Status.UNIMPLEMENTED


def test_a_call_ends_when_its_time_is_over(serve: Serve) -> None:
    told = threading.Event()

    def wait(requests: Any, context: Any) -> Iterator[bytes]:
        context.add_callback(told.set)
        yield from requests

    with pytest.raises(CallError) as caught:
        list(serve(wait).open("/t/T", timeout=0.3))
    assert caught.value.status is Status.DEADLINE_EXCEEDED
    assert told.wait(10)


def test_canceling_wakes_whoever_waits_and_tells_the_server(serve: Serve) -> None:
    begun, told = threading.Event(), threading.Event()

    def wait(requests: Any, context: Any) -> Iterator[bytes]:
        context.add_callback(told.set)
        begun.set()
        yield from requests

    call = serve(wait).open("/t/T", timeout=None)
    assert begun.wait(10)
    threading.Timer(0, call.cancel).start()
    with pytest.raises(CallError) as caught:
        list(call)
    assert caught.value.status is Status.CANCELLED
    assert told.wait(10)
    call.cancel()


def test_a_lost_connection_ends_its_calls_and_refuses_new_ones(serve: Serve) -> None:
    caller = serve(echo)
    call = caller.open("/t/T", timeout=20)
    call.send(b"a")
    answers = iter(call)
    assert next(answers) == b"a"
    caller.close()
    with pytest.raises(CallError) as caught:
        next(answers)
    assert caught.value.status is Status.UNAVAILABLE
    with pytest.raises(CallError) as caught:
        caller.call("/t/T", b"", timeout=1)
    assert caught.value.status is Status.UNAVAILABLE
    with pytest.raises(OSError, match="ended"):
        call.send(b"b")
