"""`acr-task image`: look at images in registries, copy and delete them. Thin: the registry's client does the work."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from taskengine.cli.base import Command, LazyGroup, Option, output_option
from taskengine.errors import InvalidInput
from taskengine.lightpattern import pattern

if TYPE_CHECKING:
    from taskengine.registry.client import RegistryClient
    from taskengine.registry.content import Manifest
    from taskengine.registry.reference import ImageReference

TABLE = {
    "show": ("taskengine.cli.image:show", "Show an image: digest, size, platforms, and what is attached to it."),
    "tags": ("taskengine.cli.image:tags", "List the tags of a repository."),
    "copy": ("taskengine.cli.image:copy", "Copy an image, with all of its platforms, to another place."),
    "delete": ("taskengine.cli.image:delete", "Delete an image and all of its tags."),
}

#: tags under which registries without the referrers API list what is attached
_LIST_TAG = pattern(r"sha(256|512)-[0-9a-f]{64}")
#: images of an index whose sizes are asked for
_MOST_IMAGES = 50


@click.group(
    cls=LazyGroup,
    table=TABLE,
    examples=[
        ("acr-task image show registry.example.com/app:1", "digest, size, platforms, attached artifacts"),
        ("acr-task image copy registry.example.com/app:1 backup.example.com/app:1", "to another registry"),
    ],
    no_args_is_help=False,
    invoke_without_command=True,
)
@click.pass_context
def image(ctx: click.Context) -> None:
    """Look at images in registries, copy and delete them. The engine has no part in it."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@click.command(cls=Command, examples=[("acr-task image show alpine:3 -o json", "of Docker's own registry")])
@click.argument("ref", metavar="IMAGE")
@output_option("table", "json", "yaml", "tsv")
def show(ref: str, output: str) -> None:
    """Show an image: digest, size, platforms, and what is attached to it. Sizes are in bytes, as they travel."""
    named = _parse(ref)
    with _client() as client:
        found = described(client, named)
    rows = [("image", one["platform"], one["digest"], str(one["size"])) for one in found["images"]]
    rows += [("attached", one["artifactType"], one["digest"], str(one["size"])) for one in found["attached"]]
    head = [f"{found['reference']}", f"  digest     {found['digest']}", f"  type       {found['mediaType']}", ""]
    _print(output, found, rows, ("WHAT", "PLATFORM OR TYPE", "DIGEST", "SIZE"), head=head)


@click.command(cls=Command, examples=[("acr-task image tags registry.example.com/team/app", "each tag on a line")])
@click.argument("repository", metavar="REPOSITORY")
@click.option("--all", "every", cls=Option, is_flag=True, help="Also tags that only list what is attached to an image.")
@output_option("table", "json", "yaml", "tsv")
def tags(repository: str, every: bool, output: str) -> None:
    """List the tags of a repository, sorted."""
    named = _parse(repository)
    with _client() as client:
        found = sorted(tag for tag in client.tags(named) if every or not _LIST_TAG.fullmatch(tag))
    _print(output, found, [(tag,) for tag in found], ())


@click.command(
    cls=Command,
    examples=[
        ("acr-task image copy registry.example.com/app:1 registry.example.com/prod/app:1", "within a registry"),
        ("acr-task image copy --referrers alpine:3 registry.example.com/base/alpine:3", "with what is attached to it"),
    ],
)
@click.argument("source", metavar="SOURCE")
@click.argument("target", metavar="TARGET")
@click.option("--referrers", cls=Option, is_flag=True, help="Also copy what is attached to it, such as signatures.")
@output_option("text", "json", "yaml")
def copy(source: str, target: str, referrers: bool, output: str) -> None:
    """Copy an image, with all of its platforms, to another repository, tag or registry.

    The digest stays. Only what is missing travels; within one registry nothing does.
    """
    src, dst = _parse(source), _parse(target)
    with _client() as client:
        done = client.copy(src, dst, referrers=referrers)
    found = {
        "source": str(src),
        "target": str(dst),
        "digest": done.descriptor.digest,
        "manifests": done.manifests,
        "sent": done.sent,
        "sentBytes": done.sent_bytes,
        "mounted": done.mounted,
        "there": done.there,
    }
    words = (
        f"copied {src} to {dst}: {done.descriptor.digest}, blobs: {done.sent} sent ({done.sent_bytes} bytes), "
        f"{done.mounted} mounted, {done.there} there already"
    )
    _print(output, found, [(words,)], ())


@click.command(
    cls=Command,
    examples=[("acr-task image delete --yes registry.example.com/app:1", "without being asked")],
)
@click.argument("ref", metavar="IMAGE")
@click.option("-y", "--yes", cls=Option, is_flag=True, help="Do not ask.")
@click.option("--referrers", cls=Option, is_flag=True, help="Also delete what is attached to it.")
def delete(ref: str, yes: bool, referrers: bool) -> int:
    """Delete an image and all of its tags.

    A tag stands for its image: other tags of the same digest go with it. The registry frees the space by its own rules.
    """
    named = _parse(ref)
    with _client() as client:
        digest = client.resolve(named).digest
        if not yes:
            _confirm(named, digest)
        attached = client.referrers(named, digest)
        for one in attached if referrers else ():
            client.delete(named.with_digest(one.digest))
        client.delete(named.with_digest(digest))
    print(f"deleted {named.familiar_name}@{digest}", file=sys.stderr)
    if attached and not referrers:
        print(f"note: {len(attached)} artifacts that were attached to it may stay; --referrers deletes them",
              file=sys.stderr)  # fmt: skip
    return 0


def described(client: RegistryClient, ref: ImageReference) -> dict[str, Any]:
    """An image as plain data."""
    from taskengine.registry.platform import is_attestation

    top = client.manifest(ref)
    if top.is_index:
        entries = [one for one in top.manifests if not is_attestation(one)]
        sized = [(one, client.manifest(ref.with_digest(one.digest))) for one in entries[:_MOST_IMAGES]]
        images = [{"platform": one.platform, "digest": one.digest, "size": _size(m)} for one, m in sized]
    else:
        images = [{"platform": _platform(client, ref, top), "digest": top.digest, "size": _size(top)}]
    attached = [
        {
            "artifactType": one.artifact_type,
            "digest": one.digest,
            "size": one.size,
            "annotations": dict(one.annotations),
        }
        for one in client.referrers(ref, top.digest)
    ]
    return {
        "reference": str(ref),
        "digest": top.digest,
        "mediaType": top.media_type,
        "images": images,
        "attached": attached,
    }


def _size(manifest: Manifest) -> int:
    return sum(blob.size for blob in manifest.blobs)


def _platform(client: RegistryClient, ref: ImageReference, manifest: Manifest) -> str:
    """The platform of an image that stands alone; empty for what is no image."""
    from taskengine.registry.mediatype import IMAGE_CONFIGS

    if manifest.config is None or manifest.config.media_type not in IMAGE_CONFIGS:
        return ""
    said = client.config(ref.with_digest(manifest.digest))
    parts = (said.get("os"), said.get("architecture"), said.get("variant"))
    return "/".join(part for part in parts if isinstance(part, str) and part)


def _confirm(ref: ImageReference, digest: str) -> None:
    if not sys.stdin.isatty():
        raise InvalidInput(f"{ref} is not deleted without --yes", hint="nobody can be asked here: add --yes")
    click.confirm(f"delete {ref.familiar_name}@{digest} and all of its tags?", abort=True, err=True)


def _parse(text: str) -> ImageReference:
    from taskengine.registry.reference import ImageReference

    return ImageReference.parse(text)


def _client() -> RegistryClient:
    from taskengine import wiring
    from taskengine.cli.attach import warn

    return wiring.registry_client(wiring.settings(), on_notice=warn)


def _print(
    output: str, data: Any, rows: Iterable[Sequence[str]], columns: Sequence[str], *, head: Sequence[str] = ()
) -> None:
    from taskengine.cli.view.form import json_text, tsv_text, yaml_text
    from taskengine.cli.view.words import table

    forms: dict[str, Callable[[], str]] = {
        "json": lambda: json_text(data),
        "yaml": lambda: yaml_text(data),
        "tsv": lambda: tsv_text(rows),
    }
    if output in forms:
        click.echo(forms[output]())
        return
    lines = table([columns, *rows] if columns else list(rows))
    click.echo("\n".join([*head, *lines]) if lines else "", nl=bool(lines))
