"""`run` and `build` against a real service: the same output and exit codes as here."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from runners.noop.runner import Script
from tests.cli.conftest import Outcome, Wiring
from tests.cli.server.conftest import Server

Cli = Callable[..., Outcome]
TASK = "version: v1.1.0\nsteps:\n  - id: hello\n    cmd: bash echo hello\n"


@pytest.fixture
def task(tmp_path: Path) -> Path:
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "task.yaml").write_text(TASK)
    (folder / "data.txt").write_text("data")
    (folder / "private.key").write_text("key")
    (folder / ".dockerignore").write_text("*.key\n")
    return folder / "task.yaml"


def test_the_same_file_gives_the_same_output_here_and_there(
    cli: Cli, wiring: Wiring, logged_in: Server, server: Server, task: Path
) -> None:
    script = {"hello": Script(stdout=b"hi\xff\nno end")}
    wiring.behaviour.update(script)
    server.behaviour.update(script)
    there, here = cli("run", task), cli("run", "--local", task)
    assert (there.code, there.out) == (here.code, here.out)
    assert here.out == "hello | hi\ufffd\nhello | no end\n"
    assert "run ca1 succeeded" in there.err
    assert "uploaded the context: " in there.err
    assert server.files() == {"task.yaml", "data.txt", ".dockerignore"}


def test_a_failed_run_has_its_own_exit_code_and_words(cli: Cli, logged_in: Server, server: Server, task: Path) -> None:
    server.behaviour["hello"] = Script(exits=(3,), stderr=b"broken\n")
    done = cli("run", task)
    assert done.code == 1
    assert "step 'hello' failed" in done.err


def test_json_lines_are_the_events_of_the_run(cli: Cli, logged_in: Server, server: Server, task: Path) -> None:
    server.behaviour["hello"] = Script(stdout=b"hi\n")
    done = cli("run", task, "-o", "json")
    kinds = [json.loads(line)["event"] for line in done.out.splitlines()]
    assert [kind for kind in kinds if kind not in ("notice", "step.progress")] == [
        "run.started", "step.started", "log", "step.finished", "run.finished",
    ]  # fmt: skip


def test_problems_of_a_task_are_shown_as_here(cli: Cli, logged_in: Server, task: Path) -> None:
    task.write_text("version: v1.1.0\nsteps:\n  - id: a\n    cmd: bash x\n    when: [b]\n")
    there, here = cli("run", task), cli("run", "--local", task)
    assert (there.code, here.code) == (2, 2)
    assert here.err in there.err
    assert str(task) in there.err


def test_secrets_travel_as_secrets_and_nowhere_else(cli: Cli, logged_in: Server, server: Server, task: Path) -> None:
    task.write_text("version: v1.1.0\nsteps:\n  - id: hello\n    cmd: bash echo {{.Values.key}}\n")
    server.behaviour["hello"] = Script(stdout=b"it is s3cr3t-word\n")
    done = cli("run", task, "--set-secret", "key=s3cr3t-word")
    assert done.out == "hello | it is ***\n"
    with logged_in.services.database.read() as conn:
        rows = conn.exec_driver_sql("select spec from runs").all()
    assert "s3cr3t-word" not in str(rows)


def test_no_wait_prints_the_id_of_a_run_that_is_queued(cli: Cli, logged_in: Server, task: Path) -> None:
    done = cli("run", "--no-wait", task)
    assert (done.code, done.out) == (0, "ca1\n")
    shown = json.loads(cli("run", "--no-wait", "-o", "json", "--cmd", "alpine:3 true", "/dev/null").out)
    assert (shown["runId"], shown["status"]) == ("ca2", "Queued")


def test_a_build_uploads_its_folder_and_its_dockerfile(
    cli: Cli, logged_in: Server, server: Server, task: Path, tmp_path: Path
) -> None:
    (task.parent / "Dockerfile").write_text("FROM scratch\n")
    (task.parent / ".dockerignore").write_text("*.key\nDockerfile\n")
    done = cli("build", "--no-push", "-t", "app:1", "--secret-build-arg", "TOKEN=t0k3n-word", task.parent)
    assert done.code == 0, done.err
    assert server.files() == {"Dockerfile", "task.yaml", "data.txt", ".dockerignore"}
    assert server.contexts[-1].build_args == {"TOKEN": "t0k3n-word"}
    (tmp_path / "Other").write_text("FROM busybox\n")
    done = cli("build", "--no-push", "-t", "app:1", "-f", tmp_path / "Other", task.parent)
    assert done.code == 0, done.err
    (name,) = (name for name in server.files() if name.startswith(".acr-task-"))
    assert (server.uploads[-1] / name).read_text() == "FROM busybox\n"


def test_all_that_shapes_an_image_reaches_the_build(cli: Cli, logged_in: Server, server: Server, task: Path) -> None:
    (task.parent / "Dockerfile").write_text("FROM scratch\n")
    several = "linux/amd64,linux/arm64"
    done = cli(
        "build", "--no-push", "-t", "app:1", "--platform", several, "--label", "team=a b", "--cache-from", "r.io/c:1",
        "--cache-to", "type=inline", "--no-cache", task.parent,
    )  # fmt: skip
    assert done.code == 0, done.err
    (step,) = server.plans[-1].steps
    assert step.build is not None
    options = dict(step.build.options)
    assert (options["platform"], options["label"], options["cache-from"]) == (several, "team=a b", "r.io/c:1")
    assert options["cache-to"] == "type=inline"
    assert server.contexts[-1].image_labels == {}, "labels of the base only: no commit is known"
    assert cli("build", "--no-push", "--no-oci-labels", task.parent).code == 0
    assert server.contexts[-1].image_labels is None


def test_a_cache_in_a_registry_that_was_not_granted_is_refused(cli: Cli, logged_in: Server, task: Path) -> None:
    logged_in.services.settings = replace(logged_in.services.settings, registry="r.example.com")
    (task.parent / "Dockerfile").write_text("FROM scratch\n")
    words = ("build", "-t", "r.example.com/app:1", "--cache-to", "elsewhere.example.com/cache:1", task.parent)
    done = cli(*words)
    assert done.code == 2
    assert "--cache-to elsewhere.example.com/cache:1 is not allowed on this server" in done.err


def test_warnings_are_errors_on_a_server_too_when_they_are_to_be(cli: Cli, logged_in: Server, task: Path) -> None:
    task.write_text("version: v1.1.0\nfancy: true\nsteps:\n  - id: a\n    cmd: bash true\n")
    there, here = cli("run", "--strict", task), cli("run", "--strict", "--local", task)
    assert (there.code, here.code) == (2, 2)
    assert here.err in there.err
    assert cli("run", "--no-wait", task).code == 0


def test_as_many_steps_run_at_once_as_was_said(cli: Cli, logged_in: Server, server: Server, task: Path) -> None:
    steps = "".join(f"  - {{id: s{n}, cmd: bash x, when: ['-']}}\n" for n in range(4))
    task.write_text(f"version: v1.1.0\nsteps:\n{steps}")
    done = cli("run", "--max-parallel", "1", "-o", "json", task)
    assert done.code == 0, done.err
    events = [json.loads(line) for line in done.out.splitlines()]
    kinds = [event["event"] for event in events if event["event"] in ("step.started", "step.finished")]
    assert kinds == ["step.started", "step.finished"] * 4


def test_a_wrong_text_is_told_before_anything_is_uploaded(cli: Cli, logged_in: Server, task: Path) -> None:
    task.write_text("version: v1.1.0\nsteps:\n  - id: a\n    cmd: bash x\n    when: [b]\n")
    assert cli("run", task).code == 2
    with logged_in.services.database.read() as conn:
        assert conn.exec_driver_sql("select count(*) from uploads").scalar() == 0


def test_an_address_is_sent_and_not_fetched_and_its_token_is_a_secret(cli: Cli, logged_in: Server) -> None:
    done = cli("run", "--no-wait", "-f", "ci/acb.yaml", "https://me:t0k3n-word@git.example.com/team/app.git#main:web")
    assert done.code == 0, done.err
    with logged_in.services.database.read() as conn:
        (spec,) = conn.exec_driver_sql("select spec from runs").scalars().all()
    found = json.loads(spec) if isinstance(spec, str) else spec
    assert found["context"] == "https://git.example.com/team/app.git#main:web"
    assert found["file"] == "ci/acb.yaml"
    assert found["secret_names"] == ["context:token"]
    assert "t0k3n-word" not in str(found)


@pytest.mark.parametrize("option", [("--id", "x"), ("--ssh", "default")])
def test_what_only_this_machine_can_do_is_refused(
    cli: Cli, logged_in: Server, task: Path, option: tuple[str, ...]
) -> None:
    done = cli("run", task, *option)
    assert done.code == 2
    assert f"{option[0]} is for runs on this machine: " in done.err
    assert "or add --local" in done.err


def test_no_wait_needs_a_server(cli: Cli, task: Path) -> None:
    done = cli("run", "--no-wait", task)
    assert done.code == 2
    assert "hint: acr-task login" in done.err


def test_a_server_that_is_away_is_exit_code_3(cli: Cli, wiring: Wiring, task: Path) -> None:
    wiring.environ.update(ACR_TASK_SERVER="http://127.0.0.1:1", ACR_TASK_TOKEN="x")
    assert cli("run", task).code == 3


def test_a_wrong_token_is_told_with_the_way_to_log_in(cli: Cli, wiring: Wiring, idle: Server, task: Path) -> None:
    wiring.environ.update(ACR_TASK_SERVER=idle.url, ACR_TASK_TOKEN="wrong")
    done = cli("run", task)
    assert done.code == 2
    assert "login" in done.err
