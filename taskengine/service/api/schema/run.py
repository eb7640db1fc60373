"""Runs, as they are asked for and as they are shown. Shape only."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StrictInt

from taskengine.service.api.schema.common import (
    Body,
    Count,
    Flag,
    Labels,
    Line,
    Moment,
    ProblemItem,
    View,
    Word,
)
from taskengine.service.api.schema.task import (
    AgentConfiguration,
    Argument,
    Concurrency,
    Grants,
    Limits,
    Platform,
    Priority,
    Seconds,
    Secret,
    StepSeconds,
    Text,
)

Pair = Annotated[str, Field(pattern=r"^[^=\x00]+=[^\x00]*$", max_length=1 << 16)]
SecretName = Annotated[str, Field(pattern=r"^((set|arg|secret|login):.+|context:token)$", max_length=300)]
Secrets = Annotated[dict[SecretName, Secret], Field(max_length=200)]
PlatformText = Annotated[str, Field(pattern=r"^([a-z0-9]+/[a-z0-9]+(/[a-z0-9]+)?)?$", max_length=50)]
OnePlatform = Annotated[str, Field(pattern=r"^[a-z0-9]+/[a-z0-9]+(/[a-z0-9]+)?$", max_length=50)]
CacheText = Annotated[Line, Field(min_length=1)]
MaxParallel = Annotated[StrictInt, Field(ge=1, le=1024, description="The most steps at once.")]
Attachments = Annotated[list[Literal["provenance", "sbom"]], Field(max_length=2)]
RunSeconds = Annotated[StrictInt, Field(ge=1, le=28800)]
TimeToLive = Annotated[StrictInt, Field(ge=1, le=30 * 86400, description="Seconds that the run may wait.")]


class Facts(Body):
    """What a task's templates can ask about the run (`{{.Run.Commit}}` and so on)."""

    commit: Word = ""
    branch: Word = ""
    git_tag: Word = ""
    repository: Line = ""
    triggered_by: Word = ""
    shared_volume: Word = ""
    os_version: Word = ""


class TaskRunBody(Facts):
    """One run of a stored task; whatever is left out is as the task says. `updateTriggerToken` is taken for ACR's
    clients' sake, and not heard."""

    context_path: Line | None = None
    file: Line | None = None
    target: Word | None = None
    values: Annotated[list[Argument], Field(max_length=500)] = []
    arguments: Annotated[list[Argument], Field(max_length=500)] = []
    secrets: Secrets = {}
    update_trigger_token: Secret | None = None
    registry: Word = ""
    platform: PlatformText = ""
    agent_pool_name: Word | None = None
    priority: Priority | None = None
    timeout: Seconds | None = None
    not_before: Moment | None = None
    ttl: TimeToLive | None = None


class BuildBody(Body):
    dockerfile: Line = "Dockerfile"
    tags: Annotated[list[Line], Field(max_length=100)] = []
    build_args: Annotated[list[Pair], Field(max_length=500)] = []
    target: Word = ""
    no_cache: Flag = False
    push: Flag = True
    platforms: Annotated[list[OnePlatform], Field(max_length=20, description="Several: one index of them all.")] = []
    labels: Annotated[list[Pair], Field(max_length=100)] = []
    oci_labels: Annotated[Flag, Field(description="Label the image with what it was built of.")] = False
    cache_from: Annotated[list[CacheText], Field(max_length=20)] = []
    cache_to: Annotated[list[CacheText], Field(max_length=20)] = []


class OriginBody(Body):
    """What is known, where it was asked from, of a folder that is uploaded. It is told in the provenance."""

    repository: Line = ""
    commit: Word = ""
    branch: Word = ""
    changed: Flag | None = None


class QuickRunBody(Facts):
    """A run without a stored task. Exactly one of `text`, `file` (its path in the context) and `build` is given.
    `context` is `upload:ID`, an address, or empty."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [{"required": ["text"]}, {"required": ["file", "context"]}, {"required": ["build"]}]
        }
    )

    text: Annotated[Text, Field(min_length=1)] | None = None
    text_name: Annotated[str, Field(pattern=r"^[^/\x00-\x1f\x7f]*$", max_length=200)] = "task.yaml"
    file: Annotated[Line, Field(min_length=1)] | None = None
    build: BuildBody | None = None
    context: Line = ""
    values_text: Text = ""
    values_file: Line = ""
    set: Annotated[list[Pair], Field(max_length=500)] = []
    registry: Word = ""
    platform: PlatformText = ""
    task_name: Word = ""
    working_directory: Line = ""
    network: Word = ""
    env: Annotated[list[Pair], Field(max_length=500)] = []
    date: Annotated[Moment | Literal[""], Field(description="RFC 3339; empty is now.")] = ""
    timeout: RunSeconds = 3600
    step_timeout: StepSeconds | None = None
    grants: Grants = []
    step_limits: Limits | None = None
    labels: Labels = {}
    secrets: Secrets = {}
    agent_pool_name: Word = ""
    priority: Priority = 0
    concurrency: Concurrency | None = None
    not_before: Moment | None = None
    ttl: TimeToLive | None = None
    strict: Annotated[Flag, Field(description="Warnings of the text are errors.")] = False
    max_parallel: MaxParallel | None = None
    attach: Annotated[Attachments, Field(description="What is attached to the images that are pushed.")] = []
    origin: OriginBody | None = None


class CheckView(View):
    """What a run would be warned of."""

    warnings: list[ProblemItem]


class RunChange(Body):
    is_archive_enabled: Flag


class CancelBody(Body):
    reason: Line = ""


class ImageView(View):
    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None


class RunView(View):
    run_id: str
    number: int
    type: str
    status: str
    task: str | None = None
    platform: Platform
    agent_configuration: AgentConfiguration | None = None
    agent_pool_name: str | None = None
    create_time: datetime
    start_time: datetime | None = None
    finish_time: datetime | None = None
    last_updated_time: datetime
    timeout: int
    output_images: list[ImageView]
    is_archive_enabled: bool
    run_error_message: str | None = None
    hint: str | None = None
    timer_trigger: dict[str, Any] | None = None
    source_trigger: dict[str, Any] | None = None
    image_update_trigger: dict[str, Any] | None = None
    cause: list[dict[str, Any]]
    owner: str
    priority: int
    attempt: int
    worker: str | None = None
    wait_reason: str | None = None
    queue_position: int | None = None
    cancel_reason: str | None = None
    not_before: datetime | None = None
    expires: datetime | None = None
    steps: list[dict[str, Any]] | None = None
    attempts: list[dict[str, Any]] | None = None
    late_reports: list[dict[str, Any]] | None = None
    dependencies: list[dict[str, Any]] | None = None
    warnings: list[dict[str, Any]] | None = None


class RunList(View):
    value: list[RunView]
    next_cursor: str | None


class QueueItem(View):
    run_id: str
    position: int
    reason: str
    task: str | None = None
    owner: str
    priority: int
    create_time: datetime


class QueueView(View):
    value: list[QueueItem]


class UploadBody(Body):
    """An archive that will be sent: its size in bytes and the SHA-256 of its bytes."""

    size: Annotated[Count, Field(ge=1, le=1 << 42)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class UploadView(View):
    id: str
    size: int
    sha256: str
    received: int
    state: str
    expires: datetime
