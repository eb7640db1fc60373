"""`acr-task validate`: every problem of every file."""

from __future__ import annotations

import json
import sys

import click

from taskengine.cli.base import PATH, Command, output_option
from taskengine.cli.option import TaskOptions, task_options
from taskengine.cli.report import problem_json, problem_text
from taskengine.errors import InvalidInput, InvalidTask, Problem, Severity


@click.command(
    cls=Command,
    examples=[
        ("acr-task validate tasks/*.yaml", "check files"),
        ("acr-task validate --strict -o json task.yaml", "warnings count too; the answer is for a program"),
        ("cat task.yaml | acr-task validate -", "check standard input"),
    ],
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=PATH)
@task_options
@output_option("text", "json")
def validate(files: tuple[str, ...], options: TaskOptions, output: str) -> int:
    """Check task files and name every problem in them.

    Values and secrets that a template asks for are given as to 'run'; an id and a registry are made up. Exit code 0
    when every file is valid, 2 when one is not.
    """
    reports = [_check(file, options) for file in files]
    if output == "json":
        click.echo(json.dumps(reports_json(reports), indent=2, ensure_ascii=False))
    else:
        for file, steps, problems in reports:
            for problem in problems:
                print(problem_text(problem), file=sys.stderr)
            if steps is not None:
                click.echo(f"{file}: valid, {steps} {'step' if steps == 1 else 'steps'}")
        if len(reports) > 1:
            bad = sum(steps is None for _, steps, _ in reports)
            print(
                f"{len(reports)} files, {bad} invalid" if bad else f"{len(reports)} files, all valid", file=sys.stderr
            )
    return 0 if all(steps is not None for _, steps, _ in reports) else 2


Report = tuple[str, int | None, tuple[Problem, ...]]


def _check(file: str, options: TaskOptions) -> Report:
    """The file's name, the number of its steps (None: invalid) and its problems."""
    from taskengine.cli.source import read_task
    from taskengine.cli.task import inputs_of, stand_ins
    from taskengine.taskspec.load import load_task

    try:
        text, name = read_task(file)
        loaded = load_task(text, file=name, inputs=stand_ins(inputs_of(options)))
    except InvalidTask as error:
        return file, None, error.problems
    except InvalidInput as error:
        # a file that cannot be read is this file's problem; the others are still checked
        return file, None, (Problem(code="", message=error.message, hint=error.hint),)
    return file, len(loaded.plan.steps), tuple(loaded.warnings)


def reports_json(reports: list[Report]) -> dict[str, object]:
    return {
        "valid": all(steps is not None for _, steps, _ in reports),
        "files": [
            {
                "file": file,
                "valid": steps is not None,
                "errors": sum(p.severity is Severity.ERROR for p in problems),
                "warnings": sum(p.severity is Severity.WARNING for p in problems),
                "problems": [problem_json(p) for p in problems],
            }
            for file, steps, problems in reports
        ],
    }
