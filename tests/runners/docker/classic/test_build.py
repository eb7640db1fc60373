"""Builds by the classic builder of a real engine, whose BuildKit is left alone."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runners.docker.buildkit import (
    BuildCanceled,
    BuildFailed,
    BuildKit,
    BuildLost,
    BuildRequest,
    LocalDir,
    TarStream,
    Text,
)
from runners.docker.buildkit.dial import api_prefix, connector
from runners.docker.classic import ClassicBuilder
from taskengine.runner import Cancel
from taskengine.runs.event import Notice, StepProgress
from tests.runners.docker.buildkit.conftest import Site, Told, api_of, start_of
from tests.runners.docker.buildkit.test_cancel import LONG_RUN, eventually, sleepers
from tests.runners.docker.conftest import NOTHING, RunTask
from tests.support.engine import Engine, OwnEngine
from tests.support.registry import Registry

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "ctx"
    folder.mkdir()
    return folder


@pytest.fixture
def no_buildkit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BuildKit, "available", lambda _: False)


def builder_of(engine: Engine) -> ClassicBuilder:
    api = api_of(engine)
    return ClassicBuilder(connector(api), prefix=api_prefix(api))


@pytest.fixture
def site(engine: Engine, tmp_path: Path) -> Iterator[Site]:
    folder = tmp_path / "site"
    folder.mkdir()
    made = Site(folder, builder_of(engine))  # type: ignore[arg-type]
    yield made
    made.buildkit.close()
    for tag in made.tags:
        engine.api.remove_image(tag, force=True)


@pytest.mark.usefixtures("no_buildkit")
def test_a_task_builds_and_says_by_what(run_task: RunTask, engine: Engine, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM busybox:1\nARG WHO\nCOPY f /f\nRUN echo $WHO > /who; echo said so\n")
    (context / "f").write_text("content\n")
    done = run_task(
        "steps:\n"
        "  - {id: b, build: -t classic:1 --build-arg WHO=you --label team=a .}\n"
        "  - {id: c, cmd: classic:1 cat /who /f}\n",
        context=context,
    )
    assert done.status == "Succeeded", done.record
    assert done.text("c") == "you\ncontent\n"
    assert "said so" in done.text("b")
    assert engine.api.inspect_image("classic:1")["Config"]["Labels"]["team"] == "a"
    assert done.step("b").images[0].image_id == engine.api.inspect_image("classic:1")["Id"]
    assert [e.message for e in done.events if isinstance(e, Notice) and "classic builder" in e.message]
    names = [e.name for e in done.events if isinstance(e, StepProgress) and e.status == "started"]
    assert names[:3] == ["[1/5] FROM busybox:1", "[2/5] ARG WHO", "[3/5] COPY f /f"]
    assert done.labels_left == NOTHING
    engine.api.remove_image("classic:1", force=True)


def test_what_is_cached_is_told(site: Site) -> None:
    text = "FROM busybox\nRUN echo once\n"
    site.build(text)
    again = site.build(text)
    assert [v.cached for v in again.vertexes] == [False, True]
    assert [v.completed is not None for v in again.vertexes] == [True, True]
    assert [v.cached for v in site.build(text, no_cache=True).vertexes] == [False, False]


def test_a_failing_command_tells_its_code_its_line_and_its_last_words(site: Site) -> None:
    with pytest.raises(BuildFailed) as caught:
        site.build("FROM busybox\n\nRUN seq 100; echo last words; exit 42\n")
    failure = caught.value
    assert (failure.exit_code, failure.line) == (42, 3)
    assert failure.message.endswith("exit code 42")
    assert failure.log[-1] == "last words"


@pytest.mark.parametrize("text", ["FROM busybox\nCOPY missing /\n", "FROM busybox AS a\nFROM nowhere.invalid/x:1\n"])
def test_other_failures_are_the_engines_words(site: Site, text: str) -> None:
    with pytest.raises(BuildFailed) as caught:
        site.build(text)
    assert caught.value.exit_code is None
    assert caught.value.message


def test_the_ignore_rules_are_exact(site: Site) -> None:
    for name in ("a.txt", "b.log", "keep.log", "sub/c.log", "sub/d.txt"):
        site.write(name, name)
    site.write(".dockerignore", "**/*.log\n!keep.log\nDockerfile\n")
    site.build("FROM busybox\nCOPY . /all\nRUN cd /all && echo $(find . -type f | sort)\n", no_cache=True)
    assert "./.dockerignore ./a.txt ./keep.log ./sub/d.txt\n" in site.told.output()


def test_a_dockerfile_has_ignore_rules_of_its_own(site: Site) -> None:
    for name in ("a", "b"):
        site.write(name, name)
    site.write(".dockerignore", "a\n")
    site.write("Other.dockerignore", "b\n.dockerignore\nOther*\nDockerfile\n")
    site.write("Other", "FROM busybox\nCOPY . /all\nRUN cd /all && echo it holds $(find . -type f | sort)\n")
    site.build("", file="Other", no_cache=True)
    assert "it holds ./a\n" in site.told.output()


def test_a_dockerfile_from_elsewhere_is_not_in_the_image(site: Site) -> None:
    site.write("a", "a")
    text = "FROM busybox\nCOPY . /all\nRUN cd /all && echo it holds $(find . -type f | sort)\n"
    site.build(dockerfile_dir=Text(content=text), no_cache=True)
    assert "it holds ./a\n" in site.told.output()


def test_links_modes_and_large_files_travel(site: Site) -> None:
    site.write("big", bytes(3 << 20))
    site.write("tool", "#!/bin/sh\n").chmod(0o750)
    (site.folder / "link").symlink_to("tool")
    site.build("FROM busybox\nCOPY . /\nRUN wc -c < /big; readlink /link; stat -c %a:%u /tool\n")
    assert f"{3 << 20}\ntool\n750:0\n" in site.told.output()


def test_an_archive_is_built_with_the_dockerfile_that_was_checked(site: Site) -> None:
    import io
    import tarfile

    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, text in {"Dockerfile": "FROM busybox\nCOPY f /f\nRUN cat /f\n", "f": "from the archive\n"}.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    site.build(context=TarStream(open=lambda: io.BytesIO(out.getvalue())))
    assert "from the archive\n" in site.told.output()


@pytest.mark.parametrize(
    ("text", "more", "name"),
    [
        ("FROM busybox\nRUN --mount=type=secret,id=s true\n", {}, "type=secret"),
        ("FROM busybox\nRUN --mount=type=ssh true\n", {}, "type=ssh"),
        ("FROM busybox\n", {"ssh": {"default": "/x"}}, "--ssh"),
        ("FROM busybox\n", {"contexts": {"a": LocalDir(path="/")}}, "--build-context"),
        ("FROM busybox\n", {"no_cache_stages": ("a",)}, "--no-cache-filter"),
    ],
)
def test_what_only_buildkit_can_do_is_refused_by_name(site: Site, text: str, more: dict[str, Any], name: str) -> None:
    with pytest.raises(BuildFailed, match="needs BuildKit") as caught:
        site.build(text, **more)
    assert name in caught.value.message
    assert "BUILDKIT_HOST" in (caught.value.hint or "")


def test_only_the_logins_that_a_build_needs_go_to_the_engine(
    site: Site, engine: Engine, registry_auth: Registry
) -> None:
    base = f"{registry_auth.name}/private/base:1"
    engine.build_base(base)
    auth = {"username": registry_auth.user, "password": registry_auth.password}
    assert "error" not in engine.api.push(base, auth_config=auth)
    engine.api.remove_image(base, force=True)
    asked: list[str] = []

    def credentials(host: str) -> tuple[str, str] | None:
        asked.append(host)
        return (registry_auth.user, registry_auth.password) if host == registry_auth.name else ("other", "secret")

    site.build(f"FROM {base}\n", credentials=credentials)
    engine.api.remove_image(base, force=True)
    assert asked == [registry_auth.name]


def test_a_canceled_build_ends_and_so_does_its_run(site: Site) -> None:
    cancel = Cancel()
    build = start_of(site, LONG_RUN, cancel=cancel)
    assert eventually(lambda: sleepers() > 0)
    cancel.set("enough")
    with pytest.raises(BuildCanceled, match="enough"):
        build.result(10)
    assert eventually(lambda: sleepers() == 0, 15)
    assert cancel._listeners == []


def test_a_deadline_ends_the_build(site: Site) -> None:
    with pytest.raises(BuildCanceled, match="longer than"):
        site.build(LONG_RUN, no_cache=True, deadline_s=1.5)
    assert eventually(lambda: sleepers() == 0, 15)


def test_an_engine_that_dies_in_the_middle_is_a_lost_build(
    fresh_engine: Callable[..., OwnEngine], tmp_path: Path
) -> None:
    engine = fresh_engine()
    folder = tmp_path / "site"
    folder.mkdir()
    site = Site(folder, builder_of(engine))  # type: ignore[arg-type]
    site.told = Told()
    build = start_of(site, LONG_RUN)
    engine.kill()
    with pytest.raises(BuildLost):
        build.result(30)


def test_a_context_that_cannot_be_read_is_told_in_our_words(site: Site) -> None:
    request = BuildRequest(
        context=TarStream(open=lambda: __import__("io").BytesIO(b"no archive at all" * 100)),
        dockerfile_dir=Text(content="FROM busybox\nCOPY . /\n"),
    )
    with pytest.raises(BuildFailed, match="no readable archive"):
        site.buildkit.build(request, cancel=Cancel(), progress=site.told)


def test_nothing_is_left_after_a_build(site: Site) -> None:
    before = set(threading.enumerate())
    site.build("FROM busybox\nCOPY Dockerfile /\n")
    with pytest.raises(BuildFailed):
        site.build("FROM busybox\nCOPY missing /\n")
    assert eventually(lambda: set(threading.enumerate()) <= before)


@pytest.mark.usefixtures("no_buildkit")
@pytest.mark.parametrize(
    ("options", "file", "expected", "unified_file", "unified"),
    [
        ("--memory 64m --memory-swap -1", "memory/memory.limit_in_bytes", "67108864", "memory.max", "67108864"),
        ("--cpu-quota 25000 --cpu-period 50000", "cpu/cpu.cfs_quota_us", "25000", "cpu.max", "25000 50000"),
        ("--cpu-period 50000", "cpu/cpu.cfs_period_us", "50000", "cpu.max", "max 50000"),
        ("--cpu-shares 512", "cpu/cpu.shares", "512", "cpu.weight", "20|59"),  # runc's older rule, and its newer one
        ("--cpuset-cpus 0", "cpuset/cpuset.cpus", "0", "cpuset.cpus", "0"),
        ("--cpuset-mems 0", "cpuset/cpuset.mems", "0", "cpuset.mems", "0"),
    ],
)
def test_limits_have_their_effect(
    run_task: RunTask, context: Path, options: str, file: str, expected: str, unified_file: str, unified: str
) -> None:
    """As a RUN step finds them, in the files of cgroup v1 or those of v2."""
    read = f"cd /sys/fs/cgroup; if test -d memory; then echo one $(cat {file}); else echo two $(cat {unified_file}); fi"
    (context / "Dockerfile").write_text(f"FROM busybox:1\nRUN {read}\n")
    done = run_task(f"steps:\n  - {{id: b, build: --no-cache {options} .}}\n", context=context)
    assert done.status == "Succeeded", done.record
    assert re.search(f"^#[0-9]+ (one ({expected})|two ({unified}))$", done.text("b"), re.MULTILINE), done.text("b")


@pytest.mark.usefixtures("no_buildkit")
@pytest.mark.parametrize(
    ("options", "text", "expected"),
    [
        ("--ulimit nofile=77:88", "RUN echo limit $(ulimit -n)", "limit 77\n"),
        ("--shm-size 8m", "RUN df -k /dev/shm | tail -1", " 8192 "),
        ("--add-host db:10.1.2.3", "RUN cat /etc/hosts", "10.1.2.3\tdb"),
        ("--network none", "RUN echo $(ls /sys/class/net) only", "lo only\n"),
        ("--target one", "RUN echo first\nFROM busybox:1\nRUN exit 1", "first\n"),
        ("--cgroup-parent /acr-task-test", "RUN cat /proc/self/cgroup", "/"),
    ],
)
def test_options_have_their_effect(run_task: RunTask, context: Path, options: str, text: str, expected: str) -> None:
    (context / "Dockerfile").write_text(f"FROM busybox:1 AS one\n{text}\n")
    done = run_task(f"steps:\n  - {{id: b, build: --no-cache {options} .}}\n", context=context)
    assert done.status == "Succeeded", done.record
    assert expected in done.text("b")
