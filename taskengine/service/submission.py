"""From a stored task, or a quick run, to what is queued: all that the worker must not look up again is fixed here.

Pure but for the parsing of texts; the clock's reading is handed in. Says no to what the server's policy forbids as far
as the task's text is known; the worker checks every plan again with the same rules (`plan/policy.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any, cast

from taskengine.errors import Conflict, InvalidInput, Problem
from taskengine.plan.policy import check_grant
from taskengine.runs.spec import Build, RunSpec
from taskengine.service import document as documents
from taskengine.service.model import Document, Group, GroupPolicy, RunRequest, RunType, Task
from taskengine.service.settings import ServerSettings
from taskengine.service.taskcheck import check_context, check_text, decoded, facts_of

_PREFIXES = ("set:", "arg:", "secret:", "login:")
_LIMITS = ("cpus", "memory", "pids")
#: what a run may be told of where its files come from
FACTS = ("commit", "branch", "git_tag", "repository", "triggered_by", "shared_volume", "os_version")


@dataclass(frozen=True, kw_only=True)
class Overrides:
    """What one run has otherwise than its task says. Empty or None: as the task says. `values` and `arguments` are
    pairs of a name and a value, `secrets` values by their prefixed names. `untrusted` is a run of a stranger's files:
    it gets no secrets, no logins and no grants, and pushes nothing."""

    context: str = ""
    file: str = ""
    target: str = ""
    values: tuple[tuple[str, str], ...] = ()
    arguments: tuple[tuple[str, str], ...] = ()
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    facts: Mapping[str, str] = field(default_factory=dict)
    registry: str = ""
    platform: str = ""
    pool: str | None = None
    priority: int | None = None
    timeout: int | None = None
    not_before: datetime | None = None
    ttl: timedelta | None = None
    untrusted: bool = False


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Who asks, when, why, and the key under which asking again is harmless."""

    owner: str
    now: datetime
    cause: tuple[Document, ...] = ()
    key: str = ""

    @classmethod
    def by_hand(cls, who: str, now: datetime, key: str) -> Asked:
        """Somebody asks, and nothing else is the cause."""
        return cls(owner=who, now=now, cause=({"kind": "manual", "by": who, "at": _rfc3339(now)},), key=key)


def of_task(
    task: Task, secrets: Mapping[str, str], overrides: Overrides, asked: Asked, settings: ServerSettings
) -> tuple[RunRequest, tuple[Problem, ...]]:
    """The request to run a stored task, and the warnings of its text. Raises InvalidInput, and Conflict for a task that
    is disabled."""
    if not task.enabled:
        raise Conflict(f"the task {task.name} is disabled", hint="enable it: acr-task task update --status Enabled")
    document = task.document
    if overrides.untrusted:
        document = {name: value for name, value in document.items() if name not in ("credentials", "grants")}
        secrets = {}
    step = document["step"]
    given = {
        **{name: value for name, value in secrets.items() if name.startswith(("set:", "arg:", "context:"))},
        **documents.logins(document, secrets),
        **overrides.secrets,
    }
    plain = _merged(step.get("values"), overrides.values, given, "set:")
    spec = RunSpec(
        context=overrides.context or _context(step.get("contextPath")),
        set=plain,
        registry=overrides.registry or settings.registry,
        platform=overrides.platform or _platform(document.get("platform"), settings),
        task_name=task.name,
        date=_rfc3339(asked.now),
        timeout=overrides.timeout or document.get("timeout", 3600),
        step_timeout=document.get("stepTimeout"),
        grants=tuple(document.get("grants") or ()),
        step_limits=_limits(document, settings),
        untrusted=overrides.untrusted,
        **cast("Any", {name: value for name, value in overrides.facts.items() if value}),
    )
    match step["type"]:
        case "EncodedTask":
            spec = replace(
                spec,
                text=decoded(step["encodedTaskContent"], "the task"),
                values_text=decoded(step.get("encodedValuesContent") or "", "the values file"),
            )
        case "FileTask":
            spec = replace(
                spec, file=overrides.file or step["taskFilePath"], values_file=step.get("valuesFilePath") or ""
            )
        case _:
            build = Build(
                dockerfile=overrides.file or step.get("dockerFilePath") or "Dockerfile",
                tags=tuple(step.get("imageNames") or ()),
                build_args=_merged(step.get("arguments"), overrides.arguments, given, "arg:"),
                target=overrides.target or step.get("target") or "",
                no_cache=step.get("noCache", False),
                push=step.get("isPushEnabled", True) and not overrides.untrusted,
            )
            spec = replace(spec, build=build)
    group = document.get("concurrency")
    request = RunRequest(
        type=RunType.AUTO_BUILD if spec.build else RunType.AUTO_RUN,
        spec={},
        owner=asked.owner,
        task=task.name,
        priority=document.get("priority", 0) if overrides.priority is None else overrides.priority,
        group=Group(name=group["group"], limit=group.get("limit", 1), policy=GroupPolicy(group.get("policy", "queue")))
        if group
        else None,
        pool=(document.get("agentPoolName") or "") if overrides.pool is None else overrides.pool,
        cause=asked.cause,
        key=asked.key,
    )
    return _finished(request, spec, given, overrides, asked, settings)


def of_quick_run(
    spec: RunSpec,
    secrets: Mapping[str, str],
    overrides: Overrides,
    asked: Asked,
    settings: ServerSettings,
    group: Group | None = None,
) -> tuple[RunRequest, tuple[Problem, ...]]:
    """The request of a run without a task, and the warnings of its text. Raises InvalidInput."""
    if sum(bool(one) for one in (spec.text, spec.file, spec.build)) != 1:
        raise InvalidInput("exactly one of text, file and build is needed", hint="see docs/api.md")
    if spec.file and not spec.context:
        raise InvalidInput("a task file without a context cannot be found", hint="name a context, or send the text")
    for grant in spec.grants:
        check_grant(grant)
    spec = replace(
        spec,
        context=_context(spec.context),
        registry=spec.registry or settings.registry,
        platform=spec.platform or settings.platform,
        date=spec.date or _rfc3339(asked.now),
        step_limits=_bounded({**settings.step_limits, **spec.step_limits}, settings),
        timeout=overrides.timeout or spec.timeout,
    )
    request = RunRequest(
        type=RunType.QUICK_BUILD if spec.build else RunType.QUICK_RUN,
        spec={},
        owner=asked.owner,
        priority=overrides.priority or 0,
        group=group,
        pool=overrides.pool or "",
        cause=asked.cause,
        key=asked.key,
        labels=spec.labels,
    )
    return _finished(request, spec, secrets, overrides, asked, settings)


def _finished(
    request: RunRequest,
    spec: RunSpec,
    secrets: Mapping[str, str],
    overrides: Overrides,
    asked: Asked,
    settings: ServerSettings,
) -> tuple[RunRequest, tuple[Problem, ...]]:
    check_context(spec.context, uploads=True)
    for name in secrets:
        if name != "context:token" and not (name.startswith(_PREFIXES) and name.partition(":")[2]):
            raise InvalidInput(
                f"the secret '{name[:100]}' is for nothing",
                hint=f"names begin with {', '.join(_PREFIXES)}, or are context:token",
            )
    spec = replace(
        spec, secret_names=tuple(sorted(secrets)), grants=(*spec.grants, *open_registries(spec, secrets, settings))
    )
    _check_registry(spec)
    warnings: tuple[Problem, ...] = ()
    if spec.text or spec.build:
        warnings = check_spec(spec, secrets, asked.now)
    request = replace(
        request,
        spec=spec.to_json(),
        secrets=dict(secrets),
        timeout=spec.timeout,
        not_before=overrides.not_before,
        expires=asked.now + (overrides.ttl or timedelta(days=settings.queued_days)),
        max_attempts=settings.max_attempts,
    )
    if request.not_before is not None and request.expires is not None and request.expires <= request.not_before:
        raise InvalidInput("the run would expire before it may start", hint="give it a longer time to live")
    return request, warnings


def check_spec(spec: RunSpec, secrets: Mapping[str, str], now: datetime) -> tuple[Problem, ...]:
    """The warnings of a run's text, where it is known already. Raises InvalidTask, and InvalidInput."""
    text = spec.text
    if spec.build is not None:
        from taskengine.taskspec.quick import QuickBuild, build_task, with_registry

        build = spec.build
        text = build_task(
            QuickBuild(
                dockerfile=build.dockerfile,
                tags=tuple(with_registry(tag, spec.registry) for tag in build.tags),
                build_args=build.build_args,
                target=build.target,
                platform=",".join(build.platforms),
                cache_from=build.cache_from,
                cache_to=build.cache_to,
                no_cache=build.no_cache,
                labels=build.labels,
                push=build.push,
            )
        )
    given = {name: value for name in FACTS if (value := getattr(spec, name))}
    facts = facts_of(
        run="ca0", task=spec.task_name, registry=spec.registry, platform=spec.platform, date=now, given=given
    )
    return check_text(
        text,
        name=spec.text_name if spec.text else "build",
        facts=facts,
        values_text=spec.values_text or None,
        values=spec.set,
        secrets=secrets,
        grants=spec.grants,
        strict=spec.strict,
    )


def open_registries(spec: RunSpec, secrets: Iterable[str], settings: ServerSettings) -> tuple[str, ...]:
    """The grants that a run has without anybody giving them: its server's registry, and those that it brought a login
    for. Where the server has no registry of its own, all; for a stranger's files, none."""
    if spec.untrusted:
        return ()
    if not settings.registry:
        return () if "registry:*" in spec.grants else ("registry:*",)
    hosts = [settings.registry, *(name.removeprefix("login:") for name in secrets if name.startswith("login:"))]
    grants = (f"registry:{host.partition('/')[0].lower()}" for host in hosts)
    return tuple(grant for grant in dict.fromkeys(grants) if grant not in spec.grants)


def _check_registry(spec: RunSpec) -> None:
    """A run's registry is where its worker pushes with its own logins: no way around the grants."""
    host = spec.registry.partition("/")[0].lower()
    opened = [grant.removeprefix("registry:") for grant in spec.grants if grant.startswith("registry:")]
    if host and not spec.untrusted and not any(fnmatchcase(host, pattern) for pattern in opened):
        raise InvalidInput(
            f"the registry {spec.registry} is not this server's",
            hint=f"bring a login for it, or let an operator grant 'registry:{host}'",
        )


def _merged(
    items: Iterable[Mapping[str, Any]] | None, over: Iterable[tuple[str, str]], secrets: Mapping[str, str], prefix: str
) -> tuple[str, ...]:
    """`NAME=VALUE` of all that is not secret; what is given for one run goes before the task's own."""
    found = {item["name"]: item.get("value") or "" for item in items or () if not item.get("isSecret")} | dict(over)
    return tuple(f"{name}={value}" for name, value in found.items() if prefix + name not in secrets)


def _context(text: str | None) -> str:
    return "" if text in (None, "/dev/null") else str(text)


def _platform(given: Mapping[str, Any] | None, settings: ServerSettings) -> str:
    if not given or not given.get("architecture"):
        return settings.platform
    words = (given.get("os", "linux").lower(), _ARCHITECTURES.get(given["architecture"], given["architecture"]))
    return "/".join((*words, given["variant"]) if given.get("variant") else words)


_ARCHITECTURES = {"x86": "386"}


def _limits(document: Document, settings: ServerSettings) -> dict[str, int | float]:
    cpu = (document.get("agentConfiguration") or {}).get("cpu")
    own = {name: value for name, value in (document.get("limits") or {}).items() if value is not None}
    return _bounded({**settings.step_limits, **({"cpus": cpu} if cpu else {}), **own}, settings)


def _bounded(limits: Mapping[str, int | float], settings: ServerSettings) -> dict[str, int | float]:
    """Limits, none of them above what the server allows at most."""
    if unknown := sorted(limits.keys() - set(_LIMITS)):
        raise InvalidInput(f"there is no limit '{unknown[0][:50]}'", hint=f"limits are {', '.join(_LIMITS)}")
    if not all(isinstance(value, int | float) and value > 0 for value in limits.values()):
        raise InvalidInput("limits are numbers above 0", hint="cpus, memory in bytes, pids")
    most = settings.most_step_limits
    return {
        name: min(limits.get(name, most.get(name, 0)), most.get(name, limits.get(name, 0)))
        for name in {**most, **limits}
    }


def _rfc3339(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
