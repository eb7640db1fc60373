"""Writes the pages of docs/ that come from the code: `python -m scripts.docs`; `--check` only says which differ.

A test holds every page equal to what is made here. What a page says stands in scripts/pages.py, docs/cli.md in the
command line's own package.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from scripts.apipage import api_page
from scripts.pages import docker_options, problems, task_reference
from taskengine.cli.reference import reference as cli_reference

DOCS = Path(__file__).parents[1] / "docs"

PAGES: Mapping[str, Callable[[], str]] = {
    "api.md": api_page,
    "cli.md": cli_reference,
    "docker-options.md": docker_options,
    "problems.md": problems,
    "task-reference.md": task_reference,
}


def outdated() -> list[str]:
    """The pages that are not what the code says."""
    return [name for name, page in PAGES.items() if _written(DOCS / name) != page()]


def write() -> list[str]:
    """Write those pages; their names."""
    names = outdated()
    for name in names:
        (DOCS / name).write_text(PAGES[name](), encoding="utf-8")
    return names


def _written(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def main(args: list[str]) -> int:
    if args not in ([], ["--check"]):
        print("usage: python -m scripts.docs [--check]", file=sys.stderr)
        return 2
    names = outdated() if args else write()
    for name in names:
        print(f"docs/{name}{' is not what the code says; run make docs' if args else ''}")
    return 1 if args and names else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
