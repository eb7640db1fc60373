"""Logging in to registries: Basic and tokens on real registries, and where no login ever goes."""

from __future__ import annotations

import base64
import os
import stat
import sys
from pathlib import Path

import pytest

from taskengine.errors import Unreachable
from taskengine.registry.auth import Login, Logins, parse_config
from taskengine.registry.body import Content
from taskengine.registry.client import RegistryClient
from taskengine.registry.endpoint import Endpoint, HostConfig, Registries
from taskengine.registry.failure import Denied
from taskengine.registry.reference import ImageReference
from tests.registry.conftest import IDENTITY, PASSWORD, USER, MakeClient, MakeFake, push_image, ref
from tests.registry.fake import Asked, Fake, Say, TokenServer
from tests.support.engine import Engine
from tests.support.registry import Registry

GOOD = Login(username=USER, secret=PASSWORD)
WRONG = Login(username=USER, secret="wr0ng-password")
DIGEST = "sha256:" + "1" * 64
FOUND = {
    "Docker-Content-Digest": DIGEST,
    "Content-Length": "7",
    "Content-Type": "application/vnd.oci.image.index.v1+json",
}


def authorizations(fake: Fake) -> list[str]:
    return [one.headers.get("Authorization", "") for one in fake.asked]


def test_a_password_opens_a_registry_that_wants_basic(make_client: MakeClient, guarded: Registry) -> None:
    made = make_client(GOOD, guarded.name)
    pushed = push_image(made.client, ref(guarded))
    assert made.client.resolve(ref(guarded)).digest == pushed.digest
    assert made.client.ping(guarded.name).logged_in


def test_without_a_login_the_hint_says_how_to_log_in(make_client: MakeClient, guarded: Registry) -> None:
    client = make_client().client
    with pytest.raises(Denied) as caught:
        client.resolve(ref(guarded))
    assert f"docker login {guarded.name}" in (caught.value.hint or "")
    assert client.ping(guarded.name).wants_login


def test_a_wrong_password_is_denied_and_never_shown(make_client: MakeClient, guarded: Registry) -> None:
    client = make_client(WRONG, guarded.name).client
    with pytest.raises(Denied) as caught:
        client.resolve(ref(guarded))
    with pytest.raises(Denied):
        client.ping(guarded.name)
    assert WRONG.secret not in f"{caught.value} {caught.value.hint}"


def test_a_credential_helper_gives_the_login(tmp_path: Path, guarded: Registry) -> None:
    program = tmp_path / "docker-credential-fake"
    answer = f'{{"Username": "{USER}", "Secret": "{PASSWORD}"}}'
    program.write_text(f"#!{sys.executable}\nprint('''{answer}''')\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    logins = parse_config(b'{"credsStore": "fake"}', path="config.json", environ=environ)
    with RegistryClient(logins) as client:
        assert client.ping(guarded.name).logged_in


@pytest.mark.parametrize("login", [GOOD, Login(identity_token=IDENTITY)], ids=["password", "identity token"])
def test_a_login_is_exchanged_for_a_token(make_client: MakeClient, tokened: Registry, login: Login) -> None:
    client = make_client(login, tokened.name).client
    where = ref(tokened, f"secret/{'a' if login.secret else 'b'}:1")
    pushed = push_image(client, where)
    assert client.resolve(where).digest == pushed.digest


def test_a_ready_token_is_used_as_it_is(make_client: MakeClient, tokened: Registry, token_server: TokenServer) -> None:
    where = ref(tokened, "ready:1")
    pushed = push_image(make_client(GOOD, tokened.name).client, where)
    before = len(token_server.fake.asked)
    ready = Login(registry_token=token_server.token(["repository:ready:pull"], True))
    client = make_client(ready, tokened.name).client
    assert client.resolve(where).digest == client.manifest(where).digest == pushed.digest
    assert len(token_server.fake.asked) == before


def test_without_a_login_an_anonymous_token_may_read_what_is_public(make_client: MakeClient, tokened: Registry) -> None:
    for name in ("public/one:1", "secret/one:1"):
        push_image(make_client(GOOD, tokened.name).client, ref(tokened, name))
    client = make_client().client
    assert client.resolve(ref(tokened, "public/one:1"))
    with pytest.raises(Denied):
        client.resolve(ref(tokened, "secret/one:1"))
    with pytest.raises(Denied):
        client.push_blob(ref(tokened, "public/one:1"), Content.of_bytes(b"x"))


@pytest.mark.parametrize("login", [WRONG, Login(identity_token="stale-t0ken")], ids=["password", "identity token"])
def test_a_token_server_that_refuses_the_login_is_quoted_without_it(
    make_client: MakeClient, tokened: Registry, login: Login
) -> None:
    with pytest.raises(Denied, match="logging in to") as caught:
        make_client(login, tokened.name).client.resolve(ref(tokened))
    text = f"{caught.value} {caught.value.hint}"
    assert WRONG.secret not in text
    assert "stale-t0ken" not in text


def test_one_token_serves_all_requests_of_a_repository(
    make_client: MakeClient, tokened: Registry, token_server: TokenServer
) -> None:
    client = make_client(GOOD, tokened.name).client
    where = ref(tokened, "thrifty:1")
    push_image(client, where)
    before = len(token_server.fake.asked)
    for _ in range(3):
        client.resolve(where)
        client.manifest(where)
    assert len(token_server.fake.asked) - before == 1


def test_a_mount_asks_for_both_repositories(make_client: MakeClient, tokened: Registry) -> None:
    client = make_client(GOOD, tokened.name).client
    content = Content.of_bytes(b"mounted with a token")
    client.push_blob(ref(tokened, "secret/from:1"), content)
    assert client.mount(ref(tokened, "secret/to:1"), content.digest, "secret/from")


def test_an_expired_token_is_fetched_again(make_client: MakeClient, fake: MakeFake) -> None:
    given: list[str] = []

    def answer(asked: Asked) -> Say:
        if asked.path == "/token":
            given.append(f"t{len(given)}")
            return Say.json({"token": given[-1], "expires_in": 300})
        if given and asked.headers.get("Authorization") == f"Bearer {given[-1]}" and revoked != given[-1]:
            return Say(headers=FOUND)
        return Say(status=401, headers={"WWW-Authenticate": f'Bearer realm="{server.url}/token",service="s"'})

    revoked = ""
    server = fake(answer)
    client = make_client().client
    client.resolve(ref(server))
    revoked = "t0"
    assert client.resolve(ref(server)).digest == DIGEST
    assert given == ["t0", "t1"]


def test_a_token_before_a_password_when_both_would_do(make_client: MakeClient, fake: MakeFake) -> None:
    def answer(asked: Asked) -> Say:
        if asked.path == "/token":
            return Say.json({"access_token": "tok"})
        if asked.headers.get("Authorization") == "Bearer tok":
            return Say(headers=FOUND)
        return Say(status=401, headers={"WWW-Authenticate": f'Basic realm="x, y", Bearer realm="{server.url}/token"'})

    server = fake(answer)
    assert make_client(GOOD, server.name).client.resolve(ref(server)).digest == DIGEST
    assert [one for one in authorizations(server) if one.startswith("Basic")] == [basic(GOOD)]  # the token server's


def basic(login: Login) -> str:
    return "Basic " + base64.b64encode(f"{login.username}:{login.secret}".encode()).decode()


def test_storage_that_a_blob_is_redirected_to_sees_no_login(make_client: MakeClient, fake: MakeFake) -> None:
    content = b"from the storage"
    wanted = Content.of_bytes(content)
    storage = fake(lambda _: Say(body=content))

    def answer(asked: Asked) -> Say:
        if asked.headers.get("Authorization") != basic(GOOD):
            return Say(status=401, headers={"WWW-Authenticate": 'Basic realm="r"'})
        return Say(status=307, headers={"Location": f"{storage.url}/bucket/blob?sig=permission"})

    server = fake(answer)
    client = make_client(GOOD, server.name).client
    assert client.blob_bytes(ref(server), wanted.digest, 100) == content
    assert authorizations(storage) == [""]


def test_a_challenge_of_the_storage_gets_no_login(make_client: MakeClient, fake: MakeFake) -> None:
    storage = fake(lambda _: Say(status=401, headers={"WWW-Authenticate": 'Basic realm="give me"'}))
    server = fake(lambda _: Say(status=307, headers={"Location": f"{storage.url}/blob"}))
    with pytest.raises(Denied):
        make_client(GOOD, server.name).client.blob_bytes(ref(server), DIGEST, 100)
    assert authorizations(storage) == [""]


def test_an_upload_address_on_another_host_sees_no_login(make_client: MakeClient, fake: MakeFake) -> None:
    storage = fake(lambda _: Say(status=201))

    def answer(asked: Asked) -> Say:
        if not asked.headers.get("Authorization"):
            return Say(status=401, headers={"WWW-Authenticate": 'Basic realm="r"'})
        return Say(status=404) if asked.method == "HEAD" else Say(status=202, headers={"Location": f"{storage.url}/up"})

    server = fake(answer)
    make_client(GOOD, server.name).client.push_blob(ref(server), Content.of_bytes(b"x"))
    assert storage.count("PUT") == 1
    assert authorizations(storage) == [""]


def test_plain_http_off_loopback_shows_no_login(
    make_client: MakeClient, engine: Engine, registry_auth: Registry
) -> None:
    name = registry_auth.shared_name
    login = Login(username=registry_auth.user, secret=registry_auth.password)
    if registry_auth.address == "127.0.0.1":
        assert engine.is_ours is False  # a guest's registry is on loopback, where nobody listens
        return
    hosts = {name: HostConfig(plain_http=True)}
    made = make_client(login, name, Registries(hosts=hosts))
    with pytest.raises(Denied) as caught:
        made.client.ping(name)
    assert "login_in_clear" in (caught.value.hint or "")
    assert any("not sent" in notice for notice in made.notices)
    open_hosts = {name: HostConfig(plain_http=True, login_in_clear=True)}
    assert make_client(login, name, Registries(hosts=open_hosts)).client.ping(name).logged_in


def test_the_engines_own_registry_is_read_over_plain_http_where_configured(
    make_client: MakeClient, engine: Engine
) -> None:
    name = engine.registry_shared
    client = make_client(registries=Registries(hosts={name: HostConfig(plain_http=True)})).client
    found = client.manifest(ImageReference.parse(f"{name}/base/busybox:1"))
    assert client.config(ImageReference.parse(f"{name}/base/busybox:1"))["os"] == "linux"
    assert found.layers


@pytest.mark.parametrize(
    "realm", ["http://tokens.invalid/token", "http://127.0.0.1:1/token", "ftp://x/y", "", "https://u:p@x/"]
)
def test_a_token_server_that_is_less_protected_than_the_registry_is_not_asked(realm: str) -> None:
    from taskengine.registry.authorizer import Authorizer

    authorizer = Authorizer(Logins(), Registries(), lambda _: None)
    with pytest.raises(Unreachable, match="token server"):
        authorizer._token_server(Endpoint(base="https://registry.invalid", host="registry.invalid"), realm)


def test_a_registry_that_repeats_a_secret_does_not_get_it_shown(make_client: MakeClient, fake: MakeFake) -> None:
    def answer(asked: Asked) -> Say:
        given = asked.headers.get("Authorization", "")
        if not given:
            return Say(status=401, headers={"WWW-Authenticate": 'Basic realm="r"'})
        return Say.error(403, "DENIED", f"{given} {GOOD.secret} is not allowed")

    server = fake(answer)
    with pytest.raises(Denied) as caught:
        make_client(GOOD, server.name).client.manifest(ref(server))
    assert GOOD.secret not in str(caught.value)
    assert basic(GOOD).removeprefix("Basic ") not in str(caught.value)
    assert "is not allowed" in str(caught.value)


def test_a_netrc_file_is_not_read(
    make_client: MakeClient, fake: MakeFake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login ann password netrc-password\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    server = fake(lambda _: Say(headers=FOUND))
    make_client().client.resolve(ref(server))
    assert authorizations(server) == [""]
