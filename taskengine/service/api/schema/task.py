"""A task as the API has it: ACR's Task, flat, with a few properties of ours. Shape only; tasks.py knows more."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, SerializeAsAny, StrictFloat, StrictInt

from taskengine.service.api.schema.common import Body, Count, Flag, Labels, Line, Name, View, Word

Status = Literal["Enabled", "Disabled"]
Text = Annotated[str, Field(max_length=2 << 20)]
Secret = Annotated[str, Field(max_length=1 << 16)]
Arguments = Annotated[list["Argument"], Field(max_length=500)]


class Argument(Body):
    """A value or a build argument. The value of a secret one goes in and never comes out."""

    name: Annotated[str, Field(pattern=r"^[^\x00-\x20=\x7f]+$", max_length=200)]
    value: Secret | None = None
    is_secret: Flag = False


class Platform(Body):
    os: Annotated[str, Field(pattern=r"^([Ll]inux|[Ww]indows)$")] = "Linux"
    architecture: Literal["amd64", "x86", "386", "arm", "arm64"] | None = None
    variant: Literal["v6", "v7", "v8"] | None = None


class AgentConfiguration(Body):
    """How many processors the steps of a run may use."""

    cpu: Annotated[StrictInt, Field(ge=1, le=1024)] | None = None


class BaseStep(Body):
    context_path: Line | None = None
    context_access_token: Secret | None = None
    base_image_dependencies: list[dict[str, Any]] | None = None


class DockerStep(BaseStep):
    """A build of one Dockerfile, and the push of its images."""

    type: Literal["Docker"]
    docker_file_path: Line = "Dockerfile"
    image_names: Annotated[list[Line], Field(max_length=100)] = []
    is_push_enabled: Flag = True
    no_cache: Flag = False
    target: Word | None = None
    arguments: Arguments = []


class FileStep(BaseStep):
    """A task file in the context."""

    type: Literal["FileTask"]
    task_file_path: Annotated[Line, Field(min_length=1)]
    values_file_path: Line | None = None
    values: Arguments = []


class EncodedStep(BaseStep):
    """A task's text, in base64."""

    type: Literal["EncodedTask"]
    encoded_task_content: Text
    encoded_values_content: Text | None = None
    values: Arguments = []


Step = Annotated[DockerStep | FileStep | EncodedStep, Field(discriminator="type")]


class TimerTrigger(Body):
    """`schedule` has five fields, in `timeZone` (UTC where there is none). `missed` says what happens to the times at
    which the service did not run: none of them, one run for all, or one run for each."""

    name: Name
    schedule: Word
    status: Status = "Enabled"
    time_zone: Word | None = None
    missed: Literal["skip", "once", "all"] = "once"


class SourceAuth(Body):
    token: Secret | None = None
    token_type: Literal["PAT", "OAuth"] | None = None
    refresh_token: Secret | None = None
    scope: Word | None = None
    expires_in: Count | None = None


class SourceRepository(Body):
    source_control_type: Literal[
        "Github", "VisualStudioTeamService", "GitLab", "Gitea", "Bitbucket", "AzureDevOps", "Generic"
    ] = "Github"
    repository_url: Annotated[Line, Field(min_length=1)]
    branch: Line | None = None
    source_control_auth_properties: SourceAuth | None = None


class SourceTrigger(Body):
    """What is wanted of a repository. `filters` are globs by `branches`, `tags`, `paths`, `authors`. `mapping` says
    where the deliveries of a generic sender have what: dotted paths into the body, or `=` and the text itself."""

    name: Name
    status: Status = "Enabled"
    source_trigger_events: Annotated[list[Literal["commit", "pullrequest"]], Field(min_length=1, max_length=2)]
    source_repository: SourceRepository
    filters: Annotated[dict[Word, Annotated[list[Line], Field(max_length=100)]], Field(max_length=20)] | None = None
    mapping: Annotated[dict[Word, Line], Field(max_length=20)] | None = None


class BaseImageTrigger(Body):
    name: Name = "defaultBaseimageTriggerName"
    status: Status = "Enabled"
    base_image_trigger_type: Literal["Runtime", "All"] = "Runtime"
    update_trigger_payload_type: Literal["Default", "Token"] | None = None
    update_trigger_endpoint: Line | None = None
    tag_policy: Line | None = None


class Trigger(Body):
    timer_triggers: Annotated[list[TimerTrigger], Field(max_length=50)] = []
    source_triggers: Annotated[list[SourceTrigger], Field(max_length=50)] = []
    base_image_trigger: BaseImageTrigger | None = None


class SecretObject(Body):
    """A text, or (`Vaultsecret`) the address of one in a secret store, which the worker fetches."""

    type: Literal["Opaque", "Vaultsecret"] = "Opaque"
    value: Secret | None = None


class CustomRegistry(Body):
    user_name: SecretObject | None = None
    password: SecretObject | None = None
    identity: Word | None = None


class SourceRegistry(Body):
    login_mode: Literal["None", "Default"] | None = None
    identity: Word | None = None


class Credentials(Body):
    source_registry: SourceRegistry | None = None
    custom_registries: Annotated[
        dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9.:_-]+$", max_length=200)], CustomRegistry],
        Field(max_length=50),
    ] = {}


class Concurrency(Body):
    """At most `limit` runs that name the same group run at once; `policy` says what becomes of one more."""

    group: Annotated[Word, Field(min_length=1)]
    limit: Annotated[StrictInt, Field(ge=1, le=1000)] = 1
    policy: Literal["queue", "replace", "skip"] = "queue"


class Limits(Body):
    """What each step may use: processors, bytes of memory, processes."""

    cpus: Annotated[StrictInt | StrictFloat, Field(gt=0, le=1024)] | None = None
    memory: Annotated[StrictInt, Field(ge=6 << 20, le=1 << 50)] | None = None
    pids: Annotated[StrictInt, Field(ge=1, le=1 << 22)] | None = None


Seconds = Annotated[StrictInt, Field(ge=300, le=28800)]
StepSeconds = Annotated[StrictInt, Field(ge=1, le=28800)]
Priority = Annotated[StrictInt, Field(ge=-100, le=100)]
Grants = Annotated[list[Word], Field(max_length=50)]


class TaskBody(Body):
    """A task, as it is sent. What the service alone knows (`creationDate`) is taken and not heard, so that what was
    shown can be sent back; `revision` makes the change fail when another was made meanwhile."""

    name: Name | None = None
    status: Status = "Enabled"
    platform: Platform = Platform()
    agent_configuration: AgentConfiguration | None = None
    agent_pool_name: Word | None = None
    timeout: Seconds = 3600
    step_timeout: StepSeconds | None = None
    step: Step
    trigger: Trigger | None = None
    credentials: Credentials | None = None
    log_template: Line | None = None
    tags: Labels = {}
    owner: Word | None = None
    priority: Priority = 0
    concurrency: Concurrency | None = None
    grants: Grants = []
    limits: Limits | None = None
    webhook_secret: Secret | None = None
    revision: Annotated[StrictInt, Field(ge=1, le=2**31)] | None = None
    creation_date: SerializeAsAny[Any] = None
    last_modified: SerializeAsAny[Any] = None


class NewTask(TaskBody):
    name: Name


class TaskView(TaskBody):
    """A task, as it is shown: secrets are null. A webhook secret that the service made is in the first answer only."""

    name: Name
    owner: Word
    revision: int
    creation_date: datetime
    last_modified: datetime
    warnings: list[dict[str, Any]] | None = None


class TaskList(View):
    value: list[TaskView]
    next_cursor: str | None
