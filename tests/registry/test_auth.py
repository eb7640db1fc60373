"""Registry logins: what Docker's config.json and its credential helpers hold."""

from __future__ import annotations

import base64
import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from taskengine.errors import InvalidInput, TaskEngineError, Unreachable
from taskengine.registry.auth import Login, Logins, parse_config, read_config

HUB = "https://index.docker.io/v1/"
#: a helper with two logins that writes down its arguments and what it was given on standard input
HELPER = """\
#!{python}
import json, os, pathlib, sys
given = sys.stdin.read()
with open(os.environ["HELPER_LOG"], "a") as log:
    log.write(json.dumps([sys.argv[1:], given]) + "\\n")
known = {{
    "reg.example.com": ("ann", "s3cr3t"),
    "https://index.docker.io/v1/": ("<token>", "t0k3n"),
}}
if sys.argv[1] == "list":
    print(json.dumps({{host: user for host, (user, _) in known.items()}}))
elif given in known:
    print(json.dumps({{"ServerURL": given, "Username": known[given][0], "Secret": known[given][1]}}))
elif given == "broken.example.com":
    sys.exit("no key ring here")
elif given == "strange.example.com":
    print("[1]")
elif given == "slow.example.com":
    import threading
    threading.Event().wait(60)
else:
    print("credentials not found in native keychain")
    sys.exit(1)
"""


def packed(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def logins(config: dict[str, Any], environ: dict[str, str] | None = None) -> Logins:
    return parse_config(json.dumps(config).encode(), path="config.json", environ=environ or {})


@pytest.fixture
def helper(tmp_path: Path) -> dict[str, str]:
    """An environment with the program docker-credential-fake in its PATH."""
    program = tmp_path / "docker-credential-fake"
    program.write_text(HELPER.format(python=sys.executable))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HELPER_LOG": str(tmp_path / "log"), "HOME": str(tmp_path)}


def test_a_login_is_the_base64_of_user_and_password() -> None:
    found = logins({"auths": {"reg.example.com": {"auth": packed("ann:a:b")}}})
    assert found.get("reg.example.com") == Login(username="ann", secret="a:b")
    assert found.get("other.example.com") is None


def test_docker_hub_is_found_by_any_of_its_names() -> None:
    found = logins({"auths": {HUB: {"auth": packed("ann:x")}}})
    assert found.get("docker.io") == found.get(HUB) == Login(username="ann", secret="x")


def test_a_key_with_scheme_and_path_is_the_same_host() -> None:
    assert logins({"auths": {"https://reg.example.com/v1/": {"auth": packed("a:b")}}}).get("reg.example.com")


def test_tokens_and_plain_passwords_are_read() -> None:
    found = logins({"auths": {"a.io": {"identitytoken": "i"}, "b.io": {"username": "u", "password": "p"}, "c.io": {}}})
    assert found.get("a.io") == Login(identity_token="i")
    assert found.all() == {"a.io": Login(identity_token="i"), "b.io": Login(username="u", secret="p")}


def test_secrets_do_not_show_when_a_login_is_printed() -> None:
    assert "hush" not in repr(Login(username="ann", secret="hush", identity_token="hush", registry_token="hush"))
    assert "hush" not in repr(logins({"auths": {"a.io": {"auth": packed("ann:hush")}}}))


def test_the_file_is_looked_up_in_docker_config_then_in_the_home_folder(tmp_path: Path) -> None:
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker/config.json").write_text('{"auths": {"home.io": {"identitytoken": "x"}}}')
    (tmp_path / "config.json").write_text('{"auths": {"own.io": {"identitytoken": "x"}}}')
    assert list(Logins.read({"HOME": str(tmp_path)}).all()) == ["home.io"]
    assert list(Logins.read({"HOME": str(tmp_path), "DOCKER_CONFIG": str(tmp_path)}).all()) == ["own.io"]


def test_no_file_means_no_logins(tmp_path: Path) -> None:
    assert read_config(tmp_path / "no/config.json", {}).all() == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"auths": {', "config.json:1:12"),
        (b'{"a\xff"', "no JSON"),
        (b"[]", "no JSON object"),
        (b"[" * 100_000, "no JSON"),
        (b'{"auths": []}', None),
        (b'{"auths": [1]}', "auths must be an object"),
        (b'{"auths": {"a": 1}}', "entry of a"),
        (b'{"auths": {"a": {"auth": "!!"}}}', "not the base64"),
        (b'{"auths": {"a": {"auth": "YWJj"}}}', "not the base64"),
        (b'{"credsStore": "../../bin/x"}', "no name of a credential helper"),
        (b'{"credHelpers": {"a": 3}}', "no name of a credential helper"),
    ],
)
def test_a_broken_configuration_is_refused_by_its_place(content: bytes, message: str | None) -> None:
    if message is None:
        assert parse_config(content, path="config.json", environ={}).all() == {}
        return
    with pytest.raises(InvalidInput, match=message):
        parse_config(content, path="config.json", environ={})


def test_a_helper_is_asked_on_its_standard_input(helper: dict[str, str]) -> None:
    found = logins({"credsStore": "fake"}, helper)
    assert found.get("reg.example.com") == Login(username="ann", secret="s3cr3t")
    calls = [json.loads(line) for line in Path(helper["HELPER_LOG"]).read_text().splitlines()]
    assert calls == [[["get"], "reg.example.com"]]


def test_a_helper_may_answer_with_an_identity_token(helper: dict[str, str]) -> None:
    assert logins({"credsStore": "fake"}, helper).get("docker.io") == Login(identity_token="t0k3n")


def test_a_host_with_a_helper_of_its_own_uses_that(helper: dict[str, str]) -> None:
    found = logins({"credsStore": "missing", "credHelpers": {"reg.example.com": "fake"}}, helper)
    assert found.get("reg.example.com") == Login(username="ann", secret="s3cr3t")


def test_what_the_helper_does_not_know_is_looked_up_in_the_file(helper: dict[str, str]) -> None:
    found = logins({"credsStore": "fake", "auths": {"file.io": {"auth": packed("a:b")}, "none.io": {}}}, helper)
    assert found.get("file.io") == Login(username="a", secret="b")
    assert not found.get("none.io")


def test_all_logins_are_those_of_file_and_helpers(helper: dict[str, str]) -> None:
    found = logins({"credsStore": "fake", "auths": {"file.io": {"auth": packed("a:b")}}}, helper).all()
    assert sorted(found) == ["file.io", HUB, "reg.example.com"]


def test_a_helper_that_is_not_installed_is_named(helper: dict[str, str]) -> None:
    with pytest.raises(InvalidInput, match="docker-credential-missing is not installed"):
        logins({"credsStore": "missing"}, helper).get("reg.example.com")


def test_a_failing_helper_is_told_with_its_first_words(helper: dict[str, str]) -> None:
    with pytest.raises(Unreachable, match="status 1: no key ring here"):
        logins({"credsStore": "fake"}, helper).get("broken.example.com")


def test_an_answer_that_is_no_login_is_refused(helper: dict[str, str]) -> None:
    with pytest.raises(Unreachable, match="no login"):
        logins({"credsStore": "fake"}, helper).get("strange.example.com")


def test_a_helper_that_hangs_is_given_up(helper: dict[str, str]) -> None:
    config = parse_config(b'{"credsStore": "fake"}', path="config.json", environ=helper)
    impatient = Logins(store=config.store, environ=helper, timeout=0.2)
    with pytest.raises(Unreachable, match=r"no answer within 0\.2 s"):
        impatient.get("slow.example.com")


def test_one_broken_helper_does_not_hide_the_other_logins(helper: dict[str, str]) -> None:
    config = {"credHelpers": {"reg.example.com": "fake", "broken.example.com": "fake", "x.io": "missing"}}
    told: list[TaskEngineError] = []
    assert list(logins(config, helper).all(told.append)) == ["reg.example.com"]
    assert len(told) == 2
