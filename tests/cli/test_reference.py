"""docs/cli.md and the commands say the same."""

from __future__ import annotations

from pathlib import Path

from taskengine.cli.app import TABLE
from taskengine.cli.reference import reference

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def test_the_page_is_what_the_commands_say() -> None:
    assert PAGE.read_text() == reference(), "run: python -m taskengine.cli.reference > docs/cli.md"


def test_every_command_has_a_section() -> None:
    page = reference()
    assert all(f"## acr-task {name}\n" in page for name in TABLE)
