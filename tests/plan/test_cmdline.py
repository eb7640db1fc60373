"""A cmd line is options, an image and arguments, as docker run reads them."""

from __future__ import annotations

import pytest

from taskengine.plan.cmdline import RUN_OPTIONS, parse_cmd
from taskengine.plan.option import LineError


def test_a_line_is_an_image_and_its_arguments() -> None:
    line = parse_cmd("busybox:1 echo -n 'hello world'")
    assert (line.image, line.args, line.options) == ("busybox:1", ("echo", "-n", "hello world"), ())


def test_options_before_the_image_are_those_of_docker_run() -> None:
    line = parse_cmd("--volume /data:/data -e K=V busybox echo hi")
    assert line.options == (("volume", "/data:/data"), ("env", "K=V"))
    assert (line.image, line.args) == ("busybox", ("echo", "hi"))


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("-t x", (("tty", ""),)),
        ("-it x", (("interactive", ""), ("tty", ""))),
        ("-itv /a:/b x", (("interactive", ""), ("tty", ""), ("volume", "/a:/b"))),
        ("-eA=1 x", (("env", "A=1"),)),
        ("-e=A=1 x", (("env", "A=1"),)),
        ("--env=A=1 x", (("env", "A=1"),)),
        ("--env 'A=1 2' x", (("env", "A=1 2"),)),
        ("--tty=false x", ()),
        ("--tty=true x", (("tty", ""),)),
        ("--net host x", (("network", "host"),)),
        ("-e A=1 -e B=2 x", (("env", "A=1"), ("env", "B=2"))),
        ("--rm -q x", ()),
        ("-- x", ()),
        ("-e -t x", (("env", "-t"),)),
    ],
)
def test_options_are_read_in_all_their_spellings(text: str, options: tuple[tuple[str, str], ...]) -> None:
    line = parse_cmd(text)
    assert line.options == options
    assert line.image == "x"


def test_what_follows_the_image_is_never_an_option() -> None:
    assert parse_cmd("x --rm -v --name y").args == ("--rm", "-v", "--name", "y")


@pytest.mark.parametrize("name", [option.name for option in RUN_OPTIONS if option.refused])
def test_an_option_that_a_task_cannot_have_is_refused_by_name_with_a_way_out(name: str) -> None:
    with pytest.raises(LineError) as caught:
        parse_cmd(f"--{name} value x")
    assert caught.value.code == "E404"
    assert f"--{name}" in caught.value.message
    assert caught.value.hint


_MEANINGFUL = {
    "BYTES": "64m",
    "N": "2",
    "DURATION": "1m30s",
    "PORT": "53/udp",
    "HOST:PORT": "8080:80",
    "MOUNT": "target=/m",
    "NAME=SOFT:HARD": "nofile=1:2",
    "REQUEST": "all",
}


@pytest.mark.parametrize("option", [option for option in RUN_OPTIONS if not option.refused], ids=lambda o: o.name)
def test_every_supported_option_is_understood(option) -> None:  # type: ignore[no-untyped-def]
    value = _MEANINGFUL.get(option.value, "value") if option.takes_value else ""
    line = parse_cmd(f"--{option.name} {value} x")
    assert line.image == "x"
    assert line.options == (() if option.ignored else ((option.name, value),))
    assert option.help.endswith(".")


@pytest.mark.parametrize(
    ("text", "code", "offset", "hint"),
    [
        ("", "E402", 0, "IMAGE"),
        ("  ", "E402", 0, "IMAGE"),
        ("-t", "E402", 0, "IMAGE"),
        ("''", "E402", 0, "IMAGE"),
        ("-t --entrypiont sh x", "E403", 3, "--entrypoint"),
        ("-Z x", "E403", 0, None),
        ("-v", "E405", 0, "SOURCE:PATH"),
        ("--tty=perhaps x", "E405", 0, None),
        ("x 'y", "E401", 2, "close"),
    ],
)
def test_a_wrong_line_says_what_where_and_how(text: str, code: str, offset: int, hint: str | None) -> None:
    with pytest.raises(LineError) as caught:
        parse_cmd(text)
    assert (caught.value.code, caught.value.offset) == (code, offset)
    assert hint is None or hint in (caught.value.hint or "")


def test_names_and_letters_of_options_are_unique() -> None:
    names = [option.name for option in RUN_OPTIONS] + [option.alias for option in RUN_OPTIONS if option.alias]
    letters = [option.short for option in RUN_OPTIONS if option.short]
    assert len(set(names)) == len(names)
    assert len(set(letters)) == len(letters)


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        ("-m lots x", 3),
        ("-t -mlots x", 3),
        ("--cpus=many x", 0),
        ("-p abc x", 3),
        ("--expose 80- --expose abc x", 22),
        ("--ulimit nofile=many x", 9),
        ("--health-interval 30 x", 18),
        ("--mount target=/m,volume-opt=o=bind x", 8),
    ],
)
def test_a_value_that_means_nothing_is_told_before_the_run(text: str, offset: int) -> None:
    with pytest.raises(LineError) as caught:
        parse_cmd(text)
    assert (caught.value.code, caught.value.offset) == ("E405", offset)
    assert caught.value.message.startswith("--")


def test_what_stands_after_the_image_is_not_looked_at() -> None:
    assert parse_cmd("x -m lots -p abc").args == ("-m", "lots", "-p", "abc")


def test_an_option_of_docker_build_is_told_as_such() -> None:
    with pytest.raises(LineError, match=r"no option '--build-arg': it is one of docker build$"):
        parse_cmd("--build-arg A=1 busybox")
