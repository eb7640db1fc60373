"""What a stored task makes and stands on is known from its making on, and stays true with its changes and its runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from taskengine.context.model import Fetched
from taskengine.context.source import UrlLogin
from taskengine.errors import InvalidInput, Unreachable
from taskengine.service.model import Role
from taskengine.service.settings import ServerSettings
from taskengine.service.store import ledger, taskimages, watches
from taskengine.service.store.taskimages import Scan
from tests.service.api.support import Api, Hand, ended, inline
from triggers import imageevent
from triggers.answers import Answers
from triggers.imageevent import ImageEvent
from triggers.taskimages import stored_graph
from triggers.taskscan import TaskScan

A, B, C = (f"sha256:{letter * 64}" for letter in "abc")
GIT = "https://git.example.com/team/app.git#main"
BASE = "docker.io/library/alpine:3"
ON = {"trigger": {"baseImageTrigger": {"name": "base"}}}
DOCKERFILE = "# syntax=docker/dockerfile:1\nFROM golang:1 AS b\nRUN make\nFROM alpine:3\nCOPY --from=b /x /x\n"


class Repository:
    """What is in the repository of the tasks; counts how often it was fetched, and with which logins."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fetched: list[tuple[str, Mapping[str, UrlLogin]]] = []
        self.failure: Exception | None = None

    def write(self, name: str, text: str) -> None:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text(text)

    @contextmanager
    def fetch(self, name: str, logins: Mapping[str, UrlLogin], address: str) -> Iterator[Fetched]:
        self.fetched.append((address, logins))
        if self.failure is not None:
            raise self.failure
        yield Fetched(folder=self.folder, commit="c" * 40)


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    made = Api(tmp_path, ServerSettings(registry="registry.example.com"))
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "repository")
    made.write("Dockerfile", DOCKERFILE)
    return made


def docker(name: str = "app", **more: Any) -> dict[str, Any]:
    step = {"type": "Docker", "contextPath": GIT, "imageNames": [f"{name}:1"], **more.pop("step", {})}
    return {"name": name, "step": step, **ON, **more}


def create(api: Api, document: dict[str, Any]) -> None:
    answer = api.admin.post("/tasks", document)
    assert answer.status_code == 201, answer.text


def known(api: Api, task: str = "app") -> list[tuple[str, str, str]]:
    with api.services.database.read() as conn:
        return [(one.relation.value, one.image, one.digest) for one in taskimages.of_task(conn, task)]


def scan_of(api: Api, task: str = "app") -> Scan:
    with api.services.database.read() as conn:
        found = taskimages.scan_of(conn, task)
    assert found is not None
    return found


def dependency(name: str, kind: str = "runtime", digest: str = A) -> dict[str, Any]:
    registry, _, rest = name.partition("/")
    repository, _, tag = rest.partition(":")
    return {
        "type": kind, "registry": registry, "repository": repository, "tag": tag, "reference": name, "digest": digest,
        "platform": "linux/amd64", "platformDigest": B,
    }  # fmt: skip


def run(api: Api, *used: dict[str, Any], task: str = "app", step: str = "build", status: str = "Succeeded") -> None:
    """A run of the task, as a worker tells of it: one build that stood on these."""
    queued = api.admin.post(f"/tasks/{task}/runs", {})
    assert queued.status_code in (200, 201, 202), queued.text
    finish(api, step, used, status)


def finish(api: Api, step: str, used: tuple[dict[str, Any], ...], status: str = "Succeeded") -> None:
    hand = Hand(api)
    leased = hand.lease()
    assert leased is not None
    ok = status == "Succeeded"
    record = {
        "id": step, "type": "build", "status": "succeeded" if ok else "failed", "attempts": 1,
        "exitCode": 0 if ok else 1, "dependencies": list(used),
    }  # fmt: skip
    body = ended(api, leased["run"], status, steps=[record] if used or ok else [], failedStep=None if ok else step)
    assert hand.append(leased["run"], leased["epoch"], 0, body).status_code == 204


def test_what_a_task_stands_on_is_known_before_its_first_run(api: Api, repository: Repository) -> None:
    create(api, docker())
    assert TaskScan(api.services, repository.fetch).tick() == 1
    assert known(api) == [
        ("makes", "registry.example.com/app:1", ""),
        ("unwatched", "docker.io/docker/dockerfile:1", ""),
        ("unwatched", "docker.io/library/golang:1", ""),
        ("uses", BASE, ""),
    ]
    scan = scan_of(api)
    assert (scan.watching, scan.revision, scan.due, scan.error) == (True, 1, None, "")
    assert TaskScan(api.services, repository.fetch).tick() == 0


def test_the_trigger_type_all_watches_stages_and_front_ends_too(api: Api, repository: Repository) -> None:
    create(api, docker(trigger={"baseImageTrigger": {"baseImageTriggerType": "All"}}))
    TaskScan(api.services, repository.fetch).tick()
    assert {image for relation, image, _ in known(api) if relation == "uses"} == {
        BASE, "docker.io/library/golang:1", "docker.io/docker/dockerfile:1",
    }  # fmt: skip


def test_a_task_in_a_repository_is_read_there_with_its_own_login_once(api: Api, repository: Repository) -> None:
    repository.write(
        "ci/task.yaml",
        "version: v1.1.0\nsteps:\n  - build: -t $Registry/app:2 -f web/Dockerfile web\n  - push: [$Registry/app:2]\n",
    )
    repository.write("web/Dockerfile", "FROM debian:12\n")
    step = {"type": "FileTask", "contextPath": GIT, "taskFilePath": "ci/task.yaml", "contextAccessToken": "t0ken"}
    create(api, {"name": "app", "step": step, **ON})
    scan = TaskScan(api.services, repository.fetch)
    scan.tick()
    assert known(api) == [
        ("makes", "registry.example.com/app:2", ""), ("uses", "docker.io/library/debian:12", ""),
    ]  # fmt: skip
    ((address, logins),) = repository.fetched
    assert address == GIT
    assert logins["git.example.com"].secret == "t0ken"
    run(api, dependency("docker.io/library/debian:12"), step="acb_step_0")
    scan.tick()
    assert len(repository.fetched) == 1
    assert ("uses", "docker.io/library/debian:12", A) in known(api)


def test_an_inline_task_is_known_without_fetching_anything(api: Api) -> None:
    text = "version: v1.1.0\nsteps:\n  - cmd: docker.io/library/alpine:3 true\n  - push: [$Registry/x:1]\n"
    create(api, inline("app", text, trigger={"baseImageTrigger": {"baseImageTriggerType": "All"}}))
    TaskScan(api.services, None).tick()
    assert known(api) == [("makes", "registry.example.com/x:1", ""), ("uses", BASE, "")]
    with api.services.database.read() as conn:
        assert taskimages.users(conn, BASE)[0].platform == "linux/amd64"


def test_after_a_run_its_record_counts(api: Api, repository: Repository) -> None:
    create(api, docker())
    scan = TaskScan(api.services, repository.fetch)
    scan.tick()
    run(api, dependency("registry.example.com/other:1"))
    scan.tick()
    with api.services.database.read() as conn:
        (used,) = [one for one in taskimages.of_task(conn, "app") if one.relation.value == "uses"]
    assert (used.image, used.digest, used.platform_digest, used.platform, used.kind) == (
        "registry.example.com/other:1", A, B, "linux/amd64", "runtime",
    )  # fmt: skip


def test_a_run_that_failed_before_its_builds_takes_nothing_away(api: Api, repository: Repository) -> None:
    create(api, docker())
    scan = TaskScan(api.services, repository.fetch)
    scan.tick()
    before = known(api)
    run(api, status="Failed")
    repository.failure = Unreachable("the host does not answer")
    scan.tick()
    assert known(api) == before
    assert "does not answer" in scan_of(api).error


def test_a_changed_task_is_read_again_and_keeps_the_digests_that_are_known(api: Api, repository: Repository) -> None:
    create(api, docker())
    scan = TaskScan(api.services, repository.fetch)
    scan.tick()
    run(api, dependency(BASE))
    scan.tick()
    repository.write("other.Dockerfile", "FROM alpine:3\nFROM debian:12\nCOPY --from=0 /a /b\n")
    answer = api.admin.patch("/tasks/app", {"step": {"dockerFilePath": "other.Dockerfile"}})
    assert answer.status_code == 200, answer.text
    scan.tick()
    assert ("uses", "docker.io/library/debian:12", "") in known(api)
    answer = api.admin.patch("/tasks/app", {"step": {"dockerFilePath": "Dockerfile"}})
    scan.tick()
    assert ("uses", BASE, "") in known(api)  # it was not in use in between
    run(api, dependency(BASE))
    scan.tick()
    api.admin.patch("/tasks/app", {"priority": -1})
    scan.tick()
    assert ("uses", BASE, A) in known(api)


def test_what_a_pull_request_builds_is_not_what_the_task_stands_on(api: Api, repository: Repository) -> None:
    from taskengine.service.store import queue, secrets, tasks
    from taskengine.service.submission import Asked, Overrides, of_task

    create(api, docker())
    scan = TaskScan(api.services, repository.fetch)
    scan.tick()
    services = api.services
    with services.database.write() as conn:
        task = tasks.get(conn, "app")
        asked = Asked(owner="x", now=services.now(), cause=({"kind": "pullRequest", "event": 1},))
        kept = secrets.get(conn, services.box, "task", "app")
        request, _ = of_task(task, kept, Overrides(), asked, services.settings)
        queue.enqueue(conn, request, now=services.now(), box=services.box)
    finish(api, "build", (dependency("evil.example.com/x:1"),))
    scan.tick()
    assert ("uses", BASE, "") in known(api)
    assert not any("evil" in image for _, image, _ in known(api))


def test_a_repository_that_is_away_is_asked_again_and_a_wrong_one_is_told(api: Api, repository: Repository) -> None:
    create(api, docker())
    repository.failure = Unreachable("the host does not answer")
    scan = TaskScan(api.services, repository.fetch)
    scan.tick()
    first = scan_of(api)
    assert first.due is not None
    assert first.due > api.services.now()
    assert first.error == "https://git.example.com/team/app.git#main could not be read: the host does not answer"
    assert [relation for relation, _, _ in known(api)] == ["makes", "unknown"]
    api.admin.patch("/tasks/app", {"priority": -1})
    repository.failure = InvalidInput("there is no branch main")
    scan.tick()
    assert scan_of(api).due is None
    assert scan_of(api).error.endswith("there is no branch main")


def test_what_could_not_be_read_names_no_secret(api: Api, repository: Repository) -> None:
    create(api, docker(step={"contextAccessToken": "t0ken-of-mine"}))
    repository.failure = Unreachable("https://x:t0ken-of-mine@git.example.com does not answer")
    TaskScan(api.services, repository.fetch).tick()
    assert "does not answer" in scan_of(api).error
    assert "t0ken" not in scan_of(api).error


def test_a_dockerfile_that_leads_out_of_its_repository_is_not_read(
    api: Api, repository: Repository, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("FROM secret-of-the-host:1\n")
    (repository.folder / "Dockerfile").unlink()
    (repository.folder / "Dockerfile").symlink_to(tmp_path / "secret")
    create(api, docker())
    TaskScan(api.services, repository.fetch).tick()
    assert [relation for relation, _, _ in known(api)] == ["makes", "unknown"]
    assert "secret" not in scan_of(api).error


def test_without_leave_to_fetch_the_first_run_tells(api: Api, repository: Repository) -> None:
    create(api, docker())
    scan = TaskScan(api.services, None)
    scan.tick()
    assert ("unknown", "build", "") in known(api)
    run(api, dependency(BASE))
    scan.tick()
    assert ("uses", BASE, A) in known(api)
    assert repository.fetched == []


def test_a_disabled_task_and_one_without_the_trigger_watch_nothing(api: Api, repository: Repository) -> None:
    create(api, docker("app"))
    create(api, docker("off", trigger={"baseImageTrigger": {"status": "Disabled"}}))
    create(api, docker("none", trigger={}))
    scan = TaskScan(api.services, repository.fetch)
    scan.tick()
    assert [scan_of(api, name).watching for name in ("app", "off", "none")] == [True, False, False]
    with api.services.database.read() as conn:
        assert stored_graph(taskimages.all_images(conn)).users == {BASE: ("app",)}
        assert stored_graph(taskimages.all_images(conn, watching=False)).users == {BASE: ("app", "none", "off")}
    api.admin.patch("/tasks/app", {"status": "Disabled"})
    scan.tick()
    assert not scan_of(api).watching
    assert ("uses", BASE, "") in known(api)


def test_of_two_services_one_looks_at_a_time(api: Api, repository: Repository) -> None:
    create(api, docker())
    first, second = (TaskScan(api.services, repository.fetch) for _ in range(2))
    assert first.tick() == 1
    api.admin.patch("/tasks/app", {"priority": -1})
    assert second.tick() == 0
    assert first.tick() == 1


def test_a_task_that_shows_a_bug_holds_up_no_other(
    api: Api, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    from triggers import taskscan

    create(api, docker("bad"))
    create(api, docker("good"))
    real = taskscan.plan_of

    def broken(task: str, *args: Any) -> Any:
        if task == "bad":
            raise ZeroDivisionError
        return real(task, *args)

    monkeypatch.setattr(taskscan, "plan_of", broken)
    TaskScan(api.services, repository.fetch).tick()
    assert scan_of(api, "bad").error == "looking at it failed unexpectedly: ZeroDivisionError"
    assert ("uses", BASE, "") in known(api, "good")


def test_a_task_that_was_deleted_meanwhile_is_left_alone(api: Api, repository: Repository) -> None:
    create(api, docker())
    scan = scan_of(api)
    api.admin.delete("/tasks/app")
    TaskScan(api.services, repository.fetch).look(replace(scan))
    with api.services.database.read() as conn:
        assert taskimages.scan_of(conn, "app") is None


def test_the_graph_of_all_tasks_is_shown_with_what_is_not_known_yet(api: Api, repository: Repository) -> None:
    api.services.triggers = Answers()
    create(api, docker())
    create(api, docker("late", trigger={"baseImageTrigger": {"status": "Disabled"}}))
    first = {one["name"]: one for one in api.reader.get("/graph").json()["tasks"]}
    assert list(first) == ["app", "late"]
    assert (first["late"]["uses"], first["late"]["scanned"], first["late"]["watching"]) == ([], None, False)
    TaskScan(api.services, repository.fetch).tick()
    found = {one["name"]: one for one in api.reader.get("/graph").json()["tasks"]}
    assert found["app"]["uses"] == [BASE]
    assert found["app"]["makes"] == ["registry.example.com/app:1"]
    assert found["app"]["watching"]
    assert not found["late"]["watching"]
    bound = api.caller(Role.READER, name="bound", scopes=("late",))
    assert [one["name"] for one in bound.get("/graph").json()["tasks"]] == ["late"]


def test_a_run_that_used_an_older_image_than_is_known_by_its_end_is_told_of_once(
    api: Api, repository: Repository
) -> None:
    create(api, docker())
    scan = TaskScan(api.services, repository.fetch)
    scan.tick()
    saw(api, C)
    run(api, dependency(BASE, digest=A))
    scan.tick()
    (event,) = image_events(api)
    assert (event.image, event.before, event.after.digest) == (BASE, None, C)
    run(api, dependency(BASE, digest=A))  # a worker with an old copy
    scan.tick()
    assert len(image_events(api)) == 1


def test_a_run_that_used_what_is_known_and_one_beside_another_are_no_event(api: Api, repository: Repository) -> None:
    create(api, docker())
    scan = TaskScan(api.services, repository.fetch)
    scan.tick()
    saw(api, A)
    run(api, dependency(BASE, digest=A))
    scan.tick()
    assert image_events(api) == []
    saw(api, C)
    run(api, dependency(BASE, digest=B))
    assert api.admin.post("/tasks/app/runs", {}).status_code in (200, 201, 202)
    scan.tick()
    assert image_events(api) == []  # the run that waits may use the new one, and its end leads here again


def saw(api: Api, digest: str) -> None:
    with api.services.database.write() as conn:
        now = api.services.now()
        watches.settle(
            conn, watches.get(conn, BASE), seen={"digest": digest, "platforms": {}}, checked=now, changed=now,
            next_at=now, failures=0, error="",
        )  # fmt: skip


def image_events(api: Api) -> list[ImageEvent]:
    with api.services.database.read() as conn:
        found, _ = ledger.page(conn, ledger.Wanted(source=imageevent.POLL), top=100)
        return [imageevent.read(ledger.get(conn, one.number)) for one in found]
