"""What a template sees: `.Run`, `.Build`, `.Values`, `.Secrets`, and the first and third of them as JSON.

Pure: the facts, the values file's text and the `--set` texts are handed in.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC
from typing import Any

from taskengine.lightpattern import pattern
from taskengine.taskspec.inputs import Inputs, RunFacts
from taskengine.taskspec.nodes import Map, Node, Scalar, Seq, YamlError, read
from taskengine.taskspec.report import Report
from taskengine.taskspec.scalar import as_text, as_value, is_merge, mistagged
from taskengine.taskspec.source import Source, View


def run_facts(facts: RunFacts) -> dict[str, str]:
    """`.Run`, by the names that templates use."""
    date = facts.date.astimezone(UTC).strftime("%Y%m%d-%H%M%Sz") if facts.date else ""
    return {
        "ID": facts.id,
        "Commit": facts.commit,
        "Repository": facts.repository,
        "Branch": facts.branch,
        "GitTag": facts.git_tag,
        "TriggeredBy": facts.triggered_by,
        "Registry": facts.registry,
        "RegistryName": facts.registry.split(".", 1)[0],
        "Date": date,
        "SharedVolume": facts.shared_volume,
        "OS": facts.os,
        "OSVersion": facts.os_version,
        "Architecture": facts.architecture,
        "TaskName": facts.task_name,
    }


#: what fills a fact that is empty
_FACT_OPTIONS = {
    "ID": "--id",
    "Registry": "--registry",
    "RegistryName": "--registry",
    "Commit": "--commit",
    "Branch": "--branch",
    "SharedVolume": "--shared-volume",
    "Date": "--date",
    "GitTag": "--git-tag",
    "Repository": "--repository",
    "TaskName": "--task-name",
}
_FACT_USE = pattern(r"(?:\$|\.Run\.)([A-Za-z]+)")


def empty_fact(line: str, facts: RunFacts) -> str | None:
    """A hint for a line that uses a fact of the run which is not known: what is left of it is often no YAML."""
    known = run_facts(facts)
    for match in _FACT_USE.finditer(line):
        option = _FACT_OPTIONS.get(match.group(1))
        if option and not known[match.group(1)]:
            return f"{match.group(0)} is empty here; give {option}"
    return None


def template_data(inputs: Inputs, report: Report) -> dict[str, Any]:
    """All but `.Secrets`, which are known only later."""
    values = _values(inputs, report)
    run = run_facts(inputs.facts)
    return {
        "Build": {"ID": inputs.facts.id},
        "Run": run,
        "Values": values,
        "ValuesJSON": shell_quoted(go_json(values)),
        "RunJSON": shell_quoted(go_json(run)),
    }


def _values(inputs: Inputs, report: Report) -> dict[str, Any]:
    values = _file_values(inputs, report) if inputs.values_text is not None else {}
    for option, texts in (("--set", inputs.set), ("--set-secret", inputs.set_secret)):
        for text in texts:
            name, equals, value = text.partition("=")
            if equals and name:
                values[name] = value
            else:
                shown = text if option == "--set" else "..."
                report.error("E220", f"{option} {shown}: name=value is expected", None, hint=f"{option} name=value")
    return values


def set_secrets(inputs: Inputs) -> dict[str, str]:
    """The values given by --set-secret, for the mask."""
    pairs = (text.partition("=") for text in inputs.set_secret)
    return {name: value for name, equals, value in pairs if equals}


def _file_values(inputs: Inputs, report: Report) -> dict[str, Any]:
    text = (inputs.values_text or "").removeprefix("\ufeff")
    source = Source(text, inputs.values_file)
    report.know(source)
    view = View.of(source)
    try:
        root = read(text).root
    except YamlError as error:
        report.error("E221", f"the values file is no YAML: {error.message}", view.locate(error.offset), hint=error.hint)
        return {}
    if root is None or (isinstance(root, Scalar) and as_value(root) is None):
        return {}
    if not isinstance(root, Map):
        hint = "write one 'name: value' a line"
        report.error("E221", "a values file is a mapping of names and values", view.locate(root.start), hint=hint)
        return {}
    wrong: list[Scalar] = []
    values = _plain(root, wrong)
    for node in wrong:
        hint = "take the tag away, or write a value of its kind"
        report.error("E221", f"'{node.text[:80]}' is no {mistagged(node)}", view.locate(node.start), hint=hint)
    return values if isinstance(values, dict) else {}


def _plain(node: Node, wrong: list[Scalar]) -> Any:
    """The node as plain data. Names are texts as written, so that `n: 1` is not the name 'false'. Values that are not
    what their tags say are added to `wrong`."""
    if isinstance(node, Scalar):
        if node.tag is not None and mistagged(node):
            wrong.append(node)
        return as_value(node)
    if isinstance(node, Seq):
        return [_plain(item, wrong) for item in node.items]
    merged: dict[str, Any] = {}
    own: dict[str, Any] = {}
    for key, value in zip(node.flat[::2], node.flat[1::2], strict=True):
        if isinstance(key, Scalar) and is_merge(key):
            parts = list(reversed(value.items)) if isinstance(value, Seq) else [value]
            for part in parts:
                plain = _plain(part, wrong)
                merged.update(plain if isinstance(plain, dict) else {})
        elif isinstance(key, Scalar):
            own[as_text(key)] = _plain(value, wrong)
    return {**merged, **own}


_NEEDS_QUOTES = pattern(r"[^A-Za-z0-9_^@=+%,:./-]")


def shell_quoted(text: str) -> str:
    """The text as one word of a shell line."""
    if not text:
        return "''"
    return "'" + text.replace("'", "'\"'\"'") + "'" if _NEEDS_QUOTES.search(text) else text


def go_json(value: Any) -> str:
    """JSON as Go's encoding/json writes it: no blanks, names sorted, <, > and & escaped, floats its own way."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{_go_text(key)}:{go_json(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(go_json(item) for item in value) + "]"
    if isinstance(value, float):
        return _go_float(value)
    return _go_text(value) if isinstance(value, str) else json.dumps(value)


def _go_text(text: str) -> str:
    quoted = json.dumps(text, ensure_ascii=False)
    for char in "<>&\u2028\u2029":
        quoted = quoted.replace(char, f"\\u{ord(char):04x}")
    return quoted


def _go_float(value: float) -> str:
    if not math.isfinite(value):
        return "null"
    from decimal import Decimal

    digits = Decimal(repr(value))
    if value and not 1e-6 <= abs(value) < 1e21:
        mantissa, _, exponent = f"{digits.normalize():e}".partition("e")
        return f"{mantissa}e{exponent}"
    text = format(digits, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
