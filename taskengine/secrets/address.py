"""What may stand in a secret's `keyvault:` field: the address of a Key Vault secret, or of one that needs no table.

Pure. `https://NAME.vault.azure.net/secrets/SECRET[/VERSION]` is ACR Tasks' own form. Ours besides: `env://NAME`,
`file:///PATH` and `vault://MOUNT/PATH#FIELD`. Where an address leads is the providers' knowledge.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from taskengine.errors import InvalidInput

#: the schemes that the field accepts
SCHEMES = ("https", "env", "file", "vault")
_EXAMPLE = "such as https://myvault.vault.azure.net/secrets/mysecret"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SEGMENT = re.compile(r"[^\x00-\x20\x7f/\\]+")
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)+(?::[0-9]{1,5})?")
_LONGEST = 2048


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyvaultRef:
    """A secret of an Azure Key Vault. No version means the newest."""

    vault_host: str
    name: str
    version: str = ""

    @property
    def vault(self) -> str:
        """The vault's own name, the first part of its host."""
        return self.vault_host.partition(".")[0]


@dataclass(frozen=True, kw_only=True, slots=True)
class EnvRef:
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FileRef:
    path: str


@dataclass(frozen=True, kw_only=True, slots=True)
class VaultRef:
    """A field of a secret in HashiCorp Vault's KV store. No field means the only one there is."""

    mount: str
    path: str
    field: str = ""
    version: str = ""
    kv: str = ""


Address = KeyvaultRef | EnvRef | FileRef | VaultRef


def parse_address(text: str) -> Address:
    """Read whatever a `keyvault:` field may hold."""
    scheme = text.partition("://")[0].lower()
    if scheme == "env":
        return _env(text)
    if scheme == "file":
        return _file(text)
    if scheme == "vault":
        return _vault(text)
    return parse_keyvault_url(text)


def parse_keyvault_url(url: str) -> KeyvaultRef:
    """Read `https://NAME.vault.azure.net/secrets/SECRET[/VERSION]`."""
    parts = _split(url)
    if parts.scheme.lower() != "https":
        other = ", ".join(f"{scheme}://" for scheme in SCHEMES[1:])
        reason = "it must begin with https://" if parts.scheme else "it is no https:// address"
        raise _wrong(url, reason, hint=f"{_EXAMPLE}; {other} work as well")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise _wrong(url, "it must hold neither user, query nor fragment")
    host = parts.netloc.lower()
    if not _HOST.fullmatch(host):
        raise _wrong(url, f"{host[:80]!r} is no vault's host")
    segments = parts.path.removesuffix("/").split("/")[1:]
    if not segments or segments[0].lower() != "secrets":
        found = segments[0][:40] if segments else ""
        raise _wrong(url, f"the path must begin with /secrets/, not /{found}")
    names = [unquote(segment) for segment in segments[1:]]
    if len(names) not in {1, 2} or not all(_is_name(name) for name in names):
        raise _wrong(url, "after /secrets/ come the secret's name and, at most, its version")
    return KeyvaultRef(vault_host=host, name=names[0], version=names[1] if len(names) == 2 else "")


def _is_name(text: str) -> bool:
    return bool(_SEGMENT.fullmatch(text)) and text not in {".", ".."}


def _env(text: str) -> EnvRef:
    name = text.partition("://")[2]
    if not _NAME.fullmatch(name):
        raise _wrong(text, f"{name[:40]!r} is no name of a variable", hint="such as env://DEPLOY_TOKEN")
    return EnvRef(name=name)


def _file(text: str) -> FileRef:
    parts = _split(text)
    path = unquote(parts.path)
    if parts.netloc not in {"", "localhost"} or not path.startswith("/") or path.endswith("/") or "\0" in path:
        raise _wrong(text, "it names no file by its full path", hint="such as file:///run/secrets/token, three slashes")
    return FileRef(path=path)


def _vault(text: str) -> VaultRef:
    parts = _split(text)
    mount = unquote(parts.netloc)
    path = unquote(parts.path).strip("/")
    options = dict(parse_qsl(parts.query))
    hint = "such as vault://secret/team/app#password"
    if not mount or not path or not all(_is_name(part) for part in [*mount.split("/"), *path.split("/")]):
        raise _wrong(text, "it names no secret of a mount", hint=hint)
    if set(options) - {"version", "kv"} or not options.get("version", "0").isdecimal():
        raise _wrong(text, "only ?version=NUMBER and ?kv=1 may follow the path", hint=hint)
    if options.get("kv", "2") not in {"1", "2"}:
        raise _wrong(text, "kv is 1 or 2", hint=hint)
    return VaultRef(
        mount=mount,
        path=path,
        field=unquote(parts.fragment),
        version=options.get("version", ""),
        kv=options.get("kv", ""),
    )


def _split(text: str) -> SplitResult:
    if len(text) > _LONGEST or any(char.isspace() or not char.isprintable() for char in text):
        raise _wrong(text, f"it holds white space, or is longer than {_LONGEST} characters")
    try:
        return urlsplit(text)
    except ValueError:
        raise _wrong(text, "it is no address") from None


def _wrong(text: str, reason: str, *, hint: str = _EXAMPLE) -> InvalidInput:
    # A password may have got into the user part of an address by mistake, so that part is never shown.
    shown = re.sub(r"//[^/]*@", "//...@", text if len(text) <= 120 else text[:117] + "...")
    return InvalidInput(f"{shown!r} is no address of a secret: {reason}", hint=hint)
