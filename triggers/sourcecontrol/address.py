"""Repository addresses: one spelling for all that mean the same repository. Pure."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

_PORTS = {"https": 443, "http": 80, "ssh": 22, "git": 9418, "git+ssh": 22, "ssh+git": 22}
_SCP = re.compile(r"(?:[^@/\s]+@)?(\[[^\]]+\]|[^:/\s]+):(?!/{2})(.+)")
#: other names of the same hosts, for ssh through proxies
_HOSTS = {
    "ssh.github.com": "github.com", "www.github.com": "github.com", "altssh.gitlab.com": "gitlab.com",
    "altssh.bitbucket.org": "bitbucket.org", "ssh.dev.azure.com": "dev.azure.com",
    "vs-ssh.visualstudio.com": "dev.azure.com",
}  # fmt: skip
#: hosts that do not tell upper case from lower in the names of repositories
_CASELESS = frozenset({"github.com", "gitlab.com", "bitbucket.org", "codeberg.org", "gitea.com", "dev.azure.com"})


def canonical(url: str) -> str:
    """`host[:port]/path`, without login, `.git`, branch and folder; empty for what is no address of a repository.

    The scheme does not count: a task may name the https address, and the forge's event the one for ssh."""
    text = url.strip().partition("#")[0]
    try:
        host, port, path = _parts(text)
    except ValueError:
        return ""
    path = re.sub(r"/{2,}", "/", unquote(path)).strip("/").removesuffix(".git").strip("/")
    host = host.lower().rstrip(".")
    if not host or not path:
        return ""
    if host.endswith(".visualstudio.com") and host not in _HOSTS:  # the old address of an organisation
        path = f"{host.removesuffix('.visualstudio.com')}/{path.removeprefix('DefaultCollection/')}"
        host = "dev.azure.com"
    known = _HOSTS.get(host)
    host, port = (known, None) if known else (host, port)
    if host == "dev.azure.com":
        path = path.removeprefix("v3/").replace("/_git/", "/")
    if host in _CASELESS:
        path = path.lower()
    return f"{host}:{port}/{path}" if port else f"{host}/{path}"


def same_repository(first: str, second: str) -> bool:
    """Whether both are addresses of one repository."""
    return bool(found := canonical(first)) and found == canonical(second)


def _parts(text: str) -> tuple[str, int | None, str]:
    if "://" in text:
        split = urlsplit(text)
        scheme = split.scheme.lower()
        if scheme not in _PORTS:
            return "", None, ""
        port = None if split.port == _PORTS[scheme] else split.port
        return split.hostname or "", port, split.path
    if found := _SCP.fullmatch(text):
        return found[1].strip("[]"), None, found[2]
    host, _, path = text.partition("/")
    split = urlsplit(f"//{host}")  # `github.com/owner/repository`, as ACR takes it
    return (split.hostname or "", split.port, path) if "." in host else ("", None, "")
