"""Server-sent events, and following them through connections that break."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from taskengine.client import sse
from taskengine.client.sse import Sent, events, follow
from taskengine.errors import Unreachable


def test_events_are_cut_at_blank_lines_and_comments_are_nothing() -> None:
    lines = [": hello", "", "event: log", "id: 1:5", "data: {}", "", "data: a", "data: b", "", "data: cut off"]
    assert list(events(lines)) == [Sent("log", "{}", "1:5"), Sent("message", "a\nb", "1:5")]


class Streams:
    """Answers of a service, one a connection: events, and then an error or the end."""

    def __init__(self, *answers: list[Sent | Exception]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, to: Any, path: Any, params: Any, since: str) -> Iterator[Sent]:
        self.asked.append(since)
        for one in self.answers.pop(0) if self.answers else [Unreachable("gone")]:
            if isinstance(one, Exception):
                raise one
            yield one


class To:
    url = "http://service"


def test_a_broken_stream_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, end = Sent("log", "1", "1:1"), Sent("log", "2", "1:2"), Sent("end", "", "1:2")
    streams = Streams([first, Unreachable("reset")], [second], [end])
    monkeypatch.setattr(sse, "_stream", streams)
    breaks: list[Unreachable] = []
    found = list(follow(To(), "x", last="end", on_break=breaks.append, sleep=lambda _: None))  # type: ignore[arg-type]
    assert found == [first, second, end]
    assert streams.asked == ["", "1:1", "1:2"]
    assert len(breaks) == 2


def test_a_service_that_stays_away_is_given_up_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "_stream", Streams())
    slept: list[float] = []
    with pytest.raises(Unreachable, match="gone"):
        list(follow(To(), "x", give_up_after=10, sleep=slept.append))  # type: ignore[arg-type]
    assert sum(slept) >= 10
