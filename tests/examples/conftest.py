"""Runs an example the way its first comment says, on the suite's own engine."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine import Engine

EXAMPLES = Path(__file__).parents[2] / "examples" / "tasks"
CLI = (sys.executable, "-m", "taskengine.cli")
#: what the comments call the registry
REGISTRY = "localhost:5000"


def commands(file: Path) -> list[list[str]]:
    """The `acr-task` lines of a file's first comment, as words without the program's name."""
    head = file.read_text().split("\nversion:")[0].splitlines()
    lines = [line.removeprefix("#").strip() for line in head]
    return [shlex.split(line)[1:] for line in lines if line.startswith("acr-task ")]


@dataclass(frozen=True)
class Ran:
    """What an example's run said, as `-o json` tells it."""

    code: int
    events: list[dict[str, Any]]
    errors: str

    @property
    def record(self) -> dict[str, Any]:
        return next(e["record"] for e in self.events if e["event"] == "run.finished")

    @property
    def id(self) -> str:
        return str(self.record["id"])

    @property
    def steps(self) -> dict[str, str]:
        return {step["id"]: step["status"] for step in self.record["steps"]}

    def step(self, step_id: str) -> dict[str, Any]:
        return next(step for step in self.record["steps"] if step["id"] == step_id)

    def says(self, step_id: str) -> list[str]:
        return [e["text"] for e in self.events if e["event"] == "log" and e["step"] == step_id]

    @property
    def pushed(self) -> dict[str, str]:
        """The digest of each image that was pushed, by its name without the registry."""
        images = [image for step in self.record["steps"] for image in step["images"] if image["pushed"]]
        return {image["reference"].partition("/")[2]: image["digest"] for image in images}


Example = Callable[..., Ran]


@pytest.fixture
def example(engine: Engine, tmp_path: Path) -> Iterator[Example]:
    """`example("hello-world")` runs the example as its comment says; more options may be given."""
    before = engine.images()

    def run(name: str, *more: str, file: str = "acb.yaml") -> Ran:
        line = next(words for words in commands(EXAMPLES / name / file) if words[0] == "run")
        words = [word.replace(REGISTRY, engine.registry) for word in line if word != "--quiet"]
        done = subprocess.run(
            [*CLI, *words, *more, "-o", "json"], cwd=EXAMPLES / name, env=engine.env | {"ACR_TASK_DATA": str(tmp_path)},
            capture_output=True, text=True, timeout=180, check=False,
        )  # fmt: skip
        events = [json.loads(text) for text in done.stdout.splitlines()]
        return Ran(done.returncode, events, done.stderr)

    yield run
    for tag in engine.images() - before:
        if "/" in tag or tag.startswith("words:"):
            engine.api.remove_image(tag, force=True, noprune=True)


@pytest.fixture
def in_registry(engine: Engine) -> Callable[[str], str]:
    """The digest under which the registry has `name:tag`."""

    def digest(reference: str) -> str:
        name, _, tag = reference.rpartition(":")
        request = urllib.request.Request(f"{engine.registry_url}/v2/{name}/manifests/{tag}", method="HEAD")
        request.add_header("Accept", "application/vnd.docker.distribution.manifest.v2+json")
        with urllib.request.urlopen(request, timeout=20) as answer:
            return str(answer.headers["Docker-Content-Digest"])

    return digest
