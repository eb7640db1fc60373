"""What a shared server lets the steps of a task do: nothing beyond the ordinary, unless it was granted."""

from __future__ import annotations

import pytest

from taskengine.errors import InvalidInput
from taskengine.plan.model import Plan
from taskengine.plan.policy import GRANTS, breaches, check_grant
from taskengine.taskspec.inputs import Inputs
from taskengine.taskspec.load import load_task


def plan(steps: str, head: str = "") -> Plan:
    return load_task(f"version: v1.1.0\n{head}steps:\n{steps}", file="task.yaml", inputs=Inputs()).plan


def needed(found: Plan, grants: tuple[str, ...] = (), registries: tuple[str, ...] | None = None) -> list[str]:
    return [problem.code for problem in breaches(found, grants, registries)]


def test_a_cache_that_is_kept_in_a_registry_is_a_push_there() -> None:
    found = plan("  - build: -t one.example.com/a --cache-to type=registry,ref=two.example.com/cache:1 .\n")
    assert needed(found, (), ("one.example.com",)) == ["E607"]
    assert needed(found, (), ("one.example.com", "two.example.com")) == []
    assert needed(found, ("registry:two.*",), ()) == []
    for harmless in ("--cache-to type=inline", "--cache-from two.example.com/cache:1"):
        assert needed(plan(f"  - build: -t one.example.com/a {harmless} .\n"), (), ()) == []
    own = plan("  - build: -t one.example.com/a .\n    cache: enabled\n")
    assert needed(own, (), ("two.example.com",)) == ["E607"]


REACHING = [
    ("  - cmd: bash echo\n    privileged: true\n", "privileged", "E601"),
    ("  - cmd: --privileged bash\n", "privileged", "E601"),
    ("  - cmd: --privileged=true bash\n", "privileged", "E601"),
    ("  - cmd: --cap-add SYS_ADMIN bash\n", "privileged", "E601"),
    ("  - cmd: --cap-add ALL bash\n", "privileged", "E601"),
    ("  - cmd: --device /dev/kvm bash\n", "privileged", "E601"),
    ("  - cmd: --gpus all bash\n", "privileged", "E601"),
    ("  - cmd: --pid host bash\n", "privileged", "E601"),
    ("  - cmd: --ipc container:other bash\n", "privileged", "E601"),
    ("  - cmd: --security-opt seccomp=unconfined bash\n", "privileged", "E601"),
    ("  - cmd: --oom-score-adj -1000 bash\n", "privileged", "E601"),
    ("  - cmd: -v /var/run/docker.sock:/var/run/docker.sock bash\n", "docker-socket", "E602"),
    ("  - cmd: --mount type=bind,source=/run/docker.sock,target=/x bash\n", "docker-socket", "E602"),
    ("  - cmd: docker ps\n", "docker-socket", "E602"),
    ("  - cmd: --network host bash\n", "host-network", "E603"),
    ("  - cmd: --network container:other bash\n", "host-network", "E603"),
    ("  - cmd: bash\n    network: others\n", "host-network", "E603"),
    ("  - build: --network host .\n", "host-network", "E603"),
    ("  - cmd: bash\n    ports: ['8080:80']\n", "host-ports", "E604"),
    ("  - cmd: -p 8080:80 bash\n", "host-ports", "E604"),
    ("  - cmd: -P bash\n", "host-ports", "E604"),
    ("  - cmd: -v /etc:/host bash\n", "host-mounts", "E605"),
    ("  - cmd: -v others:/data bash\n", "host-mounts", "E605"),
    ("  - cmd: --mount type=bind,source=/,target=/host bash\n", "host-mounts", "E605"),
    ("  - cmd: --mount source=others,target=/data bash\n", "host-mounts", "E605"),
    ("  - cmd: bash\n    isolation: hyperv\n", "isolation", "E606"),
]


@pytest.mark.parametrize(("step", "grant", "code"), REACHING)
def test_what_reaches_for_the_host_needs_its_grant_and_no_other(step: str, grant: str, code: str) -> None:
    found = plan(step)
    assert needed(found) == [code]
    others = tuple(set(GRANTS) - {grant, "registry:HOST"})
    assert needed(found, others) == [code]
    assert needed(found, (grant,)) == []


@pytest.mark.parametrize(
    "step",
    [
        "  - cmd: bash echo\n",
        "  - cmd: --privileged=false bash\n",
        "  - cmd: --cap-add NET_RAW --cap-drop ALL bash\n",
        "  - cmd: --network none bash\n",
        "  - cmd: --mount type=tmpfs,target=/x bash\n",
        "  - cmd: -v /anonymous bash\n",
        "  - cmd: --memory 1g --cpus 2 --user 1000 bash\n",
        "  - cmd: registry.example.com/team/docker ps\n",
        "  - build: -t app .\n",
    ],
)
def test_the_ordinary_needs_no_grant(step: str) -> None:
    assert needed(plan(step)) == []


def test_what_the_run_makes_itself_is_its_own() -> None:
    head = "networks:\n  - name: inner\nvolumes:\n  - name: files\n    secret:\n      a: YQ==\n"
    step = "  - cmd: -v files:/files bash\n    network: inner\n    volumeMounts:\n      - name: files\n        mountPath: /f\n"
    assert needed(plan(step, head)) == []


def test_a_network_that_is_only_named_is_not_the_runs_own() -> None:
    assert needed(
        plan("  - cmd: bash\n    network: inner\n", "networks:\n  - name: inner\n    skipCreation: true\n")
    ) == ["E603"]


def test_pushes_go_to_the_runs_registries_unless_granted() -> None:
    found = plan("  - push: [one.example.com/app:1, two.example.com/app:1]\n")
    assert needed(found) == []
    assert needed(found, (), ("one.example.com",)) == ["E607"]
    assert needed(found, (), ()) == ["E607", "E607"]
    assert needed(found, ("registry:two.example.com",), ("one.example.com",)) == []
    assert needed(found, ("registry:*.example.com",), ()) == []


def test_a_breach_names_step_place_and_grant() -> None:
    (problem,) = breaches(plan("  - id: reach\n    cmd: --privileged bash\n"), ())
    assert problem.message == "step 'reach': --privileged is not allowed on this server"
    assert problem.location is not None
    assert problem.location.line == 3
    assert "grant 'privileged'" in (problem.hint or "")


@pytest.mark.parametrize("grant", ["", "root", "registry:", "registry:HOST/x", "registry:a b"])
def test_an_unknown_grant_is_refused_with_the_list_of_grants(grant: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_grant(grant)
    assert "host-mounts" in (caught.value.hint or "")


@pytest.mark.parametrize("grant", ["privileged", "docker-socket", "registry:ghcr.io", "registry:*.example.com"])
def test_a_known_grant_is_taken(grant: str) -> None:
    assert check_grant(grant) == grant
