"""What branches and tags stand for, and what moved them, out of real repositories."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskengine.context.heads import Change, describe, list_heads, moved, parse_heads
from taskengine.context.model import Access, Deadline, Limits, Never
from taskengine.context.source import Git, UrlLogin
from taskengine.errors import InvalidInput, TaskEngineError, Unreachable
from tests.context.servers import Repository, Server

TOKEN = "ghp_0123456789abcdefghijklmnop"


def access(**logins: UrlLogin) -> Access:
    environ = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    return Access(environ=environ, login=lambda host: next(iter(logins.values()), None))


def deadline(seconds: float = 60) -> Deadline:
    return Deadline(seconds, Never())


def heads(url: str, **options: bool) -> dict[str, str]:
    return list_heads(Git(url=url), access(), Limits(), deadline(), **options)


def test_branches_and_tags_are_listed_by_their_commits(server: Server, repository: Repository) -> None:
    commit = repository.git("rev-parse", "HEAD")
    repository.git("tag", "light")
    repository.git("tag", "-a", "-m", "x", "heavy")
    repository.git("update-ref", "refs/pull/7/head", commit)
    url = f"{server.url}/git/app/.git"
    branches, tags = {"refs/heads/main": commit}, {"refs/tags/light": commit, "refs/tags/heavy": commit}
    assert heads(url) == branches | tags
    assert heads(url, tags=False) == branches
    assert heads(url, branches=False) == tags


def test_a_commit_is_looked_at_without_its_files(server: Server, repository: Repository) -> None:
    before = repository.git("rev-parse", "HEAD")
    repository.git("config", "uploadpack.allowFilter", "true")
    (repository.folder / "web" / "index.html").unlink()
    after = repository.commit({"docs/new name.md": "1", "Dockerfile": "FROM scratch\nCOPY . .\n"})
    url = f"{server.url}/git/app/.git"
    found = describe(Git(url=url), "refs/heads/main", after, before, access(), Limits(), deadline())
    paths = ("Dockerfile", "docs/new name.md", "web/index.html")
    assert found == Change(author="A", email="a@example.com", message="x", paths=paths)


def test_a_commit_whose_predecessor_is_gone_says_nothing_of_files(server: Server, repository: Repository) -> None:
    commit = repository.git("rev-parse", "HEAD")
    context = Git(url=f"{server.url}/git/app/.git")
    for before in ("", "b" * 40):
        found = describe(context, "refs/heads/main", commit, before, access(), Limits(), deadline())
        assert (found.message, found.paths) == ("x", None)
    with pytest.raises(TaskEngineError):
        describe(context, "", "c" * 40, "", access(), Limits(), deadline())


def test_a_private_repository_wants_its_token(server: Server, repository: Repository) -> None:
    server.login = ("x-access-token", TOKEN)
    context = Git(url=f"{server.url}/git/app/.git")
    assert list_heads(context, access(host=UrlLogin(secret=TOKEN)), Limits(), deadline())
    with pytest.raises(Unreachable, match="wants a login") as caught:
        list_heads(context, access(host=UrlLogin(secret="wrong")), Limits(), deadline())
    assert "wrong" not in str(caught.value)


def test_what_is_no_repository_says_so(server: Server, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no repository"):
        heads(f"{server.url}/git/nothing/.git")


def test_a_tag_is_the_commit_that_it_is_of_and_strange_lines_are_none() -> None:
    text = "aa\trefs/tags/v1\nbb\trefs/tags/v1^{}\ncc\trefs/heads/main\ndd\tHEAD\nee\trefs/tags/x^{}\nnonsense\n"
    assert parse_heads(text) == {"refs/tags/v1": "bb", "refs/heads/main": "cc"}


@given(st.text(alphabet="ab\t\n^{}/refshdtg0", max_size=200))
def test_whatever_a_server_lists_is_read(text: str) -> None:
    for ref in parse_heads(text):
        assert ref.startswith(("refs/heads/", "refs/tags/"))


def test_what_moved_is_told_from_what_stayed() -> None:
    assert moved({"a": "1", "b": "2", "gone": "3"}, {"a": "1", "b": "4", "new": "5"}) == {"b": "2", "new": ""}
