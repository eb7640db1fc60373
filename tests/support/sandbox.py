"""A sandbox: a place with a network namespace and a wire to it, claimed by one process and gone without a trace.

Many live side by side, each number with its own addresses. One whose owner died is swept by the next claim.
Knows namespaces and links. Must not know Docker's API, images or tests."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.place import Place, identity, quietly

BASE = Path(os.environ.get("ACR_TASK_SANDBOX_DIR", "/var/tmp/acr-task-sandbox"))
NAMESPACES = Path("/run/netns")
# 198.18.0.0/15 is set aside for tests of network gear (RFC 2544): no host has real neighbours there.
NETWORK = "198.18.0.0/15"
MOST = 512


class SandboxUnavailable(Exception):
    """This machine cannot give a network namespace (not root, or not allowed)."""


@dataclass(frozen=True, kw_only=True)
class Sandbox(Place):
    """What one number stands for: all names follow from the number, so that a later process can sweep them."""

    name: str
    outer_address: str

    def remove(self) -> None:
        super().remove()
        quietly("ip", "link", "del", self.name)
        quietly("ip", "netns", "del", self.name)


def claim() -> Sandbox:
    """The first free number, swept, wired and marked as ours."""
    if os.geteuid() != 0:
        raise SandboxUnavailable("only root may make network namespaces")
    for program in ("ip", "nsenter"):
        if shutil.which(program) is None:
            raise SandboxUnavailable(f"`{program}` is not installed (Debian: iproute2, util-linux)")
    with _locked():
        _sweep()
        sandbox = next(s for s in map(_numbered, range(MOST)) if _is_free(s))
        sandbox.folder.mkdir()
        (sandbox.folder / "owner").write_text(identity(os.getpid()))
    try:
        _wire(sandbox)
    except subprocess.CalledProcessError as error:
        sandbox.remove()
        raise SandboxUnavailable(f"`{' '.join(error.cmd)}`: {error.stderr.strip()}") from error
    return sandbox


def sweep() -> list[str]:
    """Remove what dead owners left; the names of the removed."""
    if not BASE.is_dir():
        return []
    with _locked():
        return _sweep()


def _numbered(number: int) -> Sandbox:
    name = f"acrtask{number}"
    first = number % 64 * 4
    outer, inner = (f"198.18.{number // 64}.{first + last}" for last in (1, 2))
    return Sandbox(
        folder=BASE / str(number),
        cgroup=f"/acr-task-sandbox/{number}",
        # `ip netns exec` would remount /sys and lose the cgroups
        inside=("nsenter", f"--net={NAMESPACES / name}", "--"),
        address=inner,
        name=name,
        outer_address=outer,
    )


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    BASE.mkdir(mode=0o711, parents=True, exist_ok=True)
    with (BASE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _is_free(sandbox: Sandbox) -> bool:
    """A link without a folder is another's: a container may share our network but not our files."""
    return not sandbox.folder.exists() and not Path("/sys/class/net", sandbox.name).exists()


def _sweep() -> list[str]:
    dead = [s for s in map(_numbered, range(MOST)) if s.folder.exists() and not _owner_lives(s)]
    for sandbox in dead:
        sandbox.remove()
    return [sandbox.name for sandbox in dead]


def _owner_lives(sandbox: Sandbox) -> bool:
    try:
        owner = (sandbox.folder / "owner").read_text()
    except OSError:
        return False
    return bool(owner) and owner == identity(int(owner.split()[0]))


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
