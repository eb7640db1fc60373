"""What is told of bytes on their way."""

from __future__ import annotations

import io

from runners.docker.upload import PAUSE, Upload


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_slow_upload_is_told_now_and_then_and_at_its_end() -> None:
    clock, heard = Clock(), list[tuple[int, bool]]()
    upload = Upload(clock)
    upload.listen(lambda sent, over: heard.append((sent, over)))
    stream = upload.counted(io.BytesIO(b"x" * 100))
    for _ in range(5):
        stream.read(20)
        clock.now += PAUSE * 0.6
    upload.end()
    assert heard == [(60, False), (100, False), (100, True)]


def test_a_quick_upload_is_not_told() -> None:
    heard = list[tuple[int, bool]]()
    upload = Upload(Clock())
    upload.listen(lambda sent, over: heard.append((sent, over)))
    assert upload.counted(io.BytesIO(b"x" * 100)).read() == b"x" * 100
    upload.end()
    assert heard == []


def test_who_does_not_listen_any_more_is_not_told() -> None:
    clock, heard = Clock(), list[tuple[int, bool]]()
    upload = Upload(clock)
    stop = upload.listen(lambda sent, over: heard.append((sent, over)))
    stream = upload.counted(io.BytesIO(b"x" * 100))
    stream.read(10)
    stop()
    stop()
    clock.now = 9.0
    stream.read(10)
    upload.end()
    assert heard == []
