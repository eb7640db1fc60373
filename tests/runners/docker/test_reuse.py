"""Steps that use one network namespace after another, on a real engine: names, neighbours, refusals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from runners.docker.lanes import Lane
from runners.docker.sandboxes import Sandboxes
from runners.docker.scope import Scope
from runners.docker.sweep import sweep_run
from taskengine.ambient import Ambient
from taskengine.plan.model import NetworkSpec, Plan
from taskengine.runner import RunContext
from tests.runners.docker.conftest import NOTHING, Outcome, RunTask
from tests.support.engine import Engine

#: more than are started at the same time on a small machine, so that some must wait for their turn
WIDE = 10
#: prints the step's address by its name, and as the step itself knows it
WHO = "nslookup {0} | grep ^Addr | tail -n +2; hostname -i"


class Recorder:
    """The engine's API, which counts renames of sandboxes and refuses one half of them where it is told to."""

    def __init__(self, api: Any, refuse: str = "") -> None:
        self._api, self._refuse = api, refuse
        self.renamed = 0

    def __getattr__(self, name: str) -> Any:
        from docker.errors import APIError

        def refused(*_: object, **__: object) -> None:
            raise APIError("not on this engine")

        self.renamed += name == "connect_container_to_network"
        return refused if name == self._refuse else getattr(self._api, name)


def told(done: Outcome, step: str) -> tuple[list[str], str]:
    *found, own = done.text(step).removeprefix("Address:").replace("\nAddress:", "\n").split()
    return found, own


def parallel(*names: str, command: str = WHO, needs: str = "-", more: str = "") -> str:
    return "".join(
        f"  - {{id: {n}, cmd: \"busybox:1 sh -c '{command.format(n)}'\", when: ['{needs}']{more}}}\n" for n in names
    )


@pytest.mark.parametrize("refuse", ["", "disconnect_container_from_network", "connect_container_to_network"])
def test_every_parallel_step_has_its_name_for_its_own_address_alone(run_task: RunTask, refuse: str) -> None:
    """Also where the engine does not take sandboxes off their networks, or not back."""
    recorders: list[Recorder] = []

    def record(api: Any) -> Recorder:
        recorders.append(Recorder(api, refuse))
        return recorders[-1]

    names = [f"s{i}" for i in range(WIDE)]
    done = run_task("steps:\n" + parallel(*names), wrap=record)
    assert done.status == "Succeeded", done.record
    for name in names:
        found, own = told(done, name)
        assert found == [own], done.text(name)
    assert done.labels_left == NOTHING
    if not refuse:
        assert any(r.renamed for r in recorders)


def test_a_second_generation_reuses_what_the_first_has_left(run_task: RunTask) -> None:
    first, second = [f"a{i}" for i in range(WIDE)], [f"b{i}" for i in range(WIDE)]
    gate = "  - {id: gate, cmd: busybox:1 true, when: [" + ", ".join(first) + "]}\n"
    done = run_task("steps:\n" + parallel(*first) + gate + parallel(*second, needs="gate"))
    assert done.status == "Succeeded", done.record
    for name in (*first, *second):
        found, own = told(done, name)
        assert found == [own], done.text(name)
    assert done.labels_left == NOTHING


def test_a_long_running_service_keeps_its_name_while_its_neighbours_change(run_task: RunTask) -> None:
    clients = [f"c{i}" for i in range(WIDE)]
    ask = f"until wget -qO- http://web/ 2>/dev/null; do :; done; {WHO}"
    done = run_task(
        "steps:\n"
        "  - id: web\n    when: ['-']\n"
        "    cmd: busybox:1 sh -c 'mkfifo end; echo served > index.html; httpd -p 80; cat end; hostname -i'\n"
        + parallel(*clients, command=ask)
        + "  - {id: end, cmd: \"busybox:1 sh -c 'echo over > end'\", when: [" + ", ".join(clients) + "]}\n"
    )  # fmt: skip
    assert done.status == "Succeeded", done.record
    _, web = done.text("web").split()
    for client in clients:
        served, _, rest = done.text(client).partition("\n")
        found, own = rest.replace("Address:", "").split()
        assert (served, found) == ("served", own)
        assert own != web
    assert done.labels_left == NOTHING


def test_repeated_and_retried_steps_keep_their_names(run_task: RunTask) -> None:
    again = [f"r{i}" for i in range(WIDE)]
    tried = "if [ -e {0} ]; then " + WHO + "; else touch {0}; false; fi"
    done = run_task(
        "steps:\n" + parallel(*again[:5], more=", repeat: 2") + parallel(*again[5:], command=tried, more=", retries: 1")
    )
    assert done.status == "Succeeded", done.record
    for name in again:
        words = done.text(name).replace("Address:", "").split()
        assert words[::2] == words[1::2], done.text(name)
    assert done.labels_left == NOTHING


def test_a_failure_amid_many_leaves_nothing(run_task: RunTask) -> None:
    names = [f"s{i}" for i in range(WIDE)]
    done = run_task(
        "steps:\n"
        + parallel("first", "second")
        + parallel("open", command="mkfifo gate; echo > gate; sleep 600", needs="first")
        + parallel("bad", command="until [ -p gate ]; do :; done; cat gate; exit 3")
        + parallel(*names, command="sleep 600")
    )
    assert (done.status, done.record.failed_step) == ("Failed", "bad")
    assert done.labels_left == NOTHING


@pytest.fixture
def scope(engine: Engine) -> Iterator[Scope]:
    run_id = Ambient.system().new_id()
    plan = Plan(version="v1.1.0", networks=(NetworkSpec(name="n"),))
    yield Scope(engine.api, RunContext(run_id=run_id), plan, architecture=lambda: engine.api.info()["Architecture"])
    assert sweep_run(engine.api, run_id) == ()


def test_a_name_that_was_given_up_resolves_to_nothing(scope: Scope, engine: Engine) -> None:
    sandboxes = Sandboxes(scope, starts_at_once=1, most=1)
    sandboxes.warm([Lane(id=i, network="n", steps=(s,), at_once=True) for i, s in enumerate(("one", "two"))])
    container = sandboxes.take("one", queue=9)
    sandboxes.leave("one")
    assert container
    assert sandboxes.take("two") == container
    sandboxes.close()

    def run(mode: str) -> str:
        """What both names mean there, where a route leads, and the container's own address."""
        made = engine.api.create_container_from_config(
            {
                "Image": "busybox:1",
                "Cmd": ["sh", "-c", "nslookup one; echo -; nslookup two; ip route; echo at; hostname -i"],
                "Labels": scope.labels(role="step"),
                "HostConfig": {"NetworkMode": mode},
            },
            None,
        )["Id"]
        engine.api.start(made)
        engine.api.wait(made)
        return str(engine.api.logs(made).decode())

    inside, outside = run(f"container:{container}"), run(scope.network("n"))
    own = inside.split()[-1]
    for text in (inside, outside):
        one, _, two = text.partition("-\n")
        assert "Address: " not in one.partition("\n\n")[2], text
        assert f"Address: {own}" in two, text
    assert "default via" in inside
