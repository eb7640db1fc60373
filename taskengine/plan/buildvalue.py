"""What the values of those options mean that only a build line has: attestations, further contexts, agents.

Pure: text in, plain data out, or InvalidInput that says what was expected. Knows no engine.
"""

from __future__ import annotations

import re

from taskengine.errors import InvalidInput
from taskengine.lightpattern import pattern

DOCKER_IMAGE = "docker-image://"
_ATTESTATIONS = ("provenance", "sbom")
_SSH_ID = pattern(r"[A-Za-z0-9][\w.-]*", re.ASCII)


def attestation(text: str) -> str:
    """The kind of an attestation, "provenance" or "sbom"."""
    fields = dict(part.partition("=")[::2] for part in text.split(","))
    kind = fields.get("type", "")
    if kind not in _ATTESTATIONS:
        raise InvalidInput(f"{text!r} names no attestation", hint="write type=provenance or type=sbom")
    return kind


def named_context(text: str) -> tuple[str, str]:
    """The name of a further context, as a Dockerfile knows it, and its folder, address or image."""
    name, _, where = text.partition("=")
    if not name or not where:
        raise InvalidInput(
            f"{text!r} names no context", hint="write NAME=FOLDER, NAME=ADDRESS or NAME=docker-image://IMAGE"
        )
    if where.startswith("oci-layout://"):
        raise InvalidInput(
            "a folder in OCI's layout cannot be a context here", hint="push it, and name it as docker-image://IMAGE"
        )
    if where.startswith(("target:", "input:")):
        raise InvalidInput(
            f"{where!r} means something to bake files only", hint="name a folder, an address or an image"
        )
    if where == DOCKER_IMAGE:
        raise InvalidInput(f"{text!r} names no image", hint=f"write {name}={DOCKER_IMAGE}IMAGE")
    return name, where


def ssh_id(text: str) -> str:
    """The id of an agent. Where the agent is, only the user says who runs the task."""
    if "=" in text:
        raise InvalidInput(
            "a task names agents by id only",
            hint=f"write --ssh {text.partition('=')[0]} here, and give `--ssh {text}` to acr-task run",
        )
    if not _SSH_ID.fullmatch(text):
        raise InvalidInput(f"{text!r} is no id of an agent", hint="write --ssh default")
    return text
