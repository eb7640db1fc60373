"""The examples of docs/dependencies.md are what the program does."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from taskengine.cli.view.result import dependency_json
from taskengine.registry.reference import ImageReference
from taskengine.runs.dependency import of_image
from taskengine.runs.model import DependencyType
from tests.cli.conftest import Outcome, Wiring, cli, wiring  # noqa: F401

TEXT = (Path(__file__).parents[2] / "docs" / "dependencies.md").read_text(encoding="utf-8")


def block(language: str, beginning: str = "") -> str:
    return next(
        b for b in re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL) if b.startswith(beginning)
    )


def test_the_scan_of_the_example_prints_what_the_page_shows(
    cli: Callable[..., Outcome], tmp_path: Path  # noqa: F811
) -> None:  # fmt: skip
    (tmp_path / "Dockerfile").write_text(block("dockerfile"))
    assert [line.rstrip() for line in cli("scan", ".").out.splitlines()] == block("text", "USE").splitlines()


def test_a_dependency_has_the_fields_of_the_page() -> None:
    [shown] = json.loads(block("json"))
    made = dependency_json(of_image(ImageReference.parse("alpine:3"), DependencyType.RUNTIME, digest=shown["digest"], platform="linux/amd64"))  # fmt: skip
    assert made | {"platformDigest": shown["platformDigest"]} == shown


def test_every_type_of_dependency_is_explained() -> None:
    assert [kind.value for kind in DependencyType if f"| `{kind.value}` |" not in TEXT] == []
