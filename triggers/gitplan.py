"""Which repositories to ask for their branches and tags, for whom, and when. Pure: tasks and times in, plans out.

A repository is asked once for all tasks that may know of it: those without a token of their own are not told what only
somebody else's token shows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from taskengine.service.model import Task
from taskengine.service.settings import ServerSettings
from taskengine.service.store.heads import Repository
from triggers.match import wants_ref
from triggers.sourcecontrol.address import canonical
from triggers.sourcecontrol.polled import probe

#: a repository is asked this often within the time since it changed last
_CHECKS_IN_AGE = 24
_BACKOFF = timedelta(minutes=2)
_LONGEST_BACKOFF = timedelta(hours=6)
_JITTER = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A source trigger of a task that wants pushes or tags."""

    task: str
    trigger: Mapping[str, Any]
    step: Mapping[str, Any]

    @property
    def url(self) -> str:
        return str((self.trigger.get("sourceRepository") or {}).get("repositoryUrl") or "")

    def wants(self, ref: str) -> bool:
        return wants_ref(self.trigger, self.step, probe(ref))


@dataclass(frozen=True, kw_only=True, slots=True)
class Watched:
    """A repository, asked with one token (or none) for these sources. `name` is its one spelling, and what tells apart
    the tokens with which it is asked."""

    name: str
    url: str
    sources: tuple[Source, ...]
    token: str = field(default="", repr=False)

    @property
    def host(self) -> str:
        return self.name.partition("/")[0]

    @property
    def tags(self) -> bool:
        """Whether anybody wants tags."""
        return any((one.trigger.get("filters") or {}).get("tags") for one in self.sources)

    @property
    def scope(self) -> dict[str, str]:
        """For whom it is asked: a digest of what each task wants of it."""
        found: dict[str, list[Any]] = {}
        for one in self.sources:
            found.setdefault(one.task, []).append([one.trigger, one.step.get("contextPath")])
        return {task: _digest(json.dumps(wanted, sort_keys=True, default=str)) for task, wanted in found.items()}

    def wanting(self, ref: str) -> list[str]:
        """The tasks that want this ref."""
        return list(dict.fromkeys(one.task for one in self.sources if one.wants(ref)))


def watched(tasks: Iterable[tuple[Task, Mapping[str, str]]]) -> dict[str, Watched]:
    """What to ask, by name. Beside each task are the tokens of its source triggers, by their names."""
    groups: dict[str, dict[str, list[tuple[Source, str, str]]]] = {}
    for task, tokens in tasks:
        for trigger in (task.document.get("trigger") or {}).get("sourceTriggers") or ():
            source = Source(task=task.name, trigger=trigger, step=task.document.get("step") or {})
            if not task.enabled or trigger.get("status", "Enabled") != "Enabled" or not is_of_refs(trigger):
                continue
            if where := canonical(source.url):
                entry = (source, task.owner, tokens.get(trigger.get("name", ""), ""))
                groups.setdefault(where, {}).setdefault("", []).append(entry)
    found: dict[str, Watched] = {}
    for where, members in groups.items():
        entries = members[""]
        # whoever has a token for it, shows it to all of its own tasks
        known = {owner: token for _, owner, token in reversed(entries) if token}
        by_token: dict[str, list[Source]] = {}
        for source, owner, token in entries:
            by_token.setdefault(token or known.get(owner, ""), []).append(source)
        for token, sources in by_token.items():
            name = f"{where} {_digest(token)[:12]}" if token else where
            found[name] = Watched(name=name, url=sources[0].url, sources=tuple(sources), token=token)
    return found


def is_due(one: Watched, row: Repository | None, now: datetime) -> bool:
    """Whether to ask now: its time has come, or somebody new wants to know."""
    return row is None or row.next_at <= now or (dict(row.scope) != one.scope and not row.failures)


def after_check(row: Repository, now: datetime, settings: ServerSettings, *, hooked: bool) -> Repository:
    """The repository after a check that told its refs. `hooked` says that webhooks tell of it too, so that asking finds
    only what got lost."""
    if hooked:
        wait = timedelta(seconds=max(settings.git_poll_hooked_seconds, settings.git_poll_seconds))
    else:
        age = (now - row.changed) / _CHECKS_IN_AGE if row.changed else timedelta()
        longest = timedelta(seconds=max(settings.git_poll_longest_seconds, settings.git_poll_seconds))
        wait = min(max(age, timedelta(seconds=settings.git_poll_seconds)), longest)
    return replace(row, checked=now, failures=0, error="", next_at=now + _spread(wait, row.repository, now))


def after_failure(row: Repository, error: str, now: datetime) -> Repository:
    """The repository after a check that failed. What was seen earlier stays."""
    wait = min(_BACKOFF * 2 ** min(row.failures, 20), _LONGEST_BACKOFF)
    return replace(row, failures=row.failures + 1, error=error, next_at=now + _spread(wait, row.repository, now))


class Budget:
    """At most so many requests a minute to each host, none saved up for later."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._asked: dict[str, list[datetime]] = {}

    def take(self, host: str, now: datetime) -> bool:
        """Whether one more may be made now; then it counts."""
        recent = [at for at in self._asked.get(host, ()) if now - timedelta(minutes=1) < at <= now]
        self._asked[host] = recent
        if len(recent) >= self._per_minute:
            return False
        recent.append(now)
        return True


def is_of_refs(trigger: Mapping[str, Any]) -> bool:
    """Whether a trigger wants pushes or tags, which polling can find."""
    events = [str(one).lower() for one in trigger.get("sourceTriggerEvents") or ("commit",)]
    return "commit" in events or bool((trigger.get("filters") or {}).get("tags"))


def _spread(wait: timedelta, name: str, now: datetime) -> timedelta:
    """The wait, moved by up to a tenth: the same for the same repository and moment, another one for each other."""
    chance = int.from_bytes(hashlib.sha256(f"{name} {now.timestamp()}".encode()).digest()[:8]) / 2**64
    return wait * (1 - _JITTER + 2 * _JITTER * chance)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
