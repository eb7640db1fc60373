"""The program with a runner that runs nothing, in a process of its own: for signals and terminals.

`python -m tests.cli.driver BEHAVIOUR ARGS...`: BEHAVIOUR is JSON, by step the fields of a noop Script, `linger` for how
long a step takes to stop, `cleanup` for how long the clean-up takes. A file `cleaned` tells that it ran, `killed` that
kill did.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from runners.noop.runner import NoopRunner, Script
from taskengine import wiring
from taskengine.cli.entry import main
from taskengine.plan.model import PlannedStep
from taskengine.runner import Attempt
from taskengine.runs.model import StepResult


class Runner(NoopRunner):
    def __init__(self, behaviour: dict[str, Any]) -> None:
        self._linger = behaviour.pop("linger", 0)
        self._cleanup = behaviour.pop("cleanup", 0)
        scripts = {
            step: Script(**{k: v.encode() if isinstance(v, str) else v for k, v in fields.items()})
            for step, fields in behaviour.items()
        }
        super().__init__(scripts)

    def run_step(self, step: PlannedStep, attempt: Attempt) -> StepResult:
        result = super().run_step(step, attempt)
        if attempt.cancel.is_set:
            time.sleep(self._linger)
        return result

    def cleanup(self) -> None:
        time.sleep(self._cleanup)
        Path("cleaned").touch()
        super().cleanup()

    def kill(self) -> None:
        Path("killed").touch()


if __name__ == "__main__":
    told = json.loads(sys.argv[1])
    wiring.runner_for = lambda context, using: Runner(told)  # type: ignore[assignment,return-value]
    wiring.greet = lambda using: None  # type: ignore[assignment]
    wiring.engine_platform = lambda using: "linux/amd64"  # type: ignore[assignment]
    sys.exit(main(sys.argv[2:]))
