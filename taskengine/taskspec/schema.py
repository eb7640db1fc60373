"""The JSON Schema of task files, made from the catalog, so that editors know what the parser knows.

Pure. `python -m taskengine.taskspec.schema` prints it; a test holds schemas/task.schema.json equal to it.
"""

from __future__ import annotations

import json
from typing import Any

from taskengine.taskspec import catalog
from taskengine.taskspec.catalog import Kind, Property

_ID = "task.schema.json"
#: any scalar is a text: `007` and `true` are, where a text is wanted
_TEXT: dict[str, Any] = {"type": ["string", "number", "boolean", "null"]}
_KINDS: dict[Kind, dict[str, Any]] = {
    Kind.TEXT: _TEXT,
    Kind.INTEGER: {"type": ["number", "null"]},
    Kind.BOOLEAN: {"type": ["boolean", "null"]},
    Kind.TEXTS: {"type": ["array", "null"], "items": _TEXT},
    Kind.INTEGERS: {"type": ["array", "null"], "items": {"type": "number"}},
    Kind.FILES: {"type": ["object", "null"], "additionalProperties": _TEXT},
    Kind.STEPS: {"type": ["array", "null"], "items": {"$ref": "#/$defs/step"}},
    Kind.SECRETS: {"type": ["array", "null"], "items": {"$ref": "#/$defs/secret"}},
    Kind.NETWORKS: {"type": ["array", "null"], "items": {"$ref": "#/$defs/network"}},
    Kind.VOLUMES: {"type": ["array", "null"], "items": {"$ref": "#/$defs/volume"}},
    Kind.MOUNTS: {"type": ["array", "null"], "items": {"$ref": "#/$defs/volumeMount"}},
    Kind.ALIAS: {"oneOf": [{"$ref": "#/$defs/alias"}, {"type": "null"}]},
}


def task_schema() -> dict[str, Any]:
    """The whole schema. Unknown properties are errors for an editor, though only warnings for the engine."""
    defs = {name: _object(table) for name, table in catalog.TABLES.items() if name != "task"}
    step = defs["step"]
    step["oneOf"] = [{"required": [kind]} for kind in ("cmd", "build", "push")]
    defs["alias"]["properties"]["values"]["propertyNames"] = {"pattern": "^[a-zA-Z0-9]+$"}
    defs["alias"]["properties"]["directive"].update({"maxLength": 1, "pattern": "^[^a-zA-Z0-9]?$"})
    defs["volume"]["properties"]["name"]["pattern"] = "^[A-Za-z0-9_-]+$"
    step["properties"]["id"]["pattern"] = r"^\S*$"
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": _ID,
        "title": "ACR Tasks file",
        "description": "A multi-step container task, as acr-task and Azure Container Registry Tasks run it.",
        **_object(catalog.TASK),
        "$defs": defs,
    }


def _object(table: dict[str, Property]) -> dict[str, Any]:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {name: _property(entry) for name, entry in table.items()},
        "patternProperties": {"^x-": {}},
        "additionalProperties": False,
    }
    required = [name for name, entry in table.items() if entry.required]
    if required:
        schema["required"] = required
    return schema


def _property(entry: Property) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(json.dumps(_KINDS[entry.kind]))
    schema["description"] = entry.help
    if entry.choices:
        choices = "|".join(_any_case(choice) for choice in entry.choices)
        # an editor offers the spellings of the enum, and accepts all that the pattern does
        schema = {"description": entry.help, "anyOf": [{"enum": list(entry.choices)}, {"pattern": f"^({choices})$"}]}
        schema["type"] = ["string", "null"]
    if entry.minimum is not None:
        schema["minimum"] = entry.minimum
    if entry.default is not None:
        schema["default"] = entry.default
    if entry.example is not None:
        schema["examples"] = [entry.example]
    return schema


def _any_case(word: str) -> str:
    special = {".": r"\.", "-": "-"}
    return "".join(special.get(char, f"[{char.upper()}{char.lower()}]" if char.isalpha() else char) for char in word)


def schema_text(schema: dict[str, Any]) -> str:
    """The schema as it lies in schemas/."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(schema_text(task_schema()), end="")
