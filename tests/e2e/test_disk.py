"""A worker on a small disk: it stops taking runs in time, says why, makes room, and takes runs again by itself."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine import OwnEngine
from tests.support.sandbox import SandboxUnavailable, claim
from tests.support.service import Service, service

pytestmark = pytest.mark.engine
MIB = 1 << 20
HEAD = "version: v1.1.0\nsteps:\n"
DOCKERFILE = b"FROM busybox:1\nARG N\nRUN head -c 50000000 /dev/urandom > /blob\n"


@pytest.fixture
def small() -> Iterator[OwnEngine]:
    """An engine whose disk has 150 MiB."""
    try:
        sandbox = claim()
    except SandboxUnavailable as error:
        pytest.fail(f"this test needs an engine of its own: {error}")
    engine = OwnEngine(sandbox)
    try:
        disk(engine).mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=150m", "tmpfs", str(disk(engine))], check=True)
        engine.launch(registry=False, busybox=True)
        yield engine
    finally:
        engine.close()


def disk(engine: OwnEngine) -> Path:
    return engine.folder / "data"


@pytest.fixture
def served(small: OwnEngine, tmp_path: Path) -> Iterator[Service]:
    folder = tmp_path / "service"
    folder.mkdir(mode=0o700)
    # runs are refused below 60 MiB, and taken again from 90 MiB on
    rules = {"ownEngine": True, "minFree": 60 * MIB, "cacheLimit": 1024 * MIB, "cacheReserve": 0}
    (folder / "settings.yaml").write_text(json.dumps(rules))
    with service(small, folder, "--port", "0") as found:
        yield found


def until(what: Callable[[], bool], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.1)  # another process's doing


def worker(served: Service) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(served.call("print(json.dumps(next(api.list('workers'))))"))
    return found


def run_of(served: Service, run: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(served.call("print(json.dumps(api.run(run)))", run=run))
    return found


def queue(served: Service, text: str, **more: Any) -> str:
    return served.call("print(api.queue_run({'text': text, **more})['runId'])", text=text, more=more).strip()


def metrics(small: OwnEngine, served: Service) -> str:
    code = f"import urllib.request as u; print(u.urlopen('{served.url}/metrics').read().decode())"
    return subprocess.run(
        [*small.inside, sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout


def test_a_disk_that_others_fill_stops_the_worker_until_there_is_room(small: OwnEngine, served: Service) -> None:
    filler = disk(small) / "of-somebody-else"
    filler.write_bytes(bytes(shutil.disk_usage(disk(small)).free - 40 * MIB))
    until(lambda: worker(served)["state"] == "unfit")
    assert "too little room on the disk" in worker(served)["health"]["why"]
    run = queue(served, HEAD + "  - cmd: busybox:1 echo at last\n")
    waiting = run_of(served, run)
    assert waiting["status"] == "Queued"
    assert "too little room on the disk" in waiting["waitReason"]
    assert 'acr_task_workers{state="unfit"} 1.0' in metrics(small, served)
    filler.unlink()
    until(lambda: run_of(served, run)["status"] == "Succeeded")
    assert worker(served)["state"] == "ready"


def test_a_cache_that_fills_the_disk_is_made_smaller_and_runs_are_taken_again(
    small: OwnEngine, served: Service, tmp_path: Path
) -> None:
    archive = tmp_path / "context.tar"
    with tarfile.open(archive, "w") as tar:
        entry = tarfile.TarInfo("Dockerfile")
        entry.size = len(DOCKERFILE)
        tar.addfile(entry, io.BytesIO(DOCKERFILE))
    for number in (1, 2):
        name = served.call("print(api.upload(open(path, 'rb')))", path=str(archive)).strip()
        run = queue(served, f"{HEAD}  - build: -t app:{number} --build-arg N={number} .\n", context=name)
        until(lambda run=run: run_of(served, run)["status"] == "Succeeded")  # type: ignore[misc]
        small.api.remove_image(f"app:{number}")  # its layers stay in the cache
    until(lambda: any("removed build cache" in line and "short of room" in line for line in served.said))
    run = queue(served, HEAD + "  - cmd: busybox:1 echo there is room\n")
    until(lambda: run_of(served, run)["status"] == "Succeeded")
    assert worker(served)["state"] == "ready"
