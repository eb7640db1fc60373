"""What a worker is told of a run: the wire form of a run's spec. Plain data with a JSON form; no secrets in it.

The same spec gives the same plan wherever and however often it is compiled: whatever a local run would take from its
surroundings (date, run id, platform, registry) is written down when the run is queued, and never looked up again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, field, fields
from typing import Any

from taskengine.errors import InvalidInput
from taskengine.lightclass import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Build:
    """A quick build, or a task of ACR's step type `Docker`; names may hold templates.

    `platforms` are those of one index, where there are several; `oci_labels` asks for labels that say what the image
    was built of; `cache_from` and `cache_to` are in the words of `--cache-from` and `--cache-to`.
    """

    dockerfile: str = "Dockerfile"
    tags: tuple[str, ...] = ()
    build_args: tuple[str, ...] = ()
    target: str = ""
    no_cache: bool = False
    push: bool = True
    platforms: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    oci_labels: bool = False
    cache_from: tuple[str, ...] = ()
    cache_to: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain data; what is as usual is left out, so that an older worker reads it too."""
        usual = Build()
        return {
            f.name: list(value) if isinstance(value, tuple) else value
            for f in fields(self)
            if (value := getattr(self, f.name)) != getattr(usual, f.name)
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSpec:
    """What to run, and all that its text may refer to.

    Exactly one of `text` (a task's text), `file` (its path in the context) and `build` is given. `context` is empty (no
    context), `upload:ID`, or an address as the command line takes it. `values_text` (or `values_file`, in the
    context), `set` and the run's facts are what they are to `acr-task run`. `secret_names` names what has a value among
    the run's secrets, each with a prefix that says what for: `set:` (--set-secret), `arg:` (--secret-build-arg),
    `secret:` (an entry of the task's `secrets:`), `context:token` (access to the context), `login:HOST` (JSON of
    username and password).
    `grants` are what its steps may do beyond the ordinary: see docs/server-policy.md.
    `step_limits` bound each step: `cpus`, `memory` (bytes), `pids`. `untrusted` says that its files are a stranger's:
    it gets nothing of the worker's own either, no logins, no secrets of a provider, no pushes.
    `strict` makes errors of warnings; `max_parallel` is how many steps may run at once. `attach` names what is attached
    to the images that the run pushes, `provenance` and `sbom`; `origin` is for it, and says what who asked knows of a
    folder that was uploaded: `repository`, `commit`, `branch`, `changed`.
    """

    text: str = ""
    text_name: str = "task.yaml"
    file: str = ""
    build: Build | None = None
    context: str = ""
    values_text: str = ""
    values_file: str = ""
    set: tuple[str, ...] = ()
    registry: str = ""
    platform: str = ""
    os_version: str = ""
    commit: str = ""
    branch: str = ""
    git_tag: str = ""
    repository: str = ""
    triggered_by: str = ""
    task_name: str = ""
    shared_volume: str = ""
    working_directory: str = ""
    network: str = ""
    env: tuple[str, ...] = ()
    date: str = ""
    timeout: int = 3600
    step_timeout: int | None = None
    secret_names: tuple[str, ...] = ()
    grants: tuple[str, ...] = ()
    step_limits: Mapping[str, int | float] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    untrusted: bool = False
    strict: bool = False
    max_parallel: int | None = None
    attach: tuple[str, ...] = ()
    origin: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain data; what is empty is left out."""
        empty: tuple[object, ...] = ("", (), {}, None)
        found = {name: value for name, value in asdict(self).items() if value not in empty and value is not False}
        if self.build is not None:
            found["build"] = self.build.to_json()
        return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RunSpec:
        """Raises InvalidInput for a key that this version does not know: to ignore it might run something else."""
        found = _known(cls, data)
        if isinstance(build := found.get("build"), Mapping):
            found["build"] = Build(**_known(Build, build))
        return cls(**found)


def _known(kind: type[Build | RunSpec], data: Mapping[str, Any]) -> dict[str, Any]:
    """Data as the fields of a kind: lists as tuples, and nothing that this version does not know."""
    if unknown := sorted(set(data) - {f.name for f in fields(kind)}):
        raise InvalidInput(
            f"this run's spec has {', '.join(unknown)}, which this version does not know",
            hint="update the worker to the version of the service",
        )
    return {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}
