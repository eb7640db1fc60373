"""Takes registries' notifications in: believes only who knows the hook's token, keeps what may matter, and lets the
registries of watched images be asked at once.

A notification is kept, and the images that it names are due, in one transaction before it is acknowledged. It is a
hint: what the registry answers counts (`imagewatch`). Must not know what follows from a change.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from taskengine.errors import InvalidInput
from taskengine.registry.config import is_host
from taskengine.service.refusal import Unauthorized
from taskengine.service.services import Services
from taskengine.service.store import Connection, ledger, watches
from taskengine.service.watches import TOPIC, hook_token
from triggers.imagegraph import named
from triggers.refusals import Refusals
from triggers.registries.model import Delivery, ImagePushed, Product, Reading, Untrusted
from triggers.registries.receive import product, read, verify

_log = logging.getLogger("triggers.registryhook")
#: what of a delivery's headers is kept: never what proves whom it is from
_KEPT = (
    "content-type", "user-agent", "x-github-event", "x-github-delivery", "ce-type", "ce-id", "ce-time", "ce-source",
)  # fmt: skip
#: under which the host is kept that the hook's address names
_REGISTRY = "x-acr-task-registry"
SOURCES = frozenset(one.value for one in Product)


@dataclass(frozen=True, kw_only=True, slots=True)
class Notified:
    """What became of a notification. `event` is 0 for one that tells of no push at all, which is not kept."""

    event: int
    new: bool


class RegistryHook:
    """The door. `given` is a token from the service's environment, which goes before the one that is stored."""

    def __init__(self, services: Services, *, given: str = "", refusals: Refusals | None = None) -> None:
        self._services = services
        self._given = given
        self._refusals = refusals

    def receive(
        self, name: str, headers: Mapping[str, str], body: bytes, *, token: str = "", registry: str = ""
    ) -> Notified:
        """`token` and `registry` are what stands in the address. Raises InvalidInput for a notification that is none,
        and Unauthorized for one that proves nothing."""
        kind = product(name)
        lowered = {key.lower(): value for key, value in headers.items()}
        delivery = Delivery(headers=lowered, body=body, token=token)
        kept = {key: lowered[key][:500] for key in _KEPT if key in lowered}
        self._check(kind, delivery, kept)
        if registry and not is_host(registry):
            raise InvalidInput(f"{registry[:80]!r} is no registry host", hint="write ?registry=HOST or HOST:PORT")
        reading = read(kind, delivery, registry=registry)
        if reading.idle:
            return Notified(event=0, new=False)
        if registry:
            kept[_REGISTRY] = registry
        now = self._services.now()

        def work(conn: Connection) -> Notified:
            event, new = ledger.record(
                conn, source=kind.value, task="", headers=kept, body=body, now=now, delivery=_delivery(reading, lowered)
            )
            if new:
                _look_into(conn, event.number, reading, now)
            return Notified(event=event.number, new=new)

        notified = self._services.database.transact(work)
        self._services.bell.tell(TOPIC)
        return notified

    def _check(self, kind: Product, delivery: Delivery, kept: Mapping[str, str]) -> None:
        try:
            verify(kind, delivery, self._given or hook_token(self._services))
        except Untrusted as error:
            _log.warning("refused a notification of %s: %s", kind.value, error.message)
            if self._refusals is not None:
                self._refusals.note(kind.value, "", error.message, {key: value[:100] for key, value in kept.items()})
            raise Unauthorized(
                "the notification does not prove whom it is from", hint="give the registry the token of the hook"
            ) from None


def process(services: Services, event: ledger.Event) -> None:
    """Works again on a notification that somebody replays: the registries are asked once more."""
    headers = dict(event.headers)
    registry = headers.pop(_REGISTRY, "")
    try:
        reading = read(product(event.source), Delivery(headers=headers, body=event.body), registry=registry)
    except InvalidInput as error:
        reading = Reading(ignored=(error.message,))

    def work(conn: Connection) -> None:
        if ledger.hold(conn, event.number):
            _look_into(conn, event.number, reading, services.now())

    services.database.transact(work)
    services.bell.tell(TOPIC)


def _look_into(conn: Connection, event: int, reading: Reading, now: datetime) -> None:
    """Makes what was pushed due, and says for each image what comes of it."""
    said: list[tuple[str, str]] = []
    for pushed in _each_once(reading.pushed):
        image = named(pushed.image)
        by = {"kind": watches.REGISTRY, "event": event}
        outcome = watches.notice(conn, image, by=by, digest=pushed.digest, now=now)
        state = "noted" if outcome == watches.ASKED else "ignored"
        facts = {"kind": "imagePush", "image": image, "digest": pushed.digest}
        ledger.note(conn, event, task="", state=state, reason=f"{image}: {outcome}", facts=facts, now=now)
        said.append((state, f"{image}: {outcome}"))
    said += [("ignored", why) for why in reading.ignored]
    state = "noted" if any(one == "noted" for one, _ in said) else "ignored"
    first = next((why for one, why in said if one == state), "it tells of no push")
    more = len(said) - 1
    ledger.settle(conn, event, state, f"{first} (and {more} more)" if more > 0 else first, now=now)


def _each_once(pushed: Iterable[ImagePushed]) -> Iterable[ImagePushed]:
    """Of several pushes of one tag the last; in the order of names, so that two never wait for each other's rows."""
    return [one for _, one in sorted({named(one.image): one for one in pushed}.items())]


def _delivery(reading: Reading, headers: Mapping[str, str]) -> str:
    """What tells the same notification when it is sent again; empty where nothing does."""
    if found := headers.get("x-github-delivery", ""):
        return found
    numbers = [one.event_id for one in reading.pushed]
    if not numbers or not all(numbers):
        return ""
    return "sha256:" + hashlib.sha256("\n".join(numbers).encode("utf-8", "replace")).hexdigest()
