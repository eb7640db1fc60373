"""What the classic builder is told: the query of `POST /build`, and the logins for a build's base images. Pure."""

from __future__ import annotations

import base64
import json
import urllib.parse
from collections.abc import Iterator

from runners.docker.buildkit.failure import BuildFailed
from runners.docker.buildkit.model import BuildRequest, Credentials
from taskengine.dockerfile.instruction import mounts
from taskengine.dockerfile.parse import parse
from taskengine.dockerfile.scan import scan
from taskengine.errors import InvalidInput
from taskengine.registry.reference import ImageReference, auth_key

_HINT = "build on a Docker Engine with BuildKit, or name a buildkitd by BUILDKIT_HOST"


def refuse_what_needs_buildkit(dockerfile: bytes, request: BuildRequest) -> None:
    """Raise BuildFailed, by name, for what this builder would leave out or not understand."""
    for what, wanted in (
        ("--ssh", request.ssh),
        ("--build-context", request.contexts),
        ("--no-cache-filter", request.no_cache_stages),
    ):
        if wanted:
            raise BuildFailed(f"{what} needs BuildKit, which this engine does not offer", hint=_HINT)
    found, _ = parse(dockerfile.decode("utf-8", "replace"))
    for instruction in found.instructions:
        if instruction.keyword != "RUN":
            continue
        for mount in mounts(instruction):
            if mount.kind in ("secret", "ssh"):
                raise BuildFailed(
                    f"RUN --mount=type={mount.kind} needs BuildKit, which this engine does not offer",
                    hint=_HINT, line=instruction.line,
                )  # fmt: skip


def query(request: BuildRequest, dockerfile: str) -> str:
    """The query of `POST /build`."""
    fields: list[tuple[str, str]] = [("dockerfile", dockerfile), ("rm", "1"), ("forcerm", "1")]
    fields += [("t", tag) for tag in request.tags]
    fields += [("extrahosts", host) for host in request.add_hosts]
    switches = {"nocache": request.no_cache, "pull": request.pull}
    fields += [(name, "1") for name, on in switches.items() if on]
    texts = {
        "target": request.target,
        "platform": request.platform,
        "networkmode": request.network,
        "shmsize": "" if request.shm_size is None else str(request.shm_size),
        "buildargs": _json(dict(request.build_args)),
        "labels": _json(dict(request.labels)),
        "cachefrom": _json(list(request.cache_from)),
        "ulimits": _json([{"Name": u.name, "Soft": u.soft, "Hard": u.hard} for u in request.ulimits]),
        **request.limits,
    }
    fields += [(name, text) for name, text in texts.items() if text]
    return urllib.parse.urlencode(fields)


def headers(dockerfile: bytes, request: BuildRequest) -> dict[str, str]:
    """The kind of the body, and the logins of those registries only that the Dockerfile takes images from."""
    fields = {"Content-Type": "application/x-tar"}
    if request.credentials is not None:
        hosts = _hosts(dockerfile, request)
        logins = {auth_key(host): found for host in hosts if (found := _login(request.credentials, host))}
        if logins:
            fields["X-Registry-Config"] = base64.urlsafe_b64encode(_json(logins).encode()).decode()
    return fields


def _hosts(dockerfile: bytes, request: BuildRequest) -> Iterator[str]:
    try:
        found = scan(
            dockerfile.decode("utf-8-sig", "replace"),
            build_args=request.build_args,
            target=request.target,
            platform=request.platform,
        )
    except InvalidInput:
        return  # the engine will say what is wrong with it
    images: list[ImageReference | None] = [found.runtime, *found.buildtime]
    yield from dict.fromkeys(image.domain for image in images if image is not None)


def _login(credentials: Credentials, host: str) -> dict[str, str] | None:
    found = credentials(host)
    if found is None:
        return None
    user, secret = found
    return {"username": user, "password": secret} if user else {"identitytoken": secret}


def _json(value: object) -> str:
    return json.dumps(value) if value else ""
