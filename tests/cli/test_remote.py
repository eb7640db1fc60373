"""Contexts that are fetched for a command: from repositories and archives, gone when it ends."""

from __future__ import annotations

import gzip
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runners.noop.runner import Script
from taskengine.context.keep import sweep_contexts
from tests.cli.conftest import Outcome, Wiring
from tests.context.servers import Answer, Repository, Server
from tests.context.test_archive import entry, pack

Cli = Callable[..., Outcome]
TASK = "version: v1.1.0\nsteps:\n  - id: a\n    cmd: busybox echo {{.Run.Commit}} {{.Run.Branch}} {{.Run.GitTag}}\n"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path / "served")
    yield made
    made.close()


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "served" / "app")
    made.commit({"acb.yaml": TASK, "Dockerfile": "FROM alpine:3\n", "sub/acb.yaml": TASK, "sub/task.yaml": TASK})
    return made


def left(tmp_path: Path) -> list[str]:
    return [path.name for part in ("contexts", "runs") for path in (tmp_path / "data" / part).glob("*")]


def echoed(wiring: Wiring) -> str:
    plan = wiring.runners[-1]._plan
    assert plan is not None
    return next(iter(plan.values())).text


@pytest.mark.parametrize(
    "words", [("{}#main",), ("-f", "acb.yaml", "{}"), ("task.yaml", "{}#main:sub"), ("-f", "sub/task.yaml", "{}")]
)
def test_a_task_of_a_repository_runs_with_its_commit_and_branch(
    cli: Cli, wiring: Wiring, repository: Repository, tmp_path: Path, words: tuple[str, ...]
) -> None:
    outcome = cli("run", *(word.format(repository.url) for word in words))
    assert outcome.code == 0, outcome.err
    assert echoed(wiring).split()[-2:] == [repository.git("rev-parse", "HEAD"), "main"]
    assert Path(wiring.contexts[-1].context_dir).is_relative_to(tmp_path / "data" / "contexts")
    assert wiring.contexts[-1].context_identity.endswith(f"@{repository.git('rev-parse', 'HEAD')}")
    assert left(tmp_path) == []


def test_what_the_user_says_goes_before_what_is_found(cli: Cli, wiring: Wiring, repository: Repository) -> None:
    assert cli("run", "--commit", "mine", f"{repository.url}#main").code == 0
    assert echoed(wiring).split()[-2:] == ["mine", "main"]


def test_a_tag_is_known_as_such(cli: Cli, wiring: Wiring, repository: Repository) -> None:
    repository.git("tag", "v1")
    assert cli("run", f"{repository.url}#v1").code == 0
    assert echoed(wiring).split()[-1] == "v1"


def test_a_failed_command_leaves_nothing_either(cli: Cli, repository: Repository, tmp_path: Path) -> None:
    repository.commit({"acb.yaml": "steps: 3\n"})
    assert cli("run", repository.url).code == 2
    assert cli("run", f"{repository.url}#nosuch").code == 2
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("words", "place"),
    [
        (("{}",), "{}/acb.yaml:1:8: error: "),
        (("{}#main",), "{}#main:acb.yaml:1:8: error: "),
        (("-f", "sub/acb.yaml", "{}#main"), "{}#main:sub/acb.yaml:1:8: error: "),
        (("{}#main:sub",), "{}#main:sub/acb.yaml:1:8: error: "),
        (("-f", "none.yaml", "{}#:sub"), "{}#:sub/none.yaml: no such file"),
    ],
)
def test_problems_of_a_fetched_file_name_what_the_user_typed(
    cli: Cli, repository: Repository, tmp_path: Path, words: tuple[str, ...], place: str
) -> None:
    repository.commit({"acb.yaml": "steps: 3\n", "sub/acb.yaml": "steps: 3\n"})
    outcome = cli("run", *(word.format(repository.url) for word in words))
    assert outcome.code == 2
    assert place.format(repository.url) in outcome.err
    assert "contexts" not in outcome.err


def test_problems_of_a_fetched_dockerfile_name_what_the_user_typed(cli: Cli, repository: Repository) -> None:
    repository.commit({"Dockerfile": "ARG a\n"})
    outcome = cli("scan", f"{repository.url}#main")
    assert outcome.code == 2
    assert f"{repository.url}#main:Dockerfile:1:" in outcome.err
    outcome = cli("scan", "-f", "Nope", f"{repository.url}#main")
    assert f"there is no Dockerfile {repository.url}#main:Nope" in outcome.err
    assert "contexts" not in outcome.err


def test_a_fetched_task_reads_aliases_of_its_own_tree_and_not_of_the_users_folder(
    cli: Cli, wiring: Wiring, repository: Repository, tmp_path: Path
) -> None:
    Path("aliases.yaml").write_text("word: of-the-user\n")
    Path("private.yaml").write_text("word: of-the-user\n")
    task = "version: v1.1.0\nalias:\n  src: [{}]\nsteps:\n  - id: a\n    cmd: busybox echo $word\n"
    repository.commit(
        {
            "aliases.yaml": "word: of-the-repository\n",
            "sub/beside.yaml": "word: beside-it\n",
            "acb.yaml": task.format("aliases.yaml"),
            "sub/acb.yaml": task.format("beside.yaml"),
            "thief.yaml": task.format("private.yaml"),
        }
    )
    assert cli("run", repository.url).code == 0
    assert echoed(wiring).endswith("of-the-repository")
    assert cli("run", "-f", "sub/acb.yaml", repository.url).code == 0
    assert echoed(wiring).endswith("beside-it")
    outcome = cli("run", "-f", "thief.yaml", repository.url)
    assert outcome.code == 2
    assert "private.yaml" in outcome.err
    assert "of-the-user" not in outcome.err


def test_an_image_is_built_of_a_repository(cli: Cli, wiring: Wiring, repository: Repository, tmp_path: Path) -> None:
    outcome = cli("build", "-t", "app:{{.Run.Commit}}", "--no-push", repository.url)
    assert outcome.code == 0, outcome.err
    assert repository.git("rev-parse", "HEAD") in echoed(wiring)
    assert left(tmp_path) == []


def test_an_image_of_a_repository_is_labelled_with_its_commit_and_the_commits_time(
    cli: Cli, wiring: Wiring, repository: Repository
) -> None:
    outcome = cli("build", "-t", "app:1", "--no-push", "-o", "json", repository.url)
    commit = repository.git("rev-parse", "HEAD")
    assert wiring.contexts[-1].image_labels == {
        "org.opencontainers.image.revision": commit,
        "org.opencontainers.image.created": "2024-01-01T00:00:00Z",
    }
    assert json.loads(outcome.out)["git"]["commit"] == commit


def test_an_image_may_be_built_for_several_platforms(cli: Cli, wiring: Wiring, repository: Repository) -> None:
    assert cli("build", "--no-push", "--platform", "linux/amd64,linux/arm64", repository.url).code == 0
    [step] = wiring.runners[-1]._plan.values()  # type: ignore[union-attr]
    assert step.build is not None
    assert step.build.last("platform") == "linux/amd64,linux/arm64"
    assert "," not in wiring.contexts[-1].platform
    outcome = cli("build", "--no-push", "--platform", "linux/amd64,arm", repository.url)
    assert (outcome.code, "'arm' is no platform" in outcome.err) == (2, True)


def test_an_image_is_not_labelled_where_nobody_wants_it(cli: Cli, wiring: Wiring, repository: Repository) -> None:
    assert cli("build", "--no-push", "--no-oci-labels", repository.url).code == 0
    assert wiring.contexts[-1].image_labels is None
    assert cli("build", "--no-push", "--label", "a={{b}} c", repository.url).code == 0
    [step] = wiring.runners[-1]._plan.values()  # type: ignore[union-attr]
    assert step.build is not None
    assert step.build.all("label") == ("a={{b}} c",)


def test_a_missing_dockerfile_is_told_without_the_login(cli: Cli, server: Server) -> None:
    server.answers["/app.tgz"] = Answer(body=gzip.compress(pack(entry("dockerfile"))))
    outcome = cli("build", "--no-push", f"http://me:s3cret@{server.host}/app.tgz")
    assert outcome.code == 2
    assert f"there is no Dockerfile in http://{server.host}/app.tgz" in outcome.err
    assert "s3cret" not in outcome.err


def test_a_dockerfile_of_an_archive_is_scanned(cli: Cli, server: Server, tmp_path: Path) -> None:
    server.answers["/app.tgz"] = Answer(body=gzip.compress(pack(entry("app/Dockerfile", data=b"FROM alpine:3\n"))))
    outcome = cli("scan", "-o", "json", f"{server.url}/app.tgz#:app")
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["runtime"]["repository"] == "library/alpine"
    assert left(tmp_path) == []


def test_a_context_comes_from_standard_input(cli: Cli, wiring: Wiring) -> None:
    data = gzip.compress(pack(entry("Dockerfile", data=b"FROM scratch\n")))
    assert cli("build", "--no-push", "-", stdin=data).code == 0
    assert cli("build", "--no-push", "-", stdin="FROM scratch\n").code == 0
    assert cli("build", "--no-push", "-f", "-", "-", stdin="FROM scratch\n").code == 2


@pytest.mark.parametrize("command", [("run",), ("scan",)])
def test_a_link_of_a_stranger_shows_no_file_of_this_machine(
    cli: Cli, repository: Repository, tmp_path: Path, command: tuple[str, ...]
) -> None:
    (tmp_path / "secret").write_text("the secret")
    for name in ("acb.yaml", "Dockerfile"):
        (repository.folder / name).unlink()
        (repository.folder / name).symlink_to(tmp_path / "secret")
    repository.commit()
    outcome = cli(*command, repository.url)
    assert outcome.code == 2
    assert "leads out of the context" in outcome.err
    assert "the secret" not in outcome.out + outcome.err


def test_a_login_in_a_build_step_is_masked(cli: Cli, wiring: Wiring) -> None:
    Path("task.yaml").write_text("steps:\n  - id: a\n    build: https://me:s3cret-word@example.com/r.git\n")
    wiring.behaviour["a"] = Script(stdout=b"cloning with s3cret-word\n")
    outcome = cli("run", "task.yaml", "-o", "json")
    assert outcome.code == 0
    assert "s3cret-word" not in outcome.out + outcome.err


def test_a_token_of_the_environment_opens_a_private_repository(
    cli: Cli, wiring: Wiring, server: Server, repository: Repository
) -> None:
    server.login = ("x-access-token", "tok")
    wiring.environ["ACR_TASK_GIT_TOKENS"] = f"{server.host}=tok"
    assert cli("run", f"{server.url}/git/app/.git").code == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_fetch_that_is_ended_leaves_nothing(tmp_path: Path, server: Server, number: signal.Signals) -> None:
    begun, done = threading.Event(), threading.Event()
    server.answers["/git/app.git/info/refs"] = Answer(write=lambda _: (begun.set(), done.wait(20)))
    process = subprocess.Popen(
        [sys.executable, "-m", "taskengine.cli", "scan", f"{server.url}/git/app.git"],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "ACR_TASK_DATA": str(tmp_path / "data")},
        cwd=tmp_path,
    )
    assert begun.wait(20)
    process.send_signal(number)
    began = time.monotonic()
    code = process.wait(10)
    done.set()
    assert time.monotonic() - began < 5
    if number == signal.SIGKILL:
        assert left(tmp_path) != []
        sweep_contexts(tmp_path / "data" / "contexts", tmp_path / "data" / "runs")
    else:
        assert code == 130
    assert left(tmp_path) == []
