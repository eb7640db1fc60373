"""What a context's text means: `parse_context` reads it into one of six kinds. Pure.

Follows `docker build`'s rules for addresses and adds those of ACR (Azure Repos, `oci://`). Looks at no disk and no
network: whether a folder or a repository exists is found out by whoever uses it. A login inside an address is taken
out of it here, so that no address further on carries one.
"""

from __future__ import annotations

import re
from dataclasses import field
from urllib.parse import SplitResult, unquote, urlsplit

from taskengine.context.address import SCP, TOKEN_LENGTH, TRANSPORT
from taskengine.context.address import is_remote as is_remote  # and the others: part of what is asked of a text
from taskengine.context.address import secrets_of as secrets_of
from taskengine.context.address import shown as shown
from taskengine.errors import InvalidInput
from taskengine.lightclass import dataclass
from taskengine.lightpattern import pattern

NO_CONTEXT = "/dev/null"
STDIN = "-"

_LONGEST = 4096

_ARCHIVE = pattern(r"\.(?:tar(?:\.(?:gz|bz2|xz|zst|zstd))?|tgz|tbz2?|txz|tzst)$", re.IGNORECASE)
_ZIP = pattern(r"\.(?:zip|7z|rar)$", re.IGNORECASE)
_HOST = pattern(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[?[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\]?")
_SHA256 = pattern(r"sha256[=:](?P<hex>[0-9A-Fa-f]*)")
_NOT_IN_A_REF = pattern(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(?:/|$)")
_CONTROL = pattern(r"[\x00-\x20\x7f\\]")
#: forges whose repositories have addresses that end in no `.git`, and whether groups may be nested
_FORGES = {
    "github.com": False,
    "www.github.com": False,
    "bitbucket.org": False,
    "codeberg.org": False,
    "gitlab.com": True,
}
_PAGES = pattern(r"^/(?P<repo>[^/]+/[^/]+(?:/-)?)/(?:tree|blob|src(?:/branch)?)/(?P<ref>[^/]+)/?(?P<dir>.*)$")


@dataclass(frozen=True, kw_only=True, slots=True)
class UrlLogin:
    """The login that stood in an address. Without a secret it is a user name for git's credential helpers."""

    username: str = ""
    secret: str = field(default="", repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Local:
    """A folder of this machine."""

    path: str


@dataclass(frozen=True, kw_only=True, slots=True)
class NoContext:
    """`/dev/null`: there is no context."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stdin:
    """`-`: an archive, or a Dockerfile alone, on standard input."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Git:
    """A folder of a repository: `ref` is a branch, a tag, a commit (full or short) or any other ref, "" the default."""

    url: str
    ref: str = ""
    subdir: str = ""
    login: UrlLogin | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Tarball:
    """A folder of an archive. `sha256` is what the archive's bytes must hash to, in lower-case digits, or ""."""

    url: str
    sha256: str = ""
    subdir: str = ""
    login: UrlLogin | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Oci:
    """A folder of an artifact in a registry. `reference` is the text of an image reference."""

    reference: str
    subdir: str = ""


Context = Local | Git | Tarball | Oci | NoContext | Stdin
Remote = Git | Tarball | Oci


def parse_context(text: str) -> Context:
    """The kind of context that `text` names. Raises InvalidInput for what looks like an address and is none."""
    if not text:
        raise InvalidInput("the context is empty", hint=f"name a folder, an address, or {NO_CONTEXT} for no context")
    if text == NO_CONTEXT:
        return NoContext()
    if text == STDIN:
        return Stdin()
    if text.startswith("-"):
        raise _no_context(text, "it begins with a dash", hint=f"write ./{text} if this is a folder")
    if not is_remote(text):
        return Local(path=text)
    address, _, fragment = text.partition("#")
    if len(text) > _LONGEST:
        raise _no_context(text, f"it is longer than {_LONGEST} characters")
    if _CONTROL.search(address):
        raise _no_context(text, "an address holds no blanks, control characters or backslashes")
    if TRANSPORT.match(address):
        raise _no_context(text, "transports other than git's own are not used", hint="use https://, ssh:// or git://")
    if address.lower().startswith("github.com/"):
        address = f"https://{address}"
    if found := SCP.fullmatch(address):
        return _scp(text, found, fragment)
    return _url(text, address, fragment)


def _scp(text: str, found: re.Match[str], fragment: str) -> Git:
    if found["path"].startswith("-"):
        raise _no_context(text, "the path begins with a dash")
    ref, subdir = _ref_and_subdir(text, fragment)
    return Git(url=found[0], ref=ref, subdir=subdir)


def _url(text: str, address: str, fragment: str) -> Context:
    scheme = address.partition("://")[0].lower()
    is_git = scheme.startswith("git+")
    scheme = scheme.removeprefix("git+")
    rest = address.partition("://")[2]
    if scheme == "oci":
        return Oci(reference=_some(text, rest), subdir=_subdir(text, fragment.removeprefix(":")))
    try:
        parts = urlsplit(f"{scheme}://{rest}")
        _ = parts.port
    except ValueError:
        raise _no_context(text, "its host or port is malformed") from None
    if scheme == "file":
        return _file(text, parts, fragment, is_git=is_git)
    if scheme not in {"http", "https", "git", "ssh"}:
        raise _no_context(text, f"{scheme}:// is not supported", hint="use https://, git://, ssh://, file:// or oci://")
    if not parts.hostname or not _HOST.fullmatch(parts.hostname):
        raise _no_context(text, "its host is malformed")
    if scheme == "ssh":
        return _ssh(text, parts, fragment)
    login, url = _without_login(parts)
    if scheme == "git" or is_git or _is_repository(parts, fragment):
        return _git(text, url, fragment, login)
    return _tarball(text, url, fragment, login)


def _ssh(text: str, parts: SplitResult, fragment: str) -> Git:
    if parts.password is not None:
        raise _no_context(text, "an ssh address holds no password", hint="give the key to ssh-agent, or to ~/.ssh")
    if (parts.username or "").startswith("-"):
        raise _no_context(text, "the user name begins with a dash")
    if len(parts.path) < 2:
        raise _no_context(text, "it names no repository")
    return _git(text, parts.geturl(), fragment, None)


def _file(text: str, parts: SplitResult, fragment: str, *, is_git: bool) -> Context:
    if parts.netloc not in {"", "localhost"} or not parts.path.startswith("/"):
        raise _no_context(text, "a file:// address is one of this machine", hint="write file:///PATH")
    url = f"file://{parts.path}"
    if _ARCHIVE.search(parts.path) and not is_git:
        return _tarball(text, url, fragment, None)
    return _git(text, url, fragment, None)


def _is_repository(parts: SplitResult, fragment: str) -> bool:
    """Whether an http(s) address is a repository's. It is an archive's where nothing speaks for a repository."""
    path = parts.path.rstrip("/")
    if path.endswith(".git") or "/_git/" in path:
        return True
    if _ARCHIVE.search(path) or _SHA256.match(fragment) or fragment.startswith(":"):
        return False
    host = (parts.hostname or "").lower()
    if host in _FORGES:
        found = _PAGES.match(path)
        if found:
            subdir = f":{found['dir']}" if found["dir"] else ""
            repository = f"https://{host}/{found['repo'].removesuffix('/-')}.git#{found['ref']}{subdir}"
            raise InvalidInput(f"{parts.geturl()} is a page about a repository", hint=f"write {shown(repository)}")
        names = [name for name in path.split("/") if name]
        nested = _FORGES[host] and len(names) > 2 and "-" not in names
        if len(names) == 2 or nested:
            return True
    return bool(fragment)


def _git(text: str, url: str, fragment: str, login: UrlLogin | None) -> Git:
    ref, subdir = _ref_and_subdir(text, fragment)
    return Git(url=url.rstrip("/"), ref=ref, subdir=subdir, login=login)


def _tarball(text: str, url: str, fragment: str, login: UrlLogin | None) -> Tarball:
    if _ZIP.search(urlsplit(url).path):
        raise _no_context(text, "only tar archives are read", hint="offer a .tar.gz; forges make both kinds")
    checksum, _, subdir = fragment.partition(":")
    if fragment.lower().startswith("sha256:"):  # the spelling of registries
        checksum, _, subdir = fragment[len("sha256:") :].partition(":")
        checksum = f"sha256={checksum}"
    digits = ""
    if checksum:
        found = _SHA256.fullmatch(checksum)
        if found is None:
            raise _no_context(text, "what follows # is no checksum", hint="write #sha256=... and the 64 digits")
        digits = found["hex"].lower()
        if len(digits) != 64:
            raise _no_context(text, f"a sha256 checksum has 64 digits, not {len(digits)}")
    return Tarball(url=url, sha256=digits, subdir=_subdir(text, subdir), login=login)


def _without_login(parts: SplitResult) -> tuple[UrlLogin | None, str]:
    host = parts.netloc.rpartition("@")[2]
    url = parts._replace(netloc=host).geturl()
    if "@" not in parts.netloc:
        return None, url
    username, password = unquote(parts.username or ""), unquote(parts.password or "")
    if not password and len(username) >= TOKEN_LENGTH:
        return UrlLogin(secret=username), url
    return UrlLogin(username=username, secret=password), url


def _ref_and_subdir(text: str, fragment: str) -> tuple[str, str]:
    ref, _, subdir = fragment.partition(":")
    if ref.startswith(("-", "+", "/")) or ref.endswith(("/", ".")) or _NOT_IN_A_REF.search(ref) or ref == "@":
        raise _no_context(text, f"{ref!r} is no branch, tag or commit", hint="write #REF:FOLDER")
    return ref, _subdir(text, subdir)


def _subdir(text: str, subdir: str) -> str:
    parts = [part for part in subdir.split("/") if part not in {"", "."}]
    if ".." in parts:
        raise _no_context(text, "its folder leads out of the context")
    if any(ord(c) < 32 for c in subdir) or "\\" in subdir or ".git" in (part.lower() for part in parts):
        raise _no_context(text, f"{subdir!r} is no folder of a context")
    return "/".join(parts)


def _some(text: str, rest: str) -> str:
    from taskengine.registry.reference import ImageReference

    if "@" in rest.partition("/")[0]:
        raise _no_context(text, "a login does not belong there", hint="log in with docker login or acr-task login")
    ImageReference.parse(rest)
    return rest


def _no_context(text: str, why: str, *, hint: str | None = None) -> InvalidInput:
    return InvalidInput(f"{shown(text)!r} is no context: {why}", hint=hint)
