"""The public conformance cases about task files: plans and renderings, through the Python API.

A case's `expect` is what the reference implementation does; where it carries `correct`, that counts instead. A property
that a plan shows beyond what a case expects must not be set.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from taskengine.errors import InvalidTask
from taskengine.plan.view import plan_json
from taskengine.taskspec.inputs import Inputs, RunFacts
from taskengine.taskspec.load import load_task, render_task

DATA = Path(__file__).parent / "data"
CASES: list[dict[str, Any]] = [
    case
    for name in ("validation", "dag", "defaults", "alias", "template")
    for case in json.loads((DATA / f"{name}.json").read_text())
]
FACTS = {
    "id": "id",
    "registry": "registry",
    "commit": "commit",
    "branch": "branch",
    "repository": "repository",
    "triggeredBy": "triggered_by",
    "gitTag": "git_tag",
    "os": "os",
    "osVersion": "os_version",
    "architecture": "architecture",
    "sharedVolume": "shared_volume",
    "taskName": "task_name",
}


def inputs_of(case: dict[str, Any], folder: Path) -> Inputs:
    run = case.get("run") or {}
    facts = {field: run[name] for name, field in FACTS.items() if name in run}
    if "date" in run:
        facts["date"] = datetime.fromisoformat(run["date"])
    return Inputs(
        facts=RunFacts(**facts),
        values_text=case.get("values"),
        set=tuple(case.get("set") or ()),
        secret_values=case.get("secretValues") or {},
        working_directory=run.get("workingDirectory", ""),
        network=run.get("network", ""),
        env=tuple(run.get("env", ())),
        base_dir=folder,
    )


def wanted_of(case: dict[str, Any]) -> dict[str, Any]:
    wanted: dict[str, Any] = case.get("correct") or case["expect"]
    return wanted


def cases(op: str) -> list[Any]:
    chosen = [case for case in CASES if case["op"] == op and ("correct" in case or "divergence" not in case)]
    return [pytest.param(case, id=f"{case['category']}-{case['name']}") for case in chosen]


def assert_step(found: dict[str, Any], wanted: dict[str, Any], *, observed: bool) -> None:
    """`observed`: the expectation is complete. One that was reasoned leaves out what it does not tell."""
    assert {name: found.get(name) for name in wanted} == wanted
    surplus = {name: value for name, value in found.items() if name not in wanted and value}
    assert not (observed and surplus)


@pytest.mark.parametrize("case", cases("plan"))
def test_a_task_file_is_understood_as_the_reference_does(case: dict[str, Any], tmp_path: Path) -> None:
    wanted = wanted_of(case)
    for name, text in (case.get("files") or {}).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    if not wanted["ok"]:
        with pytest.raises(InvalidTask) as caught:
            load_task(case["task"], file="task.yaml", inputs=inputs_of(case, tmp_path))
        assert caught.value.problems
        return
    loaded = load_task(case["task"], file="task.yaml", inputs=inputs_of(case, tmp_path))
    view = plan_json(loaded.plan)
    for name in ("version", "aliases"):
        if name in wanted:
            assert view[name] == wanted[name]
    if "networks" in wanted:
        assert view["networks"] == wanted["networks"]
    if "rendered" in wanted:
        assert loaded.rendered == wanted["rendered"]
    if "steps" in wanted:
        assert len(view["steps"]) == len(wanted["steps"])
        for found, step in zip(view["steps"], wanted["steps"], strict=True):
            assert_step(found, step, observed="correct" not in case)


@pytest.mark.parametrize("case", cases("render"))
def test_a_template_renders_as_the_reference_does(case: dict[str, Any], tmp_path: Path) -> None:
    wanted = wanted_of(case)
    if not wanted["ok"]:
        with pytest.raises(InvalidTask):
            render_task(case["task"], file="task.yaml", inputs=inputs_of(case, tmp_path), aliases=False)
        return
    rendered = render_task(case["task"], file="task.yaml", inputs=inputs_of(case, tmp_path), aliases=False)
    assert rendered == wanted["rendered"]
