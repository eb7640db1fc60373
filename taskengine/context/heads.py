"""What a repository's branches and tags stand for now, and what moved one of them: without fetching its files.

One request lists them (`git ls-remote`). A commit is looked at by fetching it and the one before it without the
contents of their files, where the server can do that. Must not know who asks, how often, or what a change leads to.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from taskengine.context.command import GitCommand, GitFailed
from taskengine.context.git import command_for, explain
from taskengine.context.model import Access, Deadline, Limits
from taskengine.context.source import Git
from taskengine.errors import InvalidInput

_MOST_BYTES = 64 << 20
_MOST_PATHS = 20_000
_MOST_MESSAGE = 4096
_PEELED = "^{}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """What a commit says of itself, as far as it could be found out. `paths` are the files in which it differs from the
    commit before it; None when nobody knows."""

    author: str = ""
    email: str = ""
    message: str = ""
    paths: tuple[str, ...] | None = None


def list_heads(
    context: Git, access: Access, limits: Limits, deadline: Deadline, *, branches: bool = True, tags: bool = True
) -> dict[str, str]:
    """The commits of the repository's branches and tags, by their full names (`refs/heads/main`). An annotated tag
    gives the commit that it is of. Raises InvalidInput, Unreachable, Interrupted."""
    wanted = [option for option, on in (("--heads", branches), ("--tags", tags)) if on]
    with tempfile.TemporaryDirectory(prefix="acr-task-heads-") as folder:
        git = command_for(context, Path(folder), access, limits, deadline)
        said = bytearray()

        def each(chunk: bytes) -> None:
            said.extend(chunk)
            if len(said) > _MOST_BYTES:
                raise InvalidInput(f"{context.url} has too many branches and tags to watch")

        try:
            git.stream(each, "ls-remote", "--quiet", *wanted, "--", context.url)
        except GitFailed as failure:
            raise explain(failure.words, context) from None
    return parse_heads(said.decode("utf-8", "replace"))


def parse_heads(text: str) -> dict[str, str]:
    """What `git ls-remote` printed. Pure."""
    found: dict[str, str] = {}
    peeled: dict[str, str] = {}
    for line in text.splitlines():
        commit, _, ref = line.partition("\t")
        if not ref.startswith(("refs/heads/", "refs/tags/")):
            continue
        (peeled if ref.endswith(_PEELED) else found)[ref.removesuffix(_PEELED)] = commit
    return found | {ref: commit for ref, commit in peeled.items() if ref in found}


def describe(
    context: Git, ref: str, commit: str, before: str, access: Access, limits: Limits, deadline: Deadline
) -> Change:
    """What moved `ref` from `before` (empty for nothing) to `commit`. What cannot be found out is left out; raises
    Interrupted, and TaskEngineError when the commit itself cannot be had."""
    with tempfile.TemporaryDirectory(prefix="acr-task-heads-") as folder:
        git = command_for(context, Path(folder), access, limits, deadline)
        try:
            git.run("init", "--quiet", "--template=")
            git.run("config", "remote.origin.url", context.url)
            _fetch(git, commit, ref)
            said = git.run("log", "-1", "--no-show-signature", "--format=%an%x00%ae%x00%B", commit)
        except GitFailed as failure:
            raise explain(failure.words, context) from None
        author, email, message = (*said.split("\0", 2), "", "")[:3]
        paths = _changed(git, before, commit) if before else None
        return Change(author=author, email=email, message=message.strip()[:_MOST_MESSAGE], paths=paths)


def _fetch(git: GitCommand, commit: str, ref: str) -> None:
    """The commit and its folders, without the files where the server can leave them out; by the ref's name where it
    hands out no single commits."""
    options = ("fetch", "--quiet", "--depth=1", "--filter=blob:none", "--no-tags", "--no-recurse-submodules")
    try:
        git.run(*options, "--", "origin", commit)
    except GitFailed:
        if not ref:
            raise
        git.run(*options, "--", "origin", ref)


def _changed(git: GitCommand, before: str, commit: str) -> tuple[str, ...] | None:
    """The files that differ between two commits; None when the older one is gone, or they are too many."""
    try:
        _fetch(git, before, "")
        said = git.run("diff-tree", "-r", "-z", "--name-only", "--no-renames", "--no-ext-diff", before, commit)
    except (GitFailed, InvalidInput):
        return None
    paths = tuple(path for path in said.split("\0") if path)
    return paths if len(paths) <= _MOST_PATHS else None


def moved(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """The refs that stand for another commit than before, or are new, with the commit before (empty for none). Pure."""
    return {ref: before.get(ref, "") for ref, commit in now.items() if before.get(ref) != commit}
