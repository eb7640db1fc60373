"""The shapes in which a secret can turn up in a log: as it is, encoded, quoted, line by line.

Pure. Knows values only, not streams. Where a value is too short or too ordinary to be masked without turning a log
into asterisks, it is left out, and `Forms.too_short` says how many were:

* up to 3 characters, and ordinary words such as `true`: never masked;
* 4 to 7 characters: as a whole word only, in base64 and the like too;
* 8 and more: wherever they stand.

A secret of several lines is masked as a whole and by those of its lines that could not stand in any log by chance.
"""

from __future__ import annotations

import base64
import json
import re
import shlex
from collections.abc import Iterable, Iterator
from typing import NamedTuple
from urllib.parse import quote, quote_plus

SHORTEST = 4
SHORTEST_ANYWHERE = 8
#: Above this size only the value itself and its lines are looked for; encoded copies would cost too much memory.
LARGEST_TO_ENCODE = 64 * 1024
#: The same for its lines, of which each would have copies of its own.
LARGEST_TO_ENCODE_PARTS = 8 * 1024

#: Values that logs are full of. Hiding them would hide everything else and tell nobody anything.
_ORDINARY = frozenset(
    b"true false null none undefined default enabled disabled localhost latest main master test prod production "
    b"development staging admin root user password secret token linux amd64 arm64 http https info debug".split()
)

_URL_SAFE = ("", "/", "!'()*~", "$&+,/:;=@~", "$&+:=@~")


class Forms(NamedTuple):
    """`anywhere` are masked wherever they stand, `words` only where no letter, digit or underscore touches them."""

    anywhere: frozenset[bytes]
    words: frozenset[bytes]
    too_short: int


def forms_of(secrets: Iterable[str | bytes]) -> Forms:
    """All shapes of all secrets."""
    anywhere: set[bytes] = set()
    words: set[bytes] = set()
    too_short = 0
    for secret in secrets:
        value = (secret.encode("utf-8", "surrogateescape") if isinstance(secret, str) else bytes(secret)).strip()
        if not value:
            continue
        if len(value) < SHORTEST or value.lower() in _ORDINARY:
            too_short += 1
            continue
        target = anywhere if len(value) >= SHORTEST_ANYWHERE else words
        target.update(_shapes(value))
        for part in _telling_parts(value):
            anywhere.update(_shapes(part) if len(value) <= LARGEST_TO_ENCODE_PARTS else (part,))
    return Forms(frozenset(anywhere), frozenset(words - anywhere), too_short)


def _shapes(value: bytes) -> Iterator[bytes]:
    yield value
    if b"\n" in value:
        unix = value.replace(b"\r\n", b"\n")
        yield unix
        yield unix.replace(b"\n", b"\r\n")  # what a terminal makes of it
    if len(value) > LARGEST_TO_ENCODE:
        return
    shapes = [*_base64_shapes(value), *_text_shapes(value)]
    yield from (shape for shape in shapes if len(shape) >= min(len(value), SHORTEST_ANYWHERE))


def _base64_shapes(value: bytes) -> Iterator[bytes]:
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(value)
        yield encode(value).rstrip(b"=")
        for offset in range(3):
            # Encoded somewhere inside a longer text, the first and the last characters depend on the neighbours.
            core = encode(b"\0" * offset + value)
            stable_end = (offset + len(value)) * 8 // 6
            core = core[(0, 2, 3)[offset] : stable_end]
            if len(core) >= SHORTEST_ANYWHERE:
                yield core
            if offset == 0 and len(core) > 64:
                yield from _wrapped(core)
                yield from _wrapped(encode(value))


def _wrapped(text: bytes) -> Iterator[bytes]:
    """The lines that `base64` (76 columns) and PEM writers (64) make of it."""
    for width in (64, 76):
        for at in range(0, len(text), width):
            if len(text) - at >= SHORTEST_ANYWHERE:
                yield text[at : at + width]


def _text_shapes(value: bytes) -> Iterator[bytes]:
    """Escaped for URLs, JSON, HTML and shells. Nothing for values that are no text."""
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        yield from _url_shapes(value)
        return
    yield from _url_shapes(value)
    for ascii_only in (True, False):
        inner = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        yield inner.encode()
        yield inner.replace("/", "\\/").encode()
        yield re.sub("[<>&]", lambda m: f"\\u{ord(m[0]):04x}", inner).encode()  # what Go writes
    import html  # with its table of entities: not loaded where there is no secret

    yield html.escape(text, quote=False).encode()
    yield html.escape(text).encode()
    yield from (shape.encode() for shape in _shell_shapes(text))


def _url_shapes(value: bytes) -> Iterator[bytes]:
    for safe in _URL_SAFE:
        for encode in (quote, quote_plus):
            upper = encode(value, safe=safe)
            yield upper.encode()
            yield re.sub("%[0-9A-F]{2}", lambda m: m[0].lower(), upper).encode()


def _shell_shapes(text: str) -> Iterator[str]:
    yield shlex.quote(text).removeprefix("'").removesuffix("'")
    yield text.replace("'", "'\\''")
    yield re.sub(r"([^\w@%+=:,./\n-])", r"\\\1", text)
    yield re.sub(r'([\\"$`])', r"\\\1", text)
    yield text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\t", "\\t")


def _telling_parts(value: bytes) -> Iterator[bytes]:
    """Pieces of a structured or multi-line secret that are secrets by themselves. Binary data has no lines."""
    if not _is_text(value):
        return
    if b"\n" in value or b"\r" in value:
        for line in value.splitlines():
            yield from _telling_line(line.strip())
    if value[:1] in b"{[":
        for leaf in _json_leaves(value):
            if b"\n" in leaf.strip():
                yield from _telling_parts(leaf.strip())
            elif _is_random(leaf):
                yield leaf


def _telling_line(line: bytes) -> Iterator[bytes]:
    if line.startswith(b"-----") or not _is_telling(line):
        return
    yield line
    _, sign, right = line.partition(b"=")
    right = right.strip().strip(b"\"'")
    if sign and right and _is_random(right):
        yield right


def _is_telling(line: bytes) -> bool:
    """Long and varied enough that no other log line holds it by chance."""
    if len(line) < SHORTEST_ANYWHERE or len(set(line)) < 4:
        return False
    return len(line) >= 20 or (len(set(line)) >= 5 and _is_mixed(line))


def _is_random(value: bytes) -> bool:
    """Looks like a key and not like a name, a word or an address."""
    if len(value) < SHORTEST_ANYWHERE or b" " in value or value.startswith((b"http://", b"https://")):
        return False
    return len(set(value)) >= 5 and _is_mixed(value)


def _is_text(value: bytes) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _is_mixed(value: bytes) -> bool:
    digits = any(48 <= byte <= 57 for byte in value)
    lower = any(97 <= byte <= 122 for byte in value)
    upper = any(65 <= byte <= 90 for byte in value)
    return digits + lower + upper >= 2 and (digits or not value.istitle())


def _json_leaves(value: bytes) -> Iterator[bytes]:
    try:
        document = json.loads(value)
    except (ValueError, RecursionError):
        return
    pending = [document]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)
        elif isinstance(node, str):
            yield node.encode("utf-8", "surrogatepass").strip()
