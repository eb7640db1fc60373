"""A real systemd of the suite's own: process 1 of its own namespaces, which sees units, /etc, /opt and /var/lib as the
test wants them. The network is this machine's.

Knows namespaces and mounts. Must not know what the units are for."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from tests.support.place import CGROUPS, Place

_TARGETS = ("sysinit", "basic", "shutdown", "umount", "final", "multi-user", "network-online")
_PROGRAM = "/lib/systemd/systemd"

#: run by sh in the new namespaces: $1 is the folder, the rest are the pairs of what is mounted where
_BOOT = r"""
set -e
folder=$1; shift
console=$(readlink /proc/self/fd/0)
mount -t overlay -o "lowerdir=/etc,upperdir=$folder/etc,workdir=$folder/work" overlay /etc
mount --bind "$folder/lib" /var/lib
mount --bind "$folder/opt" /opt
mount -n -t tmpfs -o mode=755 tmpfs "$folder/run"
mkdir "$folder/run/lock" "$folder/run/acr-task-units"
mount -n --bind "$folder/units" "$folder/run/acr-task-units"
while [ $# -gt 0 ]; do
  case $2 in
    /run/*) target=$folder$2; : >"$target" ;;
    *) target=$2; mkdir -p "$target" ;;
  esac
  mount -n --bind "$1" "$target"
  shift 2
done
mount -n --rbind "$folder/run" /run
mount -n -t tmpfs -o mode=1777 tmpfs /tmp
mount -n -t tmpfs -o mode=1777 tmpfs /var/tmp
umount -l /sys/fs/cgroup
if [ -n "$LEGACY" ]; then
  mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
  mkdir /sys/fs/cgroup/systemd /sys/fs/cgroup/unified
  mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
  mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified
else
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
fi
mount -t proc proc /proc
mount --bind "$console" /dev/console
mount --make-rshared /  # as a systemd that booted a machine does; credentials arrive by it
exec /lib/systemd/systemd --system --unit=multi-user.target --show-status=no --log-target=console
"""


class SystemdUnavailable(Exception):
    """This machine lets nobody start one (not root, not installed, or not allowed)."""


class Systemd:
    """Put files into `etc`, `opt`, `lib` (/var/lib) and `units`, and `bind` further ones, before it is entered. `said`
    is what process 1 has written."""

    def __init__(self, folder: Path) -> None:
        if os.geteuid() != 0:
            raise SystemdUnavailable("only root may start a systemd")
        if not Path(_PROGRAM).exists() or shutil.which("unshare") is None:
            raise SystemdUnavailable("systemd is not installed; `make setup` installs it")
        self.folder, self._bound = folder, dict[Path, str]()
        self.etc, self.opt, self.lib, self.units = (folder / name for name in ("etc", "opt", "lib", "units"))
        for made in (self.etc, self.opt, self.lib, self.units, folder / "work", folder / "run"):
            made.mkdir(parents=True)
        for name in _TARGETS:
            (self.units / f"{name}.target").write_text("[Unit]\nDefaultDependencies=no\n")
        self._place = Place(folder=folder, cgroup=f"/acr-task-sandbox/systemd-{os.getpid()}-{folder.name}")
        self._process: subprocess.Popen[bytes] | None = None
        self._said = b""

    @property
    def said(self) -> str:
        return self._said.decode(errors="replace")

    def bind(self, bound: Mapping[Path, str]) -> None:
        """Let folders, and below /run single files, be seen there."""
        self._bound |= bound

    def __enter__(self) -> Self:
        legacy = (CGROUPS / "unified").is_dir()
        tops = [CGROUPS / "systemd", CGROUPS / "unified"] if legacy else [CGROUPS]
        groups = [f"{top}{self._place.cgroup}" for top in tops]
        join = "".join(f"mkdir -p '{group}'; echo $$ >'{group}/cgroup.procs'; " for group in groups)
        pairs = [word for source, target in self._bound.items() for word in (str(source), target)]
        ours, theirs = pty.openpty()
        command = f'{join} exec setpriv --pdeathsig KILL unshare --pid --fork --kill-child --mount --uts --ipc --cgroup sh -c "$BOOT" sh "$@"'
        self._process = subprocess.Popen(
            ["sh", "-ec", command, "sh", str(self.folder), *pairs],
            stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
            env={
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "BOOT": _BOOT, "LEGACY": "1" if legacy else "",
                "container": "acr-task-tests", "SYSTEMD_UNIT_PATH": "/run/acr-task-units", "SYSTEMD_COLORS": "0",
                "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE": "1",
            },
        )  # fmt: skip
        os.close(theirs)
        threading.Thread(target=self._listen, args=(ours,), daemon=True).start()
        try:
            self._await_up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()  # and with it, as --kill-child says, process 1 and all below it
            self._process.wait()
        self._place.remove()

    def run(self, *command: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """A command where this systemd is process 1."""
        inside = ["nsenter", f"--target={self._first()}", "--mount", "--pid", "--uts", "--ipc", "--"]
        return subprocess.run([*inside, *command], capture_output=True, text=True, timeout=timeout, check=False)

    def show(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.run("systemctl", "show", "--property", name, "--value", unit).stdout.strip()

    def await_property(self, unit: str, name: str, wanted: str, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while (found := self.show(unit, name)) != wanted:
            assert time.monotonic() < end, f"{unit}: {name} is {found!r}, not {wanted!r}\n{self.said}"
            time.sleep(0.05)

    def pid(self, unit: str) -> int:
        """A unit's main process, as this machine numbers it."""
        inner, ours = self.show(unit, "MainPID"), Path(f"/proc/{self._first()}/ns/pid").readlink()
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                [numbers] = re.findall(r"^NSpid:\s+(.*)$", (process / "status").read_text(), re.MULTILINE)
                if numbers.split()[-1] == inner and (process / "ns" / "pid").readlink() == ours:
                    return int(process.name)
        raise AssertionError(f"{unit} has no main process\n{self.said}")

    def _first(self) -> str:
        assert self._process is not None
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return children[0]

    def _await_up(self) -> None:
        assert self._process is not None
        end = time.monotonic() + 30
        while time.monotonic() < end and self._process.poll() is None:
            with contextlib.suppress(OSError, IndexError):
                if self.run("systemctl", "is-active", "multi-user.target", timeout=20).stdout.strip() == "active":
                    return
            time.sleep(0.05)
        raise SystemdUnavailable(f"no systemd starts here:\n{self.said}")

    def _listen(self, terminal: int) -> None:
        with contextlib.suppress(OSError):
            while data := os.read(terminal, 65536):
                self._said += data
        os.close(terminal)


def program_in(opt: Path) -> dict[Path, str]:
    """Makes `/opt/acr-task/bin/acr-task` of this very code and its packages, wherever they lie: nothing of a home or
    of a temporary folder is seen by a unit that protects itself. Returns what is to be bound."""
    root = Path(__file__).resolve().parents[2]
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = Path(sys.prefix) / "lib" / version / "site-packages"
    bound = {root: "/opt/acr-task/src", packages: "/opt/acr-task/lib", Path(sys.base_prefix): "/opt/acr-task/python"}
    program = opt / "acr-task" / "bin" / "acr-task"
    program.parent.mkdir(parents=True)
    program.write_text(
        "#!/bin/sh\n"
        "export PYTHONHOME=/opt/acr-task/python PYTHONPATH=/opt/acr-task/src:/opt/acr-task/lib\n"
        "export LD_LIBRARY_PATH=/opt/acr-task/python/lib\n"
        f'exec /opt/acr-task/python/bin/{version} -m taskengine.cli "$@"\n'
    )
    program.chmod(0o755)
    return bound
