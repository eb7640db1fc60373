"""Asks registries about the images that stored tasks stand on, and puts each change into the ledger, once.

Whatever tells of a push (a registry, a run of our own) only makes an image due: what its registry answers counts. The
change goes into the ledger in the transaction that moves what was seen, so that of any number of services and notices
one is the first, and a service that dies in between has told either both or nothing.
"""

from __future__ import annotations

import logging
import secrets as random
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from taskengine.registry.client import RegistryClient
from taskengine.registry.reference import ImageReference
from taskengine.service.services import Services
from taskengine.service.store import Connection, duties, watches
from taskengine.service.store.watches import Watch
from taskengine.service.watches import TOPIC
from triggers import imageevent
from triggers.behind import any_behind
from triggers.imagechange import Seen
from triggers.imageevent import ImageEvent
from triggers.intake import TOPIC as EVENTS
from triggers.watch import Checked, Others, Poller
from triggers.watchplan import Rules, WatchedImage, plan

_log = logging.getLogger("triggers.imagewatch")
_TERM = timedelta(seconds=15)  # another service goes on so soon after one that was killed
_AT_ONCE = 8  # registries that are asked at the same time
_BATCH = 50  # images of one registry before its turn is over, so that what is told of meanwhile does not wait long
_LOOKED_AT = 1000
_PRUNE = timedelta(minutes=10)


class ImageWatch:
    """The duty. `tick` begins what is due and does not wait for it; `stop` lets it end soon, `close` waits for that.
    `count` is told the result of each check: `same`, `changed`, `failed`."""

    def __init__(
        self, services: Services, client: RegistryClient, rules: Rules, *, others: Others = lambda _: (),
        count: Callable[[str], None] = lambda _: None,
    ) -> None:  # fmt: skip
        self._services = services
        self._rules = rules
        self._poller = Poller(client, rules, services.ambient, others)
        self._count = count
        self._holder = random.token_hex(8)
        self._pool = ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="imagewatch")
        self._lock = threading.Lock()
        self._busy: set[str] = set()
        self._idle = threading.Condition(self._lock)
        self._held: Mapping[str, str] = {}
        self._pruned = services.now()

    def tick(self) -> int:
        """Begins the checks that are due, if no other service does them. Returns how many it began."""
        now = self._services.now()
        with self._lock:
            busy = set(self._busy)
        resting = {name for name, budget in self._poller.budgets.items() if budget.allows(now, self._rules) == 0}
        with self._services.database.read() as conn:
            found = watches.due(conn, now=now, resting=busy | resting, most=_LOOKED_AT)
        if not (found or busy) or not self._is_mine():
            return 0
        if now - self._pruned >= _PRUNE:
            self._pruned = now
            self._services.database.transact(watches.prune)
        decided = plan(map(_state, found), self._poller.budgets, now, self._rules, most=_BATCH)
        self._tell_held(decided.held)
        by_name = {one.image: one for one in found}
        for registry, states in decided.checks.items():
            with self._lock:
                if registry in self._busy:
                    continue
                self._busy.add(registry)
            self._pool.submit(self._ask, registry, states, by_name)
        return sum(len(states) for states in decided.checks.values())

    def wait(self) -> None:
        """Until no check is under way."""
        with self._idle:
            self._idle.wait_for(lambda: not self._busy)

    def stop(self) -> None:
        self._poller.stop()

    def close(self) -> None:
        self.stop()
        self._pool.shutdown()

    def _is_mine(self) -> bool:
        now = self._services.now()
        return self._services.database.transact(
            lambda conn: duties.take(conn, "imagewatch", self._holder, now=now, term=_TERM)
        )

    def _tell_held(self, held: Mapping[str, str]) -> None:
        for registry, why in held.items():
            if registry not in self._held:
                _log.warning("%s: %s", registry, why)
        self._held = held

    def _ask(self, registry: str, states: Iterable[WatchedImage], by_name: Mapping[str, Watch]) -> None:
        try:
            self._poller.ask(registry, states, lambda checked: self._report(by_name[_name(checked.after)], checked))
        except Exception:  # noqa: BLE001 - the others go on, and this one is due again
            _log.exception("asking %s broke off", registry)
        finally:
            with self._idle:
                self._busy.discard(registry)
                self._idle.notify_all()
            self._services.bell.tell(TOPIC)

    def _report(self, before: Watch, checked: Checked) -> None:
        after = checked.after
        self._count("failed" if after.failures else "changed" if checked.is_news and before.seen else "same")

        def work(conn: Connection) -> int:
            settled = watches.settle(
                conn, before, seen=after.seen.as_json() if after.seen else None, checked=after.checked,
                changed=after.changed, next_at=after.due or self._services.now(), failures=after.failures,
                error=after.error,
            )  # fmt: skip
            return self._put(conn, before, checked) if settled and checked.is_news else 0

        number = self._services.database.transact(work)
        if number:
            self._services.bell.tell(EVENTS)

    def _put(self, conn: Connection, before: Watch, checked: Checked) -> int:
        """The event of a change; none for an image that is seen for the first time, unless a run is known to have used
        another one."""
        seen = checked.after.seen
        if seen is None or (checked.before.seen is None and not any_behind(conn, before.image, seen)):
            return 0
        event = ImageEvent(
            source=str(before.told_by.get("kind") or imageevent.POLL),
            image=before.image,
            before=checked.before.seen,
            after=seen,
            key=f"image:{before.image}:{seen.digest}:{before.created.timestamp():.6f}:{before.changes + 1}",
            told_by={key: value for key, value in before.told_by.items() if key != "kind"},
        )
        return imageevent.put(conn, event, now=self._services.now())


def _state(watch: Watch) -> WatchedImage:
    return WatchedImage(
        image=ImageReference.parse(watch.image),
        seen=Seen.of_json(watch.seen) if watch.seen else None,
        checked=watch.checked,
        changed=watch.changed,
        told=watch.told,
        due=None if watch.told_by else watch.next_at,  # what was told of goes first
        failures=watch.failures,
        error=watch.error,
    )


def _name(state: WatchedImage) -> str:
    return state.image.normalised
