"""The public conformance cases, through the command line: what a script sees of them.

Where a case carries `correct` that counts instead of `expect`. What a case asks for exactly is compared exactly; what it
leaves out is not.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runners.noop.runner import Script
from tests.cli.conftest import Outcome, Wiring

DATA = Path(__file__).parents[1] / "conformance" / "data"
CASES = [case for file in sorted(DATA.glob("*.json")) for case in json.loads(file.read_text())]

Cli = Callable[..., Outcome]

_OPTIONS = {
    "id": "--id",
    "registry": "--registry",
    "commit": "--commit",
    "branch": "--branch",
    "repository": "--repository",
    "triggeredBy": "--triggered-by",
    "gitTag": "--git-tag",
    "osVersion": "--os-version",
    "sharedVolume": "--shared-volume",
    "taskName": "--task-name",
    "date": "--date",
    "workingDirectory": "--working-directory",
    "network": "--network",
}


def of(op: str) -> list[Any]:
    return [pytest.param(case, id=f"{case['category']}-{case['name']}") for case in CASES if case["op"] == op]


def wanted(case: dict[str, Any]) -> dict[str, Any]:
    found = case.get("correct") or case["expect"]
    assert isinstance(found, dict)
    return found


def given(case: dict[str, Any], folder: Path) -> list[str]:
    """The files of a case on disk, and its options."""
    for name, text in case["files"].items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    (folder / "task.yaml").write_bytes(case["task"].encode())
    options = ["task.yaml"]
    if case["values"] is not None:
        (folder / "given-values.yaml").write_bytes(case["values"].encode())
        options += ["--values", "given-values.yaml"]
    for text in case["set"]:
        options += ["--set", text]
    for name, value in case.get("secretValues", {}).items():
        options += ["--secret", f"{name}={value}"]
    run = case["run"]
    for name, option in _OPTIONS.items():
        if run.get(name):
            options += [option, run[name]]
    if run.get("os") or run.get("architecture"):
        options += ["--platform", f"{run.get('os', 'linux')}/{run.get('architecture', 'amd64')}"]
    for text in run.get("env", []):
        options += ["--env", text]
    return options


@pytest.mark.parametrize("case", of("render"))
def test_render_prints_the_same_bytes(case: dict[str, Any], cli: Cli, tmp_path: Path) -> None:
    outcome = cli("render", "--no-aliases", *given(case, tmp_path))
    expected = wanted(case)
    assert outcome.code == (0 if expected["ok"] else 2), outcome.err
    if "rendered" in expected:
        assert outcome.out == expected["rendered"]


@pytest.mark.parametrize("case", of("plan"))
def test_plan_compiles_the_same_steps(case: dict[str, Any], cli: Cli, tmp_path: Path) -> None:
    options = given(case, tmp_path)
    outcome = cli("plan", "-o", "json", *options)
    expected = wanted(case)
    assert outcome.code == (0 if expected["ok"] else 2), outcome.err
    if not expected["ok"]:
        assert outcome.out == ""
        return
    plan = json.loads(outcome.out)
    for key in ("version", "aliases", "networks"):
        if key in expected:
            assert plan[key] == expected[key]
    if "steps" in expected:
        assert [step["id"] for step in plan["steps"]] == [step["id"] for step in expected["steps"]]
        for step, want in zip(plan["steps"], expected["steps"], strict=True):
            assert {key: step.get(key) for key in want} == want
    if "rendered" in expected:
        assert cli("render", *options).out == expected["rendered"]


@pytest.mark.parametrize("case", of("plan"))
def test_validate_agrees_with_plan(case: dict[str, Any], cli: Cli, tmp_path: Path) -> None:
    assert cli("validate", *given(case, tmp_path)).code == (0 if wanted(case)["ok"] else 2)


@pytest.mark.parametrize("case", of("scan"))
def test_scan_finds_what_a_builder_needs(case: dict[str, Any], cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / case["dockerfilePath"]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(case["dockerfile"].encode())
    options = ["-f", case.get("dockerfileArgument", case["dockerfilePath"])]
    for text in case.get("buildArgs", []):
        options += ["--build-arg", text]
    for text in case.get("tags", []):
        options += ["-t", text]
    if case.get("target"):
        options += ["--target", case["target"]]
    outcome = cli("scan", "-o", "json", *options, ".")
    if "divergence" in case and "correct" not in case:
        # only what a builder means is known here; tests/conformance/test_scan.py compares that
        assert outcome.code in (0, 2)
        return
    expected = wanted(case)
    assert outcome.code == (0 if expected["ok"] else 2), outcome.err
    if expected["ok"]:
        found = json.loads(outcome.out)
        assert found["images"] == expected["images"]
        assert found["runtime"] == expected["runtime"]
        both = sorted(found["buildtime"] + found["unused"], key=str)
        assert both == sorted(expected["buildtime"], key=str)


def test_no_case_is_left_out(wiring: Wiring) -> None:
    assert {case["op"] for case in CASES} == {"plan", "render", "scan", "run"}


#: pushes are tried again by the Docker runner, which is tested where it is
RUNS = [param for param in of("run") if not any(name.startswith("push:") for name in param.values[0]["behaviour"])]


@pytest.mark.parametrize("case", RUNS)
def test_run_tries_each_step_as_often(case: dict[str, Any], cli: Cli, wiring: Wiring, tmp_path: Path) -> None:
    for step, told in case["behaviour"].items():
        wiring.behaviour[step] = Script(
            exits=tuple(told.get("exit", ())),
            stdout=told.get("stdout", "").encode(),
            stderr=told.get("stderr", "").encode(),
            seconds=told.get("sleep", 0),
        )
    options = given(case, tmp_path)
    outcome = cli("run", *options, "/dev/null")
    expected = wanted(case)
    assert (outcome.code == 0) == expected["ok"], outcome.err
    if "attempts" in expected:
        pushes = {step["id"] for step in json.loads(cli("plan", "-o", "json", *options).out)["steps"] if "push" in step}
        made = wiring.runners[0].attempts if wiring.runners else {}
        assert {s: n for s, n in made.items() if s not in pushes} == {
            s: n for s, n in expected["attempts"].items() if not s.startswith("push ")
        }
