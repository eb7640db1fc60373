"""What a user's environment says about private contexts: tokens by host. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from taskengine.context.model import Access
from taskengine.context.source import Git, Tarball, UrlLogin, parse_context
from taskengine.errors import InvalidInput
from taskengine.lightpattern import pattern

TOKENS = "ACR_TASK_GIT_TOKENS"

_HOST = pattern(r"(?:\[[0-9A-Fa-f:]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)(?::[0-9]+)?")


def access_of(environ: Mapping[str, str], *, files: bool, logins: Mapping[str, UrlLogin] | None = None) -> Access:
    """Access with the tokens of `ACR_TASK_GIT_TOKENS`; the programs that are started do not get to see ours.

    `logins` by host go before those."""
    tokens = {**parse_tokens(environ.get(TOKENS, "")), **(logins or {})}
    kept = {name: value for name, value in environ.items() if not name.startswith("ACR_TASK_")}
    return Access(environ=kept, login=lambda host: tokens.get(host.lower()), files=files)


def without_logins(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without anything that lets git, ssh or a registry's client log in as its owner: tokens, agents,
    keys, credential helpers, and the home folder with all that they read there."""
    kept = {
        name: value
        for name, value in environ.items()
        if name not in (TOKENS, "SSH_AUTH_SOCK", "XDG_CONFIG_HOME", "NETRC")
        and not name.startswith(("GIT_ASKPASS", "GIT_SSH", "GIT_CONFIG", "SSH_ASKPASS"))
    }
    return kept | {
        "HOME": "/nonexistent",
        "DOCKER_CONFIG": "/nonexistent",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "credential.helper",  # an empty one takes those of the system away
        "GIT_CONFIG_VALUE_0": "",
        "GIT_SSH_COMMAND": "ssh -F /dev/null -o BatchMode=yes -o IdentitiesOnly=yes -o IdentityFile=/dev/null",
    }


def parse_tokens(text: str) -> dict[str, UrlLogin]:
    """Logins by host out of `HOST=TOKEN` or `HOST=USER:TOKEN`, separated by blanks. Errors show no token."""
    found = {}
    for number, entry in enumerate(text.split(), 1):
        host, _, login = entry.partition("=")
        user, colon, secret = login.partition(":")
        if not colon:
            user, secret = "", login
        if not _HOST.fullmatch(host) or not secret:
            raise InvalidInput(
                f"{TOKENS}: entry {number} is not understood",
                hint="write HOST=TOKEN or HOST=USER:TOKEN, with blanks between several",
            )
        found[host.lower()] = UrlLogin(username=user, secret=secret)
    return found


def login_for(context: str, token: str) -> dict[str, UrlLogin]:
    """A token (`TOKEN` or `USER:TOKEN`) that came with a context, for the host of that context and no other."""
    found = parse_context(context)
    if not token or not isinstance(found, Git | Tarball):
        return {}
    host = urlsplit(found.url).netloc.lower()
    user, colon, secret = token.partition(":")
    return {host: UrlLogin(username=user if colon else "", secret=secret if colon else token)} if host else {}
