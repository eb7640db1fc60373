"""A run's spec crosses to the worker as JSON and comes out as it went in."""

from __future__ import annotations

import json

import pytest

from taskengine.errors import InvalidInput
from taskengine.runs.spec import Build, RunSpec


def test_a_spec_survives_json() -> None:
    spec = RunSpec(
        build=Build(tags=("app:{{.Run.ID}}",), push=False), context="upload:u1", set=("a=1", "b=x,y"),
        date="2026-11-23T00:00:00Z", secret_names=("set:token",), step_limits={"cpus": 1.5, "pids": 100},
    )  # fmt: skip
    assert RunSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_what_is_empty_does_not_travel() -> None:
    assert RunSpec(text="steps: []").to_json() == {"text": "steps: []", "text_name": "task.yaml", "timeout": 3600}


def test_a_key_from_a_newer_service_is_refused() -> None:
    with pytest.raises(InvalidInput, match="sandboxing"):
        RunSpec.from_json({"text": "x", "sandboxing": True})
