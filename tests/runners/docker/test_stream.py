"""Reading the engine's attach stream."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runners.docker.stream import copy


class Pieces:
    """A connection that gives these bytes in these pieces."""

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        self._data, self._sizes = data, sizes

    def recv(self, size: int, /) -> bytes:
        size = min(size, self._sizes.pop(0) if self._sizes else size)
        piece, self._data = self._data[:size], self._data[size:]
        return piece


def frame(stream: int, data: bytes) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(data).to_bytes(4, "big") + data


def read(data: bytes, sizes: list[int], *, tty: bool = False) -> list[tuple[int, bytes]]:
    got: list[tuple[int, bytes]] = []
    copy(Pieces(data, sizes), lambda stream, part: got.append((stream, part)), tty=tty)
    return got


@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(min_size=1, max_size=50))), st.lists(st.integers(1, 20)))
def test_every_byte_arrives_in_order_however_the_stream_is_cut(
    frames: list[tuple[int, bytes]], sizes: list[int]
) -> None:
    got = read(b"".join(frame(*f) for f in frames), sizes)
    assert [(s, bytes([b])) for s, d in got for b in d] == [(s, bytes([b])) for s, d in frames for b in d]


def test_neighbouring_frames_of_one_stream_come_in_one_piece() -> None:
    assert read(frame(1, b"a") + frame(1, b"b") + frame(2, b"c"), []) == [(1, b"ab"), (2, b"c")]


def test_a_terminal_has_no_frames() -> None:
    assert read(b"\x01\x00raw", [], tty=True) == [(1, b"\x01\x00raw")]


def test_a_connection_that_breaks_within_a_frame_is_an_error() -> None:
    with pytest.raises(ConnectionError):
        read(frame(1, b"whole") + frame(1, b"cut")[:-1], [])
