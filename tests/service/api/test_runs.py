"""Runs over the API: queued once, seen where they wait, canceled, kept, found again."""

from __future__ import annotations

from typing import Any

import pytest

from taskengine.runs.spec import Build, RunSpec
from taskengine.service.model import Role
from taskengine.service.store import queue
from taskengine.service.store import runs as stored
from tests.service.api.support import BOX, TEXT, Api, Hand, begun, ended, inline
from tests.service.support import request


def quick(api: Api, **more: Any) -> dict[str, Any]:
    answer = api.developer.post("/runs", {"text": TEXT, **more})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def carried_out(api: Api, hand: Hand, images: list[dict[str, Any]] | None = None, status: str = "Succeeded") -> str:
    leased = hand.lease()
    assert leased is not None
    data = begun(api, leased["run"], "hello") + ended(api, leased["run"], status, images=images or [])
    assert hand.append(leased["run"], leased["epoch"], 0, data).status_code == 204
    return str(leased["run"])


def test_a_quick_run_waits_with_position_and_reason(api: Api) -> None:
    first, second = quick(api), quick(api)
    assert (first["runId"], first["type"], first["status"]) == ("ca1", "QuickRun", "Queued")
    shown = api.reader.get(f"/runs/{second['runId']}").json()
    assert (shown["queuePosition"], shown["waitReason"]) == (2, "no worker")
    queue = api.reader.get("/queue").json()["value"]
    assert [(item["runId"], item["position"]) for item in queue] == [("ca1", 1), ("ca2", 2)]


def test_everything_that_may_change_is_fixed_when_a_run_is_queued(api: Api) -> None:
    quick(api, commit="abc", set=["a=b"], secrets={"set:password": "s3cret"})
    leased = Hand(api).lease()
    assert leased is not None
    spec = leased["spec"]
    assert spec["registry"] == "registry.example.com"
    assert spec["platform"] == "linux/amd64"
    assert spec["date"].endswith("Z")
    assert (spec["commit"], spec["set"], spec["secret_names"]) == ("abc", ["a=b"], ["set:password"])
    assert leased["secrets"] == {"set:password": "s3cret"}


def test_a_quick_build(api: Api) -> None:
    answer = api.developer.post(
        "/runs", {"build": {"tags": ["app:{{.Run.ID}}"]}, "context": "https://git.example.com/a/b.git"}
    )
    assert (answer.status_code, answer.json()["type"]) == (201, "QuickBuild")


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({}, "exactly one of"),
        ({"text": TEXT, "file": "x.yaml", "context": "https://git.example.com/a/b.git"}, "exactly one of"),
        ({"file": "x.yaml"}, "without a context"),
        ({"text": TEXT, "context": "/home/me"}, "is on no server"),
        ({"text": TEXT, "context": "upload:nothing"}, "there is no upload"),
        ({"text": TEXT, "secrets": {"other:x": "y"}}, "secrets"),
        ({"text": TEXT, "registry": "evil.example.com"}, "is not this server's"),
        ({"text": "steps:\n  - cmd: -v /:/host bash\n"}, "not allowed on this server"),
        ({"text": "nonsense: ["}, ""),
    ],
)
def test_what_cannot_be_run_is_not_queued(api: Api, body: dict[str, Any], word: str) -> None:
    answer = api.developer.post("/runs", body)
    assert answer.status_code == 422
    assert word in answer.json()["detail"]
    assert api.reader.get("/runs").json()["value"] == []


def test_grants_of_a_quick_run_are_an_operators_to_give(api: Api) -> None:
    body = {"text": "steps:\n  - cmd: -v /:/host bash\n", "grants": ["host-mounts"]}
    assert api.developer.post("/runs", body).status_code == 403
    assert api.operator.post("/runs", body).status_code == 201
    assert api.operator.post("/runs", {**body, "grants": ["everything"]}).status_code == 422


# -- idempotency


def test_the_same_key_gives_the_same_run(api: Api) -> None:
    headers = {"Idempotency-Key": "once"}
    first = api.developer.post("/runs", {"text": TEXT}, headers=headers)
    again = api.developer.post("/runs", {"text": TEXT}, headers=headers)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["runId"] == again.json()["runId"]
    other = api.developer.post("/runs", {"text": TEXT, "commit": "other"}, headers=headers)
    assert other.status_code == 409
    assert api.operator.post("/runs", {"text": TEXT}, headers=headers).status_code == 201


def test_keys_hold_for_runs_of_tasks_too(api: Api) -> None:
    api.developer.post("/tasks", inline())
    api.developer.post("/tasks", inline("other"))
    headers = {"Idempotency-Key": "once"}
    first = api.developer.post("/tasks/hello/runs", headers=headers)
    assert api.developer.post("/tasks/hello/runs", headers=headers).json()["runId"] == first.json()["runId"]
    assert api.developer.post("/tasks/other/runs", headers=headers).status_code == 409


# -- runs of tasks


def test_a_run_of_a_task_takes_what_is_given_for_it_alone(api: Api) -> None:
    values = [{"name": "a", "value": "1"}, {"name": "b", "value": "2"}]
    api.developer.post("/tasks", inline(step={"values": values}))
    body = {"values": [{"name": "b", "value": "3"}, {"name": "c", "value": "s3cret", "isSecret": True}], "timeout": 600}
    answer = api.developer.post("/tasks/hello/runs", body)
    assert (answer.status_code, answer.json()["timeout"]) == (201, 600)
    leased = Hand(api).lease()
    assert leased is not None
    assert leased["spec"]["set"] == ["a=1", "b=3"]
    assert leased["secrets"] == {"set:c": "s3cret"}


def test_a_disabled_task_is_not_run(api: Api) -> None:
    api.developer.post("/tasks", inline(status="Disabled"))
    answer = api.developer.post("/tasks/hello/runs")
    assert (answer.status_code, "disabled" in answer.json()["detail"]) == (409, True)


def test_limits_are_the_tasks_within_what_the_server_allows(api: Api) -> None:
    from dataclasses import replace

    api.services.settings = replace(
        api.services.settings, step_limits={"pids": 100, "memory": 1 << 30}, most_step_limits={"memory": 2 << 30}
    )
    api.developer.post("/tasks", inline(limits={"memory": 8 << 30}, agentConfiguration={"cpu": 2}))
    api.developer.post("/tasks/hello/runs")
    leased = Hand(api).lease()
    assert leased is not None
    assert leased["spec"]["step_limits"] == {"cpus": 2, "memory": 2 << 30, "pids": 100}


def test_a_group_that_skips_says_which_run_was_in_the_way(api: Api) -> None:
    api.developer.post("/tasks", inline(concurrency={"group": "deploy", "policy": "skip"}))
    first = api.developer.post("/tasks/hello/runs").json()
    second = api.developer.post("/tasks/hello/runs").json()
    assert (first["status"], second["status"]) == ("Queued", "Canceled")
    assert first["runId"] in second["runErrorMessage"]


# -- cancel, archive, filters


def test_a_waiting_run_is_canceled_at_once_and_canceling_again_changes_nothing(api: Api) -> None:
    run = quick(api)["runId"]
    first = api.developer.post(f"/runs/{run}/cancel", {"reason": "no need"}).json()
    assert (first["status"], first["cancelReason"]) == ("Canceled", "no need")
    assert api.developer.post(f"/runs/{run}/cancel", {"reason": "other"}).json() == first


def test_a_running_run_is_canceled_by_its_worker(api: Api) -> None:
    run = quick(api)["runId"]
    hand = Hand(api)
    leased = hand.lease()
    assert leased is not None
    hand.append(run, leased["epoch"], 0, begun(api, run, "hello"))
    assert api.developer.post(f"/runs/{run}/cancel").json()["status"] == "Running"
    told = hand.beat("ready", {"run": run, "epoch": leased["epoch"]})["leases"]
    assert told == [{"run": run, "epoch": leased["epoch"], "state": "held", "cancel": "canceled by developer"}]
    size = int(api.reader.get(f"/runs/{run}").json()["attempts"][0]["logSize"])
    hand.append(run, leased["epoch"], size, ended(api, run, "Canceled"))
    assert api.reader.get(f"/runs/{run}").json()["status"] == "Canceled"


def test_a_run_is_kept_or_not(api: Api) -> None:
    run = quick(api)["runId"]
    assert api.developer.patch(f"/runs/{run}", {"isArchiveEnabled": True}).json()["isArchiveEnabled"] is True
    assert [item["runId"] for item in api.reader.get("/runs?archived=true").json()["value"]] == [run]
    assert api.reader.get("/runs?archived=false").json()["value"] == []


def test_runs_are_found_by_status_type_task_owner_time_and_image(api: Api) -> None:
    api.developer.post("/tasks", inline())
    api.developer.post("/tasks/hello/runs")
    digest = "sha256:" + "a" * 64
    hand = Hand(api)
    done = carried_out(api, hand, [{"reference": "registry.example.com/team/app:1", "digest": digest, "pushed": True}])
    api.operator.post("/runs", {"text": TEXT})
    created = api.reader.get(f"/runs/{done}").json()["createTime"]

    def found(query: str) -> list[str]:
        answer = api.reader.get(f"/runs?{query}")
        assert answer.status_code == 200, answer.text
        return [item["runId"] for item in answer.json()["value"]]

    assert found("") == ["ca2", "ca1"]
    assert found("status=Succeeded") == ["ca1"]
    assert found("status=Succeeded&status=Queued") == ["ca2", "ca1"]
    assert found("type=QuickRun") == ["ca2"]
    assert found("task=hello") == ["ca1"]
    assert found("owner=operator") == ["ca2"]
    assert found("image=team/app") == ["ca1"]
    assert found("image=team/app:1") == ["ca1"]
    assert found(f"image=registry.example.com/team/app@{digest}") == ["ca1"]
    assert found("image=team/other") == []
    assert found(f"to={created}") == ["ca1"]
    assert found(f"from={created}") == ["ca2", "ca1"]
    images = api.reader.get(f"/runs/{done}").json()["outputImages"]
    assert images == [{"registry": "registry.example.com", "repository": "team/app", "tag": "1", "digest": digest}]


def test_runs_come_in_pages_the_newest_first(api: Api) -> None:
    for _ in range(5):
        quick(api)
    first = api.reader.get("/runs?top=3").json()
    second = api.reader.get(f"/runs?top=3&cursor={first['nextCursor']}").json()
    assert [item["runId"] for item in first["value"] + second["value"]] == ["ca5", "ca4", "ca3", "ca2", "ca1"]
    assert second["nextCursor"] is None


def test_a_scoped_token_has_its_own_quick_runs_to_itself(api: Api) -> None:
    mine = api.caller(Role.DEVELOPER, name="team", scopes=("team-*",))
    run = mine.post("/runs", {"text": TEXT}).json()["runId"]
    other = api.caller(Role.DEVELOPER, name="rest", scopes=("rest-*",))
    assert mine.get(f"/runs/{run}").status_code == 200
    assert other.get(f"/runs/{run}").status_code == 404
    assert api.reader.get(f"/runs/{run}").status_code == 200
    assert [one["runId"] for one in mine.get("/runs").json()["value"]] == [run]
    assert other.get("/runs").json()["value"] == []


@pytest.mark.parametrize(
    ("cause", "name", "fields"),
    [
        (
            {"kind": "timer", "event": 3, "timerTriggerName": "t1", "scheduleOccurrence": "2026-11-24T03:00:00Z"},
            "timerTrigger",
            {"timerTriggerName": "t1", "scheduleOccurrence": "2026-11-24T03:00:00Z"},
        ),
        (
            {"kind": "pullRequest", "event": 4, "id": "d1", "eventType": "pullrequest", "commitId": "c0ffee",
             "pullRequestId": "7", "repositoryUrl": "https://github.com/octo/web", "branchName": "main",
             "providerType": "Github"},
            "sourceTrigger",
            {"id": "d1", "eventType": "pullrequest", "commitId": "c0ffee", "pullRequestId": "7",
             "repositoryUrl": "https://github.com/octo/web", "branchName": "main", "providerType": "Github"},
        ),
        (
            {"kind": "imageUpdate", "event": 5, "imageUpdateTrigger": {"id": "5", "timestamp": "T", "images": []}},
            "imageUpdateTrigger",
            {"id": "5", "timestamp": "T", "images": []},
        ),
    ],
    ids=["timer", "source", "image"],
)  # fmt: skip
def test_a_run_has_acrs_record_of_what_triggered_it(
    api: Api, cause: dict[str, Any], name: str, fields: dict[str, Any]
) -> None:
    retry = {"kind": "retry", "attempt": 1, "message": "the worker went"}
    with api.services.database.write() as conn:
        queue.enqueue(conn, request(cause=(retry, cause)), now=api.services.now(), box=BOX)
    shown = api.reader.get("/runs/ca1").json()
    assert shown[name] == fields
    assert {key for key in shown if key.endswith("Trigger")} == {name}
    assert api.reader.get("/runs").json()["value"][0][name] == fields


def test_a_run_is_checked_without_being_queued(api: Api) -> None:
    wrong = TEXT.replace("steps:", "fancy: true\nsteps:")
    answer = api.developer.post("/validate", {"text": wrong})
    assert (answer.status_code, [one["code"] for one in answer.json()["warnings"]]) == (200, ["W101"])
    strict = api.developer.post("/validate", {"text": wrong, "strict": True})
    assert (strict.status_code, strict.json()["problems"][0]["code"]) == (422, "W101")
    assert api.developer.post("/validate", {"text": TEXT, "grants": ["privileged"]}).status_code == 403
    assert api.developer.post("/validate", {"build": {"tags": ["elsewhere.example.com/app:1"]}}).status_code == 422
    assert api.developer.post("/validate", {"text": TEXT}).json() == {"warnings": []}
    assert api.reader.get("/runs").json()["value"] == []


def test_what_shapes_a_run_is_kept_in_its_spec(api: Api) -> None:
    build = {
        "tags": ["registry.example.com/app:1"], "platforms": ["linux/amd64", "linux/arm64"], "labels": ["a=b"],
        "ociLabels": True, "cacheFrom": ["c.example.com/c:1"], "cacheTo": ["type=inline"],
    }  # fmt: skip
    body = {"build": build, "attach": ["sbom", "sbom"], "maxParallel": 3, "origin": {"commit": "c0ffee"}}
    run = api.developer.post("/runs", body).json()["runId"]
    with api.services.database.read() as conn:
        spec = RunSpec.from_json(stored.get(conn, run).spec)
    assert spec.build == Build(
        tags=("registry.example.com/app:1",), platforms=("linux/amd64", "linux/arm64"), labels=("a=b",),
        oci_labels=True, cache_from=("c.example.com/c:1",), cache_to=("type=inline",),
    )  # fmt: skip
    assert (spec.attach, spec.max_parallel, dict(spec.origin)) == (("sbom",), 3, {"commit": "c0ffee"})
    assert api.developer.post("/runs", {"text": TEXT, "attach": ["signature"]}).status_code == 422
