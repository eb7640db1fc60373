"""A worker is killed and comes back: containers that ran go on, their logs are complete, nothing is done twice."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from taskengine.runs.decode import event_of
from taskengine.runs.event import Event, StepFinished, StepStarted
from taskengine.runs.feed import FrameKind, frames
from taskengine.runs.model import RunRecord, RunStatus
from taskengine.runs.spec import RunSpec
from tests.support.engine import Engine
from tests.worker.child import carry

pytestmark = pytest.mark.engine
#: waits until the test lets it go, by a file in the shared workspace that the test writes through another container
HEAD = "version: v1.1.0\nsteps:\n"


class Worker:
    """One run of one worker, killed and gone on with."""

    def __init__(self, engine: Engine, folder: Path, run: str) -> None:
        self.engine, self.folder, self.run = engine, folder, run
        (folder / "context").mkdir()
        (folder / "context" / "a.txt").write_text("from the context\n")
        self.env = engine.env | {"PYTHONPATH": str(Path(__file__).parents[2])}

    def begin(self, text: str, secrets: dict[str, str] | None = None, **spec: Any) -> subprocess.Popen[bytes]:
        spec_json = RunSpec(text=text, context="upload:x", **spec).to_json()
        said = {"run": self.run, "spec": spec_json, "secrets": secrets or {}}
        (self.folder / "spec.json").write_text(json.dumps(said))
        return subprocess.Popen(
            [*self.engine.inside, sys.executable, "-m", "tests.worker.child", self.folder], env=self.env
        )

    def go_on(self) -> RunRecord:
        return carry(self.folder, self.env)

    @property
    def feed(self) -> bytes:
        try:
            return (self.folder / "spool" / "feed").read_bytes()
        except FileNotFoundError:
            return b""

    def log(self, step: str) -> bytes:
        return b"".join(f.payload for _, f in frames(self.feed) if f.kind is FrameKind.LOG and f.step == step)

    def events(self) -> list[Event]:
        found = (event_of(f.event) for _, f in frames(self.feed) if f.kind is FrameKind.EVENT)
        return [event for event in found if event is not None]

    def wait_for(self, what: Callable[[], bool]) -> None:
        end = time.monotonic() + 60
        while not what():
            assert time.monotonic() < end, self.feed.decode(errors="replace")[-3000:]
            time.sleep(0.02)  # the feed is a file of another process

    def container(self, step: str) -> str:
        """The name of a step's container."""
        return next(n for n in self.engine.objects()["containers"] if self.run in n and n.endswith(f"-{step}"))

    def release(self) -> None:
        """Write the file that waiting steps look for."""
        volume = f"acr-task-{self.run}-1-workspace"
        body = {"Image": "busybox:1", "Cmd": ["touch", "/w/go"], "HostConfig": {"Binds": [f"{volume}:/w"]}}
        made = self.engine.api.create_container_from_config(body)["Id"]
        self.engine.api.start(made)
        self.engine.api.wait(made)
        self.engine.api.remove_container(made)


@pytest.fixture
def worker(engine: Engine, tmp_path: Path, request: pytest.FixtureRequest) -> Worker:
    return Worker(engine, tmp_path, f"ad{abs(hash(request.node.nodeid)) % 10**8}")


def left(engine: Engine, run: str) -> list[str]:
    return [name for names in engine.objects().values() for name in names if f"-{run}-" in name]


def wait_in_shell(before: str, after: str) -> str:
    return f"""busybox:1 sh -c '{before}; until [ -e /workspace/go ]; do sleep 0.05; done; {after}'"""


def test_a_container_that_ran_on_is_adopted_with_its_whole_log(worker: Worker) -> None:
    text = (
        HEAD + "  - {id: done, cmd: busybox:1 echo once}\n"
        f'  - id: long\n    when: [done]\n    cmd: "{wait_in_shell("cat a.txt; echo one; echo err >&2", "echo two; exit 0")}"\n'
        "  - {id: last, when: [long], cmd: busybox:1 cat a.txt}\n"
    )
    child = worker.begin(text)
    worker.wait_for(lambda: b"one" in worker.log("long") and b"err" in worker.log("long"))
    child.kill()
    child.wait()
    worker.release()
    record = worker.go_on()
    assert record.status is RunStatus.SUCCEEDED, record.message
    assert worker.log("done") == b"once\n"
    assert sorted(worker.log("long").splitlines()) == [b"err", b"from the context", b"one", b"two"]
    assert worker.log("last") == b"from the context\n"
    starts = [event.step for event in worker.events() if isinstance(event, StepStarted)]
    assert starts == ["done", "long", "last"]
    assert left(worker.engine, worker.run) == []


def test_a_container_that_ended_meanwhile_is_not_run_again(worker: Worker) -> None:
    text = (
        HEAD
        + f'  - id: long\n    cmd: "{wait_in_shell("echo one", "echo ran >> /workspace/count; cat /workspace/count; exit 7")}"\n'
    )
    child = worker.begin(text)
    worker.wait_for(lambda: b"one" in worker.log("long"))
    child.kill()
    child.wait()
    worker.release()
    worker.engine.api.wait(worker.container("long"))
    record = worker.go_on()
    assert (record.status, record.steps[0].exit_code) == (RunStatus.FAILED, 7)
    assert worker.log("long") == b"one\nran\n"
    assert left(worker.engine, worker.run) == []


def test_a_detached_service_is_still_there_for_the_steps_that_use_it(worker: Worker) -> None:
    text = (
        HEAD + "  - {id: web, detach: true, cmd: busybox:1 httpd -f -p 80 -h /workspace}\n"
        f'  - id: long\n    when: [web]\n    cmd: "{wait_in_shell("echo one", "true")}"\n'
        "  - {id: use, when: [long], retries: 20, retryDelay: 0, cmd: busybox:1 timeout 5 wget -q -O - http://web/a.txt}\n"
    )
    child = worker.begin(text)
    worker.wait_for(lambda: b"one" in worker.log("long"))
    child.kill()
    child.wait()
    worker.release()
    record = worker.go_on()
    assert record.status is RunStatus.SUCCEEDED, record.message
    assert worker.log("use") == b"from the context\n"
    assert left(worker.engine, worker.run) == []


def test_a_build_that_was_under_way_is_made_again_and_its_log_begins_anew(worker: Worker) -> None:
    (worker.folder / "context" / "Dockerfile").write_text("FROM busybox:1\nCOPY a.txt /\nRUN sleep 3600\n")
    text = HEAD + f"  - {{id: b, build: '-t {worker.run}:1 .'}}\n"
    child = worker.begin(text)
    worker.wait_for(lambda: any(isinstance(e, StepStarted) for e in worker.events()) and b"sleep" in worker.feed)
    child.kill()
    child.wait()
    (worker.folder / "spool" / "context" / "Dockerfile").write_text("FROM busybox:1\nCOPY a.txt /\nRUN true\n")
    record = worker.go_on()
    assert record.status is RunStatus.SUCCEEDED, record.message
    finished = [event.record.id for event in worker.events() if isinstance(event, StepFinished)]
    assert finished == ["b"]
    worker.engine.api.remove_image(f"{worker.run}:1", force=True)
    assert left(worker.engine, worker.run) == []


def test_limits_of_each_step_bound_what_it_asks_for(worker: Worker) -> None:
    text = HEAD + f'  - id: a\n    cmd: "{wait_in_shell("echo one", "true")}"\n'
    child = worker.begin(text, step_limits={"pids": 77, "memory": 64 << 20})
    worker.wait_for(lambda: b"one" in worker.log("a"))
    limits = worker.engine.api.inspect_container(worker.container("a"))["HostConfig"]
    assert (limits["PidsLimit"], limits["Memory"]) == (77, 64 << 20)
    worker.release()
    assert child.wait(60) == 0
