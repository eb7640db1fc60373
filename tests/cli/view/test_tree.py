"""The drawing of a running task."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from taskengine.cli.view.state import RunState
from taskengine.cli.view.tree import Look, cells, cut, draw
from taskengine.runs.event import Event, RunStarted, StepFinished, StepProgress, StepRetrying, StepStarted
from taskengine.runs.model import StepRecord, StepStatus

AT = datetime(2024, 1, 1, tzinfo=UTC)
PLAIN = Look(colour=False)


def started(*steps: tuple[str, tuple[str, ...]]) -> RunState:
    state = RunState()
    state.apply(RunStarted(at=AT, run_id="r1", steps=tuple((i, "cmd", needs) for i, needs in steps)), 0.0)
    return state


def finished(step: str, status: StepStatus = StepStatus.SUCCEEDED, **more: object) -> StepFinished:
    return StepFinished(at=AT, record=StepRecord(id=step, type="cmd", status=status, duration=2.0, attempts=1, **more))


def shown(state: RunState, *events: Event, now: float = 3.0, width: int = 80, height: int = 24) -> list[str]:
    for event in events:
        state.apply(event, 1.0)
    return draw(state, now=now, width=width, height=height, look=PLAIN)


def test_a_step_stands_under_the_deepest_step_it_waits_for() -> None:
    state = started(("a", ()), ("b", ()), ("a1", ("a",)), ("a2", ("a",)), ("end", ("b", "a2")))
    assert [re.match(r"[ ├└│]*\S \S+", line)[0] for line in shown(state)[:-1]] == [
        " ○ a",
        " ├ ○ a1",
        " └ ○ a2",
        "   └ ○ end",
        " ○ b",
    ]


def test_a_running_step_shows_its_time_and_last_line() -> None:
    state = started(("a", ()))
    state.apply(StepStarted(at=AT, step="a", attempt=1), 1.0)
    state.line("a", "compiling\x1b[2J")
    (row, _) = draw(state, now=3.5, width=80, height=24, look=PLAIN)
    assert row.endswith("a    2.5s  compiling")


def test_a_step_that_waits_for_the_upload_shows_how_much_has_travelled() -> None:
    def upload(status: str, current: int) -> StepProgress:
        return StepProgress(
            at=AT, step="a", vertex="upload:workspace", name="sending the context", status=status, current=current
        )

    state = started(("a", ()))
    rows = shown(state, StepStarted(at=AT, step="a", attempt=1), upload("started", 12_300_000))
    assert rows[0].endswith("sending the context 12.3 MB")
    assert "sending" not in shown(state, upload("done", 20_000_000))[0]


def test_a_step_that_speaks_is_shown_with_its_line_and_no_longer_with_its_pull() -> None:
    state = started(("a", ()))
    pull = StepProgress(at=AT, step="a", vertex="pull:x:1", name="pull x: Download complete", status="started")
    shown(state, StepStarted(at=AT, step="a", attempt=1), pull)
    state.line("a", "hello")
    assert shown(state)[0].endswith("hello")


def test_a_waiting_step_names_what_it_waits_for() -> None:
    rows = shown(started(("a", ()), ("b", ()), ("c", ("a", "b"))), finished("a"))
    assert "waits for b" in rows[-2] or any(row.endswith("waits for b") for row in rows)


def test_a_build_shows_its_instruction_and_what_was_cached() -> None:
    rows = shown(
        started(("a", ())),
        StepStarted(at=AT, step="a", attempt=1),
        StepProgress(at=AT, step="a", vertex="1", name="[1/2] FROM base", status="cached"),
        StepProgress(at=AT, step="a", vertex="2", name="[2/2] RUN make", status="started"),
    )
    assert rows[0].endswith("1 cached  [2/2] RUN make")


def test_a_pull_shows_how_much_of_it_is_there() -> None:
    rows = shown(
        started(("a", ())),
        StepStarted(at=AT, step="a", attempt=1),
        StepProgress(at=AT, step="a", vertex="1", name="pull x", status="started", current=5_000_000, total=20_000_000),
    )
    assert rows[0].endswith("pull x 25% of 20.0 MB")


def test_a_step_that_will_be_tried_again_says_when_and_why() -> None:
    rows = shown(
        started(("a", ())),
        StepStarted(at=AT, step="a", attempt=1),
        StepRetrying(at=AT, step="a", attempt=1, delay=5, message="exit code 1"),
        now=2.0,
    )
    assert rows[0].endswith("again in 4.0s: exit code 1")


@pytest.mark.parametrize(
    ("status", "mark"),
    [
        (StepStatus.SUCCEEDED, "✔"),
        (StepStatus.FAILED, "✘"),
        (StepStatus.SKIPPED, "–"),
        (StepStatus.CANCELED, "■"),
    ],
)
def test_each_end_has_its_mark(status: StepStatus, mark: str) -> None:
    assert shown(started(("a", ())), finished("a", status))[0].startswith(f" {mark} a")


def test_an_ignored_failure_is_not_hidden() -> None:
    rows = shown(started(("a", ())), finished("a", error_ignored=True, message="exit code 3"))
    assert rows[0].endswith("failed, ignored: exit code 3")


@pytest.mark.parametrize("width", [1, 5, 20, 40, 200])
@pytest.mark.parametrize("height", [1, 3, 10, 50])
def test_no_drawing_is_larger_than_its_terminal(width: int, height: int) -> None:
    state = started(*((f"步骤-{n}", () if n == 0 else (f"步骤-{n - 1}",)) for n in range(30)))
    state.apply(StepStarted(at=AT, step="步骤-0", attempt=1), 0.0)
    state.line("步骤-0", "行" * 300)
    rows = draw(state, now=3.0, width=width, height=height, look=PLAIN)
    assert all(cells(row) < max(width, 2) for row in rows)
    assert len(rows) <= max(height - 1, 2)


def test_of_many_steps_only_those_that_run_or_failed_are_drawn() -> None:
    state = started(*((f"s{n}", ()) for n in range(500)))
    rows = shown(state, StepStarted(at=AT, step="s7", attempt=1), finished("s9", StepStatus.FAILED), height=20)
    assert [row.split()[1] for row in rows[:-1]] == ["s7", "s9"]
    assert rows[-1].startswith(" 1 of 500 done · 1 running · 498 waiting · 1 failed")


def test_a_terminal_without_unicode_gets_ascii() -> None:
    state = started(("a", ()), ("b", ("a",)))
    rows = draw(state, now=0.0, width=80, height=24, look=Look(colour=False, unicode=False))
    assert all(row.isascii() for row in rows)


def test_a_chain_of_ten_thousand_steps_is_laid_out() -> None:
    state = started(*((f"s{n}", () if n == 0 else (f"s{n - 1}",)) for n in range(10_000)))
    assert max(len(row.guides) for row in state.tree()) <= 16


def test_a_text_that_is_cut_ends_with_an_ellipsis() -> None:
    assert cut("abcdef", 4) == "abc…"
    assert cells(cut("日本語", 4)) <= 4
