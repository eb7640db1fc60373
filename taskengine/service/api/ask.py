"""What requests have in common: names in paths, paging, idempotency; and how a body becomes what the use cases take."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import Header, Path, Query
from pydantic import BaseModel

from taskengine.errors import InvalidInput
from taskengine.runs.spec import Build, RunSpec
from taskengine.service.api.schema.common import NAME
from taskengine.service.api.schema.run import QuickRunBody, RunView, TaskRunBody
from taskengine.service.model import Group, GroupPolicy
from taskengine.service.submission import FACTS, Overrides

ID = r"^[a-z0-9]{1,32}$"

TaskName = Annotated[str, Path(pattern=NAME, max_length=50)]
RunId = Annotated[str, Path(pattern=ID)]
Id = Annotated[str, Path(pattern=ID)]
Number = Annotated[int, Path(ge=1, le=2**53)]
Top = Annotated[int, Query(ge=1, le=100, description="How many at most.")]
Cursor = Annotated[str | None, Query(pattern=r"^[A-Za-z0-9._-]{1,100}$", description="nextCursor of the page before.")]
#: what a route that queues answers to a request that it has heard before
AGAIN: dict[int | str, dict[str, Any]] = {200: {"model": RunView, "description": "Queued before, with this key"}}
IdempotencyKey = Annotated[str | None, Header(pattern=r"^[\x21-\x7e]{1,200}$")]


def fingerprint_of(what: str, body: BaseModel) -> str:
    """The request as a hash: the same key for another request is a mistake, and told."""
    text = f"{what}\n{body.model_dump_json(exclude_defaults=True)}"
    return hashlib.sha256(text.encode()).hexdigest()


def overrides_of(body: TaskRunBody) -> Overrides:
    """What a run of a task has otherwise than the task says."""
    secrets = dict(body.secrets)
    plain: dict[str, list[tuple[str, str]]] = {"set": [], "arg": []}
    for prefix, items in (("set", body.values), ("arg", body.arguments)):
        for item in items:
            if item.is_secret:
                secrets[f"{prefix}:{item.name}"] = item.value or ""
            else:
                plain[prefix].append((item.name, item.value or ""))
    return Overrides(
        context=body.context_path or "",
        file=body.file or "",
        target=body.target or "",
        values=tuple(plain["set"]),
        arguments=tuple(plain["arg"]),
        secrets=secrets,
        facts={name: getattr(body, name) for name in FACTS},
        registry=body.registry,
        platform=body.platform,
        pool=body.agent_pool_name,
        priority=body.priority,
        timeout=body.timeout,
        not_before=moment(body.not_before),
        ttl=None if body.ttl is None else timedelta(seconds=body.ttl),
    )


def quick_of(body: QuickRunBody) -> tuple[RunSpec, Overrides, Group | None]:
    """The spec of a quick run, what else was asked for, and its group."""
    build = body.build
    spec = RunSpec(
        text=body.text or "",
        text_name=body.text_name or "task.yaml",
        file=body.file or "",
        build=Build(
            dockerfile=build.dockerfile, tags=tuple(build.tags), build_args=tuple(build.build_args),
            target=build.target, no_cache=build.no_cache, push=build.push, platforms=tuple(build.platforms),
            labels=tuple(build.labels), oci_labels=build.oci_labels, cache_from=tuple(build.cache_from),
            cache_to=tuple(build.cache_to),
        )
        if build
        else None,
        context=body.context,
        values_text=body.values_text,
        values_file=body.values_file,
        set=tuple(body.set),
        registry=body.registry,
        platform=body.platform,
        task_name=body.task_name,
        working_directory=body.working_directory,
        network=body.network,
        env=tuple(body.env),
        date="" if not body.date else (moment(body.date) or body.date).isoformat().replace("+00:00", "Z"),
        timeout=body.timeout,
        step_timeout=body.step_timeout,
        grants=tuple(body.grants),
        step_limits=body.step_limits.model_dump(exclude_none=True) if body.step_limits else {},
        labels=dict(body.labels),
        strict=body.strict,
        max_parallel=body.max_parallel,
        attach=tuple(dict.fromkeys(body.attach)),
        origin=body.origin.model_dump(exclude_defaults=True) if body.origin else {},
        **{name: getattr(body, name) for name in FACTS},
    )  # fmt: skip
    overrides = Overrides(
        pool=body.agent_pool_name,
        priority=body.priority,
        not_before=moment(body.not_before),
        ttl=None if body.ttl is None else timedelta(seconds=body.ttl),
    )
    group = body.concurrency
    if group is None:
        return spec, overrides, None
    return spec, overrides, Group(name=group.group, limit=group.limit, policy=GroupPolicy(group.policy))


def moment(given: datetime | None) -> datetime | None:
    """A time in UTC; one without a zone is taken as UTC. Raises InvalidInput for one that no calendar has."""
    if given is None:
        return None
    try:
        return given.astimezone(UTC) if given.tzinfo else given.replace(tzinfo=UTC)
    except OverflowError:
        raise InvalidInput("this time is beyond every calendar") from None
