"""What the generated pages of docs/ say: tables of the code as Markdown. Pure: text out, nothing read or written.

The words that explain stand here; names, kinds, defaults and meanings come from the tables of the code.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping

from taskengine.plan.option import Option
from taskengine.taskspec import catalog
from taskengine.taskspec.catalog import Property

_MADE = "<!-- Made by `make docs`; do not edit by hand. -->\n"

# task-reference.md --------------------------------------------------------------------------------------------------

_TASK_HEAD = f"""\
# Task file

{_MADE}
A task file is YAML. `acb.yaml` is its usual name. This page names every property of it; [problems.md](problems.md)
explains what `acr-task validate` may say about one, [differences.md](differences.md) where we differ from ACR Tasks.
The same tables are a JSON Schema for editors: [task.schema.json](../schemas/task.schema.json). In editors with the YAML
language server, this line at the head of a file switches it on (with the path of your clone):

```text
# yaml-language-server: $schema=/path/to/acr-task/schemas/task.schema.json
```

A file goes through these passes: aliases are replaced (version v1.1.0 only), secrets are fetched, templates are
rendered, the result is read as YAML and compiled to a plan. `acr-task render` shows the text after templates,
`acr-task plan` the plan.

```yaml
version: v1.1.0
steps:
  - id: build
    build: -t $Registry/app:$ID .
  - id: test
    cmd: $Registry/app:$ID ./test.sh
    timeout: 300
  - id: push
    push: [$Registry/app:$ID]
```
"""

_SECTIONS: Mapping[str, tuple[str, str]] = {
    "task": ("Task", "The top level of the file."),
    "step": (
        "Step",
        """\
An entry of `steps`. It has exactly one of `cmd`, `build` and `push`. The column *for* says on which types of step a
property has an effect; elsewhere it is a warning.""",
    ),
    "network": ("Network", "An entry of `networks`."),
    "volume": ("Volume", "An entry of `volumes`. Its files live in the engine's memory and go with the run."),
    "volumeMount": ("Volume mount", "An entry of a step's `volumeMounts`."),
    "secret": ("Secret", "An entry of `secrets`. [secrets.md](secrets.md) tells where values come from."),
    "alias": ("Alias", "The section `alias`, version v1.1.0 only."),
}


def task_reference() -> str:
    """docs/task-reference.md."""
    parts = [_TASK_HEAD]
    for name, (title, text) in _SECTIONS.items():
        parts.append(f"## {title}\n\n{text}\n\n{_properties(catalog.TABLES[name], by_step=name == 'step')}\n")
    return "\n".join([*parts, _variables(), _LINES, _templates()])


def _properties(table: Mapping[str, Property], *, by_step: bool) -> str:
    head = ["property", "value", "default", *(["for"] if by_step else []), "meaning", "example"]
    rows = []
    for entry in table.values():
        steps = "all" if len(entry.steps) == 3 else ", ".join(entry.steps)
        rows.append(
            [
                f"`{entry.name}`" + (" (required)" if entry.required else ""),
                entry.kind.value + (": " + ", ".join(f"`{c}`" for c in entry.choices) if entry.choices else ""),
                "" if entry.default in (None, "") else f"`{_flow(entry.default)}`",
                *([steps] if by_step else []),
                _quoted_templates(entry.help),
                f"`{_flow(entry.example)}`" if entry.example is not None else "",
            ]
        )
    return _table(head, rows)


def _flow(value: object) -> str:
    import yaml

    if isinstance(value, str):
        return value
    text = str(yaml.safe_dump(value, default_flow_style=True, width=1000, sort_keys=False)).strip()
    return text.removesuffix("...").strip()


def _quoted_templates(text: str) -> str:
    return re.sub(r"(?<!`)(\{\{.*?\}\})(?!`)", r"`\1`", text)


_FACTS_HEAD = """\
## Facts of the run

Templates see them as `.Run`, files of version v1.1.0 some of them as aliases too. One that is not given is empty; `run`
makes up an id, and `validate`, which looks at the file only, an id and a registry. `plan` and `render` do so where the
file would be no valid task without them, and say so.
"""

_FACTS_TAIL = """
`{{.Build.ID}}` is an older name of `{{.Run.ID}}`. `{{.Values.x}}` is a value, `{{.Secrets.x}}` a secret
(`{{index .Secrets "my-id"}}` where the id holds a dash). `{{.RunJSON}}` and `{{.ValuesJSON}}` are all of them as one
word of a line.

### Images by one word

In version v1.1.0 these words stand for an image when they are the first of a `cmd`. The task's own aliases do too.
`image-aliases.yaml` in the data folder (`~/.local/share/acr-task`), or the file that `ACR_TASK_IMAGE_ALIASES` names,
adds to them and goes before them, one `name: image` a line.
"""


def _variables() -> str:
    from taskengine.taskspec.inputs import RunFacts
    from taskengine.taskspec.values import run_facts

    aliases = {name: f"`${name}`" for name in catalog.RUN_ALIASES}
    rows = [[f"`{{{{.Run.{name}}}}}`", aliases.get(name, ""), _FACTS[name]] for name in run_facts(RunFacts())]
    images = [[f"`{name}`", f"`{image}`"] for name, image in catalog.IMAGE_ALIASES.items()]
    facts = _table(["template", "alias", "what it is"], rows)
    return "\n".join([_FACTS_HEAD, facts, _FACTS_TAIL, _table(["word", "image"], images), ""])


_FACTS = {
    "ID": "the run's id",
    "Commit": "the commit of the source (`--commit`)",
    "Repository": "the address of the source (`--repository`)",
    "Branch": "the branch of the source (`--branch`)",
    "GitTag": "the tag of the source (`--git-tag`)",
    "TriggeredBy": "what started the run (`--triggered-by`)",
    "Registry": "the registry (`--registry`), such as `myregistry.example.com`",
    "RegistryName": "its name: all before the first dot",
    "Date": "when the run began, in UTC, as `20240305-060708z` (`--date`)",
    "SharedVolume": "the volume that is the workspace, where one was named (`--shared-volume`)",
    "OS": "the operating system of the steps, such as `linux`",
    "OSVersion": "its version (`--os-version`)",
    "Architecture": "the architecture of the steps, such as `amd64`",
    "TaskName": "the task's name (`--task-name`)",
}

_LINES = """\
## Lines

`cmd` and `build` lines are split into words as a POSIX shell does: blanks part them, quotes and backslashes keep them
together. Nothing is expanded and no operator works; `;`, `|`, `>` and `$(...)` reach the program as plain text, and
`acr-task validate` warns about them. [docker-options.md](docker-options.md) lists the options that may stand before the
image of a `cmd` and in a `build`.

`env` entries are taken as they are: one entry is one variable. An entry of a *task's* `env` that holds commas and
further `NAME=` parts is read as several variables, as in ACR Tasks, with a warning.

## Order

A step without `when` waits for the step above it. `when: ["-"]` waits for nothing. `when` with ids waits for exactly
those, and they must stand above it in the file. A step starts the moment its own needs are done.

When a step fails, no new step starts, running ones are stopped, and the run has failed. With `ignoreErrors` the run
goes on; the step's record keeps the failure.
"""


def _templates() -> str:
    from taskengine.template.functions import catalog as functions

    names = ", ".join(f"`{name}`" for name in sorted(functions.names(), key=lambda name: (name.lower(), name)))
    return (
        "## Templates\n\nThe language is Go's text/template: `{{ if }}`, `{{ range }}`, `{{ with }}`, `{{ define }}`, "
        "variables, pipelines. What is missing renders as nothing. Templates run before YAML is read, so that they can "
        "write whole steps. These functions are there:\n\n"
        f"{names}.\n\n"
        "They are Go's and those of Sprig 2.22. `env` and `expandenv` see an empty environment, `getHostByName` knows "
        "addresses and localhost only, and times are in UTC, so that a rendering depends on nothing but what it was "
        "given. Random values and new keys differ from run to run, of course.\n"
    )


# docker-options.md --------------------------------------------------------------------------------------------------

_OPTIONS_HEAD = f"""\
# Docker options

{_MADE}
Which options of `docker run` may stand before the image of a `cmd`, and which of `docker build` in a `build` line.
`acr-task validate` refuses every other by its name.
"""


def docker_options() -> str:
    """docs/docker-options.md."""
    from runners.docker import buildrequest
    from runners.docker.buildlimit import CLASSIC
    from runners.docker.container import supported_options
    from taskengine.plan.buildline import BUILD_OPTIONS
    from taskengine.plan.cmdline import RUN_OPTIONS

    # The build runner has no table of its own, so its source is asked which options it looks at.
    looked_at = set(re.findall(r'line\.(?:last|all)\("([a-z-]+)"\)', inspect.getsource(buildrequest)))
    built = looked_at | {"tag", "file", "build-arg", "target", "cache-to", *CLASSIC}
    return "\n".join(
        [
            _OPTIONS_HEAD,
            "## Before the image of a cmd\n",
            "```yaml\nsteps:\n  - cmd: --memory 64m -e COLOUR=green busybox:1 env\n```\n",
            _options(RUN_OPTIONS, carried_out=set(supported_options()), others="a step that has one fails"),
            "## In a build line\n",
            "```yaml\nsteps:\n  - build: -t app:1 -f docker/Dockerfile --build-arg VERSION=1.2 .\n```\n",
            _options(BUILD_OPTIONS, carried_out=built, others="they have no effect"),
        ]
    )


def _options(options: Iterable[Option], *, carried_out: set[str], others: str) -> str:
    works, later, ignored, refused = [], [], [], []
    for option in options:
        if option.refused:
            refused.append([_spelled(option), option.refused])
        elif option.ignored:
            ignored.append([_spelled(option), option.help])
        elif option.name in carried_out:
            works.append([_spelled(option), option.help + (" May be given often." if option.repeatable else "")])
        else:
            later.append([_spelled(option), option.help])
    parts = [_table(["option", "meaning"], works)]
    if later:
        parts.append(f"Understood in a task file, but not carried out by the Docker runner yet; {others}:")
        parts.append(_table(["option", "meaning"], later))
    parts.append("Allowed, without effect:")
    parts.append(_table(["option", "why"], ignored))
    parts.append("Refused:")
    parts.append(_table(["option", "instead"], refused))
    return "\n\n".join(parts) + "\n"


def _spelled(option: Option) -> str:
    names = [f"-{option.short}"] if option.short else []
    names += [f"--{option.name}"] + ([f"--{option.alias}"] if option.alias else [])
    return f"`{', '.join(names)}{' ' + option.value if option.value else ''}`"


# problems.md --------------------------------------------------------------------------------------------------------

_PROBLEMS_HEAD = f"""\
# Problems

{_MADE}
What `acr-task validate`, `plan`, `render` and `run` may say about a task file, and `scan` and every build about a
Dockerfile, by the code at the end of the message.
Errors stop the command with exit code 2; warnings do so with `--strict` only. All problems of a file are told at once,
each with the place in your own file, also inside of templates and aliases.
"""

_GROUPS = {
    "E1": "The file and its YAML",
    "E2": "Aliases, templates and values",
    "E3": "What steps, networks, volumes and variables mean together",
    "E4": "cmd, build and push lines",
    "E5": "Secrets",
    "E6": "What a shared server grants",
    "W": "Warnings",
}


def problems() -> str:
    """docs/problems.md."""
    from taskengine.dockerfile.problem import CODES as DOCKERFILE_CODES
    from taskengine.taskspec.codes import CODES

    parts = [_PROBLEMS_HEAD]
    for prefix, title in _GROUPS.items():
        rows = [
            [f'<a id="{c.code.lower()}"></a>`{c.code}`', c.title, _braces(c.explanation), _braces(c.mend)]
            for c in CODES.values()
            if c.code.startswith(prefix)
        ]
        parts.append(f"## {title}\n\n{_table(['code', 'problem', 'what it means', 'how to mend it'], rows)}\n")
    rows = [[f'<a id="{code.lower()}"></a>`{code}`', text] for code, text in DOCKERFILE_CODES.items()]
    parts.append(f"## Dockerfiles\n\n{_table(['code', 'what it stands for'], rows)}\n")
    return "\n".join(parts)


def _braces(text: str) -> str:
    """Template signs as code, where they are not yet."""
    return re.sub(r"(?<!`)\{\{ \.\.\. \}\}(?!`)", "`{{ ... }}`", text)


# Markdown -----------------------------------------------------------------------------------------------------------


def _table(head: list[str], rows: Iterable[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(text) for text in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
