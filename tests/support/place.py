"""A place on this machine where processes run for us: a folder and a cgroup, by which all that is ours is found again.

Knows processes, mounts and cgroups. Must not know networks, Docker's API or tests."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True, kw_only=True)
class Place:
    """`inside` is put before a command to run it there; `address` is where this process finds what listens there."""

    folder: Path
    cgroup: str
    inside: tuple[str, ...] = ()
    address: str = "127.0.0.1"

    def remove(self) -> None:
        """End every process, mount, cgroup and file of this place. Safe to call twice, and after a crash."""
        _end_processes(self)
        _unmount(self.folder)
        _remove_cgroups(self.cgroup)
        shutil.rmtree(self.folder, ignore_errors=True)


def identity(pid: int) -> str:
    """A process id and its start time: together never used twice."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return f"{pid} gone"
    return f"{pid} {fields[19]}"


def stop_process(process: subprocess.Popen[bytes], *, grace: float = 10.0) -> None:
    """Ask, wait, insist."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(grace)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


def end_containers(cgroup: str) -> None:
    """Kill every process of the containers under this cgroup: far faster than asking each one to stop."""
    for _ in range(50):
        pids = {pid for folder in _cgroup_folders(cgroup) for pid in _pids(folder)}
        if not pids:
            return
        for pid in pids:
            _kill(pid)
        time.sleep(0.02)


def quietly(*command: str) -> None:
    """Run it; whether it works does not matter."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(command, capture_output=True, timeout=20, check=False)


def _end_processes(place: Place) -> None:
    for _ in range(100):
        end_containers(place.cgroup)
        pids = _processes_of(place)
        if not pids:
            return
        for pid in pids:
            _kill(pid)
        time.sleep(0.02)


def _processes_of(place: Place) -> list[int]:
    """Daemon, containerd, registry and shims: each names the folder in its arguments (`-address <folder>/exec/...`)."""
    ours = f"{place.folder}/".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            arguments = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        program = Path(os.fsdecode(arguments[0])).name
        if program in _PROGRAMS and any(ours in argument for argument in arguments[1:]):
            found.append(int(entry.name))
    return found


_PROGRAMS = frozenset(
    {"dockerd", "containerd", "containerd-shim", "containerd-shim-runc-v2", "docker-registry", "docker-proxy", "runc"}
)


def _kill(pid: int) -> None:
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGKILL)


def _cgroup_folders(cgroup: str) -> Iterator[Path]:
    """The group in the unified tree and in each controller of the old one."""
    relative = cgroup.lstrip("/")
    for root in (CGROUPS, *sorted(CGROUPS.glob("*"))):
        top = root / relative
        if top.is_dir():
            yield top
            yield from (Path(path) / name for path, names, _ in os.walk(top) for name in names)


def _pids(folder: Path) -> list[int]:
    try:
        return [int(line) for line in (folder / "cgroup.procs").read_text().split()]
    except OSError:
        return []


def _remove_cgroups(cgroup: str) -> None:
    for folder in sorted(_cgroup_folders(cgroup), key=lambda path: -len(path.parts)):
        with contextlib.suppress(OSError):
            folder.rmdir()
    for root in (CGROUPS, *CGROUPS.glob("*")):
        with contextlib.suppress(OSError):
            (root / cgroup.lstrip("/")).parent.rmdir()  # the common parent: only while no other sandbox uses it


def _unmount(folder: Path) -> None:
    ours = f"{folder}/"
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    points = [point for point in points if point.startswith(ours)]
    if points:
        quietly("umount", "-l", *reversed(points))
