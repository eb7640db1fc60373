"""Any other sender: a JSON body, and a mapping that says where in it to look. Pure.

Signed by HMAC-SHA256 in `X-Acr-Task-Signature` (or `X-Hub-Signature-256`), or the secret itself as a bearer token.
Where `X-Acr-Task-Timestamp` (seconds since 1970) is sent, `TIMESTAMP.BODY` is what is signed, and it has to be fresh.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from taskengine.errors import InvalidInput
from taskengine.service.taskcheck import MAPPED
from triggers.sourcecontrol.model import Headers, Ignored, Kind, Parsed, SourceEvent
from triggers.sourcecontrol.reading import (
    Fields,
    body_of,
    commit_of,
    hmac_matches,
    names,
    same,
    signed_seconds,
    split_ref,
)

#: where each fact stands when the mapping does not say otherwise: dotted paths into the body
DEFAULT: Mapping[str, str] = {name: name for name in MAPPED}


_SIGNATURES = ("x-acr-task-signature", "x-hub-signature-256")
_TIMESTAMP = "x-acr-task-timestamp"


@dataclass(frozen=True)
class Generic:
    """`mapping` has some of DEFAULT's names, each with a dotted path, or with `=` and the text that it always is.
    Raises InvalidInput for other names."""

    mapping: Mapping[str, str] = field(default_factory=dict)
    provider = "Generic"

    def __post_init__(self) -> None:
        if unknown := sorted(self.mapping.keys() - DEFAULT.keys()):
            raise InvalidInput(f"a mapping has no '{unknown[0]}'", hint=f"it has {', '.join(sorted(DEFAULT))}")

    def verify(self, headers: Headers, body: bytes, secret: str) -> bool:
        signature = next((found for name in _SIGNATURES if (found := headers.get(name))), "")
        scheme, _, token = headers.get("authorization", "").partition(" ")
        moment = headers.get(_TIMESTAMP, "")
        signed = hmac_matches(signature, f"{moment}.".encode() + body if moment else body, secret)
        return signed or (same(token.strip(), secret) and scheme.lower() == "bearer")

    def signs_body(self, headers: Headers) -> bool:
        return any(name in headers for name in _SIGNATURES)

    def signed_at(self, headers: Headers) -> int | None:
        return signed_seconds(headers.get(_TIMESTAMP, ""))

    def delivery(self, headers: Headers) -> str:
        return headers.get("x-acr-task-delivery", "")

    def parse(self, headers: Headers, body: bytes) -> Parsed:
        data = body_of(headers, body)
        at = {**DEFAULT, **self.mapping}

        def text(name: str) -> str:
            return at[name].removeprefix("=") if at[name].startswith("=") else data.text(at[name])

        ref = text("ref")
        if not ref.startswith("refs/") and ref:
            ref = f"refs/heads/{ref}"
        branch, tag = split_ref(ref)
        if not branch and not tag:
            raise InvalidInput(
                f"the delivery has no branch or tag at '{at['ref']}'",
                hint="name it as main, refs/heads/main or refs/tags/v1",
            )
        commit = commit_of(text("commit"))
        if not commit:
            return Ignored(reason=f"{ref} was deleted, or has no commit at '{at['commit']}'")
        return (
            SourceEvent(
                kind=Kind.TAG if tag else Kind.PUSH,
                provider=self.provider,
                delivery=self.delivery(headers) or text("delivery"),
                repositories=names(text("repository")),
                ref=ref,
                branch=branch,
                tag=tag,
                commit=commit,
                before=commit_of(text("before")),
                author=text("author"),
                sender=text("sender"),
                message=text("message"),
                paths=_paths(data, at["paths"]),
            ),
        )


def _paths(data: Fields, at: str) -> tuple[str, ...] | None:
    return tuple(data.texts(at)) if isinstance(data.get(at), list) else None


FORGE = Generic()
