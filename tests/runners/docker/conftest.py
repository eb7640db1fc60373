"""Runs task files on the suite's own engine, through the Python API."""

from __future__ import annotations

import base64
import json
import threading
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from runners.docker.runner import DockerRunner
from taskengine import wiring
from taskengine.ambient import Ambient
from taskengine.runner import Cancel, RunContext
from taskengine.runs.event import Event, Notice
from taskengine.runs.model import RunRecord, StepRecord
from taskengine.scheduler.loop import execute
from taskengine.taskspec.inputs import Inputs, RunFacts
from taskengine.taskspec.load import load_task
from tests.support.engine import Engine
from tests.support.registry import Registry


@dataclass
class Log:
    """Keeps what steps print, and lets a test wait for it."""

    output: dict[str, bytearray] = field(default_factory=lambda: defaultdict(bytearray))
    changed: threading.Condition = field(default_factory=threading.Condition)

    def write(self, step: str, stream: int, data: bytes) -> None:
        with self.changed:
            self.output[step] += data
            self.changed.notify_all()

    def wait_for(self, step: str, text: bytes, seconds: float = 60) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: text in self.output[step], seconds), self.output[step]


@dataclass
class Outcome:
    record: RunRecord
    log: Log
    events: list[Event]
    run_id: str
    labels_left: dict[str, list[str]]

    @property
    def status(self) -> str:
        return self.record.status.value

    def step(self, step_id: str) -> StepRecord:
        return next(s for s in self.record.steps if s.id == step_id)

    def text(self, step_id: str) -> str:
        return self.log.output[step_id].decode(errors="replace")


RunTask = Callable[..., Outcome]


def left_of(engine: Engine, run_id: str) -> dict[str, list[str]]:
    """What is still on the engine of one run."""
    mine = {"label": f"io.acr-task.run={run_id}"}
    return {
        "containers": [c["Names"][0] for c in engine.api.containers(all=True, filters=mine)],
        "networks": [n["Name"] for n in engine.api.networks(filters=mine)],
        "volumes": [v["Name"] for v in engine.api.volumes(filters=mine)["Volumes"] or []],
    }


def remove_kept(engine: Engine, run_id: str) -> None:
    """Remove what a run with `keep: true` left on purpose."""
    mine = {"label": f"io.acr-task.run={run_id}"}
    for container in engine.api.containers(all=True, filters=mine):
        engine.api.remove_container(container["Id"], force=True, v=True)
    for volume in engine.api.volumes(filters=mine)["Volumes"] or []:
        engine.api.remove_volume(volume["Name"])


NOTHING: dict[str, list[str]] = {"containers": [], "networks": [], "volumes": []}


def allow(tmp_path: Path, *hosts: str) -> None:
    """Let runs of this test speak plain http to these registries."""
    data = tmp_path / "data"
    data.mkdir(exist_ok=True)
    table = {host: {"plain_http": True, "login_in_clear": True} for host in hosts}
    (data / "registries.yaml").write_text(json.dumps({"registries": table}))


def said(done: Outcome, level: str | None = None) -> list[str]:
    """What the run told in words, of one level or of all."""
    return [e.message for e in done.events if isinstance(e, Notice) and level in (None, e.level)]


def get(registry: str, path: str) -> Any:
    """A document of a registry's API."""
    accept = "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.v2+json"
    request = urllib.request.Request(f"{registry}/v2/{path}", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def login(engine: Engine, registry: Registry) -> None:
    """Give the user of this engine the registry's login."""
    auth = base64.b64encode(f"{registry.user}:{registry.password}".encode()).decode()
    config = engine.folder / "docker-config" / "config.json"
    config.write_text(json.dumps({"auths": {registry.shared_name: {"auth": auth}}}))


def forget(engine: Engine) -> None:
    """The engine loses its layer cache and every image but the bases, as a machine that was never here."""
    for image in engine.api.images():
        tags = image["RepoTags"] or []
        if not any(tag.startswith(("busybox:", "docker:")) or "/base/" in tag for tag in tags):
            engine.api.remove_image(image["Id"], force=True)
    prune(engine)


def prune(engine: Engine) -> None:
    api = engine.api
    api._post(api._url("/build/prune"), params={"all": "true"}).raise_for_status()  # type: ignore[no-untyped-call]


@pytest.fixture
def reachable(engine: Engine, tmp_path: Path) -> Engine:
    """An engine whose registry this process reaches as well, under a name that both know."""
    allow(tmp_path, engine.registry_shared)
    return engine


@pytest.fixture
def run_task(engine: Engine, tmp_path: Path) -> Iterator[RunTask]:
    """`run_task(text, context=None, cancel=None, log=None, on=engine, **facts)`; extra RunContext fields in `grant`.
    `worker` is the folder of the worker that carries it out."""

    runners: list[DockerRunner] = []

    def run(
        text: str,
        *,
        context: Path | None = None,
        cancel: Cancel | None = None,
        log: Log | None = None,
        on: Engine | None = None,
        host: str = "",
        secrets: dict[str, str] | None = None,
        listener: Callable[[Event], None] = lambda _: None,
        environ: dict[str, str] | None = None,
        grant: dict[str, Any] | None = None,
        worker: Path | None = None,
        wrap: Callable[[Any], Any] = lambda api: api,
        **facts: str,
    ) -> Outcome:
        there = on or engine
        env = {**there.env, **({"DOCKER_HOST": host} if host else {}), **(environ or {})}
        settings = wiring.read_settings({**env, "ACR_TASK_DATA": str(tmp_path / "data")})
        settings = replace(settings, worker_dir=worker)
        run_id = Ambient.system().new_id()
        inputs = Inputs(facts=RunFacts(**{"id": run_id, **facts}), secret_values=secrets or {}, base_dir=tmp_path)
        loaded = load_task(text, file="task.yaml", inputs=inputs)
        events: list[Event] = []

        def hear(event: Event) -> None:
            events.append(event)
            listener(event)

        ctx = RunContext(
            run_id=run_id,
            registry=facts.get("registry", ""),
            shared_volume=facts.get("shared_volume", ""),
            context_dir=str(context) if context else None,
            secrets=tuple(loaded.secrets.values()),
            **(grant or {}),
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(wiring, "engine", lambda using, real=wiring.engine: wrap(real(using)))
            runner = wiring.runner_for(ctx, settings)
        runners.append(runner)
        kept = log or Log()
        record = execute(
            loaded.plan, runner, run_id=run_id, listener=hear, log=kept, cancel=cancel or Cancel(),
            ambient=Ambient.system(),
        )  # fmt: skip
        assert list((tmp_path / "data" / "runs").glob("*")) == [], [e for e in events if isinstance(e, Notice)]
        return Outcome(record, kept, events, run_id, left_of(there, run_id))

    yield run
    wiring._connection.cache_clear()
    for runner in runners:
        runner.close()
