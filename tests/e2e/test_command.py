"""The command as a user has it: a process of its own, a real engine, signals, pipes and exit codes."""

from __future__ import annotations

import base64
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from tests.support.engine import Engine

ACR_TASK = str(Path(sys.executable).with_name("acr-task"))
UP = "steps:\n  - {id: a, cmd: \"busybox:1 sh -c 'echo up; sleep 1000'\"}\n"


class Command:
    """`acr-task` with the engine of the suite and a data folder of the test's own."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine = engine
        self.folder = folder
        self.env = {**os.environ, **engine.env, "ACR_TASK_DATA": str(folder / "data")}

    def __call__(
        self, *args: str | Path, text: str = "", env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [ACR_TASK, *map(str, args)], env={**self.env, **(env or {})}, cwd=self.folder, input=text,
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def task(self, text: str, name: str = "task.yaml") -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    def start(self, *args: str | Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [ACR_TASK, *map(str, args)], env=self.env, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def left(self) -> list[str]:
        """The journals that runs of this test have left."""
        return [p.name for p in (self.folder / "data" / "runs").glob("*")]


@pytest.fixture
def acr(engine: Engine, tmp_path: Path) -> Iterator[Command]:
    before = engine.objects()
    yield Command(engine, tmp_path)
    assert engine.objects() == before


def read_until(stream: IO[bytes], text: bytes, seconds: float = 60) -> bytes:
    seen = b""
    end = time.monotonic() + seconds
    while text not in seen and (left := end - time.monotonic()) > 0:
        if select.select([stream], [], [], left)[0]:
            piece = os.read(stream.fileno(), 65536)
            if not piece:
                break
            seen += piece
    assert text in seen, seen
    return seen


def test_a_run_that_succeeds_exits_with_0_and_prints_the_log_to_stdout(acr: Command) -> None:
    done = acr("run", acr.task("steps:\n  - {id: a, cmd: busybox:1 echo hello}\n"), "/dev/null")
    assert (done.returncode, done.stdout) == (0, "a | hello\n")
    assert "succeeded" in done.stderr.lower()


def test_a_run_that_fails_exits_with_1_and_says_where(acr: Command) -> None:
    done = acr("run", acr.task("steps:\n  - {id: bad, cmd: busybox:1 sh -c 'echo oops; exit 7'}\n"), "/dev/null")
    assert done.returncode == 1
    assert "bad" in done.stderr
    assert "7" in done.stderr


def test_a_wrong_file_exits_with_2_and_starts_nothing(acr: Command) -> None:
    done = acr("run", acr.task("steps:\n  - {id: a, cmd: busybox:1 true, when: [b]}\n"), "/dev/null")
    assert done.returncode == 2
    assert re.search(r"task.yaml:2:\d+: error: ", done.stderr)


def test_no_engine_exits_with_3_and_a_hint(acr: Command) -> None:
    task = acr.task("steps:\n  - {id: a, cmd: busybox:1 true}\n")
    done = acr("run", task, "/dev/null", env={"DOCKER_HOST": f"unix://{acr.folder}/no.sock"})
    assert done.returncode == 3
    assert "hint: " in done.stderr


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ("  - {id: s, cmd: 127.0.0.1:9/gone:1 true}\n", "image could not be pulled"),
        ("  - {id: s, build: -t base-gone .}\n", "build failed"),
        ("  - {cmd: docker.io/library/busybox:1 true}\n  - {id: s, push: ['127.0.0.1:9/mine:1']}\n", "push failed"),
    ],
)
def test_a_registry_that_nobody_answers_at_exits_with_3(acr: Command, steps: str, reason: str) -> None:
    context = acr.folder / "ctx"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM 127.0.0.1:9/gone:1\n")
    acr.engine.api.tag("busybox:1", "127.0.0.1:9/mine", "1")
    try:
        done = acr("run", "-o", "json", acr.task(f"steps:\n{steps}"), context)
    finally:
        acr.engine.api.remove_image("127.0.0.1:9/mine:1")
    step = json.loads(done.stdout.splitlines()[-1])["record"]["steps"][-1]
    assert (done.returncode, step["reason"], step["unreachable"]) == (3, reason, True), step


def test_a_registry_that_answers_and_has_no_such_image_is_an_ordinary_failure(acr: Command) -> None:
    text = f"steps:\n  - {{id: a, cmd: {acr.engine.registry}/no/such:1 true}}\n"
    assert acr("run", acr.task(text), "/dev/null").returncode == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_cancels_cleanly(acr: Command, number: signal.Signals) -> None:
    process = acr.start("run", acr.task(UP), "/dev/null")
    assert process.stdout is not None
    read_until(process.stdout, b"up")
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert acr.left() == []


def test_one_ctrl_c_ends_a_step_that_ignores_sigterm_and_nothing_stays(acr: Command) -> None:
    process = acr.start(
        "run", acr.task("steps:\n  - {id: a, cmd: \"busybox:1 sh -c 'trap : TERM; echo up; while :; do sleep 1; done'\"}\n"),
        "/dev/null",
    )  # fmt: skip
    assert process.stdout is not None
    read_until(process.stdout, b"up")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert acr.left() == []


def test_a_second_signal_ends_it_at_once_and_nothing_stays(acr: Command) -> None:
    process = acr.start("run", acr.task(UP), "/dev/null")
    assert process.stdout is not None
    read_until(process.stdout, b"up")
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert acr("version").returncode == 0
    assert acr.left() == []


def test_the_next_command_removes_what_a_killed_one_left(acr: Command) -> None:
    context = acr.folder / "ctx"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM busybox:1\nRUN echo up && sleep 1000\n")
    process = acr.start(
        "run", "-f", acr.task("steps:\n  - {id: b, build: -t killed .}\n  - {id: c, cmd: busybox:1 true}\n"), context
    )
    assert process.stdout is not None
    read_until(process.stdout, b"up")
    process.kill()
    process.communicate(timeout=30)
    [journal] = (acr.folder / "data" / "runs").glob("*.json")
    temp = Path(json.loads(journal.read_text())["temp_dir"])
    assert temp.exists()
    assert acr("version").returncode == 0
    assert acr.left() == []
    assert not temp.exists()


def test_secrets_are_masked_in_all_their_forms(acr: Command) -> None:
    secret = "tr0ub4dor&3 horse"
    task = acr.task(
        """
version: v1.1.0
steps:
  - id: a
    cmd: busybox:1 sh -c 'echo "plain $S"; printf %s "$S" | base64; printf %s "x$S" | base64; printf "%s" "$S" | head -c 5; sleep 0.2; printf "%s" "$S" | tail -c +6'
    env: ['S={{ .Values.pw }}']
"""
    )
    done = acr("run", task, "/dev/null", "--set-secret", f"pw={secret}", "--output", "json")
    out = done.stdout + done.stderr
    assert done.returncode == 0, out
    assert secret not in out
    assert base64.b64encode(secret.encode()).decode() not in out
    assert base64.b64encode(b"x" + secret.encode()).decode()[4:-4] not in out
    assert "tr0ub" + "4dor" not in out
    assert "plain ***" in out


def test_a_secret_of_the_task_comes_from_the_environment_or_a_file(acr: Command) -> None:
    (acr.folder / "s.txt").write_bytes(b"file-secret-value")
    text = "version: v1.1.0\nsecrets:\n  - {id: one, keyvault: 'https://v.vault.azure.net/secrets/one'}\nsteps:\n  - id: a\n    cmd: busybox:1 sh -c 'echo $S; echo $S | wc -c'\n    env: ['S={{ .Secrets.one }}']\n"
    done = acr("run", acr.task(text), "/dev/null", "--secret", "one=@s.txt")
    assert (done.returncode, done.stdout) == (0, "a | ***\na | 18\n"), done.stderr


def test_json_output_is_one_event_a_line(acr: Command) -> None:
    done = acr("run", acr.task("steps:\n  - {id: a, cmd: busybox:1 echo hello}\n"), "/dev/null", "--output", "json")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    kinds = [e["event"] for e in events]
    assert kinds[0] == "run.started"
    assert kinds[-1] == "run.finished"
    log = events[kinds.index("log")]
    assert (log["step"], log["stream"], log["text"], log["continues"]) == ("a", "stdout", "hello", False)


def test_a_hundred_megabytes_pass_through_a_pipe_whole(acr: Command) -> None:
    lines = 1_600_000
    task = acr.task(
        f"steps:\n  - id: a\n    cmd: busybox:1 sh -c 'yes 0123456789012345678901234567890123456789012345678901234567890 | head -n {lines}'\n"
    )
    done = subprocess.run(
        f"{ACR_TASK} run {task} /dev/null 2>/dev/null | tee >(wc -l >&2) | md5sum", shell=True, executable="/bin/bash",
        env=acr.env, capture_output=True, text=True, timeout=200, check=True,
    )  # fmt: skip
    assert done.stderr.split() == [str(lines)]


def test_a_task_from_standard_input_runs_without_a_context(acr: Command) -> None:
    done = acr("run", "-f", "-", "/dev/null", text="steps:\n  - {id: a, cmd: busybox:1 ls -A}\n")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_a_single_command_can_be_run(acr: Command) -> None:
    done = acr("run", "--cmd", "busybox:1 echo alone", "/dev/null")
    assert (done.returncode, done.stdout.partition("| ")[2]) == (0, "alone\n"), done.stderr


def test_a_quick_build_pushes_and_the_registry_has_it(acr: Command) -> None:
    context = acr.folder / "ctx"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM busybox:1\nRUN echo quick > /q\n")
    done = acr("build", "-t", "quick/build:{{.Run.ID}}", "--registry", acr.engine.registry, "--id", "q1", context)
    assert done.returncode == 0, done.stderr
    assert "sha256:" in done.stderr + done.stdout


def test_a_dockerfile_may_lie_outside_of_the_context(acr: Command) -> None:
    context = acr.folder / "ctx"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM no-such-image\n")
    (context / "f").write_text("from the context\n")
    (context / "ignored").touch()
    dockerfile = acr.folder / "Dockerfile.prod"
    dockerfile.write_text("FROM busybox:1\nCOPY . /c\nRUN cat /c/f; ls /c\n")
    (acr.folder / "Dockerfile.prod.dockerignore").write_text("ignored\n")
    for name, text in (("Dockerfile.prod", ""), (dockerfile, ""), ("-", dockerfile.read_text() + "RUN rm /c/ignored")):
        done = acr("build", "-f", name, "--no-cache", context, text=text)
        assert done.returncode == 0, done.stderr
        assert "from the context" in done.stdout
        assert ("ignored" in done.stdout) is (name == "-")


def test_a_secret_build_argument_reaches_the_build_and_nothing_else(acr: Command) -> None:
    secret = "geheim-&-123456"
    (acr.folder / "Dockerfile").write_text(
        f'FROM busybox:1\nARG K\nENV COPIED="$K"\nRUN echo "${{#K}} of {len(secret)}: $K rea""dy"; sleep 1000\n'
    )
    acr.env["K"] = secret
    process = acr.start("build", "--secret-build-arg", "K", "--log-dir", "logs", "-o", "events", ".")
    assert process.stdout is not None
    out = read_until(process.stdout, b" ready")
    found = [path for path in Path("/proc").glob("[0-9]*/cmdline") if secret.encode() in _content(path)]
    stored = [path for path in acr.folder.rglob("*") if path.is_file() and secret.encode() in _content(path)]
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=30)
    stored += [path for path in (acr.folder / "logs").iterdir() if secret.encode() in _content(path)]
    assert b"15 of 15: *** ready" in out
    assert b"history" in errors
    assert b"geheim" not in out + rest + errors
    assert (found, stored) == ([], [])


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # a process that ended, a socket
        return b""


def test_doctor_is_content_with_a_good_machine(acr: Command) -> None:
    done = acr("doctor")
    assert done.returncode == 0, done.stdout + done.stderr


def test_forty_parallel_steps_print_whole_lines(acr: Command) -> None:
    steps = "".join(f"  - {{id: t{i}, cmd: busybox:1 seq 100000 100200, when: ['-']}}\n" for i in range(40))
    done = acr("run", acr.task("steps:\n" + steps), "/dev/null")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 40 * 201
    assert all(re.fullmatch(r"t\d+ +\| 100\d{3}", line) for line in lines)


def test_image_aliases_are_the_users_to_set(acr: Command) -> None:
    table = acr.folder / "aliases.yaml"
    table.write_text("bash: busybox:1\n")
    task = acr.task("version: v1.1.0\nsteps:\n  - {id: a, cmd: bash echo mine}\n")
    done = acr("run", task, "/dev/null", env={"ACR_TASK_IMAGE_ALIASES": str(table)})
    assert (done.returncode, done.stdout) == (0, "a | mine\n"), done.stderr
    table.write_text("- no table\n")
    done = acr("plan", task, env={"ACR_TASK_IMAGE_ALIASES": str(table)})
    assert done.returncode == 2
    assert "aliases.yaml" in done.stderr


def test_a_secret_of_the_task_reaches_a_build_and_no_log(acr: Command) -> None:
    context = acr.folder / "ctx"
    context.mkdir()
    (context / "Dockerfile").write_text(
        "FROM busybox:1\nRUN --mount=type=secret,id=token cat /run/secrets/token && wc -c < /run/secrets/token\n"
    )
    text = "version: v1.1.0\nsecrets:\n  - {id: token, keyvault: 'https://v.vault.azure.net/secrets/t'}\nsteps:\n  - {id: b, build: --secret id=token --no-cache -t e2e-secret:1 .}\n"
    done = acr("run", "-f", acr.task(text), context, "--secret", "token=a-very-secret-value")
    assert done.returncode == 0, done.stderr
    assert "a-very-secret-value" not in done.stdout + done.stderr
    assert "*** 19" in done.stdout.replace("\n", " ").replace("***19", "*** 19"), done.stdout
