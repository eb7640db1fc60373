"""The conformance cases that run: real containers on the real engine, doing what each case says its images do.

Between the runner and the engine stands a recorder that writes down what every container was asked to be and then lets
it run busybox with the case's exit codes and output instead of the case's invented image.
"""

from __future__ import annotations

import json
import shlex
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.runners.docker.conftest import NOTHING, RunTask, remove_kept
from tests.support.engine import Engine

CASES = json.loads((Path(__file__).parents[2] / "conformance" / "data" / "execution.json").read_text())


class Recorder:
    """Docker's API client, seen and changed on the way."""

    def __init__(self, api: Any, case: dict[str, Any]) -> None:
        self._api = api
        self._case = case
        self._lock = threading.Lock()
        self.attempts: Counter[str] = Counter()
        self.asked: dict[str, dict[str, Any]] = {}
        self.exposed: dict[str, set[str]] = {}
        self.sandbox_networks: dict[str, str] = {}
        self._behaviour: dict[str, dict[str, Any]] = case.get("behaviour") or {}
        self._exits = {name: list(b.get("exit", [])) for name, b in self._behaviour.items()}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._api, name)

    def inspect_image(self, image: str) -> Any:
        return self._api.inspect_image(image if image.startswith("acr-task/") else "busybox:1")

    def create_container_from_config(self, config: dict[str, Any], name: str | None = None) -> Any:
        role = config["Labels"]["io.acr-task.role"]
        if role != "step":
            made = self._api.create_container_from_config(config, name)
            self.sandbox_networks[made["Id"]] = config["HostConfig"]["NetworkMode"]
            return made
        step = config["Labels"]["io.acr-task.step"]
        with self._lock:
            self.attempts[step] += 1
            self.asked.setdefault(step, self.seen(step, config))
        return self._api.create_container_from_config(self._acting(step, config), name)

    def push(self, repository: str, tag: str, **_: Any) -> Iterator[dict[str, Any]]:
        image = f"{repository.removeprefix('docker.io/library/')}:{tag}"
        with self._lock:
            self.attempts[f"push {image}"] += 1
            exits = self._exits.get(f"push:{image}", [])
            code = exits.pop(0) if exits else 0
        yield {"error": "the registry is away"} if code else {"aux": {"Digest": "sha256:" + "0" * 64}}

    def _acting(self, step: str, config: dict[str, Any]) -> dict[str, Any]:
        behaviour = self._behaviour.get(step, {})
        exits = self._exits.get(step, [])
        code = exits.pop(0) if exits else 0
        script = [
            f"printf %s {shlex.quote(behaviour[k])} >&{fd}"
            for fd, k in ((1, "stdout"), (2, "stderr"))
            if k in behaviour
        ]
        if "sleep" in behaviour:
            script.append(f"sleep {behaviour['sleep']}")
        acting = {
            **config,
            "Image": "busybox:1",
            "Entrypoint": ["/bin/sh", "-c", "; ".join([*script, f"exit {code}"])],
            "Cmd": [],
        }
        acting.pop("User", None)
        acting["WorkingDir"] = "/"
        return acting

    def seen(self, step: str, config: dict[str, Any]) -> dict[str, Any]:
        """The container in the form of a case's expectation."""
        host = config["HostConfig"]
        network = host["NetworkMode"].removeprefix("container:")
        network = self.sandbox_networks.get(network, network)
        out: dict[str, Any] = {
            "step": step,
            "env": config["Env"],
            "volumes": [_volume(bind) for bind in host["Binds"]],
            "image": config["Image"],
            "args": config.get("Cmd", []),
        }
        if "io.acr-task.keep" not in config["Labels"]:
            out["rm"] = True
        if network != "default":
            out["network"] = network.split("-", 3)[-1] if network.startswith("acr-task-") else network
        for key, value in (
            ("workdir", config.get("WorkingDir")),
            ("user", config.get("User")),
            ("entryPoint", " ".join(config.get("Entrypoint", []))),
            ("privileged", host.get("Privileged")),
            ("isolation", host.get("Isolation")),
            ("cpus", f"{host['NanoCpus'] / 1e9:g}" if "NanoCpus" in host else None),
        ):
            if value:
                out[key] = value  # noqa: PERF403 - only what is set
        bindings = host.get("PortBindings", {})
        if bindings:
            out["ports"] = [_port(inside, b["HostPort"]) for inside, all_ in bindings.items() for b in all_]
        self.exposed[step] = {p.removesuffix("/tcp") for p in config.get("ExposedPorts", {})}
        return out


def _volume(bind: str) -> str:
    source, _, target = bind.partition(":")
    return f"home:{target}" if source.endswith("-home") else bind


def _port(inside: str, outside: str) -> str:
    port = inside.removesuffix("/tcp")
    return f"{outside}:{port}" if outside else port


def expectation(case: dict[str, Any]) -> dict[str, Any]:
    return {**case["expect"], **case["correct"]} if "correct" in case else case["expect"]


def facts_of(case: dict[str, Any]) -> dict[str, str]:
    names = {
        "sharedVolume": "shared_volume",
        "taskName": "task_name",
        "osVersion": "os_version",
        "gitTag": "git_tag",
        "triggeredBy": "triggered_by",
    }
    return {
        names.get(k, k): v
        for k, v in (case.get("run") or {}).items()
        if k not in {"date", "env", "network", "workingDirectory"}
    }


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runners.docker.push.FIRST_PAUSE", 0.01)


# what a correct engine does where the reference hands the line to a shell: the words are plain arguments
WITHOUT_SHELL = {
    "cmd-with-shell-operators": ["echo", "one;", "echo", "ESCAPED"],
    "cmd-with-substitution": ["echo", "$(echo", "made-on-host)", "`echo", "here-too`"],
    "cmd-with-redirect-and-pipe": ["echo", "one", "|", "cat", ">", "/dev/null"],
}


@pytest.mark.parametrize("case", CASES, ids=[c["name"] for c in CASES])
def test_a_task_runs_as_the_case_says(run_task: RunTask, engine: Engine, case: dict[str, Any]) -> None:
    recorders: list[Recorder] = []

    def record(api: Any) -> Recorder:
        recorders.append(Recorder(api, case))
        return recorders[-1]

    done = run_task(case["task"], wrap=record, **facts_of(case))
    [seen] = recorders
    expected = expectation(case)
    assert (done.status == "Succeeded") is expected["ok"], done.record
    if "keep" in case["task"]:
        remove_kept(engine, done.run_id)
    else:
        assert done.labels_left == NOTHING
    assert dict(seen.attempts) == expected["attempts"]
    by_step: dict[str, Any] = defaultdict(dict, seen.asked)
    for container in expected["containers"]:
        if container["step"].startswith("push "):
            continue
        want = dict(container)
        if case["name"] in WITHOUT_SHELL:
            want["args"] = WITHOUT_SHELL[case["name"]]
        detach = want.pop("detach", False)
        # published ports are exposed too, so the engine is told more than the step's own `expose`
        assert set(want.pop("expose", ())) <= seen.exposed[want["step"]]
        assert by_step[want["step"]] == want
        assert not detach or "detach: true" in case["task"]
    assert "hostOutput" not in expected or "divergence" in case
