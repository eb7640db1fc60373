"""The command line on a real engine: the whole way, in processes of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.engine import Engine

ROOT = Path(__file__).parents[2]


def acr_task(engine: Engine, folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "taskengine.cli", *args],
        cwd=folder,
        env={**engine.env, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture(autouse=True)
def _nothing_left(engine: Engine) -> object:
    before = engine.objects()
    yield
    assert engine.objects() == before


def test_a_task_file_runs(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "data.txt").write_text("from the context\n")
    (tmp_path / "task.yaml").write_text(
        "version: v1.1.0\nsteps:\n  - id: read\n    cmd: busybox cat data.txt\n  - id: after\n    cmd: busybox echo $ID\n"
    )
    done = acr_task(engine, tmp_path, "run", "task.yaml", "--id", "cb7")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "read | from the context\nafter | cb7\n"


def test_one_command_runs(engine: Engine, tmp_path: Path) -> None:
    done = acr_task(engine, tmp_path, "run", "--cmd", "busybox sh -c 'echo $0 \"a b\"; exit 3'", "/dev/null")
    assert done.returncode == 1
    assert done.stdout == "cmd | sh a b\n"
    assert "step 'cmd' failed" in done.stderr


def test_an_image_is_built_and_pushed_with_its_digest(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox\nARG WHO\nRUN echo built-for-$WHO\n")
    name = f"cli/{os.urandom(4).hex()}:1"
    done = acr_task(
        engine, tmp_path, "build", "-r", engine.registry, "-t", name, "--build-arg", "WHO=it's you", "-o", "json", "."
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    (image,) = told["images"]
    assert (told["status"], told["image"]) == ("Succeeded", f"{engine.registry}/{name}")
    assert (image["pushed"], image["registry"], image["repository"]) == (True, engine.registry, name.partition(":")[0])
    assert told["digest"] == image["digest"]
    assert told["digest"].startswith("sha256:")
    assert (told["size"] or 0) > 1000
    assert [(d["type"], d["reference"], d["local"]) for d in told["dependencies"]] == [
        ("runtime", "busybox:latest", True)
    ]
    assert "built-for-it's you" in done.stderr or "CACHED" in done.stderr


def test_a_build_that_fails_is_one_object_too(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox\nRUN exit 7\n")
    done = acr_task(engine, tmp_path, "build", "--no-push", "-o", "json", ".")
    told = json.loads(done.stdout)
    assert (done.returncode, told["status"], told["image"], told["digest"]) == (1, "Failed", None, None)
    assert "exit code 7" in told["message"]


def test_a_build_shows_what_it_stands_on_as_acr_tasks_does(engine: Engine, tmp_path: Path) -> None:
    digest = engine.api.inspect_distribution(f"{engine.registry}/base/busybox:1")["Descriptor"]["digest"]
    (tmp_path / "Dockerfile").write_text(f"FROM {engine.registry}/base/busybox:1\nRUN true\n")
    done = acr_task(engine, tmp_path, "build", "--no-push", "-t", "r.example.com/shown/app:1.10", ".")
    assert done.returncode == 0, done.stderr
    block = done.stderr.partition("The following dependencies were found:\n")[2].partition("note:")[0]
    [found] = yaml.safe_load(block.partition("\n\n")[0])
    assert found["image"]["tag"] == "1.10"
    assert found["runtime-dependency"] == {
        "registry": engine.registry,
        "repository": "base/busybox",
        "tag": "1",
        "digest": digest,
    }
    assert found["git"] == {}


def test_ctrl_c_leaves_nothing(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text('steps:\n  - id: a\n    cmd: busybox sh -c "echo ready; exec sleep 60"\n')
    process = subprocess.Popen(
        [sys.executable, "-m", "taskengine.cli", "run", "t.yaml", "/dev/null"],
        cwd=tmp_path,
        env={**engine.env, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert "ready" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err


def test_the_doctor_finds_the_engine(engine: Engine, tmp_path: Path) -> None:
    done = acr_task(engine, tmp_path, "doctor", "-o", "json", "-r", engine.registry_shared)
    found = {check["check"]: check for check in json.loads(done.stdout)["checks"]}
    assert found["engine"]["state"] == "ok"
    assert engine.host in found["engine"]["text"]
    assert found["BuildKit"]["state"] == "ok"
    assert found["data folder"]["state"] == "ok"


def test_without_an_engine_the_doctor_says_what_to_do(engine: Engine, tmp_path: Path) -> None:
    env = {**engine.env, "PYTHONPATH": str(ROOT), "DOCKER_HOST": f"unix://{tmp_path}/none.sock"}
    done = subprocess.run(
        [sys.executable, "-m", "taskengine.cli", "doctor"], env=env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 3
    assert "FAIL  engine: no Docker Engine answers at" in done.stdout
