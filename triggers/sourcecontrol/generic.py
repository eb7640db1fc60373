"""Any other sender: a JSON body, and a mapping that says where in it to look. Pure.

Signed by HMAC-SHA256 in `X-Acr-Task-Signature` (or `X-Hub-Signature-256`), or the secret itself as a bearer token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from taskengine.errors import InvalidInput
from triggers.sourcecontrol.model import Headers, Ignored, Kind, Parsed, SourceEvent
from triggers.sourcecontrol.reading import body_of, commit_of, hmac_matches, names, same, split_ref

#: where each fact stands when the mapping does not say otherwise: dotted paths into the body
DEFAULT: Mapping[str, str] = {
    "repository": "repository", "ref": "ref", "commit": "commit", "before": "before", "author": "author",
    "sender": "sender", "message": "message", "paths": "paths", "delivery": "delivery",
}  # fmt: skip


@dataclass(frozen=True)
class Generic:
    """`mapping` has some of DEFAULT's names. Raises InvalidInput for other ones."""

    mapping: Mapping[str, str] = field(default_factory=dict)
    provider = "Generic"

    def __post_init__(self) -> None:
        if unknown := sorted(self.mapping.keys() - DEFAULT.keys()):
            raise InvalidInput(f"a mapping has no '{unknown[0]}'", hint=f"it has {', '.join(sorted(DEFAULT))}")

    def verify(self, headers: Headers, body: bytes, secret: str) -> bool:
        signature = headers.get("x-acr-task-signature", "") or headers.get("x-hub-signature-256", "")
        scheme, _, token = headers.get("authorization", "").partition(" ")
        signed = hmac_matches(signature, body, secret)
        return signed or (same(token.strip(), secret) and scheme.lower() == "bearer")

    def delivery(self, headers: Headers) -> str:
        return headers.get("x-acr-task-delivery", "")

    def parse(self, headers: Headers, body: bytes) -> Parsed:
        data = body_of(headers, body)
        at = {**DEFAULT, **self.mapping}
        ref = data.text(at["ref"])
        if not ref.startswith("refs/") and ref:
            ref = f"refs/heads/{ref}"
        branch, tag = split_ref(ref)
        if not branch and not tag:
            raise InvalidInput(
                f"the delivery has no branch or tag at '{at['ref']}'",
                hint="name it as main, refs/heads/main or refs/tags/v1",
            )
        commit = commit_of(data.text(at["commit"]))
        if not commit:
            return Ignored(reason=f"{ref} was deleted, or has no commit at '{at['commit']}'")
        paths = data.get(at["paths"])
        return (
            SourceEvent(
                kind=Kind.TAG if tag else Kind.PUSH,
                provider=self.provider,
                delivery=self.delivery(headers) or data.text(at["delivery"]),
                repositories=names(data.text(at["repository"])),
                ref=ref,
                branch=branch,
                tag=tag,
                commit=commit,
                before=commit_of(data.text(at["before"])),
                author=data.text(at["author"]),
                sender=data.text(at["sender"]),
                message=data.text(at["message"]),
                paths=tuple(data.texts(at["paths"])) if isinstance(paths, list) else None,
            ),
        )


FORGE = Generic()
