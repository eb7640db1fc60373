"""Images made of what Debian brings, without a pull: a busybox, and the docker command line on top of it.

Pure: programs in, the bytes of a tar out. Must not know engines."""

from __future__ import annotations

import io
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Iterable
from pathlib import Path

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
BUSYBOX_CHANGES = ('CMD ["/bin/sh"]', f"ENV {PATH}")
DOCKER_CHANGES = ('ENTRYPOINT ["/usr/local/bin/docker-entrypoint.sh"]', 'CMD ["sh"]', f"ENV {PATH}")

# As in the official image: `docker IMAGE build .` and `docker IMAGE sh -c ...` both do what one expects.
DOCKER_ENTRYPOINT = """#!/bin/sh
case "$1" in
  -*|"") set -- docker "$@" ;;
  *) docker help "$1" >/dev/null 2>&1 && set -- docker "$@" ;;
esac
exec "$@"
"""


def busybox_tar() -> bytes:
    """A root file system of the machine's busybox (static, as a rule) with a link for each of its applets."""
    buffer = io.BytesIO()
    with _open(buffer) as tar:
        _add_busybox(tar)
        _add_libraries(tar, [_busybox()])
    return buffer.getvalue()


def docker_cli_tar() -> bytes:
    """The busybox with the machine's docker command line, the libraries it loads, and buildx where there is one."""
    program = next((p for p in ("/usr/bin/docker", shutil.which("docker")) if p and Path(p).exists()), None)
    if program is None:
        raise RuntimeError("`docker` is not installed; `make setup` installs it")
    buffer = io.BytesIO()
    with _open(buffer) as tar:
        _add_busybox(tar)
        _add_folders(tar, ("usr/local", "usr/local/bin", "usr/libexec", "usr/libexec/docker"))
        _add_file(tar, "usr/local/bin/docker", Path(program).read_bytes())
        _add_file(tar, "usr/local/bin/docker-entrypoint.sh", DOCKER_ENTRYPOINT.encode())
        buildx = Path("/usr/libexec/docker/cli-plugins/docker-buildx")
        programs = [program, _busybox()]
        if buildx.exists():
            _add_folders(tar, ("usr/libexec/docker/cli-plugins",))
            _add_file(tar, str(buildx).lstrip("/"), buildx.read_bytes())
            programs.append(str(buildx))
        _add_libraries(tar, programs)
    return buffer.getvalue()


def _open(buffer: io.BytesIO) -> tarfile.TarFile:
    return tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT)


def _add_busybox(tar: tarfile.TarFile) -> None:
    program = _busybox()
    applets = subprocess.run([program, "--list"], check=True, capture_output=True, text=True, timeout=20).stdout
    _add_folders(tar, ("bin", "dev", "etc", "home", "proc", "root", "sys", "usr", "usr/bin", "usr/sbin", "var"))
    _add_folders(tar, ("tmp", "var/tmp"), mode=0o1777)
    _add_file(tar, "bin/busybox", Path(program).read_bytes())
    for applet in sorted(set(applets.split()) - {"busybox"}):
        link = tarfile.TarInfo(f"bin/{applet}")
        link.type, link.linkname, link.mode = tarfile.SYMTYPE, "busybox", 0o777
        tar.addfile(link)
    env = tarfile.TarInfo("usr/bin/env")
    env.type, env.linkname = tarfile.SYMTYPE, "/bin/busybox"
    tar.addfile(env)
    _add_file(tar, "etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n", 0o644)
    _add_file(tar, "etc/group", b"root:x:0:\nnogroup:x:65534:\n", 0o644)


def _busybox() -> str:
    for path in ("/usr/bin/busybox", "/bin/busybox", shutil.which("busybox")):
        if path and Path(path).exists():
            return path
    raise RuntimeError("`busybox` is not installed (Debian: busybox-static); `make setup` installs it")


def _add_libraries(tar: tarfile.TarFile, programs: Iterable[str]) -> None:
    paths: set[str] = set()
    for program in programs:
        answer = subprocess.run(["ldd", program], capture_output=True, text=True, timeout=20, check=False).stdout
        paths |= {word for line in answer.splitlines() for word in line.split() if word.startswith("/")}
    folders = {str(parent)[1:] for path in paths for parent in Path(path).parents if str(parent) != "/"}
    _add_folders(tar, sorted(folders - {"usr"}))
    for path in sorted(paths):
        _add_file(tar, path[1:], Path(path).read_bytes())


def _add_folders(tar: tarfile.TarFile, names: Iterable[str], mode: int = 0o755) -> None:
    for name in names:
        folder = tarfile.TarInfo(name)
        folder.type, folder.mode = tarfile.DIRTYPE, mode
        tar.addfile(folder)


def _add_file(tar: tarfile.TarFile, name: str, content: bytes, mode: int = 0o755) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), stat.S_IMODE(mode)
    tar.addfile(entry, io.BytesIO(content))
