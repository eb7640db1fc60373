"""What surrounds a task file when it is read: facts of the run, values, secrets, defaults.

Whoever calls fills these in; nothing here looks at the clock, the environment or the disk by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from datetime import datetime
from pathlib import Path

from taskengine.lightclass import dataclass
from taskengine.taskspec.model import SecretSpec


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What a task can ask about its run, as `{{.Run.*}}` or as `$ID` and friends. "" is 'not known'."""

    id: str = ""
    registry: str = ""
    commit: str = ""
    branch: str = ""
    repository: str = ""
    triggered_by: str = ""
    git_tag: str = ""
    os: str = "linux"
    os_version: str = ""
    architecture: str = "amd64"
    shared_volume: str = ""
    task_name: str = ""
    date: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Everything but the text that decides what a task file becomes.

    `set` and `set_secret` hold `key=value` texts. `secret_values` gives the values of `secrets:` entries by id;
    only for ids it lacks is `resolve_secrets` asked, and None there means that such a secret is a problem. `env`
    are the command line's defaults for every step. `image_aliases` None is the built-in table. Sources of aliases
    are looked up below `base_dir` and `file_dir`, the task file's own folder (None: as the file's name says);
    `fetch` reads those with an http(s) address (None: the built-in one, two seconds).
    """

    facts: RunFacts = field(default_factory=RunFacts)
    values_text: str | None = None
    values_file: str = "values.yaml"
    set: tuple[str, ...] = ()
    set_secret: tuple[str, ...] = ()
    secret_values: Mapping[str, bytes | str] = field(default_factory=dict)
    working_directory: str = ""
    network: str = ""
    env: tuple[str, ...] = ()
    image_aliases: Mapping[str, str] | None = None
    strict: bool = False
    base_dir: Path = field(default_factory=Path)
    file_dir: Path | None = None
    fetch: Callable[[str], bytes] | None = None
    resolve_secrets: Callable[[Sequence[SecretSpec]], Mapping[str, str]] | None = None
