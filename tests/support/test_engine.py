"""The fixtures themselves: what the other tests take for granted."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import docker
import requests

from tests.support.engine import Engine, OwnEngine
from tests.support.registry import Registry
from tests.support.sandbox import sweep

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


def docker_cli(engine: Engine, *arguments: str) -> str:
    done = subprocess.run(
        ["docker", *arguments], env=engine.env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_engine_has_a_busybox_and_its_registry_has_it_too(engine: Engine) -> None:
    assert {"busybox:1", "busybox:latest"} <= engine.images()
    answer = requests.head(
        f"{engine.registry_url}/v2/base/busybox/manifests/1", headers={"Accept": MANIFEST}, timeout=5
    )
    assert answer.status_code == 200


def test_a_busybox_step_may_be_privileged_and_finds_its_applets(engine: Engine) -> None:
    assert docker_cli(engine, "run", "--rm", "--privileged", "busybox:1", "sh", "-c", "seq 2 | wc -l").strip() == "2"


def test_the_docker_image_speaks_to_the_engine_through_its_socket(engine: Engine, docker_cli_image: str) -> None:
    socket = f"{engine.host.removeprefix('unix://')}:/var/run/docker.sock"
    images = docker_cli(engine, "run", "--rm", "-v", socket, docker_cli_image, "images", "-q", "busybox:1")
    assert images.strip()
    assert docker_cli(engine, "run", "--rm", docker_cli_image, "sh", "-c", "echo shell").strip() == "shell"


def test_objects_names_what_stands_on_the_engine(engine: Engine) -> None:
    before = engine.objects()
    engine.api.create_volume("seen-by-objects")
    try:
        assert engine.objects()["volumes"] - before["volumes"] == {"seen-by-objects"}
    finally:
        engine.api.remove_volume("seen-by-objects")
    assert engine.objects() == before


def test_a_registry_with_a_login_wants_it(engine: Engine, registry_auth: Registry) -> None:
    url = f"{registry_auth.url}/v2/"
    assert requests.get(url, timeout=5).status_code == 401
    assert requests.get(url, auth=(registry_auth.user, registry_auth.password), timeout=5).status_code == 200


def test_a_small_image_is_built_for_a_test(engine: Engine) -> None:
    identity = engine.build_base("small:1", "FROM busybox:1\nCOPY word /word\n", {"word": "hello\n"})
    try:
        assert docker_cli(engine, "run", "--rm", identity, "cat", "/word") == "hello\n"
    finally:
        engine.api.remove_image("small:1", force=True)


def test_a_killed_engine_starts_again(fresh_engine: Callable[..., OwnEngine]) -> None:
    engine = fresh_engine()
    docker_cli(engine, "run", "-d", "--name", "left", "--stop-signal", "KILL", "busybox:1", "sleep", "600")
    engine.kill()
    engine.start()
    assert engine.objects()["containers"] == {"left"}


def test_an_engine_apart_answers_on_tcp_and_does_not_see_our_files(
    fresh_engine: Callable[..., OwnEngine], tmp_path: Path
) -> None:
    engine = fresh_engine(apart=True)
    (tmp_path / "file").touch()
    far = docker.APIClient(base_url=engine.tcp_host, version="auto")
    try:
        assert far.ping()
    finally:
        far.close()
    assert docker_cli(engine, "run", "--rm", "-v", f"{tmp_path}:/there", "busybox:1", "ls", "/there") == ""


def test_nothing_is_left_of_an_engine(fresh_engine: Callable[..., OwnEngine]) -> None:
    engine = fresh_engine()
    docker_cli(engine, "run", "-d", "busybox:1", "sleep", "600")
    folder, name = engine.sandbox.folder, engine.sandbox.name
    engine.close()
    assert not folder.exists()
    assert not Path("/run/netns", name).exists()
    assert not Path("/sys/class/net", name).exists()
    assert str(folder) not in Path("/proc/self/mountinfo").read_text()
    assert not list(Path("/sys/fs/cgroup").glob(f"**{engine.sandbox.cgroup}"))


def test_what_a_killed_suite_left_is_swept_by_the_next() -> None:
    code = """
import os, signal
from tests.support.engine import own_engine
engine = own_engine(registry=False)
engine.api.start(engine.api.create_container("busybox:1", ["sleep", "600"]))
print(engine.sandbox.name, engine.sandbox.folder, engine.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    name, folder, pid = done.stdout.split()
    assert Path(folder).exists()
    sweep()
    assert not Path(folder).exists()
    assert not Path("/run/netns", name).exists()
    assert not Path("/proc", pid, "exe").exists()  # a dead one may wait for init a little longer
