"""What did happen: a run, its steps, how each ended. Data and the names of states; no clock, no I/O."""

from __future__ import annotations

from dataclasses import field
from datetime import datetime
from enum import Enum

from taskengine.lightclass import dataclass


class RunStatus(Enum):
    """Where a run stands; the names are ACR's (azure-mgmt-containerregistry, RunStatus)."""

    QUEUED = "Queued"
    STARTED = "Started"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELED = "Canceled"
    ERROR = "Error"
    TIMEOUT = "Timeout"

    @property
    def is_final(self) -> bool:
        return self in _FINAL


_FINAL = frozenset({RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELED, RunStatus.ERROR, RunStatus.TIMEOUT})


class StepStatus(Enum):
    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELED = "canceled"


class Reason(Enum):
    """Why an attempt did not succeed."""

    EXIT_CODE = "exit code"
    TIMEOUT = "timeout"
    CANCELED = "canceled"
    OUT_OF_MEMORY = "out of memory"
    PULL = "image could not be pulled"
    BUILD = "build failed"
    PUSH = "push failed"
    INFRASTRUCTURE = "infrastructure"
    INVALID = "invalid"


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageResult:
    """An image that a step made or pushed. `reference` is the normalised name with its tag.

    `digest` is the manifest's in the registry (known once pushed), `image_id` the engine's id, `size` in bytes.
    """

    reference: str
    digest: str = ""
    image_id: str = ""
    size: int | None = None
    pushed: bool = False


class DependencyType(Enum):
    """What a step needed an image for. ACR Tasks knows the first two."""

    #: the image that a build made is built on it
    RUNTIME = "runtime"
    #: another stage's base, or what a COPY or a mount takes from
    BUILDTIME = "buildtime"
    #: the front end that read the Dockerfile
    SYNTAX = "syntax"
    #: a `cmd` step ran it
    CMD = "cmd"


@dataclass(frozen=True, kw_only=True, slots=True)
class Dependency:
    """An image that a step stood on, with the digest that was really used.

    `registry`, `repository` and `tag` are named as `acr-task scan` names them, `reference` is all of it as written.
    `digest` is what the tag stood for (of an index, where there is one), `platform_digest` the manifest for `platform`.
    `local` says that the image was on the engine alone, known by no digest but its `image_id`. What is missing here is
    not known, and `note` says why.
    """

    type: DependencyType
    registry: str
    repository: str
    tag: str = ""
    reference: str
    digest: str | None = None
    platform: str = ""
    platform_digest: str | None = None
    local: bool = False
    image_id: str = ""
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class StepResult:
    """How one attempt at a step ended. A step that fails is a result, not an exception.

    `message` is one sentence for people (already masked); `exit_code` is the container's, None when there was none.
    `unreachable`: it failed because a registry or server that it needs could not be reached at all.
    `note` is what is worth knowing of a step that went well: of a build, how much of it was cached.
    """

    ok: bool
    exit_code: int | None = None
    reason: Reason | None = None
    message: str = ""
    hint: str = ""
    note: str = ""
    images: tuple[ImageResult, ...] = ()
    dependencies: tuple[Dependency, ...] = ()
    started: datetime | None = None
    finished: datetime | None = None
    unreachable: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class StepRecord:
    """A step of a run, when all is over. `error_ignored` keeps the truth of a failure that ignoreErrors let pass:
    the status is then `succeeded` for the flow and this says what really happened. `unreachable` is the result's."""

    id: str
    type: str
    status: StepStatus
    needs: tuple[str, ...] = ()
    attempts: int = 0
    exit_code: int | None = None
    reason: Reason | None = None
    message: str = ""
    hint: str = ""
    note: str = ""
    error_ignored: bool = False
    started: datetime | None = None
    finished: datetime | None = None
    duration: float = 0.0
    images: tuple[ImageResult, ...] = ()
    dependencies: tuple[Dependency, ...] = ()
    last_lines: tuple[str, ...] = ()
    unreachable: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRecord:
    """A run, when all is over. `critical_path` holds step ids; durations are seconds."""

    id: str
    status: RunStatus
    steps: tuple[StepRecord, ...] = ()
    started: datetime | None = None
    finished: datetime | None = None
    duration: float = 0.0
    message: str = ""
    hint: str = ""
    failed_step: str | None = None
    critical_path: tuple[str, ...] = ()
    images: tuple[ImageResult, ...] = field(default=())
    #: of all steps, each once
    dependencies: tuple[Dependency, ...] = ()
    #: the exit code of the error that stopped the run (errors.py: 3 when something that it, or the step it failed at,
    #: needs is unreachable); 0 where the status alone says it
    error_exit_code: int = 0
