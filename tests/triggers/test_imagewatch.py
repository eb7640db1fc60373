"""Each change of a watched image is in the ledger once, whoever saw it first: a registry's notice, a run of ours, a check.

Against a real docker-registry, on both databases, with several services on one database, and with deaths in between.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from taskengine.ambient import Ambient
from taskengine.registry.auth import Login
from taskengine.registry.client import RegistryClient
from taskengine.registry.limits import Limits
from taskengine.registry.reference import ImageReference
from taskengine.service.bell import Bell
from taskengine.service.services import Services
from taskengine.service.store import ledger, secrets, taskimages, tasks, watches
from taskengine.service.store.database import Database
from taskengine.service.store.feeds import Feeds
from taskengine.service.store.taskimages import Relation, TaskImage
from taskengine.service.store.uploads import UploadFolder
from tests.registry.conftest import PASSWORD, USER, push_image, push_index, ref
from tests.registry.fake import Fake, Say
from tests.service.support import BOX
from tests.support.registry import Registry, free_port
from triggers import imageevent
from triggers.imageevent import ImageEvent
from triggers.imagegraph import named
from triggers.imagelogins import TaskLogins
from triggers.imagewatch import ImageWatch
from triggers.watchplan import Rules

AT = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
AMD64 = "linux/amd64"
HOURS = timedelta(hours=7)  # after which every image is due again


@dataclass
class World:
    """Services on one database, and their clock."""

    database: Database
    folder: Path
    client: RegistryClient
    now: datetime = AT
    counted: list[str] = field(default_factory=list)
    opened: list[ImageWatch] = field(default_factory=list)

    def services(self) -> Services:
        bell = Bell()
        return Services(
            database=self.database, box=BOX, bell=bell, feeds=Feeds(self.database, self.folder / "runs", bell),
            uploads=UploadFolder(self.database, self.folder / "uploads"), data=self.folder,
            ambient=replace(Ambient.system(), now=lambda: self.now),
        )  # fmt: skip

    def watch(self, client: RegistryClient | None = None, **more: Any) -> ImageWatch:
        made = ImageWatch(self.services(), client or self.client, Rules(), count=self.counted.append, **more)
        self.opened.append(made)
        return made

    def task(self, name: str, image: ImageReference, **used: str) -> None:
        with self.database.write() as conn:
            tasks.create(conn, name, {"step": {}}, owner="ann", now=self.now)
            scan = taskimages.scan_of(conn, name)
            assert scan is not None
            use = TaskImage(
                task=name, relation=Relation.USES, image=named(image), platform=AMD64, kind="runtime", **used
            )
            taskimages.put(conn, scan, [use], revision=1, watching=True, now=self.now)

    def row(self, image: ImageReference) -> watches.Watch:
        with self.database.read() as conn:
            return watches.get(conn, named(image))

    def notice(self, image: ImageReference, digest: str = "", **by: Any) -> str:
        with self.database.write() as conn:
            return watches.notice(conn, named(image), by=by, digest=digest, now=self.now)

    def events(self) -> list[ImageEvent]:
        """The oldest first."""
        with self.database.read() as conn:
            found, _ = ledger.page(conn, ledger.Wanted(), top=100)
            return [imageevent.read(ledger.get(conn, one.number)) for one in reversed(found)]


def look(watch: ImageWatch) -> int:
    """One turn of the duty, and the end of what it began."""
    begun = watch.tick()
    watch.wait()
    return begun


@pytest.fixture
def world(database: Database, tmp_path: Path, client: RegistryClient) -> Iterator[World]:
    made = World(database, tmp_path, client)
    yield made
    for one in made.opened:
        one.close()


@pytest.fixture
def base(plain: Registry, request: pytest.FixtureRequest) -> ImageReference:
    """An image's name of this test alone."""
    name = "".join(c if c.isalnum() else "-" for c in request.node.name.lower())
    return ref(plain, f"{name.strip('-')[:80].strip('-')}:1")


def test_a_change_that_only_asking_finds_is_told_once(world: World, base: ImageReference) -> None:
    first = push_image(world.client, base, "one")
    world.task("web", base)
    watch = world.watch()
    assert look(watch) == 1
    assert world.events() == []
    assert look(watch) == 0
    second = push_image(world.client, base, "two")
    world.now += HOURS
    look(watch)
    (event,) = world.events()
    assert (event.source, event.image, event.told_by) == ("poll", named(base), {})
    assert event.before is not None
    assert (event.before.digest, event.after.digest) == (first.digest, second.digest)
    world.now += HOURS
    look(watch)
    assert len(world.events()) == 1
    assert world.counted == ["same", "changed", "same"]


def test_a_change_back_is_a_change_too(world: World, base: ImageReference) -> None:
    push_image(world.client, base, "one")
    world.task("web", base)
    watch = world.watch()
    look(watch)
    for text in ("two", "one", "two"):
        push_image(world.client, base, text)
        world.now += HOURS
        look(watch)
    found = [event.after.digest for event in world.events()]
    assert len(found) == 3
    assert found[0] == found[2] != found[1]


def test_a_notice_is_looked_into_at_once_and_the_event_says_whose_it_was(world: World, base: ImageReference) -> None:
    push_image(world.client, base, "one")
    world.task("web", base)
    watch = world.watch()
    look(watch)
    world.now += timedelta(seconds=1)
    second = push_image(world.client, base, "two")
    world.notice(base, second.digest, kind="registry", event=7)
    assert look(watch) == 1
    third = push_image(world.client, base, "three")
    world.now += timedelta(seconds=1)
    world.notice(base, third.digest, kind="own", run="ca9")
    assert look(watch) == 1
    found = world.events()
    assert [(one.source, one.told_by, one.after.digest) for one in found] == [
        ("registry", {"event": 7}, second.digest), ("own", {"run": "ca9"}, third.digest),
    ]  # fmt: skip
    assert world.row(base).told_by == {}


def test_a_notice_of_what_is_known_asks_nobody(world: World, base: ImageReference) -> None:
    pushed = push_image(world.client, base, "one")
    world.task("web", base)
    watch = world.watch()
    look(watch)
    assert world.notice(base, pushed.digest, kind="registry", event=7) == watches.KNOWN
    assert look(watch) == 0


def test_a_run_of_ours_its_registry_and_a_check_that_tell_the_same_are_one_event(
    world: World, base: ImageReference
) -> None:
    push_image(world.client, base, "one")
    world.task("web", base)
    watch = world.watch()
    look(watch)
    second = push_image(world.client, base, "two")
    world.now += HOURS
    world.notice(base, second.digest, kind="own", run="ca9")
    world.notice(base, second.digest, kind="registry", event=7)
    look(watch)
    world.notice(base, second.digest, kind="registry", event=8)
    look(watch)
    world.now += HOURS
    look(watch)
    assert len(world.events()) == 1


def test_two_services_at_once_make_one_event_and_ask_once(world: World, base: ImageReference) -> None:
    push_image(world.client, base, "one")
    world.task("web", base)
    both = [world.watch(), world.watch()]
    look(both[0])
    push_image(world.client, base, "two")
    world.now += HOURS
    gate, begun = threading.Barrier(2), []

    def tick(watch: ImageWatch) -> None:
        gate.wait(30)
        begun.append(look(watch))

    threads = [threading.Thread(target=tick, args=(one,)) for one in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(begun) == [0, 1]
    assert len(world.events()) == 1


def test_two_services_that_both_asked_still_make_one_event(
    world: World, base: ImageReference, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("triggers.imagewatch.duties.take", lambda *_, **__: True)  # a lease that ran out meanwhile
    push_image(world.client, base, "one")
    world.task("web", base)
    both = [world.watch(), world.watch()]
    look(both[0])
    push_image(world.client, base, "two")
    world.now += HOURS
    gate = threading.Barrier(2)
    real = watches.settle

    def together(*args: Any, **kwargs: Any) -> bool:
        with contextlib.suppress(threading.BrokenBarrierError):
            gate.wait(5)
        return real(*args, **kwargs)

    monkeypatch.setattr("triggers.imagewatch.watches.settle", together)
    if world.database.dialect == "sqlite":
        gate.abort()  # there, one transaction waits for the other before it gets here
    begun = [one.tick() for one in both]
    for one in both:
        one.wait()
    assert begun == [1, 1]
    assert len(world.events()) == 1
    assert world.row(base).changes == 2


def test_a_death_before_the_event_is_safe_leaves_the_change_to_be_found_again(
    world: World, base: ImageReference, monkeypatch: pytest.MonkeyPatch
) -> None:
    push_image(world.client, base, "one")
    world.task("web", base)
    watch = world.watch()
    look(watch)
    push_image(world.client, base, "two")
    world.now += HOURS

    def dies(*_: Any, **__: Any) -> int:
        raise SystemError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(imageevent, "put", dies)
        look(watch)
    assert world.events() == []
    assert world.row(base).changes == 1
    look(world.watch()) or look(watch)
    assert len(world.events()) == 1


def test_what_happened_while_no_service_ran_is_found_at_the_next_start(world: World, base: ImageReference) -> None:
    push_image(world.client, base, "one")
    world.task("web", base)
    first = world.watch()
    look(first)
    first.close()
    push_image(world.client, base, "two")
    world.now += timedelta(days=3)
    look(world.watch())
    assert [one.source for one in world.events()] == ["poll"]


def test_an_image_that_moved_before_it_was_watched_is_told_to_who_used_the_older(
    world: World, base: ImageReference
) -> None:
    old = push_image(world.client, base, "one")
    new = push_image(world.client, base, "two")
    world.task("web", base, digest=old.digest, platform_digest=old.digest)
    look(world.watch())
    (event,) = world.events()
    assert (event.before, event.after.digest) == (None, new.digest)


def test_an_image_that_is_seen_first_is_no_news_to_who_used_it(world: World, base: ImageReference) -> None:
    pushed = push_index(world.client, base, AMD64)
    inner = world.client.platform_manifest(base, AMD64)
    world.task("a", base, digest=pushed.digest, platform_digest=inner.digest)
    world.task("b", base)
    look(world.watch())
    assert world.events() == []


def test_an_image_is_asked_about_once_for_all_its_tasks(world: World, base: ImageReference) -> None:
    push_image(world.client, base)
    for name in ("a", "b", "c"):
        world.task(name, base)
    assert look(world.watch()) == 1


def test_a_check_that_fails_is_shown_and_tried_again_later(world: World, base: ImageReference) -> None:
    world.task("web", base)
    watch = world.watch()
    look(watch)
    row = world.row(base)
    assert (row.failures, row.seen) == (1, None)
    assert base.path in row.error
    assert look(watch) == 0
    push_image(world.client, base)
    world.now = row.next_at
    assert look(watch) == 1
    assert (world.row(base).failures, world.row(base).error) == (0, "")
    assert world.counted == ["failed", "same"]


def test_a_registry_that_is_away_holds_up_no_other_and_rests(world: World, base: ImageReference) -> None:
    push_image(world.client, base)
    world.task("web", base)
    port = free_port()
    for number in range(5):
        world.task(f"t{number}", ImageReference.parse(f"127.0.0.1:{port}/a{number}:1"))
    with RegistryClient(limits=Limits(tries=1)) as quick:
        watch = world.watch(quick)
        assert look(watch) == 6
        assert world.counted.count("failed") == 2  # then it rests
        assert world.row(base).failures == 0
        assert look(watch) == 0
        world.now += timedelta(seconds=61)
        assert look(watch) == 3


def test_the_reserve_for_builds_is_left_and_the_others_wait(world: World) -> None:
    left = [12]

    def answer(_: Any) -> Say:
        left[0] -= 1
        return Say(
            headers={
                "Content-Type": "application/vnd.oci.image.manifest.v1+json", "Content-Length": "2",
                "Docker-Content-Digest": "sha256:" + "1" * 64, "RateLimit-Limit": "12;w=3600",
                "RateLimit-Remaining": f"{left[0]};w=3600",
            },
            body=b"{}",
        )  # fmt: skip

    server = Fake(answer)
    try:
        for number in range(10):
            world.task(f"t{number}", ImageReference.parse(f"{server.name}/a{number}:1"))
        watch = world.watch()
        look(watch)
        assert left[0] == 6
        assert look(watch) == 0
        world.now += timedelta(hours=1)
        left[0] = 12
        look(watch)
        assert (left[0], len(world.counted)) == (6, 12)
        with world.database.read() as conn:
            assert watches.count(conn)[0] == {"ok": 10}  # those that had waited were first
    finally:
        server.close()


def test_a_private_image_is_asked_about_with_the_login_of_a_task_that_stands_on_it(
    world: World, guarded: Registry
) -> None:
    base = ref(guarded, "private/base:1")
    with RegistryClient(_Given(guarded.name, USER, PASSWORD)) as owner:
        push_image(owner, base, "one")
        world.task("stranger", ref(guarded, "private/other:1"))
        world.task("web", base)
        credentials = {
            "customRegistries": {
                guarded.name: {"userName": {"type": "Opaque", "value": USER}, "password": {"type": "Opaque"}}
            }
        }
        with world.database.write() as conn:
            tasks.replace(conn, "web", {"step": {}, "credentials": credentials}, now=world.now)
            kept = {f"password:{guarded.name}": PASSWORD}
            secrets.put(conn, BOX, "task", "web", kept, now=world.now)
        logins = TaskLogins(
            world.services(), lambda host, login: RegistryClient(_Given(host, login.username, login.secret))
        )
        with contextlib.closing(logins), RegistryClient() as nobody:
            watch = world.watch(nobody, others=logins)
            look(watch)
            assert world.row(base).failures == 0
            assert world.row(base).seen is not None
            # whose tasks brought no login sees nothing, and is told so
            assert world.row(ref(guarded, "private/other:1")).failures == 1


class _Given:
    def __init__(self, host: str, username: str, secret: str) -> None:
        self._host, self._login = host, Login(username=username, secret=secret)

    def get(self, host: str, /) -> Login | None:
        return self._login if host == self._host else None


def test_an_image_that_nobody_stands_on_any_more_is_forgotten(world: World, base: ImageReference) -> None:
    push_image(world.client, base)
    world.task("web", base)
    world.task("other", base.with_tag("2"))
    watch = world.watch()
    look(watch)
    with world.database.write() as conn:
        tasks.delete(conn, "web")
    world.now += HOURS
    look(watch)
    with world.database.read() as conn:
        assert watches.of_images(conn, [named(base)]) == {}


def test_a_watch_that_is_stopped_begins_nothing_more(world: World, base: ImageReference) -> None:
    world.task("web", base)
    watch = world.watch()
    watch.stop()
    look(watch)
    assert world.counted == []
