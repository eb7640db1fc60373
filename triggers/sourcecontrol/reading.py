"""Reads JSON that strangers sent: what is missing is empty, what is of a wrong kind is InvalidInput. Pure.

Also the checks of signatures that several forges share.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs

from taskengine.errors import InvalidInput
from triggers.sourcecontrol.model import Headers

_LONGEST = 4096
_MOST_PATHS = 20_000
_COMMIT = re.compile(r"[0-9a-fA-F]{40}|[0-9a-fA-F]{64}")
_HIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


class Fields:
    """An object of a delivery. Paths are dotted; numbers in them count into lists."""

    def __init__(self, data: Any, where: str = "the body") -> None:
        if not isinstance(data, dict):
            raise InvalidInput(f"{where} is no JSON object", hint="is the webhook set to send JSON?")
        self._data = data

    def get(self, path: str) -> Any:
        """What is there; None when nothing is."""
        found: Any = self._data
        for name in path.split("."):
            if isinstance(found, dict):
                found = found.get(name)
            elif isinstance(found, list) and name.isascii() and name.isdigit() and len(name) < 5:
                found = found[int(name)] if int(name) < len(found) else None
            else:
                return None
        return found

    def text(self, *paths: str) -> str:
        """The first of these that is there and not empty, as text without control characters."""
        for path in paths:
            found = self.get(path)
            if isinstance(found, int) and not isinstance(found, bool):
                found = str(found) if abs(found) < 10**18 else ""
            if found is None or found == "":
                continue
            if not isinstance(found, str):
                raise InvalidInput(f"'{path}' of the delivery is no text")
            return _HIDDEN.sub("", found[:_LONGEST])
        return ""

    def flag(self, path: str) -> bool:
        return self.get(path) is True

    def at(self, path: str) -> Fields:
        """The object there; an empty one when nothing is."""
        found = self.get(path)
        return Fields({} if found is None else found, f"'{path}' of the delivery")

    def each(self, path: str) -> Iterator[Fields]:
        """The objects of the list there."""
        found = self.get(path)
        if found is None:
            return
        if not isinstance(found, list):
            raise InvalidInput(f"'{path}' of the delivery is no list")
        for item in found:
            yield Fields(item, f"an entry of '{path}'")

    def texts(self, path: str) -> list[str]:
        """The list of texts there; other things in it are left out."""
        found = self.get(path)
        return [_HIDDEN.sub("", one[:_LONGEST]) for one in found if isinstance(one, str)] if _is_list(found) else []


def _is_list(found: Any) -> bool:
    return isinstance(found, list)


def body_of(headers: Headers, body: bytes) -> Fields:
    """A JSON body, also within a form as GitHub and Gitea send it when told so. Raises InvalidInput."""
    try:
        if headers.get("content-type", "").lower().startswith("application/x-www-form-urlencoded"):
            form = parse_qs(body.decode("ascii"), max_num_fields=20)
            body = (form.get("payload") or [""])[0].encode()
        data = json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise InvalidInput("the delivery's body is not JSON", hint="is the webhook set to send JSON?") from error
    return Fields(data)


def commit_of(text: str) -> str:
    """A commit's full name in lower case, empty for none and for all zeros. Raises InvalidInput for anything else."""
    if not text.strip("0"):
        return ""
    if not _COMMIT.fullmatch(text):
        raise InvalidInput(f"'{text[:80]}' is no commit", hint="the full name of a commit has 40 or 64 hex digits")
    return text.lower()


def changed_paths(commits: Iterator[Fields]) -> tuple[str, ...] | None:
    """All files that these commits touch; None when they are too many to be kept."""
    found: dict[str, None] = {}
    for commit in commits:
        for key in ("added", "modified", "removed"):
            found.update(dict.fromkeys(commit.texts(key)))
        if len(found) > _MOST_PATHS:
            return None
    return tuple(sorted(found))


def split_ref(ref: str) -> tuple[str, str]:
    """The branch and the tag of a ref; one of them is empty. Both are for a ref that is neither."""
    if ref.startswith("refs/heads/"):
        return ref.removeprefix("refs/heads/"), ""
    if ref.startswith("refs/tags/"):
        return "", ref.removeprefix("refs/tags/")
    return "", ""


def names(*given: str) -> tuple[str, ...]:
    """The addresses that are there, each once."""
    return tuple(dict.fromkeys(one for one in given if one))


def signed_seconds(text: str) -> int | None:
    """The moment that a signature covers, in seconds since 1970; None where none was sent, 0 for what is no moment."""
    if not text:
        return None
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else 0


def hmac_matches(given: str, body: bytes, secret: str) -> bool:
    """Whether a header holds the HMAC-SHA256 of a body in hex, with or without `sha256=` before it."""
    made = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    sent = given.strip().lower().removeprefix("sha256=").encode("utf-8", "replace")
    return hmac.compare_digest(sent, made.encode()) and bool(secret)


def standard_signature_matches(headers: Headers, body: bytes, secret: str) -> bool:
    """Whether one of the signatures of a Standard Webhooks delivery is by this secret: HMAC-SHA256 in base64 over
    `ID.TIMESTAMP.BODY`, keyed with the secret, or with what `whsec_BASE64` stands for."""
    key = secret.encode()
    if secret.startswith("whsec_"):
        with contextlib.suppress(binascii.Error, ValueError):
            key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    head = f"{headers.get('webhook-id', '')}.{headers.get('webhook-timestamp', '')}.".encode("utf-8", "replace")
    made = base64.b64encode(hmac.new(key, head + body, hashlib.sha256).digest())
    given = headers.get("webhook-signature", "")[:_LONGEST].split()
    fits = [hmac.compare_digest(one.removeprefix("v1,").encode("utf-8", "replace"), made) for one in given]
    return any(fits) and bool(secret) and bool(key)


def same(given: str, secret: str) -> bool:
    """Whether both are the same text; the digests are compared, so that not even the length can be measured."""
    sides = [hashlib.sha256(text.encode("utf-8", "replace")).digest() for text in (given, secret)]
    return hmac.compare_digest(sides[0], sides[1]) and bool(secret)


def basic_password(headers: Headers) -> str:
    """The password of an `Authorization: Basic` header; empty when there is none."""
    scheme, _, coded = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(coded.strip(), validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return ""
