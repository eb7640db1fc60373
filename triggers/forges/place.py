"""Where a repository's forge has its API: out of the repository's address. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

from taskengine.errors import InvalidInput

#: forges by their hosts; others' by a word in the name of the host, then by what the trigger says
_HOSTS = {
    "github.com": "github", "gitlab.com": "gitlab", "bitbucket.org": "bitbucket", "codeberg.org": "gitea",
    "gitea.com": "gitea", "dev.azure.com": "azuredevops", "ssh.dev.azure.com": "azuredevops",
    "ssh.github.com": "github", "altssh.gitlab.com": "gitlab", "altssh.bitbucket.org": "bitbucket",
    "vs-ssh.visualstudio.com": "azuredevops",
}  # fmt: skip
_WORDS = {
    "github": "github", "gitlab": "gitlab", "gitea": "gitea", "forgejo": "gitea", "bitbucket": "bitbucketserver",
    "stash": "bitbucketserver", "azure": "azuredevops",
}  # fmt: skip
_DECLARED = {
    "Github": "github", "GitLab": "gitlab", "Gitea": "gitea", "Bitbucket": "bitbucketserver",
    "VisualStudioTeamService": "azuredevops", "AzureDevOps": "azuredevops",
}  # fmt: skip
_SCP = re.compile(r"(?:[^@/\s]+@)?(\[[^\]]+\]|[^:/\s]+):(?!/{2})(.+)")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """`forge` is the module that speaks to it, `door` the name in `/hooks/NAME/TASK`; `base` is where the API begins,
    without a slash at its end; `path` is the repository's there, as its parts."""

    forge: str
    base: str
    path: tuple[str, ...]

    @property
    def door(self) -> str:
        return "bitbucket" if self.forge == "bitbucketserver" else self.forge


def place_of(url: str, declared: str = "") -> Place:
    """Where to ask about the repository of this address. `declared` is the trigger's `sourceControlType`. Raises
    InvalidInput for an address that no forge has, and for one that would send a token without encryption."""
    scheme, host, port, parts = _split(url)
    forge = _forge(host, declared)
    if not forge or len(parts) < 2:
        raise InvalidInput(
            f"{url[:200]} is no repository of a forge that is known",
            hint="set sourceControlType to Github, GitLab, Gitea, Bitbucket or AzureDevOps",
        )
    if scheme == "http" and host not in _LOOPBACK:
        raise InvalidInput(f"a token for {host} would travel without encryption", hint="use https://")
    return _PLACES[forge](f"{scheme}://{f'[{host}]' if ':' in host else host}{f':{port}' if port else ''}", host, parts)


def _split(url: str) -> tuple[str, str, int | None, tuple[str, ...]]:
    text = url.strip().partition("#")[0]
    try:
        if "://" in text:
            split = urlsplit(text)
            scheme = split.scheme.lower().removeprefix("git+")
            # the port of ssh says nothing of where the API is
            port, host, path = (split.port if scheme in ("http", "https") else None), split.hostname or "", split.path
            scheme = scheme if scheme == "http" else "https"
        elif found := _SCP.fullmatch(text):
            scheme, port, host, path = "https", None, found[1].strip("[]"), found[2]
        else:
            split = urlsplit(f"//{text}")
            scheme, port, host, path = "https", split.port, split.hostname or "", split.path
    except ValueError:
        return "", "", None, ()
    parts = tuple(part for part in unquote(path).split("/") if part)
    if any(part in (".", "..") or re.search(r"[\x00-\x1f\x7f]", part) for part in parts):
        return "", "", None, ()
    if parts:
        parts = (*parts[:-1], parts[-1].removesuffix(".git"))
    return scheme, host.lower().rstrip("."), port, parts


def _forge(host: str, declared: str) -> str:
    if host in _HOSTS:
        return _HOSTS[host]
    if host.endswith(".visualstudio.com"):
        return "azuredevops"
    if host.endswith(".ghe.com"):
        return "github"
    if declared and declared != "Github":  # which is what stands there when nobody said anything
        return _DECLARED.get(declared, "")
    named = next((forge for word, forge in _WORDS.items() if word in host), "")
    return named or _DECLARED.get(declared, "")


def _github(root: str, host: str, parts: tuple[str, ...]) -> Place:
    if host in ("github.com", "ssh.github.com"):
        base = "https://api.github.com"
    else:
        base = f"https://api.{host}" if host.endswith(".ghe.com") else f"{root}/api/v3"
    return Place(forge="github", base=base, path=parts[:2])


def _gitlab(root: str, host: str, parts: tuple[str, ...]) -> Place:
    base = "https://gitlab.com" if host == "altssh.gitlab.com" else root
    return Place(forge="gitlab", base=f"{base}/api/v4", path=parts)


def _gitea(root: str, host: str, parts: tuple[str, ...]) -> Place:  # noqa: ARG001 - the host is in the root
    # below a folder of the host, when there is one
    folder = _folder(parts[:-2])
    return Place(forge="gitea", base=f"{root}{folder}/api/v1", path=parts[-2:])


def _bitbucket(root: str, host: str, parts: tuple[str, ...]) -> Place:  # noqa: ARG001 - there is but one
    return Place(forge="bitbucket", base="https://api.bitbucket.org/2.0", path=parts[:2])


def _bitbucket_server(root: str, host: str, parts: tuple[str, ...]) -> Place:  # noqa: ARG001 - it is in the root
    """`/scm/KEY/SLUG.git`, `/projects/KEY/repos/SLUG`, or `KEY/SLUG` over ssh; below a folder, when there is one."""
    before, own = parts[:-2], parts[-2:]
    if "scm" in before:
        before = before[: before.index("scm")]
    elif "projects" in parts and "repos" in parts and parts.index("repos") == parts.index("projects") + 2:
        at = parts.index("projects")
        before, own = parts[:at], (parts[at + 1], *parts[at + 3 : at + 4])
    folder = _folder(before)
    return Place(forge="bitbucketserver", base=f"{root}{folder}", path=own)


def _azure(root: str, host: str, parts: tuple[str, ...]) -> Place:
    """`path` is the project and the repository; `base` ends with the organisation or the collection."""
    if host in ("ssh.dev.azure.com", "vs-ssh.visualstudio.com"):
        parts = parts[1:] if parts[0] == "v3" else parts
        root, parts = "https://dev.azure.com", (*parts[:-1], "_git", *parts[-1:])
    if host.endswith(".visualstudio.com") and host != "vs-ssh.visualstudio.com":
        root, parts = "https://dev.azure.com", (host.removesuffix(".visualstudio.com"), *parts)
        parts = (parts[0], *parts[2:]) if parts[1:2] == ("DefaultCollection",) else parts
    if "_git" not in parts[1:-1]:
        raise InvalidInput("an address of Azure Repos has _git in it", hint="as in dev.azure.com/ORG/PROJECT/_git/REPO")
    at = parts.index("_git", 1)
    repository = parts[at + 1]
    # a repository of its project's name may leave the project out
    organisation, project = (parts[: at - 1], parts[at - 1]) if at > 1 else (parts[:at], repository)
    return Place(forge="azuredevops", base=root + _folder(organisation), path=(project, repository))


def _folder(parts: tuple[str, ...]) -> str:
    return "".join(f"/{quote(part, safe='~')}" for part in parts)


_PLACES = {
    "github": _github, "gitlab": _gitlab, "gitea": _gitea, "bitbucket": _bitbucket,
    "bitbucketserver": _bitbucket_server, "azuredevops": _azure,
}  # fmt: skip
