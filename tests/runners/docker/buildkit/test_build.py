"""Builds on a real engine: what goes in, what comes out, and what is told meanwhile."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runners.docker.buildkit import (
    BuildFailed,
    BuildKit,
    BuildRequest,
    Empty,
    LocalDir,
    ResolvedImage,
    TarStream,
    Text,
    VertexStatus,
    VertexUpdate,
)
from taskengine.errors import InvalidInput
from taskengine.runner import Cancel
from tests.support.engine import Engine
from tests.support.registry import Registry

from .conftest import Site, lay_out_ssh_add, work_of


def test_the_engine_offers_buildkit_and_says_for_what_it_builds(site: Site) -> None:
    assert site.buildkit.available()
    assert site.buildkit.platforms[0].startswith("linux/")


def test_an_image_is_built_and_gets_all_its_names_and_labels(site: Site, engine: Engine) -> None:
    site.write("hello.txt", "hi")
    dockerfile = "FROM busybox\nCOPY hello.txt /\nRUN cat /hello.txt; echo oops >&2\n"
    outcome = site.build(dockerfile, tags=("bk-simple:1", "bk-simple:2"), labels={"team": "a=b"}, no_cache=True)
    image = engine.api.inspect_image("bk-simple:2")
    assert image["Id"] == outcome.image_id == engine.api.inspect_image("bk-simple:1")["Id"]
    assert image["Config"]["Labels"] == {"team": "a=b"}
    assert (site.told.output(1), site.told.output(2)) == ("hi", "oops\n")
    assert outcome.resolved == (ResolvedImage(reference="docker.io/library/busybox:latest"),)
    names = {v.name for v in work_of(outcome)}
    assert {"[2/3] COPY hello.txt /", "[3/3] RUN cat /hello.txt; echo oops >&2"} < names


def test_an_image_without_a_name_is_known_by_its_id(site: Site, engine: Engine) -> None:
    outcome = site.build("FROM scratch\nCOPY Dockerfile /without-a-name\n")
    assert not engine.api.inspect_image(outcome.image_id)["RepoTags"]
    engine.api.remove_image(outcome.image_id)


def test_a_second_build_is_cached_and_sends_no_file_of_the_context(site: Site) -> None:
    site.write("a", "1")
    dockerfile = "FROM busybox\nCOPY . /app\nRUN true # again\n"
    first = site.build(dockerfile)
    again = site.build()
    assert again.image_id == first.image_id
    assert all(v.cached for v in work_of(again) if v.inputs)
    assert again.bytes_sent in (0, len(dockerfile))  # Docker 26 always fetches the Dockerfile anew


def test_only_the_changed_file_travels(site: Site) -> None:
    for name in "abc":
        site.write(f"src/{name}", name * 10)
    site.build("FROM busybox\nCOPY src /src\n")
    site.write("src/b", "changed, and longer")
    outcome = site.build("FROM busybox\nCOPY src /src\nRUN cat /src/b\n")
    assert outcome.bytes_sent == len("changed, and longer") + (site.folder / "Dockerfile").stat().st_size
    assert "changed, and longer" in site.told.output()


def test_a_file_of_many_megabytes_arrives_whole(site: Site) -> None:
    content = os.urandom(1 << 20) * 12
    site.write("big", content)
    site.build("FROM busybox\nCOPY big /\nRUN wc -c /big && md5sum < /big\n", no_cache=True)
    assert f"{len(content)} /big" in site.told.output()
    assert hashlib.md5(content, usedforsecurity=False).hexdigest() in site.told.output()
    assert any(isinstance(i, VertexStatus) and i.current > 0 for i in site.told.items)


def test_modes_links_and_empty_folders_arrive_as_they_are(site: Site) -> None:
    site.write("tool", "x").chmod(0o4751)
    (site.folder / "empty").mkdir(mode=0o700)
    (site.folder / "link").symlink_to("tool")
    (site.folder / os.fsdecode("ünï".encode())).write_text("x")
    site.build("FROM busybox\nCOPY . /c\nRUN cd /c && stat -c '%n %a %U %N' empty link tool *n*\n", no_cache=True)
    lines = site.told.output().splitlines()
    assert lines[0].startswith("empty 700 root")
    assert "link' -> 'tool'" in lines[1]
    assert lines[2].startswith("tool 4751 root")
    assert any(line.startswith("ünï 644") for line in lines)


def test_a_dockerfile_of_the_same_length_is_another_dockerfile(site: Site) -> None:
    site.build("FROM busybox\nRUN echo one\n", no_cache=True)
    site.build("FROM busybox\nRUN echo two\n", no_cache=True)
    assert site.told.output() == "two\n"


def overlap(vertexes: list[VertexUpdate]) -> bool:
    """Whether there was a moment at which all of them ran."""
    times = [(v.started, v.completed) for v in vertexes]
    return max(t[0] for t in times if t[0]) < min(t[1] for t in times if t[1])


def test_independent_stages_run_at_the_same_time(site: Site) -> None:
    dockerfile = "FROM busybox AS a\nRUN sleep 1.5; touch /a\nFROM busybox AS b\nRUN sleep 1.6; touch /b\n"
    dockerfile += "FROM scratch\nCOPY --from=a /a /\nCOPY --from=b /b /\n"
    outcome = site.build(dockerfile, no_cache=True)
    sleeps = [v for v in outcome.vertexes if "RUN sleep" in v.name]
    assert len(sleeps) == 2
    assert overlap(sleeps)


def test_arguments_and_the_target_reach_the_build(site: Site) -> None:
    dockerfile = "FROM busybox AS one\nARG WHO=nobody\nRUN echo hello $WHO\nFROM one\nRUN echo not me\n"
    site.build(dockerfile, build_args={"WHO": "you, =all"}, target="one", no_cache=True)
    assert site.told.output() == "hello you, =all\n"


def test_the_network_hosts_and_platform_are_heeded(site: Site) -> None:
    dockerfile = "FROM busybox\nRUN grep db /etc/hosts; ls /sys/class/net | tr '\\n' ' '\n"
    site.build(
        dockerfile, network="none", add_hosts=("db:10.1.2.3",), platform=site.buildkit.platforms[0], no_cache=True
    )
    assert "10.1.2.3\tdb" in site.told.output()
    assert "eth0" not in site.told.output()
    site.build(dockerfile, network="host", no_cache=True)
    assert "lo" in site.told.output()


def test_a_secret_can_be_read_and_leaves_no_trace(site: Site, engine: Engine) -> None:
    dockerfile = "FROM busybox\nRUN --mount=type=secret,id=token wc -c < /run/secrets/token\n"
    outcome = site.build(dockerfile, secrets={"token": b"hunter2\0\xff"}, tags=("bk-secret:1",), no_cache=True)
    assert site.told.output() == "9\n"
    assert "hunter2" not in str(outcome) + str(site.told.items) + str(engine.api.history("bk-secret:1"))


def test_a_secret_that_is_required_and_missing_fails_the_build(site: Site) -> None:
    with pytest.raises(BuildFailed, match="token"):
        site.build("FROM busybox\nRUN --mount=type=secret,id=token,required true\n", no_cache=True)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[str]:
    """An ssh agent with one key, whose comment is `build-key`."""
    sock, key = str(tmp_path / "agent"), str(tmp_path / "key")
    env = {**os.environ, "SSH_AUTH_SOCK": sock}
    process = subprocess.Popen(["ssh-agent", "-D", "-a", sock], stdout=subprocess.DEVNULL)
    try:
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "build-key", "-f", key], check=True)
        ready = threading.Event()
        for _ in range(200):
            if Path(sock).exists():
                break
            ready.wait(0.02)
        subprocess.run(["ssh-add", "-q", key], check=True, env=env, capture_output=True)
        yield sock
    finally:
        process.terminate()
        process.wait(10)


def test_an_ssh_agent_is_forwarded(site: Site, agent: str) -> None:
    lay_out_ssh_add(site.folder)
    dockerfile = "FROM busybox\nCOPY ssh /\nRUN --mount=type=ssh,id={} /usr/bin/ssh-add -l\n"
    site.build(dockerfile.format("default"), ssh={"default": agent}, no_cache=True)
    assert "build-key" in site.told.output()
    with pytest.raises(BuildFailed):
        site.build(dockerfile.format("other"), ssh={"default": agent}, no_cache=True)


def test_a_failing_command_tells_its_code_its_line_and_its_last_words(site: Site) -> None:
    # on one stream: between two there is no order
    dockerfile = "FROM busybox\n\nRUN seq 100 >&2; \\\n  echo last words >&2; exit 42\n"
    with pytest.raises(BuildFailed) as caught:
        site.build(dockerfile, no_cache=True)
    failure = caught.value
    assert (failure.exit_code, failure.line) == (42, 3)
    assert failure.message.endswith("exit code 42")
    assert "last words" in failure.log
    assert len(failure.log) == 20
    assert failure.vertex.startswith("[2/2] RUN seq 100")


@pytest.mark.parametrize(
    ("dockerfile", "message", "line"),
    [
        ("FROM busybox\nFROBNICATE x\n", "FROBNICATE", 2),
        ("FROM busybox\nCOPY missing /x\n", "missing", 2),
        ("FROM busybox AS a\nCOPY --from=b /x /\n", "b", None),
    ],
)
def test_a_wrong_dockerfile_is_told_with_its_line(site: Site, dockerfile: str, message: str, line: int | None) -> None:
    with pytest.raises(BuildFailed) as caught:
        site.build(dockerfile)
    assert message in caught.value.message
    assert caught.value.exit_code is None
    if line is not None:
        assert caught.value.line == line


def test_an_unknown_target_is_told(site: Site) -> None:
    with pytest.raises(BuildFailed, match="nowhere"):
        site.build("FROM busybox\n", target="nowhere")


def test_a_dockerfile_without_from_never_reaches_the_engine(site: Site, engine: Engine) -> None:
    with pytest.raises(BuildFailed, match="no FROM"):
        site.build("ARG a=1\n")
    assert engine.api.ping()


def test_a_callers_own_check_replaces_ours(site: Site) -> None:
    def guard(dockerfile: bytes, _: BuildRequest) -> None:
        raise InvalidInput(f"{len(dockerfile)} bytes")

    site.buildkit = BuildKit(lambda *_: pytest.fail("dialled"), guard=guard)
    with pytest.raises(InvalidInput, match="13 bytes"):
        site.build("FROM busybox\n")


def test_ignored_files_stay_at_home_but_the_dockerfile_is_found(site: Site) -> None:
    for name in ("keep", "drop", "logs/a", "logs/keep"):
        site.write(name, "x")
    site.write(".dockerignore", "drop\nlogs\n!logs/keep\nDockerfile\n.dockerignore\n")
    site.build("FROM busybox\nCOPY . /c\nRUN cd /c && find . -type f | sort\n", no_cache=True)
    assert site.told.output().split() == ["./keep", "./logs/keep"]


@pytest.mark.parametrize(
    ("excludes", "left"),
    [
        (None, ["a", "c"]),
        (("c", "*Docker*", ".docker*"), ["a", "b"]),
        (("*Docker*", ".docker*"), ["a", "b", "c"]),
    ],
)
def test_given_patterns_go_before_the_dockerfiles_ignore_file_and_that_before_the_contexts(
    site: Site, excludes: tuple[str, ...] | None, left: list[str]
) -> None:
    for name in ("a", "b", "c"):
        site.write(name, "x")
    site.write(".dockerignore", "a\n")
    site.write("app.Dockerfile.dockerignore", "b\n*Dockerfile*\n.dockerignore\n")
    site.write("app.Dockerfile", "FROM busybox\nCOPY . /c\nRUN ls /c\n")
    site.build(context=LocalDir(path=str(site.folder), excludes=excludes), file="app.Dockerfile", no_cache=True)
    assert site.told.output().split() == left


def test_an_archive_is_a_context_too(site: Site) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "as of git"}) as tar:
        for name, text in (("Dockerfile", "FROM busybox\nCOPY sub/a /\nRUN cat /a\n"), ("sub/a", "from the archive\n")):
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    site.build(context=TarStream(open=lambda: io.BytesIO(buffer.getvalue())), no_cache=True)
    assert site.told.output() == "from the archive\n"


def test_a_dockerfile_may_be_text_and_the_context_nothing(site: Site) -> None:
    site.build(context=Empty(), dockerfile_dir=Text(content="FROM busybox\nRUN echo from text\n"), no_cache=True)
    assert site.told.output() == "from text\n"
    with pytest.raises(BuildFailed):
        site.build(context=Empty(), dockerfile_dir=Text(content="FROM busybox\nCOPY a /\n"))


def test_an_unreadable_file_is_named_in_our_own_words(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.write("private", "x")
    real = os.open

    def refuse(path: object, *args: object, **options: object) -> int:
        if path == "private":
            raise PermissionError(13, "Permission denied")
        return real(path, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(BuildFailed, match="cannot read 'private' of the build context: permission denied") as caught:
        site.build("FROM busybox\nCOPY . /c\n")
    assert caught.value.hint


def test_a_private_base_image_is_pulled_with_the_given_login(
    site: Site, engine: Engine, registry_auth: Registry
) -> None:
    name = f"{registry_auth.name}/bk/base"
    engine.api.tag("busybox:latest", name, tag="1")
    login = {"username": registry_auth.user, "password": registry_auth.password}
    engine.api.push(name, tag="1", auth_config=login)
    engine.api.remove_image(f"{name}:1")
    asked: list[str] = []

    def credentials(host: str) -> tuple[str, str]:
        asked.append(host)
        return registry_auth.user, registry_auth.password

    with pytest.raises(BuildFailed) as caught:
        site.build(f"FROM {name}:1\nRUN true\n")
    outcome = site.build(f"FROM {name}:1\nRUN true\n", credentials=credentials)
    assert caught.value.exit_code is None
    assert set(asked) == {registry_auth.name}
    assert outcome.resolved[0].reference == f"{name}:1"
    assert outcome.resolved[0].digest.startswith("sha256:")


def test_builds_share_a_connection_and_run_at_the_same_time(site: Site) -> None:
    site.write("Dockerfile", "FROM busybox\nARG N\nRUN sleep 2; echo done $N\n")
    with ThreadPoolExecutor(4) as pool:
        builds = [pool.submit(site.build, build_args={"N": str(n)}, no_cache=True) for n in range(4)]
        outcomes = [build.result(90) for build in builds]
    assert len({o.image_id for o in outcomes}) == 4
    assert overlap([v for o in outcomes for v in o.vertexes if "RUN sleep" in v.name])
    assert sorted(site.told.output().splitlines()) == ["done 0", "done 1", "done 2", "done 3"]


def test_an_error_in_the_progress_function_stops_the_build_and_is_raised(site: Site) -> None:
    def fail(_: object) -> None:
        raise ZeroDivisionError

    site.write("Dockerfile", "FROM busybox\nRUN sleep 60\n")
    request = BuildRequest(context=LocalDir(path=str(site.folder)), no_cache=True, deadline_s=30)
    with pytest.raises(ZeroDivisionError):
        site.buildkit.build(request, cancel=Cancel(), progress=fail)


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys, runners.docker.buildkit; sys.exit(bool({'h2', 'google.protobuf', 'docker'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
