"""Which containers reach for the engine's host: decisions only.

Pure: reads the body of ContainerCreate. Must not know the engine or the run.
"""

from __future__ import annotations

from runners.docker.container import Config
from taskengine.plan.policy import is_usual_capability

_NAMESPACES = {"PidMode": "pid", "IpcMode": "ipc", "UTSMode": "uts", "UsernsMode": "userns", "CgroupnsMode": "cgroupns"}


def host_access(config: Config) -> tuple[str, ...]:
    """What a container asks for that opens the engine's host, and with it the engine, to its program; in the words of
    a `cmd` line. Empty for an ordinary container. The networks of the host are not looked at."""
    host = config.get("HostConfig", {})
    found = ["privileged"] if host.get("Privileged") else []
    found += [f"--volume {bind}" for bind in host.get("Binds", ()) if _is_path(bind)]
    found += [
        f"--mount type={mount['Type']},source={mount.get('Source', '')}"
        for mount in host.get("Mounts", ())
        if mount["Type"] not in {"volume", "tmpfs"}
    ]
    found += [f"--volumes-from {name}" for name in host.get("VolumesFrom", ())]
    found += [f"--device {device['PathOnHost']}" for device in host.get("Devices", ())]
    found += [f"--device-cgroup-rule {rule}" for rule in host.get("DeviceCgroupRules", ())]
    found += ["--gpus"] if host.get("DeviceRequests") else []
    found += [
        f"--{option} {host[key]}"
        for key, option in _NAMESPACES.items()
        if host.get(key) == "host" or str(host.get(key, "")).startswith("container:")
    ]
    found += [f"--cap-add {name}" for name in host.get("CapAdd", ()) if not is_usual_capability(name)]
    found += [
        f"--security-opt {option}"
        for option in host.get("SecurityOpt", ())
        if option not in {"no-new-privileges", "no-new-privileges:true", "no-new-privileges=true"}
    ]
    found += [f"--runtime {host['Runtime']}"] if host.get("Runtime") else []
    return tuple(found)


def _is_path(bind: str) -> bool:
    source, colon, _ = bind.partition(":")
    return bool(colon) and ("/" in source or "\\" in bind)
