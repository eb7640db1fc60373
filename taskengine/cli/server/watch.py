"""`acr-task watches`: the images that a server watches, what a task stands on, the token of the registries' hook."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import click

from taskengine.cli.base import Command, LazyGroup, Option, output_option
from taskengine.cli.server.answer import Row, answer, listed, time_text

_HERE = "taskengine.cli.server.watch"
TABLE = {
    "list": (f"{_HERE}:list_watches", "List watched images: last check, digest, next check, last error."),
    "task": (f"{_HERE}:of_task", "Show what a task stands on and makes."),
    "check": (f"{_HERE}:check", "Have an image's registry asked now."),
    "token": (f"{_HERE}:token", "Make the token that registries prove themselves by."),
}
EXAMPLES = (
    ("acr-task watches list --failing", "images whose last check failed, and why"),
    ("acr-task watches task app", "what a task stands on, and the digests that its last run used"),
)
_WATCH = ("IMAGE", "DIGEST", "CHECKED", "NEXT CHECK", "TASKS", "ERROR")
_IMAGE = ("RELATION", "IMAGE", "TYPE", "PLATFORM", "USED", "NOW", "CHECKED", "REASON")


@click.group(cls=LazyGroup, table=TABLE, examples=EXAMPLES)
def watches() -> None:
    """Images that a server watches, so that a new one starts the tasks that stand on it."""


@click.command(
    cls=Command,
    name="list",
    examples=[("acr-task watches list", "each image once"), ("acr-task watches list -n app", "those of one task")],
)
@click.option("-n", "--name", cls=Option, metavar="NAME", help="Only images that this task stands on.")
@click.option("--failing", cls=Option, is_flag=True, help="Only images whose last check failed.")
@click.option("--top", cls=Option, type=click.IntRange(min=1), default=100, show_default=True, help="So many at most.")
@listed
def list_watches(name: str | None, failing: bool, top: int, output: str) -> int:
    """List watched images by name."""
    from taskengine.cli.server.target import service

    filters = {"task": name, "failing": "true" if failing else None}
    with service() as api:
        found = list(api.list("watches", filters=filters, top=top))
    answer(output, found, _WATCH, [_watch_row(one) for one in found])
    return 0


@click.command(cls=Command, name="task", examples=[("acr-task watches task app", "each image on a line")])
@click.argument("name", metavar="TASK")
@output_option("table", "json", "yaml", "tsv")
def of_task(name: str, output: str) -> int:
    """Show what a task uses, makes and does not watch, with the digest that its last run used and the one that its
    registry told last."""
    from taskengine.cli.server.target import service
    from taskengine.cli.view.clean import plain_text

    with service() as api:
        found = api.to.get("tasks", name, "images")
    answer(output, found, _IMAGE, [_image_row(one) for one in found["images"]])
    if output == "table":
        if found["error"]:
            print(plain_text(f"warning: {found['error']}"), file=sys.stderr)
        if not found["watching"]:
            print("a new image does not start this task: it is disabled, or has no baseImageTrigger", file=sys.stderr)
    return 0


@click.command(cls=Command, examples=[("acr-task watches check alpine:3", "the list shows what came of it")])
@click.argument("image", metavar="IMAGE")
def check(image: str) -> int:
    """Have the registry of a watched image asked now what its tag stands for, as far as the registry's limit allows."""
    from taskengine.cli.server.target import service

    with service() as api:
        found = api.to.post("watches", "check", body={"image": image})
    print(f"{found['image']} is asked about; see acr-task watches list")
    return 0


@click.command(cls=Command, examples=[("acr-task watches token > hook.token", "an administrator's token is needed")])
def token() -> int:
    """Make the token that registries prove themselves by at /hooks/registry/PRODUCT. It is printed this once; the one
    before is good no longer."""
    from taskengine.cli.server.target import service

    with service() as api:
        made = api.to.post("watches", "token")
    print("it is shown this once; let registries send 'Authorization: Bearer TOKEN'", file=sys.stderr)
    print(made["token"])
    return 0


def _watch_row(watch: Mapping[str, Any]) -> Row:
    return (
        watch["image"], _short(watch), time_text(watch["checked"]) or "-", time_text(watch["nextCheck"]),
        str(watch["tasks"]), watch["error"],
    )  # fmt: skip


def _image_row(image: Mapping[str, Any]) -> Row:
    watch = image["watch"]
    return (
        image["relation"], image["image"], image["type"] or "", image["platform"] or "", _cut(image["digest"]),
        _short(watch) if watch else "", time_text(watch["checked"]) if watch else "",
        image["reason"] or (watch["error"] if watch else ""),
    )  # fmt: skip


def _short(watch: Mapping[str, Any]) -> str:
    return _cut(watch["seen"]["digest"]) if watch["seen"] else ""


def _cut(digest: str | None) -> str:
    """As much of a digest as tells it from others."""
    return (digest or "")[:19]
