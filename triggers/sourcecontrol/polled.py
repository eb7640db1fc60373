"""What polling found: a branch or tag that stands for another commit, in a form of our own. Pure.

Not a forge: nobody can deliver it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from triggers.sourcecontrol.model import Kind, Parsed, SourceEvent
from triggers.sourcecontrol.reading import body_of, commit_of, names, split_ref

#: the door by which such events come into the ledger
SOURCE = "git"


def probe(ref: str, commit: str = "", *, url: str = "") -> SourceEvent:
    """An event that says no more than which ref stands for which commit."""
    branch, tag = split_ref(ref)
    kind = Kind.TAG if tag else Kind.PUSH
    return SourceEvent(
        kind=kind, provider="Git", repositories=names(url), ref=ref, branch=branch, tag=tag, commit=commit
    )


def body(
    event: SourceEvent, *, before: str, author: str, sender: str, message: str, paths: Sequence[str] | None
) -> bytes:
    """The event as it is kept."""
    found = {
        "repository": event.repositories[0] if event.repositories else "", "ref": event.ref, "commit": event.commit,
        "before": before, "author": author, "sender": sender, "message": message,
        "paths": None if paths is None else list(paths),
    }  # fmt: skip
    return json.dumps(found).encode()


def parse(kept: bytes) -> Parsed:
    """Raises InvalidInput for what `body` did not write."""
    data = body_of({}, kept)
    ref = data.text("ref")
    branch, tag = split_ref(ref)
    return (
        SourceEvent(
            kind=Kind.TAG if tag else Kind.PUSH,
            provider="Git",
            repositories=names(data.text("repository")),
            ref=ref,
            branch=branch,
            tag=tag,
            commit=commit_of(data.text("commit")),
            before=commit_of(data.text("before")),
            author=data.text("author"),
            sender=data.text("sender"),
            message=data.text("message"),
            paths=tuple(data.texts("paths")) if isinstance(data.get("paths"), list) else None,
        ),
    )
