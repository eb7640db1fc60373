"""The published schemas are what the code knows, and agree with the parser."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from taskengine.runs.schema import event_schema
from taskengine.taskspec import catalog
from taskengine.taskspec.catalog import Kind
from taskengine.taskspec.inputs import Inputs, RunFacts
from taskengine.taskspec.load import load_task
from taskengine.taskspec.model import NetworkSpec, SecretSpec, StepSpec, TaskSpec, VolumeMount, VolumeSpec
from taskengine.taskspec.schema import task_schema

SCHEMAS = Path(__file__).parents[2] / "schemas"
MODELS = {
    "task": TaskSpec,
    "step": StepSpec,
    "network": NetworkSpec,
    "volume": VolumeSpec,
    "secret": SecretSpec,
    "volumeMount": VolumeMount,
}
#: what a model knows beside the author's properties
OWN = {"location", "places", "flawed"}
ENTRIES = [(table, entry) for table, entries in catalog.TABLES.items() for entry in entries.values()]


def published(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
    return schema


def test_the_published_schemas_are_those_made_from_the_code() -> None:
    assert published("task") == task_schema()
    assert published("event") == event_schema()


@pytest.mark.parametrize("name", ["task", "event"])
def test_the_published_schemas_are_valid(name: str) -> None:
    Draft202012Validator.check_schema(published(name))


@pytest.mark.parametrize("table", MODELS)
def test_the_catalog_and_the_model_know_the_same_properties(table: str) -> None:
    known = {entry.field for entry in catalog.TABLES[table].values()} - {"alias"}
    assert known == {entry.name for entry in fields(MODELS[table])} - OWN  # type: ignore[arg-type]


@pytest.mark.parametrize(("table", "entry"), ENTRIES, ids=[f"{table}.{entry.name}" for table, entry in ENTRIES])
def test_every_property_is_documented_with_an_example(table: str, entry: catalog.Property) -> None:
    assert entry.help.endswith((".", "others.", "Tasks."))
    assert entry.example is not None


STEP_ENTRIES = [entry for entry in catalog.STEP.values() if entry.name not in ("cmd", "build", "push", "when")]


@pytest.mark.parametrize("entry", STEP_ENTRIES, ids=lambda entry: entry.name)
def test_the_example_of_a_property_is_understood_and_fits_the_schema(entry: catalog.Property) -> None:
    kind = entry.steps[0]
    step: dict[str, Any] = {"id": "s", kind: catalog.STEP[kind].example, entry.name: entry.example}
    volumes = [{"name": "conf", "secret": {"a": "YQ=="}}]
    task = {"version": "v1.1.0", "volumes": volumes, "steps": [step]}
    Draft202012Validator(task_schema()).validate(task)
    inputs = Inputs(facts=RunFacts(id="r7", registry="reg.example.com"))
    loaded = load_task(yaml.safe_dump(task), file="t.yaml", inputs=inputs)
    assert not [problem for problem in loaded.warnings if problem.code in ("W101", "W302")]
    found = getattr(loaded.spec.steps[0], entry.field)
    if entry.kind in (Kind.TEXT, Kind.INTEGER, Kind.BOOLEAN):
        assert found == (str(entry.example) if entry.kind is Kind.TEXT else entry.example)
    else:
        assert len(found) == len(entry.example)


@pytest.mark.parametrize(
    "text",
    [
        "steps: [{cmd: x, wehn: [a]}]",
        "stps: []",
        "steps: [{cmd: x, build: .}]",
        "steps: [{id: a}]",
        "steps: [{cmd: [a]}]",
        "steps: [{cmd: x, timeout: soon}]",
        "steps: [{cmd: x, keep: 'true'}]",
        "steps: [{build: ., cache: maybe}]",
        "steps: [{cmd: x, retries: -1}]",
        "version: v9",
        "alias: {values: {my-name: x}}",
        "volumes: [{name: v}]",
        "networks: [{driver: bridge}]",
    ],
)
def test_what_the_parser_complains_of_an_editor_complains_of_too(text: str) -> None:
    assert list(Draft202012Validator(task_schema()).iter_errors(yaml.safe_load(text)))


@pytest.mark.parametrize("text", ["version: V1.1.0", "steps: [{build: ., cache: DisAbled}]", "x-base: {a: b}", "env: "])
def test_what_the_parser_takes_an_editor_takes_too(text: str) -> None:
    Draft202012Validator(task_schema()).validate(yaml.safe_load(text))
