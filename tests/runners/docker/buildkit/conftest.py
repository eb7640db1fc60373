"""A build site: a folder to build from, BuildKit of the suite's engine, and what the last build told."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import pytest

from runners.docker.buildkit import (
    BuildKit,
    BuildOutcome,
    BuildRequest,
    LocalDir,
    Progress,
    VertexLog,
    VertexUpdate,
    dialer,
)
from taskengine.runner import Cancel
from tests.support.engine import Engine


@dataclass
class Told:
    """Everything that builds told, in order; may be waited on."""

    items: list[Progress] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def __call__(self, item: Progress) -> None:
        with self._changed:
            self.items.append(item)
            self._changed.notify_all()

    def output(self, stream: int | None = None) -> str:
        logs = [i for i in self.items if isinstance(i, VertexLog) and stream in (None, i.stream)]
        return b"".join(log.data for log in logs).decode()

    def wait_for(self, text: str, seconds: float = 60) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: text in self.output(), seconds), self.output()


@dataclass
class Site:
    folder: Path
    buildkit: BuildKit
    told: Told = field(default_factory=Told)
    tags: list[str] = field(default_factory=list)

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def build(self, text: str = "", *, file: str = "", cancel: Cancel | None = None, **request: Any) -> BuildOutcome:
        """Build with this Dockerfile, or with the one that is there."""
        if text:
            self.write("Dockerfile", text)
        request.setdefault("context", LocalDir(path=str(self.folder)))
        request.setdefault("deadline_s", 120)
        if file:
            request["dockerfile"] = file
        self.tags += request.get("tags", ())
        self.told.items.clear()
        return self.buildkit.build(BuildRequest(**request), cancel=cancel or Cancel(), progress=self.told)


def lay_out_ssh_add(folder: Path) -> None:
    """The program and its libraries below `ssh`, as in a root file system: busybox speaks to no Unix socket."""
    program = "/usr/bin/ssh-add"
    listed = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    needed = {word for word in listed.split() if word.startswith("/")} | {program}
    for path in needed:
        target = folder / "ssh" / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(Path(path).read_bytes())
        target.chmod(0o755)


def start_of(site: Site, text: str, **request: Any) -> Future[BuildOutcome]:
    """A build in the background, of which the RUN has printed "begun"."""
    pool = ThreadPoolExecutor(1)
    build = pool.submit(site.build, text, no_cache=True, **request)
    pool.shutdown(wait=False)
    site.told.wait_for("begun")
    return build


def work_of(outcome: BuildOutcome) -> list[VertexUpdate]:
    """The vertexes that do what the Dockerfile says, without BuildKit's own chores."""
    return [v for v in outcome.vertexes if v.name.startswith("[") and "internal]" not in v.name]


def api_of(engine: Engine) -> docker.APIClient:
    return docker.APIClient(base_url=engine.host, version="auto", timeout=60)


@pytest.fixture
def make_buildkit() -> Iterator[Callable[[Engine], BuildKit]]:
    made: list[tuple[BuildKit, docker.APIClient]] = []

    def make(engine: Engine) -> BuildKit:
        api = api_of(engine)
        made.append((BuildKit(dialer(api)), api))
        return made[-1][0]

    yield make
    for buildkit, api in made:
        buildkit.close()
        api.close()


@pytest.fixture
def site(engine: Engine, tmp_path: Path, make_buildkit: Callable[[Engine], BuildKit]) -> Iterator[Site]:
    folder = tmp_path / "context"
    folder.mkdir()
    made = Site(folder, make_buildkit(engine))
    yield made
    for tag in made.tags:
        engine.api.remove_image(tag, force=True)
