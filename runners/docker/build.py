"""Carries out a `build` step with the engine's own BuildKit, with a buildkitd that the user named, or by the classic
builder where there is neither.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast

from runners.docker.agents import Agents
from runners.docker.buildkit import (
    BuildCanceled,
    BuildFailed,
    BuildKit,
    Buildkitd,
    BuildOutcome,
    BuildRequest,
    Progress,
    buildkitd_dialer,
    dialer,
)
from runners.docker.buildkit.dial import api_prefix, connector
from runners.docker.buildkit.guard import names_own_frontend, refuse_what_cannot_be_built
from runners.docker.buildlimit import idle_limits, is_before_docker_23
from runners.docker.buildrequest import Requests
from runners.docker.dependency import Standing, understood
from runners.docker.engine import Engine
from runners.docker.failure import fail, sounds_unreachable
from runners.docker.label import Built, Labels, build_labelled
from runners.docker.load import load_image
from runners.docker.platforms import local_name
from runners.docker.progress import BuildLog
from runners.docker.rounds import Made, Rounds
from runners.docker.scope import Scope
from runners.docker.secretarg import exposed, warning
from taskengine.errors import InvalidInput
from taskengine.plan.cachetarget import CacheTarget, cache_target
from taskengine.plan.model import BuildLine, PlannedStep
from taskengine.registry.auth import Logins
from taskengine.registry.reference import ImageReference
from taskengine.runner import Attempt, Cancel, RunContext
from taskengine.runs.event import Notice
from taskengine.runs.model import Dependency, ImageResult, Reason, StepResult

if TYPE_CHECKING:
    from docker import APIClient

    from runners.docker.classic import ClassicBuilder
    from taskengine.context.keep import Contexts
    from taskengine.registry.platformdigest import PlatformDigests

_CLASSIC_NOTICE = "this engine offers no BuildKit, so its classic builder builds: slower, and without secret mounts"


class Builder:
    """The builds of one run. Thread-safe; BuildKit is dialled when the first build wants it."""

    def __init__(
        self,
        api: Engine,
        context: RunContext,
        scope: Scope,
        logins: Logins,
        *,
        rounds: Rounds,
        temp_dir: Path,
        contexts: Contexts | None = None,
        buildkitd: Buildkitd | None = None,
        platforms: PlatformDigests | None = None,
    ) -> None:
        self._api = api
        self._context = context
        self._rounds = rounds
        self._buildkitd = buildkitd
        self._standing = Standing(api, logins, platforms)
        self._agents = Agents(context.ssh, temp_dir)
        self._requests = Requests(context, scope, logins, agents=self._agents, contexts=contexts)
        self._lock = threading.Lock()
        self._buildkit: BuildKit | None = None
        self._classic: ClassicBuilder | None = None
        self._told: frozenset[str] = frozenset()  # steps that were warned of secrets in their images' history

    def workspace_may_change(self) -> None:
        """A step that can write to the workspace is about to start."""
        self._requests.workspace_may_change()

    def warm_up(self) -> None:
        """Dial BuildKit, and load what speaks to it, before the first build wants it. What fails here fails there."""
        client = self._client()
        if isinstance(client, BuildKit):
            client.warm_up()

    def build(self, step: PlannedStep, attempt: Attempt, *, now: Callable[[], datetime]) -> StepResult:
        """One build. Raises StepFailed for what the author has to mend before BuildKit is asked."""
        line = step.build
        if line is None:
            raise InvalidInput(f"step {step.id!r} has no build line")
        client = self._client()
        request = self._requests.make(step, line, attempt, now=now)
        self._tell_what_is_missing(line, step, attempt, now, has_buildkit=isinstance(client, BuildKit))
        targets = _cache_targets(line)

        def tell_exposed(names: tuple[str, ...]) -> None:
            with self._lock:
                told, self._told = step.id in self._told, self._told | {step.id}
            if not told:
                attempt.emit(Notice(at=now(), message=warning(names), level="warning", step=step.id))

        log = BuildLog(step.id, attempt, now)
        try:
            made = self._rounds.run(
                step.id, request, targets, client,
                lambda one, seen: self._build(client, one, attempt.cancel, _both(log.progress, seen), tell_exposed),
                attempt,
            )  # fmt: skip
        except BuildCanceled:
            return StepResult(ok=False, reason=Reason.CANCELED, message="the build was stopped")
        except BuildFailed as failure:
            return StepResult(
                ok=False, exit_code=failure.exit_code, reason=Reason.BUILD, message=failure.message,
                hint=failure.hint or "", unreachable=failure.exit_code is None and sounds_unreachable(failure.message),
            )  # fmt: skip
        finally:
            log.close()
        return StepResult(
            ok=True, exit_code=0, note=made.tally.words, images=self._images(line, made),
            dependencies=made.dependencies,
        )  # fmt: skip

    def _build(
        self,
        client: BuildKit | ClassicBuilder,
        request: BuildRequest,
        cancel: Cancel,
        progress: Callable[[Progress], None],
        tell_exposed: Callable[[tuple[str, ...]], None],
    ) -> tuple[BuildOutcome, tuple[Dependency, ...]]:
        source = client.read(request)
        # secret build arguments of the command line are the user's own choice, and were warned of there
        line_args = {name: text for name, text in request.build_args.items() if name not in self._context.build_args}
        if names := exposed(source.dockerfile, line_args, self._context.secrets):
            tell_exposed(names)
        engine_platform = next(iter(client.platforms), "")
        found = understood(source.dockerfile, request, engine_platform)
        # a BuildKit of its own knows nothing of the engine's store either
        pull = request.pull or self._buildkitd is not None
        platform = request.platform or engine_platform

        def build(labelled: BuildRequest, tell: Callable[[Progress], None]) -> Built:
            known = self._standing.before(found, pull=pull)
            outcome = client.build(labelled, cancel=cancel, progress=tell, source=source)
            stood_on = self._standing.after(found, outcome, known, platform=platform, pull=pull, cancel=cancel)
            return Built(outcome=outcome, stood_on=stood_on)

        if self._context.image_labels is None:
            built = build(request, progress)
        else:
            base = found.runtime if found is not None else None
            labels = Labels(
                self._context.image_labels, source.dockerfile,
                base_name=replace(base, digest="").normalised if base else "",
                base_now=lambda: self._standing.digest_now(base, pull=pull) if base else "",
            )  # fmt: skip
            built = build_labelled(self._api, request, labels, build, progress)
        return built.outcome, built.stood_on

    def _images(self, line: BuildLine, made: Made) -> tuple[ImageResult, ...]:
        size, image_id = None, made.outcome.image_id
        if image_id:
            # one that was built elsewhere is known by the id that the engine gave it when it was loaded
            found = self._api.inspect_image(line.tags[0] if self._buildkitd and line.tags else image_id)
            image_id, size = str(found["Id"]), int(found["Size"])
        names = [ImageReference.parse(tag).familiar for tag in line.tags] or [""]
        images = [ImageResult(reference=name, image_id=image_id, size=size) for name in names]
        for part in made.parts:
            local = [ImageReference.parse(local_name(tag, part.platform)).familiar for tag in line.tags]
            images += [ImageResult(reference=name, image_id=part.image_id, size=part.size) for name in local]
        return tuple(images)

    def _client(self) -> BuildKit | ClassicBuilder:
        with self._lock:
            if self._buildkit is None:
                self._buildkit = self._dial()
            client = self._buildkit
        if client.available():
            return client
        if self._buildkitd is not None:
            raise fail(
                Reason.INVALID, f"the buildkitd at {self._buildkitd.address} has no worker, so it cannot build",
                hint="see its log, or unset BUILDKIT_HOST to build on the engine",
            )  # fmt: skip
        with self._lock:
            if self._classic is None:
                from runners.docker.classic import ClassicBuilder

                api = cast("APIClient", self._api)
                self._classic = ClassicBuilder(
                    connector(api), prefix=api_prefix(api), guard=refuse_what_cannot_be_built
                )
            return self._classic

    def _dial(self) -> BuildKit:
        if self._buildkitd is None:
            return BuildKit(dialer(cast("APIClient", self._api)), guard=self._judge)
        return BuildKit(
            buildkitd_dialer(self._buildkitd),
            guard=self._judge,
            load=lambda archive: load_image(self._api, archive),
            name=f"buildkitd at {self._buildkitd.address}",
        )

    def close(self) -> None:
        with self._lock:
            clients = (self._buildkit, self._classic)
            self._buildkit = self._classic = None
        for client in clients:
            if client is not None:
                client.close()
        self._agents.close()

    def _is_old(self) -> bool:
        """Whether the Dockerfile frontend inside of this engine is from before Docker 23."""
        return self._buildkitd is None and is_before_docker_23(str(getattr(self._api, "_version", "")))

    def _judge(self, dockerfile: bytes, request: BuildRequest) -> None:
        refuse_what_cannot_be_built(dockerfile, request)
        if request.contexts and self._is_old() and not names_own_frontend(dockerfile):
            raise BuildFailed(
                "--build-context: the Dockerfile frontend of this engine knows no further contexts",
                hint="begin the Dockerfile with `# syntax=docker/dockerfile:1`, or use Docker 23 or newer",
            )

    def _tell_what_is_missing(
        self, line: BuildLine, step: PlannedStep, attempt: Attempt, now: Callable[[], datetime], *, has_buildkit: bool
    ) -> None:
        """What this builder knows nothing of is said, for the build goes on without."""
        text = idle_limits(line, is_old=self._is_old()) if has_buildkit else _CLASSIC_NOTICE
        if text:
            attempt.emit(Notice(at=now(), message=text, level="warning", step=step.id))


def _both(*listeners: Callable[[Progress], None]) -> Callable[[Progress], None]:
    def hear(told: Progress) -> None:
        for listener in listeners:
            listener(told)

    return hear


def _cache_targets(line: BuildLine) -> tuple[CacheTarget, ...]:
    targets = tuple(dict.fromkeys(cache_target(text) for text in line.all("cache-to")))
    names = {ImageReference.parse(tag).normalised for tag in line.tags}
    if same := next((target.reference for target in targets if target.reference in names), None):
        raise fail(
            Reason.INVALID, f"the image and its cache cannot both be called {same}",
            hint="give the cache another tag, or write --cache-to type=inline to keep it in the image",
        )  # fmt: skip
    return targets
