"""What a run owns on the engine is made while the run lives, and not after its clean-up."""

from __future__ import annotations

from typing import Any

import pytest

from runners.docker.scope import Scope
from taskengine.errors import RunnerError
from taskengine.plan.model import Plan
from taskengine.runner import RunContext
from taskengine.taskspec.model import NetworkSpec


class Untouched:
    """An engine that must not be asked for anything."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} was called after the run's end")


@pytest.mark.parametrize("make", ["workspace", "home", "network", "start_sandbox"])
def test_nothing_is_made_after_the_end_by_whoever_was_held_up(make: str) -> None:
    plan = Plan(version="v1.1.0", steps=(), networks=(NetworkSpec(name="n"),))
    scope = Scope(Untouched(), RunContext(run_id="r1"), plan, architecture="amd64")  # type: ignore[arg-type]
    scope.stop()
    calls = {"network": lambda: scope.network("n"), "start_sandbox": lambda: scope.start_sandbox(0, "n", ["a"])}
    with pytest.raises(RunnerError, match="the run is over"):
        calls.get(make, getattr(scope, make))()
