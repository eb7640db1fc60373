"""The live view, on a terminal that is emulated."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pyte

from taskengine.cli.view.face import Pipe
from taskengine.cli.view.painter import LiveView
from taskengine.cli.view.tree import Look
from taskengine.runs.event import Notice, RunStarted, StepFinished, StepStarted
from taskengine.runs.model import StepRecord, StepStatus

AT = datetime(2024, 1, 1, tzinfo=UTC)


class Terminal:
    """A screen that the view writes to; `paint` shows the next frame."""

    def __init__(self, columns: int = 60, lines: int = 16, *, look: Look | None = None) -> None:
        self.screen = pyte.HistoryScreen(columns, lines, history=10_000)
        self._stream = pyte.ByteStream(self.screen)
        self.screen.set_mode(pyte.modes.LNM)
        self.raw = io.BytesIO()
        self.view = LiveView(
            Pipe(self.raw, lambda: None),
            look=look or Look(),
            clock=lambda: 1.0,
            size=lambda: (self.screen.columns, self.screen.lines),
            own_thread=False,
        )

    def _feed(self) -> None:
        self._stream.feed(self.raw.getvalue())
        self.raw.seek(0)
        self.raw.truncate()

    def paint(self) -> list[str]:
        self.view.paint()
        self._feed()
        return self.rows()

    def close(self) -> list[str]:
        self.view.close()
        self._feed()
        return self.rows()

    def rows(self) -> list[str]:
        above = ["".join(line[x].data for x in range(self.screen.columns)) for line in self.screen.history.top]
        return [row.rstrip() for row in [*above, *self.screen.display] if row.strip()]


def begin(terminal: Terminal) -> LiveView:
    view = terminal.view.__enter__()
    view.event(RunStarted(at=AT, run_id="r1", steps=(("build", "build", ()), ("test", "cmd", ("build",)))))
    view.event(StepStarted(at=AT, step="build", attempt=1))
    return view


def test_log_lines_scroll_above_the_tree() -> None:
    terminal = Terminal()
    view = begin(terminal)
    terminal.paint()
    view.write("build", 1, b"one\ntwo\n")
    rows = terminal.paint()
    assert rows[:2] == ["build │ one", "build │ two"]
    assert rows[2].endswith("0.0s  two")
    assert rows[-1].startswith(" 0 of 2 done · 1 running · 1 waiting")


def test_the_tree_is_drawn_over_itself_and_not_again_and_again() -> None:
    terminal = Terminal()
    view = begin(terminal)
    for n in range(40):
        view.write("build", 1, b"line %d\n" % n)
        rows = terminal.paint()
    assert sum("waiting" in row for row in rows) == 1
    assert [row for row in rows if row.startswith("build │")] == [f"build │ line {n}" for n in range(40)]


def test_at_the_end_the_tree_is_gone_and_the_cursor_is_back() -> None:
    terminal = Terminal()
    view = begin(terminal)
    view.write("build", 1, b"no newline at the end")
    terminal.paint()
    assert terminal.screen.cursor.hidden
    assert terminal.close() == ["build │ no newline at the end"]
    assert not terminal.screen.cursor.hidden


def test_closing_twice_is_harmless() -> None:
    terminal = Terminal()
    begin(terminal)
    terminal.close()
    assert terminal.close() == []


def test_a_line_waits_for_its_end() -> None:
    terminal = Terminal()
    view = begin(terminal)
    view.write("build", 1, b"half")
    assert not any("half" in row for row in terminal.paint())
    view.write("build", 1, b" and half\n")
    assert "build │ half and half" in terminal.paint()


def test_what_a_step_left_without_an_end_is_shown_when_it_is_over() -> None:
    terminal = Terminal()
    view = begin(terminal)
    view.write("build", 2, b"rest")
    view.end("build")
    view.event(StepFinished(at=AT, record=StepRecord(id="build", type="build", status=StepStatus.SUCCEEDED)))
    assert "build │ rest" in terminal.paint()


def test_steps_that_talk_at_once_keep_their_lines_whole() -> None:
    terminal = Terminal()
    view = begin(terminal)
    view.write("build", 1, b"aaa")
    view.write("test", 1, b"bbb\n")
    view.write("build", 1, b"AAA\n")
    assert terminal.paint()[:2] == ["test │ bbb", "build │ aaaAAA"]


def test_output_that_clears_the_screen_does_not() -> None:
    terminal = Terminal()
    view = begin(terminal)
    view.write("build", 1, b"kept\n\x1b[2J\x1b[Hcleared\n")
    assert terminal.paint()[:2] == ["build │ kept", "build │ cleared"]


def test_a_terminal_made_narrower_leaves_no_trace_of_the_wide_tree() -> None:
    terminal = Terminal(columns=80)
    view = begin(terminal)
    view.write("build", 1, b"x" * 70 + b"\n")
    terminal.paint()
    # what a terminal does with rows that no longer fit: it wraps them
    rows = [row for row in terminal.screen.display if row.strip()]
    terminal.screen.resize(16, 40)
    terminal.screen.reset()
    terminal.screen.set_mode(pyte.modes.LNM)
    terminal._stream.feed("\n".join(row.rstrip() for row in rows).encode())
    assert sum("waiting" in row or "0 of 2" in row for row in terminal.paint()) == 1


def test_a_notice_is_a_line_of_its_own() -> None:
    terminal = Terminal()
    view = begin(terminal)
    view.event(Notice(at=AT, message="the socket is given to this step", level="warning", step="build"))
    assert terminal.paint()[0] == "warning: build: the socket is given to this step"


def test_without_colours_no_colour_is_sent() -> None:
    terminal = Terminal(look=Look(colour=False))
    view = begin(terminal)
    view.write("build", 1, b"\x1b[31mred\x1b[0m\n")
    view.paint()
    assert b"m" not in terminal.raw.getvalue().split(b"\x1b[?25l")[1].replace(b"running", b"").replace(b"cmd", b"")


def test_an_interrupt_is_acknowledged_in_the_tree() -> None:
    terminal = Terminal()
    view = begin(terminal)
    view.interrupted()
    assert terminal.paint()[-1].startswith(" stopping, Ctrl-C again stops at once")


def test_a_terminal_that_is_gone_is_told_once() -> None:
    class Gone(io.BytesIO):
        def write(self, data: object) -> int:
            raise BrokenPipeError

    lost: list[int] = []
    view = LiveView(
        Pipe(Gone(), lambda: lost.append(1)), look=Look(), clock=lambda: 0.0, size=lambda: (80, 24), own_thread=False
    )
    with view:
        view.write("a", 1, b"x\n")
        view.paint()
    assert lost == [1]
