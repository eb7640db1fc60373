"""The JSON Schema of what `acr-task plan -o json` prints, made from the catalog of properties.

Pure. `python -m taskengine.plan.schema` prints it; a test holds schemas/plan.schema.json equal to it.
"""

from __future__ import annotations

from typing import Any

from taskengine.taskspec import catalog
from taskengine.taskspec.catalog import Kind
from taskengine.taskspec.schema import schema_text

_ID = "plan.schema.json"
_TEXT = {"type": "string"}
_TEXTS = {"type": "array", "items": _TEXT}
_INTEGER = {"type": "integer"}
_BOOLEAN = {"type": "boolean"}
_KINDS: dict[Kind, dict[str, Any]] = {
    Kind.TEXT: _TEXT,
    Kind.INTEGER: _INTEGER,
    Kind.BOOLEAN: _BOOLEAN,
    Kind.TEXTS: _TEXTS,
    Kind.INTEGERS: {"type": "array", "items": _INTEGER},
    Kind.MOUNTS: {"type": "array", "items": {"$ref": "#/$defs/volumeMount"}},
}
_REQUIRED = [
    "id",
    "type",
    "needs",
    "timeout",
    "retries",
    "retryDelay",
    "repeat",
    "startDelay",
    "workingDirectory",
    "network",
    "env",
]


def plan_schema() -> dict[str, Any]:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": _ID,
        "title": "Compiled plan of a task",
        **_object(
            {
                "version": {**_TEXT, "description": "Version of the format, as written."},
                "aliases": {**_BOOLEAN, "description": "Whether aliases are on."},
                "networks": {"type": "array", "items": {"$ref": "#/$defs/network"}},
                "volumes": {"type": "array", "items": {"$ref": "#/$defs/volume"}},
                "steps": {"type": "array", "items": {"$ref": "#/$defs/step"}},
                "warnings": {"type": "array", "items": {"$ref": "#/$defs/problem"}},
            }
        ),
        "$defs": {
            "step": _step(),
            "network": _object({name: _KINDS[entry.kind] for name, entry in catalog.NETWORK.items()}),
            "volume": _object({"name": _TEXT, "files": _TEXTS}),
            "volumeMount": _object(dict.fromkeys(catalog.MOUNT, _TEXT)),
            "problem": _problem(),
        },
    }


def _object(properties: dict[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else required,
        "additionalProperties": False,
    }


def _step() -> dict[str, Any]:
    properties: dict[str, Any] = {
        "id": {**_TEXT, "description": catalog.STEP["id"].help},
        "type": {"enum": ["cmd", "build", "push"]},
        "needs": {**_TEXTS, "description": "Ids of the steps that it waits for, direct ones only, in file order."},
        "tags": {**_TEXTS, "description": "Names given to the built image."},
        "buildArgs": {**_TEXTS, "description": "Build arguments of a build."},
        "usesBuildkit": {**_BOOLEAN, "description": "DOCKER_BUILDKIT=1 is in the step's env."},
    }
    for name, entry in catalog.STEP.items():
        if name not in ("id", "when"):
            properties[name] = {**_KINDS[entry.kind], "description": entry.help}
    schema = _object(properties, _REQUIRED)
    schema["oneOf"] = [{"required": [kind]} for kind in ("cmd", "build", "push")]
    return schema


def _problem() -> dict[str, Any]:
    place = {"file": _TEXT, "line": _INTEGER, "column": _INTEGER}
    related = _object({"message": _TEXT, **place})
    return _object(
        {
            "code": {"type": "string", "pattern": "^[EW][0-9]{3}$"},
            "severity": {"enum": ["error", "warning"]},
            "message": _TEXT,
            **place,
            "hint": _TEXT,
            "sourceLine": _TEXT,
            "related": {"type": "array", "items": related},
        },
        ["code", "severity", "message"],
    )


if __name__ == "__main__":
    print(schema_text(plan_schema()), end="")
