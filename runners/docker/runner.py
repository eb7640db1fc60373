"""The Docker runner: prepares a run on the engine, carries out its steps, and leaves nothing behind.

Hands each step to the part that knows its kind (cmd, build, push), and sees to it that what the step needs is there.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from runners.docker import adopt, lanes, sandbox
from runners.docker.cmd import Containers, Job
from runners.docker.connect import Endpoint
from runners.docker.container import Config, Place, bounded, container_config, may_share_namespace
from runners.docker.dependency import of_command
from runners.docker.engine import Engine
from runners.docker.exits import Exits
from runners.docker.failure import StepFailed, explanation, fail
from runners.docker.image import Images
from runners.docker.journal import Journal
from runners.docker.once import Canceled, Crew, in_thread, wait
from runners.docker.parts import Joiner
from runners.docker.platforms import Indexes
from runners.docker.policy import host_access
from runners.docker.pulse import Pulse
from runners.docker.push import Pushed, Pusher
from runners.docker.sandboxes import Sandboxes
from runners.docker.scope import Scope
from runners.docker.sweep import KEEP_LABEL, RUN_LABEL, sweep_run
from taskengine.ambient import Ambient
from taskengine.errors import InvalidInput, RunnerError, Unreachable
from taskengine.plan.model import HOME, WORKSPACE, Plan, PlannedStep, StepType
from taskengine.plan.policy import built_images, is_docker_cli, normal_name
from taskengine.runner import Attempt, RunContext
from taskengine.runs.event import ImageReady, Notice, StepProgress, StepRetrying
from taskengine.runs.model import Dependency, ImageResult, Reason, StepResult

if TYPE_CHECKING:
    from runners.docker.build import Builder
    from runners.docker.buildkit.daemon import Buildkitd
    from taskengine.context.keep import Contexts
    from taskengine.registry.auth import Logins
    from taskengine.registry.client import RegistryClient
    from taskengine.registry.platformdigest import PlatformDigests

_SOCKET = "/var/run/docker.sock"
#: seconds that a user who interrupts twice still waits for the engine
_KILL_TIME = 3.0


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the engine said about itself."""

    architecture: str
    processors: int
    version: str


class DockerRunner:
    """Implements taskengine.runner.Runner for one run."""

    def __init__(
        self,
        api: Engine,
        endpoint: Endpoint,
        context: RunContext,
        *,
        journal: Journal,
        logins: Logins,
        ambient: Ambient,
        registry: Callable[[], RegistryClient],
        contexts: Contexts | None = None,
        buildkitd: Buildkitd | None = None,
        platforms: PlatformDigests | None = None,
    ) -> None:
        self._api = api
        self._buildkitd = buildkitd
        self._registry = registry
        self._contexts = contexts
        self._platforms = platforms
        self._endpoint = endpoint
        self._context = context
        self._journal = journal
        self._logins = logins
        self._ambient = ambient
        self._lock = threading.Lock()
        self._background = Crew(4, "docker-run")
        self._pulse = Pulse(api)
        self._detached: list[tuple[str, threading.Thread]] = []
        self._told: set[str] = set()
        self._spent: dict[str, str] = {}
        self._prepared = False
        self._built: frozenset[str] = frozenset()
        self._builder: Builder | None = None
        self._indexes = Indexes()
        self._images = Images(api, logins, platform=context.platform)

    # life cycle

    def prepare(self, plan: Plan) -> None:
        """Check the engine, open the journal and begin what takes time: pulls, the workspace, the first sandboxes."""
        facts = self._facts()
        is_local = self._endpoint.host.startswith("unix://")
        self._scope = Scope(self._api, self._context, plan, architecture=facts.architecture, is_local=is_local)
        self._scope.offer_logins(self._logins.all)
        self._scope.check_volumes()
        # a start keeps about one processor busy; a sandbox more than can be starting is there for each that just ends
        starts = max(4, min(16, facts.processors * 2))
        self._sandboxes = Sandboxes(self._scope, starts_at_once=starts, most=starts + starts // 2)
        self._journal.open()
        self._prepared = True
        self._exits = Exits(self._api, self._context.run_id)
        self._containers = Containers(
            self._api, exits=self._exits, starts_at_once=starts, discard=self._discard, spent=self._step_is_over
        )
        self._pusher = Pusher(self._api, self._logins)
        self._joiner = Joiner(self._api, self._pusher, self._registry)
        if any(step.type is StepType.BUILD for step in plan.steps):
            self._builder = self._make_builder()
        if self._context.resumed:
            self._take_over()
        commands = [step for step in plan.steps if step.type is StepType.CMD]
        self._built = built = built_images(plan.steps)
        self._images.prefetch(i for s in commands if normal_name(i := _image(s)) not in built)
        if commands:
            self._warm_up(commands, facts)

    def _make_builder(self) -> Builder:
        from runners.docker.build import Builder
        from runners.docker.cachekeep import CacheKeeper
        from runners.docker.rounds import Rounds

        rounds = Rounds(
            self._api, CacheKeeper(self._api, self._pusher, self._joiner), self._indexes,
            secrets=(*self._context.secrets, *self._context.build_args.values()), now=self._ambient.now,
        )  # fmt: skip
        return Builder(
            self._api, self._context, self._scope, self._logins, rounds=rounds,
            temp_dir=self._journal.temp_dir, contexts=self._contexts, buildkitd=self._buildkitd,
            platforms=self._platforms,
        )  # fmt: skip

    def _facts(self) -> Facts:
        import requests
        from docker.errors import APIError

        try:
            info = self._api.info()
        except (APIError, requests.RequestException) as error:
            raise Unreachable(
                f"the Docker Engine at {self._endpoint.host} does not answer: {explanation(error)}",
                hint="`acr-task doctor` says what is missing",
            ) from error
        return Facts(
            architecture=info.get("Architecture", ""),
            processors=int(info.get("NCPU") or 2),
            version=info.get("ServerVersion", ""),
        )

    def _warm_up(self, commands: Sequence[PlannedStep], facts: Facts) -> None:
        """Make ahead what the first steps need. Whatever fails here fails again, with its reason, in the step."""
        own = [step for step in commands if self._scope.is_own_network(step.network)]
        if own:  # of all that the first step waits for, its network takes longest
            self._background.submit(self._scope.network, own[0].network)
        # in a run that is gone on with, sandboxes of its earlier life may still carry names: every step takes its own
        if sandbox.supports(facts.architecture) and not self._context.resumed:
            self._sandboxes.warm(lanes.assign(own, may_share_namespace))
        for make in (self._scope.workspace, self._scope.home, self._exits.listen):
            self._background.submit(make)

    def run_step(self, step: PlannedStep, attempt: Attempt) -> StepResult:
        """One attempt. What the engine refuses is the step's failure; an engine that is gone is a RunnerError."""
        import requests
        from docker.errors import APIError

        if not self._prepared:
            raise RunnerError("a step was started before the run was prepared")
        self._discard_spent(step)
        kinds = {StepType.CMD: self._cmd, StepType.BUILD: self._build, StepType.PUSH: self._push}
        # once told to stop, a step is waited for only as long as the engine answers
        unlisten = attempt.cancel.listen(self._pulse.watch)
        try:
            return wait(in_thread(lambda: kinds[step.type](step, attempt), f"step-{step.id}"), self._pulse.silent)
        except StepFailed as failure:
            return failure.result
        except Canceled:
            return StepResult(ok=False, reason=Reason.CANCELED, message="canceled")
        except InvalidInput as error:
            return StepResult(ok=False, reason=Reason.INVALID, message=error.message, hint=error.hint or "")
        except APIError as error:
            if attempt.cancel.is_set:
                return StepResult(ok=False, reason=Reason.CANCELED, message="canceled")
            return fail(Reason.INVALID, f"the engine refused: {explanation(error)}").result
        except (requests.RequestException, OSError) as error:
            if attempt.cancel.is_set:
                return StepResult(ok=False, reason=Reason.CANCELED, message="canceled")
            raise RunnerError(
                f"the connection to the Docker Engine broke: {explanation(error)}",
                hint="did the engine stop or restart?",
            ) from error
        finally:
            unlisten()

    # cmd

    def _cmd(self, step: PlannedStep, attempt: Attempt) -> StepResult:
        image = _image(step)
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
            cancel=attempt.cancel, progress=lambda line: self._progress(step, "pull", image, line, attempt),
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
        if self._builder is not None:
            self._builder.workspace_may_change()
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

    def _take_over(self) -> None:
        """What a process that died has left, and is in the way of going on."""
        if self._builder is not None:
            self._builder.workspace_may_change()
        mine = {"label": f"{RUN_LABEL}={self._context.run_id}"}
        for container in adopt.idle_sandboxes(self._api, mine):
            self._remove(container)

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

    # build and push

    def _build(self, step: PlannedStep, attempt: Attempt) -> StepResult:
        if attempt.adopt:
            attempt.anew()  # its session died with the process; what was built is in the cache
        if self._builder is None:
            raise RunnerError(f"step {step.id!r} is not of the plan that was prepared")
        result = self._builder.build(step, attempt, now=self._ambient.now)
        for image in result.images:
            attempt.emit(ImageReady(at=self._ambient.now(), step=step.id, image=image))
        return result

    def _push(self, step: PlannedStep, attempt: Attempt) -> StepResult:
        if attempt.adopt:
            attempt.anew()
        pushed: list[ImageResult] = []
        try:
            for image in step.push:
                done = self._push_of(image)(
                    image,
                    cancel=attempt.cancel,
                    progress=lambda line, image=image: self._progress(step, "push", image, line, attempt),
                    retrying=lambda number, pause, why: attempt.emit(
                        StepRetrying(at=self._ambient.now(), step=step.id, attempt=number, delay=pause, message=why)
                    ),
                )
                pushed.append(done.image)
                did = "already there:" if done.was_there else "pushed"
                attempt.log.write(step.id, 1, f"{did} {image}@{done.image.digest}\n".encode())
                attempt.emit(ImageReady(at=self._ambient.now(), step=step.id, image=done.image))
        except StepFailed as failure:
            result = failure.result
            return replace(result, images=tuple(pushed))
        return StepResult(ok=True, images=tuple(pushed))

    def _push_of(self, image: str) -> Callable[..., Pushed]:
        """How the image goes out: alone, or as an index where it was built for several platforms."""
        parts = self._indexes.of(image)
        return partial(self._joiner.push, parts=parts) if parts else self._pusher.push

    def _progress(self, step: PlannedStep, verb: str, image: str, line: dict[str, Any], attempt: Attempt) -> None:
        detail = line.get("progressDetail") or {}
        if not line.get("id") or not line.get("status"):
            return
        attempt.emit(
            StepProgress(
                at=self._ambient.now(), step=step.id, vertex=f"{verb}:{image}:{line['id']}",
                name=f"{verb} {image}: {line['status']}", status="started",
                current=int(detail.get("current") or 0), total=int(detail.get("total") or 0),
            )
        )  # fmt: skip

    # clean-up

    def _step_is_over(self, step: str, container: str) -> None:
        """Remove a container behind the step's back. In a durable run it stays until the end of its step is known to
        be told: should this process die before, the container is what the next one learns the end from."""
        if not self._context.durable:
            self._discard(container)
            return
        with self._lock:
            self._spent[container] = step

    def _discard_spent(self, step: PlannedStep) -> None:
        """A step starts, or makes a further attempt: the ends of all before it that are over have been told."""
        with self._lock:
            spent = [c for c, of in self._spent.items() if of == step.id or of in step.needs]
            for container in spent:
                del self._spent[container]
        for container in spent:
            self._discard(container)

    def _discard(self, container: str) -> None:
        """Remove a container soon, and wait for nothing."""
        with contextlib.suppress(RuntimeError):  # a step that nobody waits for any more
            self._background.submit(self._remove, container)

    def _remove(self, container: str) -> None:
        import requests
        from docker.errors import APIError

        with contextlib.suppress(APIError, requests.RequestException, OSError):  # cleanup asks again, by label
            self._api.remove_container(container, v=True, force=True)

    def cleanup(self) -> None:
        """Stop what still runs and remove all that was made, kept containers apart. May be called again.

        Raises RunnerError naming what could not be removed; the next command then tries again.
        """
        import requests
        from docker.errors import APIError

        self._images.close()
        self._pulse.close()
        if not self._prepared:
            self._background.close()
            return
        self._scope.stop()
        answers = self._pulse.beats()
        if answers:
            self._stop_detached()
        if self._builder is not None:
            self._builder.close()
        if self._contexts is not None:
            self._contexts.close()
        if self._platforms is not None:
            self._platforms.close()
        self._sandboxes.close(wait=answers)
        self._background.close(drop=not answers, wait=answers)
        if answers:
            self._scope.settle()  # a step that was canceled has not waited for what was being made for it
        self._exits.close()  # last: it may just have begun to listen, in the background
        if not answers:
            self._journal.abandon()
            raise RunnerError(f"{self._pulse.silent.reason}; the next acr-task command removes what is left")
        try:
            left = sweep_run(self._api, self._context.run_id)
        except (APIError, requests.RequestException, OSError) as error:
            left = (explanation(error),)
        if left:
            self._journal.abandon()
            raise RunnerError(
                "not everything of this run could be removed: " + "; ".join(left),
                hint="the next acr-task command tries again",
            )
        self._journal.close()

    def kill(self) -> None:
        """Remove all of the run at once, without grace; for a user who does not want to wait. Says nothing."""
        with contextlib.suppress(Exception):
            if self._contexts is not None:
                self._contexts.close()
            try:
                # the journal stays: a step's thread may make one more container before the process ends
                in_thread(lambda: sweep_run(self._api, self._context.run_id), "kill").result(_KILL_TIME)
            finally:
                self._api.close()  # also ends what carries its connections

    def _stop_detached(self) -> None:
        with self._lock:
            detached, self._detached = self._detached, []
        stops = [threading.Thread(target=self._containers.stop, args=(c,), daemon=True) for c, _ in detached]
        for stop in stops:
            stop.start()
        for stop, (_, follower) in zip(stops, detached, strict=True):
            stop.join()
            follower.join(timeout=5)

    def close(self) -> None:
        """Close the connection to the engine; the runner is of no further use."""
        self._api.close()


def _is_detached(step: PlannedStep) -> bool:
    return step.detach or (step.cmd is not None and bool(step.cmd.all("detach")))


def _is_root(user: str) -> bool:
    return user.partition(":")[0] in {"", "0", "root"}


def _image(step: PlannedStep) -> str:
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
