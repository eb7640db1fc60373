"""The service as its users meet it: `acr-task serve` with its worker, an engine, and everything in between killed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine import Engine
from tests.support.service import Service, service

pytestmark = pytest.mark.engine
HEAD = "version: v1.1.0\nsteps:\n"
WAITING = """busybox:1 sh -c 'echo one; until [ -e /workspace/go ]; do sleep 0.05; done; echo two'"""


@pytest.fixture
def served(engine: Engine, tmp_path: Path) -> Iterator[Service]:
    with service(engine, tmp_path / "service", "--port", "0") as found:
        yield found


def queue(served: Service, text: str, **more: Any) -> str:
    return served.call("print(api.queue_run({'text': text, **more})['runId'])", text=text, more=more).strip()


def wait(served: Service, run: str) -> dict[str, Any]:
    """The run once it is over, with its log as `log`."""
    code = (
        "out = {}\nfor x in api.follow(run):\n"
        "    if isinstance(x, Output): out[x.step] = out.get(x.step, '') + x.data.decode()\n"
        "    elif isinstance(x, Ended): print(json.dumps({**x.run, 'log': out}))\n"
    )
    found: dict[str, Any] = json.loads(served.call(code, run=run))
    return found


def until(what: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)  # another process's doing


def log_of(served: Service, run: str) -> str:
    return served.call("sys.stdout.buffer.write(b''.join(api.log(run)))", run=run)


def release(engine: Engine, run: str) -> None:
    """Write the file that a waiting step looks for."""
    body = {
        "Image": "busybox:1", "Cmd": ["touch", "/w/go"],
        "HostConfig": {"Binds": [f"acr-task-{run}-1-workspace:/w"]},
    }  # fmt: skip
    made = engine.api.create_container_from_config(body)["Id"]
    engine.api.start(made)
    engine.api.wait(made)
    engine.api.remove_container(made)


def left(engine: Engine, run: str) -> list[str]:
    return [name for names in engine.objects().values() for name in names if f"-{run}-" in name]


def test_a_run_is_queued_carried_out_and_read(engine: Engine, served: Service) -> None:
    text = HEAD + "  - {id: a, cmd: busybox:1 echo hello}\n  - {id: b, when: [a], cmd: busybox:1 sh -c 'exit 3'}\n"
    done = wait(served, queue(served, text))
    assert (done["status"], done["log"]) == ("Failed", {"a": "hello\n"})
    assert [(step["id"], step["status"]) for step in done["steps"]] == [("a", "succeeded"), ("b", "failed")]
    assert served.stop() == 0
    assert left(engine, done["runId"]) == []


def test_a_service_that_is_killed_goes_on_with_its_runs_and_loses_no_byte(engine: Engine, served: Service) -> None:
    run = queue(
        served, HEAD + f'  - {{id: first, cmd: busybox:1 echo once}}\n  - {{id: a, when: [first], cmd: "{WAITING}"}}\n'
    )
    until(lambda: "one" in log_of(served, run))
    served.kill()
    release(engine, run)
    served.start()
    done = wait(served, run)
    assert (done["status"], done["attempt"]) == ("Succeeded", 1)
    assert done["log"] == {"first": "once\n", "a": "one\ntwo\n"}
    assert left(engine, run) == []


def test_a_stopped_service_leaves_what_runs_to_its_next_start(engine: Engine, tmp_path: Path) -> None:
    with service(engine, tmp_path / "service", "--port", "0", "--grace", "0") as served:
        run = queue(served, HEAD + f'  - {{id: a, cmd: "{WAITING}"}}\n')
        until(lambda: "one" in log_of(served, run))
        assert served.stop() == 0
        release(engine, run)
        served.start()
        done = wait(served, run)
        assert (done["status"], done["log"]) == ("Succeeded", {"a": "one\ntwo\n"})


def test_a_cancel_reaches_the_containers(engine: Engine, served: Service) -> None:
    run = queue(served, HEAD + "  - {id: a, cmd: busybox:1 sh -c 'echo up; sleep 3600'}\n")
    until(lambda: "up" in log_of(served, run))
    served.call("api.cancel_run(run, 'not wanted')", run=run)
    done = wait(served, run)
    assert done["status"] == "Canceled"
    assert left(engine, run) == []


def test_what_was_not_granted_is_refused_before_it_is_queued(served: Service) -> None:
    text = HEAD + "  - {id: a, privileged: true, cmd: busybox:1 true}\n"
    code = "try: api.queue_run({'text': text})\nexcept Exception as e: print(type(e).__name__, [p.code for p in e.problems])"
    assert served.call(code, text=text) == "InvalidTask ['E601']\n"


def test_an_uploaded_context_is_the_workspace(served: Service, tmp_path: Path) -> None:
    import io
    import tarfile

    archive = tmp_path / "context.tar"
    with tarfile.open(archive, "w") as tar:
        entry = tarfile.TarInfo("a.txt")
        entry.size = 5
        tar.addfile(entry, io.BytesIO(b"hello"))
    name = served.call("print(api.upload(open(path, 'rb')))", path=str(archive)).strip()
    done = wait(served, queue(served, HEAD + "  - {id: a, cmd: busybox:1 cat a.txt}\n", context=name))
    assert (done["status"], done["log"]) == ("Succeeded", {"a": "hello"}), done
