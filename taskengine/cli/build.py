"""`acr-task build`: one image, as a task of two steps."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from taskengine.cli.attach import Attach, attach_options
from taskengine.cli.base import PATH, Command, Option, output_option
from taskengine.cli.run import SHOW, display_options, ssh_option
from taskengine.cli.server.where import Where, server_options

if TYPE_CHECKING:
    from taskengine.errors import InvalidInput

BUILD = "Build"
#: the forms of the answer, as `Display` calls them
_OUTPUTS = {"text": "text", "json": "result", "events": "json"}


@click.command(
    cls=Command,
    examples=[
        ("acr-task build -t registry.example.com/app:1 .", "build and push"),
        ("acr-task build -r registry.example.com -t 'app:{{.Run.ID}}' .", "the registry goes in front of the name"),
        ("acr-task build --no-push -t app:dev --build-arg BASE=alpine:3 .", "build only"),
        ("acr-task build -t r.example.com/app:1 . -o json | jq -r .digest", "for programs"),
        ("acr-task build -t app:1 -f ../Dockerfile.prod .", "a Dockerfile from outside of the context"),
        ("acr-task build --platform linux/amd64,linux/arm64 -t r.example.com/app:1 .", "one index of two images"),
        ("acr-task build -t app:1 https://github.com/team/app.git#v1.2", "a repository at a tag"),
    ],
)
@click.argument("context", metavar="CONTEXT", type=PATH)
@click.option("-t", "--tag", "--image", "tags", cls=Option, multiple=True, metavar="NAME", help="A name of the image.")
@click.option(
    "-f",
    "--file",
    cls=Option,
    type=PATH,
    default="",
    metavar="DOCKERFILE",
    help="The Dockerfile (default: Dockerfile; '-': stdin).",
)
@click.option("-r", "--registry", cls=Option, default="", metavar="HOST[:PORT]", help="In front of names without one.")
@click.option("--build-arg", "--arg", cls=Option, section=BUILD, multiple=True, metavar="K=V", help="A build argument.")
@click.option(
    "--secret-build-arg",
    "--secret-arg",
    cls=Option,
    section=BUILD,
    multiple=True,
    metavar="K=V",
    help="A build argument that is masked in the log (but is in the image's history).",
)
@click.option("--target", cls=Option, section=BUILD, default="", metavar="STAGE", help="The stage to build.")
@click.option(
    "--platform",
    cls=Option,
    section=BUILD,
    default="",
    metavar="OS/ARCH[/VARIANT],...",
    help="Build for this platform, or for several and push them as one index.",
)
@click.option(
    "--cache-from",
    cls=Option,
    section=BUILD,
    multiple=True,
    metavar="SOURCE",
    help="Take layers from a cache in a registry: its name, or type=registry,ref=NAME.",
)
@click.option(
    "--cache-to",
    cls=Option,
    section=BUILD,
    multiple=True,
    metavar="TARGET",
    help="Keep layers in a registry (type=registry,ref=NAME,mode=max) or in the image (type=inline).",
)
@click.option("--no-cache", cls=Option, section=BUILD, is_flag=True, help="Build every step anew.")
@click.option("--no-push", cls=Option, is_flag=True, help="Build only.")
@click.option("--id", "run_id", cls=Option, default="", metavar="ID", help=".Run.ID in names.")
@click.option("--timeout", cls=Option, metavar="DURATION", help="The longest the whole run may take (600, 15m, 1h30m).")
@click.option("--no-logs", cls=Option, is_flag=True, help="The same as --quiet.")
@ssh_option
@attach_options
@server_options
@click.option(
    "--oci-labels/--no-oci-labels",
    cls=Option,
    section=BUILD,
    default=True,
    help="Label the image with its commit, its source and its base image, where they are known (default: yes).",
)
@click.option("--label", "labels", cls=Option, section=BUILD, multiple=True, metavar="K=V", help="A label to set.")
@output_option(
    "text",
    "json",
    "events",
    help="'json' prints the result as one object, 'events' events and log lines as JSON lines.",
    section=SHOW,
)
@display_options
def build(
    context: str,
    tags: tuple[str, ...],
    file: str,
    registry: str,
    build_arg: tuple[str, ...],
    secret_build_arg: tuple[str, ...],
    target: str,
    platform: str,
    cache_from: tuple[str, ...],
    cache_to: tuple[str, ...],
    no_cache: bool,
    no_push: bool,
    run_id: str,
    timeout: str | None,
    no_logs: bool,
    ssh: tuple[str, ...],
    attach: Attach,
    where: Where,
    oci_labels: bool,
    labels: tuple[str, ...],
    output: str,
    quiet: bool,
    no_color: bool,
    log_dir: str,
) -> int:
    """Build an image from a Dockerfile, and push it unless --no-push is given.

    CONTEXT is a folder, the address of a repository, an archive or an artifact, or '-' for an archive on standard
    input. The Dockerfile is looked up in it, then in the current folder; it may lie outside of CONTEXT. Names may be
    templates ('app:{{.Run.ID}}').
    """
    from taskengine import wiring
    from taskengine.cli import option
    from taskengine.cli.execute import Display, Limits
    from taskengine.cli.option import TaskOptions
    from taskengine.cli.source import Source
    from taskengine.cli.submit import Extra, Grants, submit
    from taskengine.errors import InvalidInput
    from taskengine.taskspec.quick import QuickBuild, build_task, with_registry

    platforms = [option.platform(one) for one in platform.split(",")] if platform else []
    if attach.wanted and no_push:
        raise InvalidInput(
            "--provenance and --sbom attach to what is in a registry, and --no-push pushes nothing",
            hint="leave one of them out",
        )
    environ = wiring.settings().environ
    args = option.build_args(build_arg, environ)
    secret_args = option.build_args(secret_build_arg, environ, name="--secret-build-arg")
    if (server := where.target()) is not None:
        from taskengine.cli.server import quick
        from taskengine.cli.server.image import Image, of_build

        quick.only_local({"--id": run_id, "--ssh": ssh})
        image = Image(
            tags=tags, registry=registry, build_args=args, secret_args=secret_args, target=target,
            platforms=tuple(platforms), no_cache=no_cache, push=not no_push, cache_from=cache_from, cache_to=cache_to,
            labels=tuple("=".join(option.pair("--label", label)) for label in labels), oci_labels=oci_labels,
        )  # fmt: skip
        _warn(tags, secret_build_arg, no_push=no_push)
        asked = of_build(image, context, file, timeout=option.duration("--timeout", timeout) if timeout else None)
        asked = quick.with_attached(asked, attach)
        shown = Display(output=_OUTPUTS[output], quiet=quiet or no_logs, no_color=no_color, log_dir=log_dir)
        return quick.submit(server, asked, where, shown, {})
    agents = option.ssh_agents(ssh, environ)
    folder, dockerfile, files = place(context, file)
    seconds = option.duration("--timeout", timeout) if timeout else None
    text = build_task(
        QuickBuild(
            dockerfile=dockerfile,
            tags=tuple(with_registry(name, registry) for name in tags),
            build_args=tuple(f"{k}={v}" for k, v in args.items()),
            target=target,
            platform=platform,
            cache_from=cache_from,
            cache_to=cache_to,
            no_cache=no_cache,
            labels=tuple("=".join(option.pair("--label", label)) for label in labels),
            push=not no_push,
            ssh=tuple(agents),
            timeout=seconds,
        )
    )
    _warn(tags, secret_build_arg, no_push=no_push)
    return submit(
        Source(text=text, name="build", context=folder),
        # the build's own line names several; the run itself is then of the engine's platform
        TaskOptions(registry=registry, platform=platform if len(platforms) == 1 else "", run_id=run_id),
        display=Display(output=_OUTPUTS[output], quiet=quiet or no_logs, no_color=no_color, log_dir=log_dir),
        limits=Limits(timeout=seconds),
        grants=Grants(ssh=agents),
        extra=Extra(build_args=secret_args, build_files=files, image_labels=oci_labels),
        attach=replace(attach, is_made=True),
    )


def _warn(tags: tuple[str, ...], secret_args: tuple[str, ...], *, no_push: bool) -> None:
    if not tags and not no_push:
        print("warning: no name was given with -t, so nothing is pushed", file=sys.stderr)
    if secret_args:
        print("warning: build arguments can be read in the image's history; use a secret mount", file=sys.stderr)


def place(context: str, file: str) -> tuple[str | None, str, dict[str, bytes]]:
    """The context's folder, the name of the Dockerfile, and what of it lies outside of the context ('-': stdin).

    Links are left to the runner: one in the context that leads out of it was not named by the user.
    """
    from taskengine.cli.source import STDIN, folder_of, read_file
    from taskengine.errors import InvalidInput

    if os.path.isfile(context):  # noqa: PTH113 - an address may be longer than a file's name may
        raise InvalidInput(
            f"the context {context} is a file, not a folder",
            hint=f"acr-task build -f {context} {Path(context).parent}",
        )
    if STDIN == context == file:
        raise InvalidInput("context and Dockerfile cannot both come from standard input", hint="name one of them")
    folder = folder_of(context)
    if folder is None:
        raise InvalidInput(
            "a build needs a context", hint="name a folder; an empty one will do where nothing is copied"
        )
    if file == STDIN:
        return folder, file, {file: read_file(file)[0]}
    root = Path(os.path.abspath(folder))  # noqa: PTH100 - resolves no links
    name = file or "Dockerfile"
    found = next((path for path in (root / name, Path(name)) if path.is_file()), None)
    if found is None or (not file and found.parent != root):
        raise _no_dockerfile(context, folder, name)
    path = Path(os.path.abspath(found))  # noqa: PTH100
    if path.is_relative_to(root):
        return folder, str(path.relative_to(root)) if file else "", {}
    ignores = Path(f"{path}.dockerignore")
    files = {file: read_file(str(path))[0]}
    return folder, file, files | ({f"{file}.dockerignore": ignores.read_bytes()} if ignores.is_file() else {})


def _no_dockerfile(context: str, folder: str, name: str) -> InvalidInput:
    from taskengine.cli.source import near
    from taskengine.context.address import shown
    from taskengine.errors import InvalidInput

    if (Path(folder) / name).is_dir():
        return InvalidInput(
            f"{name} in {shown(context)} is a folder, not a Dockerfile", hint="name the Dockerfile with -f"
        )
    where = "" if Path(name).is_absolute() else f" in {shown(context)}"
    return InvalidInput(f"there is no {name}{where}", hint=near(Path(folder) / name) or "name the Dockerfile with -f")
