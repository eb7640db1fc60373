"""Fetched contexts go when their run does, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from taskengine.context.access import access_of, parse_tokens, without_logins
from taskengine.context.keep import Contexts, sweep_contexts
from taskengine.context.source import UrlLogin
from taskengine.errors import InvalidInput
from taskengine.journals import any_journal
from tests.context.servers import Repository, Server


def kept(tmp_path: Path, name: str = "r1") -> Contexts:
    access = access_of({**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}, files=True)
    return Contexts(name, folder=tmp_path / "contexts", journals=tmp_path / "runs", access=access)


def test_a_context_stays_until_the_run_ends(tmp_path: Path, repository: Repository) -> None:
    contexts = kept(tmp_path)
    folder = contexts.fetch(repository.url).folder
    assert sweep_contexts(tmp_path / "contexts", tmp_path / "runs") == ()
    assert (folder / "Dockerfile").is_file()
    contexts.close()
    contexts.close()
    assert not list((tmp_path / "contexts").iterdir())
    assert not list((tmp_path / "runs").iterdir())


def test_nothing_is_made_for_a_run_that_fetches_nothing(tmp_path: Path) -> None:
    kept(tmp_path).close()
    assert not list(tmp_path.iterdir())


def test_several_that_want_one_context_fetch_it_once(tmp_path: Path, server: Server, repository: Repository) -> None:
    contexts = kept(tmp_path)
    url = f"{server.url}/git/app/.git#main"
    threads = [threading.Thread(target=contexts.fetch, args=(url,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    once = len(server.requests)
    contexts.fetch(url)
    contexts.close()
    assert len(server.requests) == once
    assert sum("info/refs" in request.path for request in server.requests) == 1


def test_what_failed_may_be_tried_again(tmp_path: Path, repository: Repository) -> None:
    contexts = kept(tmp_path)
    with pytest.raises(InvalidInput):
        contexts.fetch(f"{repository.url}#later")
    repository.git("branch", "later")
    assert contexts.fetch(f"{repository.url}#later").branch == "later"
    contexts.close()


def test_what_a_killed_process_left_is_swept(tmp_path: Path, repository: Repository) -> None:
    code = (
        "import sys, os, signal; from pathlib import Path; from tests.context.test_keep import kept\n"
        f"kept(Path({str(tmp_path)!r})).fetch({repository.url!r})\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == -signal.SIGKILL
    assert any_journal({"ACR_TASK_DATA": str(tmp_path)})
    assert list((tmp_path / "contexts").rglob("Dockerfile"))
    assert sweep_contexts(tmp_path / "contexts", tmp_path / "runs") == ("r1",)
    assert not list((tmp_path / "contexts").iterdir())
    assert not any_journal({"ACR_TASK_DATA": str(tmp_path)})


def test_tokens_are_given_by_host() -> None:
    assert parse_tokens("github.com=ghp_1  git.example.com:3000=me:tok=en") == {
        "github.com": UrlLogin(secret="ghp_1"),
        "git.example.com:3000": UrlLogin(username="me", secret="tok=en"),
    }
    assert access_of({"ACR_TASK_GIT_TOKENS": "github.com=ghp_1"}, files=True).login("example.com") is None


def test_programs_that_are_started_do_not_see_our_settings() -> None:
    access = access_of(
        {"ACR_TASK_GIT_TOKENS": "github.com=ghp_1", "ACR_TASK_ADMIN_TOKEN": "x", "HOME": "/"}, files=True
    )
    assert access.environ == {"HOME": "/"}


@pytest.mark.parametrize("text", ["ghp_secret", "=ghp_secret", "https://github.com=ghp_secret", "github.com="])
def test_tokens_without_a_host_are_refused_and_not_shown(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_tokens(f"example.com=a {text}")
    assert "entry 2" in caught.value.message
    assert "secret" not in caught.value.message


def test_a_bare_environment_has_nothing_to_log_in_with() -> None:
    environ = {
        "PATH": "/bin", "HOME": "/home/ann", "ACR_TASK_GIT_TOKENS": "github.com=ghp_1", "SSH_AUTH_SOCK": "/run/agent",
        "GIT_ASKPASS": "/bin/ask", "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "http.extraHeader",
        "GIT_CONFIG_VALUE_0": "Authorization: x", "DOCKER_CONFIG": "/home/ann/.docker", "HTTPS_PROXY": "http://proxy",
    }  # fmt: skip
    bare = without_logins(environ)
    assert (bare["PATH"], bare["HTTPS_PROXY"]) == ("/bin", "http://proxy")
    assert not {"ACR_TASK_GIT_TOKENS", "SSH_AUTH_SOCK", "GIT_ASKPASS"} & bare.keys()
    assert (bare["HOME"], bare["DOCKER_CONFIG"], bare["GIT_CONFIG_VALUE_0"]) == ("/nonexistent", "/nonexistent", "")
