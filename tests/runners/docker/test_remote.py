"""Build steps whose context is an address, on a real engine."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runners.docker.buildkit import BuildKit, BuildOutcome
from taskengine.runner import Cancel
from taskengine.runs.model import Reason
from tests.context.servers import Answer, Repository, Server
from tests.context.test_archive import entry, pack
from tests.runners.docker.conftest import NOTHING, RunTask


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path / "served")
    yield made
    made.close()


def test_a_step_builds_a_folder_of_a_repository(run_task: RunTask, server: Server, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "served" / "app")
    commit = repository.commit({
        "web/Dockerfile": "FROM busybox:1\nCOPY . /app\n", "web/f": "content\n",
        "web/ignored": "x", "web/.dockerignore": "ignored\n",
    })  # fmt: skip
    done = run_task(
        f"steps:\n  - {{id: b, build: '-t fetched:1 {server.url}/git/app/.git#main:web'}}\n"
        "  - {id: c, cmd: fetched:1 ls /app}\n"
    )
    assert done.status == "Succeeded", done.record
    assert done.text("c").split() == ["Dockerfile", "f"]
    assert f"fetched {commit}" in done.text("b")
    assert done.labels_left == NOTHING
    assert not list((tmp_path / "data" / "contexts").iterdir())


def test_a_step_builds_another_dockerfile_of_an_archive(run_task: RunTask, server: Server) -> None:
    data = pack(entry("docker/Prod", data=b"FROM busybox:1\nRUN echo prod > /kind\n"))
    server.answers["/app.tgz"] = Answer(body=gzip.compress(data))
    done = run_task(
        f"steps:\n  - {{id: b, build: -t fetched:2 -f docker/Prod {server.url}/app.tgz}}\n"
        "  - {id: c, cmd: fetched:2 cat /kind}\n"
    )
    assert done.status == "Succeeded", done.record
    assert done.text("c") == "prod\n"


def test_files_of_the_same_commit_travel_once(
    run_task: RunTask, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = []
    build = BuildKit.build

    def counted(*args: Any, **kwargs: Any) -> BuildOutcome:
        outcome = build(*args, **kwargs)
        sent.append(outcome.files_sent)
        return outcome

    monkeypatch.setattr(BuildKit, "build", counted)
    repository = Repository(tmp_path / "served" / "app")
    unlike_any_other = f"{tmp_path} {time.time_ns()}"
    repository.commit({"Dockerfile": "FROM busybox:1\nCOPY f /f\n", "f": unlike_any_other})
    login = server.url.replace("://", "://me:{}@")
    texts = [f"steps:\n  - build: -t once:1 {login.format(name)}/git/app/.git#main\n" for name in ("a", "b")]
    assert [run_task(text).status for text in texts] == ["Succeeded", "Succeeded"]
    assert sent[1] < sent[0]  # newer engines ask for the Dockerfile each time
    repository.commit({"f": unlike_any_other[::-1]})
    done = run_task(texts[0] + "  - {id: c, cmd: once:1 cat /f}\n")
    assert done.text("c") == unlike_any_other[::-1]


@pytest.mark.parametrize(
    ("build", "words"),
    [
        ("SERVER/nosuch.tgz", "there is nothing at"),
        ("file:///etc/app.git", "disk"),
        ("https://me:s3cret@example.com/app.zip", "only tar archives"),
        ("-f ../Dockerfile SERVER/app.tgz", "outside of the context"),
        ("-f link SERVER/app.tgz", "leads out of the context"),
    ],
)
def test_an_address_that_does_not_work_fails_its_step(
    run_task: RunTask, server: Server, build: str, words: str
) -> None:
    server.answers["/app.tgz"] = Answer(body=gzip.compress(pack(entry("Dockerfile", data=b"FROM scratch\n"))))
    if "link" in build:
        repository = Repository(server.root / "app")
        repository.commit(links={"link": "/etc/passwd"})
        build = build.replace("app.tgz", "git/app/.git")
    done = run_task(f"steps:\n  - {{id: b, build: '{build.replace('SERVER', server.url)}'}}\n")
    assert done.status == "Failed", done.record
    assert words in done.step("b").message
    assert "s3cret" not in f"{done.record}{done.text('b')}"


def test_a_fetch_ends_soon_after_the_run_is_stopped(run_task: RunTask, server: Server) -> None:
    done, cancel = threading.Event(), Cancel()
    stopped: list[float] = []

    def hang(_: object) -> None:
        stopped.append(time.monotonic())
        cancel.set()
        done.wait(30)

    server.answers["/git/app.git/info/refs"] = Answer(write=hang)
    outcome = run_task(f"steps:\n  - {{id: b, build: '{server.url}/git/app.git'}}\n", cancel=cancel)
    ended = time.monotonic()
    done.set()
    assert outcome.status == "Canceled"
    assert outcome.step("b").reason in {Reason.CANCELED, None}
    assert ended - stopped[0] < 10
