"""What workers say and hear: leases that fence, feeds that resume, late words that change nothing."""

from __future__ import annotations

import threading
from typing import Any

from cryptography.fernet import Fernet

from taskengine.service.store import secrets
from taskengine.service.store.secrets import SecretBox
from tests.service.api.support import TEXT, Api, Hand, begun, ended, said


def queued(api: Api) -> str:
    return str(api.developer.post("/runs", {"text": TEXT}).json()["runId"])


def taken(hand: Hand) -> dict[str, Any]:
    found = hand.lease()
    assert found is not None
    return found


def test_a_worker_keeps_its_id_by_its_name(api: Api) -> None:
    assert Hand(api, "one").id == Hand(api, "one").id != Hand(api, "two").id


def test_a_worker_that_has_not_proved_itself_gets_nothing(api: Api) -> None:
    queued(api)
    made = api.worker.post("/workers", {"name": "new"}).json()["id"]
    assert api.worker.post(f"/workers/{made}/lease", {"wait": 0}).status_code == 204
    assert "is starting" in api.reader.get("/runs/ca1").json()["waitReason"]


def test_a_run_goes_to_a_worker_of_its_pool_only(api: Api) -> None:
    api.developer.post("/runs", {"text": TEXT, "agentPoolName": "big"})
    assert Hand(api, "small").lease() is None
    assert taken(Hand(api, "large", pool="big"))["run"] == "ca1"


def test_a_waiting_worker_is_given_a_run_as_soon_as_there_is_one(api: Api) -> None:
    hand = Hand(api)
    found: list[dict[str, Any] | None] = []
    waiting = threading.Thread(target=lambda: found.append(hand.lease(wait=30.0)))
    waiting.start()
    run = queued(api)
    waiting.join(timeout=20)
    assert found
    assert found[0] is not None
    assert found[0]["run"] == run


def test_a_run_whose_secrets_cannot_be_opened_ends_and_the_worker_is_given_the_next(api: Api) -> None:
    text = {"text": TEXT, "secrets": {"set:token": "s3cret"}}
    broken, sound = (str(api.developer.post("/runs", text).json()["runId"]) for _ in range(2))
    with api.services.database.write() as conn:
        other = SecretBox((Fernet.generate_key().decode(),))
        secrets.put(conn, other, "run", broken, {"set:token": "s3cret"}, now=api.services.now())
    given = taken(Hand(api))
    assert (given["run"], given["secrets"]) == (sound, {"set:token": "s3cret"})
    over = api.reader.get(f"/runs/{broken}").json()
    assert (over["status"], "sealed with another key" in over["runErrorMessage"]) == ("Error", True)


def test_a_draining_service_gives_nothing_out_and_lets_nobody_wait(api: Api) -> None:
    queued(api)
    hand = Hand(api)
    api.services.draining = True
    assert hand.lease(wait=30.0) is None
    assert api.client.get("/readyz").status_code == 503


def test_a_worker_that_drains_gets_nothing_and_is_told_so(api: Api) -> None:
    hand = Hand(api)
    assert api.operator.patch(f"/workers/{hand.id}", {"drain": True}).json()["state"] == "draining"
    queued(api)
    assert hand.beat()["drain"] is True
    assert hand.lease() is None
    api.operator.patch(f"/workers/{hand.id}", {"drain": False})
    hand.beat()
    assert taken(hand)["run"] == "ca1"


def test_a_feed_goes_on_where_the_service_says(api: Api) -> None:
    run = queued(api)
    hand = Hand(api)
    epoch = taken(hand)["epoch"]
    first, second = begun(api, run, "hello"), said(api, "hello", b"hi\n")
    assert hand.append(run, epoch, 0, first).headers["upload-offset"] == str(len(first))
    for offset in (0, len(first) + 5):
        answer = hand.append(run, epoch, offset, second)
        assert (answer.status_code, answer.headers["upload-offset"]) == (409, str(len(first)))
    assert hand.append(run, epoch, len(first), second).status_code == 204
    again = api.worker.get(f"/workers/{hand.id}/runs/{run}?epoch={epoch}").json()
    assert (again["feedSize"], again["attempt"]) == (len(first) + len(second), 1)


def test_what_is_no_feed_is_refused(api: Api) -> None:
    run = queued(api)
    hand = Hand(api)
    epoch = taken(hand)["epoch"]
    assert hand.append(run, epoch, 0, b"nonsense that is no frame").status_code == 422
    assert hand.append(run, epoch, 0, begun(api, run, "hello")[:-3]).status_code == 422


def test_a_cancel_is_told_with_the_next_answer(api: Api) -> None:
    run = queued(api)
    hand = Hand(api)
    epoch = taken(hand)["epoch"]
    first = begun(api, run, "hello")
    assert "x-cancel" not in hand.append(run, epoch, 0, first).headers
    api.developer.post(f"/runs/{run}/cancel")
    assert hand.append(run, epoch, len(first), said(api, "hello", b"x")).headers["x-cancel"] == "canceled"


def test_late_words_are_kept_and_change_nothing(api: Api) -> None:
    run = queued(api)
    hand = Hand(api)
    epoch = taken(hand)["epoch"]
    answer = api.worker.post(f"/workers/{hand.id}/runs/{run}/release", {"epoch": epoch, "reason": "going"})
    assert answer.status_code == 204
    late = hand.append(run, epoch, 0, begun(api, run, "hello") + ended(api, run))
    assert (late.status_code, late.json()["code"]) == (410, "stale-lease")
    shown = api.reader.get(f"/runs/{run}").json()
    assert (shown["status"], shown["attempt"]) == ("Queued", 2)
    assert "run.finished" in shown["lateReports"][0]["what"]
    assert hand.beat("ready", {"run": run, "epoch": epoch})["leases"][0]["state"] == "lost"
    assert api.worker.get(f"/workers/{hand.id}/runs/{run}?epoch={epoch}").status_code == 410
    assert api.worker.post(f"/workers/{hand.id}/runs/{run}/release", {"epoch": epoch}).status_code == 410


def test_an_unknown_worker_is_told_to_register(api: Api) -> None:
    assert api.worker.post("/workers/nobody/heartbeat", {"state": "ready"}).status_code == 404
    assert api.worker.post("/workers/nobody/lease", {"wait": 0}).status_code == 404


def test_workers_are_listed_with_what_they_run(api: Api) -> None:
    run = queued(api)
    hand = Hand(api)
    taken(hand)
    (shown,) = api.reader.get("/workers").json()["value"]
    assert (shown["name"], shown["state"], shown["running"]) == ("w1", "ready", [run])


def test_metrics_count_the_queue_runs_and_workers(api: Api) -> None:
    run = queued(api)
    queued(api)
    hand = Hand(api)
    epoch = taken(hand)["epoch"]
    step = {"id": "hello", "type": "cmd", "status": "failed", "reason": "exit code", "duration": 2.0}
    hand.append(run, epoch, 0, begun(api, run, "hello") + ended(api, run, "Failed", steps=[step], failedStep="hello"))
    text = api.client.get("/metrics").text
    for line in (
        'acr_task_runs{status="Failed"} 1.0',
        'acr_task_queue_depth{pool=""} 1.0',
        'acr_task_workers{state="ready"} 1.0',
        "acr_task_queue_wait_seconds_count 1.0",
        'acr_task_run_seconds_count{status="Failed"} 1.0',
        'acr_task_step_failures_total{reason="exit code"} 1.0',
        "acr_task_database_up 1.0",
    ):
        assert line in text
    assert 'route="/api/v1/workers/{worker}/lease"' in text
