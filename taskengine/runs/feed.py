"""A run's feed: everything that it said, events and output, in one order, as bytes that can be appended and resumed.

The worker spools the feed to its disk and sends it on from wherever the service's copy ends; both hold the same bytes,
so an offset into them is all that there is to agree on, and what has a gap can be seen to have one. Pure: bytes in,
frames out. Must not know where the bytes lie.

A frame is a header of 16 bytes (big-endian: kind u8, stream u8, length of the step's name u16, length of the payload
u32, time in microseconds since 1970 u64), the step's name in UTF-8, and the payload: an event as JSON
(`taskengine.runs.event.to_json`), or output, already masked, byte for byte. A frame that is cut off at the end of the
bytes is not there yet.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Any, NamedTuple

from taskengine.errors import InvalidInput

_HEADER = struct.Struct(">BBHIQ")
#: what a step prints is cut into pieces of at most this
LARGEST_PIECE = 1 << 20
#: no event is larger; the record of a run of 10,000 steps takes a tenth of it
LARGEST_EVENT = 1 << 26
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class FrameKind(IntEnum):
    EVENT = 1
    LOG = 2


class Frame(NamedTuple):
    """One frame. `stream` is 1 (stdout) or 2 (stderr) for output, 0 for events; `step` is empty for events."""

    kind: FrameKind
    at: datetime
    step: str
    stream: int
    payload: bytes

    @property
    def event(self) -> dict[str, Any]:
        """The event of an event frame, as `to_json` made it."""
        found: dict[str, Any] = json.loads(self.payload)
        return found


_LARGEST = {FrameKind.EVENT: LARGEST_EVENT, FrameKind.LOG: LARGEST_PIECE}


def event_frame(at: datetime, event: dict[str, Any]) -> bytes:
    """An event's frame. Raises InvalidInput for one that no reader would take."""
    payload = json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()
    if len(payload) > LARGEST_EVENT:
        raise InvalidInput(f"an event of {len(payload)} bytes is larger than the {LARGEST_EVENT} that a feed takes")
    return _pack(FrameKind.EVENT, at, b"", 0, payload)


def log_frames(at: datetime, step: str, stream: int, data: bytes) -> bytes:
    """The frames of a piece of output, as one run of bytes."""
    name = step.encode()
    pieces = (data[i : i + LARGEST_PIECE] for i in range(0, len(data), LARGEST_PIECE))
    return b"".join(_pack(FrameKind.LOG, at, name, stream, piece) for piece in pieces)


def _pack(kind: FrameKind, at: datetime, step: bytes, stream: int, payload: bytes) -> bytes:
    micros = (at - _EPOCH) // timedelta(microseconds=1)
    return _HEADER.pack(kind, stream, len(step), len(payload), micros) + step + payload


def frames(data: bytes, start: int = 0) -> Iterator[tuple[int, Frame]]:
    """The whole frames of `data` from `start` on, each with the offset of its end. Raises InvalidInput for what is no
    feed; a cut-off frame at the end is left for the next time."""
    view, at = memoryview(data), start
    while len(view) - at >= _HEADER.size:
        kind, stream, name_size, size, micros = _HEADER.unpack_from(view, at)
        if stream > 2 or size > _LARGEST.get(kind, -1):
            raise InvalidInput(f"byte {at} is not the beginning of a frame", hint="the feed is damaged")
        begin = at + _HEADER.size + name_size
        end = begin + size
        if end > len(view):
            return
        try:
            step = str(view[at + _HEADER.size : begin], "utf-8")
        except UnicodeDecodeError as error:
            raise InvalidInput(f"the frame at byte {at} names no step", hint="the feed is damaged") from error
        moment = _EPOCH + timedelta(microseconds=min(micros, 253402300799_999999))
        yield end, Frame(FrameKind(kind), moment, step, stream, bytes(view[begin:end]))
        at = end


def whole(data: bytes) -> int:
    """How many bytes of `data` are whole frames. Raises InvalidInput for what is no feed."""
    return max((end for end, _ in frames(data)), default=0)
