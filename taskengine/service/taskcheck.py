"""Whether a task's document can ever work: schedules, names, addresses, grants, and the text of an inline task.

Pure but for the reading of time zones. What depends on files of a context is not known here; the worker says it then.
"""

from __future__ import annotations

import base64
import binascii
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from taskengine.context.source import Git, NoContext, Oci, Tarball, parse_context
from taskengine.errors import InvalidInput, InvalidTask, Problem
from taskengine.plan.policy import breaches, check_grant
from taskengine.secrets.address import parse_address
from taskengine.service.document import InvalidDocument
from taskengine.service.schedule import parse_schedule
from taskengine.taskspec.inputs import Inputs, RunFacts
from taskengine.taskspec.model import SecretSpec
from taskengine.taskspec.report import did_you_mean

#: below a folder that cannot be: no file of the service's machine is beside a stranger's text
_NOWHERE = "/dev/null/"
_UNREADABLE_ALIASES = "E212"

Fault = tuple[str, str]

#: what a source trigger can filter by
FILTERS = ("branches", "tags", "paths", "authors")
#: what a mapping can say of where it stands in a generic delivery
MAPPED = ("repository", "ref", "commit", "before", "author", "sender", "message", "paths", "delivery")


def check_document(document: Mapping[str, Any]) -> None:
    """Raises InvalidDocument with every fault but those of an inline task's text."""
    faults = [
        *_step_faults(document["step"]),
        *_trigger_faults(document.get("trigger") or {}),
        *_login_faults((document.get("credentials") or {}).get("customRegistries") or {}),
    ]
    for n, grant in enumerate(document.get("grants") or ()):
        try:
            check_grant(grant)
        except InvalidInput as error:
            faults.append((f"grants.{n}", f"{error.message}; {error.hint}"))
    if faults:
        raise InvalidDocument(tuple(faults))


def check_context(text: str, *, uploads: bool = False) -> None:
    """Raises InvalidInput for a context that a server cannot fetch: a folder of somebody's own machine."""
    if not text or (uploads and text.startswith("upload:")):
        return
    if not isinstance(parse_context(text), Git | Tarball | Oci | NoContext):
        raise InvalidInput(
            f"the context '{text[:200]}' is on no server",
            hint="name a repository, an archive or an artifact by its address, or /dev/null for none",
        )


def decoded(text: str, what: str) -> str:
    """A text that was sent in base64. Raises InvalidInput."""
    try:
        return base64.b64decode("".join(text.split()), validate=True).decode("utf-8-sig")
    except (binascii.Error, ValueError) as error:
        raise InvalidInput(f"{what} is not a text in base64", hint="base64 -w0 FILE") from error


def check_text(
    text: str,
    *,
    name: str,
    facts: RunFacts,
    values_text: str | None,
    values: Iterable[str],
    secrets: Mapping[str, str],
    grants: tuple[str, ...],
    strict: bool = False,
) -> tuple[Problem, ...]:
    """The warnings of a task's text. `secrets` are the run's, by their prefixed names; `grants` include the registries
    that pushes may go to. Raises InvalidTask with its problems."""
    from taskengine.taskspec.load import load_task

    def unknown(specs: Iterable[SecretSpec]) -> dict[str, str]:
        return {spec.id: "unknown" for spec in specs}  # only the worker asks the providers

    def nothing(address: str) -> bytes:
        raise ConnectionError(f"{address} is read by workers only")

    inputs = Inputs(
        facts=facts,
        values_text=values_text,
        set=tuple(values),
        set_secret=tuple(f"{n.removeprefix('set:')}={v}" for n, v in secrets.items() if n.startswith("set:")),
        secret_values={n.removeprefix("secret:"): v for n, v in secrets.items() if n.startswith("secret:")},
        resolve_secrets=unknown,
        fetch=nothing,
        strict=strict,
    )
    try:
        loaded = load_task(text, file=_NOWHERE + name, inputs=inputs)
    except InvalidTask as error:
        if any(p.code == _UNREADABLE_ALIASES for p in error.problems):
            return ()  # its aliases lie in a context or at an address: the worker reads them, and checks then
        raise InvalidTask(_placed(error.problems), text=error.text) from None
    found = breaches(loaded.plan, grants, ())
    if found:
        raise InvalidTask(_placed((*found, *loaded.warnings)), text=text)
    return _placed(loaded.warnings)


def facts_of(
    *, run: str, task: str, registry: str, platform: str, date: datetime, given: Mapping[str, str] | None = None
) -> RunFacts:
    """The facts of a run, as its worker will have them."""
    os, _, architecture = platform.partition("/")
    return RunFacts(
        id=run,
        task_name=task,
        registry=registry,
        os=os or "linux",
        architecture=architecture.partition("/")[0] or "amd64",
        date=date,
        **dict(given or {}),
    )


def _placed(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    return tuple(
        replace(p, location=replace(p.location, file=p.location.file.removeprefix(_NOWHERE))) if p.location else p
        for p in problems
    )


def _step_faults(step: Mapping[str, Any]) -> Iterator[Fault]:
    yield from _told("step.contextPath", lambda: check_context(step.get("contextPath") or ""))
    for key in ("dockerFilePath", "taskFilePath", "valuesFilePath"):
        path = step.get(key) or ""
        if path.startswith("/") or ".." in path.split("/"):
            yield f"step.{key}", f"'{path[:200]}' leaves the context: write a path inside of it"
    if step["type"] == "EncodedTask":
        yield from _told("step.encodedTaskContent", lambda: decoded(step["encodedTaskContent"], "the task"))
        yield from _told("step.encodedValuesContent", lambda: decoded(step.get("encodedValuesContent") or "", "it"))
    elif not step.get("contextPath"):
        yield "step.contextPath", "is needed: a task of this type takes its files from there"
    for key in ("values", "arguments"):
        yield from _repeated(f"step.{key}", step.get(key) or ())


def _trigger_faults(trigger: Mapping[str, Any]) -> Iterator[Fault]:
    timers = trigger.get("timerTriggers") or ()
    sources = trigger.get("sourceTriggers") or ()
    yield from _repeated("trigger.timerTriggers", timers)
    yield from _repeated("trigger.sourceTriggers", sources)
    if (trigger.get("baseImageTrigger") or {}).get("tagPolicy"):
        yield "trigger.baseImageTrigger.tagPolicy", "a server follows no tag policies yet: leave it out"
    for n, timer in enumerate(timers):
        yield from _told(f"trigger.timerTriggers.{n}.schedule", lambda timer=timer: parse_schedule(timer["schedule"]))
        if not _is_zone(timer.get("timeZone") or "UTC"):
            yield f"trigger.timerTriggers.{n}.timeZone", "there is no such time zone; write one as Europe/Berlin"
    for n, source in enumerate(sources):
        path = f"trigger.sourceTriggers.{n}"
        address = source["sourceRepository"]["repositoryUrl"]
        if not isinstance(_parsed(address), Git | Tarball):
            yield f"{path}.sourceRepository.repositoryUrl", "it is no address of a repository"
        yield from _filter_faults(f"{path}.filters", source.get("filters") or {})
        yield from _unknown(f"{path}.mapping", source.get("mapping") or {}, MAPPED)
    if sum(bool(source.get("mapping")) for source in sources) > 1:
        yield "trigger.sourceTriggers", "only one of them may have a mapping: it is for all deliveries to the task"


def _filter_faults(path: str, filters: Mapping[str, Sequence[str]]) -> Iterator[Fault]:
    yield from _unknown(path, filters, FILTERS)
    for name, patterns in filters.items():
        for n, pattern in enumerate(patterns):
            bare = pattern.removeprefix("!")
            if not bare:
                yield f"{path}.{name}.{n}", "the pattern is empty"
            elif name == "paths" and bare.startswith("/"):
                yield f"{path}.{name}.{n}", f"'{pattern[:200]}' never fits: paths begin without a slash"


def _unknown(path: str, given: Iterable[str], known: Sequence[str]) -> Iterator[Fault]:
    for name in given:
        if name not in known:
            near = did_you_mean(name, known) or f"there are {', '.join(known)}"
            yield f"{path}.{name[:100]}", f"there is no such name; {near}"


def _login_faults(registries: Mapping[str, Mapping[str, Any]]) -> Iterator[Fault]:
    for host, entry in registries.items():
        path = f"credentials.customRegistries.{host}"
        if entry.get("identity") and not entry.get("userName") and not entry.get("password"):
            yield path, "an identity alone opens no registry here: give userName and password too"
        for key in ("userName", "password"):
            given = entry.get(key) or {}
            if given.get("type") == "Vaultsecret":
                address = given.get("value") or ""
                yield from _told(f"{path}.{key}.value", lambda address=address: parse_address(address))


def _parsed(text: str) -> object:
    try:
        return parse_context(text)
    except InvalidInput:
        return None


def _repeated(path: str, items: Iterable[Mapping[str, Any]]) -> Iterator[Fault]:
    for name, times in Counter(item["name"] for item in items).items():
        if times > 1:
            yield path, f"'{name}' is there {times} times"


def _told(path: str, check: Any) -> Iterator[Fault]:
    try:
        check()
    except InvalidInput as error:
        yield path, f"{error.message}; {error.hint}" if error.hint else error.message


def _is_zone(name: str) -> bool:
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(name)
    except (OSError, ValueError):  # ZoneInfoNotFoundError is a KeyError
        return False
    except KeyError:
        return False
    return True
