"""`acr-task scan`: what a Dockerfile is built from."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from taskengine.cli.base import PATH, Command, Option, output_option
from taskengine.errors import InvalidInput

if TYPE_CHECKING:
    from taskengine.errors import TaskEngineError


@click.command(
    cls=Command,
    examples=[
        ("acr-task scan .", "the Dockerfile of this folder"),
        ("acr-task scan --resolve .", "with the digests that registries have now"),
        ("acr-task scan -f docker/Prod.dockerfile --build-arg BASE=alpine:3 . -o json", "another one, for programs"),
    ],
)
@click.argument("context", metavar="CONTEXT", default=".", type=PATH)
@click.option(
    "-f",
    "--file",
    cls=Option,
    type=PATH,
    metavar="DOCKERFILE",
    help="The Dockerfile, looked up in CONTEXT first ('-': stdin).",
)
@click.option("--build-arg", cls=Option, multiple=True, metavar="K=V", help="A build argument.")
@click.option("--target", cls=Option, default="", metavar="STAGE", help="The stage that is built (default: the last).")
@click.option("-t", "--tag", "--image", "tags", cls=Option, multiple=True, metavar="NAME", help="A name of the image.")
@click.option("--platform", cls=Option, default="", metavar="OS/ARCH[/VARIANT]", help="What the image is built for.")
@click.option(
    "--resolve",
    cls=Option,
    is_flag=True,
    help="Ask the registries for digests, the platform's manifest, and the ONBUILD triggers of base images.",
)
@output_option("table", "json", "yaml", "tsv")
def scan(
    context: str,
    file: str | None,
    build_arg: tuple[str, ...],
    target: str,
    tags: tuple[str, ...],
    platform: str,
    resolve: bool,
    output: str,
) -> int:
    """List the base images that a Dockerfile depends on.

    Nothing is pulled or built, and without --resolve no registry is asked: a digest is shown where the Dockerfile has
    one.
    """
    from functools import partial
    from pathlib import Path

    from taskengine import wiring
    from taskengine.cli import option
    from taskengine.cli.report import report_problems
    from taskengine.cli.source import STDIN, locate, read_file, typed
    from taskengine.cli.view.form import json_text, tsv_text, yaml_text
    from taskengine.cli.view.words import table
    from taskengine.dockerfile.scan import scan as scan_dockerfile
    from taskengine.dockerfile.scan import scan_json
    from taskengine.dockerfile.source import read_dockerfile

    path, _ = locate(file, context, default="Dockerfile")
    try:
        text = read_file(path)[0].decode("utf-8", "replace") if path == STDIN else read_dockerfile(Path(path))
    except InvalidInput as error:
        raise InvalidInput(typed(error.message), hint=typed(error.hint or "") or None) from None
    if platform:
        option.platform(platform)
    look = partial(
        scan_dockerfile,
        text,
        build_args=option.build_args(build_arg, wiring.settings().environ),
        target=target,
        platform=platform,
        tags=tags,
        file=typed(path) if path != STDIN else "<stdin>",
    )
    troubles: tuple[TaskEngineError, ...] = ()
    if resolve:
        from taskengine.dockerfile.online import ask, online_json

        with wiring.registry_client(wiring.settings()) as client:
            online = ask(lambda triggers: look(triggers=triggers), client, platform=platform)
        found, troubles = online.found, online.troubles
        data = online_json(online, scan_json(found))
    else:
        found = look()
        data = scan_json(found)
    report_problems(found.warnings)
    if output in ("json", "yaml"):
        click.echo(json_text(data) if output == "json" else yaml_text(data))
    elif output == "tsv":
        click.echo(tsv_text(scan_rows(data, resolved=resolve)))
    else:
        head = ("USE", "IMAGE", "REGISTRY", "DIGEST", "PLATFORM DIGEST")
        click.echo("\n".join(table([head[: 5 if resolve else 4], *scan_rows(data, resolved=resolve)])))
    for message, hint in dict.fromkeys((trouble.message, trouble.hint or "") for trouble in troubles):
        print(f"warning: {message}" + (f"\nhint: {hint}" if hint else ""), file=sys.stderr)
    return max((trouble.exit_code for trouble in troubles), default=0)


def scan_rows(found: dict[str, Any], *, resolved: bool = False) -> list[tuple[str, ...]]:
    """One row an image: what for, its name, its registry, its digest; where registries were asked, the platform's."""
    uses = [("image", image) for image in found.get("images", [])]
    uses.append(("runtime", found.get("runtime")))
    uses += [(use, image) for use in ("buildtime", "unused") for image in found.get(use, [])]
    if found.get("syntax"):
        uses.append(("syntax", found["syntax"]))
    rows: list[tuple[str, ...]] = []
    for use, image in uses:
        shown = image or {"reference": "scratch"}
        row = (use, shown["reference"], shown.get("registry", ""), shown.get("digest", ""))
        rows.append((*row, shown.get("platformDigest") or "") if resolved else row)
    return rows
