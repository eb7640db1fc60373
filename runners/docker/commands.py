"""Carries out `cmd` steps: gives each its image, its place, its network and what it may have of this machine.

What a process that died has started is taken over. Must not know builds; how a container runs is cmd.py's.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from runners.docker import adopt
from runners.docker.cmd import Containers, Job
from runners.docker.connect import Endpoint
from runners.docker.container import Config, Place, bounded, container_config
from runners.docker.dependency import of_command
from runners.docker.engine import Engine
from runners.docker.failure import fail
from runners.docker.image import Images
from runners.docker.layers import layer_progress
from runners.docker.once import in_thread, wait
from runners.docker.policy import host_access
from runners.docker.sandboxes import Sandboxes
from runners.docker.scope import Scope
from runners.docker.sweep import KEEP_LABEL
from taskengine.ambient import Ambient
from taskengine.plan.model import HOME, WORKSPACE, PlannedStep
from taskengine.plan.policy import is_docker_cli, normal_name
from taskengine.runner import Attempt, RunContext
from taskengine.runs.event import Notice, StepProgress
from taskengine.runs.model import Dependency, Reason, StepResult

_SOCKET = "/var/run/docker.sock"


class Commands:
    """The `cmd` steps of one run. Thread-safe. `built` are the names of the images that the run itself builds;
    `workspace_may_change` is called before a container starts, which can write there."""

    def __init__(
        self,
        api: Engine,
        context: RunContext,
        scope: Scope,
        *,
        containers: Containers,
        sandboxes: Sandboxes,
        images: Images,
        endpoint: Endpoint,
        ambient: Ambient,
        built: frozenset[str],
        workspace_may_change: Callable[[], None],
    ) -> None:
        self._api = api
        self._context = context
        self._scope = scope
        self._containers = containers
        self._sandboxes = sandboxes
        self._images = images
        self._endpoint = endpoint
        self._ambient = ambient
        self._built = built
        self._workspace_may_change = workspace_may_change
        self._lock = threading.Lock()
        self._detached: list[tuple[str, threading.Thread]] = []
        self._told: set[str] = set()

    def run(self, step: PlannedStep, attempt: Attempt) -> StepResult:
        """One attempt. Raises StepFailed, Canceled, and what the engine's client raises."""
        image = command_image(step)
        if not self._context.allow_host_access:
            _refuse_host_access(step, image)
        name = self._scope.name("step", f"{step.index}.{attempt.number}", step.id)
        if attempt.adopt:
            if (orphan := adopt.find(self._api, name)) is not None:
                return self._adopt(step, attempt, image, orphan)
            attempt.anew()
        cmd_options = step.cmd
        always = step.pull or (cmd_options is not None and cmd_options.last("pull") == "always")
        found = self._images.ensure(
            image, always=always, retries=step.cmd_download_retries, delay=step.cmd_download_retry_delay,
            cancel=attempt.cancel,
            progress=lambda line: layer_progress(step, "pull", image, line, attempt, self._ambient.now),
        )  # fmt: skip
        user = str((found.get("Config") or {}).get("User") or "")
        binds = self._prepare_place(step, image, attempt)
        labels = self._scope.labels(step=step.id, role="step")
        if step.keep:
            labels[KEEP_LABEL] = "1"

        def config(queue: int) -> Config:
            mode, aliases = self._network(step, queue)
            place = Place(image=image, network_mode=mode, aliases=aliases, binds=binds, labels=labels)
            return bounded(container_config(step, place), self._context.step_limits)

        def before_start(config: Config) -> None:
            if not _is_root(config.get("User") or user):
                self._scope.open_folders()

        job = Job(
            config=config,
            name=name,
            keep=step.keep,
            before_start=before_start,
            leave=lambda: self._sandboxes.leave(step.id),
        )
        self._workspace_may_change()
        if _is_detached(step):
            started = self._containers.detach(step.id, job, attempt)
            with self._lock:
                self._detached.append(started)
            return StepResult(ok=True, dependencies=self._stands_on(image, found))
        return replace(self._containers.run(step.id, job, attempt), dependencies=self._stands_on(image, found))

    def _adopt(self, step: PlannedStep, attempt: Attempt, image: str, orphan: adopt.Orphan) -> StepResult:
        stands_on = self._stands_on(image, self._api.inspect_image(orphan.image))
        if _is_detached(step):
            with self._lock:
                self._detached.append(self._containers.follow(step.id, orphan, attempt))
            return StepResult(ok=True, dependencies=stands_on)
        result = self._containers.adopt(step.id, orphan, attempt, keep=step.keep)
        adopt.end_of_sandbox(self._api, orphan)
        return replace(result, dependencies=stands_on)

    def _stands_on(self, image: str, found: dict[str, Any]) -> tuple[Dependency, ...]:
        """The image of a command; one that the run itself builds is no dependency of it."""
        return () if normal_name(image) in self._built else of_command(image, found)

    def _prepare_place(self, step: PlannedStep, image: str, attempt: Attempt) -> tuple[str, ...]:
        """Wait, on nobody's time, for what the step's place needs and is still being made; returns the binds."""

        def find() -> tuple[str, ...]:
            workspace, home = self._scope.workspace(), self._scope.home()
            if step.network:
                self._sandboxes.await_lane(step.id)
                self._scope.network(step.network)
            extras = self._extras(step, image, attempt)
            return (f"{workspace}:{WORKSPACE}", f"{home}:{HOME}", *extras)

        attempt.hold(True)
        unlisten = self._scope.upload.listen(partial(self._uploading, step, attempt))
        try:
            return wait(in_thread(find, f"place-{step.id}"), attempt.cancel)
        finally:
            unlisten()
            attempt.hold(False)

    def _uploading(self, step: PlannedStep, attempt: Attempt, sent: int, over: bool) -> None:
        attempt.emit(
            StepProgress(
                at=self._ambient.now(), step=step.id, vertex="upload:workspace", name="sending the context",
                status="done" if over else "started", current=sent,
            )
        )  # fmt: skip

    def _network(self, step: PlannedStep, queue: int) -> tuple[str, tuple[str, ...]]:
        """The network mode of the step's container and its names there, as its turn to start has come."""
        if not step.network:
            return "default", ()
        if sandboxed := self._sandboxes.take(step.id, queue=queue):
            return f"container:{sandboxed}", ()
        return self._scope.network(step.network), (step.id,)

    def _extras(self, step: PlannedStep, image: str, attempt: Attempt) -> list[str]:
        """Further binds: the task's secret volumes, and the engine's socket and logins where they are allowed."""
        binds = [f"{self._scope.secret_volume(m.name)}:{m.mount_path}" for m in step.volume_mounts]
        speaks_docker = is_docker_cli(image, self._built)
        given = []
        if _allowed(self._context.allow_docker_socket, speaks_docker):
            binds.append(f"{self._endpoint.socket_path}:{_SOCKET}")
            given += ["the Docker socket"] if self._context.allow_docker_socket is None else []
        if _allowed(self._context.allow_registry_logins, speaks_docker):
            binds.append(self._scope.logins_bind())
            given += ["this machine's registry logins"] if self._context.allow_registry_logins is None else []
        if given:
            self._tell_once(step, attempt, f"given {' and '.join(given)}, because it runs the Docker command line")
        elif is_docker_cli(image) and not speaks_docker:
            self._tell_once(step, attempt, f"not given the Docker socket by itself: this run builds {image}")
        return binds

    def _tell_once(self, step: PlannedStep, attempt: Attempt, message: str) -> None:
        if step.id not in self._told:
            self._told.add(step.id)
            attempt.emit(Notice(at=self._ambient.now(), message=message, step=step.id))

    def stop_detached(self) -> None:
        """Stop what goes on by itself, and wait for the last of its output."""
        with self._lock:
            detached, self._detached = self._detached, []
        stops = [threading.Thread(target=self._containers.stop, args=(c,), daemon=True) for c, _ in detached]
        for stop in stops:
            stop.start()
        for stop, (_, follower) in zip(stops, detached, strict=True):
            stop.join()
            follower.join(timeout=5)


def _is_detached(step: PlannedStep) -> bool:
    return step.detach or (step.cmd is not None and bool(step.cmd.all("detach")))


def _is_root(user: str) -> bool:
    return user.partition(":")[0] in {"", "0", "root"}


def command_image(step: PlannedStep) -> str:
    return step.cmd.image if step.cmd is not None else ""


def _refuse_host_access(step: PlannedStep, image: str) -> None:
    """The engine's socket is kept from every step: so are the ways around it."""
    asked = host_access(container_config(step, Place(image=image, network_mode="default", labels={})))
    if asked:
        raise fail(
            Reason.INVALID,
            f"the step asks for the engine's host, which --no-docker-socket forbids: {', '.join(asked)}",
            hint="take it out of the step, or run the task without --no-docker-socket if you trust its file",
        )  # fmt: skip


def _allowed(setting: bool | None, by_default: bool) -> bool:
    return by_default if setting is None else setting
