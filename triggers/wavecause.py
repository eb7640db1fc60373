"""Why a task of a wave runs: the chain of causes that its run carries, newest first. Pure.

First stands what started this very run, in ACR's form of an image update: the images that it stands on, with the
digests that they have now. Then each run of the wave that pushed one of them, and so on down to the events that the
wave began with.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from taskengine.registry.reference import ImageReference
from taskengine.service.model import Document
from taskengine.service.store.waves import Pushed, StoredMember, StoredWave

#: a chain names so many runs at most; the rest is a number
MOST_RUNS = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class WaveFacts:
    """What the causes are made of: the wave, its members by task, what their runs pushed, and the time to name."""

    wave: StoredWave
    members: Mapping[str, StoredMember]
    pushes: Mapping[str, Sequence[Pushed]]
    at: str


def ancestors(members: Mapping[str, StoredMember], task: str) -> Iterator[StoredMember]:
    """The members whose news reached a task, each once."""
    seen = {task}
    level = [members[task]]
    while level:
        above = []
        for member in level:
            for parent in member.parents:
                if parent in members and parent not in seen:
                    seen.add(parent)
                    if members[parent].state == "changed":
                        above.append(members[parent])
        yield from above
        level = above


def chain(facts: WaveFacts, task: str) -> tuple[Document, ...]:
    """The causes of a task's run."""
    member = facts.members[task]
    above = sorted(ancestors(facts.members, task), key=lambda one: -one.level)  # those that ran last come first
    pushers = [one for one in above if one.task in member.parents and _relevant(facts, one, member.images)]
    images = [_image_json(name, digest) for name, digest in _digests(facts, member, pushers).items()]
    first: dict[str, Any] = {
        "kind": "imageUpdate", "event": _event_of(facts, member.images), "wave": facts.wave.number,
        "imageUpdateTrigger": {"id": f"wave-{facts.wave.number}-{task}", "timestamp": facts.at, "images": images},
    }  # fmt: skip
    if pushers:
        first["runs"] = [one.run for one in pushers]
    runs = [_run_json(facts, one) for one in above[:MOST_RUNS]]
    more: list[Document] = []
    if len(above) > MOST_RUNS:
        more = [{"kind": "wave", "wave": facts.wave.number, "moreRuns": len(above) - MOST_RUNS}]
    return (first, *runs, *more, *_roots(facts, [member, *above], without=first["event"] if not pushers else None))


def of_event(wave: int, entry: Document, task: str) -> Document:
    """The cause that a change adds to a run which is queued already."""
    return {
        "kind": "imageUpdate", "event": entry["event"], "wave": wave,
        "imageUpdateTrigger": {
            "id": f"wave-{wave}-{task}", "timestamp": entry["at"],
            "images": [_image_json(entry["image"], entry["digest"])],
        },
    }  # fmt: skip


def _digests(facts: WaveFacts, member: StoredMember, pushers: Iterable[StoredMember]) -> dict[str, str]:
    found = {one["image"]: str(one["digest"]) for one in facts.wave.images if one["image"] in member.images}
    for pusher in pushers:
        found.update({one.name: one.digest for one in facts.pushes.get(pusher.run, ()) if one.name in member.images})
    return found


def _relevant(facts: WaveFacts, member: StoredMember, images: Sequence[str]) -> bool:
    return any(one.name in images for one in facts.pushes.get(member.run, ()))


def _run_json(facts: WaveFacts, member: StoredMember) -> Document:
    pushed = [_image_json(one.name, one.digest) for one in facts.pushes.get(member.run, ())]
    return {
        "kind": "wave", "wave": facts.wave.number, "task": member.task, "run": member.run, "images": pushed[:10],
    }  # fmt: skip


def _roots(facts: WaveFacts, members: Sequence[StoredMember], *, without: object) -> list[Document]:
    """The events that the chain begins with, the newest first."""
    concerned = {image for member in members for image in member.images}
    return [
        {
            "kind": "imageUpdate", "event": one["event"], "wave": facts.wave.number, "at": one["at"],
            "images": [_image_json(one["image"], one["digest"])],
        }
        for one in reversed(facts.wave.images)
        if one["image"] in concerned and one["event"] != without
    ]  # fmt: skip


def _event_of(facts: WaveFacts, images: Sequence[str]) -> int:
    """The newest event about one of these images; the wave's own for a task that stands on none of them."""
    return next((int(one["event"]) for one in reversed(facts.wave.images) if one["image"] in images), facts.wave.event)


def _image_json(name: str, digest: str) -> Document:
    image = ImageReference.parse(name)
    return {"registry": image.domain, "repository": image.path, "tag": image.tag, "digest": digest}
