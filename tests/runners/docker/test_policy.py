"""What reaches for the engine's host, and which images are Docker's own."""

from __future__ import annotations

import pytest

from runners.docker.container import Place, container_config
from runners.docker.policy import host_access
from taskengine.plan.cmdline import parse_cmd
from taskengine.plan.model import PlannedStep, StepType
from taskengine.plan.policy import is_docker_cli


def asked(line: str, *, privileged: bool = False) -> tuple[str, ...]:
    step = PlannedStep(id="a", type=StepType.CMD, index=0, cmd=parse_cmd(line), privileged=privileged)
    return host_access(container_config(step, Place(image="busybox", network_mode="default", labels={})))


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ("-v /var/run/docker.sock:/var/run/docker.sock", "--volume /var/run/docker.sock:/var/run/docker.sock"),
        ("-v /:/host", "--volume /:/host"),
        ("-v=/:/host:ro", "--volume /:/host:ro"),
        ("-v ./x:/x", "--volume ./x:/x"),
        ("-v C:\\\\:/x", "--volume C:\\:/x"),
        ("--mount type=bind,source=/,target=/host", "--mount type=bind,source=/"),
        ("--mount type=volume,target=/host,type=bind,src=/etc", "--mount type=bind,source=/etc"),
        ("--privileged", "privileged"),
        ("--pid host", "--pid host"),
        ("--pid=container:other", "--pid container:other"),
        ("--ipc host", "--ipc host"),
        ("--userns host", "--userns host"),
        ("--cgroupns host", "--cgroupns host"),
        ("--device /dev/sda", "--device /dev/sda"),
        ("--device-cgroup-rule 'b 8:* rwm'", "--device-cgroup-rule b 8:* rwm"),
        ("--gpus all", "--gpus"),
        ("--cap-add SYS_ADMIN", "--cap-add SYS_ADMIN"),
        ("--cap-add all", "--cap-add all"),
        ("--security-opt apparmor=unconfined", "--security-opt apparmor=unconfined"),
        ("--runtime other", "--runtime other"),
    ],
)
def test_what_opens_the_host_is_named(options: str, found: str) -> None:
    assert asked(f"{options} busybox") == (found,)


def test_the_steps_own_property_counts_too() -> None:
    assert asked("busybox", privileged=True) == ("privileged",)


def test_volumes_of_another_container_count_too() -> None:
    assert host_access({"HostConfig": {"VolumesFrom": ["other"]}}) == ("--volumes-from other",)


@pytest.mark.parametrize(
    "line",
    [
        "busybox -v /:/host --privileged",
        "-v cache:/cache busybox",
        "-v /cache busybox",
        "--mount type=volume,source=cache,target=/cache --tmpfs /tmp busybox",
        "--mount type=tmpfs,target=/t busybox",
        "--privileged=false --cap-drop ALL --cap-add CAP_CHOWN --security-opt no-new-privileges busybox",
        "--ipc private --network host -p 80:80 --user 1000 busybox",
    ],
)
def test_an_ordinary_container_asks_for_nothing(line: str) -> None:
    assert asked(line) == ()


@pytest.mark.parametrize(
    ("image", "official"),
    [
        ("docker", True),
        ("docker:27-cli", True),
        ("buildx", True),
        ("docker.io/library/docker:dind", True),
        ("index.docker.io/docker", True),
        ("docker/buildx-bin:latest", True),
        ("docker@sha256:" + "0" * 64, True),
        ("evil.example/x/docker", False),
        ("evil.example/library/docker", False),
        ("localhost:5000/docker", False),
        ("somebody/docker", False),
        ("docker/whalesay", False),
        ("dockers", False),
        ("Not An Image", False),
    ],
)
def test_only_dockers_own_images_are_the_docker_command_line(image: str, official: bool) -> None:
    assert is_docker_cli(image) is official
