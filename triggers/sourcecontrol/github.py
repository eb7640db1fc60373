"""GitHub and GitHub Enterprise: push and pull_request events, signed by HMAC-SHA256. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from triggers.sourcecontrol.githubform import GitHubForm
from triggers.sourcecontrol.model import Headers, Ignored, Parsed
from triggers.sourcecontrol.reading import Fields, body_of, hmac_matches

_MOST_COMMITS = 2048  # GitHub names no more of a push


class GitHub(GitHubForm):
    provider = "Github"
    actions: ClassVar[Mapping[str, str]] = {"opened": "opened", "synchronize": "synchronize", "reopened": "reopened"}
    addresses = ("clone_url", "ssh_url", "git_url", "html_url")

    def verify(self, headers: Headers, body: bytes, secret: str) -> bool:
        return hmac_matches(headers.get("x-hub-signature-256", ""), body, secret)

    def delivery(self, headers: Headers) -> str:
        return headers.get("x-github-delivery", "")

    def parse(self, headers: Headers, body: bytes) -> Parsed:
        match event := headers.get("x-github-event", ""):
            case "push":
                return self.push(body_of(headers, body), self.delivery(headers))
            case "pull_request":
                return self.pull_request(body_of(headers, body), self.delivery(headers))
        return Ignored(reason=f"the event '{event[:80]}' is neither a push nor a pull request")

    def tells_all(self, push: Fields, commits: Sequence[Fields]) -> bool:
        return not push.flag("forced") and len(commits) < _MOST_COMMITS

    def is_fork(self, pull: Fields) -> bool:
        head, base = pull.text("head.repo.full_name").lower(), pull.text("base.repo.full_name").lower()
        return not head or head != base


FORGE = GitHub()
