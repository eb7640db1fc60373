"""The provider table: which vault leads where."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskengine.errors import InvalidInput
from taskengine.secrets.address import KeyvaultRef
from taskengine.secrets.table import Direct, ProviderTable, fill, load_table, table_from

REF = KeyvaultRef(vault_host="prod-1.vault.azure.net", name="Db-pass", version="7")


def test_the_first_rule_that_fits_counts(tmp_path: Path) -> None:
    path = tmp_path / "table.yaml"
    path.write_text(
        "providers:\n"
        "- {match: 'other.*', provider: value}\n"
        "- {match: 'https://PROD-*.vault.azure.net', provider: env, variable: 'X_{NAME}'}\n"
        "- {provider: file, base: /run/secrets}\n"
    )
    table = load_table(path)
    rule = table.rule_for(REF)
    assert rule
    assert (rule.provider, rule.options) == ("env", {"variable": "X_{NAME}"})
    other = table.rule_for(KeyvaultRef(vault_host="x.vault.azure.net", name="a"))
    assert other
    assert other.provider == "file"


def test_a_rule_can_fit_one_secret() -> None:
    table = table_from({"providers": [{"match": "*/secrets/db-*", "provider": "env"}]}, "t")
    assert table.rule_for(REF)
    assert table.rule_for(KeyvaultRef(vault_host="prod-1.vault.azure.net", name="x")) is None


def test_a_table_may_be_toml(tmp_path: Path) -> None:
    path = tmp_path / "table.toml"
    path.write_text('[[providers]]\nmatch = "*"\nprovider = "vault"\nkv = 1\n[vault]\naddress = "https://v"\n')
    table = load_table(path)
    assert table.rules[0].options == {"kv": "1"}
    assert table.vault == {"address": "https://v"}


def test_an_empty_table_has_no_rules(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text("")
    assert load_table(tmp_path / "t.yaml") == ProviderTable()


def test_patterns_take_the_parts_of_the_address() -> None:
    assert fill("{vault}/{name}@{version} {NAME} {VAULT} {host}", REF) == (
        "prod-1/Db-pass@7 DB_PASS PROD_1 prod-1.vault.azure.net"
    )


def test_without_a_table_only_variables_named_for_it_are_open() -> None:
    assert Direct().allows_env("ACR_TASK_SECRET_TOKEN")
    assert not Direct().allows_env("HOME")
    assert not Direct().allows_file("/etc/x")
    assert not Direct().vault


def test_a_table_says_what_direct_addresses_reach() -> None:
    closed = table_from({"direct": {"env": ["CI_*"], "files": ["/run/secrets"]}}, "t").direct
    assert (closed.allows_env("CI_A"), closed.allows_env("HOME"), closed.vault) == (True, False, False)
    assert (closed.allows_file("/run/secrets/a"), closed.allows_file("/run/secretsx")) == (True, False)
    assert not Direct.nothing().allows_file("/a")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a", "the table must be a mapping"),
        ("provider: []", "has no key 'provider'"),
        ("providers: {}\n", None),
        ("providers: 3", "must be a list"),
        ("providers: [x]", "rule 1 must be a mapping"),
        ("providers: [{match: x}]", "no known provider"),
        ("providers: [{provider: volt}]", "no known provider"),
        ("providers: [{provider: env, variabel: x}]", "has no key 'variabel'"),
        ("providers: [{provider: env, variable: [x]}]", "variable of rule 1 must be text"),
        ("providers: [{provider: env, match: 3}]", "match of rule 1"),
        ("vault: {adress: x}", "has no key 'adress'"),
        ("direct: {env: x}", "env of direct must be a list"),
        ("direct: {vault: x}", "true or false"),
        ("a: b: c", "table.yaml:1:5"),
        ("\tx: [", "table.yaml:1:1"),
        ("!!python/object:os.system x", "table.yaml:1:1"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path: Path, text: str, message: str | None) -> None:
    path = tmp_path / "table.yaml"
    path.write_text(text)
    if message is None:
        assert load_table(path).rules == ()
        return
    with pytest.raises(InvalidInput, match=message):
        load_table(path)


def test_a_misspelt_key_is_mended_in_the_hint() -> None:
    with pytest.raises(InvalidInput) as caught:
        table_from({"vault": {"adress": "x"}}, "t")
    assert caught.value.hint == "did you mean address?"


def test_no_file_is_a_table_without_rules(tmp_path: Path) -> None:
    assert load_table(tmp_path / "none.yaml") == ProviderTable()


def test_a_table_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot read the provider table"):
        load_table(tmp_path)


def test_values_do_not_show_when_a_table_is_printed() -> None:
    assert "hush" not in repr(table_from({"providers": [{"provider": "value", "values": {"a": "hush"}}]}, "t"))
