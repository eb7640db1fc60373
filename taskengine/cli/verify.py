"""`acr-task verify-inputs`: what went into an image, by the statements that are attached to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from taskengine.cli.base import Command, output_option

if TYPE_CHECKING:
    from taskengine.provenance.verify import Checked, InputState, Verified

#: said with every answer, so that nobody takes a match for more than it is
UNSIGNED = "statements are not signed: whoever may push to the repository can have written them"


@click.command(
    cls=Command,
    examples=[
        (
            "acr-task verify-inputs registry.example.com/app:1",
            "what it was made from, and whether that has moved since",
        ),
        ("acr-task verify-inputs registry.example.com/app:1 -o json", "for programs"),
    ],
)
@click.argument("image", metavar="IMAGE")
@output_option("table", "json", "yaml", "tsv", help="The form of the answer; 'tsv' is one line an input.")
def verify_inputs(image: str, output: str) -> int:
    """Show what an image was made from, and how that stands today.

    Reads the provenance that `--provenance` attached. Exit code 1 when there is none, or when one is not about this
    image. Statements are not signed.
    """
    from taskengine import wiring
    from taskengine.cli.attach import warn
    from taskengine.cli.view.form import json_text, tsv_text, yaml_text
    from taskengine.provenance.verify import verify
    from taskengine.registry.reference import ImageReference

    ref = ImageReference.parse(image)
    with wiring.registry_client(wiring.settings(), on_notice=warn) as client:
        found = verify(client, ref)
    if output in ("json", "yaml"):
        click.echo(json_text(as_json(found)) if output == "json" else yaml_text(as_json(found)))
    elif output == "tsv":
        rows = [_row(state) for one in found.statements for state in one.inputs]
        click.echo(tsv_text(rows), nl=bool(rows))
    else:
        click.echo("\n".join(as_text(found)))
    return 0 if found.matches else 1


def as_json(found: Verified) -> dict[str, Any]:
    return {
        "image": str(found.reference),
        "digest": found.digest,
        "matches": found.matches,
        "signed": False,
        "statements": [_checked_json(one) for one in found.statements],
        "others": list(found.others),
    }


def _checked_json(one: Checked) -> dict[str, Any]:
    out: dict[str, Any] = {"digest": one.digest, "matches": not one.problem}
    if one.problem:
        out["problem"] = one.problem
    said = one.statement
    if said is not None:
        out |= {
            "builder": said.builder,
            "version": said.version,
            "run": said.run,
            "started": said.started,
            "finished": said.finished,
            "task": {"name": said.task, "digest": said.task_digest},
            "context": {"uri": said.context, "commit": said.commit},
            "values": dict(said.values),
        }
    out["inputs"] = [
        {
            "use": state.input.use,
            "reference": state.input.reference,
            "digest": state.input.digest,
            "platform": state.input.platform,
            "state": state.state.value,
            **({"now": state.now} if state.now else {}),
            **({"note": state.note} if state.note else {}),
        }
        for state in one.inputs
    ]
    return out


def as_text(found: Verified) -> list[str]:
    lines = [f"{found.reference}", f"  digest     {found.digest}"]
    if not found.statements:
        return [*lines, "no provenance is attached; `acr-task build --provenance` attaches it"]
    for one in found.statements:
        lines += ["", *_statement_text(one)]
    if found.others:
        lines += ["", f"also attached: {', '.join(found.others)}"]
    return [*lines, "", f"note: {UNSIGNED}"]


def _statement_text(one: Checked) -> list[str]:
    from taskengine.cli.view.words import table

    verdict = f"does NOT match: {one.problem}" if one.problem else "is about this image"
    lines = [f"statement {one.digest}", f"  verdict    {verdict}"]
    said = one.statement
    if said is None:
        return lines
    made = " ".join(filter(None, ("acr-task" if said.is_ours else said.builder, said.version)))
    commit = f"commit {said.commit}" if said.commit else ""
    rows = [
        ("made by", made),
        ("run", " ".join(filter(None, (said.run, f"finished {said.finished}" if said.finished else "")))),
        ("task", " ".join(filter(None, (said.task, said.task_digest)))),
        ("context", " ".join(filter(None, (said.context, commit)))),
        ("values", " ".join(f"{key}={value}" for key, value in said.values)),
    ]
    lines += [f"  {name:<10} {text}" for name, text in rows if text]
    if one.inputs:
        lines += ["", *table([("USE", "IMAGE", "STATE", "DIGEST"), *(_row(state) for state in one.inputs)])]
    return lines


def _row(state: InputState) -> tuple[str, str, str, str]:
    digest = state.input.digest or state.input.platform_digest
    more = f"now {state.now}" if state.now else state.note
    return state.input.use, state.input.reference, state.state.value, f"{digest} ({more})" if more else digest
