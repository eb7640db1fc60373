"""What the suite for runners asks of each runner it is held against: how to make one, and how to write its steps.

To hold a further runner against the suite, write a harness and add it to `HARNESSES` in conftest.py.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Protocol

from runners.docker.runner import DockerRunner
from runners.noop import NoopRunner, Script
from taskengine import wiring
from taskengine.ambient import Ambient
from taskengine.plan.model import DEFAULT_NETWORK, CmdLine, Plan, PlannedStep, StepType
from taskengine.runner import RunContext, Runner
from taskengine.taskspec.model import NetworkSpec
from tests.support.engine import Engine


class Harness(Protocol):
    """Steps are made first, then the plan out of them, then the runner for that plan."""

    def step(
        self,
        step_id: str,
        *,
        exits: tuple[int, ...] = (0,),
        stdout: bytes = b"",
        stderr: bytes = b"",
        seconds: float = 0,
    ) -> PlannedStep:
        """A step whose successive attempts print, take their time and exit like this."""
        ...

    def plan(self, *steps: PlannedStep) -> Plan: ...

    def runner(self) -> Runner:
        """A fresh runner for the plan that was made last."""
        ...

    def leftovers(self) -> list[str]:
        """Names of what the runner made and has not removed."""
        ...

    def close(self) -> None: ...


class NoopHarness:
    """The shipped stand-in."""

    def __init__(self) -> None:
        self._scripts: dict[str, Script] = {}
        self._runners: list[NoopRunner] = []

    def step(
        self,
        step_id: str,
        *,
        exits: tuple[int, ...] = (0,),
        stdout: bytes = b"",
        stderr: bytes = b"",
        seconds: float = 0,
    ) -> PlannedStep:
        self._scripts[step_id] = Script(exits=exits, stdout=stdout, stderr=stderr, seconds=seconds)
        return PlannedStep(id=step_id, type=StepType.CMD, index=0, text="x", cmd=CmdLine(image="x"))

    def plan(self, *steps: PlannedStep) -> Plan:
        return Plan(version="v1.1.0", steps=steps)

    def runner(self) -> NoopRunner:
        runner = NoopRunner(self._scripts)
        self._runners.append(runner)
        return runner

    def leftovers(self) -> list[str]:
        return [] if all(runner.cleanups for runner in self._runners) else ["a runner that was not cleaned up"]

    def close(self) -> None:
        """Nothing to let go of."""


class DockerHarness:
    """The Docker runner, on the suite's own engine. Busybox plays the steps; their attempts count in the workspace."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self._engine = engine
        self._settings = wiring.read_settings({**engine.env, "ACR_TASK_DATA": str(folder)})
        self._run_ids: list[str] = []

    def step(
        self,
        step_id: str,
        *,
        exits: tuple[int, ...] = (0,),
        stdout: bytes = b"",
        stderr: bytes = b"",
        seconds: float = 0,
    ) -> PlannedStep:
        codes = " ".join(map(str, exits))
        script = [
            f"echo {base64.b64encode(stdout).decode()} | base64 -d",
            f"echo {base64.b64encode(stderr).decode()} | base64 -d >&2",
            f"sleep {seconds}",
            f"echo x >> '.{step_id}'; set -- {codes}",
            f"shift $(( $(wc -l < '.{step_id}') - 1 )) 2>/dev/null || set --; exit ${{1:-0}}",
        ]
        cmd = CmdLine(image="busybox:1", args=("sh", "-c", "\n".join(script)))
        return PlannedStep(id=step_id, type=StepType.CMD, index=0, text="x", cmd=cmd, network=DEFAULT_NETWORK)

    def plan(self, *steps: PlannedStep) -> Plan:
        network = NetworkSpec(name=DEFAULT_NETWORK, driver="bridge", is_default=True)
        return Plan(version="v1.1.0", steps=steps, networks=(network,))

    def runner(self) -> DockerRunner:
        self._run_ids.append(Ambient.system().new_id())
        return wiring.runner_for(RunContext(run_id=self._run_ids[-1]), self._settings)

    def leftovers(self) -> list[str]:
        mine = [{"label": f"io.acr-task.run={run_id}"} for run_id in self._run_ids]
        api = self._engine.api
        return [
            *(c["Names"][0] for m in mine for c in api.containers(all=True, filters=m)),
            *(n["Name"] for m in mine for n in api.networks(filters=m)),
            *(v["Name"] for m in mine for v in api.volumes(filters=m)["Volumes"] or []),
            *(p.name for p in self._settings.journals.glob("*")),
        ]

    def close(self) -> None:
        wiring._connection.cache_clear()
