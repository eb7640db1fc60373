"""validate, render, plan and scan, as a person or a script meets them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.conftest import Outcome, Wiring

Cli = Callable[..., Outcome]

TASK = "version: v1.1.0\nsteps:\n  - id: build\n    cmd: busybox echo {{.Values.x}}\n"
SECRET = """\
version: v1.1.0
secrets:
  - id: token
    keyvault: https://v.vault.azure.net/secrets/t
steps:
  - id: a
    cmd: busybox echo {{.Secrets.token}} {{.Values.key}}
"""


@pytest.fixture(autouse=True)
def _files(cli: Cli) -> None:
    Path("task.yaml").write_text(TASK)
    Path("bad.yaml").write_text("steps:\n  - id: a\n    cmd: busybox\n    wehn: [b]\n    timeout: soon\n  - id: a\n")
    Path("secret.yaml").write_text(SECRET)


def test_a_valid_file_is_said_to_be_valid(cli: Cli) -> None:
    assert cli("validate", "task.yaml", "--set", "x=1") == Outcome(0, "task.yaml: valid, 1 step\n", "")


def test_every_problem_of_every_file_is_named(cli: Cli) -> None:
    outcome = cli("validate", "bad.yaml", "task.yaml", "nowhere.yaml")
    assert outcome.code == 2
    assert outcome.out == "task.yaml: valid, 1 step\n"
    assert "bad.yaml:4:5: warning: " in outcome.err
    assert "    4 |     wehn: [b]\n      |     ^\nhint: did you mean 'when'?" in outcome.err
    assert "bad.yaml:5:14: error: " in outcome.err
    assert "error: nowhere.yaml: no such file or directory\n" in outcome.err
    assert outcome.err.endswith("3 files, 2 invalid\n")


def test_problems_are_data_for_a_program(cli: Cli) -> None:
    outcome = cli("validate", "-o", "json", "bad.yaml")
    report = json.loads(outcome.out)
    assert outcome.code == 2
    assert (report["valid"], report["files"][0]["valid"]) == (False, False)
    first = report["files"][0]["problems"][0]
    assert {"severity", "code", "message", "file", "line", "column", "hint"} <= first.keys()


def test_strict_makes_warnings_errors(cli: Cli) -> None:
    Path("warn.yaml").write_text("steps:\n  - id: a\n    cmd: busybox\n    wehn: [b]\n")
    assert cli("validate", "warn.yaml").code == 0
    assert cli("validate", "--strict", "warn.yaml").code == 2
    assert cli("plan", "--strict", "warn.yaml").code == 2


def test_a_task_is_read_from_standard_input(cli: Cli) -> None:
    outcome = cli("validate", "-", stdin="steps:\n  - cmd: busybox\n    x: 1\n")
    assert outcome.code == 0
    assert outcome.err.startswith("<stdin>:3:5: warning: ")


@pytest.mark.parametrize("data", [b"\x00\x01\x02", b"\xff\xfe\x00", b"\x7fELF" + bytes(range(256))])
def test_binary_is_refused(cli: Cli, data: bytes) -> None:
    outcome = cli("plan", "-", stdin=data)
    assert outcome.code == 2
    assert "error" in outcome.err


def test_a_task_that_lacks_only_its_runs_facts_is_valid(cli: Cli) -> None:
    Path("t.yaml").write_text("version: v1.1.0\nsteps:\n  - build: -t $Registry/app:$ID .\n")
    assert cli("validate", "t.yaml").code == 0
    outcome = cli("plan", "t.yaml", "-o", "json")
    assert outcome.code == 0
    assert "--id and --registry" in outcome.err
    assert json.loads(outcome.out)["steps"][0]["tags"] == ["registry.example.com/app:run1"]


def test_render_and_plan_show_a_task_with_the_same_facts(cli: Cli) -> None:
    cases = {
        "- build: -t $Registry/app:$ID .": "- build: -t registry.example.com/app:run1 .",  # no YAML without them
        "- cmd: busybox echo [$ID] [$Registry]": "- cmd: busybox echo [] []",  # not given: empty
        "- nothing: $ID": "- nothing: ",  # no task with them either
    }
    for step, shown in cases.items():
        Path("t.yaml").write_text(f"version: v1.1.0\nsteps:\n  {step}\n")
        rendered, planned = cli("render", "t.yaml"), cli("plan", "t.yaml", "-o", "json")
        assert rendered.out == f"version: v1.1.0\nsteps:\n  {shown}\n"
        assert ("--id and --registry" in rendered.err) == ("--id and --registry" in planned.err) == ("run1" in shown)
        if planned.code == 0:
            assert shown.split(": ", 1)[1] in planned.out


def test_a_provider_is_asked_once_for_a_secret_though_the_file_is_read_again(
    cli: Cli, wiring: Wiring, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def resolve(specs: Any) -> dict[str, str]:
        asked.extend(spec.id for spec in specs)
        return {spec.id: "value" for spec in specs}

    monkeypatch.setattr("taskengine.wiring.secret_resolver", lambda settings: resolve)
    text = "version: v1.1.0\nsecrets:\n  - {id: a, keyvault: x}\nsteps:\n  - build: -t $Registry/app:$ID .\n"
    assert cli("plan", "-", stdin=text).code == 0
    assert asked == ["a"]


def test_facts_that_are_given_count(cli: Cli) -> None:
    Path("t.yaml").write_text("version: v1.1.0\nsteps:\n  - build: -t $Registry/app:$ID .\n")
    outcome = cli("plan", "t.yaml", "-o", "json", "-r", "r.io", "--id", "cb1")
    assert json.loads(outcome.out)["steps"][0]["tags"] == ["r.io/app:cb1"]
    assert outcome.err == ""


@pytest.mark.parametrize(("form", "head"), [("text", ""), ("mermaid", "flowchart"), ("dot", "digraph")])
def test_a_plan_is_drawn(cli: Cli, form: str, head: str) -> None:
    outcome = cli("plan", "task.yaml", "-o", form)
    assert outcome.code == 0
    assert outcome.out.startswith(head)
    assert "build" in outcome.out


def test_render_prints_the_text_and_nothing_else(cli: Cli) -> None:
    assert cli("render", "-", "--set", "x=1", stdin="{{.Values.x}}") == Outcome(0, "1", "")


def test_render_leaves_aliases_alone_when_asked(cli: Cli) -> None:
    text = "version: v1.1.0\nsteps:\n  - cmd: $Registry/app {{.Run.ID}}\n"
    assert "$Registry/app q" in cli("render", "--no-aliases", "-", "-r", "r.io", "--id", "q", stdin=text).out
    assert "r.io/app q" in cli("render", "-", "-r", "r.io", "--id", "q", stdin=text).out


def test_a_rendering_can_be_repeated(cli: Cli) -> None:
    args = ("render", "-", "--date", "2024-03-05T06:07:08Z")
    assert cli(*args, stdin="{{.Run.Date}}") == cli(*args, stdin="{{.Run.Date}}")


@pytest.mark.parametrize("command", ["render", "plan"])
def test_secrets_of_providers_and_of_set_secret_are_masked(cli: Cli, wiring: Wiring, command: str) -> None:
    wiring.secrets["token"] = "provider-secret"
    outcome = cli(command, "secret.yaml", "--set-secret", "key=typed-secret")
    assert outcome.code == 0
    assert "*** ***" in outcome.out
    assert "provider-secret" not in outcome.out + outcome.err
    assert "typed-secret" not in outcome.out + outcome.err


@pytest.mark.parametrize("command", ["render", "plan"])
def test_show_secrets_shows_them(cli: Cli, wiring: Wiring, command: str) -> None:
    wiring.secrets["token"] = "provider-secret"
    outcome = cli(command, "secret.yaml", "--set-secret", "key=typed-secret", "--show-secrets")
    assert "provider-secret typed-secret" in outcome.out


def test_a_secret_typed_in_place_of_its_provider_is_shown(cli: Cli) -> None:
    assert "echo typed-value" in cli("render", "secret.yaml", "--secret", "token=typed-value", "--set", "key=1").out


def test_a_secret_from_a_file_is_masked(cli: Cli) -> None:
    Path("token").write_text("file-secret-value")
    outcome = cli("plan", "-o", "json", "secret.yaml", "--secret", "token=@token", "--set", "key=1")
    assert json.loads(outcome.out)["steps"][0]["cmd"] == "busybox echo *** 1"


def test_a_secret_that_json_would_escape_is_masked_in_json(cli: Cli) -> None:
    outcome = cli("plan", "-o", "json", "task.yaml", "--set-secret", 'x=quote"and\\slash')
    assert "quote" not in outcome.out


def test_a_secret_that_nobody_has_is_a_problem(cli: Cli) -> None:
    outcome = cli("plan", "secret.yaml", "--set", "key=1")
    assert outcome.code == 2
    assert "secret.yaml:" in outcome.err


def test_scan_lists_images_for_people_and_programs(cli: Cli) -> None:
    Path("Dockerfile").write_text("FROM golang:1 AS b\nFROM scratch\nCOPY --from=b /x /\n")
    assert cli("scan").out.splitlines()[1:] == [
        "runtime    scratch",
        "buildtime  golang:1  registry.hub.docker.com",
    ]
    found = json.loads(cli("scan", ".", "-o", "json", "-t", "app").out)
    assert found["runtime"] is None
    assert found["images"][0]["reference"] == "app:latest"
    assert set(found) == {"images", "runtime", "buildtime", "unused", "syntax"}


def test_scan_looks_for_the_dockerfile_in_the_context(cli: Cli) -> None:
    Path("ctx").mkdir()
    Path("ctx/D").write_text("FROM a:1\n")
    Path("D").write_text("FROM b:1\n")
    assert "a:1" in cli("scan", "-f", "D", "ctx").out
    assert "b:1" in cli("scan", "-f", "-", "ctx", stdin="FROM b:1\n").out


def test_a_build_argument_without_a_value_is_taken_from_the_environment(cli: Cli, wiring: Wiring) -> None:
    Path("Dockerfile").write_text("ARG BASE=none:1\nFROM $BASE\n")
    wiring.environ["BASE"] = "env:2"
    assert "env:2" in cli("scan", "--build-arg", "BASE").out


def test_a_dockerfile_without_from_names_its_place(cli: Cli) -> None:
    Path("Dockerfile").write_text("ARG a=1\n")
    outcome = cli("scan")
    assert outcome.code == 2
    assert "Dockerfile:" in outcome.err


def test_a_scan_is_given_in_the_form_that_was_asked_for(cli: Cli) -> None:
    Path("Dockerfile").write_text("FROM golang:1 AS b\nFROM reg.example.com/base:2\nCOPY --from=b a a\n")
    data = json.loads(cli("scan", ".", "-o", "json").out)
    assert yaml.safe_load(cli("scan", ".", "-o", "yaml").out) == data
    rows = [line.split("\t") for line in cli("scan", ".", "-o", "tsv").out.splitlines()]
    assert rows == [
        ["runtime", "reg.example.com/base:2", "reg.example.com", ""],
        ["buildtime", "golang:1", "registry.hub.docker.com", ""],
    ]
    assert cli("scan", ".").out.splitlines()[0].split() == ["USE", "IMAGE", "REGISTRY", "DIGEST"]
    assert cli("scan", ".", "-o", "table").out == cli("scan", ".").out


def test_a_plan_as_yaml_is_the_plan_as_json(cli: Cli) -> None:
    Path("t.yaml").write_text("steps:\n  - cmd: busybox echo 'a, b' \"yes\" é\n    env: ['A=1', 'B=yes: no']\n")
    data = json.loads(cli("plan", "t.yaml", "-o", "json").out)
    assert yaml.safe_load(cli("plan", "t.yaml", "-o", "yaml").out) == data
