"""Whole plans against files that a person can read: tests/plan/golden. No field is left out.

After an intended change: `UPDATE_GOLDEN=1 pytest tests/plan/test_view.py`, and read the difference.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from taskengine.plan.schema import plan_schema
from taskengine.plan.view import plan_json, problem_json
from taskengine.taskspec.inputs import Inputs, RunFacts
from taskengine.taskspec.load import load_task

GOLDEN = Path(__file__).parent / "golden"
INPUTS = Inputs(
    facts=RunFacts(
        id="R7", registry="reg.example.com", task_name="nightly", date=datetime(2024, 3, 5, 6, 7, 8, tzinfo=UTC)
    ),
    values_text="which: t\nshards: [one, two]\n",
    secret_values={"token": "s3cr3t"},
)


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_plan_is_what_it_was(path: Path) -> None:
    found = plan_json(load_task(path.read_bytes(), file=path.name, inputs=INPUTS).plan)
    golden = path.with_suffix(".json")
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    assert found == json.loads(golden.read_text())


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_plan_obeys_its_schema(path: Path) -> None:
    found = plan_json(load_task(path.read_bytes(), file=path.name, inputs=INPUTS).plan)
    Draft202012Validator(plan_schema()).validate(found)


def test_the_published_schema_is_the_one_made_from_the_catalog() -> None:
    published = json.loads((Path(__file__).parents[2] / "schemas" / "plan.schema.json").read_text())
    assert published == plan_schema()
    Draft202012Validator.check_schema(published)


def test_files_of_volumes_are_shown_by_name_only() -> None:
    text = (GOLDEN / "02-networks-volumes-secrets.yaml").read_bytes()
    view = plan_json(load_task(text, file="t", inputs=INPUTS).plan)
    assert view["volumes"] == [{"name": "conf", "files": ["token.txt"]}]


def test_a_problem_as_data_has_its_place_and_all_that_belongs_to_it() -> None:
    text = "steps:\n  - {cmd: x, when: ['-']}\n  - {cmd: y, cmd: z}\n"
    (problem,) = load_task(text, file="t.yaml", inputs=Inputs()).warnings
    assert problem_json(problem) == {
        "code": "W102",
        "severity": "warning",
        "message": "'cmd' is given twice in step 2; the last one counts",
        "file": "t.yaml",
        "line": 3,
        "column": 14,
        "hint": "remove one of them",
        "sourceLine": "  - {cmd: y, cmd: z}",
        "related": [{"message": "first given here", "file": "t.yaml", "line": 3, "column": 6}],
    }
