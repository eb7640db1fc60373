"""A build line is options and a context, as docker build reads them."""

from __future__ import annotations

import pytest

from taskengine.plan.buildline import BUILD_OPTIONS, cache_reference, own_cache, parse_build, with_cache
from taskengine.plan.cachetarget import cache_source, cache_target
from taskengine.plan.option import LineError, Option


def test_a_line_is_options_and_a_context() -> None:
    line = parse_build("-t one:1 --tag two:2 -f sub/Dockerfile --build-arg A=1 --target final .")
    assert line.context == "."
    assert line.dockerfile == "sub/Dockerfile"
    assert line.tags == ("one:1", "two:2")
    assert line.build_args == ("A=1",)
    assert line.target == "final"


@pytest.mark.parametrize(
    ("text", "tags", "context"),
    [
        (".", (), "."),
        ("-", (), "-"),
        (". -t x", ("x",), "."),
        ("-t \"one:1\" -t 'two:2' .", ("one:1", "two:2"), "."),
        ("--tag=x -ty .", ("x", "y"), "."),
        ('--build-arg NOTE="use -t carefully" -t real .', ("real",), "."),
        ("-t -t x .", ("-t", "x"), "."),
        ("-t x -t x .", ("x", "x"), "."),
        ("-t x https://github.com/a/b.git#main:sub", ("x",), "https://github.com/a/b.git#main:sub"),
        ("-t x -- -odd", ("x",), "-odd"),
        ("-t one:1\n--tag two:2\n.\n", ("one:1", "two:2"), "."),
    ],
)
def test_tags_and_context_are_read_as_docker_reads_them(text: str, tags: tuple[str, ...], context: str) -> None:
    line = parse_build(text)
    assert (line.tags, line.context) == (tags, context)


def test_options_without_a_meaning_here_are_left_out() -> None:
    line = parse_build("--progress plain --rm --load --isolation default -q --pull .")
    assert line.options == (("load", ""), ("pull", ""))


def _value(option: Option) -> str:
    special = {
        "attest": "type=sbom", "build-context": "a=b", "memory": "1g", "memory-swap": "-1", "shm-size": "64m",
        "platform": "linux/arm64",
        "ulimit": "nofile=1:2",
    }  # fmt: skip
    return special.get(option.name, "value")


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("--attest type=other", "names no attestation", "type=sbom"),
        ("--attest provenance", "names no attestation", "type=provenance"),
        ("--build-context only", "names no context", "NAME=FOLDER"),
        ("--build-context a=oci-layout://x", "OCI's layout", "docker-image://IMAGE"),
        ("--build-context a=docker-image://", "names no image", "a=docker-image://IMAGE"),
        ("--build-context a=target:x", "bake", "folder"),
        ("--ssh default=/home/me/.ssh/id_ed25519", "by id only", "acr-task run"),
        ("--ssh 'a b'", "no id", "--ssh default"),
        ("--memory lots", "lots", "512m"),
    ],
)
def test_values_without_a_meaning_are_told_with_their_option(line: str, message: str, hint: str) -> None:
    with pytest.raises(LineError, match=message) as caught:
        parse_build(f"{line} .")
    assert caught.value.message.startswith(line.split()[0])
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize("name", ["push", "allow x", "squash", "output x", "iidfile x"])
def test_what_no_build_here_does_is_refused_by_name(name: str) -> None:
    with pytest.raises(LineError, match=name.split()[0]) as caught:
        parse_build(f"--{name} .")
    assert caught.value.hint


@pytest.mark.parametrize("option", [option for option in BUILD_OPTIONS if not option.refused], ids=lambda o: o.name)
def test_every_supported_option_is_understood(option) -> None:  # type: ignore[no-untyped-def]
    line = parse_build(f"--{option.name} {_value(option)} ." if option.takes_value else f"--{option.name} .")
    assert line.context == "."
    assert option.help.endswith(".")


@pytest.mark.parametrize(
    ("text", "code", "offset"),
    [
        ("-t x", "E412", 4),
        ("", "E412", 0),
        ("-t x . other", "E413", 7),
        ("--pul .", "E414", 0),
        ("-t x -o out .", "E404", 5),
        (". --build-arg", "E405", 2),
        (". 'x", "E401", 2),
    ],
)
def test_a_wrong_line_says_what_and_where(text: str, code: str, offset: int) -> None:
    with pytest.raises(LineError) as caught:
        parse_build(text)
    assert (caught.value.code, caught.value.offset) == (code, offset)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("--pul .", "a build line (docker build) has no option '--pul'", "did you mean '--pull'?"),
        ("--cpu-share 2 .", "a build line (docker build) has no option '--cpu-share'", "did you mean '--cpu-shares'?"),
        ("--cpus 2 .", "a build line (docker build) has no option '--cpus': it is one of docker run", "in cmd steps"),
        (
            "--volume a:b .",
            "a build line (docker build) has no option '--volume': it is one of docker run",
            "leave it out here",
        ),
        ("-v a:b .", "a build line (docker build) has no option '-v': it is one of docker run (--volume)", ""),
    ],
)
def test_an_unknown_option_is_told_with_what_may_be_meant(text: str, message: str, hint: str) -> None:
    with pytest.raises(LineError) as caught:
        parse_build(text)
    assert caught.value.message == message
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("tags", "wanted"),
    [
        (("reg.example.com/team/app:1",), "reg.example.com/team/app:cache_nightly_b"),
        (("app:1",), "other.example.com/app:cache_nightly_b"),
        (("app:1", "reg.example.com:5000/x"), "reg.example.com:5000/x:cache_nightly_b"),
        (("Not An Image",), None),
        ((), None),
    ],
)
def test_the_cache_of_a_build_lies_beside_its_first_tag_with_a_host(tags: tuple[str, ...], wanted: str | None) -> None:
    found = cache_reference(tags, task_name="nightly", step_id="b", registry="other.example.com")
    assert found == wanted


def test_without_a_task_name_the_cache_is_that_of_a_quick_run() -> None:
    assert cache_reference(("r.io/a",), task_name="", step_id="b", registry="") == "r.io/a:cache_quickrun_b"


@pytest.mark.parametrize(
    ("text", "own"),
    [
        ("-t a .", ""),
        ("-t a --cache-to type=inline .", ""),
        ("-t a --cache-to type=registry,ref=r.io/a:c,mode=max .", "r.io/a:c"),
    ],
)
def test_a_line_may_name_the_place_of_its_cache_itself(text: str, own: str) -> None:
    line = parse_build(text)
    assert own_cache(line) == own
    cached = parse_build(with_cache(text, "r.io/a:cache_quickrun_b", own=own_cache(line)))
    place = own or "r.io/a:cache_quickrun_b"
    assert [cache_source(value) for value in cached.all("cache-from")] == [place]
    assert place in {cache_target(value).reference for value in cached.all("cache-to")}


def test_without_a_registry_there_is_no_cache() -> None:
    assert cache_reference(("a",), task_name="t", step_id="b", registry="") is None
