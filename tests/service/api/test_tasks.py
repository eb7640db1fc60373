"""Stored tasks over the API: made, changed, shown, removed; their secrets go in and never come out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from taskengine.service.model import Role
from tests.service.api.support import TEXT, Api, Hand, encoded, inline


def made(api: Api, **more: Any) -> dict[str, Any]:
    answer = api.developer.post("/tasks", inline(**more))
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_task_is_made_with_defaults_and_shown(api: Api) -> None:
    task = made(api)
    assert task["timeout"] == 3600
    assert task["status"] == "Enabled"
    assert task["owner"] == "developer"
    assert task["revision"] == 1
    shown = api.reader.get("/tasks/hello").json()
    assert shown == {key: value for key, value in task.items() if key != "webhookSecret"}


def test_the_webhooks_secret_is_shown_once_when_the_service_made_it(api: Api) -> None:
    assert len(made(api)["webhookSecret"]) > 30
    assert "webhookSecret" not in made(api, name="other", webhookSecret="given by me")


def test_two_tasks_of_one_name_are_a_conflict(api: Api) -> None:
    made(api)
    answer = api.developer.post("/tasks", inline())
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


SECRETS = inline(
    step={
        "values": [{"name": "password", "value": "s3cret-one", "isSecret": True}],
        "contextAccessToken": "s3cret-two",
    },
    credentials={
        "customRegistries": {"other.example.com": {"userName": {"value": "me"}, "password": {"value": "s3cret-three"}}}
    },
    trigger={
        "sourceTriggers": [
            {
                "name": "push",
                "sourceTriggerEvents": ["commit"],
                "sourceRepository": {
                    "repositoryUrl": "https://git.example.com/team/app.git",
                    "sourceControlAuthProperties": {"token": "s3cret-four"},
                },
            }
        ]
    },
    webhookSecret="s3cret-five",
)


def test_secrets_never_come_back_and_are_not_plain_on_the_disk(api: Api) -> None:
    assert api.developer.post("/tasks", SECRETS).status_code == 201
    everywhere = [api.admin.get("/tasks/hello").text, api.admin.get("/tasks").text, api.admin.get("/audit").text]
    assert not any("s3cret" in text for text in everywhere)
    api.services.database.close()
    for path in api.services.data.glob("service.db*"):
        assert b"s3cret" not in path.read_bytes()


def test_a_run_brings_the_secrets_to_its_worker_only(api: Api) -> None:
    api.developer.post("/tasks", SECRETS)
    run = api.developer.post("/tasks/hello/runs")
    assert "s3cret" not in run.text
    leased = Hand(api).lease()
    assert leased is not None
    assert leased["secrets"]["set:password"] == "s3cret-one"
    assert leased["secrets"]["context:token"] == "s3cret-two"
    assert json.loads(leased["secrets"]["login:other.example.com"]) == {"username": "me", "password": "s3cret-three"}
    assert "s3cret-four" not in json.dumps(leased)
    assert leased["spec"]["secret_names"] == ["context:token", "login:other.example.com", "set:password"]
    assert "registry:other.example.com" in leased["spec"]["grants"]


def test_what_was_shown_can_be_sent_back_and_keeps_its_secrets(api: Api) -> None:
    api.developer.post("/tasks", SECRETS)
    shown = api.developer.get("/tasks/hello").json()
    answer = api.developer.put("/tasks/hello", shown)
    assert answer.status_code == 200, answer.text
    api.developer.post("/tasks/hello/runs")
    leased = Hand(api).lease()
    assert leased is not None
    assert leased["secrets"]["set:password"] == "s3cret-one"


def test_a_secret_that_is_no_longer_named_is_forgotten(api: Api) -> None:
    api.developer.post("/tasks", SECRETS)
    api.developer.patch("/tasks/hello", {"step": {"values": []}})
    named = {"step": {"values": [{"name": "password", "isSecret": True}]}}
    answer = api.developer.patch("/tasks/hello", named)
    assert answer.status_code == 422
    assert "password has no value" in answer.json()["detail"]


def test_a_patch_merges_and_null_removes(api: Api) -> None:
    made(api, tags={"team": "a", "kind": "b"})
    answer = api.developer.patch("/tasks/hello", {"timeout": 600, "tags": {"team": None}, "status": "Disabled"})
    assert answer.status_code == 200, answer.text
    after = answer.json()
    assert (after["timeout"], after["tags"], after["status"], after["revision"]) == (600, {"kind": "b"}, "Disabled", 2)


def test_a_patch_may_make_another_kind_of_step(api: Api) -> None:
    made(api)
    step = {"type": "Docker", "dockerFilePath": "Dockerfile", "contextPath": "https://git.example.com/a/b.git"}
    answer = api.developer.patch("/tasks/hello", {"step": step})
    assert answer.status_code == 200, answer.text
    assert answer.json()["step"]["type"] == "Docker"


def test_a_change_of_an_older_revision_is_refused(api: Api) -> None:
    task = made(api)
    api.developer.patch("/tasks/hello", {"timeout": 600})
    answer = api.developer.put("/tasks/hello", {**inline(), "revision": task["revision"]})
    assert answer.status_code == 409
    assert "revision 2" in answer.json()["detail"]


def test_a_task_cannot_be_renamed(api: Api) -> None:
    made(api)
    assert api.developer.put("/tasks/hello", inline("other")).status_code == 422


def test_a_task_is_removed_with_its_secrets(api: Api) -> None:
    api.developer.post("/tasks", SECRETS)
    assert api.developer.delete("/tasks/hello").status_code == 204
    assert api.developer.get("/tasks/hello").status_code == 404
    assert api.developer.delete("/tasks/hello").status_code == 404


def test_tasks_are_listed_by_name_in_pages(api: Api) -> None:
    for name in ("c", "a", "b"):
        made(api, name=name)
    first = api.reader.get("/tasks?top=2").json()
    assert [task["name"] for task in first["value"]] == ["a", "b"]
    second = api.reader.get(f"/tasks?top=2&cursor={first['nextCursor']}").json()
    assert [task["name"] for task in second["value"]] == ["c"]
    assert second["nextCursor"] is None


# -- what is wrong is told, where it is


def fault(api: Api, task: dict[str, Any]) -> tuple[str, str]:
    answer = api.developer.post("/tasks", task)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    first = answer.json()["problems"][0]
    return first.get("path", ""), first["message"]


def test_a_mistake_in_an_inline_task_is_told_with_line_column_and_hint(api: Api) -> None:
    text = "version: v1.1.0\nsteps:\n  - cmd: bash\n    wen: [x]\n  - nothing: 1\n"
    answer = api.developer.post("/tasks", inline(text=text))
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-task")
    problems = answer.json()["problems"]
    place = problems[0]["location"]
    assert (place["file"], place["line"]) == ("task.yaml", 4)
    assert place["column"] > 0
    assert problems[0]["code"] == "W101"
    assert "when" in problems[0]["hint"]
    assert any(problem["severity"] == "error" for problem in problems)


def test_warnings_of_an_inline_task_come_with_it(api: Api) -> None:
    task = made(api, text=TEXT + "    wen: [x]\n")
    assert task["warnings"][0]["code"] == "W101"


def test_an_inline_task_reads_nothing_of_the_servers_machine(api: Api) -> None:
    text = "version: v1.1.0\nalias:\n  src:\n    - pyproject.toml\n    - http://127.0.0.1:1/x\nsteps:\n  - cmd: bash\n"
    task = made(api, text=text)
    assert "name = " not in json.dumps(task)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"timeout": 299}, "timeout"),
        ({"timeout": 28801}, "timeout"),
        ({"timeout": "3600"}, "timeout"),
        ({"name": "-x"}, "name"),
        ({"unknown": 1}, "unknown"),
        ({"agentConfiguration": {"cpu": 0}}, "agentConfiguration.cpu"),
        ({"platform": {"os": "beos"}}, "platform.os"),
        ({"step": {"type": "EncodedTask", "encodedTaskContent": "%%%"}}, "step.encodedTaskContent"),
        ({"step": {"type": "FileTask", "taskFilePath": "x.yaml"}}, "step.contextPath"),
        ({"step": {"type": "FileTask", "taskFilePath": "../x.yaml", "contextPath": "/dev/null"}}, "step.taskFilePath"),
        ({"step": {"type": "Docker", "contextPath": "/home/me"}}, "step.contextPath"),
        ({"trigger": {"timerTriggers": [{"name": "t", "schedule": "0 25 * * *"}]}}, "trigger.timerTriggers.0.schedule"),
        ({"trigger": {"timerTriggers": [{"name": "t", "schedule": "0 1 31 2 *"}]}}, "trigger.timerTriggers.0.schedule"),
        ({"trigger": {"baseImageTrigger": {"tagPolicy": "newest"}}}, "trigger.baseImageTrigger.tagPolicy"),
        (
            {"trigger": {"timerTriggers": [{"name": "t", "schedule": "0 1 * * *", "timeZone": "Europe/Nowhere"}]}},
            "trigger.timerTriggers.0.timeZone",
        ),
        ({"trigger": {"timerTriggers": [{"name": "t", "schedule": "0 1 * * *"}] * 2}}, "trigger.timerTriggers"),
        ({"grants": ["root"]}, "grants.0"),
    ],
)
def test_what_cannot_be_is_refused_at_its_place(api: Api, change: dict[str, Any], path: str) -> None:
    answer = api.operator.post("/tasks", {**inline(), **change})
    assert answer.status_code == 422, answer.text
    first = answer.json()["problems"][0]
    assert first["path"] in (path, f"{path}.{first['path'].rpartition('.')[2]}") or path in answer.json()["detail"]


def test_timers_and_triggers_are_kept_as_they_are_sent(api: Api) -> None:
    trigger = {
        "timerTriggers": [{"name": "nightly", "schedule": "0 2 * * mon-fri", "timeZone": "Europe/Berlin"}],
        "baseImageTrigger": {"baseImageTriggerType": "All"},
    }
    found = made(api, trigger=trigger)["trigger"]
    assert found["timerTriggers"][0]["missed"] == "once"
    assert found["baseImageTrigger"]["baseImageTriggerType"] == "All"


# -- policy


PRIVILEGED = "version: v1.1.0\nsteps:\n  - cmd: --privileged bash\n"


def test_what_reaches_for_the_host_needs_a_grant(api: Api) -> None:
    answer = api.developer.post("/tasks", inline(text=PRIVILEGED))
    assert answer.status_code == 422
    assert answer.json()["problems"][0]["code"] == "E601"


def test_a_developer_may_not_grant_and_an_operator_may(api: Api) -> None:
    task = inline(text=PRIVILEGED, grants=["privileged"])
    assert api.developer.post("/tasks", task).status_code == 403
    assert api.operator.post("/tasks", task).status_code == 201
    # what was granted stays when a developer changes something else
    assert api.developer.patch("/tasks/hello", {"timeout": 600}).status_code == 200
    assert api.developer.patch("/tasks/hello", {"grants": ["privileged", "host-mounts"]}).status_code == 403


def test_only_operators_make_others_owners_or_go_first(api: Api) -> None:
    assert api.developer.post("/tasks", inline(owner="somebody")).status_code == 403
    assert api.developer.post("/tasks", inline(priority=10)).status_code == 403
    assert api.operator.post("/tasks", inline(owner="somebody", priority=10)).json()["owner"] == "somebody"


def test_pushes_go_to_the_servers_registry_unless_a_login_comes_along(api: Api) -> None:
    text = "version: v1.1.0\nsteps:\n  - push: ['{{.Run.Registry}}/app:1']\n"
    assert api.developer.post("/tasks", inline("own", text=text)).status_code == 201
    text = "version: v1.1.0\nsteps:\n  - push: [other.example.com/app:1]\n"
    answer = api.developer.post("/tasks", inline("other", text=text))
    assert answer.json()["problems"][0]["code"] == "E607"
    login = {"customRegistries": {"other.example.com": {"userName": {"value": "a"}, "password": {"value": "b"}}}}
    assert api.developer.post("/tasks", inline("other", text=text, credentials=login)).status_code == 201


def test_a_login_may_lie_in_a_secret_store(api: Api) -> None:
    def sent(**entry: Any) -> Any:
        return inline(credentials={"customRegistries": {"other.example.com": entry}})

    address = {"type": "Vaultsecret", "value": "https://team.vault.azure.net/secrets/registry"}
    made = api.developer.post("/tasks", sent(userName={"value": "me"}, password=address, identity="an-id"))
    assert made.json()["credentials"]["customRegistries"]["other.example.com"]["password"] == address
    api.developer.post("/tasks/hello/runs")
    found = Hand(api).lease()
    assert found is not None
    assert json.loads(found["secrets"]["login:other.example.com"]) == {
        "username": "me", "passwordVault": address["value"], "identity": "an-id",
    }  # fmt: skip

    path = "credentials.customRegistries.other.example.com"
    for entry, place in (
        ({"password": {"type": "Vaultsecret", "value": "hunter2"}}, f"{path}.password.value"),
        ({"userName": {"type": "Vaultsecret"}, "password": address}, f"{path}.userName.value"),
        ({"identity": "an-id"}, path),
    ):
        answer = api.developer.put("/tasks/hello", sent(**entry))
        assert (answer.status_code, answer.json()["problems"][0]["path"]) == (422, place)


def test_a_scoped_token_sees_and_touches_its_own_tasks_only(api: Api) -> None:
    made(api)
    made(api, name="team-app")
    team = api.caller(Role.DEVELOPER, name="team", scopes=("team-*",))
    assert [task["name"] for task in team.get("/tasks").json()["value"]] == ["team-app"]
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/runs"), ("GET", "/runs")):
        answer = team.call(method, f"/tasks/hello{path}")
        assert answer.status_code == 404
    assert team.post("/tasks", inline("other")).status_code == 403
    assert team.post("/tasks/team-app/runs").status_code == 201
    run = api.developer.post("/tasks/hello/runs").json()["runId"]
    assert team.get(f"/runs/{run}").status_code == 404
    assert team.post(f"/runs/{run}/cancel").status_code == 404
    assert team.get(f"/runs/{run}/logs").status_code == 404
    assert {item["task"] for item in team.get("/runs").json()["value"]} == {"team-app"}
    assert {item["task"] for item in team.get("/queue").json()["value"]} == {"team-app"}


def test_every_change_is_in_the_audit_log(api: Api) -> None:
    made(api)
    api.developer.patch("/tasks/hello", {"timeout": 600})
    run = api.developer.post("/tasks/hello/runs").json()["runId"]
    api.developer.post(f"/runs/{run}/cancel", {"reason": "no need"})
    api.developer.delete("/tasks/hello")
    actions = [(entry["actor"], entry["action"], entry["object"]) for entry in api.admin.get("/audit").json()["value"]]
    assert actions == [
        ("developer", "task.delete", "hello"),
        ("developer", "run.cancel", run),
        ("developer", "run.queue", run),
        ("developer", "task.update", "hello"),
        ("developer", "task.create", "hello"),
    ]


def test_an_encoded_text_may_be_wrapped_in_lines(api: Api) -> None:
    text = encoded(TEXT)
    assert (
        api.developer.post("/tasks", inline(step={"encodedTaskContent": f"{text[:40]}\n{text[40:]}\n"})).status_code
        == 201
    )
