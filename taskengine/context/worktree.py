"""What git says of a folder of the user's own: which commit it stands at, and whether it was changed since.

Runs nothing that the repository brings: no hooks, no monitors, no filters of its own configuration. Where that would
be needed to know, nothing is claimed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from taskengine.context.command import GitCommand, GitFailed
from taskengine.context.model import Deadline, Limits, Never, scrubbed
from taskengine.errors import TaskEngineError
from taskengine.lightclass import dataclass
from taskengine.lightpattern import pattern

#: seconds; nobody waits longer for a word about a folder
LONGEST = 10.0
_COMMIT = pattern(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
#: addresses that mean something elsewhere; a path of this machine's disk does not
_REMOTE = pattern(r"(?:https?|ssh|git)://.+|[^/:@\s]+@[^/:\s]+:.+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Worktree:
    """`changed` tells whether files differ from the commit or are not in it; None where that cannot be said."""

    commit: str
    branch: str = ""
    repository: str = ""
    changed: bool | None = None


def worktree_of(folder: Path, environ: Mapping[str, str]) -> Worktree | None:
    """What is known of the folder; None where it is in no repository, has no commit yet, or git does not answer."""
    git = GitCommand(
        folder, environ=environ, settings=(), secrets=(), protocols="none",
        deadline=Deadline(LONGEST, Never()), limits=Limits(download=1 << 60),
    )  # fmt: skip
    try:
        commit = git.run("rev-parse", "--verify", "--quiet", "HEAD^{commit}").strip()
        if not _COMMIT.fullmatch(commit):
            return None
        return Worktree(commit=commit, branch=_branch(git), repository=_repository(git), changed=_is_changed(git))
    except (GitFailed, TaskEngineError, OSError):
        return None


def _branch(git: GitCommand) -> str:
    name = git.run("rev-parse", "--abbrev-ref", "HEAD").strip()
    return "" if name == "HEAD" else name


def _repository(git: GitCommand) -> str:
    try:
        url = git.run("config", "--get", "remote.origin.url").strip()
    except GitFailed:  # there is none
        return ""
    return scrubbed(url, ()) if _REMOTE.fullmatch(url) else ""


def _is_changed(git: GitCommand) -> bool | None:
    if _brings_filters(git):
        return None
    said = git.run("status", "--porcelain", "--untracked-files=normal", "--ignore-submodules=dirty", "--", ".")
    return bool(said.strip())


def _brings_filters(git: GitCommand) -> bool:
    """Whether the repository's own configuration names programs that its files go through."""
    try:
        known = git.run("config", "--show-scope", "--get-regexp", r"^filter\.")
    except GitFailed:  # none at all
        return False
    return any(line.startswith(("local", "worktree")) for line in known.splitlines())
