"""What is found in an image: its distribution and its packages. Plain data."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class Distribution:
    """Of `os-release`: `id` and `version` as in `debian` and `12`; empty where the image does not say."""

    id: str = ""
    version: str = ""
    name: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Package:
    """One installed package. `kind` is the type of its package-url: deb, apk or rpm. `source` is what it was built
    from, where that has another name; `license` is in the distribution's own words."""

    kind: str
    name: str
    version: str
    architecture: str = ""
    source: str = ""
    license: str = ""
    epoch: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """`databases` are the package databases that were read. `gaps` are sentences: what there was and was not read."""

    distribution: Distribution = field(default_factory=Distribution)
    packages: tuple[Package, ...] = ()
    databases: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()
