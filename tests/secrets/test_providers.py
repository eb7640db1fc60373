"""Values of secrets: each by its address, all at once, every failure told together and none telling a value."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from taskengine.errors import InvalidInput, Unreachable
from taskengine.secrets.providers import Resolver, UnreachableSecrets, UnresolvedSecrets
from taskengine.secrets.table import Direct, ProviderTable, table_from
from tests.secrets.fake import FakeAzure, FakeVault


@dataclass(frozen=True)
class Entry:
    id: str
    keyvault: str
    client_id: str = ""


def resolver(table: Mapping[str, Any] | None = None, **environ: str) -> Resolver:
    everything = {"direct": {"env": ["*"], "files": ["/"], "vault": True}}
    return Resolver(table=table_from({**everything, **(table or {})}, "table"), environ=environ)


def value(address: str, table: Mapping[str, Any] | None = None, *, client_id: str = "", **environ: str) -> str:
    return resolver(table, **environ).resolve([Entry("s", address, client_id)])["s"]


def failure(address: str, table: Mapping[str, Any] | None = None, *, client_id: str = "", **environ: str) -> str:
    """What the user reads when a secret has no value."""
    with pytest.raises((UnresolvedSecrets, UnreachableSecrets)) as caught:
        resolver(table, **environ).resolve([Entry("s", address, client_id)])
    assert caught.value.hint
    return f"{caught.value.message} | {caught.value.hint}"


# Of this machine


def test_a_variable_needs_no_table() -> None:
    assert value("env://TOKEN", TOKEN=" as it is\n") == " as it is\n"
    assert "no variable NOPE" in failure("env://NOPE")


def test_a_file_is_the_secret_byte_for_byte(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b" s3cr3t\r\n\n")
    assert value(f"file://{tmp_path}/a") == " s3cr3t\r\n\n"


def test_a_file_that_cannot_be_a_secret_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "large").write_bytes(b"x" * (1024 * 1024 + 1))
    os.mkfifo(tmp_path / "pipe")
    assert "No such file" in failure(f"file://{tmp_path}/none")
    assert "no UTF-8 text" in failure(f"file://{tmp_path}/binary")
    assert "larger than" in failure(f"file://{tmp_path}/large")
    assert "no regular file" in failure(f"file://{tmp_path}/pipe")
    assert "no regular file" in failure(f"file://{tmp_path}")


def test_what_the_table_does_not_allow_directly_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a").write_text("fine")
    (tmp_path / "out").write_text("not yours")
    (tmp_path / "in/link").symlink_to(tmp_path / "out")
    table = {"direct": {"env": ["CI_*"], "files": [str(tmp_path / "in")]}}
    assert value("env://CI_TOKEN", table, CI_TOKEN="t") == "t"
    assert value(f"file://{tmp_path}/in/a", table) == "fine"
    assert "may not be used here" in failure("env://HOME", table, HOME="/root")
    assert "may not be used here" in failure(f"file://{tmp_path}/out", table)
    assert "may not be used here" in failure("vault://secret/a", table, VAULT_ADDR="http://127.0.0.1:1")
    assert "lies outside" in failure(f"file://{tmp_path}/in/link", table)
    assert "fine" not in failure(f"file://{tmp_path}/in/../out", table)


# Through the table


def test_a_key_vault_can_be_mapped_to_the_environment() -> None:
    table = {"providers": [{"match": "prod.vault.azure.net", "provider": "env", "variable": "P_{NAME}"}]}
    assert value("https://prod.vault.azure.net/secrets/db-pass", table, P_DB_PASS="x") == "x"


def test_a_key_vault_can_be_mapped_to_files_below_one_folder(tmp_path: Path) -> None:
    (tmp_path / "base/prod").mkdir(parents=True)
    (tmp_path / "base/prod/db-pass").write_text("x")
    (tmp_path / "base/prod/evil").symlink_to("/etc/hostname")
    table = {"providers": [{"provider": "file", "base": str(tmp_path / "base"), "path": "{vault}/{name}"}]}
    assert value("https://prod.vault.azure.net/secrets/db-pass", table) == "x"
    assert "lies outside" in failure("https://prod.vault.azure.net/secrets/evil", table)


def test_a_key_vault_can_be_mapped_to_values() -> None:
    table = {"providers": [{"provider": "value", "values": {"a": "x"}}]}
    assert value("https://prod.vault.azure.net/secrets/a", table) == "x"
    assert "no value for b" in failure("https://prod.vault.azure.net/secrets/b", table)


def test_a_vault_that_nobody_knows_is_refused_without_asking_the_network() -> None:
    told = failure("https://prod.vault.azure.net/secrets/a")
    assert "nothing says how to ask prod.vault.azure.net" in told
    assert "--secret ID=VALUE" in told


# HashiCorp Vault


def vault_environ(vault: FakeVault) -> dict[str, str]:
    return {"VAULT_ADDR": vault.url, "VAULT_TOKEN": "hvs.token"}


def test_a_field_of_a_vault_secret_is_read(vault: FakeVault) -> None:
    environ = vault_environ(vault)
    assert value("vault://secret/team/app#password", **environ) == "new"
    assert value("vault://secret/team/app?version=1#password", **environ) == "old"
    assert value("vault://secret/acr/prod/db-pass", **environ) == "mapped"
    assert value("vault://secret/odd#number", **environ) == "7"
    assert value("vault://old/app?kv=1", **environ) == "one"
    assert vault.seen[0].headers["x-vault-request"] == "true"


def test_a_key_vault_can_be_mapped_to_vault(vault: FakeVault, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hvs.token\n")
    rule = {"provider": "vault", "path": "acr/{vault}/{name}", "field": "value"}
    table = {"providers": [rule], "vault": {"address": vault.url + "/", "token_file": str(tmp_path / "token")}}
    assert value("https://prod.vault.azure.net/secrets/db-pass", table) == "mapped"


def test_the_namespace_is_sent(vault: FakeVault) -> None:
    vault.namespace = "team"
    assert value("vault://secret/acr/prod/db-pass", VAULT_NAMESPACE="team", **vault_environ(vault)) == "mapped"


def test_the_token_of_vault_login_is_found(vault: FakeVault, tmp_path: Path) -> None:
    (tmp_path / ".vault-token").write_text("hvs.token")
    assert value("vault://secret/acr/prod/db-pass", VAULT_ADDR=vault.url, HOME=str(tmp_path)) == "mapped"


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("vault://secret/none", "Vault has no secret secret/none"),
        ("vault://secret/deleted", "was not deleted"),
        ("vault://secret/team/app", "2 fields | name one of them: #FIELD; there are password, user"),
        ("vault://secret/team/app#pass", "no field 'pass'"),
        ("vault://secret/odd#list", "is no text"),
        ("vault://secret/page", "holds no secret"),
        ("vault://secret/sealed", "sealed"),
        ("vault://secret/standby", "points to another host, elsewhere.example.com"),
        ("vault://secret/circle", "redirects without end"),
    ],
)
def test_what_vault_refuses_is_told_with_a_way_on(vault: FakeVault, address: str, told: str) -> None:
    assert told in failure(address, **vault_environ(vault))


def test_a_redirect_on_the_same_host_is_followed(vault: FakeVault) -> None:
    assert value("vault://secret/moved", **vault_environ(vault)) == "mapped"


def test_a_token_without_the_right_policy_is_told_the_path(vault: FakeVault) -> None:
    told = failure("vault://secret/team/app#x", VAULT_ADDR=vault.url, VAULT_TOKEN="hvs.other")
    assert "its policy must allow read on secret/data/team/app" in told
    assert "hvs.other" not in told


def test_vault_without_address_or_token_says_what_is_missing(tmp_path: Path) -> None:
    assert "VAULT_ADDR" in failure("vault://secret/a")
    assert "VAULT_TOKEN" in failure("vault://secret/a", VAULT_ADDR="http://127.0.0.1:1", HOME=str(tmp_path))


def test_vault_is_not_asked_without_encryption() -> None:
    told = failure("vault://secret/a", VAULT_ADDR="http://vault.example.com:8200", VAULT_TOKEN="t")
    assert "without encryption, at vault.example.com:8200" in told


def test_a_store_that_is_not_there_is_unreachable() -> None:
    with pytest.raises(UnreachableSecrets) as caught:
        resolver(VAULT_ADDR="http://127.0.0.1:1", VAULT_TOKEN="t").resolve([Entry("s", "vault://secret/a")])
    assert isinstance(caught.value, Unreachable)
    assert caught.value.exit_code == 3


# Azure Key Vault


PRINCIPAL = {"AZURE_TENANT_ID": "tenant", "AZURE_CLIENT_ID": "app", "AZURE_CLIENT_SECRET": "s"}
SECRET = "https://v.vault.azure.net/secrets/db-pass"


def azure_table(azure: FakeAzure, **options: str) -> dict[str, Any]:
    return {"providers": [{"provider": "keyvault", "endpoint": azure.url, "authority": azure.url, **options}]}


def test_a_service_principal_reads_a_key_vault(azure: FakeAzure) -> None:
    assert value(SECRET, azure_table(azure), **PRINCIPAL) == "for principal"
    assert value(SECRET + "/0123", azure_table(azure), **PRINCIPAL) == "version 0123"


def test_a_workload_identity_reads_a_key_vault(azure: FakeAzure, tmp_path: Path) -> None:
    (tmp_path / "jwt").write_text("jwt\n")
    environ = {
        "AZURE_TENANT_ID": "tenant",
        "AZURE_CLIENT_ID": "app",
        "AZURE_FEDERATED_TOKEN_FILE": str(tmp_path / "jwt"),
    }
    assert value(SECRET, azure_table(azure), **environ) == "for principal"


def test_the_options_of_a_rule_come_before_the_environment(azure: FakeAzure, tmp_path: Path) -> None:
    (tmp_path / "s").write_text("s\n")
    options = {"tenant_id": "tenant", "client_id": "app", "client_secret_file": str(tmp_path / "s")}
    assert value(SECRET, azure_table(azure, **options), AZURE_TENANT_ID="other", AZURE_CLIENT_ID="x") == "for principal"


def test_the_client_id_of_a_secret_selects_the_managed_identity(azure: FakeAzure) -> None:
    environ = {"IDENTITY_ENDPOINT": azure.url + "/identity", "IDENTITY_HEADER": "header"}
    assert value(SECRET, azure_table(azure), **environ) == "for managed-own"
    assert value(SECRET, azure_table(azure), client_id="1b4e", **environ) == "for managed-1b4e"


def test_one_token_serves_all_secrets_of_a_run(azure: FakeAzure) -> None:
    entries = [Entry(f"s{number}", SECRET) for number in range(20)]
    found = resolver(azure_table(azure), **PRINCIPAL).resolve(entries)
    assert list(found) == [entry.id for entry in entries]
    assert [seen.method for seen in azure.seen].count("POST") == 1


def test_what_azure_refuses_is_told_with_a_way_on(azure: FakeAzure) -> None:
    table = azure_table(azure)
    hidden = failure("https://v.vault.azure.net/secrets/hidden", table, **PRINCIPAL)
    assert "does not let this identity read the secret hidden (ForbiddenByRbac)" in hidden
    assert "Key Vault Secrets User" in hidden
    assert "no secret none (SecretNotFound)" in failure("https://v.vault.azure.net/secrets/none", table, **PRINCIPAL)
    wrong = failure(SECRET, table, **{**PRINCIPAL, "AZURE_CLIENT_SECRET": "wr0ng"})
    assert "no token (status 401)" in wrong
    assert not any(word in hidden + wrong for word in ("s3cr3t", "wr0ng"))


def test_a_task_cannot_send_our_token_to_a_host_of_its_own(azure: FakeAzure) -> None:
    for host in ("evil.example.com", "v.vault.azure.net.evil.com", "evilvault.azure.net"):
        assert "is not given a token" in failure(f"https://{host}/secrets/a", azure_table(azure), **PRINCIPAL)
    assert azure.seen == []


# All together


def test_every_failure_is_told_at_once_in_the_order_of_the_task() -> None:
    entries = [Entry("a", "env://A"), Entry("b", "env://B"), Entry("c", "nonsense"), Entry("d", "env://D")]
    with pytest.raises(UnresolvedSecrets) as caught:
        resolver(B="fine").resolve(entries)
    assert [failure.id for failure in caught.value.failures] == ["a", "c", "d"]
    assert caught.value.message.startswith("3 secrets have no value\n  secret 'a': ")
    assert "fine" not in caught.value.message
    assert isinstance(caught.value, InvalidInput)


def test_a_store_that_is_silent_is_given_up(vault: FakeVault) -> None:
    impatient = Resolver(table=ProviderTable(direct=Direct(vault=True)), environ=vault_environ(vault), seconds_each=0.3)
    with pytest.raises(UnreachableSecrets, match=r"no answer within 0\.3 s"):
        impatient.resolve([Entry("s", "vault://secret/slow")])


def test_no_entries_need_no_provider() -> None:
    assert resolver().resolve([]) == {}


def test_many_entries_are_asked_for_together() -> None:
    entries = [Entry(f"s{number}", f"env://V{number}") for number in range(100)]
    environ = {f"V{number}": str(number) for number in range(100)}
    assert resolver(**environ).resolve(entries) == {f"s{number}": str(number) for number in range(100)}


def test_values_do_not_show_when_a_resolver_is_printed() -> None:
    assert "hush" not in repr(resolver(TOKEN="hush"))
