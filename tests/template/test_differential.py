"""What the real language gives: templates with the output, or the refusal, that was observed from Go and Sprig."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from taskengine.taskspec.inputs import Inputs
from taskengine.taskspec.report import Report
from taskengine.taskspec.source import Source
from taskengine.taskspec.values import template_data
from taskengine.template import TemplateError, render

_OBSERVED = json.loads((Path(__file__).parent / "data/differential.json").read_text())
_NOW = datetime(2024, 3, 5, 6, 7, 8, tzinfo=UTC)
_CASES = [
    pytest.param(case, id=f"{group['name']}-{number}")
    for group in _OBSERVED["groups"]
    for number, case in enumerate(group["cases"])
]


def _data(values: str) -> dict[str, Any]:
    found = template_data(Inputs(values_text=values), Report(Source("", "task.yaml")))
    run = {"ID": "cb1", "Registry": "corp.azurecr.io"}
    return {"Build": {"ID": ""}, "Run": run, "Secrets": {}, "Values": found["Values"]}


@pytest.mark.parametrize("case", _CASES)
def test_a_template_gives_what_go_gives(case: dict[str, Any]) -> None:
    data = _data(case.get("values", _OBSERVED["values"]))
    if "refused" in case:
        with pytest.raises(TemplateError):
            render(case["template"], data, now=_NOW)
    else:
        assert render(case["template"], data, now=_NOW).text == case["output"]
