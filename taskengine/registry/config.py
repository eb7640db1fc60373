"""The user's `registries.yaml`: which hosts have mirrors, certificates of their own, or no encryption.

Text in, `Registries` out. A key that is not known is an error: a misspelt one must not loosen or lose a setting.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from taskengine.errors import InvalidInput
from taskengine.lightpattern import pattern
from taskengine.registry.endpoint import HostConfig, Registries
from taskengine.registry.reference import HUB_DOMAIN, auth_key

_LARGEST = 1024 * 1024
_HOST = pattern(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?")
_MIRROR = pattern(rf"https?://{_HOST.pattern}(?:/[A-Za-z0-9._~/-]*)?")
_SWITCHES = ("plain_http", "login_in_clear", "skip_verify")
_FILES = ("ca_file", "client_cert", "client_key")
_KEYS = ("mirrors", *_SWITCHES, *_FILES)


def load_registries(path: Path) -> Registries:
    """The configuration in a file; a file that is not there configures nothing."""
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except (FileNotFoundError, NotADirectoryError):
        return Registries()
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror or error}", hint="make it readable") from None
    return parse_registries(content, source=str(path))


def parse_registries(content: bytes, *, source: str) -> Registries:
    import yaml

    if len(content) > _LARGEST:
        raise InvalidInput(f"{source} is larger than {_LARGEST} bytes", hint="is it the right file?")
    try:
        document = yaml.safe_load(content)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{source}:{mark.line + 1}" if mark else source
        raise InvalidInput(f"{where} is no YAML", hint="docs/registries.md shows an example") from None
    top = _mapping(_or_empty(document), source)
    _refuse_unknown(top, ("registries",), source)
    table = _mapping(_or_empty(top.get("registries")), f"{source}: registries")
    return Registries(hosts=dict(_entry(host, entry, source) for host, entry in table.items()))


def _entry(host: object, entry: object, source: str) -> tuple[str, HostConfig]:
    if not isinstance(host, str) or not is_host(host):
        raise InvalidInput(
            f"{source}: {str(host)[:80]!r} is no registry host", hint="write HOST or HOST:PORT, without a scheme"
        )
    where = f"{source}: {host}"
    fields = _mapping(_or_empty(entry), where)
    _refuse_unknown(fields, _KEYS, where)
    if fields.get("client_key") and not fields.get("client_cert"):
        raise InvalidInput(f"{where}: client_key stands without client_cert", hint="name both files")
    switches = {key: _switch(fields, key, where) for key in _SWITCHES}
    files = {key: _file(fields, key, where) for key in _FILES}
    config = HostConfig(mirrors=_mirrors(fields.get("mirrors"), where), **switches, **files)  # type: ignore[arg-type]
    return HUB_DOMAIN if auth_key(host) == auth_key(HUB_DOMAIN) else host, config


def _mirrors(value: object, where: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise InvalidInput(f"{where}: mirrors must be a list", hint="of addresses such as https://mirror.example.com")
    for address in value:
        if not isinstance(address, str) or not _MIRROR.fullmatch(address):
            raise InvalidInput(
                f"{where}: a mirror is no address of a registry",
                hint="write https://HOST, without user, password and query",
            )
    return tuple(value)


def _switch(fields: Mapping[str, Any], key: str, where: str) -> bool:
    value = fields.get(key, False)
    if not isinstance(value, bool):
        raise InvalidInput(f"{where}: {key} must be true or false", hint="leave it out for false")
    return value


def _file(fields: Mapping[str, Any], key: str, where: str) -> str:
    value = fields.get(key, "")
    if not isinstance(value, str):
        raise InvalidInput(f"{where}: {key} must be the path of a file", hint="in PEM form")
    path = str(Path(value).expanduser()) if value else ""
    if path and not Path(path).is_file():
        raise InvalidInput(f"{where}: {key} names {path}, which is not there", hint="correct the path")
    return path


def _or_empty(value: object) -> object:
    return {} if value is None else value


def is_host(text: str) -> bool:
    """Whether this is `HOST` or `HOST:PORT` as registries are named."""
    return _HOST.fullmatch(text) is not None


def _mapping(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InvalidInput(f"{where} must be a mapping", hint="docs/registries.md shows an example")
    return value


def _refuse_unknown(fields: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in fields:
        if key not in known:
            raise InvalidInput(f"{where}: there is no setting {str(key)[:80]!r}", hint=f"known: {', '.join(known)}")
