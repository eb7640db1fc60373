"""What is pure of it: rows, times, forges; and that everything says how to log in where there is no server."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from taskengine.cli.server.answer import duration_text, run_row, time_text, trigger_of
from taskengine.cli.server.follow import end_of, waits_for
from taskengine.cli.server.form import forge, timer
from taskengine.cli.server.quick import parted
from taskengine.runs.model import RunRecord, RunStatus, StepStatus
from tests.cli.conftest import Outcome


@pytest.mark.parametrize(
    "args", [("task", "list"), ("task", "logs"), ("task", "timer", "list", "-n", "a"), ("token", "list")]
)
def test_without_a_server_the_way_to_one_is_told(cli: Callable[..., Outcome], args: tuple[str, ...]) -> None:
    done = cli(*args)
    assert done.code == 2
    assert "this needs a server" in done.err
    assert "hint: acr-task login https://SERVER" in done.err


def test_times_and_durations_are_those_of_az() -> None:
    assert time_text("2024-03-05T08:07:08.123+02:00") == "2024-03-05T06:07:08Z"
    assert duration_text("2024-03-05T06:07:08Z", "2024-03-05T07:08:10.2Z") == "01:01:02"
    assert duration_text("2024-03-05T06:07:08Z", None) == time_text(None) == ""


@pytest.mark.parametrize(
    ("run", "trigger"),
    [
        ({}, "Manual"),
        ({"timerTrigger": {"name": "t1"}}, "Timer"),
        ({"imageUpdateTrigger": {"images": []}}, "Image Update"),
        ({"sourceTrigger": {"eventType": "pullrequest"}}, "pullrequest"),
    ],
)
def test_what_started_a_run_is_named_as_az_names_it(run: dict[str, object], trigger: str) -> None:
    assert trigger_of(run) == trigger
    assert run_row({"runId": "ca1", **run})[4] == trigger


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://github.com/a/b.git", "Github"),
        ("https://dev.azure.com/a/b", "VisualStudioTeamService"),
        ("https://team.visualstudio.com/a", "VisualStudioTeamService"),
        ("https://gitlab.example.com/a/b.git", "GitLab"),
        ("https://notgithub.com/a/b.git", "Generic"),
    ],
)
def test_forges_are_known_by_their_hosts(url: str, kind: str) -> None:
    assert forge(url) == kind


def test_schedules_may_carry_a_name() -> None:
    assert timer("night:0 3 * * *", 1) == {"name": "night", "schedule": "0 3 * * *", "status": "Enabled"}
    assert timer("0 3 * * *", 2)["name"] == "t2"


def test_a_login_is_taken_out_of_an_address() -> None:
    assert parted("https://u:p%40x@h/a.git#m:d") == ("https://h/a.git#m:d", "u:p@x")
    assert parted("https://h/a.git") == ("https://h/a.git", "")
    assert parted("git@h:a.git") == ("git@h:a.git", "")


def test_how_a_run_ended_is_the_services_word() -> None:
    said = RunRecord(id="ca1", status=RunStatus.ERROR, error_exit_code=3)
    run = {
        "runId": "ca1",
        "status": "Canceled",
        "cancelReason": "no more",
        "steps": [{"id": "a", "status": "canceled"}],
    }
    found = end_of(run, said)
    assert (found.status, found.message, found.error_exit_code) == (RunStatus.CANCELED, "no more", 0)
    assert found.steps[0].status is StepStatus.CANCELED
    assert end_of({**run, "status": "Error"}, said) is said


def test_a_run_that_waits_says_why() -> None:
    assert waits_for({"status": "Queued", "waitReason": "no worker", "queuePosition": 2}) == (
        "waiting: no worker (number 2 in the queue)"
    )
    assert waits_for({"status": "Running"}) == ""
