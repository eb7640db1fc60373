"""What an author wrote: a task file after aliases and templates, as frozen data. No defaults are filled in here.

Fields carry the YAML's names in snake case; `location` is the place in the author's own file. The meaning, type,
default and documentation of every property stand once, in `catalog.py`; a test holds the two equal.
"""

from __future__ import annotations

from dataclasses import field
from typing import Protocol

from taskengine.errors import Location
from taskengine.lightclass import dataclass


class Places(Protocol):
    """Where the parts of a step, a network ... stand in the author's own file. Worked out only when asked."""

    def of(self, name: str, item: int | None = None) -> Location | None:
        """The place of a property's value, or of one item of a list; of the whole when it was not given."""

    def within(self, name: str, offset: int) -> Location | None:
        """The place of one character of a property's text."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkSpec:
    name: str
    driver: str = ""
    ipv6: bool = False
    skip_creation: bool = False
    is_default: bool = False
    location: Location | None = field(default=None, compare=False)
    places: Places | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class VolumeSpec:
    """A volume with one file per key of `secret`; the values are base64 text as written."""

    name: str
    secret: tuple[tuple[str, str], ...] = ()
    location: Location | None = field(default=None, compare=False)
    places: Places | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class SecretSpec:
    id: str
    keyvault: str = ""
    client_id: str = ""
    location: Location | None = field(default=None, compare=False)
    places: Places | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class VolumeMount:
    name: str
    mount_path: str


@dataclass(frozen=True, kw_only=True, slots=True)
class StepSpec:
    """One step as written. Exactly one of `cmd`, `build` and `push` is set; None means the property was not given."""

    id: str | None = None
    cmd: str | None = None
    build: str | None = None
    push: tuple[str, ...] = ()
    when: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    entry_point: str = ""
    user: str = ""
    working_directory: str = ""
    disable_working_directory_override: bool = False
    network: str = ""
    isolation: str = ""
    cpus: str = ""
    cache: str = ""
    volume_mounts: tuple[VolumeMount, ...] = ()
    expose: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    timeout: int = 0
    start_delay: int = 0
    retries: int = 0
    retry_delay: int = 0
    retry_on_errors: tuple[str, ...] = ()
    cmd_download_retries: int = 0
    cmd_download_retry_delay: int = 0
    repeat: int = 0
    keep: bool = False
    detach: bool = False
    privileged: bool = False
    ignore_errors: bool = False
    pull: bool = False
    exited_with: tuple[int, ...] = ()
    exited_without: tuple[int, ...] = ()
    location: Location | None = field(default=None, compare=False)
    #: where each property's value stands, for problems found after parsing; None for a step that was not parsed
    places: Places | None = field(default=None, compare=False, repr=False)
    #: parsing found it broken already, so that what is missing here need not be missing in the file
    flawed: bool = field(default=False, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskSpec:
    version: str = "v1.0.0"
    step_timeout: int = 0
    working_directory: str = ""
    env: tuple[str, ...] = ()
    secrets: tuple[SecretSpec, ...] = ()
    networks: tuple[NetworkSpec, ...] = ()
    volumes: tuple[VolumeSpec, ...] = ()
    steps: tuple[StepSpec, ...] = ()
    places: Places | None = field(default=None, compare=False, repr=False)
