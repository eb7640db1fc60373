"""`acr-task scan`: what a Dockerfile is built from."""

from __future__ import annotations

from typing import Any

import click

from taskengine.cli.base import PATH, Command, Option, output_option


@click.command(
    cls=Command,
    examples=[
        ("acr-task scan .", "the Dockerfile of this folder"),
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
@output_option("table", "json", "yaml", "tsv")
def scan(
    context: str,
    file: str | None,
    build_arg: tuple[str, ...],
    target: str,
    tags: tuple[str, ...],
    platform: str,
    output: str,
) -> None:
    """List the base images that a Dockerfile depends on.

    Nothing is pulled or built.
    """
    from pathlib import Path

    from taskengine import wiring
    from taskengine.cli import option
    from taskengine.cli.report import report_problems
    from taskengine.cli.source import STDIN, locate, read_file
    from taskengine.cli.view.form import json_text, tsv_text, yaml_text
    from taskengine.cli.view.words import table
    from taskengine.dockerfile.scan import scan as scan_dockerfile
    from taskengine.dockerfile.scan import scan_json
    from taskengine.dockerfile.source import read_dockerfile

    path, _ = locate(file, context, default="Dockerfile")
    text = read_file(path)[0].decode("utf-8", "replace") if path == STDIN else read_dockerfile(Path(path))
    if platform:
        option.platform(platform)
    found = scan_dockerfile(
        text,
        build_args=option.build_args(build_arg, wiring.settings().environ),
        target=target,
        platform=platform,
        tags=tags,
        file=path if path != STDIN else "<stdin>",
    )
    report_problems(found.warnings)
    data = scan_json(found)
    if output in ("json", "yaml"):
        click.echo(json_text(data) if output == "json" else yaml_text(data))
    elif output == "tsv":
        click.echo(tsv_text(scan_rows(data)))
    else:
        click.echo("\n".join(table([("USE", "IMAGE", "REGISTRY", "DIGEST"), *scan_rows(data)])))


def scan_rows(found: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """One row an image: what for, its name, its registry, its digest."""
    rows = []

    def add(use: str, image: dict[str, Any] | None) -> None:
        if image is not None:
            rows.append((use, image["reference"], image["registry"], image["digest"]))
        else:
            rows.append((use, "scratch", "", ""))

    for image in found.get("images", []):
        add("image", image)
    add("runtime", found.get("runtime"))
    for use in ("buildtime", "unused"):
        for image in found.get(use, []):
            add(use, image)
    if found.get("syntax"):
        syntax = found["syntax"]
        add("syntax", syntax if isinstance(syntax, dict) else {"reference": syntax, "registry": "", "digest": ""})
    return rows
