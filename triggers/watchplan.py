"""Which images to ask registries about, and when: one check for a distinct image, within what registries allow. Pure.

Knows times and rate limits; asks nobody, and does not know what a change leads to.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from taskengine.registry.ratelimit import RateLimit
from taskengine.registry.reference import ImageReference
from triggers.imagechange import Seen

#: an image is asked about this often within the time since it changed last
_CHECKS_IN_AGE = 24
#: a limit that says no end of its window is taken to be of six hours, Docker Hub's
_WINDOW = timedelta(hours=6)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """How often the images of a registry are asked about: between `shortest` and `longest` apart, each moved by up to
    `jitter` of itself. `told` is the pace while notifications work: asking then finds only those that got lost."""

    shortest: timedelta = timedelta(minutes=10)
    longest: timedelta = timedelta(minutes=60)
    told: timedelta = timedelta(hours=6)
    jitter: float = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """`paces` by registry, `usual` for all others. `reserve` is the part of a registry's limit that is left for builds.
    An image whose check fails is asked again after `backoff`, twice that, and so on, up to `longest_backoff`."""

    usual: Pace = field(default_factory=Pace)
    paces: Mapping[str, Pace] = field(default_factory=dict)
    reserve: float = 0.5
    backoff: timedelta = timedelta(minutes=2)
    longest_backoff: timedelta = timedelta(hours=6)

    def pace(self, registry: str) -> Pace:
        return self.paces.get(registry, self.usual)


@dataclass(frozen=True, kw_only=True, slots=True)
class WatchedImage:
    """A distinct image and what is known of it. None: never, or not yet.

    `due` is the next check, `changed` when its content was another one for the last time, `told` when its registry sent
    the last notification about it, `failures` the checks in a row that failed, `error` the last one's words.
    """

    image: ImageReference
    seen: Seen | None = None
    checked: datetime | None = None
    changed: datetime | None = None
    told: datetime | None = None
    due: datetime | None = None
    failures: int = 0
    error: str = ""


def after_check(state: WatchedImage, seen: Seen, now: datetime, rules: Rules) -> WatchedImage:
    """The image after a check that told what the tag stands for."""
    is_new = state.seen is None or state.seen.digest != seen.digest
    # an image that is seen for the first time may be of any age: it is taken for one that has just changed
    moved = replace(state, seen=seen, checked=now, changed=now if is_new else state.changed, failures=0, error="")
    return replace(moved, due=now + _spread(interval(moved, now, rules), moved, now, rules))


def after_failure(state: WatchedImage, error: str, now: datetime, rules: Rules) -> WatchedImage:
    """The image after a check that failed. What was seen earlier stays."""
    failures = state.failures + 1
    wait = min(rules.backoff * 2 ** min(failures - 1, 30), rules.longest_backoff)
    return replace(state, checked=now, failures=failures, error=error, due=now + _spread(wait, state, now, rules))


def after_notice(state: WatchedImage, now: datetime) -> WatchedImage:
    """The image after its registry told of a push: it is due at once."""
    return replace(state, told=now, due=now)


def interval(state: WatchedImage, now: datetime, rules: Rules) -> timedelta:
    """How long to wait after a good check: short after a change, longer the longer there was none."""
    pace = rules.pace(state.image.domain)
    if state.told and state.changed and state.told >= state.changed - pace.shortest:
        # the last change was told, so notifications of this image work
        return max(pace.told, pace.longest)
    age = now - state.changed if state.changed else timedelta()
    return min(max(age / _CHECKS_IN_AGE, pace.shortest), pace.longest)


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """What a registry said last about its limit, and when it said so; it is None for a registry that names no limit."""

    limit: RateLimit | None = None
    said: datetime | None = None

    def resets(self) -> datetime | None:
        """When the limit is a new one, as far as known."""
        if self.limit is None or self.said is None:
            return None
        seconds = self.limit.reset if self.limit.reset is not None else self.limit.window
        return self.said + (timedelta(seconds=seconds) if seconds is not None else _WINDOW)

    def allows(self, now: datetime, rules: Rules) -> int | None:
        """How many requests may be made now, None for as many as one likes. The reserve is left for builds."""
        end = self.resets()
        if self.limit is None or self.limit.remaining is None or end is None or now >= end:
            return None
        kept = int((self.limit.limit or self.limit.remaining) * rules.reserve)
        return max(0, self.limit.remaining - kept)


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """What to do now: the checks by registry, oldest first; when to look again; which registries are held, and why."""

    checks: Mapping[str, tuple[WatchedImage, ...]] = field(default_factory=dict)
    wake: datetime | None = None
    held: Mapping[str, str] = field(default_factory=dict)


def plan(
    images: Iterable[WatchedImage], budgets: Mapping[str, Budget], now: datetime, rules: Rules, *, most: int = 1000
) -> Turn:
    """The checks that are due, at most `most` of each registry and no more than its budget allows."""
    due: dict[str, list[WatchedImage]] = {}
    wakes: list[datetime] = []
    for state in images:
        if state.due is None or state.due <= now:
            due.setdefault(state.image.domain, []).append(state)
        else:
            wakes.append(state.due)
    checks, held = {}, {}
    for registry, waiting in due.items():
        waiting.sort(key=lambda one: (one.due is not None, one.due or now, one.image.normalised))
        budget = budgets.get(registry, Budget())
        allowed = budget.allows(now, rules)
        count = most if allowed is None else min(most, allowed)
        if chosen := tuple(waiting[:count]):
            checks[registry] = chosen
        if count < len(waiting):
            end = budget.resets() if allowed is not None and allowed <= count else None
            if end is not None:
                held[registry] = (
                    f"{len(waiting) - count} checks wait for the registry's limit, of which "
                    f"{rules.reserve:.0%} is kept for builds, until {end:%Y-%m-%dT%H:%M:%SZ}"
                )
            wakes.append(end or now)
    return Turn(checks=checks, wake=min(wakes, default=None), held=held)


def _spread(wait: timedelta, state: WatchedImage, now: datetime, rules: Rules) -> timedelta:
    jitter = rules.pace(state.image.domain).jitter
    return wait * (1 - jitter + 2 * jitter * _chance(state.image, now))


def _chance(image: ImageReference, now: datetime) -> float:
    """A number from 0 to 1 that is the same for the same image and moment, and another one for each other."""
    digest = hashlib.sha256(f"{image.normalised} {now.timestamp()}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64
