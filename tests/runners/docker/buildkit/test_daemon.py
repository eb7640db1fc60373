"""Builds by a standalone buildkitd: a stand-in that speaks its protocol, with the BuildKit of a real engine behind it."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runners.docker.buildkit import BuildCanceled, BuildFailed, BuildKit, BuildRequest, LocalDir, buildkitd_dialer
from runners.docker.buildkit.daemon import Buildkitd as Address
from runners.docker.buildkit.daemon import find_buildkitd
from runners.docker.load import load_image
from taskengine.errors import InvalidInput, RunnerError, Unreachable
from taskengine.runner import Cancel
from tests.runners.docker.buildkit.test_cancel import LONG_RUN, eventually, sleepers
from tests.runners.docker.buildkit.test_dial import Proxy
from tests.runners.docker.conftest import NOTHING, RunTask
from tests.support.buildkitd import Buildkitd
from tests.support.certificates import Authority
from tests.support.engine import Engine, OwnEngine

from .conftest import Site, Told, api_of, start_of

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def buildkitd(engine: Engine, tmp_path: Path) -> Iterator[Callable[..., Buildkitd]]:
    made: list[Buildkitd] = []

    def make(*, path: str = "") -> Buildkitd:
        made.append(Buildkitd(api_of(engine), path=path))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM busybox\nCOPY big /\nRUN wc -c < /big > /size\n")
    (folder / "big").write_bytes(bytes(3 << 20))
    return folder


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_an_image_is_built_there_and_ends_up_on_the_engine_for_later_steps(
    kind: str,
    buildkitd: Callable[..., Buildkitd],
    fresh_engine: Callable[..., OwnEngine],
    run_task: RunTask,
    context: Path,
    tmp_path: Path,
) -> None:
    there = buildkitd(path=f"{tmp_path}/bk.sock" if kind == "unix" else "")
    other = fresh_engine()
    done = run_task(
        "steps:\n  - {id: b, build: -t there:1 -t there:2 .}\n  - {id: c, cmd: 'there:2 cat /size'}\n",
        context=context,
        on=other,
        environ={"BUILDKIT_HOST": there.address},
    )
    assert done.status == "Succeeded", done.record
    assert done.text("c").strip() == str(3 << 20)
    built = done.step("b").images
    assert {image.image_id for image in built} == {other.api.inspect_image("there:1")["Id"]}
    assert [order.Exporter for order in there.solved] == ["docker"]
    assert done.labels_left == NOTHING


def test_secrets_output_and_failures_are_as_on_the_engine(
    buildkitd: Callable[..., Buildkitd], fresh_engine: Callable[..., OwnEngine], run_task: RunTask, context: Path
) -> None:
    text = "FROM busybox\nRUN --mount=type=secret,id=s wc -c < /run/secrets/s\nRUN echo before && exit 9\n"
    (context / "Dockerfile").write_text(text)
    done = run_task(
        "steps:\n  - {id: b, build: --no-cache --secret id=s -t there:1 .}\n",
        context=context,
        on=fresh_engine(),
        environ={"BUILDKIT_HOST": buildkitd().address},
        grant={"build_secrets": {"s": b"12345"}},
    )
    failed = done.step("b")
    assert (done.status, failed.exit_code, failed.reason and failed.reason.value) == ("Failed", 9, "build failed")
    assert "5" in done.text("b")
    assert any("before" in line for line in failed.last_lines)


def test_tls_with_a_client_certificate_reaches_it(
    buildkitd: Callable[..., Buildkitd], engine: Engine, context: Path, tmp_path: Path
) -> None:
    authority = Authority("buildkit")
    server = authority.issue(tmp_path / "server", "server", address="127.0.0.1", for_server=True)
    client = authority.issue(tmp_path / "client", "client")
    trust = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(server / "ca.pem"))
    trust.load_cert_chain(server / "cert.pem", server / "key.pem")
    trust.verify_mode = ssl.CERT_REQUIRED
    trust.set_alpn_protocols(["h2"])
    path = f"{tmp_path}/bk.sock"
    buildkitd(path=path)
    proxy = Proxy(path, trust)
    found = find_buildkitd({"BUILDKIT_HOST": f"tcp://127.0.0.1:{proxy.port}", "ACR_TASK_BUILDKIT_TLS": str(client)})
    assert found is not None
    pieces: list[bytes] = []
    buildkit = BuildKit(buildkitd_dialer(found), load=pieces.extend)
    try:
        request = BuildRequest(context=LocalDir(path=str(context)), deadline_s=60)
        assert buildkit.build(request, cancel=Cancel(), progress=Told()).image_id
    finally:
        buildkit.close()
        proxy.close()
    assert sum(map(len, pieces)) > 3 << 20


@pytest.fixture
def site(engine: Engine, buildkitd: Callable[..., Buildkitd], tmp_path: Path) -> Iterator[Site]:
    found = find_buildkitd({"BUILDKIT_HOST": buildkitd().address})
    assert found is not None
    folder = tmp_path / "site"
    folder.mkdir()
    made = Site(folder, BuildKit(buildkitd_dialer(found), load=lambda archive: load_image(engine.api, archive)))
    yield made
    made.buildkit.close()


def test_a_canceled_build_ends_there_too(site: Site) -> None:
    cancel = Cancel()
    build = start_of(site, LONG_RUN, cancel=cancel)
    cancel.set("enough")
    with pytest.raises(BuildCanceled, match="enough"):
        build.result(10)
    assert eventually(lambda: sleepers() == 0)


def test_a_deadline_ends_the_build_there_too(site: Site) -> None:
    with pytest.raises(BuildCanceled, match="longer than"):
        site.build(LONG_RUN, no_cache=True, deadline_s=1.5)
    assert eventually(lambda: sleepers() == 0)


def test_an_image_that_the_engine_does_not_take_fails_the_build_in_its_own_words(
    buildkitd: Callable[..., Buildkitd], context: Path
) -> None:
    found = find_buildkitd({"BUILDKIT_HOST": buildkitd().address})
    assert found is not None

    def refuse(archive: Iterator[bytes]) -> None:
        next(archive)
        raise RunnerError("no room", hint="make some")

    buildkit = BuildKit(buildkitd_dialer(found), load=refuse)
    try:
        with pytest.raises(BuildFailed, match="no room") as caught:
            buildkit.build(
                BuildRequest(context=LocalDir(path=str(context)), deadline_s=60), cancel=Cancel(), progress=Told()
            )
    finally:
        buildkit.close()
    assert caught.value.hint == "make some"


def test_the_engine_says_what_is_wrong_with_an_archive(engine: Engine) -> None:
    with pytest.raises(RunnerError, match="does not take the image"):
        load_image(engine.api, iter([b"no archive" * 100]))  # type: ignore[arg-type]


def test_nothing_is_left_after_close(site: Site) -> None:
    site.build("FROM busybox\n")
    threads = set(threading.enumerate())
    before = {t for t in threads if t.name == "buildkit-session" and t.is_alive()}
    for _ in range(3):
        site.build("FROM busybox\nCOPY Dockerfile /\n")
    assert eventually(lambda: len({t for t in threading.enumerate() if t.name == "buildkit-session"}) <= len(before))


def test_one_that_is_not_there_is_unreachable_by_its_name() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        found = find_buildkitd({"BUILDKIT_HOST": address})
        assert found is not None
        buildkit = BuildKit(buildkitd_dialer(found), name=f"buildkitd at {address}")
        try:
            with pytest.raises(Unreachable, match=f"buildkitd at {address} cannot be asked"):
                buildkit.available()
        finally:
            buildkit.close()


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("", None),
        ("unix:///run/buildkit/buildkitd.sock", Address(address="", path="/run/buildkit/buildkitd.sock")),
        ("tcp://builder:2345", Address(address="", host="builder", port=2345)),
        ("tcp://[::1]", Address(address="", host="::1", port=1234)),
    ],
)
def test_addresses(address: str, expected: Address | None) -> None:
    found = find_buildkitd({"BUILDKIT_HOST": address})
    assert (found and (found.path, found.host, found.port)) == (
        expected and (expected.path, expected.host, expected.port)
    )


@pytest.mark.parametrize(
    "address", ["docker-container://buildkit", "kube-pod://x", "builder:1234", "tcp://", "tcp://a:b"]
)
def test_other_addresses_are_refused_with_a_hint(address: str) -> None:
    with pytest.raises(InvalidInput, match="BUILDKIT_HOST") as caught:
        find_buildkitd({"BUILDKIT_HOST": address})
    assert "tcp://HOST:PORT" in (caught.value.hint or "")
