"""Gitea and Forgejo: push and pull_request events, signed by HMAC-SHA256. Pure."""

from __future__ import annotations

from triggers.sourcecontrol.model import Headers, Ignored, Kind, Parsed, SourceEvent
from triggers.sourcecontrol.reading import Fields, body_of, changed_paths, commit_of, hmac_matches, names, split_ref

_PREFIXES = ("x-forgejo", "x-gitea", "x-gogs")
_ACTIONS = {"opened": "opened", "synchronized": "synchronize", "synchronize": "synchronize", "reopened": "reopened"}


class Gitea:
    provider = "Gitea"

    def verify(self, headers: Headers, body: bytes, secret: str) -> bool:
        given = _header(headers, "signature") or headers.get("x-hub-signature-256", "")
        return hmac_matches(given, body, secret)

    def delivery(self, headers: Headers) -> str:
        return _header(headers, "delivery")

    def parse(self, headers: Headers, body: bytes) -> Parsed:
        match event := _header(headers, "event"):
            case "push":
                return self._push(body_of(headers, body), self.delivery(headers))
            case "pull_request" | "pull_request_sync":
                return self._pull_request(body_of(headers, body), self.delivery(headers))
        return Ignored(reason=f"the event '{event[:80]}' is neither a push nor a pull request")

    def _push(self, data: Fields, delivery: str) -> Parsed:
        ref = data.text("ref")
        branch, tag = split_ref(ref)
        after = commit_of(data.text("after"))
        if not after:
            return Ignored(reason=f"{ref} was deleted")
        if not branch and not tag:
            return Ignored(reason=f"'{ref[:200]}' is neither a branch nor a tag")
        before = commit_of(data.text("before"))
        commits = list(data.each("commits"))
        whole = bool(before) and not tag and bool(commits) and data.get("total_commits") in (None, len(commits))
        head = data.at("head_commit")
        return (
            SourceEvent(
                kind=Kind.TAG if tag else Kind.PUSH,
                provider=self.provider,
                delivery=delivery,
                repositories=_addresses(data.at("repository")),
                ref=ref,
                branch=branch,
                tag=tag,
                commit=(commit_of(head.text("id")) or after) if tag else after,
                before=before,
                author=head.text("author.username", "author.email", "author.name"),
                sender=data.text("sender.login", "sender.username", "pusher.login"),
                message=head.text("message"),
                paths=changed_paths(iter(commits)) if whole else None,
            ),
        )

    def _pull_request(self, data: Fields, delivery: str) -> Parsed:
        action = data.text("action")
        if action not in _ACTIONS:
            return Ignored(reason=f"the pull request was {action or 'changed'}, which brings no new commit")
        pull = data.at("pull_request")
        commit = commit_of(pull.text("head.sha"))
        if not commit:
            return Ignored(reason="the pull request has no commit")
        number = data.text("number") or pull.text("number")
        head, base = pull.text("head.repo_id", "head.repo.id"), pull.text("base.repo_id", "base.repo.id")
        return (
            SourceEvent(
                kind=Kind.PULL_REQUEST,
                provider=self.provider,
                delivery=delivery,
                repositories=_addresses(pull.at("base.repo")) or _addresses(data.at("repository")),
                ref=f"refs/pull/{number}/head",
                branch=pull.text("base.ref"),
                commit=commit,
                author=pull.text("user.login", "user.username"),
                sender=data.text("sender.login", "sender.username"),
                message=pull.text("title"),
                number=number,
                action=_ACTIONS[action],
                head=pull.text("head.ref"),
                base=pull.text("base.ref"),
                is_fork=not head or head != base,
            ),
        )


def _header(headers: Headers, name: str) -> str:
    return next((found for prefix in _PREFIXES if (found := headers.get(f"{prefix}-{name}"))), "")


def _addresses(repository: Fields) -> tuple[str, ...]:
    return names(*(repository.text(key) for key in ("clone_url", "ssh_url", "html_url")))


FORGE = Gitea()
