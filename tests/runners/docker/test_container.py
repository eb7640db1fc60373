"""What a step's container is asked to be."""

from __future__ import annotations

from typing import Any

import pytest

from runners.docker.container import (
    Place,
    container_config,
    may_share_namespace,
    resolve_directory,
    size_bytes,
    supported_options,
)
from taskengine.errors import InvalidInput
from taskengine.plan.cmdline import RUN_OPTIONS
from taskengine.plan.model import CmdLine, PlannedStep, StepType


def step(cmd: CmdLine | None = None, **fields: Any) -> PlannedStep:
    return PlannedStep(id="a", type=StepType.CMD, index=0, cmd=cmd or CmdLine(image="busybox"), **fields)


def config(of: PlannedStep, *, network: str = "net", aliases: tuple[str, ...] = ("a",)) -> dict[str, Any]:
    place = Place(image="busybox", network_mode=network, aliases=aliases, binds=("w:/workspace",), labels={"l": "1"})
    return container_config(of, place)


def with_option(*options: tuple[str, str]) -> dict[str, Any]:
    return config(step(CmdLine(image="busybox", options=options)))


def test_a_plain_step_runs_its_arguments_in_the_workspace() -> None:
    made = config(step(CmdLine(image="busybox", args=("echo", "hi"))))
    assert (made["Image"], made["Cmd"], made["WorkingDir"], made["Env"]) == (
        "busybox", ["echo", "hi"], "/workspace", ["HOME=/acb/home"],
    )  # fmt: skip


def test_no_arguments_leave_the_images_own_command() -> None:
    assert "Cmd" not in config(step())


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("", "/workspace"),
        ("base", "/workspace/base"),
        ("sub/./dir//", "/workspace/sub/dir"),
        ("/abs/../top", "/top"),
        ("../../up", "/up"),
        ("//x", "/x"),
    ],
)
def test_working_directories_are_below_the_workspace_and_clean(written: str, meant: str) -> None:
    assert resolve_directory(written) == meant


def test_the_override_of_the_working_directory_can_be_turned_off() -> None:
    assert "WorkingDir" not in config(step(disable_working_directory_override=True))


def test_an_env_entry_is_one_variable_and_loses_quotes_only_when_it_is_one_word() -> None:
    made = config(step(env=("MSG=hello world", "Q='hello world'", "A=1", "A=2")))
    assert made["Env"] == ["HOME=/acb/home", "MSG=hello world", "Q=hello world", "A=1", "A=2"]


def test_the_step_is_known_by_its_id_in_the_network() -> None:
    assert config(step())["NetworkingConfig"] == {"EndpointsConfig": {"net": {"Aliases": ["a"]}}}


@pytest.mark.parametrize("network", ["host", "none", "bridge", "container:abc"])
def test_networks_without_names_get_no_alias(network: str) -> None:
    assert "NetworkingConfig" not in config(step(), network=network)


@pytest.mark.parametrize(
    ("written", "bindings"),
    [
        ("8080:80", {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}),
        ("9090", {"9090/tcp": [{"HostIp": "", "HostPort": ""}]}),
        ("127.0.0.1:53:53/udp", {"53/udp": [{"HostIp": "127.0.0.1", "HostPort": "53"}]}),
        ("[::1]:1:2", {"2/tcp": [{"HostIp": "::1", "HostPort": "1"}]}),
        ("7-8:1-2", {"1/tcp": [{"HostIp": "", "HostPort": "7"}], "2/tcp": [{"HostIp": "", "HostPort": "8"}]}),
    ],
)
def test_ports_are_published_as_docker_reads_them(written: str, bindings: dict[str, Any]) -> None:
    assert config(step(ports=(written,)))["HostConfig"]["PortBindings"] == bindings


@pytest.mark.parametrize("written", ["x", "1:2:3:4", "80:", "1-2:1", "999:80/icmp"])
def test_a_port_that_makes_no_sense_is_refused_by_name(written: str) -> None:
    with pytest.raises(InvalidInput, match=written.split("/")[0]):
        config(step(ports=(written,)))


def test_properties_become_what_they_mean() -> None:
    made = config(step(user="1000:50", entry_point="/bin/sh", privileged=True, cpus="0.5", isolation="default",
                       expose=("80", "53/udp")))  # fmt: skip
    host = made["HostConfig"]
    assert (made["User"], made["Entrypoint"], sorted(made["ExposedPorts"])) == (
        "1000:50",
        ["/bin/sh"],
        ["53/udp", "80/tcp"],
    )
    assert (host["Privileged"], host["NanoCpus"], host["Isolation"]) == (True, 500_000_000, "default")


@pytest.mark.parametrize(
    ("option", "key", "value"),
    [
        (("memory", "64m"), "Memory", 64 << 20),
        (("memory-swap", "-1"), "MemorySwap", -1),
        (("shm-size", "1g"), "ShmSize", 1 << 30),
        (("pids-limit", "50"), "PidsLimit", 50),
        (("cap-add", "NET_ADMIN"), "CapAdd", ["NET_ADMIN"]),
        (("add-host", "x:1.2.3.4"), "ExtraHosts", ["x:1.2.3.4"]),
        (("tmpfs", "/t:size=1m"), "Tmpfs", {"/t": "size=1m"}),
        (("sysctl", "net.core.somaxconn=9"), "Sysctls", {"net.core.somaxconn": "9"}),
        (("ulimit", "nofile=10:20"), "Ulimits", [{"Name": "nofile", "Soft": 10, "Hard": 20}]),
        (("read-only", ""), "ReadonlyRootfs", True),
        (("init", "false"), "Init", False),
        (("mount", "type=bind,source=/a,target=/b,readonly"), "Mounts",
         [{"Type": "bind", "Target": "/b", "Source": "/a", "ReadOnly": True}]),
        (("device", "/dev/fuse"), "Devices",
         [{"PathOnHost": "/dev/fuse", "PathInContainer": "/dev/fuse", "CgroupPermissions": "rwm"}]),
    ],
)  # fmt: skip
def test_docker_run_options_reach_the_host_config(option: tuple[str, str], key: str, value: object) -> None:
    assert with_option(option)["HostConfig"][key] == value


def test_options_in_front_of_the_image_add_to_what_the_step_says() -> None:
    made = with_option(("env", "K=V"), ("volume", "/data:/data"), ("workdir", "/x"), ("tty", ""))
    assert made["Env"][-1] == "K=V"
    assert made["HostConfig"]["Binds"] == ["w:/workspace", "/data:/data"]
    assert (made["WorkingDir"], made["Tty"]) == ("/x", True)


def test_an_option_that_is_not_carried_out_is_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match="--cidfile"):
        with_option(("cidfile", "x"))


@pytest.mark.parametrize(("written", "size"), [("1", 1), ("2k", 2048), ("1.5m", 3 << 19), ("1GB", 1 << 30), ("-1", -1)])
def test_sizes_are_read_as_docker_reads_them(written: str, size: int) -> None:
    assert size_bytes(written) == size


@pytest.mark.parametrize("fields", [{"detach": True}, {"privileged": True}, {"ports": ("1",)}, {"expose": ("1",)}])
def test_a_step_that_asks_something_of_its_namespace_has_its_own(fields: dict[str, Any]) -> None:
    assert not may_share_namespace(step(**fields))


def test_an_option_about_the_network_asks_for_a_namespace_of_its_own() -> None:
    assert not may_share_namespace(step(CmdLine(image="b", options=(("hostname", "h"),))))
    assert may_share_namespace(step(CmdLine(image="b", options=(("env", "A=1"), ("volume", "a:/b")))))


def test_every_option_that_a_task_may_write_is_carried_out() -> None:
    allowed = {o.name for o in RUN_OPTIONS if not o.refused and not o.ignored}
    assert allowed <= set(supported_options())


def test_a_health_check_is_put_together() -> None:
    options = (("health-cmd", "wget x"), ("health-interval", "1m30s"), ("health-retries", "3"))
    assert with_option(*options)["Healthcheck"] == {
        "Test": ["CMD-SHELL", "wget x"],
        "Interval": 90_000_000_000,
        "Retries": 3,
    }


@pytest.mark.parametrize("written", ["30", "s", "1x", "-1s", "1s1"])
def test_a_duration_needs_its_unit(written: str) -> None:
    with pytest.raises(InvalidInput, match="duration"):
        with_option(("health-interval", written))
