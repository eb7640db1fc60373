"""What the queue does with runs, on both databases."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from sqlalchemy import event

from taskengine.errors import Conflict, InvalidInput, NotFound
from taskengine.runs.model import RunStatus
from taskengine.service.model import WorkerState
from taskengine.service.queueing import Caps, pick
from taskengine.service.store import ending, queue, runs, secrets, standing, uploads, workers
from taskengine.service.store.database import Database
from taskengine.service.store.secrets import SecretBox
from tests.service.support import AT, BOX, enqueue, group, later, lease, request, worker

LATE = 31.0  # seconds: a lease of 30 has run out


# ---- going in


def test_runs_have_short_names_that_grow(database: Database) -> None:
    with database.write() as conn:
        names = [enqueue(conn).id for _ in range(37)]
    assert (names[0], names[9], names[34], names[36]) == ("ca1", "caa", "caz", "ca11")


def test_the_same_key_gives_the_same_run_and_another_request_is_refused(database: Database) -> None:
    def ask(fingerprint: str, owner: str = "ann") -> tuple[str, bool]:
        with database.write() as conn:
            run, new = queue.enqueue(conn, request(owner, key="k1"), now=AT, box=BOX, fingerprint=fingerprint)
            return run.id, new

    assert ask("f1") == ("ca1", True)
    assert ask("f1") == ("ca1", False)
    assert ask("f2", "bob") == ("ca2", True)
    with pytest.raises(Conflict, match="another request"):
        ask("f2")


def test_a_run_names_an_upload_only_when_it_is_whole_and_its_owners(database: Database) -> None:
    with database.write() as conn:
        uploads.create(conn, new_id="u1", owner="ann", size=1, sha256="0" * 64, now=AT)
    for owner, name, why in (("ann", "u1", "not complete"), ("ann", "u2", "no upload"), ("bob", "u1", "no upload")):
        with pytest.raises(InvalidInput, match=why), database.write() as conn:
            enqueue(conn, owner, spec={"context": f"upload:{name}"})
    with database.read() as conn:
        assert runs.page(conn).runs == ()


def test_a_full_group_skips_a_run_that_asks_for_it(database: Database) -> None:
    with database.write() as conn:
        first = enqueue(conn, group=group(policy="skip"))
        second = enqueue(conn, group=group(policy="skip"), secrets={"set:a": "x"})
        assert second.status is RunStatus.CANCELED
        assert second.message == f"skipped: group g is full ({first.id})"
        assert secrets.names(conn, "run", second.id) == []


def test_a_run_that_replaces_cancels_what_waits_and_what_runs(database: Database) -> None:
    with database.write() as conn:
        worker(conn)
        running, waiting, other = (enqueue(conn, group=group()) for _ in range(3))
        assert lease(conn).run.id == running.id
        newest = enqueue(conn, group=group(policy="replace"))
        outside = enqueue(conn)
        assert runs.get(conn, waiting.id).status is runs.get(conn, other.id).status is RunStatus.CANCELED
        held = runs.get(conn, running.id)
        assert (held.status, held.cancel_reason) == (RunStatus.STARTED, f"replaced by {newest.id} in group g")
        assert lease(conn).run.id == outside.id, "the newest waits until the running one has stopped"


def test_a_group_runs_as_many_at_once_as_its_limit(database: Database) -> None:
    with database.write() as conn:
        worker(conn, capacity=5)
        for _ in range(3):
            enqueue(conn, group=group(limit=2))
        lease(conn)
        lease(conn)
        assert queue.lease(conn, workers.get(conn, "w1"), now=AT) is None
        (spot,) = standing.waiting(conn, now=AT)
        assert spot.reason == "waits for group g (2 of 2 running: ca1, ca2)"


# ---- to a worker


def test_priority_then_fair_share_then_age(database: Database) -> None:
    with database.write() as conn:
        worker(conn, capacity=9)
        for owner, priority in (("ann", 0), ("ann", 0), ("bob", 0), ("ann", 5), ("cem", 0)):
            enqueue(conn, owner, priority=priority)
        assert [lease(conn).run.id for _ in range(5)] == ["ca4", "ca3", "ca5", "ca1", "ca2"]


def test_an_owner_who_was_served_lately_waits_for_one_who_was_not(database: Database) -> None:
    with database.write() as conn:
        worker(conn)
        for owner in ("ann", "ann", "bob"):
            enqueue(conn, owner)
        first = lease(conn)
        ending.finish(conn, queue.row_of(conn, first.run.id), RunStatus.SUCCEEDED, now=AT)
        assert lease(conn).run.owner == "bob"


def test_a_worker_gets_no_more_than_its_capacity_nor_than_it_asks_for(database: Database) -> None:
    with database.write() as conn:
        one = worker(conn, capacity=1)
        enqueue(conn)
        enqueue(conn)
        assert queue.lease(conn, one, now=AT, free=0) is None
        lease(conn)
        assert queue.lease(conn, one, now=AT) is None


def test_caps_hold_over_all_workers(database: Database) -> None:
    with database.write() as conn:
        worker(conn, "w1")
        two = worker(conn, "w2")
        enqueue(conn)
        enqueue(conn)
        lease(conn, "w1", caps=Caps(owner=1))
        assert queue.lease(conn, two, now=AT, caps=Caps(owner=1)) is None


def test_a_worker_that_drains_gets_nothing(database: Database) -> None:
    with database.write() as conn:
        worker(conn)
        enqueue(conn)
        workers.drain(conn, "w1", True)
        assert queue.lease(conn, workers.get(conn, "w1"), now=AT) is None


def test_the_first_of_each_kind_is_enough_to_find_the_next(database: Database) -> None:
    with database.write() as conn:
        worker(conn, capacity=99, labels={"a": "b"}, platforms=("linux/amd64",))
        enqueue(conn, platform_is := "ann", spec={"platform": "windows/amd64"})
        enqueue(conn, platform_is, not_before=later(60))
        enqueue(conn, "ann", expires=AT)
        enqueue(conn, "ann", labels={"a": "c"})
        enqueue(conn, "ann", labels={"a": "b"})
        assert lease(conn).run.id == "ca5"
        assert queue.lease(conn, workers.get(conn, "w1"), now=AT) is None


@pytest.mark.parametrize("seed", range(4))
def test_the_run_that_is_given_is_the_one_that_the_order_says(database: Database, seed: int) -> None:
    """The store looks at the first of each kind only; the order knows all that wait."""
    chance = random.Random(seed)
    with database.write() as conn:
        me = worker(conn, capacity=99, platforms=("linux/amd64",))
        for _ in range(30):
            enqueue(
                conn, chance.choice("abc"), priority=chance.choice((-(2**31), -1, 0, 0, 3, 2**31 - 1)),
                task=chance.choice(("", "t")), group=group(limit=chance.choice((1, 2))) if chance.random() < 0.3 else None,
                not_before=later(chance.choice((-9, 0, 9))), expires=later(chance.choice((0, 9, 99))),
                spec={"platform": chance.choice(("", "linux/amd64", "linux/arm64"))},
            )  # fmt: skip
        for _ in range(30):
            everything = [
                one for one in standing.all_waiting(conn) if runs.get(conn, one.id).expires != AT
            ]  # fmt: skip
            caps = Caps(owner=4, task=5)
            expected = pick(everything, standing.running(conn), standing.served(conn), caps, standing.place_of(me), AT)
            given = queue.lease(conn, me, now=AT, caps=caps)
            assert (given and given.run.id) == (expected and expected.id)


def test_a_lease_looks_into_one_index_however_long_the_queue_is(sqlite: Database) -> None:
    statements: list[tuple[str, object]] = []
    with sqlite.write() as conn:
        enqueue(conn)
        event.listen(conn, "before_cursor_execute", lambda *args: statements.append((args[2], args[3])))
        standing.heads(conn, AT)
        (plan,) = conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statements[0][0]}", statements[0][1]).all()
    assert plan.detail == "SEARCH runs USING COVERING INDEX ix_runs_waiting (status=?)"


def test_a_run_whose_secrets_cannot_be_opened_ends_and_the_next_one_is_given(database: Database) -> None:
    other = SecretBox(("b3RoZXJvdGhlcm90aGVyb3RoZXJvdGhlcm90aGVyb3Q=",))
    with database.write() as conn:
        me = worker(conn)
        broken = queue.enqueue(conn, request(secrets={"set:a": "x"}), now=AT, box=other)[0]
        sound = enqueue(conn, secrets={"set:a": "y"})
        found = queue.hand_out(conn, BOX, me, now=AT)
        assert found is not None
        assert (found[0].run.id, found[1]) == (sound.id, {"set:a": "y"})
        over = runs.get(conn, broken.id)
        assert (over.status, over.message) == (
            RunStatus.ERROR, "a stored secret cannot be opened: it was sealed with another key",
        )  # fmt: skip
        assert "key file" in over.hint
        assert queue.hand_out(conn, BOX, me, now=AT) is None


# ---- held


def test_a_lease_is_renewed_by_who_holds_it_and_by_nobody_else(database: Database) -> None:
    with database.write() as conn:
        worker(conn, "w1")
        worker(conn, "w2")
        run = enqueue(conn)
        held = lease(conn, "w1")
        renewed = queue.renew(conn, "w1", [(run.id, held.epoch), ("ca99", 1)], now=later(20))
        assert [(one.run, one.held) for one in renewed] == [(run.id, True), ("ca99", False)]
        assert runs.get(conn, run.id).lease_until == later(50)
        assert not queue.renew(conn, "w2", [(run.id, held.epoch)], now=later(20))[0].held
        assert not queue.renew(conn, "w1", [(run.id, held.epoch - 1)], now=later(20))[0].held


def test_a_worker_that_comes_back_finds_its_run_under_its_epoch(database: Database) -> None:
    with database.write() as conn:
        worker(conn)
        run = enqueue(conn)
        held = lease(conn)
        again = queue.held(conn, "w1", run.id, held.epoch)
        assert again is not None
        assert again.run.id == run.id
        assert queue.held(conn, "w1", run.id, held.epoch + 1) is None


def test_a_lease_that_runs_out_is_another_attempt_after_a_while(database: Database) -> None:
    with database.write() as conn:
        worker(conn, "w1")
        two = worker(conn, "w2")
        run = enqueue(conn)
        held = lease(conn, "w1")
        assert queue.expire(conn, now=later(29)) == []
        (change,) = queue.expire(conn, now=later(LATE))
        assert (change.run, change.status) == (run.id, RunStatus.QUEUED)
        waiting = runs.get(conn, run.id)
        assert (waiting.attempt, waiting.worker, waiting.feed_size) == (2, "", 0)
        assert waiting.cause[0]["message"] == "worker w1 was not heard of in time"
        assert not queue.renew(conn, "w1", [(run.id, held.epoch)], now=later(LATE))[0].held
        assert queue.lease(conn, two, now=later(LATE + 9)) is None, "it backs off"
        again = lease(conn, "w2", now=later(LATE + 10))
        assert again.epoch > held.epoch
        assert [(one.attempt, one.outcome) for one in runs.attempts(conn, run.id)] == [
            (1, "worker w1 was not heard of in time"),
            (2, ""),
        ]


def test_the_last_attempt_that_breaks_off_is_an_infrastructure_error(database: Database) -> None:
    with database.write() as conn:
        worker(conn)
        run = enqueue(conn, max_attempts=1)
        lease(conn)
        queue.expire(conn, now=later(LATE))
        over = runs.get(conn, run.id)
    assert over.status is RunStatus.ERROR
    assert over.message == "infrastructure error: worker w1 was not heard of in time"
    assert "one attempt" in over.hint


def test_back_off_doubles_up_to_five_minutes() -> None:
    assert [ending.back_off(n).total_seconds() for n in (1, 2, 3, 6, 50)] == [10, 20, 40, 300, 300]


def test_a_run_that_is_given_back_starts_anew_at_once_and_loses_no_attempt(database: Database) -> None:
    with database.write() as conn:
        worker(conn, "w1")
        worker(conn, "w2")
        run = enqueue(conn, max_attempts=1)
        held = lease(conn, "w1")
        assert not queue.give_back(conn, "w2", run.id, held.epoch, "it drains", now=AT)
        assert queue.give_back(conn, "w1", run.id, held.epoch, "it drains", now=AT)
        again = lease(conn, "w2")
        assert (again.run.attempt, again.run.max_attempts) == (2, 2)


def test_a_service_that_starts_gives_every_lease_a_full_term(database: Database) -> None:
    with database.write() as conn:
        worker(conn)
        run = enqueue(conn)
        lease(conn)
        assert queue.renew_all(conn, now=later(3600)) == 1
        assert queue.expire(conn, now=later(3601)) == []
        assert runs.get(conn, run.id).lease_until == later(3630)
        assert workers.mark_lost(conn, now=later(3601), after=timedelta(seconds=30)) == []


def test_a_clock_that_went_back_does_not_make_a_lease_last_for_ever(database: Database) -> None:
    with database.write() as conn:
        worker(conn)
        run = enqueue(conn)
        lease(conn, now=later(86400))
        queue.expire(conn, now=AT)
        assert runs.get(conn, run.id).lease_until == later(30)


# ---- cancel and time


def test_a_waiting_run_is_canceled_at_once_and_twice_is_well(database: Database) -> None:
    with database.write() as conn:
        run = enqueue(conn, secrets={"set:a": "x"})
        for _ in range(2):
            over = queue.cancel(conn, run.id, "ann asked", now=AT)
            assert (over.status, over.cancel_reason, over.finished) == (RunStatus.CANCELED, "ann asked", AT)
        assert secrets.names(conn, "run", run.id) == []
        with pytest.raises(NotFound):
            queue.cancel(conn, "ca99", "", now=AT)


def test_a_held_run_is_told_to_stop_at_its_next_heartbeat(database: Database) -> None:
    with database.write() as conn:
        worker(conn)
        run = enqueue(conn)
        held = lease(conn)
        assert queue.cancel(conn, run.id, "ann asked", now=AT).status is RunStatus.STARTED
        queue.cancel(conn, run.id, "bob asked too", now=later(1))
        (told,) = queue.renew(conn, "w1", [(run.id, held.epoch)], now=later(5))
        assert (told.held, told.cancel) == (True, "ann asked")


def test_a_canceled_run_whose_worker_is_gone_is_canceled_and_not_tried_again(database: Database) -> None:
    with database.write() as conn:
        worker(conn)
        run = enqueue(conn)
        lease(conn)
        queue.cancel(conn, run.id, "ann asked", now=AT)
        queue.expire(conn, now=later(LATE))
        assert runs.get(conn, run.id).status is RunStatus.CANCELED


def test_a_cancel_that_is_not_obeyed_ends_the_run_and_its_lease(database: Database) -> None:
    with database.write() as conn:
        worker(conn)
        run = enqueue(conn)
        held = lease(conn)
        queue.cancel(conn, run.id, "ann asked", now=AT)
        queue.renew(conn, "w1", [(run.id, held.epoch)], now=later(119))
        assert queue.expire(conn, now=later(119)) == []
        queue.expire(conn, now=later(120))
        assert runs.get(conn, run.id).status is RunStatus.CANCELED
        assert not queue.renew(conn, "w1", [(run.id, held.epoch)], now=later(121))[0].held


def test_a_run_that_waits_longer_than_its_time_to_live_is_canceled(database: Database) -> None:
    with database.write() as conn:
        run = enqueue(conn, expires=later(60))
        assert not queue.anything_due(conn, now=later(59))
        assert queue.anything_due(conn, now=later(60))
        queue.expire(conn, now=later(60))
        over = runs.get(conn, run.id)
    assert (over.status, over.message) == (RunStatus.CANCELED, "it waited longer than its time to live")


def test_positions_and_reasons_are_told_for_all_that_wait(database: Database) -> None:
    with database.write() as conn:
        worker(conn, capacity=1)
        for owner in ("ann", "ann", "bob"):
            enqueue(conn, owner)
        lease(conn)
        workers.beat(conn, "w1", WorkerState.UNFIT, {"why": "the engine does not answer"}, now=AT)
        spots = standing.waiting(conn, now=AT)
    assert [(spot.run, spot.position) for spot in spots] == [("ca3", 1), ("ca2", 2)]
    assert spots[0].reason == "no worker is ready: w1 is unfit (the engine does not answer)"
