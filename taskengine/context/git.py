"""Fetches a repository with the git command: shallow where the server lets us, in full for short commits.

Hooks, templates and the user's automatic actions are off; the transports are those of `_PROTOCOLS`. A token goes to
the repository's own host only, and never where a redirect leads.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from taskengine.context.command import GitCommand, GitFailed
from taskengine.context.model import Access, Deadline, Fetched, Limits, Notice, size_of
from taskengine.context.source import Git, UrlLogin
from taskengine.context.tree import subfolder
from taskengine.errors import InvalidInput, TaskEngineError, Unreachable
from taskengine.lightclass import dataclass
from taskengine.lightpattern import pattern

_PROTOCOLS = "https:http:git:ssh"
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_COMMIT = pattern(r"[0-9a-f]{4,64}")
_FETCHED = pattern(r"\t(branch|tag) '(.+)' of ")
_SYMREF = pattern(r"^ref: refs/heads/(.+)\tHEAD$", re.MULTILINE)
#: where a token alone is not enough: the user name that the forge wants beside it
_TOKEN_USERS = {"bitbucket.org": "x-token-auth", "gitlab.com": "oauth2"}
_NO_SHALLOW = ("does not support shallow", "shallow capabilities", "does not support --depth")
_NO_SUCH_REF = ("couldn't find remote ref", "not our ref", "unadvertised object", "no such remote ref", "no matching")
#: where commits are looked for: branches and tags, and what pull requests are called at the forges
_EVERY_REF = (
    ("+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"),
    (
        "+refs/pull/*/head:refs/remotes/pull/*", "+refs/merge-requests/*/head:refs/remotes/merge/*",
        "+refs/pull-requests/*/from:refs/remotes/from/*",
    ),
)  # fmt: skip
#: no file system takes all that a commit may say: the end of the year 2105
_LATEST = 2**32 - 1


@dataclass(frozen=True, kw_only=True)
class _Place:
    """What was fetched, before it is checked out."""

    commit: str
    branch: str = ""
    tag: str = ""


def fetch_git(context: Git, into: Path, access: Access, limits: Limits, deadline: Deadline, notice: Notice) -> Fetched:
    """The repository's files below `into`, without its history. `into` is a new or empty folder."""
    local = context.url.startswith("file:")
    if local and not access.files:
        raise InvalidInput(f"{context.url} is on this machine's disk, which is not read here", hint="use a folder")
    root = into / "content"
    root.mkdir(parents=True, exist_ok=True)
    git = command_for(context, root, access, limits, deadline)
    try:
        git.run("init", "--quiet", "--template=")
        git.run("config", "remote.origin.url", context.url)
        place = _fetch(git, context)
        _weigh(git, place.commit, limits)
        git.run("checkout", "--quiet", "--force", "--detach", place.commit)
        committed = _seconds_of(git, place.commit)
        _submodules(git, root)
        _tell_of_lfs(git, access, notice)
    except GitFailed as failure:
        raise explain(failure.words, context) from None
    _forget_history(root)
    _set_times(root, committed or 0)
    folder = subfolder(root, context.subdir, context.url)
    return Fetched(
        folder=folder, commit=place.commit, branch=place.branch, tag=place.tag, repository=context.url,
        committed=_time_of(committed),
    )  # fmt: skip


def command_for(context: Git, folder: Path, access: Access, limits: Limits, deadline: Deadline) -> GitCommand:
    """Git's commands in a folder, with the login of this repository's host and for no other. Raises InvalidInput for a
    login that would travel without encryption."""
    login = _login(context, access)
    return GitCommand(
        folder,
        environ=access.environ,
        settings=(*_login_settings(context.url, login), *_lfs_settings(access)),
        secrets=_secrets(context.url, login),
        protocols="file" if context.url.startswith("file:") else _PROTOCOLS,
        deadline=deadline,
        limits=limits,
    )


def _seconds_of(git: GitCommand, commit: str) -> int | None:
    """When the commit was made, by its committer's clock, in seconds since 1970; a commit may hold anything there."""
    said = git.run("log", "-1", "--no-show-signature", "--format=%ct", commit).strip()
    return int(said) if said.isdigit() and len(said) < 20 else None


def _time_of(seconds: int | None) -> datetime | None:
    """None for a time that no calendar has."""
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


# what to fetch


def _fetch(git: GitCommand, context: Git) -> _Place:
    wanted = context.ref or _default_branch(git, context)
    try:
        _fetch_one(git, wanted)
    except GitFailed as failure:
        if not _COMMIT.fullmatch(wanted) or not _is_one_of(failure.words, _NO_SUCH_REF):
            raise
        return _fetch_all(git, wanted, context)
    commit = git.run("rev-parse", "--verify", "--quiet", "--end-of-options", "FETCH_HEAD^{commit}").strip()
    found = _FETCHED.search(_fetch_head(git))
    kind, name = (found[1], found[2]) if found else ("", "")
    return _Place(commit=commit, branch=name if kind == "branch" else "", tag=name if kind == "tag" else "")


def _default_branch(git: GitCommand, context: Git) -> str:
    refs = git.run("ls-remote", "--symref", "--", "origin", "HEAD")
    found = _SYMREF.search(refs)
    if found:
        return f"refs/heads/{found[1]}"
    if not refs.strip():
        raise InvalidInput(f"the repository {context.url} has no default branch", hint="is it empty? name a #branch")
    return "HEAD"


def _fetch_one(git: GitCommand, ref: str) -> None:
    try:
        git.run("fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", "--", "origin", ref)
    except GitFailed as failure:
        if not _is_one_of(failure.words, _NO_SHALLOW):
            raise
        git.run("fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--", "origin", ref)


def _fetch_all(git: GitCommand, commit: str, context: Git) -> _Place:
    """Every branch and tag, then every pull request: where a server hands out no single commits, and for commits named
    by their first digits."""
    for refs in _EVERY_REF:
        git.run("fetch", "--quiet", "--no-recurse-submodules", "--", "origin", *refs)
        try:
            full = git.run("rev-parse", "--verify", "--end-of-options", f"{commit}^{{commit}}").strip()
        except GitFailed as failure:
            if "ambiguous" in failure.words:
                raise InvalidInput(f"{commit} is the beginning of several commits", hint="write more digits") from None
        else:
            return _Place(commit=full)
    raise InvalidInput(
        f"{context.url} has no branch, tag or commit {commit}", hint="is the commit on one of its branches?"
    )


# what is in it


def _weigh(git: GitCommand, commit: str, limits: Limits) -> None:
    """Refuse what would unpack to too much, before anything is unpacked."""
    rest = b""
    entries = total = 0

    def each(chunk: bytes) -> None:
        nonlocal rest, entries, total
        *lines, rest = (rest + chunk).split(b"\0")
        entries += len(lines)
        for line in lines:
            size = line.partition(b"\t")[0].rpartition(b" ")[2]
            total += int(size) if size.isdigit() else 0
        if entries > limits.entries:
            raise InvalidInput(f"the repository has more than {limits.entries} files", hint="name a smaller one")
        if total > limits.unpacked:
            raise InvalidInput(f"the repository's files are more than {size_of(limits.unpacked)}")

    git.stream(each, "ls-tree", "-r", "-l", "-z", "--full-tree", commit)


def _submodules(git: GitCommand, root: Path) -> None:
    if not (root / ".gitmodules").is_file() or (root / ".gitmodules").is_symlink():
        return
    update = ("submodule", "--quiet", "update", "--init", "--recursive", "--force")
    try:
        git.run(*update, "--depth=1", protocols=_PROTOCOLS)
    except GitFailed as failure:
        if not _is_one_of(failure.words, (*_NO_SHALLOW, *_NO_SUCH_REF, "did not contain", "unable to find current")):
            raise
        git.run(*update, protocols=_PROTOCOLS)


def _tell_of_lfs(git: GitCommand, access: Access, notice: Notice) -> None:
    if _has_lfs(access):
        return
    large = [name for name in git.run("ls-files", "-z", "--", ":(attr:filter=lfs)").split("\0") if name]
    if large:
        more = f" and {len(large) - 1} more" if len(large) > 1 else ""
        notice(f"git-lfs is not installed, so that {large[0]}{more} is a pointer and not the file itself")


def _forget_history(root: Path) -> None:
    """Take the history away, the submodules' links to theirs included."""
    for folder, folders, files in os.walk(root):
        if ".git" in folders:
            folders.remove(".git")
            shutil.rmtree(Path(folder) / ".git", ignore_errors=True)
        if ".git" in files:
            (Path(folder) / ".git").unlink()


def _set_times(root: Path, seconds: int) -> None:
    """Give every file the time of the commit, as `git archive` does: the same commit is the same tree each time, of
    which a builder that has it need not be sent anything."""
    when = min(seconds, _LATEST) * 10**9
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            os.utime(Path(folder) / name, ns=(when, when), follow_symlinks=False)


def _fetch_head(git: GitCommand) -> str:
    with (git.folder / ".git" / "FETCH_HEAD").open(encoding="utf-8", errors="replace") as file:
        return file.read(4096)


# logins


def _login(context: Git, access: Access) -> UrlLogin | None:
    """The login for the repository's host; it is sent over https, and to this machine."""
    parts = urlsplit(context.url) if "://" in context.url else None
    if parts is None or parts.scheme not in {"http", "https"}:
        return None
    login = context.login or access.login(parts.netloc)
    if login and not login.secret and (known := access.login(parts.netloc)):
        login = known
    if login and login.secret and parts.scheme != "https" and parts.hostname not in _LOOPBACK:
        raise InvalidInput(f"a login for {parts.netloc} would travel without encryption", hint="use https://")
    return login


def _login_settings(url: str, login: UrlLogin | None) -> list[tuple[str, str]]:
    """Git's configuration for a login. It goes into the environment, which only this user's processes can read."""
    if login is None:
        return []
    parts = urlsplit(url)
    origin = f"{parts.scheme}://{parts.netloc}/"
    if not login.secret:
        return [(f"credential.{origin}.username", login.username)]
    return [
        (f"http.{origin}.extraHeader", f"Authorization: Basic {_basic(url, login)}"),
        # after a redirect git would show the header to the next host as well
        (f"http.{origin}.followRedirects", "false"),
    ]


def _basic(url: str, login: UrlLogin) -> str:
    user = login.username or _TOKEN_USERS.get(urlsplit(url).hostname or "", "x-access-token")
    return base64.b64encode(f"{user}:{login.secret}".encode()).decode()


def _secrets(url: str, login: UrlLogin | None) -> tuple[str, ...]:
    return (login.secret, _basic(url, login)) if login is not None and login.secret else ()


def _has_lfs(access: Access) -> bool:
    return shutil.which("git-lfs", path=access.environ.get("PATH")) is not None


def _lfs_settings(access: Access) -> tuple[tuple[str, str], ...]:
    """The filter of git-lfs where it is installed, nothing where it is not, whatever the user's configuration says."""
    if _has_lfs(access):
        return (
            ("filter.lfs.smudge", "git-lfs smudge -- %f"),
            ("filter.lfs.process", "git-lfs filter-process"),
            ("filter.lfs.required", "true"),
        )
    return (("filter.lfs.smudge", ""), ("filter.lfs.process", ""), ("filter.lfs.required", "false"))


# failures


def explain(words: str, context: Git) -> TaskEngineError:
    """What git said, as an error with a hint."""
    said = words.lower()
    where = context.url
    if _is_one_of(said, ("could not read username", "could not read password", "authentication failed",
                         "terminal prompts disabled", "error: 401", "error: 403", "access denied")):  # fmt: skip
        return Unreachable(
            f"{where} wants a login, or refuses the one it was given",
            hint="set ACR_TASK_GIT_TOKENS=HOST=TOKEN, or set up a credential helper of git",
        )
    if _is_one_of(said, ("permission denied (", "host key verification failed", "no matching host key")):
        return Unreachable(
            f"ssh could not log in at {where}: {_last(words)}",
            hint="try `ssh -T` to that host by hand; its key has to be known and yours be in the agent or in ~/.ssh",
        )
    if _is_one_of(said, ("error: 301", "error: 302", "error: 303", "error: 307", "error: 308")):
        return InvalidInput(f"{where} has moved, and a login is not taken along", hint="use its new address")
    if "transport '" in said and "not allowed" in said:
        return InvalidInput(
            f"{where} (or a submodule) wants a transport that is not used: {_last(words)}",
            hint="use https://, ssh:// or git://",
        )
    if context.ref and _is_one_of(said, _NO_SUCH_REF):
        return InvalidInput(f"{where} has no branch, tag or commit {context.ref}", hint="check what stands behind #")
    if _is_one_of(said, ("not found", "does not appear to be a git repository", "does not exist", "no such file",
                         "not a git repository", "not exported")):  # fmt: skip
        return InvalidInput(
            f"there is no repository at {where}, or it is private: {_last(words)}",
            hint="check the address; a private one wants ACR_TASK_GIT_TOKENS=HOST=TOKEN or a credential helper of git",
        )
    return Unreachable(f"{where} could not be fetched: {_last(words)}", hint="check the address and the network")


def _last(words: str) -> str:
    """The line that says why: git's `fatal:`, else the last one."""
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    fatal = next((line for line in lines if line.startswith("fatal: ")), lines[-1] if lines else "git said nothing")
    return re.sub(r"[\x00-\x1f\x7f]", "", fatal.removeprefix("fatal: "))[:300]


def _is_one_of(said: str, texts: tuple[str, ...]) -> bool:
    lowered = said.lower()
    return any(text in lowered for text in texts)
