"""Whether a task's source trigger wants an event, and why not. Pure: documents and events in, verdicts out."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from triggers.patterns import chosen
from triggers.sourcecontrol.address import canonical, same_repository
from triggers.sourcecontrol.model import Kind, SourceEvent

#: in a commit's message, or a pull request's title
_SKIP = re.compile(r"\[(skip ci|ci skip|no ci|skip acr)\]|\*\*\*NO_CI\*\*\*", re.IGNORECASE)
#: where neither the trigger nor the context names a branch
_USUAL = ("main", "master")
_WANTED_AS = {Kind.PUSH: "commit", Kind.PULL_REQUEST: "pullrequest"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What a task's trigger says to an event. `trigger` is its name, empty when the task has none; `reason` is a
    sentence for people. A run that `needs_approval` waits for a person, and gets no secrets."""

    wanted: bool
    trigger: str = ""
    reason: str = ""
    needs_approval: bool = False


def judge(document: Mapping[str, Any], event: SourceEvent) -> Verdict:
    """The first of the task's source triggers that wants the event; else why the one that came closest does not."""
    triggers = (document.get("trigger") or {}).get("sourceTriggers") or ()
    if not triggers:
        return Verdict(wanted=False, reason="the task has no source trigger")
    step = document.get("step") or {}
    refusals = []
    for trigger in triggers:
        for rank, reason in enumerate(_objections(trigger, step, event)):
            if reason:
                name = trigger.get("name", "")
                refusals.append((rank, Verdict(wanted=False, trigger=name, reason=reason)))
                break
        else:
            return Verdict(
                wanted=True, trigger=trigger.get("name", ""), reason=_welcome(event), needs_approval=event.is_fork
            )
    return max(refusals, key=lambda one: one[0])[1]


def wants_ref(trigger: Mapping[str, Any], step: Mapping[str, Any], event: SourceEvent) -> bool:
    """Whether a trigger wants pushes to the branch, or tags of the name, that the event is of, as far as these alone
    say."""
    repository, filters, step = _own_words(trigger, step)[1:]
    return not (_other_event(trigger, filters, event) or _other_ref(repository, step, filters, event))


def _own_words(
    trigger: Mapping[str, Any], step: Mapping[str, Any]
) -> tuple[str, Mapping[str, Any], Mapping[str, Any], Mapping[str, Any]]:
    """The address that a trigger watches, its repository and filters, and the step as far as it speaks of them."""
    repository = trigger.get("sourceRepository") or {}
    url = repository.get("repositoryUrl") or step.get("contextPath") or ""
    if not same_repository(url, step.get("contextPath") or ""):
        step = {}  # the context is another repository, and says nothing of this one's branches and folders
    return url, repository, trigger.get("filters") or {}, step


def _objections(trigger: Mapping[str, Any], step: Mapping[str, Any], event: SourceEvent) -> Iterator[str]:
    """What stands against the event, from the plainest on; an empty text where nothing does."""
    url, repository, filters, step = _own_words(trigger, step)
    yield "" if trigger.get("status", "Enabled") == "Enabled" else "the trigger is disabled"
    yield _other_repository(url, event)
    yield _other_event(trigger, filters, event)
    yield _other_ref(repository, step, filters, event)
    yield _other_author(filters, event)
    yield "the message says to skip it" if _SKIP.search(event.message) else ""
    yield _other_paths(filters, step, event)


def _other_repository(url: str, event: SourceEvent) -> str:
    if canonical(url) and canonical(url) in {canonical(one) for one in event.repositories}:
        return ""
    told = event.repositories[0] if event.repositories else "a repository without an address"
    return f"the event is of {told[:300]}, and the trigger watches {url[:300].partition('#')[0] or 'none'}"


def _other_event(trigger: Mapping[str, Any], filters: Mapping[str, Any], event: SourceEvent) -> str:
    if event.kind is Kind.TAG:
        return "" if filters.get("tags") else "the trigger wants no tags: it has no filter for them"
    wanted = [str(one).lower() for one in trigger.get("sourceTriggerEvents") or ("commit",)]
    return "" if _WANTED_AS[event.kind] in wanted else f"the trigger wants {' and '.join(wanted)} events only"


def _other_ref(
    repository: Mapping[str, Any], step: Mapping[str, Any], filters: Mapping[str, Any], event: SourceEvent
) -> str:
    if event.kind is Kind.TAG:
        return "" if chosen(event.tag, filters["tags"]) else f"the tag {event.tag[:200]} passes no filter"
    patterns: Sequence[str] = filters.get("branches") or ()
    if patterns:
        return "" if chosen(event.branch, patterns) else f"the branch {event.branch[:200]} passes no filter"
    one = repository.get("branch") or _context(step)[0]
    if one:
        one = str(one).removeprefix("refs/heads/")
        return "" if event.branch == one else f"the event is of the branch {event.branch[:200]}, not {one}"
    if event.branch in _USUAL:
        return ""
    return f"the event is of the branch {event.branch[:200]}, and the trigger names none: main and master are meant"


def _other_author(filters: Mapping[str, Any], event: SourceEvent) -> str:
    patterns = filters.get("authors") or ()
    if not patterns:
        return ""
    people = [one for one in (event.author, event.sender) if one]
    taken = any(chosen(one, patterns) for one in people) and not any(
        not chosen(one, [p for p in patterns if p.startswith("!")]) for one in people
    )
    return "" if taken else f"{' and '.join(people)[:200] or 'an unknown author'} passes no filter for authors"


def _other_paths(filters: Mapping[str, Any], step: Mapping[str, Any], event: SourceEvent) -> str:
    patterns = filters.get("paths") or _own_paths(step)
    if not patterns or event.paths is None:  # nobody knows what changed: better one run too many
        return ""
    if any(chosen(path, patterns) for path in event.paths):
        return ""
    return f"none of the {len(event.paths)} changed files is in {', '.join(patterns)[:300]}"


def _own_paths(step: Mapping[str, Any]) -> tuple[str, ...]:
    """The context's folder, and its Dockerfile or task file where that lies outside of it."""
    folder = posixpath.normpath(_context(step)[1] or ".").strip("/")
    if folder == "." or folder.startswith(".."):
        return ()
    file = step.get("dockerFilePath") or step.get("taskFilePath") or ""
    outside = posixpath.normpath(posixpath.join(folder, file)) if file else ""
    return (f"{folder}/**", outside) if outside and not outside.startswith((f"{folder}/", "..")) else (f"{folder}/**",)


def _context(step: Mapping[str, Any]) -> tuple[str, str]:
    """The branch and the folder of a context `URL#BRANCH:FOLDER`."""
    branch, _, folder = (step.get("contextPath") or "").partition("#")[2].partition(":")
    return branch, folder


def _welcome(event: SourceEvent) -> str:
    unknown = "; the forge did not tell the changed files" if event.paths is None else ""
    what = {
        Kind.PUSH: f"a push to {event.branch}", Kind.TAG: f"the tag {event.tag}",
        Kind.PULL_REQUEST: f"pull request {event.number}",
    }[event.kind]  # fmt: skip
    return f"{what[:300]} at {event.commit[:12]}{unknown}"
