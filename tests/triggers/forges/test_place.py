"""Where a forge's API is, out of the address of a repository."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskengine.errors import InvalidInput
from triggers.forges import api_of
from triggers.forges.place import place_of

PLACES = [
    ("https://github.com/octo/web.git", "", "github", "https://api.github.com", ("octo", "web")),
    ("git@github.com:octo/web.git", "", "github", "https://api.github.com", ("octo", "web")),
    ("ssh://git@ssh.github.com:443/octo/web", "", "github", "https://api.github.com", ("octo", "web")),
    ("https://git.corp.example/octo/web", "Github", "github", "https://git.corp.example/api/v3", ("octo", "web")),
    ("https://corp.ghe.com/octo/web", "Github", "github", "https://api.corp.ghe.com", ("octo", "web")),
    ("https://gitlab.com/a/b/c.git#main", "", "gitlab", "https://gitlab.com/api/v4", ("a", "b", "c")),
    ("https://gitlab.corp.example:8443/a/b", "", "gitlab", "https://gitlab.corp.example:8443/api/v4", ("a", "b")),
    ("ssh://git@git.corp.example:2222/a/b.git", "GitLab", "gitlab", "https://git.corp.example/api/v4", ("a", "b")),
    ("https://codeberg.org/octo/web", "", "gitea", "https://codeberg.org/api/v1", ("octo", "web")),
    ("https://corp.example/gitea/octo/web", "Gitea", "gitea", "https://corp.example/gitea/api/v1", ("octo", "web")),
    ("http://127.0.0.1:3000/octo/web.git", "Gitea", "gitea", "http://127.0.0.1:3000/api/v1", ("octo", "web")),
    ("https://me@bitbucket.org/octo/web.git", "", "bitbucket", "https://api.bitbucket.org/2.0", ("octo", "web")),
    ("https://bitbucket.corp.example/scm/key/web.git", "", "bitbucketserver", "https://bitbucket.corp.example", ("key", "web")),
    ("https://corp.example/bb/scm/~ann/web.git", "Bitbucket", "bitbucketserver", "https://corp.example/bb", ("~ann", "web")),
    ("https://corp.example/projects/KEY/repos/web/browse", "Bitbucket", "bitbucketserver", "https://corp.example", ("KEY", "web")),
    ("ssh://git@stash.corp.example:7999/key/web.git", "", "bitbucketserver", "https://stash.corp.example", ("key", "web")),
    ("https://dev.azure.com/org/pro%20ject/_git/web", "", "azuredevops", "https://dev.azure.com/org", ("pro ject", "web")),
    ("https://dev.azure.com/org/_git/web", "", "azuredevops", "https://dev.azure.com/org", ("web", "web")),
    ("git@ssh.dev.azure.com:v3/org/project/web", "", "azuredevops", "https://dev.azure.com/org", ("project", "web")),
    ("https://org.visualstudio.com/DefaultCollection/project/_git/web", "", "azuredevops", "https://dev.azure.com/org", ("project", "web")),
    ("https://tfs.corp.example/tfs/coll/project/_git/web", "AzureDevOps", "azuredevops", "https://tfs.corp.example/tfs/coll", ("project", "web")),
]  # fmt: skip


@pytest.mark.parametrize(("url", "declared", "forge", "base", "path"), PLACES)
def test_the_api_follows_from_the_address(
    url: str, declared: str, forge: str, base: str, path: tuple[str, ...]
) -> None:
    found = place_of(url, declared)
    assert (found.forge, found.base, found.path) == (forge, base, path)
    assert api_of(found) is not None


@pytest.mark.parametrize(
    "url", ["", "nonsense", "https://github.com", "https://git.example.com/octo/web", "file:///x/y"]
)
def test_what_no_forge_has_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput):
        place_of(url, "Generic")


def test_a_token_is_not_sent_without_encryption() -> None:
    with pytest.raises(InvalidInput, match="without encryption"):
        place_of("http://gitea.example.com/octo/web", "Gitea")


@pytest.mark.parametrize("path", ["octo/../../admin", "./x/y", "octo/we\x01b"])
def test_a_path_leads_nowhere_else(path: str) -> None:
    with pytest.raises(InvalidInput):
        place_of(f"https://gitea.example.com/{path}", "Gitea")


@given(st.text(max_size=80), st.sampled_from(["", "Github", "GitLab", "Gitea", "Bitbucket", "AzureDevOps", "Generic"]))
def test_any_address_is_a_place_or_invalid(text: str, declared: str) -> None:
    for url in (text, f"https://{text}", f"https://example.com/{text}", f"git@example.com:{text}"):
        try:
            place_of(url, declared)
        except InvalidInput:
            continue
