"""`login` and `logout`, and which server is meant."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from taskengine.cli.server.target import Target, address, configured, store
from taskengine.errors import InvalidInput
from taskengine.service.model import Role
from tests.cli.conftest import Outcome
from tests.cli.server.conftest import Server

Cli = Callable[..., Outcome]


def test_a_login_is_tried_stored_for_its_owner_and_forgotten(cli: Cli, idle: Server, tmp_path: Path) -> None:
    token = idle.token(Role.DEVELOPER)
    done = cli("login", "--token-stdin", idle.url, stdin=f"{token}\n")
    assert done.code == 0, done.err
    assert "(developer)" in done.err
    path = tmp_path / "data" / "server.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text())["token"] == token
    assert token not in done.err + done.out
    assert cli("run", "--no-wait", "--cmd", "alpine:3 true", "/dev/null").out == "ca1\n"
    assert f"logged out of {idle.url}" in cli("logout").err
    assert not path.exists()
    assert "there was no login" in cli("logout").err


def test_a_token_that_is_refused_is_not_stored(cli: Cli, idle: Server, tmp_path: Path) -> None:
    done = cli("login", "--token-stdin", idle.url, stdin="nonsense")
    assert done.code == 2
    assert not (tmp_path / "data" / "server.json").exists()


def test_without_a_terminal_the_token_is_not_asked_for(cli: Cli) -> None:
    done = cli("login", "https://tasks.example.com")
    assert done.code == 2
    assert "--token-stdin" in done.err


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://tasks.example.com/", "https://tasks.example.com"),
        ("tasks.example.com", "https://tasks.example.com"),
        ("localhost:8080", "http://localhost:8080"),
        ("127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://tasks.example.com:81/base", "http://tasks.example.com:81/base"),
    ],
)
def test_an_address_gets_a_scheme(text: str, url: str) -> None:
    assert address(text) == url


@pytest.mark.parametrize("text", ["", "ftp://x", "https://", "https://me:secret@x", "http://x:99999", "https://x?a=b"])
def test_what_is_no_address_is_refused_without_showing_a_secret(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        address(text)
    assert "secret" not in caught.value.message


def test_the_environment_goes_before_what_is_stored(tmp_path: Path) -> None:
    assert configured({}, tmp_path) is None
    store(tmp_path, Target(url="https://stored", token="a"))
    assert configured({}, tmp_path) == Target(url="https://stored", token="a")
    found = configured({"ACR_TASK_SERVER": "https://other", "ACR_TASK_TOKEN": "b"}, tmp_path)
    assert found == Target(url="https://other", token="b")
    # a stored token is for its own server only
    assert configured({"ACR_TASK_SERVER": "https://other"}, tmp_path) == Target(url="https://other")
    assert configured({"ACR_TASK_SERVER": "https://stored/"}, tmp_path) == Target(url="https://stored", token="a")


def test_only_http_to_another_machine_is_open() -> None:
    assert Target(url="http://tasks.example.com").is_open
    assert not Target(url="https://tasks.example.com").is_open
    assert not Target(url="http://127.0.0.1:8080").is_open
