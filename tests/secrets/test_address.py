"""What may stand in a secret's keyvault field."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskengine.errors import InvalidInput
from taskengine.secrets.address import EnvRef, FileRef, KeyvaultRef, VaultRef, parse_address, parse_keyvault_url


@pytest.mark.parametrize(
    ("url", "ref"),
    [
        ("https://v.vault.azure.net/secrets/a", KeyvaultRef(vault_host="v.vault.azure.net", name="a")),
        ("https://V.vault.azure.net/Secrets/A-b/", KeyvaultRef(vault_host="v.vault.azure.net", name="A-b")),
        ("HTTPS://v.vault.azure.cn/secrets/a/0f", KeyvaultRef(vault_host="v.vault.azure.cn", name="a", version="0f")),
        ("https://v.corp.example:8443/secrets/a", KeyvaultRef(vault_host="v.corp.example:8443", name="a")),
    ],
)
def test_a_key_vault_secret_is_named_by_its_url(url: str, ref: KeyvaultRef) -> None:
    assert parse_keyvault_url(url) == ref
    assert parse_address(url) == ref


@pytest.mark.parametrize(
    "url",
    [
        "",
        "just-a-name",
        "http://v.vault.azure.net/secrets/a",
        "ftp://v.vault.azure.net/secrets/a",
        "https://",
        "https:///secrets/a",
        "https://localhost/secrets/a",
        "https://v.vault.azure.net",
        "https://v.vault.azure.net/",
        "https://v.vault.azure.net/secrets",
        "https://v.vault.azure.net/secrets/",
        "https://v.vault.azure.net/secrets//a",
        "https://v.vault.azure.net/secrets/..",
        "https://v.vault.azure.net/secrets/a%2Fb",
        "https://v.vault.azure.net/secrets/a/b/c",
        "https://v.vault.azure.net/keys/a",
        "https://v.vault.azure.net/secrets/a?x=1",
        "https://v.vault.azure.net/secrets/a#x",
        "https://u:p@v.vault.azure.net/secrets/a",
        "https://v.vault.azure.net/secrets/a b",
        "https://v.vault.azure.net/secrets/a\n",
        "https://[v/secrets/a",
        "https://v.vault.azure.net:x/secrets/a",
    ],
)
def test_another_text_is_no_key_vault_url(url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_keyvault_url(url)
    assert caught.value.hint


def test_a_password_in_an_address_is_not_repeated() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_keyvault_url("https://me:hush@v.vault.azure.net/secrets/a")
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("env://DEPLOY_TOKEN", EnvRef(name="DEPLOY_TOKEN")),
        ("file:///run/secrets/a%20b", FileRef(path="/run/secrets/a b")),
        ("vault://secret/team/app#password", VaultRef(mount="secret", path="team/app", field="password")),
        ("vault://secret/app?version=3", VaultRef(mount="secret", path="app", version="3")),
        ("vault://Team%2Fkv/app?kv=1", VaultRef(mount="Team/kv", path="app", kv="1")),
    ],
)
def test_other_addresses_need_no_table(text: str, address: object) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "env://",
        "env://A-B",
        "env://1A",
        "env://A/B",
        "file://relative/path",
        "file://",
        "file:///folder/",
        "file:///a%00b",
        "vault://secret",
        "vault://secret/",
        "vault:///app",
        "vault://secret/a/../b",
        "vault://secret/a//b",
        "vault://secret/a?version=x",
        "vault://secret/a?kv=3",
        "vault://secret/a?other=1",
    ],
)
def test_a_wrong_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_address(text)


@given(st.one_of(st.text(max_size=60), st.from_regex(r"(https|env|file|vault)://[a-z./%#?=@\[\]:0-9-]{0,40}")))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        parse_address(text)
    except InvalidInput:
        return
