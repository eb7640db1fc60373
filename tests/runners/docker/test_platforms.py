"""Builds for other platforms and for several: images, the index that is pushed, and what cannot be built."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from runners.docker.buildkit import BuildFailed
from runners.docker.parts import Part, part_tag
from runners.docker.platforms import Indexes, explained, is_among, local_name, own_among, platforms_of
from taskengine.errors import InvalidInput
from taskengine.plan.buildline import parse_build
from taskengine.plan.option import LineError
from tests.runners.docker.conftest import RunTask, allow, forget, get, login, said
from tests.support.engine import Engine, OwnEngine

CROSS = """\
FROM --platform=$BUILDPLATFORM busybox:1 AS cross
ARG TARGETARCH
RUN echo made for $TARGETARCH > /word
FROM scratch
COPY --from=cross /word /word
"""
BOTH = "linux/amd64,linux/arm64"


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "ctx"
    folder.mkdir()
    (folder / "Dockerfile").write_text(CROSS)
    return folder


def foreign_program() -> bytes:
    """The head of an ELF program for aarch64, which no amd64 runs."""
    head = bytearray(64)
    head[0:7] = b"\x7fELF\x02\x01\x01"
    head[16], head[18], head[20] = 2, 183, 1
    return bytes(head)


# a list of platforms


def test_a_list_of_platforms_has_each_once_in_builders_spelling() -> None:
    assert platforms_of("linux/x86_64, linux/arm64/v8,linux/amd64,linux/arm") == (
        "linux/amd64", "linux/arm64", "linux/arm/v7",
    )  # fmt: skip
    assert platforms_of("") == ()


@pytest.mark.parametrize("text", ["linux/amd64,", "linux/amd64,,linux/arm64", "linux amd64", "nonsense"])
def test_what_is_no_platform_is_refused_in_the_build_line(text: str) -> None:
    with pytest.raises(InvalidInput):
        platforms_of(text)
    with pytest.raises(LineError, match="--platform"):
        parse_build(f'--platform "{text}" .')


def test_the_images_of_platforms_have_names_of_their_own_on_the_engine() -> None:
    assert local_name("reg.io/app:1", "linux/arm/v7") == "reg.io/app:1-linux-arm-v7"
    assert len(local_name("reg.io/app:" + "x" * 128, "linux/arm64").rpartition(":")[2]) <= 128


def test_a_part_travels_under_a_tag_that_is_nobodys() -> None:
    assert part_tag("1.0", "linux/arm64") == "1.0.acr-task.linux-arm64"
    assert len(part_tag("x" * 128, "linux/arm64")) <= 128


def test_later_steps_run_the_engines_own_platform() -> None:
    assert own_among(("linux/arm64", "linux/amd64"), ("linux/amd64", "linux/386")) == "linux/amd64"
    assert own_among(("linux/386", "linux/amd64"), ("linux/amd64", "linux/386")) == "linux/amd64"
    assert own_among(("linux/arm64", "linux/s390x"), ("linux/amd64",)) == "linux/arm64"
    assert is_among("linux/arm64", ("linux/arm64/v8",))


def test_a_name_that_is_built_again_for_one_platform_is_no_index_any_more() -> None:
    indexes = Indexes()
    parts = [Part(image_id="a", name="", platform="linux/amd64"), Part(image_id="b", name="", platform="linux/arm64")]
    indexes.set("app:1", parts)
    assert [part.name for part in indexes.of("docker.io/library/app:1")] == ["linux/amd64", "linux/arm64"]
    indexes.set("app:1", ())
    assert indexes.of("app:1") == ()


def test_a_program_of_another_platform_is_told_from_a_command_that_fails() -> None:
    failed = BuildFailed("[2/2] RUN x: exit code 1", vertex="[2/2] RUN x", exit_code=1, log=("exec format error",))
    foreign = explained(failed, "linux/arm64", ("linux/amd64",))
    assert foreign.message == "[2/2] RUN x: this engine cannot run linux/arm64"
    assert "--install arm64" in (foreign.hint or "")
    assert foreign.exit_code == 1
    own = explained(failed, "", ("linux/amd64",))
    assert "another platform than linux/amd64" in own.message
    plain = BuildFailed("[2/2] RUN x: exit code 1", log=("error",))
    assert explained(plain, "linux/arm64", ("linux/amd64",)) is plain
    missing = explained(BuildFailed("no match for platform in manifest"), "linux/arm64", ("linux/amd64",))
    assert "linux/arm64" in (missing.hint or "")


# on an engine


def test_an_image_for_another_platform_needs_no_emulation_where_nothing_of_it_runs(
    run_task: RunTask, engine: Engine, context: Path
) -> None:
    done = run_task("steps:\n  - {id: b, build: --platform linux/arm64 -t cross:1 .}\n", context=context)
    assert done.status == "Succeeded", done.record
    assert engine.api.inspect_image("cross:1")["Architecture"] == "arm64"


def test_several_platforms_are_pushed_as_one_index(run_task: RunTask, reachable: Engine, context: Path) -> None:
    name = f"{reachable.registry_shared}/many/app"
    text = (
        f"steps:\n  - {{id: b, build: '--platform {BOTH} -t {name}:1 -t {name}:2 .'}}\n"
        f"  - {{id: p, push: ['{name}:1', '{name}:2']}}\n"
    )
    done = run_task(text, context=context)
    assert done.status == "Succeeded", done.record
    index = get(reachable.registry_url, "many/app/manifests/1")
    assert index["mediaType"] == "application/vnd.oci.image.index.v1+json"
    platforms = {f"{m['platform']['os']}/{m['platform']['architecture']}": m["digest"] for m in index["manifests"]}
    assert set(platforms) == {"linux/amd64", "linux/arm64"}
    for platform, digest in platforms.items():
        manifest = get(reachable.registry_url, f"many/app/manifests/{digest}")
        config = get(reachable.registry_url, f"many/app/blobs/{manifest['config']['digest']}")
        assert f"linux/{config['architecture']}" == platform
    pushed = done.step("p").images
    assert len({image.digest for image in pushed}) == 1
    assert pushed[0].reference == f"{name}:1"
    assert get(reachable.registry_url, f"many/app/manifests/{pushed[0].digest}") == index
    # on the engine each has a name, and the plain one is the engine's own
    assert reachable.api.inspect_image(f"{name}:1")["Architecture"] == "amd64"
    assert reachable.api.inspect_image(f"{name}:1-linux-arm64")["Architecture"] == "arm64"
    assert not [tag for tag in reachable.images() if ".acr-task." in tag]

    again = run_task(text, context=context)
    assert "already there: " in again.text("p")
    assert again.step("b").note.startswith("nothing changed: ")


def test_the_engine_pulls_its_own_image_out_of_the_index(
    run_task: RunTask, fresh_engine: Callable[..., OwnEngine], context: Path, tmp_path: Path
) -> None:
    engine = fresh_engine(registry=True)
    allow(tmp_path, engine.registry_shared)
    name = f"{engine.registry_shared}/pull/app"
    (context / "Dockerfile").write_text(CROSS.replace("FROM scratch", "FROM --platform=linux/amd64 busybox:1"))
    done = run_task(
        f"steps:\n  - {{id: b, build: '--platform {BOTH} -t {name}:1 .'}}\n  - {{id: p, push: ['{name}:1']}}\n",
        context=context, on=engine,
    )  # fmt: skip
    assert done.status == "Succeeded", done.record
    for tag in ("1", "1-linux-amd64", "1-linux-arm64"):
        engine.api.remove_image(f"{name}:{tag}", force=True)
    after = run_task(f"steps:\n  - {{id: c, cmd: '{name}:1 cat /word'}}\n", on=engine)
    assert after.text("c") == "made for amd64\n", after.record


def test_an_index_of_a_private_registry_is_written_with_the_users_login(
    run_task: RunTask, fresh_engine: Callable[..., OwnEngine], context: Path, tmp_path: Path
) -> None:
    from tests.support.registry import Login

    engine = fresh_engine(registry=True)
    private = engine.add_registry(login=Login(user="keeper", password="a secret:word"))
    allow(tmp_path, private.shared_name)
    name = f"{private.shared_name}/many/app"
    text = f"steps:\n  - {{id: b, build: '--platform {BOTH} -t {name}:1 .'}}\n  - {{id: p, push: ['{name}:1']}}\n"
    refused = run_task(text, context=context, on=engine)
    assert refused.status == "Failed"
    assert refused.step("p").reason is not None
    login(engine, private)
    assert run_task(text, context=context, on=engine).status == "Succeeded"


def test_caches_serve_all_platforms_of_a_build(
    run_task: RunTask, fresh_engine: Callable[..., OwnEngine], context: Path, tmp_path: Path
) -> None:
    engine = fresh_engine(registry=True)
    allow(tmp_path, engine.registry_shared)
    name = f"{engine.registry_shared}/both/app"
    text = f"steps:\n  - {{id: b, build: '--platform {BOTH} -t {name}:1 .', cache: enabled}}\n"
    first = run_task(text, context=context, on=engine)
    assert said(first, "warning") == []
    entries = get(engine.registry_url, "both/app/manifests/cache_quickrun_b")["manifests"]
    assert len(entries) == 4
    forget(engine)
    again = run_task(text, context=context, on=engine)
    assert again.step("b").note == "nothing changed: 4 of 4 steps cached"


def test_what_the_engine_cannot_run_is_named_with_the_ways_out(
    run_task: RunTask, engine: Engine, context: Path
) -> None:
    (context / "sh").write_bytes(foreign_program())
    (context / "sh").chmod(0o755)
    (context / "Dockerfile").write_text('FROM scratch\nCOPY sh /bin/sh\nRUN ["/bin/sh"]\n')
    done = run_task("steps:\n  - {id: b, build: --platform linux/arm64 -t never:1 .}\n", context=context)
    failed = done.step("b")
    assert done.status == "Failed"
    assert "this engine cannot run linux/arm64" in failed.message
    assert "$BUILDPLATFORM" in failed.hint


def test_quick_builds_take_several_platforms_too(engine: Engine, context: Path, tmp_path: Path) -> None:
    import subprocess
    import sys

    data = tmp_path / "data"
    allow(tmp_path, engine.registry_shared)
    name = f"{engine.registry_shared}/quick/app:1"
    command = [sys.executable, "-m", "taskengine.cli", "build", "--platform", BOTH, "-t", name, "-o", "json", "."]
    done = subprocess.run(
        command, cwd=context, env={**engine.env, "ACR_TASK_DATA": str(data)}, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(get(engine.registry_url, "quick/app/manifests/1")["manifests"]) == 2
    assert json.loads(done.stdout)["digest"].startswith("sha256:")
