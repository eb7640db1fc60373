"""What is told of a folder that is in a git repository, and that nothing of the repository's own is run for it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from taskengine.context.worktree import Worktree, worktree_of

Git = Callable[..., str]
ENVIRON = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    (folder / "sub").mkdir(parents=True)
    (folder / "file").write_text("content\n")
    (folder / "sub" / "file").write_text("content\n")
    return folder


@pytest.fixture
def git(repository: Path) -> Git:
    def run(*args: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
        return subprocess.run(
            ["git", *identity, *args], cwd=repository, env=ENVIRON, check=True, capture_output=True, text=True
        ).stdout.strip()  # fmt: skip

    run("init", "-q", "-b", "main")
    run("add", ".")
    run("commit", "-qm", "one")
    return run


def test_a_clean_folder_stands_at_its_commit(repository: Path, git: Git) -> None:
    git("remote", "add", "origin", "https://user:t0ken@git.example.com/team/app.git")
    assert worktree_of(repository, ENVIRON) == Worktree(
        commit=git("rev-parse", "HEAD"), branch="main", repository="https://git.example.com/team/app.git", changed=False
    )


@pytest.mark.parametrize("name", ["file", "new"])
def test_a_file_that_differs_or_is_new_is_a_change(repository: Path, git: Git, name: str) -> None:
    (repository / name).write_text("other\n")
    found = worktree_of(repository, ENVIRON)
    assert found is not None
    assert found.changed is True


def test_a_change_outside_of_the_folder_is_none_of_its_own(repository: Path, git: Git) -> None:
    (repository / "file").write_text("other\n")
    found = worktree_of(repository / "sub", ENVIRON)
    assert found is not None
    assert (found.commit, found.changed) == (git("rev-parse", "HEAD"), False)


@pytest.mark.parametrize("url", ["/home/me/app.git", "file:///home/me/app.git", "../app"])
def test_a_remote_on_this_machine_is_not_told(repository: Path, git: Git, url: str) -> None:
    git("remote", "add", "origin", url)
    found = worktree_of(repository, ENVIRON)
    assert found is not None
    assert found.repository == ""


def test_nothing_that_the_repository_brings_is_run(repository: Path, git: Git, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    (repository / ".gitattributes").write_text("* filter=evil\n")
    git("add", ".")
    git("commit", "-qm", "two")
    hook = repository / ".git/hooks/post-index-change"
    hook.write_text(f"#!/bin/sh\ntouch {ran}\n")
    hook.chmod(0o755)
    git("config", "core.fsmonitor", f"touch {ran}")
    git("config", "filter.evil.clean", f"touch {ran}; cat")
    (repository / "file").write_text("other\n")
    ran.unlink(missing_ok=True)
    found = worktree_of(repository, ENVIRON)
    assert found is not None
    assert found.changed is None
    assert not ran.exists()


def test_a_folder_in_no_repository_and_one_without_a_commit_are_nothing(tmp_path: Path) -> None:
    assert worktree_of(tmp_path, ENVIRON) is None
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True, env=ENVIRON)
    assert worktree_of(tmp_path, ENVIRON) is None


def test_without_git_nothing_is_known(repository: Path, git: Git) -> None:
    assert worktree_of(repository, {**ENVIRON, "PATH": "/nowhere"}) is None
