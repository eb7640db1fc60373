"""`task create` and `task update`: az's options as a task of the API. Pure but for the files that options name."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from typing import Any

from taskengine.cli.option import pair, read_text
from taskengine.cli.source import NO_CONTEXT, STDIN
from taskengine.errors import InvalidInput
from taskengine.lightclass import dataclass

Document = dict[str, Any]

_TASK_FILES = (".yaml", ".yml", ".toml", ".json")
_FORGES = (
    ("github.com", "Github"),
    ("gitlab.com", "GitLab"),
    ("bitbucket.org", "Bitbucket"),
    ("codeberg.org", "Gitea"),
    ("dev.azure.com", "VisualStudioTeamService"),
    (".visualstudio.com", "VisualStudioTeamService"),
)


@dataclass(frozen=True, kw_only=True)
class Given:
    """What stood on the command line. None, or nothing, is what was not said."""

    context: str | None = None
    file: str | None = None
    cmd: str | None = None
    image: tuple[str, ...] = ()
    no_push: bool | None = None
    no_cache: bool | None = None
    target: str | None = None
    arg: tuple[str, ...] = ()
    secret_arg: tuple[str, ...] = field(default=(), repr=False)
    set: tuple[str, ...] = ()
    set_secret: tuple[str, ...] = field(default=(), repr=False)
    values: str | None = None
    platform: str | None = None
    cpu: int | None = None
    timeout: int | None = None
    step_timeout: int | None = None
    status: str | None = None
    schedule: tuple[str, ...] = ()
    source_trigger_name: str = "defaultSourceTriggerName"
    commit_trigger_enabled: bool | None = None
    pull_request_trigger_enabled: bool | None = None
    source_control_type: str | None = None
    git_access_token: str | None = field(default=None, repr=False)
    base_image_trigger_name: str = "defaultBaseimageTriggerName"
    base_image_trigger_enabled: bool | None = None
    base_image_trigger_type: str | None = None
    update_trigger_endpoint: str | None = None
    update_trigger_payload_type: str | None = None
    auth_mode: str | None = None
    agent_pool: str | None = None
    log_template: str | None = None
    webhook_secret: str | None = field(default=None, repr=False)
    priority: int | None = None
    grant: tuple[str, ...] = ()


def new_task(name: str, given: Given) -> Document:
    """The whole of a task. Raises InvalidInput."""
    if given.context is None and given.cmd is None and given.file is None:
        raise InvalidInput("say what the task runs", hint="-c CONTEXT -f FILE, or --cmd 'IMAGE ARGS' -c /dev/null")
    trigger: Document = {}
    if timers := [timer(text, n) for n, text in enumerate(given.schedule, 1)]:
        trigger["timerTriggers"] = timers
    source = _source_trigger(given, None)
    if source is not None:
        trigger["sourceTriggers"] = [source]
    if given.base_image_trigger_enabled is not False:
        trigger["baseImageTrigger"] = {**_base_trigger(given), "status": "Enabled"}
        trigger["baseImageTrigger"].setdefault("baseImageTriggerType", "Runtime")
    return {"name": name, **_plain(given), "step": _step(given, {}), "trigger": trigger}


def change(stored: Mapping[str, Any], given: Given) -> Document:
    """What `given` changes of a stored task, as a merge patch. Raises InvalidInput for nothing at all."""
    patch = _plain(given)
    step = _step(given, dict(stored.get("step") or {}))
    if _without_nulls(stored.get("step") or {}) != step:
        patch["step"] = step
    trigger: Document = {}
    before = (stored.get("trigger") or {}).get("sourceTriggers") or ()
    kept = next((one for one in before if one.get("name") == given.source_trigger_name), None)
    source = _source_trigger(given, kept, context=step.get("contextPath"))
    if source is not None:
        others = [_without_nulls(one) for one in before if one is not kept]
        trigger["sourceTriggers"] = [*others, source]
    base = _base_trigger(given)
    if len(base) > 1 or given.base_image_trigger_enabled is not None:
        trigger["baseImageTrigger"] = base
    if trigger:
        patch["trigger"] = trigger
    if not patch:
        raise InvalidInput("nothing is to be changed", hint="'acr-task task update --help' lists what can be")
    return patch


def timer(text: str, number: int) -> Document:
    """A schedule, `CRON` or `NAME:CRON`, as a timer; without a name it is t1, t2 and so on."""
    name, colon, cron = text.partition(":")
    if not colon:
        name, cron = f"t{number}", text
    return {"name": name.strip(), "schedule": cron.strip(), "status": "Enabled"}


def arguments(plain: Iterable[str], secret: Iterable[str], option: str) -> list[Document]:
    """`K=V` texts as the API's list of arguments."""
    found = [(pair(f"--{option}", text), False) for text in plain]
    found += [(pair(f"--{option.replace('set', 'set-secret').replace('arg', 'secret-arg')}", t), True) for t in secret]
    return [{"name": name, "value": value, "isSecret": hidden} for (name, value), hidden in found]


def platform(text: str) -> Document:
    """`OS[/ARCH[/VARIANT]]` as the API's platform."""
    words = text.split("/")
    if not 1 <= len(words) <= 3 or not all(words):
        raise InvalidInput(f"'{text}' is no platform", hint="write OS/ARCH[/VARIANT], for example linux/arm64")
    found = dict(zip(("os", "architecture", "variant"), (word.lower() for word in words), strict=False))
    return {**found, "os": found["os"].capitalize()}


def _plain(given: Given) -> Document:
    found: Document = {
        "status": given.status,
        "platform": platform(given.platform) if given.platform else None,
        "agentConfiguration": {"cpu": given.cpu} if given.cpu is not None else None,
        "agentPoolName": given.agent_pool,
        "timeout": given.timeout,
        "stepTimeout": given.step_timeout,
        "logTemplate": given.log_template,
        "webhookSecret": given.webhook_secret,
        "priority": given.priority,
        "grants": list(given.grant) or None,
        "credentials": {"sourceRegistry": {"loginMode": given.auth_mode}} if given.auth_mode else None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _step(given: Given, before: Document) -> Document:
    """The step, with what `before` has and nothing new was said of."""
    context = given.context if given.context is not None else before.get("contextPath")
    context = None if context in (None, NO_CONTEXT) else str(context)
    kind, own = _kind(given, before, context)
    kept = {key: value for key, value in before.items() if value is not None} if before.get("type") == kind else {}
    step: Document = {**kept, "type": kind, **own}
    step.pop("contextPath", None)
    if context is not None:
        _check_address(context)
        step["contextPath"] = context
    if given.git_access_token:
        step["contextAccessToken"] = given.git_access_token
    if kind == "Docker":
        said: Document = {
            "imageNames": list(given.image) or None,
            "isPushEnabled": None if given.no_push is None else not given.no_push,
            "noCache": given.no_cache,
            "target": given.target,
        }
        step |= {key: value for key, value in said.items() if value is not None}
        _merge(step, "arguments", arguments(given.arg, given.secret_arg, "arg"))
        _refuse(kind, {"--set": given.set, "--set-secret": given.set_secret, "--values": given.values})
    else:
        _merge(step, "values", arguments(given.set, given.set_secret, "set"))
        _refuse(kind, {"--image": given.image, "--arg": given.arg, "--secret-arg": given.secret_arg,
                       "--target": given.target, "--no-push": given.no_push, "--no-cache": given.no_cache})  # fmt: skip
        if given.values and kind == "FileTask":
            step["valuesFilePath"] = given.values
        elif given.values:
            step["encodedValuesContent"] = encoded(read_text(given.values, "--values"))
    return step


def _kind(given: Given, before: Document, context: str | None) -> tuple[str, Document]:
    """The step's type, and what makes it one of this type."""
    if given.cmd is not None:
        if given.file is not None:
            raise InvalidInput("--cmd and --file exclude each other", hint="leave one of them out")
        from taskengine.taskspec.quick import cmd_task

        return "EncodedTask", {"encodedTaskContent": encoded(cmd_task(given.cmd))}
    file = given.file
    if file is None:
        if before.get("type"):
            return str(before["type"]), {}
        if context is not None and given.image:
            return "Docker", {"dockerFilePath": "Dockerfile"}
        raise InvalidInput("name the task's file", hint="-f acb.yaml, or -f Dockerfile, in the context")
    if file == STDIN or context is None:
        from taskengine.cli.source import read_task

        text, name = read_task(file)
        try:
            return "EncodedTask", {"encodedTaskContent": encoded(text.decode("utf-8-sig"))}
        except UnicodeDecodeError as error:
            raise InvalidInput(f"{name}: not UTF-8 text", hint="save it as UTF-8") from error
    if file.lower().endswith(_TASK_FILES):
        return "FileTask", {"taskFilePath": file}
    return "Docker", {"dockerFilePath": file}


def _source_trigger(given: Given, kept: Mapping[str, Any] | None, context: str | None = None) -> Document | None:
    """The trigger of the context's repository; None where nothing was said of it."""
    wanted = {"commit": given.commit_trigger_enabled, "pullrequest": given.pull_request_trigger_enabled}
    if all(value is None for value in wanted.values()) and not (kept and given.source_control_type):
        return None
    before = set((kept or {}).get("sourceTriggerEvents") or ()) if (kept or {}).get("status") != "Disabled" else set()
    events = [name for name, on in wanted.items() if on or (on is None and name in before)]
    if not events and kept is None:
        return None
    if not events:
        return {**_without_nulls(kept or {}), "status": "Disabled"}
    address = given.context or context or ""
    if address in ("", NO_CONTEXT) or address.startswith("oci://"):
        raise InvalidInput(
            "source triggers need a repository as the context", hint="-c https://github.com/TEAM/REPOSITORY.git#BRANCH"
        )
    url, _, fragment = address.partition("#")
    stored = _without_nulls((kept or {}).get("sourceRepository") or {})
    known = stored.get("sourceControlType") if stored.get("repositoryUrl") == url else None
    repository: Document = {"sourceControlType": given.source_control_type or known or forge(url), "repositoryUrl": url}
    if branch := fragment.partition(":")[0]:
        repository["branch"] = branch
    if given.git_access_token:
        repository["sourceControlAuthProperties"] = {"token": given.git_access_token, "tokenType": "PAT"}
    return {
        **_without_nulls(kept or {}),
        "name": given.source_trigger_name,
        "status": "Enabled",
        "sourceTriggerEvents": events,
        "sourceRepository": repository,
    }


def forge(url: str) -> str:
    """The API's name for what keeps a repository."""
    from urllib.parse import urlsplit

    host = (urlsplit(url).hostname or "").lower()
    known = next((kind for end, kind in _FORGES if host == end or host.endswith(f".{end.lstrip('.')}")), None)
    return known or next((k for word, k in (("gitlab", "GitLab"), ("gitea", "Gitea")) if word in host), "Generic")


def _base_trigger(given: Given) -> Document:
    found: Document = {
        "name": given.base_image_trigger_name,
        "status": None if given.base_image_trigger_enabled is None else _status(given.base_image_trigger_enabled),
        "baseImageTriggerType": given.base_image_trigger_type,
        "updateTriggerEndpoint": given.update_trigger_endpoint,
        "updateTriggerPayloadType": given.update_trigger_payload_type,
    }
    return {name: value for name, value in found.items() if value is not None}


def _status(on: bool) -> str:
    return "Enabled" if on else "Disabled"


def _merge(step: Document, key: str, new: Sequence[Document]) -> None:
    """What is given goes before what is stored under the same name; secrets that stay keep their value."""
    names = {one["name"] for one in new}
    found = [_without_nulls(one) for one in step.get(key) or () if one["name"] not in names] + list(new)
    if found:
        step[key] = found


def _refuse(kind: str, given: Mapping[str, object]) -> None:
    what = "a task that builds a Dockerfile" if kind == "Docker" else "a task with a task file"
    for name, value in given.items():
        if value not in (None, (), ""):
            other = "--arg" if kind == "Docker" else "--set"
            raise InvalidInput(f"{name} means nothing to {what}", hint=f"it takes {other}, for example")


def _check_address(context: str) -> None:
    from taskengine.context.source import Local, Stdin, parse_context, secrets_of

    if isinstance(parse_context(context), Local | Stdin):
        raise InvalidInput(
            f"the context {context} is on no server", hint="name a repository, an archive or an artifact, or /dev/null"
        )
    if secrets_of(context):
        raise InvalidInput("a task's context holds no login", hint="give the token with --git-access-token")


def _without_nulls(data: Mapping[str, Any]) -> Document:
    return {
        key: _without_nulls(value) if isinstance(value, Mapping) else value
        for key, value in data.items()
        if value is not None
    }


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
