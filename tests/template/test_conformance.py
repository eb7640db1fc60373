"""The public conformance cases for templates, through a pipeline just large enough for `render`."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from taskengine.template import TemplateError, render

_CASES = json.loads((Path(__file__).parents[1] / "conformance/data/template.json").read_text())
_RENDERED = [case for case in _CASES if "rendered" in case["expect"] or case["op"] == "render"]
# The keys of .Run that stand in a case's facts under the same name in camel case.
_FACTS = [
    "SharedVolume",
    "Registry",
    "Commit",
    "Branch",
    "TaskName",
    "Repository",
    "GitTag",
    "TriggeredBy",
    "OSVersion",
]


def _run_facts(run: dict[str, str]) -> dict[str, str]:
    facts = {name: run.get(name[0].lower() + name[1:], "") for name in _FACTS}
    facts["OSVersion"] = run.get("osVersion", "")
    date = run.get("date", "")
    stamp = datetime.fromisoformat(date).strftime("%Y%m%d-%H%M%Sz") if date else ""
    return facts | {
        "ID": run.get("id", ""),
        "RegistryName": facts["Registry"].partition(".")[0],
        "Date": stamp,
        "OS": run.get("os") or "linux",
        "Architecture": run.get("architecture") or "amd64",
    }


def _data(case: dict[str, Any]) -> dict[str, Any]:
    source = case["values"] or "{}"
    # Keys of the first level are taken as they are written: `on` is no boolean there.
    keys = yaml.load(source, yaml.BaseLoader)
    values = dict(zip(keys, yaml.safe_load(source).values(), strict=True))
    for pair in case["set"]:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(pair)
        values[key] = value
    run = _run_facts(case["run"])
    return {"Run": run, "Build": {"ID": run["ID"]}, "Values": values, "Secrets": case.get("secretValues", {})}


def _rendered(case: dict[str, Any]) -> str:
    lines = case["task"].splitlines(keepends=True)
    text = "".join(line for line in lines if not line.lstrip().startswith("#"))
    return render(text, _data(case)).text


@pytest.mark.parametrize("case", _RENDERED, ids=lambda case: str(case["name"]))
def test_a_template_renders_as_in_the_reference(case: dict[str, Any]) -> None:
    expected = case.get("correct", case["expect"])
    try:
        text = _rendered(case)
    except (TemplateError, ValueError):
        text = ""
    if expected["ok"]:
        assert text == expected["rendered"]
    else:
        # Rendering to nothing is an error, too.
        assert text == ""
