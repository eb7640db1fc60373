"""A run's feed: frames that survive any cut, and offsets that mean the same on both sides."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskengine.errors import InvalidInput
from taskengine.runs.feed import LARGEST_EVENT, LARGEST_PIECE, FrameKind, event_frame, frames, log_frames, whole

AT = datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC)


def test_what_went_in_comes_out_in_order() -> None:
    feed = event_frame(AT, {"event": "run.started"}) + log_frames(AT, "büild", 2, b"\x00\xffhello")
    (_, event), (end, log) = frames(feed)
    assert event.event == {"event": "run.started"}
    assert (log.kind, log.step, log.stream, log.payload, log.at) == (FrameKind.LOG, "büild", 2, b"\x00\xffhello", AT)
    assert end == len(feed)


def test_a_piece_larger_than_a_frame_is_cut_and_none_of_it_is_lost() -> None:
    data = b"x" * (LARGEST_PIECE * 2 + 1)
    assert b"".join(frame.payload for _, frame in frames(log_frames(AT, "s", 1, data))) == data


@given(st.lists(st.tuples(st.text(max_size=5), st.sampled_from([1, 2]), st.binary(max_size=40)), max_size=6), st.data())
def test_a_feed_cut_anywhere_shows_only_whole_frames_and_resumes_at_their_end(
    pieces: list[tuple[str, int, bytes]], data: st.DataObject
) -> None:
    feed = b"".join(log_frames(AT, step, stream, payload) for step, stream, payload in pieces)
    cut = data.draw(st.integers(0, len(feed)))
    end = whole(feed[:cut])
    again = [f for _, f in frames(feed[:end])] + [f for _, f in frames(feed, end)]
    assert again == [f for _, f in frames(feed)]


@pytest.mark.parametrize(
    "bad", [b"\x00" * 16, b"\x02\x01\x00\x00\xff\xff\xff\xff" + b"\x00" * 8, b"\x02\x09" + b"\x00" * 14]
)
def test_what_is_no_feed_is_refused(bad: bytes) -> None:
    with pytest.raises(InvalidInput):
        whole(bad)


def test_a_step_name_that_is_no_text_is_refused() -> None:
    feed = bytearray(log_frames(AT, "ab", 1, b"x"))
    feed[16] = 0xFF
    with pytest.raises(InvalidInput):
        whole(bytes(feed))


def test_an_event_that_no_reader_would_take_is_refused() -> None:
    with pytest.raises(InvalidInput):
        event_frame(AT, {"event": "notice", "message": "x" * LARGEST_EVENT})
