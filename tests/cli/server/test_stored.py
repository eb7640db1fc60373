"""`acr-task task ...` and `acr-task token ...` against a real service."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Outcome
from tests.cli.server.conftest import Server

Cli = Callable[..., Outcome]
pytestmark = pytest.mark.usefixtures("logged_in")


def made(cli: Cli, *args: str) -> dict[str, Any]:
    done = cli("task", *args)
    assert done.code == 0, done.err
    found: dict[str, Any] = json.loads(done.out)
    return found


def decoded(task: dict[str, Any]) -> str:
    return base64.b64decode(task["step"]["encodedTaskContent"]).decode()


def test_a_command_becomes_a_task_with_a_webhook_secret_that_is_shown_once(cli: Cli) -> None:
    task = made(cli, "create", "-n", "hello", "--cmd", "alpine:3 echo hi", "-c", "/dev/null")
    assert task["step"]["type"] == "EncodedTask"
    assert "alpine:3 echo hi" in decoded(task)
    assert task["webhookSecret"]
    assert "webhookSecret" not in made(cli, "show", "-n", "hello")
    named = cli("task", "create", "-n", "other", "--cmd", "alpine:3 true", "--webhook-secret", "w0rd-of-mine")
    assert "w0rd-of-mine" not in named.out + named.err


def test_the_tables_have_az_columns(cli: Cli) -> None:
    url = "https://github.com/team/app.git"
    made(cli, "create", "-n", "app", "-c", f"{url}#main", "-f", "acb.yaml", "--schedule", "night:0 3 * * *",
         "--commit-trigger-enabled", "--platform", "linux/arm64")  # fmt: skip
    head, row = cli("task", "list").out.splitlines()
    assert head.split("  ")[0] == "NAME"
    assert head.replace("  ", " ").split() == ["NAME", "PLATFORM", "STATUS", "SOURCE", "REPOSITORY", "TRIGGERS"]
    assert row.split() == ["app", "linux/arm64", "Enabled", url, "BASE_IMAGE,", "SOURCE,", "TIMER"]
    cli("run", "--no-wait", "--cmd", "alpine:3 true", "/dev/null")
    head, row = cli("task", "list-runs").out.splitlines()
    assert head.replace("  ", " ").split() == [
        "RUN",
        "ID",
        "TASK",
        "PLATFORM",
        "STATUS",
        "TRIGGER",
        "STARTED",
        "DURATION",
    ]
    assert row.split()[0] == "ca1"
    assert row.split()[-2:] == ["Queued", "Manual"]
    assert cli("task", "list-runs", "-o", "tsv").out.split("\t")[0] == "ca1"


def test_files_of_a_context_are_task_files_or_dockerfiles_by_their_name(cli: Cli) -> None:
    url = "https://github.com/team/app.git#main:web"
    task = made(cli, "create", "-n", "a", "-c", url, "-f", "ci/acb.yaml", "--values", "ci/values.yaml", "--set", "a=b")
    assert task["step"]["type"] == "FileTask"
    assert (task["step"]["taskFilePath"], task["step"]["valuesFilePath"]) == ("ci/acb.yaml", "ci/values.yaml")
    task = made(cli, "create", "-n", "b", "-c", url, "-f", "Dockerfile.prod", "-t", "app:1", "--secret-arg", "T=x")
    assert (task["step"]["type"], task["step"]["dockerFilePath"]) == ("Docker", "Dockerfile.prod")
    assert task["step"]["arguments"] == [{"name": "T", "isSecret": True}]


def test_without_a_context_the_file_of_this_machine_is_taken(cli: Cli, tmp_path: Path) -> None:
    text = "version: v1.1.0\nsteps:\n  - cmd: alpine:3 true\n"
    (tmp_path / "mine.yaml").write_text(text)
    assert decoded(made(cli, "create", "-n", "a", "-f", "mine.yaml", "-c", "/dev/null")) == text


def test_an_update_changes_what_is_said_and_keeps_the_rest(cli: Cli) -> None:
    url = "https://github.com/team/app.git#main"
    made(
        cli, "create", "-n", "a", "-c", url, "-f", "acb.yaml", "--set", "x=1", "--set-secret", "y=2", "--timeout", "600"
    )
    task = made(cli, "update", "-n", "a", "--set", "z=3", "--status", "Disabled", "--commit-trigger-enabled")
    values = {one["name"]: one.get("value") for one in task["step"]["values"]}
    assert values == {"x": "1", "y": None, "z": "3"}
    assert (task["status"], task["timeout"]) == ("Disabled", 600)
    (source,) = task["trigger"]["sourceTriggers"]
    assert source["sourceTriggerEvents"] == ["commit"]
    assert source["sourceRepository"]["branch"] == "main"
    task = made(cli, "update", "-n", "a", "--commit-trigger-enabled", "false", "--base-image-trigger-enabled", "false")
    assert task["trigger"]["sourceTriggers"][0]["status"] == "Disabled"
    assert task["trigger"]["baseImageTrigger"]["status"] == "Disabled"
    task = made(cli, "update", "-n", "a", "--cmd", "alpine:3 true")
    assert task["step"]["type"] == "EncodedTask"
    assert "taskFilePath" not in task["step"]
    assert cli("task", "update", "-n", "a").code == 2


def test_a_forge_that_its_host_does_not_name_is_told_and_an_update_keeps_what_it_does_not_say(cli: Cli) -> None:
    url = "https://git.example.com/team/app.git"
    task = made(cli, "create", "-n", "a", "-c", f"{url}#main", "-f", "Dockerfile", "-t", "app:1", "--commit-trigger-enabled",
                "--source-control-type", "gitea")  # fmt: skip
    assert task["trigger"]["sourceTriggers"][0]["sourceRepository"]["sourceControlType"] == "Gitea"
    task = made(cli, "update", "-n", "a", "--pull-request-trigger-enabled")
    (source,) = task["trigger"]["sourceTriggers"]
    assert source["sourceRepository"]["sourceControlType"] == "Gitea"
    assert source["sourceTriggerEvents"] == ["commit", "pullrequest"]
    task = made(cli, "update", "-n", "a", "--source-control-type", "GitLab")
    assert task["trigger"]["sourceTriggers"][0]["sourceRepository"]["sourceControlType"] == "GitLab"


def test_create_replaces_a_task_of_the_same_name(cli: Cli) -> None:
    made(cli, "create", "-n", "a", "--cmd", "alpine:3 one")
    assert "two" in decoded(made(cli, "create", "-n", "a", "--cmd", "alpine:3 two"))
    assert len(json.loads(cli("task", "list", "-o", "json").out)) == 1


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((), "say what the task runs"),
        (("-c", ".", "-f", "acb.yaml"), "is on no server"),
        (("-c", "https://me:t0k3n-word@github.com/a/b.git", "-f", "x.yaml"), "holds no login"),
        (("-c", "https://github.com/a/b.git", "-f", "x.yaml", "-t", "app:1"), "--image means nothing"),
        (("--cmd", "alpine:3 x", "-f", "x.yaml"), "exclude each other"),
        (("--cmd", "alpine:3 x", "--commit-trigger-enabled"), "need a repository"),
    ],
)
def test_what_cannot_be_a_task_is_refused(cli: Cli, args: tuple[str, ...], words: str) -> None:
    done = cli("task", "create", "-n", "a", *args)
    assert done.code == 2
    assert words in done.err
    assert "t0k3n-word" not in done.err


def test_a_wrong_schedule_is_told_with_its_place(cli: Cli) -> None:
    done = cli("task", "create", "-n", "a", "--cmd", "alpine:3 true", "--schedule", "every day")
    assert done.code == 2
    assert "timerTriggers" in done.err


def test_a_task_is_deleted_only_with_consent(cli: Cli) -> None:
    made(cli, "create", "-n", "a", "--cmd", "alpine:3 true")
    assert cli("task", "delete", "-n", "a").code == 2
    assert cli("task", "delete", "-n", "a", "-y").code == 0
    assert cli("task", "show", "-n", "a").code == 2


def test_runs_of_a_task_are_queued_shown_kept_and_canceled(cli: Cli) -> None:
    made(cli, "create", "-n", "a", "--cmd", "alpine:3 echo {{.Values.x}}", "--set", "x=1")
    done = cli("task", "run", "-n", "a", "--set", "x=2", "--set-secret", "s=w0rd-of-mine", "--no-wait")
    assert (done.code, done.out) == (0, "ca1\n")
    run = made(cli, "show-run", "--run-id", "ca1")
    assert (run["task"], run["status"], run["type"]) == ("a", "Queued", "AutoRun")
    assert made(cli, "update-run", "--run-id", "ca1", "--no-archive", "false")["isArchiveEnabled"] is True
    assert made(cli, "update-run", "--run-id", "ca1", "--no-archive")["isArchiveEnabled"] is False
    done = cli("task", "cancel-run", "--run-id", "ca1")
    assert (done.code, done.err) == (0, "run ca1 is over: Canceled\n")
    assert cli("task", "cancel-run", "--run-id", "ca1").code == 0
    assert cli("task", "list-runs", "--run-status", "canceled", "-n", "a", "-o", "tsv").out.startswith("ca1\ta\t")
    assert cli("task", "list-runs", "--run-status", "Failed", "-o", "tsv").out == ""


def test_the_log_of_a_canceled_run_ends_with_its_state(cli: Cli) -> None:
    cli("run", "--no-wait", "--cmd", "alpine:3 true", "/dev/null")
    cli("task", "cancel-run", "--run-id", "ca1")
    done = cli("task", "logs")
    assert done.code == 1
    assert "run ca1 was canceled" in done.err
    assert cli("task", "logs", "--run-id", "ca1", "--raw").code == 0
    assert cli("task", "logs", "-n", "nothing").code == 2


def test_timers_are_added_changed_listed_and_removed(cli: Cli) -> None:
    made(cli, "create", "-n", "a", "--cmd", "alpine:3 true")
    timer = ("-n", "a", "--timer-name", "night")
    assert cli("task", "timer", "add", *timer).code == 2
    assert cli("task", "timer", "add", *timer, "--schedule", "0 3 * * *").code == 0
    assert "already" in cli("task", "timer", "add", *timer, "--schedule", "0 3 * * *").err
    cli("task", "timer", "update", *timer, "--enabled", "false", "--time-zone", "Europe/Berlin")
    assert cli("task", "timer", "list", "-n", "a", "-o", "tsv").out == "night\t0 3 * * *\tDisabled\tEurope/Berlin\n"
    assert "did you mean 'night'" in cli("task", "timer", "remove", "-n", "a", "--timer-name", "nigth").err
    assert cli("task", "timer", "remove", *timer, "-o", "json").out == "[]\n"


def test_logins_are_added_changed_listed_and_removed_and_never_shown(cli: Cli) -> None:
    made(cli, "create", "-n", "a", "--cmd", "alpine:3 true")
    login = ("-n", "a", "--login-server", "r.example.com:5000")
    done = cli(
        "task", "credential", "add", *login, "-u", "ci", "--password-stdin", "-o", "json", stdin="w0rd-of-mine\n"
    )
    assert done.code == 0, done.err
    assert "w0rd-of-mine" not in done.out
    assert cli("task", "credential", "update", *login, "-u", "other").code == 0
    assert cli("task", "credential", "list", "-n", "a", "-o", "tsv").out == "r.example.com:5000\tother\tOpaque\n"
    assert cli("task", "credential", "remove", *login, "-o", "json").out == "{}\n"
    assert cli("task", "credential", "update", *login, "-u", "x").code == 2


def test_tokens_are_made_listed_and_revoked(cli: Cli, logged_in: Server) -> None:
    done = cli("token", "create", "-n", "ci", "--role", "reader", "--scope", "app-*")
    assert done.code == 0, done.err
    token = done.out.strip()
    (row,) = (one for one in json.loads(cli("token", "list", "-o", "json").out) if one["name"] == "ci")
    assert (row["role"], row["scopes"]) == ("reader", ["app-*"])
    assert token not in cli("token", "list", "-o", "json").out
    assert cli("login", logged_in.url, "--token-stdin", stdin=token).code == 0
    assert cli("token", "revoke", row["id"]).code == 0
    assert cli("login", logged_in.url, "--token-stdin", stdin=token).code == 2
