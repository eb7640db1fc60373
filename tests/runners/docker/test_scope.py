"""What a run owns on the engine is made while the run lives, and not after its clean-up."""

from __future__ import annotations

import threading
from typing import Any
from unittest.mock import Mock

import pytest

from runners.docker.scope import Scope
from taskengine.errors import RunnerError
from taskengine.plan.model import Plan
from taskengine.runner import RunContext
from taskengine.taskspec.model import NetworkSpec, VolumeSpec


class Untouched:
    """An engine that must not be asked for anything."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} was called after the run's end")


@pytest.mark.parametrize("make", ["workspace", "home", "network", "start_sandbox", "logins_bind"])
def test_nothing_is_made_after_the_end_by_whoever_was_held_up(make: str) -> None:
    plan = Plan(version="v1.1.0", steps=(), networks=(NetworkSpec(name="n"),))
    scope = Scope(Untouched(), RunContext(run_id="r1"), plan, architecture=lambda: "amd64")  # type: ignore[arg-type]
    scope.stop()
    calls = {"network": lambda: scope.network("n"), "start_sandbox": lambda: scope.start_sandbox(0, "n", ["a"])}
    with pytest.raises(RunnerError, match="the run is over"):
        calls.get(make, getattr(scope, make))()


def test_the_clean_up_waits_for_what_a_canceled_step_has_left_half_made() -> None:
    asked, answer, settled = threading.Event(), threading.Event(), threading.Event()

    def create(*_: Any, **__: Any) -> dict[str, str]:
        asked.set()
        assert answer.wait(10)
        return {"Id": "keeper"}

    api = Mock()
    api.create_container_from_config.side_effect = create
    plan = Plan(version="v1.1.0", steps=(), volumes=(VolumeSpec(name="v", secret=(("key", "aGk="),)),))
    scope = Scope(api, RunContext(run_id="r1"), plan, architecture=lambda: "amd64")
    step = threading.Thread(target=scope.secret_volume, args=("v",), daemon=True)
    step.start()
    assert asked.wait(10)
    scope.stop()

    def clean_up() -> None:
        scope.settle()
        api.sweep()
        settled.set()

    threading.Thread(target=clean_up, daemon=True).start()
    assert not settled.is_set()
    answer.set()
    assert settled.wait(10)
    calls = [name for name, _, _ in api.method_calls]
    assert calls.index("put_archive") < calls.index("sweep")
