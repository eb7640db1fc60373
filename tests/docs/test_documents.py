"""What the documents say holds: task files validate, command lines exist, links lead somewhere, made pages are as made."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
import yaml

from scripts.docs import PAGES, outdated
from taskengine.cli.app import app
from taskengine.dockerfile.problem import CODES as DOCKERFILE_CODES
from taskengine.registry.config import parse_registries
from taskengine.secrets.table import table_from
from taskengine.service.settings import parse_settings
from taskengine.taskspec.codes import CODES
from taskengine.taskspec.inputs import Inputs, RunFacts
from taskengine.taskspec.load import load_task

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")],
    key=lambda path: str(path.relative_to(ROOT)),
)
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!`)!?\[[^\]]*\]\(([^)\s]+)\)")
_INLINE = re.compile(r"`(acr-task [^`]+)`")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@dataclass(frozen=True)
class Block:
    """A piece of code in a document."""

    document: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def blocks(*languages: str) -> Iterator[Block]:
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        for match in _FENCE.finditer(text):
            if match[1] in languages:
                yield Block(name_of(path), text[: match.start()].count("\n") + 1, match[1], match[2])


def command_lines(block: Block) -> Iterator[list[str]]:
    """The words of each acr-task command in a shell block, pipes, redirections and comments left out."""
    for line in block.text.replace("\\\n", " ").splitlines():
        for part in re.split(r" \| | && | > | < |; ", line):
            words = shlex.split(part, comments=True)
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words.pop(0)
            if words and words[0].rpartition("/")[2] == "acr-task":
                yield words[1:]


COMMANDS = [
    pytest.param(words, id=f"{block}-{' '.join(words)[:60]}")
    for block in blocks("sh", "console")
    for words in command_lines(block)
]
TASKS = [pytest.param(block, id=str(block)) for block in blocks("yaml") if "steps:" in block.text]
REGISTRIES = [pytest.param(block, id=str(block)) for block in blocks("yaml") if block.text.startswith("registries:")]
SETTINGS = [
    pytest.param(block, id=str(block))
    for block in blocks("yaml")
    if block.text.startswith(("retentionDays:", "minFree:"))
]
TABLES = [pytest.param(block, id=str(block)) for block in blocks("yaml") if block.text.startswith("providers:")]


def parse(words: list[str]) -> None:
    """Read a command line as the program does, without running it. Files that it names need not exist."""
    ctx = click.Context(app, info_name="acr-task")
    command = app.get_command(ctx, words[0])
    assert command is not None, f"there is no command {words[0]}"
    while isinstance(command, click.Group):
        ctx, words = click.Context(command, info_name=words[0], parent=ctx), words[1:]
        command = command.get_command(ctx, words[0])
        assert command is not None, f"there is no command {ctx.command_path} {words[0]}"
    command.make_context(words[0], list(words[1:]), parent=ctx, resilient_parsing=False)


@pytest.mark.parametrize("words", COMMANDS)
def test_a_command_in_a_document_can_be_given(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in re.findall(r"@([\w.-]+)|--values[ =]([\w.-]+)", " ".join(words)):
        (tmp_path / "".join(name)).write_text("a: b\n")
    parse(words)


def test_a_command_that_a_document_names_in_a_sentence_exists() -> None:
    known = set(app.list_commands(click.Context(app)))
    wrong = []
    for path in DOCUMENTS:
        for match in _INLINE.finditer(path.read_text(encoding="utf-8")):
            words = match[1].split()
            if words[1].startswith("-") or words[1] in known:
                continue
            wrong.append(f"{name_of(path)}: {match[1]}")
    assert wrong == []


@pytest.mark.parametrize("block", TASKS)
def test_a_task_file_in_a_document_is_valid_without_warnings(block: Block) -> None:
    facts = RunFacts(id="run1", registry="registry.example.com")
    secrets = dict.fromkeys(re.findall(r"- id: ([\w-]+)\n    keyvault", block.text), "secret-value")
    inputs = Inputs(facts=facts, secret_values=secrets, set=("password=x",), strict=True)
    assert load_task(block.text, file=str(block), inputs=inputs).plan.steps


@pytest.mark.parametrize("block", TABLES)
def test_a_provider_table_in_a_document_is_valid(block: Block) -> None:
    assert table_from(yaml.safe_load(block.text), str(block)).rules


@pytest.mark.parametrize("block", REGISTRIES)
def test_a_table_of_registries_in_a_document_is_valid(block: Block) -> None:
    text = re.sub(r"ca_file: .*", "skip_verify: true", block.text)  # a file that a reader has and a test has not
    assert parse_registries(text.encode(), source=str(block))


@pytest.mark.parametrize("block", SETTINGS)
def test_settings_in_a_document_are_valid(block: Block) -> None:
    assert parse_settings(yaml.safe_load(block.text))


def test_every_yaml_in_a_document_is_checked_by_a_test_here() -> None:
    checked = {str(param.values[0]) for param in (*TASKS, *TABLES, *REGISTRIES, *SETTINGS)}
    assert [str(block) for block in blocks("yaml", "yml") if str(block) not in checked] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_a_link_in_a_document_leads_somewhere(path: Path) -> None:
    text = _FENCE.sub("", path.read_text(encoding="utf-8"))
    broken = []
    for target in _LINK.findall(text):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        if not there.exists() or (anchor and anchor not in anchors(there)):
            broken.append(target)
    assert broken == []


def anchors(path: Path) -> set[str]:
    """The anchors that GitHub gives to headings, and those written out."""
    text = path.read_text(encoding="utf-8")
    headings = {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in _HEADING.findall(text)}
    return headings | set(re.findall(r'<a id="([^"]+)">', text))


def test_every_code_of_a_problem_is_explained() -> None:
    text = (ROOT / "docs" / "problems.md").read_text(encoding="utf-8")
    assert [code for code in (*CODES, *DOCKERFILE_CODES) if f'<a id="{code.lower()}"></a>' not in text] == []


@pytest.mark.parametrize("page", PAGES)
def test_a_page_that_comes_from_the_code_says_what_the_code_says(page: str) -> None:
    assert page not in outdated(), "run `make docs`"


def test_each_decision_is_listed() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = (folder / "README.md").read_text(encoding="utf-8")
    assert [p.name for p in folder.glob("2*.md") if f"({p.name})" not in listed] == []


def test_the_picture_of_the_plan_is_what_plan_draws() -> None:
    file = "examples/tasks/quickstart/acb.yaml"
    done = subprocess.run(
        [sys.executable, "-m", "taskengine.cli", "plan", file, "-o", "mermaid"], cwd=ROOT, capture_output=True,
        text=True, timeout=60, check=True,
    )  # fmt: skip
    assert [block.text for block in blocks("mermaid") if block.document == "README.md"] == [done.stdout]


def test_the_picture_of_the_run_shows_the_steps_of_the_quickstart() -> None:
    picture = (ROOT / "docs" / "images" / "quickstart.svg").read_text(encoding="utf-8")
    plan = load_task(
        (ROOT / "examples/tasks/quickstart/acb.yaml").read_bytes(), file="acb.yaml",
        inputs=Inputs(facts=RunFacts(id="run1", registry="localhost:5000")),
    ).plan  # fmt: skip
    assert [step.id for step in plan.steps if step.id not in picture] == []


def test_the_architecture_names_every_package() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    packages = [p.parent for top in ("taskengine", "runners") for p in (ROOT / top).glob("*/__init__.py")]
    assert [name_of(p) for p in packages if f"`{name_of(p)}/`" not in text] == []
