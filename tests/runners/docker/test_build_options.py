"""Every line of the table of build options, on a real engine: that it has its effect, or why it has none.

An option that is added to the table without a case here fails the last test."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runners.docker.agents import Agents
from runners.docker.buildlimit import is_before_docker_23
from runners.docker.failure import StepFailed
from taskengine.plan.buildline import BUILD_OPTIONS, parse_build
from taskengine.plan.option import LineError
from taskengine.runs.event import Notice
from tests.runners.docker.buildkit.conftest import lay_out_ssh_add
from tests.runners.docker.conftest import Outcome, RunTask
from tests.support.engine import Engine

pytestmark = pytest.mark.timeout(180)

Build = Callable[..., Outcome]

#: what belongs to pushes and is tested with them
ELSEWHERE = {"attest", "provenance", "sbom"}


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "ctx"
    folder.mkdir()
    return folder


@pytest.fixture
def build(run_task: RunTask, engine: Engine, context: Path) -> Iterator[Build]:
    """Builds a Dockerfile with these options; the outcome of the run."""
    names: list[str] = []

    def make(options: str, text: str, *, ok: bool = True, **more: Any) -> Outcome:
        (context / "Dockerfile").write_text(text)
        names.append(f"option-{len(names)}:1")
        done = run_task(f"steps:\n  - id: b\n    build: {options} -t {names[-1]} .\n", context=context, **more)
        assert (done.status == "Succeeded") is ok, done.step("b")
        return done

    yield make
    for name in names:
        if engine.api.images(name):
            engine.api.remove_image(name, force=True)


def image(engine: Engine, done: Outcome) -> dict[str, Any]:
    found: dict[str, Any] = engine.api.inspect_image(done.step("b").images[0].image_id)
    return found


def notices(done: Outcome) -> str:
    return "\n".join(e.message for e in done.events if isinstance(e, Notice))


def old(engine: Engine) -> bool:
    return is_before_docker_23(engine.api._version)


#: lists the keys of an agent
LIST_KEYS = "FROM busybox:1\nCOPY ssh /\nRUN --mount=type=ssh,id={} /usr/bin/ssh-add -l\n"


def new_key(folder: Path) -> str:
    path = str(folder / "key")
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "build-key", "-f", path], check=True, timeout=30
    )
    return path


CASES: dict[str, Callable[..., None]] = {}


def case(name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    def keep(function: Callable[..., None]) -> Callable[..., None]:
        CASES[name] = function
        return function

    return keep


@case("add-host")
def _(build: Build, **_: Any) -> None:
    done = build("--no-cache --add-host db:10.1.2.3 --add-host six:[::1]", "FROM busybox:1\nRUN cat /etc/hosts\n")
    lines = [line.split() for line in done.text("b").splitlines()]
    assert [w for line in lines for w in line if w in ("10.1.2.3", "db", "six")] == ["10.1.2.3", "db", "six"]


@case("build-arg")
def _(build: Build, **_: Any) -> None:
    done = build("--no-cache --build-arg WHO='two words'", "FROM busybox:1\nARG WHO\nRUN echo =$WHO=\n")
    assert "=two words=" in done.text("b")


@case("build-context")
def _(build: Build, engine: Engine, context: Path, **_: Any) -> None:
    (context / "other").mkdir()
    (context / "other" / "f").write_text("from the other folder\n")
    text = "FROM base\nCOPY --from=files f /f\nRUN cat /f\n"
    options = "--no-cache --build-context files=other --build-context base=docker-image://busybox:1"
    done = build(options, text, ok=not old(engine))
    if old(engine):
        assert "knows no further contexts" in done.step("b").message
    else:
        assert "from the other folder" in done.text("b")


@case("cache-from")
def _(build: Build, engine: Engine, **_: Any) -> None:
    name = f"{engine.registry}/options/cached:1"
    text = "FROM busybox:1\nRUN head -c 8 /dev/urandom | base64 > /random\n"
    first = build(f"--cache-to type=inline -t {name}", text)
    engine.push(name, name)
    for tag in (name, "option-0:1"):
        engine.api.remove_image(tag, force=True)
    engine.api.prune_builds()
    again = build(f"--cache-from {name}", text)
    assert image(engine, again)["RootFS"] == {**image(engine, again)["RootFS"], "Layers": layers(engine, name)}
    assert first.step("b").images


def layers(engine: Engine, name: str) -> Any:
    engine.api.pull(name)
    found: dict[str, Any] = engine.api.inspect_image(name)
    engine.api.remove_image(name, force=True)
    return found["RootFS"]["Layers"]


CASES["cache-to"] = CASES["cache-from"]


@case("file")
def _(build: Build, context: Path, **_: Any) -> None:
    (context / "Other").write_text("FROM busybox:1\nRUN echo the other file\n")
    assert "the other file" in build("--no-cache -f Other", "FROM busybox:1\n").text("b")


@case("label")
def _(build: Build, engine: Engine, **_: Any) -> None:
    done = build("--label team=a --label 'words=two words'", "FROM busybox:1\n")
    assert image(engine, done)["Config"]["Labels"] == {"team": "a", "words": "two words"}


@case("network")
def _(build: Build, **_: Any) -> None:
    text = "FROM busybox:1\nRUN echo $(ls /sys/class/net)\n"
    assert "eth0" in build("--no-cache", text).text("b")
    assert "eth0" not in build("--no-cache --network none", text).text("b")


@case("no-cache")
def _(build: Build, **_: Any) -> None:
    text = "FROM busybox:1\nRUN echo really done\n"
    build("", text)
    assert "really done" not in build("", text).text("b").replace("RUN echo really done", "")
    assert "really done" in build("--no-cache", text).text("b").replace("RUN echo really done", "")


@case("no-cache-filter")
def _(build: Build, **_: Any) -> None:
    text = "FROM busybox:1 AS one\nRUN echo 1 > /1; echo did one\nFROM one AS two\nRUN echo did two\n"
    build("", text)
    said = build("--no-cache-filter two", text).text("b").replace("; echo did one", "").replace("RUN echo did two", "")
    assert "did two" in said
    assert "did one" not in said


@case("platform")
def _(build: Build, engine: Engine, **_: Any) -> None:
    text = "FROM scratch\nCOPY Dockerfile /\n"
    assert image(engine, build("--platform linux/arm64", text))["Architecture"] == "arm64"


@case("pull")
def _(build: Build, engine: Engine, **_: Any) -> None:
    base = f"{engine.registry}/options/base:1"
    engine.build_base(base, "FROM busybox:1\nLABEL age=new\n")
    engine.push(base, base)
    engine.build_base(base, "FROM busybox:1\nLABEL age=old\n")
    ages = [image(engine, build(o, f"FROM {base}\n"))["Config"]["Labels"]["age"] for o in ("", "--pull")]
    engine.api.remove_image(base, force=True)
    assert ages == ["old", "new"]


@case("secret")
def _(build: Build, engine: Engine, **_: Any) -> None:
    text = "FROM busybox:1\nRUN --mount=type=secret,id=s wc -c < /run/secrets/s\n"
    done = build("--no-cache --secret id=s", text, grant={"build_secrets": {"s": b"1234567"}})
    assert "7" in done.text("b").split()


@case("shm-size")
def _(build: Build, engine: Engine, **_: Any) -> None:
    done = build("--no-cache --shm-size 8m", "FROM busybox:1\nRUN df -k /dev/shm | tail -1\n")
    if old(engine):
        assert "--shm-size: BuildKit of this engine sets no such limit" in notices(done)
    else:
        assert "8192" in done.text("b").split()


@case("ssh")
def _(build: Build, context: Path, tmp_path: Path, **_: Any) -> None:
    lay_out_ssh_add(context)
    done = build("--no-cache --ssh default", LIST_KEYS.format("default"), grant={"ssh": {"default": new_key(tmp_path)}})
    assert "build-key" in done.text("b")


@case("tag")
def _(build: Build, engine: Engine, **_: Any) -> None:
    build("-t option-tag:a -t option-tag:b", "FROM busybox:1\n")
    for tag in ("option-tag:a", "option-tag:b"):
        engine.api.remove_image(tag, force=True)


@case("target")
def _(build: Build, engine: Engine, **_: Any) -> None:
    done = build("--target one", "FROM busybox:1 AS one\nLABEL stage=one\nFROM one\nLABEL stage=two\n")
    assert image(engine, done)["Config"]["Labels"] == {"stage": "one"}


@case("ulimit")
def _(build: Build, engine: Engine, **_: Any) -> None:
    done = build("--no-cache --ulimit nofile=77:88", "FROM busybox:1\nRUN echo limit $(ulimit -n)\n")
    if old(engine):
        assert "--ulimit: BuildKit of this engine sets no such limit" in notices(done)
    else:
        assert "limit 77" in done.text("b")


def _only_classic(name: str, value: str) -> Callable[..., None]:
    """BuildKit has no such limit and says so; that the classic builder has it is tested with that one."""

    def check(build: Build, **_: Any) -> None:
        assert f"--{name}: BuildKit of this engine sets no such limit" in notices(
            build(f"--{name} {value}", "FROM busybox:1\n")
        )

    return check


for _name, _value in {
    "cgroup-parent": "/x",
    "cpu-period": "50000",
    "cpu-quota": "25000",
    "cpu-shares": "512",
    "cpuset-cpus": "0",
    "cpuset-mems": "0",
    "memory": "64m",
    "memory-swap": "-1",
}.items():
    CASES[_name] = _only_classic(_name, _value)


@pytest.mark.parametrize("name", sorted(o.name for o in BUILD_OPTIONS if not o.refused and not o.ignored))
def test_an_option_has_its_effect(name: str, build: Build, engine: Engine, context: Path, tmp_path: Path) -> None:
    if name not in ELSEWHERE:
        CASES[name](build=build, engine=engine, context=context, tmp_path=tmp_path)


def test_options_without_effect_change_nothing(build: Build, engine: Engine) -> None:
    idle = [f"--{o.name}{'=x' if o.value else ''}" for o in BUILD_OPTIONS if o.ignored]
    plain, other = build("", "FROM busybox:1\nLABEL a=b\n"), build(" ".join(idle), "FROM busybox:1\nLABEL a=b\n")
    assert image(engine, plain)["RootFS"] == image(engine, other)["RootFS"]
    assert notices(plain) == notices(other)


@pytest.mark.parametrize("option", [o for o in BUILD_OPTIONS if o.refused], ids=lambda o: o.name)
def test_refused_options_are_refused_by_name_with_what_to_do_instead(option: Any) -> None:
    with pytest.raises(LineError, match=f"--{option.name}") as caught:
        parse_build(f"--{option.name}{'=x' if option.value else ''} .")
    assert caught.value.hint == option.refused


def test_a_task_gets_no_agent_that_the_user_did_not_hand_over(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", "/nonexistent")
    done = build("--ssh default", "FROM busybox:1\nRUN --mount=type=ssh true\n", ok=False)
    assert "was given no such agent" in done.step("b").message
    assert "acr-task run --ssh default" in (done.step("b").hint or "")


def test_a_key_is_served_by_an_agent_that_ends_with_the_run(build: Build, context: Path, tmp_path: Path) -> None:
    lay_out_ssh_add(context)
    done = build("--no-cache --ssh k", LIST_KEYS.format("k"), grant={"ssh": {"k": new_key(tmp_path)}})
    assert "build-key" in done.text("b")
    running = subprocess.run(["pgrep", "-f", f"ssh-agent -D -a .*{done.run_id}"], capture_output=True, timeout=10)
    assert running.returncode == 1, running.stdout


def test_a_socket_is_used_as_it_is(tmp_path: Path) -> None:
    path = f"{tmp_path}/agent"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        agents = Agents({"a": path, "b": "/elsewhere"}, tmp_path)
        assert agents.sockets(["a"]) == {"a": path}
        agents.close()


def test_no_agent_is_started_for_a_build_that_was_held_up_until_the_run_was_over(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("")
    agents = Agents({"a": f"{tmp_path}/key"}, tmp_path)
    agents.close()
    with pytest.raises(StepFailed, match="the run is over"):
        agents.sockets(["a"])


def test_a_key_that_cannot_be_used_is_told(build: Build, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("no key")
    text = "FROM busybox:1\nRUN --mount=type=ssh true\n"
    done = build("--ssh default", text, ok=False, grant={"ssh": {"default": f"{tmp_path}/key"}})
    assert "--ssh default" in done.step("b").message
    assert "without a passphrase" in (done.step("b").hint or "")


def test_every_option_of_the_table_has_its_case() -> None:
    assert {o.name for o in BUILD_OPTIONS if not o.refused and not o.ignored} == set(CASES) | ELSEWHERE


SECRET = {"password": "hunter2secretvalue"}
DECLARED = "secrets:\n  - {id: password, keyvault: https://v/s}\n"
WITH_ARG = """FROM busybox:1
ARG PASSWORD
RUN true
"""


@pytest.mark.parametrize(
    ("dockerfile", "is_told"),
    [(WITH_ARG, True), ("ARG PASSWORD\nFROM busybox:1\nRUN true\n", False), ("FROM busybox:1\nRUN true\n", False)],
    ids=["in a stage", "above the stages", "not declared"],
)
def test_a_secret_that_stays_in_the_images_history_is_warned_of(
    run_task: RunTask, engine: Engine, context: Path, dockerfile: str, is_told: bool
) -> None:
    (context / "Dockerfile").write_text(dockerfile)
    step = "steps:\n  - id: b\n    build: -t exposed:1 --build-arg PASSWORD={{ .Secrets.password }} .\n"
    try:
        done = run_task(DECLARED + step, context=context, secrets=SECRET)
    finally:
        if engine.api.images("exposed:1"):
            engine.api.remove_image("exposed:1", force=True)
    assert done.status == "Succeeded", done.step("b")
    assert ("PASSWORD can be read in the image's history" in notices(done)) is is_told
    assert SECRET["password"] not in notices(done)
