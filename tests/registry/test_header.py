"""The headers that registries speak in: challenges, links, rate limits, media types. Examples, and any text at all."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskengine.registry.challenge import Challenge, parse_challenges, quote_value
from taskengine.registry.link import next_address
from taskengine.registry.mediatype import ACCEPT, OCI_INDEX, essence, is_media_type
from taskengine.registry.ratelimit import RateLimit, parse_rate_limit, parse_retry_after

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NAMES = st.from_regex(r"[a-z][a-z0-9_-]{0,10}", fullmatch=True)
VALUES = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=40)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('Basic realm="a, b"', [("basic", {"realm": "a, b"})]),
        (
            'Bearer realm="https://auth.example.com/token",service="reg",scope="repository:a/b:pull,push"',
            [("bearer", {"realm": "https://auth.example.com/token", "service": "reg", "scope": "repository:a/b:pull,push"})],
        ),
        ('Negotiate, Basic realm="x"', [("negotiate", {}), ("basic", {"realm": "x"})]),
        ("Negotiate abc==, Bearer realm=y", [("negotiate", {}), ("bearer", {"realm": "y"})]),
        ('BEARER  REALM = "q\\"uote" ,service=s', [("bearer", {"realm": 'q"uote', "service": "s"})]),
        ("Bearer realm=https://x/t,scope=registry:catalog:*", [("bearer", {"realm": "https://x/t", "scope": "registry:catalog:*"})]),
        ('Basic realm="not closed', [("basic", {})]),
        ('realm="without a scheme"', []),
        ("", []),
        (None, []),
    ],
)  # fmt: skip
def test_challenges_are_read(header: str | None, expected: list[tuple[str, dict[str, str]]]) -> None:
    assert [(one.scheme, dict(one.parameters)) for one in parse_challenges(header)] == expected


@given(st.lists(st.tuples(NAMES, st.dictionaries(NAMES, VALUES, min_size=1, max_size=4)), max_size=4))
def test_challenges_come_back_as_they_were_written(challenges: list[tuple[str, dict[str, str]]]) -> None:
    header = ", ".join(
        f"{scheme} " + ", ".join(f"{key}={quote_value(value)}" for key, value in parameters.items())
        for scheme, parameters in challenges
    )
    expected = tuple(Challenge(scheme=scheme, parameters=parameters) for scheme, parameters in challenges)
    assert parse_challenges(header) == expected


@given(st.text(max_size=200))
def test_no_header_breaks_a_parser(text: str) -> None:
    parse_challenges(text)
    next_address(text)
    essence(text)
    parse_retry_after(text, NOW)
    parse_rate_limit({"RateLimit": text, "ratelimit-remaining": text, "X-RateLimit-Reset": text}, NOW)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('</v2/x/tags/list?n=2&last=b>; rel="next"', "/v2/x/tags/list?n=2&last=b"),
        ("</v2/x>; rel=next", "/v2/x"),
        ('<a>; rel="prev", <b,c>; title="x, y"; REL="last next"', "b,c"),
        ('<a>; title="rel=next"', ""),
        ("<a>", ""),
        ("a; rel=next", ""),
        (None, ""),
    ],
)
def test_the_next_page_is_found(header: str | None, expected: str) -> None:
    assert next_address(header) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"ratelimit-limit": "100;w=21600", "ratelimit-remaining": "98;w=21600"}, RateLimit(limit=100, remaining=98, window=21600)),
        ({"RateLimit-Limit": "10", "RateLimit-Remaining": "0", "RateLimit-Reset": "30"}, RateLimit(limit=10, remaining=0, reset=30)),
        ({"RateLimit": "limit=100, remaining=50, reset=5"}, RateLimit(limit=100, remaining=50, reset=5)),
        ({"RateLimit": '"default";r=50;t=30', "RateLimit-Policy": '"default";q=100;w=60'}, RateLimit(limit=100, remaining=50, window=60, reset=30)),
        ({"X-RateLimit-Limit": "60", "X-RateLimit-Reset": str(int(NOW.timestamp()) + 9)}, RateLimit(limit=60, reset=9)),
        ({"X-RateLimit-Limit": "many"}, None),
        ({"Content-Type": "text/plain"}, None),
    ],
)  # fmt: skip
def test_rate_limits_are_read_in_their_dialects(headers: dict[str, str], expected: RateLimit | None) -> None:
    assert parse_rate_limit(headers, NOW) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("120", 120.0),
        ("Fri, 02 Jan 2026 03:05:05 GMT", 60.0),
        ("Fri, 02 Jan 2026 03:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("", None),
        (None, None),
    ],
)
def test_the_time_to_wait_is_read(header: str | None, expected: float | None) -> None:
    assert parse_retry_after(header, NOW) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [(f"{OCI_INDEX}; charset=utf-8", OCI_INDEX), ("Application/JSON", "application/json"), ("json", ""), (None, "")],
)
def test_a_media_type_is_read_without_its_parameters(header: str | None, expected: str) -> None:
    assert essence(header) == expected


def test_every_type_that_we_accept_is_one() -> None:
    assert all(is_media_type(one) for one in ACCEPT.split(", "))
