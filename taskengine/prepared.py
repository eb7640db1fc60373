"""From a loaded task to what a runner is told: the context of its run, and what has to be hidden in all that it says.

The same for a run on this machine and for one that a worker took from a service. Pure; must not know the command line,
the environment or a service.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from taskengine.context.address import secrets_of
from taskengine.lightclass import dataclass
from taskengine.logs.mask import Mask

if TYPE_CHECKING:
    from taskengine.taskspec.load import LoadedTask

_OCI = "org.opencontainers.image."


@dataclass(frozen=True, kw_only=True)
class Hidden:
    """What must not be seen: `values` for the runner, which makes texts too, and the mask for everything printed."""

    values: tuple[str, ...]
    mask: Mask


def hidden(loaded: LoadedTask, *, given: Iterable[str | bytes] = (), logins: Iterable[str] = ()) -> Hidden:
    """All that is secret in a task: what its providers gave, what the user `given`, what is in its addresses and in
    its secret volumes, and the registry logins that a step is handed."""
    in_addresses = (s for step in loaded.plan.steps if step.build for s in secrets_of(step.build.context))
    in_volumes = [value for volume in loaded.spec.volumes for _, value in volume.secret]
    # a file of several lines is mostly a configuration, whose every line in asterisks would hide more than a secret
    files = tuple(
        file for file in map(_decoded, in_volumes) if file and (b"PRIVATE KEY" in file or b"\n" not in file.strip())
    )
    known = (
        *loaded.secrets.values(), *given, *in_addresses, *logins, *in_volumes,
        *(text for file in files if (text := _text(file))),
    )  # fmt: skip
    values = tuple(dict.fromkeys(s for s in known if s))
    return Hidden(values=tuple(_text(v) if isinstance(v, bytes) else v for v in values), mask=Mask((*values, *files)))


def build_secrets(loaded: LoadedTask, given: Mapping[str, str | bytes]) -> dict[str, bytes]:
    """The secrets that builds may mount, by id."""
    return {name: _bytes(value) for name, value in (*loaded.secrets.items(), *given.items())}


def image_labels(commit: str, repository: str, committed: datetime | None) -> dict[str, str]:
    """The labels that say what an image was built of. Each is the same for the same input, or each run would make
    another image of it: so an image's `created` is the time of its commit, and no run has a label of its own."""
    found = {
        f"{_OCI}revision": commit,
        f"{_OCI}source": _address(repository),
        f"{_OCI}created": "" if committed is None else committed.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    return {key: value for key, value in found.items() if value}


def _address(repository: str) -> str:
    """The address without a login; empty for a folder of this machine."""
    if not repository or repository.startswith(("file:", "/")):
        return ""
    from taskengine.context.model import scrubbed

    return scrubbed(repository, ())


def _decoded(value: str) -> bytes:
    """A file of a secret volume; empty for what is not base64, which the runner refuses."""
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return ""


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value
