"""What the text of a context means."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from taskengine.context.source import (
    Git,
    Local,
    NoContext,
    Oci,
    Stdin,
    Tarball,
    UrlLogin,
    is_remote,
    parse_context,
    secrets_of,
    shown,
)
from taskengine.errors import InvalidInput

SUM = "a" * 64


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (".", Local(path=".")),
        ("/srv/app", Local(path="/srv/app")),
        ("app#main", Local(path="app#main")),
        ("host:path", Local(path="host:path")),
        ("/dev/null", NoContext()),
        ("-", Stdin()),
        ("https://host/path.git", Git(url="https://host/path.git")),
        ("https://host/path.git#main:sub/dir", Git(url="https://host/path.git", ref="main", subdir="sub/dir")),
        ("https://host/path.git#:sub", Git(url="https://host/path.git", subdir="sub")),
        ("https://host/path.git#pull/7/head", Git(url="https://host/path.git", ref="pull/7/head")),
        ("https://host:8443/path.git#v1", Git(url="https://host:8443/path.git", ref="v1")),
        ("https://host/any#main", Git(url="https://host/any", ref="main")),
        ("https://github.com/user/repo", Git(url="https://github.com/user/repo")),
        ("https://github.com/user/repo/", Git(url="https://github.com/user/repo")),
        ("https://github.com/user/repo#main:a", Git(url="https://github.com/user/repo", ref="main", subdir="a")),
        ("https://gitlab.com/group/sub/repo", Git(url="https://gitlab.com/group/sub/repo")),
        ("github.com/user/repo", Git(url="https://github.com/user/repo")),
        ("github.com/user/repo.git#dev", Git(url="https://github.com/user/repo.git", ref="dev")),
        ("git@github.com:user/repo.git#main:a", Git(url="git@github.com:user/repo.git", ref="main", subdir="a")),
        ("git@ssh.dev.azure.com:v3/org/project/repo", Git(url="git@ssh.dev.azure.com:v3/org/project/repo")),
        ("git://host/path#abc1234", Git(url="git://host/path", ref="abc1234")),
        ("ssh://git@host:2222/path.git", Git(url="ssh://git@host:2222/path.git")),
        ("git+ssh://git@host/path", Git(url="ssh://git@host/path")),
        ("git+https://host/path", Git(url="https://host/path")),
        ("file:///srv/repo.git#main", Git(url="file:///srv/repo.git", ref="main")),
        ("file:///srv/app.tar.gz", Tarball(url="file:///srv/app.tar.gz")),
        ("https://dev.azure.com/org/project/_git/repo", Git(url="https://dev.azure.com/org/project/_git/repo")),
        (
            "https://org@dev.azure.com/org/project/_git/repo#main:web",
            Git(
                url="https://dev.azure.com/org/project/_git/repo",
                ref="main",
                subdir="web",
                login=UrlLogin(username="org"),
            ),
        ),
        (
            "https://org.visualstudio.com/DefaultCollection/project/_git/repo",
            Git(url="https://org.visualstudio.com/DefaultCollection/project/_git/repo"),
        ),
        ("https://host/app.tar.gz", Tarball(url="https://host/app.tar.gz")),
        ("https://host/app.tgz?sig=a%2Fb", Tarball(url="https://host/app.tgz?sig=a%2Fb")),
        ("https://host/download/7", Tarball(url="https://host/download/7")),
        (f"https://host/app.tar.xz#sha256={SUM}", Tarball(url="https://host/app.tar.xz", sha256=SUM)),
        (
            f"https://host/7#sha256={SUM.upper()}:app-1",
            Tarball(url="https://host/7", sha256=SUM, subdir="app-1"),
        ),
        (f"https://host/7#sha256:{SUM}", Tarball(url="https://host/7", sha256=SUM)),
        ("https://host/a.tar#:app-1/web", Tarball(url="https://host/a.tar", subdir="app-1/web")),
        (
            "https://github.com/user/repo/archive/refs/tags/v1.tar.gz",
            Tarball(url="https://github.com/user/repo/archive/refs/tags/v1.tar.gz"),
        ),
        ("oci://registry.example.com/team/app:1", Oci(reference="registry.example.com/team/app:1")),
        ("oci://registry.example.com/app#web", Oci(reference="registry.example.com/app", subdir="web")),
        (f"oci://localhost:5000/app@sha256:{SUM}", Oci(reference=f"localhost:5000/app@sha256:{SUM}")),
    ],
)
def test_every_form_of_a_context_is_told_apart(text: str, expected: object) -> None:
    assert parse_context(text) == expected


@pytest.mark.parametrize(
    ("text", "login"),
    [
        ("https://me:s3cret@host/r.git", UrlLogin(username="me", secret="s3cret")),
        ("https://ghp_0123456789abcdefghij@github.com/u/r", UrlLogin(secret="ghp_0123456789abcdefghij")),
        ("https://me@host/r.git", UrlLogin(username="me")),
        ("https://:t%40ken@host/r.git", UrlLogin(secret="t@ken")),
    ],
)
def test_a_login_is_taken_out_of_the_address(text: str, login: UrlLogin) -> None:
    found = parse_context(text)
    assert isinstance(found, Git)
    assert found.login == login
    assert "@" not in found.url
    assert not login.secret or login.secret not in repr(found)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "--upload-pack=touch",
        "ext::sh -c whoami",
        "ext::sh",
        "fd::17",
        "ftp://host/x.tar",
        "s3://bucket/x",
        "https://",
        "https://host:port/x.git",
        "https://-oProxyCommand=x/r.git",
        "ssh://-oProxyCommand=touch/r.git",
        "ssh://-l@host/r.git",
        "ssh://git:password@host/r.git",
        "ssh://host",
        "git@host:-path",
        "https://host/r.git#--upload-pack=x",
        "https://host/r.git#-b",
        "https://host/r.git#a..b",
        "https://host/r.git#a b",
        "https://host/r.git#+main",
        "https://host/r.git#a^{tree}",
        "https://host/r.git#main:../up",
        "https://host/r.git#main:.git/hooks",
        "https://host/r.git#main:a:b\n",
        "https://host/a b.git",
        "https://host/a\\b.git",
        "https://host/\nr.git",
        "https://host/x.zip",
        "https://host/x.tar#sha256=abc",
        "https://host/x.tar#main",
        "file://otherhost/r.git",
        "oci://user:pw@registry.example.com/app",
        "oci://registry.example.com/App",
        "oci://",
        "https://github.com/user/repo/tree/main/web",
        "https://host/" + "x" * 5000,
    ],
)
def test_what_is_no_context_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_context(text)


def test_the_page_of_a_folder_says_which_context_it_shows() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_context("https://github.com/user/repo/tree/main/web/app")
    assert caught.value.hint == "write https://github.com/user/repo.git#main:web/app"


@pytest.mark.parametrize(
    ("text", "secrets"),
    [
        ("https://me:s3%2Fcret@host/r.git#x", ("s3%2Fcret", "s3/cret")),
        ("https://ghp_0123456789abcdefghij@github.com/u/r", ("ghp_0123456789abcdefghij",)),
        ("https://me@host/r.git", ()),
        ("git@host:r", ()),
        ("/srv/a@b", ()),
    ],
)
def test_what_to_mask_of_an_address_is_known(text: str, secrets: tuple[str, ...]) -> None:
    assert secrets_of(text) == secrets


def test_an_error_never_repeats_a_login() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_context("https://me:s3cret@host/x.zip")
    assert "s3cret" not in caught.value.message
    assert shown("https://me:s3cret@host/x") == "https://host/x"


_URLISH = st.text(alphabet="abgit@:/#.-_%=?&+[]0~ \\\n", max_size=40)


@given(st.one_of(st.text(max_size=60), st.builds(str.__add__, st.sampled_from(
    ["https://", "git@host:", "ssh://", "git://", "file://", "oci://", "github.com/", "https://h/r.git#", "git+https://"]
), _URLISH)))  # fmt: skip
@example("https://[::1]/r.git")
@example("https://[/r.git")
@example("https://host/r.git#")
@example("ssh://@host/x")
def test_any_text_is_a_context_or_a_refusal_and_never_dangerous(text: str) -> None:
    try:
        found = parse_context(text)
    except InvalidInput:
        return
    assert is_remote(text) == isinstance(found, Git | Tarball | Oci)
    for value in (getattr(found, name, "") for name in ("url", "ref", "subdir", "reference")):
        assert not value.startswith("-")
        assert "\n" not in value
    assert ".." not in getattr(found, "subdir", "").split("/")
    if isinstance(found, Git | Tarball):
        assert "::" not in found.url.split("/")[0]


@given(st.from_regex(r"[a-z][a-z0-9._/-]{0,20}[a-z0-9]", fullmatch=True), st.from_regex(r"[a-z0-9]{1,9}(/[a-z]{1,9})?", fullmatch=True))  # fmt: skip
def test_ref_and_folder_come_back_as_they_were_written(ref: str, subdir: str) -> None:
    try:
        found = parse_context(f"https://host/r.git#{ref}:{subdir}")
    except InvalidInput:
        assert any(bad in ref for bad in ("..", "//", "/.", ".lock"))
        return
    assert found == Git(url="https://host/r.git", ref=ref, subdir=subdir)
