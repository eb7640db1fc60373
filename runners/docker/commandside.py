"""All that a run needs for its `cmd` steps: sandboxes, containers, and ears for their ends.

Made, and loaded, only for a plan that has such steps. Must not know builds or pushes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

from runners.docker import lanes, sandbox
from runners.docker.cmd import Containers
from runners.docker.commands import Commands, command_image
from runners.docker.connect import Endpoint
from runners.docker.container import may_share_namespace
from runners.docker.engine import Engine
from runners.docker.exits import Exits
from runners.docker.image import Images
from runners.docker.once import Crew
from runners.docker.sandboxes import Sandboxes
from runners.docker.scope import Scope
from taskengine.ambient import Ambient
from taskengine.plan.model import PlannedStep
from taskengine.plan.policy import normal_name
from taskengine.runner import Attempt, RunContext
from taskengine.runs.model import StepResult


class CommandSide:
    """Of one run. Thread-safe."""

    def __init__(
        self,
        api: Engine,
        context: RunContext,
        scope: Scope,
        *,
        processors: int,
        images: Images,
        endpoint: Endpoint,
        ambient: Ambient,
        built: frozenset[str],
        discard: Callable[[str], None],
        spent: Callable[[str, str], None],
        workspace_may_change: Callable[[], None],
    ) -> None:
        """`discard` removes a container soon, `spent` the one of a step that has ended."""
        self._scope = scope
        self._images = images
        self._built = built
        self._resumed = context.resumed
        # a start keeps about one processor busy; a sandbox more than can be starting is there for each that just ends
        starts = max(4, min(16, processors * 2))
        self._sandboxes = Sandboxes(scope, starts_at_once=starts, most=starts + starts // 2)
        self._exits = Exits(api, context.run_id)
        containers = Containers(api, exits=self._exits, starts_at_once=starts, discard=discard, spent=spent)
        self._commands = Commands(
            api, context, scope, containers=containers, sandboxes=self._sandboxes, images=images, endpoint=endpoint,
            ambient=ambient, built=built, workspace_may_change=workspace_may_change,
        )  # fmt: skip

    def begin(self, commands: Sequence[PlannedStep], background: Crew, *, architecture: str) -> None:
        """Make ahead what the first steps need. Whatever fails here fails again, with its reason, in the step."""
        self._images.prefetch(i for s in commands if normal_name(i := command_image(s)) not in self._built)
        own = [step for step in commands if self._scope.is_own_network(step.network)]
        if own:  # of all that the first step waits for, its network takes longest
            background.submit(self._scope.network, own[0].network)
        # in a run that is gone on with, sandboxes of its earlier life may still carry names: every step takes its own
        if sandbox.supports(architecture) and not self._resumed:
            self._sandboxes.warm(lanes.assign(own, may_share_namespace))
        for make in (self._scope.workspace, self._scope.home, self._exits.listen):
            background.submit(make)

    def run(self, step: PlannedStep, attempt: Attempt) -> StepResult:
        return self._commands.run(step, attempt)

    def stop_detached(self) -> None:
        self._commands.stop_detached()

    def close_sandboxes(self, *, wait: bool) -> None:
        self._sandboxes.close(wait=wait)

    def close(self) -> None:
        """Hear of no more ends."""
        with contextlib.suppress(Exception):
            self._exits.close()
