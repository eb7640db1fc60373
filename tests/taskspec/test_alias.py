"""The alias pass: what `$name` becomes, where the names come from, and where a problem is then shown."""

from __future__ import annotations

import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from taskengine.errors import InvalidTask
from taskengine.taskspec import sourcefile
from taskengine.taskspec.inputs import Inputs, RunFacts
from taskengine.taskspec.load import load_task, render_task

HEAD = "version: v1.1.0\n"
FACTS = RunFacts(id="r7", registry="reg.example.com", commit="abc")


def render(text: str, folder: Path | None = None, **more: object) -> str:
    inputs = Inputs(facts=FACTS, base_dir=folder or Path(), **more)  # type: ignore[arg-type]
    return render_task(HEAD + text, file="task.yaml", inputs=inputs).removeprefix(HEAD)


def problems(text: str, folder: Path | None = None, **more: object) -> list[tuple[str, str]]:
    with pytest.raises(InvalidTask) as caught:
        render(text, folder, **more)
    return [(problem.code, problem.message) for problem in caught.value.problems]


ALIASES = "alias:\n  values: {a: ONE, b: TWO}\n"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("x $a y", "x ONE y"),
        ("$a$b", "ONETWO"),
        ("$a-$b.$a", "ONE-TWO.ONE"),
        ("$$a", "$a"),
        ("$a$$b", "ONE$b"),
        ("$$$a", "$ONE"),
        ("$ab $A", "$ab $A"),
        ("$aé", "ONEé"),
        ("${a} $(a) $", "${a} $(a) $"),
        ("$no $a", "$no ONE"),
        ("$ID$Commit", "r7abc"),
        ("$bash", "mcr.microsoft.com/acr/bash:2ff604c"),
    ],
)
def test_a_name_becomes_its_text(text: str, wanted: str) -> None:
    assert render(ALIASES + f"x: {text}\n") == f"x: {wanted}\n"


def test_after_an_unknown_name_the_next_sign_begins_nothing() -> None:
    """As ACR Tasks has it, so that a file means the same here and there."""
    assert render(ALIASES + "x: $no$a\n") == "x: $no$a\n"


def test_the_sign_can_be_another() -> None:
    assert render("alias:\n  directive: '@'\nx: @ID $ID @@ID\n") == "x: r7 $ID @ID\n"


def test_the_last_line_gets_an_end() -> None:
    assert render("x: $ID") == "x: r7\n"


def test_line_ends_of_windows_become_those_of_unix() -> None:
    assert render("alias:\r\n  values:\r\n    a: 1\r\nx: $a\r\n") == "x: 1\n"


def test_comment_lines_and_the_section_are_taken_out() -> None:
    assert render("# c\n" + ALIASES + "  # d\n\nx: 1\n# {{ nofunc }}\ny: 2 # e\n") == "x: 1\ny: 2 # e\n"


def test_a_file_in_braces_may_have_aliases() -> None:
    text = '{"version": "v1.1.0", "alias": {"values": {"who": "me"}}, "steps": [{"cmd": "x $who $ID"}]}'
    loaded = load_task(text, file="t.json", inputs=Inputs(facts=FACTS))
    assert loaded.aliases
    assert loaded.plan.steps[0].text == "x me r7"


def test_values_win_over_later_sources_win_over_earlier_ones_win_over_run_variables(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("a: one\nb: one\nc: one\nID: one\n")
    (tmp_path / "two.yaml").write_text("a: two\nb: two\n")
    text = "alias:\n  src: [one.yaml, two.yaml]\n  values: {a: own}\nx: $a $b $c $ID $Commit\n"
    assert render(text, tmp_path) == "x: own two one one abc\n"


def test_the_section_is_rendered_by_itself_first() -> None:
    text = "alias:\n  values:\n    a: '{{ .Values.n }}-{{ .Run.ID | upper }}'\nx: $a {{ .Values.n }}\n"
    assert render(text, set=("n=5",)) == "x: 5-R7 5\n"


def test_a_run_fact_that_looks_like_a_template_stays_text() -> None:
    inputs = Inputs(facts=RunFacts(branch="{{ .Run.Nope }}"))
    assert render_task(HEAD + "x: $Branch\n", file="t", inputs=inputs) == HEAD + "x: {{ .Run.Nope }}\n"


def test_secrets_cannot_be_used_in_the_section() -> None:
    text = "alias:\n  values: {a: '{{ .Secrets.x }}'}\nx: $a\n"
    with pytest.raises(InvalidTask) as caught:
        render(text)
    assert "alias section" in (caught.value.problems[0].hint or "")


def test_all_problems_of_the_section_are_told_at_once() -> None:
    text = "alias:\n  values: {my-a: x, b: [1]}\n  src: one.yaml\n  directive: xx\n  colour: red\nx: 1\n"
    assert [code for code, _ in problems(text)] == ["E210", "E107", "E107", "E211", "W101"]


def test_a_problem_behind_an_alias_is_shown_in_the_authors_line() -> None:
    text = HEAD + "alias:\n  values: {long: a very long text indeed}\nsteps:\n  - cmd: x $long 'oops\n"
    with pytest.raises(InvalidTask) as caught:
        load_task(text, file="t.yaml", inputs=Inputs())
    assert str(caught.value.problems[0].location) == "t.yaml:5:18"


def test_a_problem_inside_the_text_of_an_alias_is_shown_where_the_alias_stands() -> None:
    text = HEAD + 'alias:\n  values: {cmd: "--nope x"}\nsteps:\n  - cmd: $cmd y\n'
    with pytest.raises(InvalidTask) as caught:
        load_task(text, file="t.yaml", inputs=Inputs())
    assert str(caught.value.problems[0].location) == "t.yaml:5:10"


@pytest.mark.parametrize("name", ["missing.yaml", ".", "a\0b"])
def test_a_source_that_cannot_be_read_is_told(name: str, tmp_path: Path) -> None:
    escaped = name.replace("\0", "\\0")
    ((code, message),) = problems(f'alias:\n  src: ["{escaped}"]\nx: 1\n', tmp_path)
    assert code == "E212"
    assert "cannot be read" in message


def test_a_source_outside_of_the_folders_is_refused_whether_it_exists_or_not(tmp_path: Path) -> None:
    folder = tmp_path / "task"
    folder.mkdir()
    (folder / "own.yaml").write_text("a: own\n")
    (tmp_path / "secret.yaml").write_text("a: secret\n")
    (folder / "link.yaml").symlink_to(tmp_path / "secret.yaml")
    (folder / "up").symlink_to(tmp_path)
    names = ["../secret.yaml", "../none.yaml", "link.yaml", "up/secret.yaml", "/dev/null", str(folder / "own.yaml")]
    for name in names:
        ((code, message),) = problems(f"alias:\n  src: ['{name}']\nx: 1\n", folder)
        assert code == "E212"
        assert "outside of the task's folder" in message


def test_a_source_may_lie_deeper_or_behind_a_link_that_stays_inside(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "one.yaml").write_text("a: one\n")
    (tmp_path / "link.yaml").symlink_to("deep/one.yaml")
    assert render("alias:\n  src: [deep/../link.yaml]\nx: $a\n", tmp_path) == "x: one\n"


def test_a_source_beside_the_task_file_is_read_though_we_stand_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "one.yaml").write_text("a: one\n")
    inputs = Inputs(base_dir=tmp_path / "here")
    text = HEAD + "alias:\n  src: [one.yaml]\nx: $a\n"
    assert "x: one" in render_task(text, file=str(tmp_path / "there" / "task.yaml"), inputs=inputs)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    ((code, message),) = problems("alias:\n  src: [pipe]\nx: 1\n", tmp_path)
    assert code == "E212"
    assert "no ordinary file" in message


def test_a_source_that_is_too_large_or_no_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "big.yaml").write_text("a: " + "x" * (1 << 20))
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    found = problems("alias:\n  src: [big.yaml, binary.yaml]\nx: 1\n", tmp_path)
    assert [code for code, _ in found] == ["E212", "E212"]


def test_an_address_is_fetched() -> None:
    def fetch(address: str) -> bytes:
        assert address == "https://example.com/a.yaml"
        return b"a: fetched\n"

    assert render("alias:\n  src: [https://example.com/a.yaml]\nx: $a\n", fetch=fetch) == "x: fetched\n"


class _Slow(BaseHTTPRequestHandler):
    release = threading.Event()

    def do_GET(self) -> None:
        if self.path == "/slow":
            self.release.wait(30)
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to/"))
            self.end_headers()
            return
        self.send_response(404 if self.path == "/none" else 200)
        self.end_headers()
        self.wfile.write(b"a: served\n")

    def log_message(self, *args: object) -> None:
        """Nothing: a test says what it has to say by itself."""


@pytest.fixture
def server():  # type: ignore[no-untyped-def]
    server = HTTPServer(("127.0.0.1", 0), _Slow)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    _Slow.release.set()
    server.shutdown()
    server.server_close()


def test_the_built_in_fetch_reads_http(server: str) -> None:
    assert render(f"alias:\n  src: ['{server}/ok']\nx: $a\n") == "x: served\n"
    assert problems(f"alias:\n  src: ['{server}/none']\nx: $a\n")[0][0] == "E212"


def test_a_redirect_is_followed_within_its_scheme_only(server: str) -> None:
    assert render(f"alias:\n  src: ['{server}/to//ok']\nx: $a\n") == "x: served\n"
    assert render(f"alias:\n  src: ['{server}/to/{server}/ok']\nx: $a\n") == "x: served\n"
    for target in ("https://127.0.0.1/a", "ftp://127.0.0.1/a"):
        ((code, message),) = problems(f"alias:\n  src: ['{server}/to/{target}']\nx: $a\n")
        assert code == "E212"
        assert "redirects from http to" in message


def test_a_public_address_may_not_redirect_into_our_network(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    port = server.rpartition(":")[2]
    public = f"http://localhost:{port}"
    monkeypatch.setattr(sourcefile, "_is_inner", lambda host: host != "localhost")
    ((code, message),) = problems(f"alias:\n  src: ['{public}/to/{server}/ok']\nx: $a\n")
    assert code == "E212"
    assert "redirects from a public address" in message


@pytest.mark.parametrize(
    ("host", "inner"),
    [
        ("127.0.0.1", True),
        ("169.254.169.254", True),
        ("10.1.2.3", True),
        ("::1", True),
        ("::ffff:10.0.0.1", True),
        ("fe80::1", True),
        ("0.0.0.0", True),
        ("8.8.8.8", False),
        ("2606:4700::1", False),
        ("", False),
    ],
)
def test_hosts_of_our_own_network_are_known(host: str, inner: bool) -> None:
    assert sourcefile._is_inner(host) is inner


def test_the_built_in_fetch_does_not_wait_for_ever(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sourcefile, "TIME_LIMIT", 0.2)
    _Slow.release.clear()
    ((code, message),) = problems(f"alias:\n  src: ['{server}/slow']\nx: $a\n")
    assert code == "E212"
    assert "no answer" in message or "timed out" in message
