"""A sandbox: a folder, a network namespace and a wire to it, claimed by one process and gone without a trace.

Many live side by side, each number with its own addresses. One whose owner died is swept by the next claim.
Knows processes, mounts, links and cgroups. Must not know Docker's API, images or tests."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BASE = Path(os.environ.get("ACR_TASK_SANDBOX_DIR", "/var/tmp/acr-task-sandbox"))
CGROUPS = Path("/sys/fs/cgroup")
NAMESPACES = Path("/run/netns")
# 198.18.0.0/15 is set aside for tests of network gear (RFC 2544): no host has real neighbours there.
NETWORK = "198.18.0.0/15"
MOST = 512


class SandboxUnavailable(Exception):
    """This machine cannot give a network namespace (not root, or not allowed)."""


@dataclass(frozen=True, kw_only=True)
class Sandbox:
    """What one number stands for: all names follow from the number, so that a later process can sweep them."""

    number: int

    @property
    def folder(self) -> Path:
        return BASE / str(self.number)

    @property
    def name(self) -> str:
        return f"acrtask{self.number}"

    @property
    def cgroup(self) -> str:
        return f"/acr-task-sandbox/{self.number}"

    @property
    def outer_address(self) -> str:
        """The host's end of the wire."""
        return self._address(1)

    @property
    def address(self) -> str:
        """The sandbox's end of the wire: what listens on 0.0.0.0 inside is found here from outside."""
        return self._address(2)

    @property
    def inside(self) -> tuple[str, ...]:
        """Put before a command, runs it in the sandbox's network (`ip netns exec` would lose the cgroup mounts)."""
        return ("nsenter", f"--net={NAMESPACES / self.name}", "--")

    def _address(self, last: int) -> str:
        return f"198.18.{self.number // 64}.{self.number % 64 * 4 + last}"

    def remove(self) -> None:
        """End every process, mount, cgroup, link and file of this sandbox. Safe to call twice, and after a crash."""
        _end_processes(self)
        _unmount(self.folder)
        _remove_cgroups(self.cgroup)
        _quietly("ip", "link", "del", self.name)
        _quietly("ip", "netns", "del", self.name)
        shutil.rmtree(self.folder, ignore_errors=True)


def claim() -> Sandbox:
    """The first free number, swept, wired and marked as ours."""
    if os.geteuid() != 0:
        raise SandboxUnavailable("only root may make network namespaces")
    for program in ("ip", "nsenter"):
        if shutil.which(program) is None:
            raise SandboxUnavailable(f"`{program}` is not installed (Debian: iproute2, util-linux)")
    with _locked():
        _sweep()
        sandbox = next(s for s in map(_numbered, range(MOST)) if not s.folder.exists())
        sandbox.folder.mkdir()
        (sandbox.folder / "owner").write_text(_identity(os.getpid()))
    try:
        _wire(sandbox)
    except subprocess.CalledProcessError as error:
        sandbox.remove()
        raise SandboxUnavailable(f"`{' '.join(error.cmd)}`: {error.stderr.strip()}") from error
    return sandbox


def sweep() -> list[int]:
    """Remove what dead owners left; the numbers removed."""
    if not BASE.is_dir():
        return []
    with _locked():
        return _sweep()


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


def _numbered(number: int) -> Sandbox:
    return Sandbox(number=number)


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    BASE.mkdir(mode=0o711, parents=True, exist_ok=True)
    with (BASE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _sweep() -> list[int]:
    dead = [s for s in map(_numbered, range(MOST)) if s.folder.exists() and not _owner_lives(s)]
    for sandbox in dead:
        sandbox.remove()
    return [sandbox.number for sandbox in dead]


def _owner_lives(sandbox: Sandbox) -> bool:
    try:
        owner = (sandbox.folder / "owner").read_text()
    except OSError:
        return False
    return bool(owner) and owner == _identity(int(owner.split()[0]))


def _identity(pid: int) -> str:
    """A process id and its start time: together never used twice."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return f"{pid} gone"
    return f"{pid} {fields[19]}"


def _wire(sandbox: Sandbox) -> None:
    """No default route inside: a name that nobody knows fails at once instead of waiting for a far DNS server."""
    name, prefix = sandbox.name, 30
    for line in (
        f"netns add {name}",
        f"-n {name} link set lo up",
        f"link add {name} type veth peer name eth0 netns {name}",
        f"addr add {sandbox.outer_address}/{prefix} dev {name}",
        f"link set {name} up",
        f"-n {name} addr add {sandbox.address}/{prefix} dev eth0",
        f"-n {name} link set eth0 up",
    ):
        subprocess.run(["ip", *line.split()], check=True, capture_output=True, text=True, timeout=20)


def _end_processes(sandbox: Sandbox) -> None:
    for _ in range(100):
        end_containers(sandbox.cgroup)
        pids = _processes_of(sandbox)
        if not pids:
            return
        for pid in pids:
            _kill(pid)
        time.sleep(0.02)


def _processes_of(sandbox: Sandbox) -> list[int]:
    """Daemon, containerd, registry and shims: each names the folder in its arguments (`-address <folder>/exec/...`)."""
    ours = f"{sandbox.folder}/".encode()
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
        _quietly("umount", "-l", *reversed(points))


def _quietly(*command: str) -> None:
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(command, capture_output=True, timeout=20, check=False)
