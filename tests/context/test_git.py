"""Contexts out of repositories: real ones, over the disk, over HTTP and over (a stand-in for) ssh."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from taskengine.context.model import Fetched, Limits
from taskengine.context.source import UrlLogin
from taskengine.errors import Interrupted, InvalidInput, TaskEngineError, Unreachable
from taskengine.runner import Cancel
from tests.context.servers import Answer, Repository, Server, git

Get = Callable[..., Fetched]
TOKEN = "ghp_0123456789abcdefghijklmnop"


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


# which commit


def test_files_have_the_time_of_their_commit(get: Get, repository: Repository) -> None:
    (repository.folder / "link").symlink_to("Dockerfile")
    repository.commit({"web/more": "1"})
    folder = get(repository.url).folder
    committed = int(repository.git("log", "-1", "--format=%ct"))
    assert {path.lstat().st_mtime_ns for path in folder.rglob("*")} == {committed * 10**9}
    assert (folder / "link").is_symlink()


def test_a_commit_has_the_same_identity_whoever_fetches_it(get: Get, repository: Repository) -> None:
    found = get(repository.url)
    one, two = (found.identity(f"https://{user}@example.com/a.git?sig={user}#main:web") for user in ("a:b", "c"))
    assert one == two == f"https://example.com/a.git#main:web@{found.commit}"
    assert Fetched(folder=found.folder).identity("https://example.com/x.tgz") == ""


def test_without_a_ref_the_default_branch_is_fetched(get: Get, repository: Repository) -> None:
    found = get(repository.url)
    assert names(found.folder) == ["Dockerfile", "web/index.html"]
    assert (found.commit, found.branch, found.tag) == (repository.git("rev-parse", "HEAD"), "main", "")
    assert found.repository == repository.url


def test_a_branch_is_fetched_without_its_history(get: Get, server: Server, repository: Repository) -> None:
    repository.git("checkout", "-q", "-b", "feature/x")
    commit = repository.commit({"new": "1"})
    found = get(f"{server.url}/git/app/.git#feature/x")
    assert (found.commit, found.branch) == (commit, "feature/x")
    assert "new" in names(found.folder)


def test_a_tag_gives_its_commit_and_no_branch(get: Get, repository: Repository) -> None:
    commit = repository.git("rev-parse", "HEAD")
    repository.git("tag", "-a", "v1", "-m", "one")
    repository.commit({"later": "1"})
    found = get(f"{repository.url}#v1")
    assert (found.commit, found.branch, found.tag) == (commit, "", "v1")
    assert "later" not in names(found.folder)


@pytest.mark.parametrize("length", [40, 12, 7])
def test_a_commit_is_found_by_all_or_some_of_its_digits(
    get: Get, server: Server, repository: Repository, length: int
) -> None:
    commit = repository.git("rev-parse", "HEAD")
    repository.commit({"later": "1"})
    found = get(f"{server.url}/git/app/.git#{commit[:length]}")
    assert found.commit == commit
    assert "later" not in names(found.folder)


def test_a_pull_request_is_fetched_by_its_ref(get: Get, server: Server, repository: Repository) -> None:
    repository.git("checkout", "-q", "--detach")
    commit = repository.commit({"proposed": "1"})
    repository.git("update-ref", "refs/pull/7/head", commit)
    repository.git("checkout", "-q", "main")
    found = get(f"{server.url}/git/app/.git#pull/7/head")
    assert (found.commit, found.branch) == (commit, "")
    assert "proposed" in names(found.folder)


def test_a_commit_of_a_pull_request_is_found_where_single_commits_are_not_handed_out(
    get: Get, server: Server, repository: Repository
) -> None:
    repository.git("checkout", "-q", "-b", "fork")
    commit = repository.commit({"new": "1"})
    later = repository.commit({"newer": "1"})
    repository.git("update-ref", "refs/pull/7/head", later)
    repository.git("checkout", "-q", "main")
    repository.git("branch", "-q", "-D", "fork")
    repository.git("config", "uploadpack.allowReachableSHA1InWant", "false")
    repository.git("config", "protocol.version", "0")
    found = get(f"{server.url}/git/app/.git#{commit}")
    assert found.commit == commit
    assert "newer" not in names(found.folder)


def test_a_subfolder_is_the_context(get: Get, repository: Repository) -> None:
    assert names(get(f"{repository.url}#main:web").folder) == ["index.html"]


def test_no_history_is_left_behind(get: Get, repository: Repository) -> None:
    assert not list(get(repository.url).folder.rglob(".git"))


def test_a_server_without_shallow_fetches_is_asked_for_all(get: Get, server: Server, repository: Repository) -> None:
    repository.git("update-server-info")
    server.dumb = True
    assert names(get(f"{server.url}/git/app/.git#main").folder) == ["Dockerfile", "web/index.html"]


def test_git_daemon_serves_contexts(get: Get, repository: Repository, tmp_path: Path) -> None:
    from tests.support.registry import free_port

    port = free_port()
    base = repository.folder.parent
    daemon = subprocess.Popen(
        ["git", "daemon", "--export-all", f"--base-path={base}", "--listen=127.0.0.1", f"--port={port}", "--reuseaddr"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
        env={**os.environ, "LC_ALL": "C"},
    )  # fmt: skip
    try:
        for _ in range(100):
            try:
                found = get(f"git://127.0.0.1:{port}/app#main")
                break
            except Unreachable:
                time.sleep(0.05)
        assert found.branch == "main"
    finally:
        os.killpg(daemon.pid, 9)
        daemon.wait()


@pytest.mark.parametrize("form", ["git@example.com:{}#main", "ssh://git@example.com:2222/{}#main"])
def test_ssh_is_spoken_by_the_users_own_program(get: Get, repository: Repository, tmp_path: Path, form: str) -> None:
    ssh = tmp_path / "ssh"
    ssh.write_text('#!/bin/sh\necho "$@" >>"$0.log"\nfor last; do :; done\nexec sh -c "$last"\n')
    ssh.chmod(0o755)
    found = get(form.format(repository.folder), environ={"GIT_SSH_COMMAND": str(ssh)})
    assert found.branch == "main"
    assert "git@example.com git-upload-pack" in (tmp_path / "ssh.log").read_text()


# what is not there


@pytest.mark.parametrize("ref", ["nosuch", "0123456", "0123456789012345678901234567890123456789", "pull/99/head"])
def test_a_ref_that_is_not_there_is_named(get: Get, server: Server, repository: Repository, ref: str) -> None:
    with pytest.raises(InvalidInput, match=f"no branch, tag or commit {ref}"):
        get(f"{server.url}/git/app/.git#{ref}")


def test_a_repository_that_is_not_there_is_named(get: Get, server: Server) -> None:
    with pytest.raises(InvalidInput, match="no repository at"):
        get(f"{server.url}/git/nosuch.git")


def test_an_empty_repository_is_told_from_a_missing_one(get: Get, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare", "empty.git")
    with pytest.raises(InvalidInput, match="no default branch"):
        get(f"file://{tmp_path}/empty.git")


def test_a_host_that_is_not_there_is_unreachable(get: Get) -> None:
    from tests.support.registry import free_port

    with pytest.raises(Unreachable, match="could not be fetched"):
        get(f"http://127.0.0.1:{free_port()}/app.git")


def test_a_subfolder_that_is_not_there_is_named(get: Get, repository: Repository) -> None:
    with pytest.raises(InvalidInput, match="nosuch does not exist"):
        get(f"{repository.url}#:nosuch")


def test_nothing_is_left_of_a_fetch_that_failed(get: Get, repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        get(f"{repository.url}#nosuch")
    assert not (tmp_path / "got").exists()


def test_a_machine_without_git_is_told_so(get: Get, repository: Repository) -> None:
    with pytest.raises(InvalidInput, match="git is not installed"):
        get(repository.url, environ={"PATH": "/nowhere"})


# logins


def test_a_token_of_the_host_opens_a_private_repository(get: Get, server: Server, repository: Repository) -> None:
    server.login = ("x-access-token", TOKEN)
    found = get(f"{server.url}/git/app/.git", logins={server.host: UrlLogin(secret=TOKEN)})
    assert found.repository == f"{server.url}/git/app/.git"


def test_a_login_in_the_address_opens_it_too(get: Get, server: Server, repository: Repository) -> None:
    server.login = ("me", "s3cret word")
    found = get(f"http://me:s3cret%20word@{server.host}/git/app/.git")
    assert found.repository == f"{server.url}/git/app/.git"


def test_gits_own_credential_helpers_are_asked(
    get: Get, server: Server, repository: Repository, tmp_path: Path
) -> None:
    server.login = ("me", "s3cret")
    config = tmp_path / "gitconfig"
    config.write_text('[credential]\n\thelper = "!f() { echo username=me; echo password=s3cret; }; f"\n')
    assert get(f"{server.url}/git/app/.git", environ={"GIT_CONFIG_GLOBAL": str(config)}).branch == "main"


def test_a_user_name_alone_is_told_to_the_helper(
    get: Get, server: Server, repository: Repository, tmp_path: Path
) -> None:
    server.login = ("me", "s3cret")
    config = tmp_path / "gitconfig"
    config.write_text('[credential]\n\thelper = "!f() { grep -q ^username=me && echo password=s3cret; }; f"\n')
    assert get(f"http://me@{server.host}/git/app/.git", environ={"GIT_CONFIG_GLOBAL": str(config)}).branch == "main"


def test_a_private_repository_without_a_login_says_what_to_do(get: Get, server: Server, repository: Repository) -> None:
    server.login = ("me", "s3cret")
    with pytest.raises(Unreachable, match="wants a login") as caught:
        get(f"{server.url}/git/app/.git")
    assert "ACR_TASK_GIT_TOKENS" in (caught.value.hint or "")


def test_a_token_is_nowhere_but_in_the_header(get: Get, server: Server, repository: Repository, tmp_path: Path) -> None:
    """Neither in an argument of any process, nor on the disk, nor in an error."""
    seen = tmp_path / "arguments"
    wrapper = tmp_path / "bin" / "git"
    wrapper.parent.mkdir()
    real = subprocess.run(["which", "git"], capture_output=True, text=True, check=True).stdout.strip()
    wrapper.write_text(f'#!/bin/sh\necho "$@" >>{seen}\ngrep -r "{TOKEN}" . >>{seen}\nexec {real} "$@"\n')
    wrapper.chmod(0o755)
    server.login = ("x-access-token", "another")
    path = f"{wrapper.parent}:{os.environ['PATH']}"
    with pytest.raises(TaskEngineError) as caught:
        get(f"http://{TOKEN}@{server.host}/git/app/.git", environ={"PATH": path, "GIT_TRACE_CURL": "1"})
    assert "ls-remote" in seen.read_text()
    assert TOKEN not in seen.read_text()
    assert TOKEN not in f"{caught.value} {caught.value.hint} {caught.value!r}"


def test_a_token_does_not_follow_a_redirect(
    get: Get, server: Server, other_server: Server, repository: Repository
) -> None:
    server.answers["/git/app/.git/info/refs"] = Answer(
        status=302, headers={"Location": f"{other_server.url}/git/app/.git/info/refs?service=git-upload-pack"}
    )
    with pytest.raises(InvalidInput, match="has moved"):
        get(f"http://{TOKEN}@{server.host}/git/app/.git")
    assert not other_server.requests


def test_a_token_is_not_sent_without_encryption(get: Get) -> None:
    with pytest.raises(InvalidInput, match="without encryption"):
        get(f"http://{TOKEN}@git.example.com/app.git")


# submodules and large files


def test_submodules_are_fetched_too(get: Get, server: Server, repository: Repository, tmp_path: Path) -> None:
    library = Repository(tmp_path / "served" / "library")
    library.commit({"lib.c": "1"})
    library.commit({"lib.c": "2"})
    repository.git("submodule", "--quiet", "add", f"{server.url}/git/library/.git", "lib")
    repository.commit()
    library.commit({"lib.c": "3"})
    found = get(f"{server.url}/git/app/.git")
    assert (found.folder / "lib" / "lib.c").read_text() == "2"
    assert not list(found.folder.rglob(".git"))


def test_a_submodule_may_be_named_relative_to_its_parent(
    get: Get, server: Server, repository: Repository, tmp_path: Path
) -> None:
    Repository(tmp_path / "served" / "library").commit({"lib.c": "1"})
    repository.git("submodule", "--quiet", "add", f"{server.url}/git/library/.git", "lib")
    (repository.folder / ".gitmodules").write_text('[submodule "lib"]\npath = lib\nurl = ../../library/.git\n')
    repository.commit()
    assert (get(f"{server.url}/git/app/.git").folder / "lib" / "lib.c").exists()


def test_a_submodule_on_this_machines_disk_is_not_read(
    get: Get, server: Server, repository: Repository, tmp_path: Path
) -> None:
    private = Repository(tmp_path / "private")
    private.commit({"key": "k"})
    repository.git("submodule", "--quiet", "add", private.url, "lib")
    repository.commit()
    with pytest.raises(InvalidInput, match="transport"):
        get(f"{server.url}/git/app/.git")


def test_large_files_without_git_lfs_are_told_of(get: Get, repository: Repository, tmp_path: Path) -> None:
    repository.commit({".gitattributes": "*.bin filter=lfs\n", "a.bin": "version https://git-lfs\n"})
    tools = tmp_path / "tools"
    tools.mkdir()
    told: list[str] = []
    found = get(repository.url, environ={"PATH": _only_git(tools)}, notice=told.append)
    assert (found.folder / "a.bin").read_text() == "version https://git-lfs\n"
    assert told == ["git-lfs is not installed, so that a.bin is a pointer and not the file itself"]


def test_large_files_are_fetched_by_git_lfs(get: Get, repository: Repository, tmp_path: Path) -> None:
    repository.commit({".gitattributes": "*.bin filter=lfs\n", "a.bin": "pointer\n"})
    tools = tmp_path / "tools"
    tools.mkdir()
    lfs = tools / "git-lfs"
    lfs.write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__).with_name("lfs_stand_in.py")} "$@"\n')
    lfs.chmod(0o755)
    told: list[str] = []
    found = get(repository.url, environ={"PATH": f"{tools}:{os.environ['PATH']}"}, notice=told.append)
    assert (found.folder / "a.bin").read_text() == "content\n"
    assert told == []


def _only_git(folder: Path) -> str:
    for name in ("git", "sh"):
        real = subprocess.run(["which", name], capture_output=True, text=True, check=True).stdout.strip()
        (folder / name).symlink_to(real)
    return str(folder)


# strangers


def test_no_hook_and_no_template_of_the_user_runs(get: Get, repository: Repository, tmp_path: Path) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "post-checkout").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    (hooks / "post-checkout").chmod(0o755)
    template = tmp_path / "template"
    template.mkdir()
    (template / "hooks").symlink_to(hooks)
    config = tmp_path / "gitconfig"
    config.write_text(f"[core]\n\thooksPath = {hooks}\n[init]\n\ttemplateDir = {template}\n")
    get(repository.url, environ={"GIT_CONFIG_GLOBAL": str(config), "GIT_TEMPLATE_DIR": str(template)})
    assert not (tmp_path / "ran").exists()


def test_a_repository_around_the_caller_is_not_touched(get: Get, repository: Repository, tmp_path: Path) -> None:
    around = Repository(tmp_path / "around")
    around.commit({"mine": "1"})
    environ = {"GIT_DIR": str(around.folder / ".git"), "GIT_WORK_TREE": str(around.folder), "GIT_INDEX_FILE": "x"}
    assert "Dockerfile" in names(get(repository.url, environ=environ).folder)
    assert around.git("status", "--porcelain") == ""


def test_a_folder_that_is_a_link_out_of_the_repository_is_refused(get: Get, repository: Repository) -> None:
    repository.commit(links={"out": "/etc", "in": "web"})
    with pytest.raises(InvalidInput, match="leads out of the context"):
        get(f"{repository.url}#:out")
    assert names(get(f"{repository.url}#:in").folder) == ["index.html"]


def test_a_url_of_the_disk_is_refused_where_strangers_write_it(get: Get, repository: Repository) -> None:
    with pytest.raises(InvalidInput, match="disk"):
        get(repository.url, files=False)


def test_more_files_than_allowed_are_refused_before_checkout(get: Get, repository: Repository) -> None:
    with pytest.raises(InvalidInput, match="more than 1 files"):
        get(repository.url, limits=Limits(entries=1))


def test_more_bytes_than_allowed_are_refused_before_checkout(get: Get, repository: Repository) -> None:
    repository.commit({"zeros": b"\0" * 100_000})
    with pytest.raises(InvalidInput, match="files are more than"):
        get(repository.url, limits=Limits(unpacked=50_000))


# time


def test_a_server_that_never_answers_meets_the_deadline(get: Get, server: Server) -> None:
    done = threading.Event()
    server.answers["/git/app/.git/info/refs"] = Answer(write=lambda _: done.wait(20))
    began = time.monotonic()
    with pytest.raises(Unreachable, match=r"not there within 0\.5 s"):
        get(f"{server.url}/git/app/.git", limits=Limits(seconds=0.5))
    done.set()
    assert time.monotonic() - began < 5


def test_a_fetch_is_stopped_soon_after_it_is_asked_to(get: Get, server: Server) -> None:
    done, cancel = threading.Event(), Cancel()

    def hang(_: object) -> None:
        cancel.set()
        done.wait(20)

    server.answers["/git/app/.git/info/refs"] = Answer(write=hang)
    began = time.monotonic()
    with pytest.raises(Interrupted):
        get(f"{server.url}/git/app/.git", stop=cancel)
    done.set()
    assert time.monotonic() - began < 5
