"""A repository's address is the same whatever its spelling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triggers.sourcecontrol.address import canonical, same_repository


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("https://github.com/octo/web.git#main:src", "git@github.com:Octo/Web"),
        ("https://ann:token@GitHub.com:443/octo/web/", "ssh://git@ssh.github.com:443/octo/web.git"),
        ("github.com/octo/web", "git://github.com/octo/web.git"),
        ("https://git.example.com/octo/web", "ssh://git@GIT.example.com:22/octo/web.git"),
        ("https://fabrikam@dev.azure.com/fabrikam/My%20Shop/_git/web", "git@ssh.dev.azure.com:v3/fabrikam/My Shop/web"),
        ("https://fabrikam.visualstudio.com/shop/_git/web", "https://dev.azure.com/fabrikam/shop/_git/web"),
    ],
)
def test_spellings_of_one_repository_are_the_same(first: str, second: str) -> None:
    assert same_repository(first, second), (canonical(first), canonical(second))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("https://git.example.com/octo/web", "https://git.example.com/octo/Web"),
        ("https://git.example.com:8443/octo/web", "https://git.example.com/octo/web"),
        ("https://github.com/octo/web", "https://github.com.evil.example/octo/web"),
        ("https://github.com@evil.example/octo/web", "https://github.com/octo/web"),
        ("", ""),
        ("/srv/git/web", "/srv/git/web"),
        ("file:///srv/git/web", "file:///srv/git/web"),
    ],
)
def test_other_repositories_and_no_addresses_are_not_the_same(first: str, second: str) -> None:
    assert not same_repository(first, second)


@given(st.text())
def test_any_text_has_a_canonical_form(text: str) -> None:
    canonical(text)
    canonical(f"https://{text}")
