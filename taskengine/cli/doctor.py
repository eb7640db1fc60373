"""`acr-task doctor`: what this machine lacks, and how to mend it.

Each check is a small function that returns what it found; none of them changes anything.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from taskengine.cli.base import Command, Option, output_option
from taskengine.errors import TaskEngineError
from taskengine.lightclass import dataclass

if TYPE_CHECKING:
    from taskengine.wiring import Settings

#: the oldest API that everything works with: Docker 19.03, BuildKit over the engine's socket
OLDEST_API = (1, 40)

OK, WARN, FAIL = "ok", "warn", "fail"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a check found; `mend` says what to do unless all is well."""

    check: str
    state: str
    text: str
    mend: str = ""


@click.command(
    cls=Command,
    examples=[
        ("acr-task doctor", "check this machine"),
        ("acr-task doctor -r registry.example.com -o json", "a registry as well, for programs"),
    ],
)
@click.option(
    "-r",
    "--registry",
    cls=Option,
    default="",
    metavar="HOST[:PORT]",
    help="Check that this registry answers, and takes the login.",
)
@output_option("text", "json", "yaml", "tsv")
def doctor(registry: str, output: str) -> int:
    """Check what this machine lacks, and say how to mend it.

    Exit code 0 when nothing is missing that a run needs, 3 otherwise.
    """
    from taskengine import wiring
    from taskengine.cli.view.form import json_text, tsv_text, yaml_text

    settings = wiring.settings()
    findings = []
    for finding in examine(settings, registry):
        findings.append(finding)
        if output == "text":
            for line in lines(finding):
                click.echo(line)
    failed = any(f.state == FAIL for f in findings)
    if output in ("json", "yaml"):
        data = {"ok": not failed, "checks": [asdict(f) for f in findings]}
        click.echo(json_text(data) if output == "json" else yaml_text(data))
    elif output == "tsv":
        click.echo(tsv_text((f.state, f.check, f.text, f.mend) for f in findings))
    return 3 if failed else 0


def examine(settings: Settings, registry: str) -> Iterator[Finding]:
    """All findings, one after the other, so that a person sees each as soon as it is known."""
    yield from engine(settings)
    if registry:
        yield registry_answers(registry, settings)
    yield from credential_helpers(docker_config(settings.environ))
    yield git()
    yield data_folder(settings.data_dir)


def engine(settings: Settings) -> Iterator[Finding]:
    """Whether an engine answers, which one, and what it can do."""
    from taskengine import wiring

    try:
        where = wiring.endpoint(settings)
        version = wiring.engine(settings).version()
    except TaskEngineError as error:
        mend = (error.hint or "").removesuffix("; `acr-task doctor` says more")  # this is what it says
        yield Finding(check="engine", state=FAIL, text=error.message, mend=mend)
        return
    if settings.environ.get("DOCKER_HOST"):
        source = " (DOCKER_HOST)"
    else:
        source = f" (context {where.context})" if where.context else ""
    yield from engine_findings(version, f"{where.host}{source}")


def engine_findings(version: Mapping[str, Any], where: str) -> Iterator[Finding]:
    """What an engine's answer to `GET /version` says about it."""
    components = version.get("Components") or [{}]
    podman = any("podman" in str(c.get("Name", "")).lower() for c in components)
    name = "Podman" if podman else "Docker Engine"
    platform = f"{version.get('Os', '?')}/{version.get('Arch', '?')}"
    yield Finding(check="engine", state=OK, text=f"{name} {version.get('Version', '?')}, {platform}, at {where}")
    api = str(version.get("ApiVersion", ""))
    if api_version(api) < OLDEST_API:
        yield Finding(
            check="engine API",
            state=FAIL,
            text=f"version {api or 'unknown'} is too old",
            mend=f"use an engine with API {'.'.join(map(str, OLDEST_API))} or newer (Docker 19.03)",
        )
    else:
        yield Finding(check="engine API", state=OK, text=f"version {api}")
    if podman or api_version(api) < OLDEST_API:
        yield Finding(
            check="BuildKit",
            state=WARN,
            text="not offered by this engine: build steps do not work on it",
            mend="use a Docker Engine for tasks that build",
        )
    else:
        yield Finding(check="BuildKit", state=OK, text="offered by the engine")


def docker_config(environ: Mapping[str, str]) -> Path:
    """The folder of Docker's own settings."""
    given = environ.get("DOCKER_CONFIG")
    return Path(given) if given else Path(environ.get("HOME") or Path.home()) / ".docker"


def api_version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())


def registry_answers(host: str, settings: Settings | None = None) -> Finding:
    """Whether something that speaks the registry protocol answers, and whether it takes our login."""
    from taskengine import wiring
    from taskengine.registry.limits import Limits

    name = f"registry {host}"
    try:
        # A person waits: one try, and not for long.
        with wiring.registry_client(
            settings or wiring.settings(), limits=Limits(tries=1, call=10, connect=5)
        ) as client:
            answered = client.ping(host)
    except TaskEngineError as error:
        return Finding(check=name, state=FAIL, text=error.message, mend=error.hint or "")
    scheme = answered.address.partition(":")[0]
    login = ", and takes the login" if answered.logged_in else ", asks for a login" if answered.wants_login else ""
    return Finding(check=name, state=OK, text=f"answers over {scheme}{login}")


def credential_helpers(folder: Path) -> Iterator[Finding]:
    """Whether the helpers that Docker's configuration names are there: without them every login fails."""
    from shutil import which

    path = folder / "config.json"
    try:
        config: Any = json.loads(path.read_bytes())
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        yield Finding(check="docker config", state=WARN, text=f"{path}: {error}", mend="mend or remove the file")
        return
    if not isinstance(config, dict):
        return
    helpers = config.get("credHelpers")
    named = [config.get("credsStore"), *(helpers.values() if isinstance(helpers, dict) else ())]
    missing = sorted({h for h in named if isinstance(h, str) and h and which(f"docker-credential-{h}") is None})
    for helper in missing:
        yield Finding(
            check="registry logins",
            state=WARN,
            text=f"docker-credential-{helper} is named in {path} but not installed",
            mend=f"install docker-credential-{helper}, or remove it from {path}",
        )


def git() -> Finding:
    import subprocess
    from shutil import which

    if which("git") is None:
        return Finding(
            check="git", state=WARN, text="not found", mend="install git to use git repositories as contexts"
        )
    try:
        done = subprocess.run(["git", "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding(check="git", state=WARN, text=str(error), mend="check that 'git --version' works")
    return Finding(check="git", state=OK, text=done.stdout.strip().removeprefix("git "))


def data_folder(folder: Path) -> Finding:
    """Whether the folder that remembers running runs (so that a killed one is cleaned up) can be written."""
    import os
    import tempfile

    existing = next((p for p in (folder, *folder.parents) if p.exists()), folder)
    mend = "make it writable, or set ACR_TASK_DATA to a folder that is"
    if not existing.is_dir():
        return Finding(check="data folder", state=FAIL, text=f"{existing} is not a folder", mend=mend)
    if existing != folder:
        writable = os.access(existing, os.W_OK)
        if writable:
            return Finding(check="data folder", state=OK, text=f"{folder} (will be made)")
        return Finding(check="data folder", state=FAIL, text=f"{folder} cannot be made in {existing}", mend=mend)
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Finding(check="data folder", state=FAIL, text=f"{folder}: {error.strerror}", mend=mend)
    return Finding(check="data folder", state=OK, text=str(folder))


def lines(finding: Finding) -> list[str]:
    mark = {OK: "ok  ", WARN: "warn", FAIL: "FAIL"}[finding.state]
    out = [f"{mark}  {finding.check}: {finding.text}"]
    if finding.mend and finding.state != OK:
        out.append(f"      {finding.mend}")
    return out
