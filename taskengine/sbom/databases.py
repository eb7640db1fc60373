"""Package databases of distributions as files in an image: which files matter, and what stands in them. Pure.

The files were written by strangers: whatever is in them, the answer is a list of packages, and of what was not read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from taskengine.sbom.model import Distribution, Findings, Package
from taskengine.sbom.rpm import UnreadableDatabase, rpm_packages

_OS_RELEASE = ("etc/os-release", "usr/lib/os-release")
_DPKG = "var/lib/dpkg/status"
_DPKG_FOLDER = "var/lib/dpkg/status.d/"  # of images without a package manager
_APK = ("lib/apk/db/installed", "usr/lib/apk/db/installed")
_RPM = ("var/lib/rpm/rpmdb.sqlite", "usr/lib/sysimage/rpm/rpmdb.sqlite", "usr/share/rpm/rpmdb.sqlite")
_RPM_OLD = tuple(
    f"{folder}/{name}"
    for folder in ("var/lib/rpm", "usr/lib/sysimage/rpm", "usr/share/rpm")
    for name in ("Packages", "Packages.db")
)
#: what RPM wrote last and SQLite has not worked into the file yet
_LOG = "-wal"
_FILES = frozenset({*_OS_RELEASE, _DPKG, *_APK, *_RPM, *(f"{path}{_LOG}" for path in _RPM), *_RPM_OLD})
_FOLDERS = (_DPKG_FOLDER,)

_MOST_PACKAGES = 100_000
_LONGEST = 500
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


def matters(path: str) -> bool:
    """Whether a file of this path (no slash at its head) says something about packages."""
    return path in _FILES or (path.startswith(_FOLDERS) and not path.endswith((".md5sums", "/")))


def may_hide(path: str) -> bool:
    """Whether something that matters lies at this path or below it."""
    below = path.rstrip("/") + "/"
    return any(one == path or one.startswith(below) for one in (*_FILES, *_FOLDERS)) or path.startswith(_FOLDERS)


def read(files: Mapping[str, bytes]) -> Findings:
    """What an image's files say. `files` has those that matter, by path."""
    packages: list[Package] = []
    databases: list[str] = []
    gaps: list[str] = []

    def take(path: str, parse: Callable[[bytes], Iterator[Package]]) -> None:
        try:
            found = list(parse(files[path]))
        except UnreadableDatabase as error:
            gaps.append(f"the package database {path} could not be read: {error}")
            return
        packages.extend(found)
        databases.append(path)

    for path in sorted(files):
        if path == _DPKG or path.startswith(_DPKG_FOLDER):
            take(path, dpkg_packages)
        elif path in _APK:
            take(path, apk_packages)
        elif path in _RPM:
            take(path, partial(rpm_packages, log=files.get(f"{path}{_LOG}", b"")))
        elif path in _RPM_OLD:
            gaps.append(f"the package database {path} has a form of older RPM versions, which is not read")
    if len(packages) > _MOST_PACKAGES:
        gaps.append(f"there are more than {_MOST_PACKAGES} packages; the rest is left out")
    unique = {(one.kind, one.name, one.version, one.architecture): one for one in packages[:_MOST_PACKAGES]}
    return Findings(
        distribution=distribution(next((files[path] for path in _OS_RELEASE if path in files), b"")),
        packages=tuple(unique[key] for key in sorted(unique)),
        databases=tuple(databases),
        gaps=tuple(gaps),
    )


def distribution(text: bytes) -> Distribution:
    """An os-release file; an empty one says nothing."""
    fields = {}
    for line in text.decode("utf-8", "replace").splitlines():
        key, sign, value = line.partition("=")
        if sign:
            fields[key.strip()] = clean(value.strip().strip("\"'"))
    return Distribution(
        id=re.sub(r"[^a-z0-9._-]", "", fields.get("ID", "").lower()),
        version=fields.get("VERSION_ID", ""),
        name=fields.get("PRETTY_NAME", "") or fields.get("NAME", ""),
    )


def dpkg_packages(text: bytes) -> Iterator[Package]:
    """The paragraphs of a dpkg status file whose package is installed."""
    for fields in _paragraphs(text, ":"):
        status = fields.get("Status", "install ok installed").split()
        if status[-1:] != ["installed"] or not fields.get("Package"):
            continue
        source = fields.get("Source", "").partition(" ")[0]
        yield Package(
            kind="deb",
            name=fields["Package"],
            version=fields.get("Version", ""),
            architecture=fields.get("Architecture", ""),
            source=source if source != fields["Package"] else "",
        )


def apk_packages(text: bytes) -> Iterator[Package]:
    for fields in _paragraphs(text, ":"):
        if fields.get("P"):
            origin = fields.get("o", "")
            yield Package(
                kind="apk",
                name=fields["P"],
                version=fields.get("V", ""),
                architecture=fields.get("A", ""),
                source=origin if origin != fields["P"] else "",
                license=fields.get("L", ""),
            )


def _paragraphs(text: bytes, sign: str) -> Iterator[dict[str, str]]:
    """Blocks of `key: value` lines with empty lines between them. Of a key that comes twice the first counts."""
    fields: dict[str, str] = {}
    for raw in text.split(b"\n"):
        line = raw[: 4 * _LONGEST].decode("utf-8", "replace").rstrip("\r")
        if not line.strip():
            if fields:
                yield fields
            fields = {}
        elif not line[0].isspace():
            key, _, value = line.partition(sign)
            fields.setdefault(key, clean(value))
    if fields:
        yield fields


def clean(text: str) -> str:
    """One line of a stranger's text, of bounded length."""
    return _CONTROL.sub(" ", text).strip()[:_LONGEST]
