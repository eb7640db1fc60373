"""GitHub and GitHub Enterprise: push and pull_request events, signed by HMAC-SHA256. Pure."""

from __future__ import annotations

from triggers.sourcecontrol.model import Headers, Ignored, Kind, Parsed, SourceEvent
from triggers.sourcecontrol.reading import Fields, body_of, changed_paths, commit_of, hmac_matches, names, split_ref

_ACTIONS = frozenset({"opened", "synchronize", "reopened"})
_MOST_COMMITS = 2048  # GitHub names no more of a push


class GitHub:
    provider = "Github"

    def verify(self, headers: Headers, body: bytes, secret: str) -> bool:
        return hmac_matches(headers.get("x-hub-signature-256", ""), body, secret)

    def delivery(self, headers: Headers) -> str:
        return headers.get("x-github-delivery", "")

    def parse(self, headers: Headers, body: bytes) -> Parsed:
        match event := headers.get("x-github-event", ""):
            case "push":
                return self._push(body_of(headers, body), self.delivery(headers))
            case "pull_request":
                return self._pull_request(body_of(headers, body), self.delivery(headers))
        return Ignored(reason=f"the event '{event[:80]}' is neither a push nor a pull request")

    def _push(self, data: Fields, delivery: str) -> Parsed:
        ref = data.text("ref")
        branch, tag = split_ref(ref)
        after = commit_of(data.text("after"))
        if data.flag("deleted") or not after:
            return Ignored(reason=f"{ref} was deleted")
        if not branch and not tag:
            return Ignored(reason=f"'{ref[:200]}' is neither a branch nor a tag")
        before = commit_of(data.text("before"))
        whole = bool(before) and not data.flag("forced") and not tag
        commits = list(data.each("commits"))
        whole = whole and 0 < len(commits) < _MOST_COMMITS
        return (
            SourceEvent(
                kind=Kind.TAG if tag else Kind.PUSH,
                provider=self.provider,
                delivery=delivery,
                repositories=_addresses(data.at("repository")),
                ref=ref,
                branch=branch,
                tag=tag,
                # `after` of an annotated tag is the tag itself
                commit=(commit_of(data.text("head_commit.id")) or after) if tag else after,
                before=before,
                author=data.text("head_commit.author.username", "head_commit.author.email", "head_commit.author.name"),
                sender=data.text("sender.login", "pusher.name"),
                message=data.text("head_commit.message"),
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
        head, base = pull.text("head.repo.full_name").lower(), pull.text("base.repo.full_name").lower()
        return (
            SourceEvent(
                kind=Kind.PULL_REQUEST,
                provider=self.provider,
                delivery=delivery,
                repositories=_addresses(pull.at("base.repo")) or _addresses(data.at("repository")),
                ref=f"refs/pull/{number}/head",
                branch=pull.text("base.ref"),
                commit=commit,
                before=commit_of(data.text("before")),
                author=pull.text("user.login"),
                sender=data.text("sender.login"),
                message=pull.text("title"),
                number=number,
                action=action,
                head=pull.text("head.ref"),
                base=pull.text("base.ref"),
                is_fork=not head or head != base,  # the repository of a fork may be gone
            ),
        )


def _addresses(repository: Fields) -> tuple[str, ...]:
    return names(*(repository.text(key) for key in ("clone_url", "ssh_url", "git_url", "html_url")))


FORGE = GitHub()
