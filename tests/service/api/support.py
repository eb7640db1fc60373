"""What the tests of the API share: a service, callers of every role, tasks, and a worker that speaks the protocol."""

from __future__ import annotations

import base64
import warnings
from pathlib import Path
from typing import Any

from taskengine.runs.feed import event_frame, log_frames
from taskengine.service.api.app import make_app
from taskengine.service.bell import Bell
from taskengine.service.model import Role
from taskengine.service.services import Services
from taskengine.service.settings import ServerSettings
from taskengine.service.store import tokens
from taskengine.service.store.database import Database
from taskengine.service.store.feeds import Feeds
from taskengine.service.store.secrets import SecretBox
from taskengine.service.store.uploads import UploadFolder

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from fastapi.testclient import TestClient

V1 = "/api/v1"
BOX = SecretBox(("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",))
TEXT = "version: v1.1.0\nsteps:\n  - id: hello\n    cmd: bash echo hello\n"


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def inline(name: str = "hello", text: str = TEXT, **more: Any) -> dict[str, Any]:
    """A task with its text in it."""
    step = {"type": "EncodedTask", "encodedTaskContent": encoded(text), **more.pop("step", {})}
    return {"name": name, "step": step, **more}


def make_services(folder: Path, settings: ServerSettings) -> Services:
    database = Database.open(f"sqlite:///{folder}/service.db")
    bell = Bell()
    return Services(
        database=database,
        box=BOX,
        bell=bell,
        feeds=Feeds(database, folder / "runs", bell),
        uploads=UploadFolder(database, folder / "uploads"),
        data=folder,
        settings=settings,
    )


class Api:
    """Calls as a role: `api.admin.get("/tasks")`."""

    def __init__(self, folder: Path, settings: ServerSettings) -> None:
        self.services = make_services(folder, settings)
        self.app = make_app(self.services)
        self.client = TestClient(self.app, raise_server_exceptions=False)
        self.client.__enter__()
        self.admin = self.caller(Role.ADMIN)
        self.operator = self.caller(Role.OPERATOR)
        self.developer = self.caller(Role.DEVELOPER)
        self.reader = self.caller(Role.READER)
        self.worker = self.caller(Role.WORKER)
        self._workers = {"w1": self.worker}

    def caller(self, role: Role, *, name: str = "", scopes: tuple[str, ...] = ()) -> Caller:
        with self.services.database.write() as conn:
            _, text = tokens.create(conn, name=name or role.value, role=role, now=self.services.now(), scopes=scopes)
        return Caller(self.client, text)

    def worker_called(self, name: str) -> Caller:
        """The holder of the one token that speaks for this worker; `w1` is `self.worker`."""
        if name not in self._workers:
            self._workers[name] = self.caller(Role.WORKER, name=f"worker {name}")
        return self._workers[name]

    def close(self) -> None:
        self.client.__exit__(None, None, None)
        self.services.close()


class Caller:
    """One token's holder. Paths are below /api/v1."""

    def __init__(self, client: TestClient, token: str) -> None:
        self.client = client
        self.token = token
        self.headers = {"Authorization": f"Bearer {token}"}

    def call(self, method: str, path: str, **kwargs: Any) -> Any:
        headers = {**self.headers, **kwargs.pop("headers", {})}
        return self.client.request(method, V1 + path, headers=headers, **kwargs)

    def get(self, path: str, **kwargs: Any) -> Any:
        return self.call("GET", path, **kwargs)

    def post(self, path: str, json: Any = None, **kwargs: Any) -> Any:
        return self.call("POST", path, json=json, **kwargs)

    def put(self, path: str, json: Any = None, **kwargs: Any) -> Any:
        return self.call("PUT", path, json=json, **kwargs)

    def patch(self, path: str, json: Any = None, **kwargs: Any) -> Any:
        return self.call("PATCH", path, json=json, **kwargs)

    def delete(self, path: str, **kwargs: Any) -> Any:
        return self.call("DELETE", path, **kwargs)


class Hand:
    """A worker that does what the test says, in the words of the protocol."""

    def __init__(self, api: Api, name: str = "w1", **about: Any) -> None:
        self.api = api
        self.caller = api.worker_called(name)
        self.id = self.caller.post("/workers", {"name": name, **about}).json()["id"]
        self.beat()

    def beat(self, state: str = "ready", *leases: dict[str, Any]) -> Any:
        return self.caller.post(f"/workers/{self.id}/heartbeat", {"state": state, "leases": list(leases)}).json()

    def lease(self, wait: float = 0.0) -> dict[str, Any] | None:
        answer = self.caller.post(f"/workers/{self.id}/lease", {"wait": wait})
        assert answer.status_code in (200, 204), answer.text
        return answer.json() if answer.status_code == 200 else None

    def append(self, run: str, epoch: int, offset: int, data: bytes) -> Any:
        return self.caller.call(
            "PATCH",
            f"/workers/{self.id}/runs/{run}/feed",
            content=data,
            headers={
                "Upload-Offset": str(offset),
                "X-Epoch": str(epoch),
                "Content-Type": "application/offset+octet-stream",
            },
        )


def begun(api: Api, run: str, *steps: str) -> bytes:
    now = api.services.now()
    plan = [[step, "cmd", []] for step in steps]
    return event_frame(now, {"event": "run.started", "at": now.isoformat(), "run_id": run, "steps": plan})


def said(api: Api, step: str, text: bytes, stream: int = 1) -> bytes:
    return log_frames(api.services.now(), step, stream, text)


def ended(api: Api, run: str, status: str = "Succeeded", **record: Any) -> bytes:
    now = api.services.now()
    body = {"id": run, "status": status, "steps": [], "started": now.isoformat(), "finished": now.isoformat()}
    return event_frame(now, {"event": "run.finished", "at": now.isoformat(), "record": {**body, **record}})
