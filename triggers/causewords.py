"""One cause of a run in words: what happened, who told of it, and when. Pure: documents in, sentences out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from taskengine.errors import InvalidInput
from taskengine.registry.reference import ImageReference
from triggers.imageevent import ImageEvent
from triggers.sourcecontrol import polled

Document = Mapping[str, Any]
#: by the doors of events: who told
_TELLERS = {
    "github": "GitHub", "gitlab": "GitLab", "gitea": "Gitea", "bitbucket": "Bitbucket", "azuredevops": "Azure Repos",
    "generic": "a webhook",
}  # fmt: skip


def manual(cause: Document, *, quick: bool) -> str:
    who = cause.get("by") or "somebody"
    return f"{who} asked for it, without a stored task" if quick else f"{who} ran the task by hand"


def timer(cause: Document, schedule: str, received: datetime | None) -> str:
    """`received` is when the service noticed that the timer was due."""
    due = cause.get("scheduleOccurrence", "")
    text = f"the timer {cause.get('timerTriggerName', '')} was due at {due}"
    text += f" (schedule {schedule})" if schedule else ""
    late = _seconds_between(due, received)
    return text + (f"; it was made up for at {rfc3339(received)}" if received and late > 120 else "")


def source(cause: Document, door: str) -> str:
    """A push, a tag or a pull request; `door` says by which way the service learned of it."""
    commit = str(cause.get("commitId") or "")
    where = f" of {cause['repositoryUrl']}" if cause.get("repositoryUrl") else ""
    branch = cause.get("branchName") or "a branch"
    what = {
        "push": f"commit {commit} was pushed to {branch}{where}",
        "tag": f"the tag {branch}{where} stands for commit {commit}",
        "pullRequest": f"pull request {cause.get('pullRequestId', '')}{where} into {branch} has commit {commit}",
    }.get(str(cause.get("kind")), f"commit {commit}{where}")  # fmt: skip
    delivery = f" (delivery {cause['id']})" if cause.get("id") else ""
    told = f"; {_TELLERS[door]} told of it{delivery}" if door in _TELLERS else ""
    return what + (told or ("; polling found it" if door else ""))


def by_door(door: str) -> str:
    """Who told of something once more."""
    return f" by {_TELLERS[door]}" if door in _TELLERS else " by polling" if door == polled.SOURCE else ""


def pushed(cause: Document, before: Mapping[str, str] | None = None) -> str:
    """A run of a wave that changed something; `before` are by image the digests that it had."""
    images = listed(cause.get("images") or ()) or "what it builds"
    old = [f"{ImageReference.parse(image).familiar} was {digest}" for image, digest in (before or {}).items() if digest]
    text = f"run {cause.get('run', '')} of task {cause.get('task', '')} pushed {images}"
    return text + (f"; {', '.join(old[:5])} before" if old else "")


def updated(images: Iterable[Document]) -> str:
    """The images that a run stands on and that are new, by what ACR's record says of them."""
    found = listed(images)
    return f"what it stands on is new: {found}" if found else "what it stands on is new"


def changed(found: ImageEvent, platforms: Iterable[str] = ()) -> str:
    """A tag that stands for something new, with the digests before and after: the tag's, and those of `platforms`."""
    if found.before is None:
        return f"{found.reference.familiar} was seen for the first time, as {found.after.digest}"
    text = f"{found.reference.familiar} went from {found.before.digest} to {found.after.digest}"
    for platform in dict.fromkeys(platforms):
        before, after = found.before.for_platform(platform), found.after.for_platform(platform)
        if before != after and found.after.platforms:
            text += f", for {platform} from {before or 'none'} to {after or 'none'}"
    return text


def listed(images: Iterable[Document], most: int = 5) -> str:
    """Images as ACR's records have them, as people write them."""
    names = [familiar(one) for one in images]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def familiar(image: Document) -> str:
    tag = f":{image['tag']}" if image.get("tag") else ""
    digest = f"@{image['digest']}" if image.get("digest") else ""
    text = f"{image.get('registry') or 'docker.io'}/{image.get('repository', '')}{tag}"
    try:
        return ImageReference.parse(text).familiar + digest
    except InvalidInput:
        return text + digest


def count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def rfc3339(moment: datetime | None) -> str:
    """To the second, in UTC."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else ""


def _seconds_between(text: object, moment: datetime | None) -> float:
    try:
        return (moment - datetime.fromisoformat(str(text))).total_seconds() if moment else 0.0
    except (ValueError, TypeError):
        return 0.0
