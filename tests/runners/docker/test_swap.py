"""What a build reads of a workspace while a step writes to it, or that strangers filled. No engine is asked."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from runners.docker.agents import Agents
from runners.docker.buildkit import BuildRequest, LocalDir
from runners.docker.buildkit.source import read_source
from runners.docker.buildkit.tree import Selection
from runners.docker.buildrequest import Requests
from runners.docker.failure import StepFailed
from runners.docker.scope import Scope
from runners.docker.workspace import ignore_lines
from taskengine.dockerfile.source import read_dockerfile
from taskengine.errors import InvalidInput
from taskengine.plan.model import Plan
from taskengine.runner import RunContext


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    for name, text in (("outside", "FROM host"), ("ws/real", "FROM own")):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "Dockerfile").write_text(text)
        (tmp_path / name / f"only-{text.split()[1]}").write_text(text)
    return tmp_path / "ws"


def requests(workspace: Path, context_dir: Path | None = None) -> Requests:
    scope = SimpleNamespace(workspace_folder=lambda: workspace)
    context = RunContext(run_id="r", context_dir=str(context_dir) if context_dir else None)
    return Requests(context, cast(Any, scope), cast(Any, None), agents=Agents({}, workspace))


def swap(workspace: Path) -> None:
    (workspace / "real").rename(workspace / "gone")
    (workspace / "real").symlink_to("../outside")


def test_a_folder_that_is_swapped_for_a_link_after_the_check_shows_nothing_of_the_host(workspace: Path) -> None:
    context = requests(workspace)._source("/workspace/real", "Dockerfile")
    swap(workspace)
    source = read_source(BuildRequest(context=context), lambda *_: None)
    tree = source.trees["context"]
    assert source.dockerfile == b"FROM own"
    assert [e.path for e in tree.walk(Selection())] == ["Dockerfile", "only-own"]
    assert list(tree.names("."))
    assert tree.open("Dockerfile").read() == b"FROM own"


def test_a_folder_that_is_swapped_below_a_context_shows_nothing_of_the_host(workspace: Path) -> None:
    context = requests(workspace)._source("/workspace", "")
    tree = read_source(BuildRequest(context=context, dockerfile="real/Dockerfile"), lambda *_: None).trees["context"]
    swap(workspace)
    (workspace / "../outside/link").symlink_to("target")
    with pytest.raises(InvalidInput):
        tree.open("real/only-host")
    assert tree.read_link("real/link") is None
    assert list(tree.names("real")) == []


def test_a_link_that_leads_out_of_the_workspace_is_no_context(workspace: Path) -> None:
    swap(workspace)
    with pytest.raises(StepFailed, match="leads out of the workspace"):
        requests(workspace)._source("/workspace/real", "")


def test_a_missing_folder_of_the_dockerfile_is_called_so(workspace: Path) -> None:
    line: Any = SimpleNamespace(dockerfile="nope/Dockerfile")
    step: Any = SimpleNamespace(working_directory="")
    with pytest.raises(StepFailed, match="the Dockerfile's folder /workspace/nope does not exist"):
        requests(workspace)._dockerfile(step, line, "/workspace/real", None)


@pytest.mark.parametrize("author", [True, False])
def test_a_secrets_file_is_an_ordinary_one_of_the_workspace(workspace: Path, author: bool) -> None:
    step: Any = SimpleNamespace(working_directory="", volume_mounts=())
    reader = requests(workspace, workspace if author else None)
    os.mkfifo(workspace / "pipe")
    (workspace / "zero").symlink_to("/dev/zero")
    (workspace / "host").symlink_to("../outside")
    (workspace / "large").write_bytes(bytes((1 << 20) + 1))
    for name, why in (("pipe", "ordinary"), ("zero", "leads out"), ("host/Dockerfile", "leads out"), ("large", "larg")):
        with pytest.raises(StepFailed, match=why):
            reader._read_file(step, name)
    assert reader._read_file(step, "real/Dockerfile") == b"FROM own"


def test_no_ignore_file_or_dockerfile_stops_us(workspace: Path) -> None:
    os.mkfifo(workspace / ".dockerignore")
    os.mkfifo(workspace / "Dockerfile")
    (workspace / "zero").symlink_to("/dev/zero")
    with pytest.raises(InvalidInput, match=r"\.dockerignore.*no ordinary file"):
        ignore_lines(workspace)
    for name in ("Dockerfile", "zero"):
        with pytest.raises(InvalidInput, match=name):
            read_dockerfile(workspace / name)
        with pytest.raises(Exception, match=name):
            read_source(BuildRequest(context=LocalDir(path=str(workspace)), dockerfile=name), lambda *_: None)


@pytest.mark.parametrize(
    ("is_local", "shared", "volume", "allowed"),
    [
        (True, "", "acr-task-r-workspace", True),
        (False, "", "acr-task-r-workspace", False),
        (True, "shared", "shared", False),
        (True, "", "other", False),
    ],
)
def test_the_workspaces_folder_is_believed_of_a_local_engine_and_the_runs_own_volume_only(
    tmp_path: Path, is_local: bool, shared: str, volume: str, allowed: bool
) -> None:
    folder = tmp_path / volume / "_data"
    folder.mkdir(parents=True)
    api: Any = SimpleNamespace(
        inspect_volume=lambda _: {"Mountpoint": str(folder)}, create_volume=lambda *_, **__: None
    )
    context = RunContext(run_id="r", shared_volume=shared)
    plan: Plan = cast(Any, SimpleNamespace(networks=(), volumes=()))
    scope = Scope(api, context, plan, architecture=lambda: "x86_64", is_local=is_local)
    assert scope.workspace_folder() == (folder if allowed else None)
