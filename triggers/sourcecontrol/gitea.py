"""Gitea and Forgejo: push and pull_request events, signed by HMAC-SHA256. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from triggers.sourcecontrol.githubform import GitHubForm
from triggers.sourcecontrol.model import Headers, Ignored, Parsed
from triggers.sourcecontrol.reading import Fields, body_of, hmac_matches

_PREFIXES = ("x-forgejo", "x-gitea", "x-gogs")


class Gitea(GitHubForm):
    provider = "Gitea"
    actions: ClassVar[Mapping[str, str]] = {
        "opened": "opened",
        "synchronized": "synchronize",
        "synchronize": "synchronize",
        "reopened": "reopened",
    }
    addresses = ("clone_url", "ssh_url", "html_url")

    def verify(self, headers: Headers, body: bytes, secret: str) -> bool:
        given = _header(headers, "signature") or headers.get("x-hub-signature-256", "")
        return hmac_matches(given, body, secret)

    def delivery(self, headers: Headers) -> str:
        return _header(headers, "delivery")

    def parse(self, headers: Headers, body: bytes) -> Parsed:
        match event := _header(headers, "event"):
            case "push":
                return self.push(body_of(headers, body), self.delivery(headers))
            case "pull_request" | "pull_request_sync":
                return self.pull_request(body_of(headers, body), self.delivery(headers))
        return Ignored(reason=f"the event '{event[:80]}' is neither a push nor a pull request")

    def tells_all(self, push: Fields, commits: Sequence[Fields]) -> bool:
        return push.get("total_commits") in (None, len(commits))

    def is_fork(self, pull: Fields) -> bool:
        head, base = pull.text("head.repo_id", "head.repo.id"), pull.text("base.repo_id", "base.repo.id")
        return not head or head != base


def _header(headers: Headers, name: str) -> str:
    return next((found for prefix in _PREFIXES if (found := headers.get(f"{prefix}-{name}"))), "")


FORGE = Gitea()
