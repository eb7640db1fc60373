"""The Docker runner: prepares a run on the engine, carries out its steps, and leaves nothing behind.

Hands each step to the part that knows its kind (commands, build, push), and sees to it that what it needs is there.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from runners.docker.connect import Endpoint
from runners.docker.engine import Engine
from runners.docker.failure import StepFailed, explanation, fail
from runners.docker.image import Images
from runners.docker.journal import Journal
from runners.docker.layers import layer_progress
from runners.docker.once import Canceled, Crew, in_thread, wait
from runners.docker.parts import Joiner
from runners.docker.platforms import Indexes
from runners.docker.pulse import Pulse
from runners.docker.push import Pushed, Pusher
from runners.docker.refused import failed, refused
from runners.docker.scope import Scope
from runners.docker.sweep import RUN_LABEL, sweep_run
from taskengine.ambient import Ambient
from taskengine.errors import InvalidInput, RunnerError, Unreachable
from taskengine.lightclass import dataclass
from taskengine.plan.model import Plan, PlannedStep, StepType
from taskengine.plan.policy import built_images
from taskengine.runner import Attempt, RunContext
from taskengine.runs.event import ImageReady, StepRetrying
from taskengine.runs.model import ImageResult, Reason, StepResult

if TYPE_CHECKING:
    from runners.docker.build import Builder
    from runners.docker.buildkit.daemon import Buildkitd
    from runners.docker.commandside import CommandSide
    from runners.docker.imagebook import ImageBook
    from taskengine.context.keep import Contexts
    from taskengine.registry.auth import Logins
    from taskengine.registry.client import RegistryClient
    from taskengine.registry.platformdigest import PlatformDigests

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
        book: ImageBook | None = None,
    ) -> None:
        self._api = api
        self._book = book
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
        self._spent: dict[str, str] = {}
        self._prepared = False
        self._known: Facts | None = None
        self._builder: Builder | None = None
        self._commands: CommandSide | None = None
        self._indexes = Indexes()
        self._images = Images(api, logins, platform=context.platform, book=book)

    # life cycle

    def prepare(self, plan: Plan) -> None:
        """Check the engine, open the journal and begin what takes time: pulls, the workspace, the first sandboxes."""
        commands = [step for step in plan.steps if step.type is StepType.CMD]
        if commands:
            self._facts()  # an engine that is not there is told of before anything is made
        is_local = self._endpoint.host.startswith("unix://")
        self._scope = Scope(
            self._api, self._context, plan, architecture=lambda: self._facts().architecture, is_local=is_local
        )
        self._scope.offer_logins(self._logins.all)
        self._scope.check_volumes()
        self._journal.open()
        self._prepared = True
        if commands:
            self._commands = self._make_commands(plan)
        self._pusher = Pusher(self._api, self._logins)
        self._joiner = Joiner(self._api, self._pusher, self._registry)
        if any(step.type is StepType.BUILD for step in plan.steps):
            self._builder = self._make_builder()
            self._background.submit(self._builder.warm_up)
        if self._context.resumed:
            self._take_over()
        if self._commands is not None:
            self._commands.begin(commands, self._background, architecture=self._facts().architecture)

    def _make_commands(self, plan: Plan) -> CommandSide:
        from runners.docker.commandside import CommandSide

        return CommandSide(
            self._api, self._context, self._scope, processors=self._facts().processors, images=self._images,
            endpoint=self._endpoint, ambient=self._ambient, built=built_images(plan.steps), discard=self._discard,
            spent=self._step_is_over, workspace_may_change=self._workspace_may_change,
        )  # fmt: skip

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
        """What the engine says about itself, asked once, and only where it matters: it starts programs to tell."""
        with self._lock:
            if self._known is None:
                self._known = self._ask()
            return self._known

    def _ask(self) -> Facts:
        try:
            info = self._api.info()
        except failed() as error:
            raise Unreachable(
                f"the Docker Engine at {self._endpoint.host} does not answer: {explanation(error)}",
                hint="`acr-task doctor` says what is missing",
            ) from error
        return Facts(
            architecture=info.get("Architecture", ""),
            processors=int(info.get("NCPU") or 2),
            version=info.get("ServerVersion", ""),
        )

    def run_step(self, step: PlannedStep, attempt: Attempt) -> StepResult:
        """One attempt. What the engine refuses is the step's failure; an engine that is gone is a RunnerError."""
        if not self._prepared:
            raise RunnerError("a step was started before the run was prepared")
        self._discard_spent(step)
        kinds = {StepType.CMD: self._command, StepType.BUILD: self._build, StepType.PUSH: self._push}
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
        except refused() as error:
            if attempt.cancel.is_set:
                return StepResult(ok=False, reason=Reason.CANCELED, message="canceled")
            return fail(Reason.INVALID, f"the engine refused: {explanation(error)}").result
        except failed() as error:
            if attempt.cancel.is_set:
                return StepResult(ok=False, reason=Reason.CANCELED, message="canceled")
            raise RunnerError(
                f"the connection to the Docker Engine broke: {explanation(error)}",
                hint="did the engine stop or restart?",
            ) from error
        finally:
            unlisten()

    def _workspace_may_change(self) -> None:
        if self._builder is not None:
            self._builder.workspace_may_change()

    def _take_over(self) -> None:
        """What a process that died has left, and is in the way of going on."""
        self._workspace_may_change()
        from runners.docker import adopt

        mine = {"label": f"{RUN_LABEL}={self._context.run_id}"}
        for container in adopt.idle_sandboxes(self._api, mine):
            self._remove(container)

    def _command(self, step: PlannedStep, attempt: Attempt) -> StepResult:
        if self._commands is None:
            raise RunnerError(f"step {step.id!r} is not of the plan that was prepared")
        return self._commands.run(step, attempt)

    # build and push

    def _build(self, step: PlannedStep, attempt: Attempt) -> StepResult:
        if attempt.adopt:
            attempt.anew()  # its session died with the process; what was built is in the cache
        if self._builder is None:
            raise RunnerError(f"step {step.id!r} is not of the plan that was prepared")
        note = None
        if self._book is not None and step.build is not None:
            from runners.docker.noting import noting

            note = noting(self._api, self._book, step.build)
        result = self._builder.build(step, attempt, now=self._ambient.now)
        for image in result.images:
            if note is not None:
                note(image)
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
                    progress=lambda line, image=image: layer_progress(
                        step, "push", image, line, attempt, self._ambient.now
                    ),
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
        with contextlib.suppress(*failed()):  # cleanup asks again, by label
            self._api.remove_container(container, v=True, force=True)

    def cleanup(self) -> None:
        """Stop what still runs and remove all that was made, kept containers apart. May be called again.

        Raises RunnerError naming what could not be removed; the next command then tries again.
        """
        self._images.close()
        self._pulse.close()
        if not self._prepared:
            self._background.close()
            return
        self._scope.stop()
        answers = self._pulse.beats()
        if answers and self._commands is not None:
            self._commands.stop_detached()
        if self._builder is not None:
            self._builder.close()
        if self._contexts is not None:
            self._contexts.close()
        if self._platforms is not None:
            self._platforms.close()
        if self._commands is not None:
            self._commands.close_sandboxes(wait=answers)
        self._background.close(drop=not answers, wait=answers)
        if answers:
            self._scope.settle()  # a step that was canceled has not waited for what was being made for it
        if self._commands is not None:
            self._commands.close()  # last: it may just have begun to listen, in the background
        if not answers:
            self._journal.abandon()
            raise RunnerError(f"{self._pulse.silent.reason}; the next acr-task command removes what is left")
        try:
            # a run of nothing but builds and pushes has nothing on the engine to ask for
            owns = self._commands is not None or self._scope.has_made or self._context.resumed
            left = sweep_run(self._api, self._context.run_id) if owns else ()
        except failed() as error:
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

    def close(self) -> None:
        """Close the connection to the engine; the runner is of no further use."""
        self._api.close()
