"""What is hidden, what is not, and that the cutting of a stream makes no difference."""

from __future__ import annotations

import base64
import json
import random
import shlex
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from taskengine.logs.mask import Mask

SECRET = "S3cr3t/pass word+'\"$x\\y&é="
KEY = "\n".join(
    [
        "-----BEGIN KEY-----",
        *(base64.b64encode(bytes([i] * 3 + [7, i, 9] * 15)).decode() for i in range(5)),
        "-----END KEY-----",
    ]
)


@pytest.mark.parametrize(
    "shape",
    [
        SECRET,
        quote(SECRET),
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        json.dumps(SECRET)[1:-1],
        json.dumps(SECRET, ensure_ascii=False)[1:-1],
        SECRET.replace("'", "'\"'\"'"),
        SECRET.replace("'", "'\\''"),
        base64.b64encode(SECRET.encode()).decode(),
        base64.b64encode(SECRET.encode()).decode().rstrip("="),
        base64.urlsafe_b64encode(SECRET.encode()).decode(),
    ],
)
def test_a_secret_is_hidden_in_every_shape(shape: str) -> None:
    assert Mask([SECRET]).text(f"<{shape}>") == "<***>"


def test_a_shell_quoted_secret_is_hidden() -> None:
    hidden = Mask([SECRET]).text(f"+ echo {shlex.quote(SECRET)}")
    assert hidden == "+ echo '***'"


def test_percent_encoding_in_small_letters_is_hidden() -> None:
    assert Mask(["pass/word+one"]).text("pass%2fword%2bone") == "***"


@pytest.mark.parametrize("before", ["", "u", "us", "use", "user:"])
@pytest.mark.parametrize("after", ["", "@", "@h", "@host"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_a_secret_inside_a_longer_base64_text_is_hidden_but_for_the_shared_characters(
    before: str, after: str, encode: object
) -> None:
    secret = "h?nter2>-~hunter2"
    text = encode((before + secret + after).encode()).decode()  # type: ignore[operator]
    hidden = Mask([secret]).text(text)
    assert "***" in hidden
    assert len(hidden.replace("***", "").rstrip("=")) <= len(before + after) * 4 / 3 + 4


def test_a_long_secret_is_hidden_in_wrapped_base64() -> None:
    secret = KEY.encode()
    wrapped = base64.encodebytes(secret).decode()
    assert set(Mask([secret]).text(wrapped).split()) == {"***"}


def test_a_secret_of_several_lines_is_hidden_as_a_whole_and_line_by_line() -> None:
    mask = Mask([KEY])
    assert mask.text(KEY) == "***"
    assert mask.text(KEY.replace("\n", "\r\n")) == "***"
    for line in KEY.splitlines()[1:-1]:
        assert mask.text(f"  {line},") == "  ***,"


def test_the_values_inside_a_json_secret_are_hidden_when_they_look_like_keys() -> None:
    secret = json.dumps({"type": "service_account", "private_key": KEY, "token": "abcDEF123456"}, indent=2)
    mask = Mask([secret])
    assert mask.text(secret) == "***"
    assert mask.text("token abcDEF123456") == "token ***"
    assert mask.text(KEY.splitlines()[2]) == "***"


def test_the_ordinary_lines_of_a_json_secret_do_not_turn_a_log_into_asterisks() -> None:
    secret = (
        '{\n  "name": "app",\n  "items": [\n    {\n      "id": 1\n    }\n  ],\n  "type": "account",\n  "key": "x"\n}'
    )
    log = '{\n}\n  ],\n{"id": 1}\nname type account items\n[build] done\n'
    assert Mask([secret]).text(log) == log


@pytest.mark.parametrize("value", ["", " ", "1", "a", "ab", "yes", "true", "TRUE", "null", "localhost", "\n"])
def test_short_and_ordinary_values_are_left_alone(value: str) -> None:
    mask = Mask([value])
    log = "1 a ab yes true null localhost: a1b true\n"
    assert mask.text(log) == log
    assert mask.empty


def test_values_left_alone_are_spoken_of_without_naming_them() -> None:
    assert Mask(["xyzzy-long-enough"]).warnings == ()
    (warning,) = Mask(["zq", "true"]).warnings
    assert "2 secret values" in warning
    assert "zq" not in warning


@pytest.mark.parametrize(
    ("log", "hidden"),
    [
        ("pin 4711", "pin ***"),
        ("pin=4711;", "pin=***;"),
        ("4711", "***"),
        ("14711 47110 a4711 _4711 4711b", "14711 47110 a4711 _4711 4711b"),
        ("4711-4711", "***-***"),
    ],
)
def test_values_of_four_to_seven_characters_are_hidden_as_whole_words(log: str, hidden: str) -> None:
    assert Mask(["4711"]).text(log) == hidden


def test_overlapping_secrets_leave_nothing_of_either() -> None:
    mask = Mask(["abcdefgh12", "gh12ijklmn", "abcdefgh12ijkl"])
    assert mask.text("<abcdefgh12ijklmn>") == "<***>"


def test_without_secrets_bytes_pass_untouched() -> None:
    mask = Mask([])
    chunk = b"anything"
    assert mask.empty
    assert mask.bytes(chunk) is chunk
    assert mask.stream().feed(chunk) is chunk


def test_binary_secrets_and_binary_logs_are_fine() -> None:
    secret = bytes(range(128, 160))
    assert Mask([secret]).bytes(b"\xff\x00" + secret + b"\xfe") == b"\xff\x00***\xfe"


def test_only_what_could_be_the_beginning_of_a_secret_is_held_back() -> None:
    stream = Mask(["hunter2-hunter2"]).stream()
    assert stream.feed(b"Password: ") == b"Password: "
    assert stream.feed(b"my hunt") == b"my "
    assert stream.feed(b"ing dog") == b"hunting dog"
    assert stream.feed(b" hunter2-hun") == b" "
    assert stream.close() == b"hunter2-hun"


def test_a_stream_of_one_repeated_letter_is_not_held_for_ever() -> None:
    stream = Mask(["a" * 12 + "b" + "a" * 12]).stream()
    out = [stream.feed(b"a" * 1000) for _ in range(20)]
    assert sum(map(len, out)) >= 19_000


def test_a_secret_that_repeats_itself_is_one_stretch() -> None:
    assert Mask(["abababababab"]).bytes(b"<" + b"ab" * 5000 + b">") == b"<***>"


_SECRETS = ["abcabcab", "abcabcabcabd", "cabx", "bcab", "hunter2-hunter2", "a b\nc d e1 f2 g3", "%2F/%2F/ok"]
_PARTS = [
    "abc",
    "ab",
    "c",
    "x",
    "abd",
    "bcab",
    " ",
    "\n",
    "hunter2",
    "-",
    "hunter2-hunter2",
    "a b\nc d e1 f2 g3",
    "%2F/",
    "ok",
]


@settings(max_examples=300, deadline=None)
@given(parts=st.lists(st.sampled_from(_PARTS), max_size=25), seed=st.integers(0, 1000))
@example(parts=["abc", "abc", "abc", "abd"], seed=1)
@example(parts=["bcab", "c"], seed=3)
def test_any_cutting_gives_what_the_whole_gives(parts: list[str], seed: int) -> None:
    data = "".join(parts).encode()
    mask = Mask(_SECRETS)
    whole_stream = mask.stream()
    whole = whole_stream.feed(data) + whole_stream.close()
    rng = random.Random(seed)
    stream = mask.stream()
    out, at = b"", 0
    while at < len(data):
        size = rng.randint(1, 6)
        out += stream.feed(data[at : at + size])
        at += size
    assert out + stream.close() == whole == mask.bytes(data)
    for secret in ("abcabcab", "hunter2-hunter2", "%2F/%2F/ok"):
        assert secret.encode() not in whole


@settings(max_examples=100, deadline=None)
@given(secret=st.text(min_size=8, max_size=40), before=st.text(max_size=10), after=st.text(max_size=10))
def test_no_secret_survives_any_surroundings(secret: str, before: str, after: str) -> None:
    value = secret.strip(" \t\r\n\v\f")
    if len(value.encode("utf-8", "surrogatepass")) >= 8 and "***" not in value:
        mask = Mask([secret])
        hidden = mask.text(f"{before} {value} {after}")
        assert mask.empty or value not in hidden or value in before or value in after


def test_a_very_large_secret_is_hidden_too() -> None:
    random_bytes = random.Random(1).randbytes(200_000)
    for secret in (random_bytes, base64.encodebytes(random_bytes).strip()):
        assert Mask([secret]).bytes(b"<" + secret + b">") == b"<***>"
