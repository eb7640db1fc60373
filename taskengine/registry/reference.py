"""The name of an image: text in, `ImageReference` out, by the grammar that registries and Docker share.

Pure. Knows Docker Hub's two shorthands (no host, no `library/`) and nothing else about any registry; it must not know
networks, credentials or files.
"""

from __future__ import annotations

import re
from dataclasses import field, replace
from functools import cached_property

from taskengine.errors import InvalidInput
from taskengine.lightclass import dataclass
from taskengine.lightpattern import pattern

HUB_DOMAIN = "docker.io"
#: what a scan prints as the registry of an image whose text names no host
HUB_REGISTRY = "registry.hub.docker.com"
#: the key of Docker Hub's entry in Docker's config.json, a relic of the first registry protocol
HUB_AUTH_KEY = "https://index.docker.io/v1/"
DEFAULT_TAG = "latest"

_LEGACY_HUB_DOMAIN = "index.docker.io"
_OFFICIAL = "library/"
_LONGEST_NAME = 255
_LONGEST_TEXT = 2048

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_DOMAIN = pattern(_HOST)
_PATH = pattern(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = pattern(r"[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}")
_BARE_IDENTIFIER = pattern(r"[a-f0-9]{64}")
_DIGEST_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}


class InvalidReference(InvalidInput):
    """A text is no image reference. The message says what is wrong with it, the hint how to mend it."""

    def __init__(self, text: str, reason: str, *, hint: str | None = None) -> None:
        super().__init__(f"{_shown(text)} is no image reference: {reason}", hint=hint)
        self.text = text
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class ImageReference:
    """An image's name. Two references are equal when they mean the same image, however they were written.

    `domain` is the registry's host as programs use it (`docker.io` for Docker Hub), `path` the repository in full
    (`library/alpine`). `host_written` keeps the host as the author wrote it, empty for none.
    """

    domain: str
    path: str
    tag: str = ""
    digest: str = ""
    host_written: str = field(default="", compare=False)
    path_written: str = field(default="", compare=False)

    @classmethod
    def parse(cls, text: str, *, default_tag: bool = True) -> ImageReference:
        """Read `[HOST/]PATH[:TAG][@DIGEST]`; with neither tag nor digest the tag is `latest`, unless that is off."""
        _refuse_what_is_no_name(text)
        rest, at, digest = text.partition("@")
        host, name = _split_host(rest)
        path, colon, tag = name.partition(":")
        _check_host(text, host)
        _check_path(text, path)
        if colon:
            _check_tag(text, tag)
        if at:
            _check_digest(text, digest)
        if default_tag and not tag and not digest:
            tag = DEFAULT_TAG
        domain = HUB_DOMAIN if host in {"", _LEGACY_HUB_DOMAIN} else host
        full = _OFFICIAL + path if domain == HUB_DOMAIN and "/" not in path else path
        if len(full) > _LONGEST_NAME:
            raise InvalidReference(text, f"the repository name is longer than {_LONGEST_NAME} characters")
        return cls(domain=domain, path=full, tag=tag, digest=digest, host_written=host, path_written=path)

    @property
    def registry(self) -> str:
        """The registry as a scan prints it. Programs that talk to registries want `domain`."""
        return self.host_written or (HUB_REGISTRY if self.domain == HUB_DOMAIN else self.domain)

    @property
    def repository(self) -> str:
        return self.path

    @property
    def reference(self) -> str:
        """The reference as its author wrote it, with the tag it means."""
        host = f"{self.host_written}/" if self.host_written else ""
        return host + (self.path_written or self._familiar_path) + self._suffix

    @cached_property
    def normalised(self) -> str:
        """The one full spelling, `docker.io/library/alpine:latest`."""
        return f"{self.domain}/{self.path}{self._suffix}"

    @cached_property
    def familiar(self) -> str:
        """The short spelling that Docker shows, `alpine:latest`."""
        return (f"{self.domain}/{self.path}" if self.domain != HUB_DOMAIN else self._familiar_path) + self._suffix

    @property
    def name(self) -> str:
        """The full name without tag and digest, `docker.io/library/alpine`."""
        return f"{self.domain}/{self.path}"

    def with_tag(self, tag: str) -> ImageReference:
        """The same repository at another tag; a digest would contradict the new tag and is dropped."""
        _check_tag(f"{self.familiar_name}:{tag}", tag)
        return replace(self, tag=tag, digest="")

    def with_digest(self, digest: str) -> ImageReference:
        _check_digest(f"{self.familiar_name}@{digest}", digest)
        return replace(self, digest=digest)

    def auth_key(self) -> str:
        """The key of this image's registry in Docker's config.json."""
        return auth_key(self.domain)

    @property
    def familiar_name(self) -> str:
        return self.name if self.domain != HUB_DOMAIN else self._familiar_path

    @property
    def _familiar_path(self) -> str:
        short = self.path.removeprefix(_OFFICIAL)
        return short if self.domain == HUB_DOMAIN and "/" not in short else self.path

    @property
    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    def __str__(self) -> str:
        return self.familiar


def auth_key(host: str) -> str:
    """The key under which Docker's config.json keeps the login of `host`; Docker Hub has many names and one key."""
    bare = host.removeprefix("https://").removeprefix("http://").split("/", 1)[0]
    hub = {HUB_DOMAIN, _LEGACY_HUB_DOMAIN, HUB_REGISTRY, "registry-1.docker.io", "hub.docker.com"}
    return HUB_AUTH_KEY if bare in hub else bare


def _split_host(text: str) -> tuple[str, str]:
    """The first part is a host when it looks like one: a dot, a port, an upper-case letter, or `localhost`."""
    first, slash, rest = text.partition("/")
    if slash and (first == "localhost" or any(c in ".:" for c in first) or first != first.lower()):
        return first, rest
    return "", text


def _refuse_what_is_no_name(text: str) -> None:
    if not text:
        raise InvalidReference(text, "it is empty", hint="name an image, such as alpine:3")
    if len(text) > _LONGEST_TEXT:
        raise InvalidReference(text, f"it is longer than {_LONGEST_TEXT} characters")
    if any(c.isspace() for c in text):
        raise InvalidReference(text, "it contains white space", hint="remove it; an image is one word")
    scheme, found, rest = text.partition("://")
    if found:
        raise InvalidReference(text, f"it begins with {scheme}://", hint=f"leave out the scheme: {_clip(rest)}")
    if _BARE_IDENTIFIER.fullmatch(text):
        raise InvalidReference(text, "64 hexadecimal digits are an image's id, not a name", hint="use NAME@sha256:...")


def _check_host(text: str, host: str) -> None:
    if host and not _DOMAIN.fullmatch(host):
        lowered = text.lower()
        hint = None if "/" in host or host == host.lower() else f"write it in lower case: {_clip(lowered)}"
        raise InvalidReference(text, f"{_shown(host)} is no registry host", hint=hint)


def _check_path(text: str, path: str) -> None:
    if _PATH.fullmatch(path):
        return
    if not path:
        raise InvalidReference(text, "the repository name is empty", hint="name a repository before the tag")
    if path != path.lower():
        lowered = text.replace(path, path.lower(), 1)
        raise InvalidReference(text, "repository name must be lowercase", hint=f"write {_clip(lowered)}")
    if "$" in path:
        raise InvalidReference(text, "it contains a variable that was not replaced")
    if path.startswith("/") or path.endswith("/") or "//" in path:
        raise InvalidReference(text, "a part between slashes is empty", hint="a variable in it may have no value")
    bad = sorted({c for c in path if not re.fullmatch(r"[a-z0-9._/-]", c)})
    if bad:
        raise InvalidReference(text, f"a repository name must not contain {_shown(bad[0])}")
    raise InvalidReference(
        text,
        "a part of the repository name begins, ends or repeats a separator",
        hint="separators are one '.', one or two '_', or dashes, between letters and digits",
    )


def _check_tag(text: str, tag: str) -> None:
    if _TAG.fullmatch(tag):
        return
    if not tag:
        raise InvalidReference(text, "the tag after ':' is empty", hint="a variable in it may have no value")
    if len(tag) > 128:
        raise InvalidReference(text, "the tag is longer than 128 characters")
    raise InvalidReference(
        text,
        f"{_shown(tag)} is no tag",
        hint="tags are letters, digits, '_', '.', '-', and begin with none of the last two",
    )


def _check_digest(text: str, digest: str) -> None:
    algorithm, colon, value = digest.partition(":")
    length = _DIGEST_LENGTHS.get(algorithm)
    if not digest or not colon:
        raise InvalidReference(text, "the digest after '@' is incomplete", hint="digests look like sha256:... ")
    if length is None:
        raise InvalidReference(text, f"{_shown(algorithm)} is no digest algorithm", hint="use sha256")
    if len(value) != length or not re.fullmatch(r"[a-f0-9]+", value):
        found = f"{len(value)} characters" if len(value) != length else "others"
        raise InvalidReference(text, f"a {algorithm} digest has {length} lower-case hexadecimal digits, not {found}")


def _clip(text: str) -> str:
    return text if len(text) <= 120 else text[:117] + "..."


def _shown(text: str) -> str:
    return repr(_clip(text))
