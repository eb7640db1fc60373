"""The image whose only program sleeps: it holds network namespaces open and volumes mounted.

A container of it is to a step what the pause container is to a Kubernetes pod. The program is a few machine
instructions, made here, so that nothing has to be pulled; the image is kept on the engine under `IMAGE` (120 bytes).
"""

from __future__ import annotations

import io
import struct

from runners.docker.engine import Engine
from runners.docker.refused import not_there

IMAGE = "acr-task/sandbox:1"

# ELF machine number and code: call pause() (ppoll(0, 0, 0, 0) where there is no pause) for ever
_PROGRAMS = {
    "amd64": (62, "b8220000000f05ebf7"),
    "arm64": (183, "000080d2010080d2020080d2030080d2280980d2010000d4faffff17"),
}
_ALIASES = {"x86_64": "amd64", "aarch64": "arm64"}


def supports(architecture: str) -> bool:
    """Whether sandboxes can be had on engines of this architecture (as `docker info` names it)."""
    return _ALIASES.get(architecture, architecture) in _PROGRAMS


def program(architecture: str) -> bytes:
    """A static 64-bit ELF program that sleeps until it is killed."""
    machine, code_hex = _PROGRAMS[_ALIASES.get(architecture, architecture)]
    code = bytes.fromhex(code_hex)
    base, headers = 0x400000, 64 + 56
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    header = ident + struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, base + headers, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    size = headers + len(code)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, 0x1000)
    return header + segment + code


def ensure_image(api: Engine, architecture: str) -> str:
    """Make sure that the engine has the image; returns its name. Safe to call at the same time from anywhere.

    On an architecture without a program the image is empty: containers of it can be created, to hold and fill volumes,
    but not started.
    """
    try:
        api.inspect_image(IMAGE)
    except not_there():
        api.import_image_from_data(
            _root(architecture),
            repository=IMAGE,  # tag and all: Podman does not hear of a tag by itself
            changes=['ENTRYPOINT ["/pause"]', "LABEL io.acr-task.sandbox=1"],
        )
    return IMAGE


def _root(architecture: str) -> bytes:
    import tarfile

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        content = program(architecture) if supports(architecture) else b""
        entry = tarfile.TarInfo("pause")
        entry.size, entry.mode = len(content), 0o755
        tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
