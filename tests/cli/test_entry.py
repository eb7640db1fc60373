"""The program's edge: what it imports, how it fails, what its exit codes are."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from taskengine import __version__
from taskengine.cli import entry
from taskengine.cli.app import TABLE
from taskengine.journals import any_journal, data_folder
from taskengine.wiring import read_settings
from tests.cli.conftest import Outcome, Wiring

Cli = Callable[..., Outcome]

TASK = "steps:\n  - id: a\n    cmd: busybox true\n"


def start(*args: str, code: str = "", env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """The program in a process of its own; `code` runs before it."""
    program = f"{code}\nimport sys\nfrom taskengine.cli.entry import main\nsys.exit(main({list(args)!r}))"
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "ACR_TASK_DATA": "/nonexistent", **(env or {})},
    )


def imported(*args: str) -> set[str]:
    done = start(*args, code="import atexit, sys\natexit.register(lambda: print(*sys.modules, file=sys.stderr))")
    return set(done.stderr.split())


def test_version_is_one_line(cli: Cli) -> None:
    assert cli("version") == Outcome(0, f"acr-task {__version__}\n", "")
    assert cli("--version").out == f"acr-task {__version__}\n"


def test_version_loads_next_to_nothing() -> None:
    modules = imported("version")
    assert "taskengine.cli.entry" in modules
    heavy = ("click", "docker", "rich", "networkx", "requests", "yaml", "grpc", "jsonschema", "re2", "cryptography")
    assert not modules & {*heavy, "dataclasses", "inspect", "pathlib", "typing", "taskengine.wiring"}


def test_help_loads_no_command() -> None:
    modules = imported("--help")
    assert not {m for m in modules if m.startswith("taskengine.cli.") and m.rpartition(".")[2] in ("run", "plan")}
    assert not modules & {"docker", "rich", "networkx", "requests", "yaml", "grpc", "jsonschema", "re2"}


@pytest.mark.parametrize("command", ["plan", "validate", "render"])
def test_looking_at_a_task_loads_no_engine_and_no_screen(command: str, tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text(TASK)
    modules = imported(command, str(tmp_path / "t.yaml"))
    assert "taskengine.taskspec.load" in modules
    assert not modules & {"docker", "rich", "requests", "grpc", "jsonschema", "cryptography"}


def test_no_arguments_show_the_help(cli: Cli) -> None:
    outcome = cli()
    assert outcome.code == 0
    assert "Commands:" in outcome.out


def test_a_wrong_command_suggests_the_right_one(cli: Cli) -> None:
    assert cli("valdate") == Outcome(2, "", "error: unknown command 'valdate'\nhint: did you mean 'validate'?\n")


def test_a_command_like_no_other_names_the_help(cli: Cli) -> None:
    assert "acr-task --help" in cli("xyzzy").err


def test_a_wrong_option_suggests_the_right_one(cli: Cli) -> None:
    outcome = cli("plan", "--reigstry", "x", "t.yaml")
    assert outcome.code == 2
    assert outcome.err == "error: no such option '--reigstry'\nhint: did you mean --registry or --repository?\n"


def test_a_missing_argument_names_the_help(cli: Cli) -> None:
    outcome = cli("plan")
    assert outcome.code == 2
    assert outcome.err == "error: missing argument 'FILE'\nhint: 'acr-task plan --help' shows how it is used\n"


def test_every_command_has_help_with_examples(cli: Cli) -> None:
    from taskengine.cli.app import TABLE

    for name in TABLE:
        for flag in ("--help", "-h"):
            outcome = cli(name, flag)
            assert outcome.code == 0
            assert f"  acr-task {name}" in outcome.out.split("Examples:")[1]


def test_a_bug_is_one_line_and_how_to_report_it(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(args: list[str]) -> int:
        raise ZeroDivisionError("by zero\nmore")

    monkeypatch.setattr(entry, "_dispatch", broken)
    outcome = cli("plan", "x")
    assert outcome.code == 1
    assert outcome.err.startswith("error: this is a bug in acr-task: ZeroDivisionError: by zero\nhint: ")
    assert "Traceback" not in outcome.err


def test_a_bug_shows_its_traceback_to_who_asks_for_it(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(args: list[str]) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(entry, "_dispatch", broken)
    cli("version")
    monkeypatch.setenv("ACR_TASK_DEBUG", "1")
    assert "Traceback" in cli("plan", "x").err


def test_ctrl_c_anywhere_is_130(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(args: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(entry, "_dispatch", interrupted)
    assert cli("plan", "x") == Outcome(130, "", "\n")


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    steps = "".join(f"  - id: s{n}\n    cmd: busybox true\n" for n in range(2000))
    (tmp_path / "t.yaml").write_text(f"steps:\n{steps}")
    line = f"{sys.executable} -m taskengine.cli plan -o json {tmp_path}/t.yaml | head -n 1"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {line}"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "{\n", "")


def bash(line: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", line.replace("acr-task", f"{sys.executable} -m taskengine.cli")],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "ACR_TASK_DATA": "/nonexistent", **env},
    )


def test_closed_streams_are_no_error() -> None:
    done = bash("acr-task version >&- 2>&- <&-")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_full_disk_is_said_in_one_line() -> None:
    done = bash("acr-task --help > /dev/full")
    assert (done.returncode, done.stderr) == (1, "error: no space left on device\n")


def test_text_that_the_terminals_encoding_lacks_is_escaped(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text("steps:\n  - id: a\n    cmd: busybox echo 日本\n", encoding="utf-8")
    done = bash(f"acr-task plan {tmp_path}/t.yaml", PYTHONIOENCODING="latin-1")
    assert done.returncode == 0
    assert "\\u65e5\\u672c" in done.stdout


def test_every_command_sweeps_what_a_killed_run_left(cli: Cli, wiring: Wiring, tmp_path: Path) -> None:
    (tmp_path / "data" / "runs").mkdir(parents=True)
    (tmp_path / "data" / "runs" / "r1.json").touch()
    told = [cli(*command).err for command in (["version"], ["version", "-o", "json"], ["completion", "bash"])]
    assert wiring.sweeps == 3
    assert told == ["", "", "warning: left over\n"]


def test_without_journals_nothing_is_swept(cli: Cli, wiring: Wiring) -> None:
    cli("version")
    assert wiring.sweeps == 0


def test_a_sweep_that_fails_does_not_stop_the_command(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(tell: object) -> None:
        raise OSError("no")

    monkeypatch.setattr("taskengine.wiring.sweep_dead_runs", broken)
    (tmp_path / "data" / "runs").mkdir(parents=True)
    (tmp_path / "data" / "runs" / "r1.json").touch()
    assert cli("version").code == 0


@pytest.mark.parametrize(
    "environ",
    [
        {"HOME": "/home/x"},
        {"HOME": "/home/x", "XDG_DATA_HOME": "/data"},
        {"ACR_TASK_DATA": "/elsewhere"},
        {"ACR_TASK_DATA": "relative"},
        {},
    ],
)
def test_the_first_look_and_the_settings_mean_the_same_folder(environ: dict[str, str]) -> None:
    assert str(read_settings(environ).data_dir) == data_folder(environ)


def test_other_files_are_no_journals(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "notes.txt").touch()
    assert not any_journal({"ACR_TASK_DATA": str(tmp_path)})


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_that_asks_us(cli: Cli, shell: str) -> None:
    outcome = cli("completion", shell)
    assert outcome.code == 0
    assert "_ACR_TASK_COMPLETE" in outcome.out


def test_completion_knows_commands_and_options() -> None:
    def complete(words: str, index: int) -> list[str]:
        env = {"_ACR_TASK_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(index)}
        return [line.partition(",")[2] for line in start(env=env).stdout.split()]

    assert complete("acr-task va", 1) == ["validate"]
    assert complete("acr-task plan --no-", 2) == []
    assert complete("acr-task run --max", 2) == ["--max-parallel"]
    assert complete("acr-task plan -o mer", 3) == ["mermaid"]
    assert complete("acr-task plan tas", 2) == ["tas"]  # a name of a file: the shell completes it


def test_completion_shows_every_command_with_its_whole_description() -> None:
    env = {"_ACR_TASK_COMPLETE": "zsh_complete", "COMP_WORDS": "acr-task ", "COMP_CWORD": "1"}
    lines = start(env=env).stdout.splitlines()
    assert dict(zip(lines[1::3], lines[2::3], strict=True)) == {name: text for name, (_, text) in TABLE.items()}


def test_completion_works_in_bash() -> None:
    script = """
        eval "$(acr-task completion bash)"
        COMP_WORDS=(acr-task build --no-p); COMP_CWORD=2
        _acr_task_completion acr-task --no-p
        echo "${COMPREPLY[@]}"; complete -p acr-task
    """
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "--norc", "-c", script], env=env, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[0] == "--no-push", done.stderr
    assert "-F _acr_task_completion" in done.stdout
