"""Runs from the command line, with a runner that runs nothing."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from runners.noop.runner import NoopRunner, Script
from taskengine.cli.build import place
from taskengine.errors import Unreachable
from taskengine.plan.model import PlannedStep
from taskengine.runner import Attempt
from taskengine.runs.event import Notice
from taskengine.runs.model import ImageResult, StepResult
from tests.cli.conftest import Outcome, Wiring

Cli = Callable[..., Outcome]

TASK = """\
version: v1.1.0
steps:
  - id: build
    cmd: busybox make
  - id: test
    cmd: busybox test
    when: [build]
"""


@pytest.fixture(autouse=True)
def _files(cli: Cli) -> None:
    Path("ctx").mkdir()
    Path("ctx/task.yaml").write_text(TASK)
    Path("ctx/acb.yaml").write_text("steps:\n  - id: default\n    cmd: busybox\n")
    Path("ctx/Dockerfile").write_text("FROM scratch\n")


def events(outcome: Outcome) -> list[dict[str, Any]]:
    return [json.loads(line) for line in outcome.out.splitlines()]


def test_the_log_goes_to_stdout_and_our_words_to_stderr(cli: Cli, wiring: Wiring) -> None:
    wiring.behaviour["build"] = Script(stdout=b"compiling\n", stderr=b"careful\n")
    outcome = cli("run", "ctx/task.yaml")
    assert outcome.code == 0
    assert outcome.out == "build | compiling\nbuild | careful\n"
    assert "build: started\n" in outcome.err
    assert "build: finished in " in outcome.err
    assert "critical path: build > test" in outcome.err
    assert outcome.err.splitlines()[-1].startswith("run r")
    assert "succeeded in" in outcome.err.splitlines()[-1]


def test_no_control_codes_reach_a_pipe(cli: Cli, wiring: Wiring) -> None:
    wiring.behaviour["build"] = Script(exits=(3,), stdout=b"x\n")
    outcome = cli("run", "ctx/task.yaml")
    assert "\x1b" not in outcome.out + outcome.err


def test_a_failure_says_which_step_why_and_what_it_said_last(cli: Cli, wiring: Wiring) -> None:
    wiring.behaviour["build"] = Script(exits=(3,), stdout=b"cc1: error\n")
    outcome = cli("run", "ctx/task.yaml")
    assert outcome.code == 1
    assert "step 'build' failed: exit code 3\nits last lines:\n  | cc1: error\n" in outcome.err
    assert "failed after" in outcome.err.splitlines()[-1]
    assert "test   cmd   skipped" in outcome.err


def test_quiet_says_nothing_of_a_success_but_its_result(cli: Cli, wiring: Wiring) -> None:
    wiring.behaviour["build"] = Script(stdout=b"compiling\n")
    outcome = cli("run", "--quiet", "ctx/task.yaml")
    assert outcome.out == ""
    assert outcome.err.count("\n") == 1


def test_quiet_still_explains_a_failure(cli: Cli, wiring: Wiring) -> None:
    wiring.behaviour["test"] = Script(exits=(1,), stdout=b"assertion\n")
    outcome = cli("run", "-q", "ctx/task.yaml")
    assert outcome.code == 1
    assert outcome.out == ""
    assert "| assertion" in outcome.err


def test_json_lines_tell_everything_in_order(cli: Cli, wiring: Wiring) -> None:
    wiring.behaviour["build"] = Script(stdout=b"one\ntwo")
    outcome = cli("run", "-o", "json", "ctx/task.yaml")
    found = events(outcome)
    kinds = [event["event"] for event in found]
    assert (kinds[0], kinds[-1]) == ("run.started", "run.finished")
    logs = [(e["step"], e["stream"], e["text"]) for e in found if e["event"] == "log"]
    assert logs == [("build", "stdout", "one"), ("build", "stdout", "two")]
    assert kinds.index("log") > kinds.index("step.started")
    finished = [e["record"]["id"] for e in found if e["event"] == "step.finished"]
    assert finished == ["build", "test"]
    assert found[-1]["record"]["status"] == "Succeeded"
    assert outcome.err == ""


def test_images_are_listed_with_their_digests(cli: Cli, wiring: Wiring) -> None:
    image = ImageResult(reference="r.io/app:1", digest="sha256:abc", size=1_500_000, pushed=True)
    wiring.behaviour["build"] = Script(images=(image,))
    assert "  r.io/app:1  sha256:abc  1.5 MB  pushed" in cli("run", "ctx/task.yaml").err


def test_retries_are_told(cli: Cli, wiring: Wiring) -> None:
    Path("t.yaml").write_text("steps:\n  - id: a\n    cmd: busybox\n    retries: 1\n    retryDelay: 1\n")
    wiring.behaviour["a"] = Script(exits=(1, 0))
    outcome = cli("run", "t.yaml", "/dev/null")
    assert outcome.code == 0
    assert "warning: a: exit code 1; again in 1.0s" in outcome.err
    assert "a: started (attempt 2)" in outcome.err


def test_an_ignored_failure_stays_visible(cli: Cli, wiring: Wiring) -> None:
    Path("t.yaml").write_text("steps:\n  - id: a\n    cmd: busybox\n    ignoreErrors: true\n")
    wiring.behaviour["a"] = Script(exits=(7,))
    outcome = cli("run", "t.yaml")
    assert outcome.code == 0
    assert "failed (ignored)" in outcome.err
    assert "(1 failure ignored)" in outcome.err.splitlines()[-1]


def test_secrets_are_masked_in_the_log(cli: Cli, wiring: Wiring) -> None:
    wiring.behaviour["build"] = Script(stdout=b"key is geheim-123456\n")
    for output in ("text", "json"):
        outcome = cli("run", "ctx/task.yaml", "--set-secret", "k=geheim-123456", "-o", output)
        assert "geheim" not in outcome.out + outcome.err
        assert "key is ***" in outcome.out


def test_what_the_runner_says_by_itself_is_masked_too(
    cli: Cli, wiring: Wiring, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Talkative(NoopRunner):
        def run_step(self, step: PlannedStep, attempt: Attempt) -> StepResult:
            attempt.emit(Notice(at=datetime(2024, 1, 1, tzinfo=UTC), message="login with geheim-123456"))
            return super().run_step(step, attempt)

    monkeypatch.setattr("taskengine.wiring.runner_for", lambda context, using: Talkative())
    assert "login with ***\n" in cli("run", "ctx/task.yaml", "--set-secret", "k=geheim-123456").err


def test_a_secret_too_short_to_mask_is_warned_about(cli: Cli) -> None:
    assert "too short" in cli("run", "ctx/task.yaml", "--set-secret", "k=a").err


def test_the_files_own_folder_is_the_context(cli: Cli, wiring: Wiring) -> None:
    cli("run", "ctx/task.yaml")
    assert wiring.contexts[0].context_dir == str(Path("ctx").absolute())


def test_a_context_may_be_given_or_left_out(cli: Cli, wiring: Wiring) -> None:
    cli("run", "ctx/task.yaml", ".")
    cli("run", "ctx/task.yaml", "/dev/null")
    cli("run", "-f", "task.yaml", "ctx")
    cli("run", "-f", "-", "ctx", stdin=TASK)
    cli("run", "-", stdin=TASK)
    here = str(Path.cwd())
    assert [c.context_dir for c in wiring.contexts] == [here, None, f"{here}/ctx", f"{here}/ctx", None]


def test_a_folder_alone_runs_its_acb_yaml(cli: Cli, wiring: Wiring) -> None:
    outcome = cli("run", "-o", "json", "ctx")
    assert events(outcome)[0]["steps"][0][0] == "default"
    assert wiring.contexts[0].context_dir == str(Path("ctx").absolute())


def test_cmd_runs_one_command(cli: Cli, wiring: Wiring) -> None:
    outcome = cli("run", "--cmd", "$Registry/app echo 'a b'", "/dev/null", "-r", "r.io")
    assert outcome.code == 0
    assert wiring.runners[0].attempts == {"cmd": 1}


@pytest.mark.parametrize(
    "args",
    [
        ("run",),
        ("run", "--cmd", "busybox", "-f", "task.yaml", "ctx"),
        ("run", "a", "b", "c"),
        ("run", "-f", "ctx/task.yaml", "ctx", "more"),
        ("run", "nowhere.yaml"),
        ("run", "."),
        ("run", "ctx/Dockerfile"),
        ("run", ""),
        ("run", "--cmd"),
        ("run", "--cmd", " "),
        ("run", "ctx/task.yaml", "--values", "nowhere"),
        ("run", "ctx/task.yaml", "--secret", "a=@nowhere"),
        ("run", "ctx/task.yaml", "nowhere"),
        ("run", "ctx/task.yaml", "https://example.com/app.zip"),
        ("run", "ctx/task.yaml", "--set", "novalue"),
        ("run", "ctx/task.yaml", "--timeout", "soon"),
        ("run", "ctx/task.yaml", "--max-parallel", "0"),
        ("run", "ctx/task.yaml", "--platform", "amd64"),
    ],
)
def test_a_wrong_command_line_runs_nothing(cli: Cli, wiring: Wiring, args: tuple[str, ...]) -> None:
    outcome = cli(*args)
    assert (outcome.code, outcome.out, wiring.runners) == (2, "", [])
    assert re.fullmatch("error: .*\nhint: .*\n", outcome.err)


def test_an_invalid_task_runs_nothing(cli: Cli, wiring: Wiring) -> None:
    Path("t.yaml").write_text("steps:\n  - id: a\n    cmd: busybox\n    when: [nobody]\n")
    outcome = cli("run", "t.yaml")
    assert (outcome.code, wiring.runners) == (2, [])
    assert "t.yaml:4:" in outcome.err


def test_an_engine_that_cannot_be_reached_is_3(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(settings: object) -> str:
        raise Unreachable("no Docker Engine answers", hint="start it")

    monkeypatch.setattr("taskengine.wiring.engine_platform", unreachable)
    assert cli("run", "ctx/task.yaml") == Outcome(3, "", "error: no Docker Engine answers\nhint: start it\n")


def test_an_engine_that_goes_away_while_preparing_is_3(cli: Cli, wiring: Wiring, monkeypatch: Any) -> None:
    def gone(self: object, plan: object) -> None:
        raise Unreachable("the engine went away")

    monkeypatch.setattr("runners.noop.runner.NoopRunner.prepare", gone)
    outcome = cli("run", "ctx/task.yaml")
    assert outcome.code == 3
    assert "the engine went away" in outcome.err


def test_a_run_whose_time_is_over_is_1(cli: Cli, wiring: Wiring) -> None:
    wiring.behaviour["build"] = Script(seconds=30)
    outcome = cli("run", "ctx/task.yaml", "--timeout", "1")
    assert outcome.code == 1
    assert "ran out of time" in outcome.err


def test_the_engine_decides_the_platform_that_templates_see(cli: Cli, wiring: Wiring) -> None:
    Path("t.yaml").write_text("steps:\n  - id: on-{{.Run.Architecture}}\n    cmd: busybox\n")
    cli("run", "t.yaml")
    cli("run", "t.yaml", "--platform", "linux/s390x")
    assert [list(r.attempts) for r in wiring.runners] == [["on-arm64"], ["on-s390x"]]
    assert [c.platform for c in wiring.contexts] == ["", "linux/s390x"]


def test_every_run_has_an_id_of_its_own(cli: Cli, wiring: Wiring) -> None:
    cli("run", "ctx/task.yaml", "--id", "cb1")
    outcome = cli("run", "ctx/task.yaml", "--id", "cb1")
    assert "run cb1 succeeded" in outcome.err
    assert len({c.run_id for c in wiring.contexts} | {"cb1"}) == 3


def test_grants_reach_the_runner(cli: Cli, wiring: Wiring) -> None:
    cli("run", "ctx/task.yaml")
    cli("run", "ctx/task.yaml", "--allow-docker-socket", "--no-registry-logins")
    assert [(c.allow_docker_socket, c.allow_registry_logins) for c in wiring.contexts] == [(None, None), (True, False)]


def test_files_of_secret_volumes_are_masked(cli: Cli, wiring: Wiring) -> None:
    Path("t.yaml").write_text(
        "version: v1.1.0\nvolumes:\n  - {name: v, secret: {key: aHVudGVyMi1odW50ZXIy}}\n"
        "steps:\n  - {id: a, cmd: busybox, volumeMounts: [{name: v, mountPath: /run/v}]}\n"
    )
    wiring.behaviour["a"] = Script(stdout=b"it is hunter2-hunter2, aHVudGVyMi1odW50ZXIy\n")
    assert "it is ***, ***" in cli("run", "t.yaml").out
    assert {"hunter2-hunter2", "aHVudGVyMi1odW50ZXIy"} <= set(wiring.contexts[0].secrets)


def test_registry_logins_are_masked_where_a_step_gets_them(cli: Cli, wiring: Wiring) -> None:
    folder = Path(wiring.environ["HOME"]) / ".docker"
    folder.mkdir(parents=True)
    # ann:correct-horse
    (folder / "config.json").write_text('{"auths": {"r.example": {"auth": "YW5uOmNvcnJlY3QtaG9yc2U="}}}')
    Path("d.yaml").write_text("steps:\n  - {id: a, cmd: 'docker:cli login'}\n")
    Path("b.yaml").write_text("steps:\n  - {id: a, cmd: 'evil.example/docker login'}\n")
    cli("run", "d.yaml")
    cli("run", "b.yaml")
    cli("run", "b.yaml", "--allow-registry-logins")
    cli("run", "d.yaml", "--no-registry-logins")
    values = ("correct-horse", "YW5uOmNvcnJlY3QtaG9yc2U=")
    assert [c.secrets for c in wiring.contexts] == [values, (), values, ()]


def test_logins_of_credential_helpers_are_masked_where_a_step_gets_them(
    cli: Cli, wiring: Wiring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(wiring.environ["HOME"]) / ".docker"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(
        '{"credHelpers": {"r.example": "ours", "t.example": "ours", "x.example": "bad"}}'
    )
    helper = tmp_path / "bin" / "docker-credential-ours"
    helper.parent.mkdir()
    helper.write_text(
        "#!/bin/sh\necho asked >> $HOME/asked\nread host\n"
        'case $host in t*) echo \'{"Username": "<token>", "Secret": "an-identity-token"}\';;\n'
        '*) echo \'{"Username": "ann", "Secret": "correct-horse"}\';; esac\n'
    )
    helper.chmod(0o755)
    wiring.environ["PATH"] = f"{helper.parent}:{os.environ['PATH']}"
    monkeypatch.setenv("PATH", wiring.environ["PATH"])  # where a program is looked for
    wiring.behaviour["a"] = Script(stdout=b"correct-horse an-identity-token YW5uOmNvcnJlY3QtaG9yc2U=\n")
    Path("b.yaml").write_text("steps:\n  - {id: a, cmd: 'busybox login'}\n")
    Path("d.yaml").write_text("steps:\n  - {id: a, cmd: 'docker:cli login'}\n")
    assert "correct-horse" in cli("run", "b.yaml").out
    assert not (folder.parent / "asked").exists()
    assert "*** *** ***\n" in cli("run", "d.yaml").out


def test_an_image_that_the_run_builds_has_no_logins_to_mask(cli: Cli, wiring: Wiring) -> None:
    folder = Path(wiring.environ["HOME"]) / ".docker"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"auths": {"r.example": {"auth": "YW5uOmNvcnJlY3QtaG9yc2U="}}}')
    Path("d.yaml").write_text("steps:\n  - {build: '-t docker .'}\n  - {id: a, cmd: 'docker login'}\n")
    cli("run", "d.yaml")
    assert wiring.contexts[0].secrets == ()


def test_log_files_hold_each_steps_bytes(cli: Cli, wiring: Wiring) -> None:
    wiring.behaviour["build"] = Script(stdout=b"a\xff", stderr=b"b\n")
    cli("run", "ctx/task.yaml", "--log-dir", "logs")
    assert Path("logs/build.log").read_bytes() == b"a\xffb\n"
    assert Path("logs/build.log").stat().st_mode & 0o777 == 0o600
    assert not Path("logs/test.log").exists()


def test_build_builds_and_pushes(cli: Cli, wiring: Wiring) -> None:
    outcome = cli("build", "-r", "r.io", "-t", "app:{{.Run.ID}}", "--id", "q", "ctx")
    assert outcome.code == 0
    assert wiring.runners[0].attempts == {"build": 1, "push": 1}
    assert wiring.contexts[0].context_dir == str(Path("ctx").absolute())


def test_build_without_a_name_warns_and_pushes_nothing(cli: Cli, wiring: Wiring) -> None:
    outcome = cli("build", "ctx")
    assert wiring.runners[0].attempts == {"build": 1}
    assert outcome.err.startswith("warning: no name was given with -t")


def test_build_without_push(cli: Cli, wiring: Wiring) -> None:
    cli("build", "--no-push", "-t", "app", "ctx")
    assert wiring.runners[0].attempts == {"build": 1}


def test_secret_build_arguments_are_masked_and_warned_about(cli: Cli, wiring: Wiring) -> None:
    wiring.behaviour["build"] = Script(stdout=b"token geheim-123456\n")
    outcome = cli("build", "--no-push", "--secret-build-arg", "TOKEN=geheim-123456", "ctx")
    assert "geheim" not in outcome.out + outcome.err
    assert "history" in outcome.err


@pytest.mark.parametrize(
    "args",
    [
        ("build",),
        ("build", "nowhere"),
        ("build", "/dev/null"),
        ("build", "-f", "Nope", "ctx"),
        ("build", "-f", ".", "ctx"),
        ("build", "ctx/Dockerfile"),
        ("build", "--build-arg", "=x", "ctx"),
        ("build", "--platform", "x", "ctx"),
    ],
)
def test_a_wrong_build_builds_nothing(cli: Cli, wiring: Wiring, args: tuple[str, ...]) -> None:
    outcome = cli(*args)
    assert (outcome.code, wiring.runners) == (2, [])
    assert re.fullmatch("error: .*\nhint: .*\n", outcome.err)


def test_a_dockerfile_is_looked_up_in_the_context_first(cli: Cli, wiring: Wiring) -> None:
    Path("Dockerfile").write_text("FROM elsewhere\n")
    assert place("ctx", "") == ("ctx", "", {})
    assert place("ctx", "Dockerfile") == ("ctx", "Dockerfile", {})
    assert place("ctx", "ctx/Dockerfile") == ("ctx", "Dockerfile", {})
    assert place("ctx", str(Path("ctx/Dockerfile").absolute())) == ("ctx", "Dockerfile", {})


@pytest.mark.parametrize("name", ["Dockerfile.prod", "../Dockerfile.prod"])
def test_a_dockerfile_outside_of_the_context_comes_along_with_its_ignore_file(cli: Cli, name: str) -> None:
    Path("Dockerfile.prod").write_bytes(b"FROM scratch\n")
    Path("Dockerfile.prod.dockerignore").write_bytes(b"*.md\n")
    assert place("ctx", name) == ("ctx", name, {name: b"FROM scratch\n", f"{name}.dockerignore": b"*.md\n"})


def test_a_dockerfile_may_come_from_standard_input(cli: Cli, wiring: Wiring) -> None:
    assert cli("build", "-f", "-", "ctx", stdin="FROM scratch\n").code == 0
    assert wiring.contexts[0].build_files == {"-": b"FROM scratch\n"}


def test_the_default_dockerfile_is_never_taken_from_outside(cli: Cli, wiring: Wiring) -> None:
    Path("empty").mkdir()
    Path("Dockerfile").write_text("FROM scratch\n")
    outcome = cli("build", "empty")
    assert (outcome.code, wiring.runners) == (2, [])
    assert outcome.err.endswith("error: there is no Dockerfile in empty\nhint: name the Dockerfile with -f\n")


def test_a_secret_build_argument_is_in_no_text(cli: Cli, wiring: Wiring) -> None:
    wiring.environ["TOKEN"] = "geheim-123456"
    assert cli("build", "--secret-build-arg", "TOKEN", "ctx").code == 0
    assert wiring.contexts[0].build_args == {"TOKEN": "geheim-123456"}
    assert wiring.contexts[0].secrets == ("geheim-123456",)
    assert "geheim" not in repr(wiring.contexts[0])
    assert "geheim" not in repr(wiring.runners[0]._plan)
