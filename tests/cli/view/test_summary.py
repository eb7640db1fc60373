"""The words at the end of a run."""

from __future__ import annotations

import pytest

from taskengine.cli.view.summary import summary
from taskengine.cli.view.tree import Look
from taskengine.cli.view.words import count, listing, seconds, size, table
from taskengine.runs.model import ImageResult, Reason, RunRecord, RunStatus, StepRecord, StepStatus

PLAIN = Look(colour=False, unicode=False)


def step(name: str, status: StepStatus = StepStatus.SUCCEEDED, **more: object) -> StepRecord:
    return StepRecord(id=name, type="cmd", status=status, **{"attempts": 1, "duration": 1.0, **more})


def record(*steps: StepRecord, status: RunStatus = RunStatus.SUCCEEDED, **more: object) -> RunRecord:
    return RunRecord(id="r1", status=status, steps=steps, duration=2.0, **more)


def text(run: RunRecord, *, quiet: bool = False) -> str:
    return "\n".join(summary(run, PLAIN, quiet=quiet))


def test_every_step_has_its_status_time_and_attempts() -> None:
    lines = text(record(step("a"), step("b", duration=61.0, attempts=3))).split("\n")
    assert lines[1:4] == [
        "  STEP  TYPE  STATUS      TIME    AFTER",
        "  a     cmd   succeeded   1.0s",
        "  b     cmd   succeeded  1m01s    (3 attempts)",
    ]


def test_what_went_wrong_stands_below_the_steps_row() -> None:
    failed = step("a", StepStatus.FAILED, message="exit status 3\nmore", needs=("b",))
    lines = text(record(failed, step("b"), status=RunStatus.FAILED)).split("\n")
    assert [line.split() for line in lines[2:5]] == [
        ["a", "cmd", "failed", "1.0s", "b"],
        ["exit", "status", "3"],
        ["b", "cmd", "succeeded", "1.0s"],
    ]


def test_a_long_reason_is_seen_to_be_cut() -> None:
    failed = step("a", StepStatus.FAILED, message="x" * 200)
    line = next(line for line in text(record(failed, status=RunStatus.FAILED)).splitlines() if "xxx" in line)
    assert line.strip() == "x" * 97 + "..."


def test_the_result_is_the_last_line() -> None:
    assert text(record(step("a"))).split("\n")[-1] == "run r1 succeeded in 2.0s"


def test_the_critical_path_is_named_with_its_time() -> None:
    assert "critical path: a > b (2.0s)" in text(record(step("a"), step("b"), critical_path=("a", "b")))


def test_a_long_critical_path_is_shortened() -> None:
    steps = [step(f"s{n}") for n in range(100)]
    (line,) = [x for x in text(record(*steps, critical_path=tuple(s.id for s in steps))).split("\n") if "path" in x]
    assert "... 89 more ..." in line
    assert line.endswith("s99 (1m40s)")


def test_of_a_large_run_the_failed_and_the_slowest_steps_are_listed() -> None:
    steps = [step(f"s{n}", duration=n / 100) for n in range(1000)]
    steps[5] = step("s5", StepStatus.FAILED, duration=0.0)
    out = text(record(*steps, status=RunStatus.FAILED, failed_step="s5"))
    assert "s999" in out
    assert "s5 " in out
    assert "... and 969 more steps" in out


def test_a_failure_shows_reason_last_lines_and_hint() -> None:
    failed = step(
        "a", StepStatus.FAILED, exit_code=137, reason=Reason.OUT_OF_MEMORY, last_lines=("x", "y"), hint="give it more"
    )
    out = text(record(failed, status=RunStatus.FAILED, failed_step="a", message="step 'a' failed"), quiet=True)
    assert out.split("\n") == [
        "",
        "step 'a' failed: out of memory (exit code 137)",
        "its last lines:",
        "  | x",
        "  | y",
        "hint: give it more",
        "",
        "run r1 failed after 2.0s: step 'a' failed",
    ]


def test_a_hint_is_given_once() -> None:
    failed = step("a", StepStatus.FAILED, hint="do this")
    out = text(record(failed, status=RunStatus.FAILED, failed_step="a", message="m", hint="do this"))
    assert out.count("hint: do this") == 1


def test_a_steps_control_codes_do_not_reach_the_end_either() -> None:
    failed = step("a", StepStatus.FAILED, message="\x1b[2Jbad", last_lines=("\x1b]0;t\x07x",))
    assert "\x1b" not in text(record(failed, status=RunStatus.FAILED, message="\x1b[2J"))


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (RunStatus.CANCELED, "was canceled after"),
        (RunStatus.TIMEOUT, "ran out of time after"),
        (RunStatus.ERROR, "broke off after"),
    ],
)
def test_each_end_has_its_words(status: RunStatus, words: str) -> None:
    assert words in text(record(status=status))


def test_images_show_digest_size_and_whether_they_were_pushed() -> None:
    images = (
        ImageResult(reference="r.io/a:1", digest="sha256:1", size=17, pushed=True),
        ImageResult(reference="b:2", image_id="sha256:2"),
    )
    assert text(record(step("a"), images=images)).split("images:\n")[1].split("\n")[:2] == [
        "  r.io/a:1  sha256:1  17 B  pushed",
        "  b:2       sha256:2        local",
    ]


@pytest.mark.parametrize(
    ("value", "words"),
    [(0, "0.0s"), (-1, "0.0s"), (12.34, "12.3s"), (59.96, "1m00s"), (61, "1m01s"), (3599.9, "1h00m"), (7380, "2h03m")],
)
def test_durations_are_short(value: float, words: str) -> None:
    assert seconds(value) == words


@pytest.mark.parametrize(("value", "words"), [(17, "17 B"), (1200, "1.2 kB"), (3.4e6, "3.4 MB"), (5e9, "5.0 GB")])
def test_sizes_are_written_as_docker_writes_them(value: float, words: str) -> None:
    assert size(value) == words


def test_counts_and_lists_read_well() -> None:
    assert (count(1, "step"), count(2, "step")) == ("1 step", "2 steps")
    assert listing(("a", "b", "c", "d", "e")) == "a, b, c and 2 more"
    assert table([("a", "b"), ("cc", "")]) == ["a   b", "cc"]
