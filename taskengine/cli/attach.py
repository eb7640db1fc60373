"""`--provenance` and `--sbom`: what is attached to the images that a run pushed, when all is over.

Gathers what the command line knows of the run; what is said of it is `taskengine.provenance`'s business.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click

from taskengine.cli.base import Option
from taskengine.lightclass import dataclass

if TYPE_CHECKING:
    from taskengine.cli.option import TaskOptions
    from taskengine.cli.source import Source
    from taskengine.logs.mask import Mask
    from taskengine.provenance.statement import ContextOrigin, RunInputs
    from taskengine.runs.model import RunRecord

F = TypeVar("F", bound=Callable[..., Any])

SECTION = "What is attached to pushed images"


@dataclass(frozen=True, kw_only=True)
class Attach:
    """What was asked for. `is_made`: the task is made of the command line, and no file has its text."""

    provenance: bool = False
    sbom: bool = False
    is_made: bool = False

    @property
    def wanted(self) -> bool:
        return self.provenance or self.sbom


#: attach nothing
NOTHING = Attach()

_OPTIONS = (
    click.option(
        "--provenance", cls=Option, section=SECTION, is_flag=True,
        help="What each image was made from (SLSA, unsigned), and the run's record.",
    ),
    click.option(
        "--sbom", cls=Option, section=SECTION, is_flag=True, help="The packages in each image (CycloneDX)."
    ),
)  # fmt: skip


def attach_options(command: F) -> F:
    """Give a command `--provenance` and `--sbom`. They arrive as one argument, `attach: Attach`."""

    @wraps(command)
    def wrapped(*args: Any, provenance: bool, sbom: bool, **kwargs: Any) -> Any:
        return command(*args, attach=Attach(provenance=provenance, sbom=sbom), **kwargs)

    for decorator in reversed(_OPTIONS):
        wrapped = decorator(wrapped)
    return wrapped  # type: ignore[return-value]


def attaching(attach: Attach, given: RunInputs, mask: Mask) -> Callable[[RunRecord], int]:
    """What to do with the record of a run that is over; returns an exit code."""

    def after(record: RunRecord) -> int:
        return _attach(attach, given, mask, record)

    return after


def run_inputs(
    source: Source, options: TaskOptions, *, files: Mapping[str, bytes], secrets: tuple[str, ...], is_made: bool
) -> RunInputs:
    """What the run was given, as far as it may be told."""
    from pathlib import PurePath

    from taskengine import __version__
    from taskengine.cli.option import pair
    from taskengine.provenance.statement import RunInputs

    text = source.text
    names = (*secrets, *(name for name, _ in (*options.secret, *options.set_secret)))
    return RunInputs(
        task_name=PurePath(source.name).name,
        task_text=text.encode() if isinstance(text, str) else text,
        is_made=is_made,
        context=_context(source.context),
        values=dict(pair("--set", text) for text in options.set),
        values_file=options.values.encode() if options.values is not None else None,
        secrets=tuple(dict.fromkeys(names)),
        files=files,
        registry=options.registry,
        platform=options.platform,
        facts={
            "commit": options.commit,
            "branch": options.branch,
            "gitTag": options.git_tag,
            "repository": options.repository,
            "triggeredBy": options.triggered_by,
            "taskName": options.task_name,
        },
        version=__version__,
    )


def _context(folder: str | None) -> ContextOrigin | None:
    from pathlib import Path

    from taskengine import wiring
    from taskengine.cli.remote import address_of, origin_of
    from taskengine.context.source import STDIN
    from taskengine.context.worktree import worktree_of
    from taskengine.provenance.statement import ContextOrigin

    if folder is None:
        return None
    found = origin_of(folder)
    if found is None:
        here = worktree_of(Path(folder), wiring.settings().environ)
        if here is None:
            return ContextOrigin()
        return ContextOrigin(
            repository=here.repository, commit=here.commit, branch=here.branch, changed=here.changed
        )  # fmt: skip
    address = address_of(folder)
    if address == STDIN:
        return ContextOrigin(digest=found.digest, changed=False)
    return ContextOrigin(
        uri=address,
        repository=found.repository,
        commit=found.commit,
        branch=found.branch,
        tag=found.tag,
        digest=found.digest,
    )


def _attach(attach: Attach, inputs: RunInputs, mask: Mask, record: RunRecord) -> int:
    from taskengine import wiring
    from taskengine.cli.report import report_error
    from taskengine.errors import TaskEngineError
    from taskengine.provenance.attach import attach_to
    from taskengine.provenance.materials import pushed_images

    images = pushed_images(record)
    if not images:
        print("warning: the run pushed no image, so nothing is attached", file=sys.stderr)
    code = 0
    with wiring.registry_client(wiring.settings(), on_notice=warn) as client:
        for image in images:
            try:
                done = attach_to(
                    client, image, record, inputs, mask, provenance=attach.provenance, sbom=attach.sbom
                )  # fmt: skip
            except TaskEngineError as error:
                print(f"error: nothing could be attached to {image.references[0]}", file=sys.stderr)
                failed = report_error(error)
                code = code or failed
                continue
            for what, digest in done:
                print(f"attached {what} to {image.references[0]}: {digest}", file=sys.stderr)
    return code


def warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr)
