"""Asks registries what tags stand for now: one HEAD for an image that did not change, one GET for an index that did.

Carries out what `watchplan` decided. Keeps no state but what registries said of their limits; whoever calls it keeps
the images, and decides what a change leads to.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from taskengine.ambient import Ambient
from taskengine.errors import Interrupted, TaskEngineError, Unreachable
from taskengine.registry.client import RegistryClient
from taskengine.registry.failure import Denied, NotFound, RateLimited
from taskengine.registry.mediatype import INDEXES
from taskengine.registry.ratelimit import RateLimit
from taskengine.registry.reference import ImageReference
from triggers.imagechange import Seen
from triggers.watchplan import Budget, Rules, Turn, WatchedImage, after_check, after_failure, plan

#: seconds for one image; a registry that hangs must not hold up its others for long
_SECONDS = 30.0
#: registries that are asked at the same time
_AT_ONCE = 8
#: seconds to leave a registry alone that said "too many requests" and not for how long
_REST = 600
#: so many checks in a row that reach nobody, and the registry rests for so many seconds
_AWAY, _AWAY_REST = 2, 60

#: clients with other logins, to be asked where ours may not see an image
Others = Callable[[ImageReference], Iterable[RegistryClient]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """An image before and after a check. `is_news` says that its tag stands for another content than before."""

    before: WatchedImage
    after: WatchedImage

    @property
    def is_news(self) -> bool:
        return not self.after.error and self.after.seen is not None and self.after.seen != self.before.seen


class Poller:
    """Checks what is due. `turn` may be called from one thread at a time."""

    def __init__(self, client: RegistryClient, rules: Rules, ambient: Ambient, others: Others = lambda _: ()) -> None:
        """`others` are asked, one after the other, where `client` may not see an image."""
        self._client = client.bound(seconds=_SECONDS)
        self._others = others
        self._rules = rules
        self._ambient = ambient
        self._budgets: dict[str, Budget] = {}
        self._away: set[str] = set()  # images whose check has just found nobody
        self._stopped = threading.Event()

    @property
    def budgets(self) -> Mapping[str, Budget]:
        """What each registry said last about its limit."""
        return dict(self._budgets)

    def stop(self) -> None:
        """Begin no further check. A check that runs ends within its time."""
        self._stopped.set()

    def turn(self, images: Iterable[WatchedImage], report: Callable[[Checked], None], *, most: int = 1000) -> Turn:
        """Check what is due; `report` is called for each image that was checked, one at a time. Registries are asked
        beside each other, the images of one registry one after the other. Raises what `report` raises."""
        from concurrent.futures import ThreadPoolExecutor

        decided = plan(images, self.budgets, self._ambient.now(), self._rules, most=most)
        lock = threading.Lock()

        def told(checked: Checked) -> None:
            with lock:
                report(checked)

        if decided.checks:
            with ThreadPoolExecutor(max_workers=min(_AT_ONCE, len(decided.checks)), thread_name_prefix="poll") as pool:
                jobs = [pool.submit(self.ask, name, states, told) for name, states in decided.checks.items()]
            for job in jobs:
                job.result()
        return decided

    def ask(self, registry: str, states: Iterable[WatchedImage], report: Callable[[Checked], None]) -> None:
        """Check these images of one registry, one after the other, as far as its limit allows. One that twice in a row
        could not be reached is left alone for a while. May run for several registries at once; raises what `report`
        raises."""
        away = 0
        for state in states:
            allowed = self._budgets.get(registry, Budget()).allows(self._ambient.now(), self._rules)
            if self._stopped.is_set() or allowed == 0:
                return
            try:
                checked = Checked(before=state, after=self.check(state))
            except Interrupted:
                return
            away = away + 1 if self._was_away(checked.after) else 0
            if away == _AWAY:
                self._budgets[registry] = Budget(
                    limit=RateLimit(remaining=0, reset=_AWAY_REST), said=self._ambient.now()
                )  # fmt: skip
            report(checked)

    def check(self, state: WatchedImage) -> WatchedImage:
        """Ask about one image. A failure is part of the answer; raises Interrupted only."""
        domain = state.image.domain
        try:
            seen = self._seen(state)
        except Interrupted:
            raise
        except RateLimited as error:
            now = self._ambient.now()
            rest = RateLimit(remaining=0, reset=int(error.retry_after or _REST))
            self._budgets[domain] = Budget(limit=rest, said=now)
            return after_failure(state, error.message, now, self._rules)
        except Unreachable as error:
            failed = after_failure(state, error.message, self._ambient.now(), self._rules)
            self._away.add(failed.image.normalised)
            return failed
        except TaskEngineError as error:
            return after_failure(state, error.message, self._ambient.now(), self._rules)
        now = self._ambient.now()
        if limit := self._client.rate_limit(domain):
            self._budgets[domain] = Budget(limit=limit, said=now)
        return after_check(state, seen, now, self._rules)

    def _was_away(self, state: WatchedImage) -> bool:
        away = state.image.normalised in self._away
        self._away.discard(state.image.normalised)
        return away

    def _seen(self, state: WatchedImage) -> Seen:
        try:
            return _seen(self._client, state)
        except Denied:
            for other in self._others(state.image):
                try:
                    return _seen(other.bound(seconds=_SECONDS), state)
                except (Denied, NotFound):
                    continue
            raise


def _seen(client: RegistryClient, state: WatchedImage) -> Seen:
    if state.seen is None:
        found = client.resolve(state.image)
    else:
        news = client.changed(state.image, state.seen.digest)
        if news is None:
            return state.seen
        found = news
    if found.media_type not in INDEXES:
        return Seen(digest=found.digest)
    # by its digest: the tag may move again meanwhile
    return Seen.of_manifest(client.manifest(state.image.with_digest(found.digest)))
