"""What a registry's refusals mean: status and error document in, one of our errors with a hint out. Pure.

Whatever a registry says is a stranger's text: it is cut, freed of control characters, and never repeats a secret.
"""

from __future__ import annotations

import json

from taskengine.errors import InvalidInput, TaskEngineError, Unreachable
from taskengine.lightclass import dataclass
from taskengine.lightpattern import pattern

_LONGEST = 200
_CONTROL = pattern(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")
_WORDS = {
    401: "the registry wants a login",
    403: "the registry does not allow it",
    404: "the registry has no such thing",
    405: "the registry does not do this",
    429: "too many requests",
}
_UNSUPPORTED = frozenset({"UNSUPPORTED", "METHOD_UNKNOWN"})


class NotFound(InvalidInput):
    """The registry has no such repository, manifest or blob, or does not show it to us."""


class Denied(InvalidInput):
    """The registry wants a login, refuses the one it got, or does not allow this with it."""


class Unsupported(TaskEngineError):
    """The registry cannot do this."""


class Refused(TaskEngineError):
    """The registry understood and refused: a manifest it holds for invalid, a name it does not allow."""


class RateLimited(Unreachable):
    """Too many requests, and no more time to wait. `retry_after` is in seconds, None if the registry did not say."""

    def __init__(self, message: str, *, hint: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """An answer that is an error. `what` is what we wanted, as in `reading alpine:3 on docker.io`."""

    status: int
    body: bytes
    what: str
    host: str
    had_login: bool = False
    withheld: bool = False
    retry_after: float | None = None


def error_of(refusal: Refusal) -> TaskEngineError:
    code, said = first_error(refusal.body)
    text = f"{refusal.what}: {said or _in_words(refusal.status)}"
    status = refusal.status
    if status == 429 or code == "TOOMANYREQUESTS":
        return RateLimited(text, hint=_when(refusal), retry_after=refusal.retry_after)
    if status in (401, 403) or code in ("DENIED", "UNAUTHORIZED"):
        return Denied(text, hint=_login_hint(refusal))
    if status in (405, 501) or code in _UNSUPPORTED:
        return Unsupported(text, hint=f"{refusal.host} does not offer this; its documentation or settings say more")
    if status == 404:
        return NotFound(text, hint=_name_hint(refusal, code))
    if status >= 500:
        return Unreachable(text, hint=f"{refusal.host} has a trouble of its own; try again later")
    return Refused(text, hint="the registry's words say what it does not like")


def _in_words(status: int) -> str:
    """For answers without a document, as those to HEAD are."""
    said = _WORDS.get(status)
    return f"{said} ({status})" if said else f"the registry answered {status}"


def first_error(body: bytes) -> tuple[str, str]:
    """Code and message of the first error in a registry's error document; both empty where it is none."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return "", ""
    errors = document.get("errors") if isinstance(document, dict) else None
    if isinstance(errors, list) and errors and isinstance(errors[0], dict):
        code, message = errors[0].get("code"), errors[0].get("message")
        return (code if isinstance(code, str) else "")[:64].upper(), clean(message if isinstance(message, str) else "")
    # token servers and proxies have smaller documents
    for key in ("error_description", "details", "message", "error"):
        if isinstance(document, dict) and isinstance(document.get(key), str):
            return "", clean(document[key])
    return "", ""


def clean(text: str) -> str:
    """A stranger's text, fit for one line of ours."""
    line = _CONTROL.sub(" ", text).strip()
    return line if len(line) <= _LONGEST else line[: _LONGEST - 3] + "..."


def _login_hint(refusal: Refusal) -> str:
    host = refusal.host
    if refusal.withheld:
        return (
            f"the login for {host} was not sent, as it would travel unencrypted; give {host} a certificate, or set "
            "login_in_clear for it in registries.yaml"
        )
    if refusal.had_login:
        return f"check the name, and that the account logged in to {host} may do this (`docker login {host}`)"
    return f"check the name, and log in with `docker login {host}`"


def _name_hint(refusal: Refusal, code: str) -> str:
    if not code:
        return f"check the name, and that {refusal.host} is a registry"
    return "check the repository, the tag or the digest" + ("" if refusal.had_login else "; it may need a login")


def _when(refusal: Refusal) -> str:
    when = f"try again in {refusal.retry_after:.0f} s" if refusal.retry_after else "try again later"
    return when if refusal.had_login else f"{when}, or log in: many registries allow more to accounts"
