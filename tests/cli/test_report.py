"""Problems and errors as a person reads them."""

from __future__ import annotations

import pytest

from taskengine.cli.report import problem_text, report_error
from taskengine.errors import InvalidTask, Location, Problem, Severity, Unreachable

AT = Location(file="tasks/app.yaml", line=12, column=5)


def test_a_problem_shows_place_line_caret_and_hint() -> None:
    problem = Problem(
        code="E104",
        message="unknown key 'wehn' in step 'test'",
        location=AT,
        source_line='    wehn: ["build"]',
        hint="did you mean 'when'?",
    )
    assert problem_text(problem).split("\n") == [
        "tasks/app.yaml:12:5: error: unknown key 'wehn' in step 'test' [E104]",
        '   12 |     wehn: ["build"]',
        "      |     ^",
        "hint: did you mean 'when'?",
    ]


def test_a_warning_says_so() -> None:
    problem = Problem(code="W1", message="old", location=AT, severity=Severity.WARNING)
    assert problem_text(problem) == "tasks/app.yaml:12:5: warning: old [W1]"


def test_a_problem_without_a_place_is_one_line() -> None:
    assert problem_text(Problem(code="E1", message="no steps")) == "error: no steps [E1]"


def test_related_places_are_named() -> None:
    problem = Problem(code="E1", message="twice", location=AT, related=(("first defined here", AT),))
    assert "  tasks/app.yaml:12:5: first defined here" in problem_text(problem)


def test_tabs_keep_the_caret_under_its_column() -> None:
    problem = Problem(code="E1", message="m", location=Location(file="f", line=1, column=3), source_line="\t\tx")
    assert problem_text(problem).split("\n")[1:] == ["    1 |   x", "      |   ^"]


def test_a_very_long_line_is_shown_around_its_column() -> None:
    line = "a" * 5000 + "!" + "b" * 5000
    problem = Problem(code="E1", message="m", location=Location(file="f", line=1, column=5001), source_line=line)
    _, shown, caret = problem_text(problem).split("\n")
    assert len(shown) < 200
    assert shown[caret.index("^")] == "!"


def test_a_strangers_control_characters_do_not_reach_the_terminal() -> None:
    problem = Problem(code="E1", message="bad \x1b]0;x\x07", location=AT, source_line="\x1b[2Jx")
    assert "\x1b" not in problem_text(problem)


def test_other_errors_are_a_line_and_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    assert report_error(Unreachable("no engine", hint="start one")) == 3
    assert capsys.readouterr().err == "error: no engine\nhint: start one\n"


def test_all_problems_are_printed_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    problems = (Problem(code="E1", message="a"), Problem(code="E2", message="b"))
    assert report_error(InvalidTask(problems)) == 2
    assert capsys.readouterr().err == "error: a [E1]\nerror: b [E2]\n2 errors\n"
