"""Whether a change of an image is news to each task that stands on it, and where it is not, why. Pure.

What a task's last run is recorded to have used goes before what was seen of the tag: a run that came after a push, and
before it was noticed, has used it already.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from taskengine.service.store.reach import Use
from triggers.imagechange import Change, Seen, Unchanged, changed


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdicts:
    """`wanted` are by task the changes that are news to it, `ignored` the reasons of the others."""

    wanted: Mapping[str, Change] = field(default_factory=dict)
    ignored: Mapping[str, str] = field(default_factory=dict)


def verdicts(
    uses: Iterable[Use], before: Seen | None, after: Seen, *, makers: Collection[str] = (), platform: str,
    again: bool = False,
) -> Verdicts:  # fmt: skip
    """`platform` is that of a use of which none is known. `makers` push the image themselves. With `again` somebody
    wants the change to count anew, whatever was built since."""
    wanted: dict[str, Change] = {}
    ignored: dict[str, str] = {}
    for use in uses:
        if use.task in makers:
            ignored[use.task] = "it makes the image itself"
            continue
        found = _one(use, before, after, use.platform or platform, again=again)
        if isinstance(found, Change):
            wanted.setdefault(use.task, found)
        else:
            ignored.setdefault(use.task, found.reason)
    return Verdicts(wanted=wanted, ignored={task: why for task, why in ignored.items() if task not in wanted})


def uses_already(use: Use, after: Seen, platform: str) -> bool:
    """Whether the task's last run is recorded to have used this very content."""
    digests = {use.digest, use.platform_digest} - {""}
    return bool(digests & {after.digest, after.for_platform(use.platform or platform)})


def _one(use: Use, before: Seen | None, after: Seen, platform: str, *, again: bool) -> Change | Unchanged:
    if before is None:
        before = _recorded(use, platform)
    found = changed(before, after, platform)
    if isinstance(found, Change) and not again and use.settled and uses_already(use, after, platform):
        return Unchanged(reason="its last run used this very image already")
    return found


def _recorded(use: Use, platform: str) -> Seen | None:
    """What the last run used, where it is known well enough to be compared."""
    if not use.digest or not use.platform_digest:
        return None
    inner = use.platform_digest
    return Seen(digest=use.digest, platforms={platform: inner} if inner != use.digest else {})
