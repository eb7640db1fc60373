"""GitLab: push, tag and merge request events. Pure.

The secret itself is in a header; or, of newer versions with a signing token, a signature over id, moment and body in
the form of Standard Webhooks.
"""

from __future__ import annotations

from triggers.sourcecontrol.model import Headers, Ignored, Kind, Parsed, SourceEvent
from triggers.sourcecontrol.reading import (
    Fields,
    body_of,
    changed_paths,
    commit_of,
    names,
    same,
    signed_seconds,
    split_ref,
    standard_signature_matches,
)

_ACTIONS = {"open": "opened", "update": "synchronize", "reopen": "reopened"}


class GitLab:
    provider = "GitLab"

    def verify(self, headers: Headers, body: bytes, secret: str) -> bool:
        told = same(headers.get("x-gitlab-token", ""), secret)
        return standard_signature_matches(headers, body, secret) or told

    def signs_body(self, headers: Headers) -> bool:  # noqa: ARG002 - what is signed covers the number too
        return False

    def signed_at(self, headers: Headers) -> int | None:
        return signed_seconds(headers.get("webhook-timestamp", "")) if "webhook-signature" in headers else None

    def delivery(self, headers: Headers) -> str:
        return headers.get("idempotency-key", "") or headers.get("x-gitlab-event-uuid", "")

    def parse(self, headers: Headers, body: bytes) -> Parsed:
        data = body_of(headers, body)
        match kind := data.text("object_kind") or data.text("event_name"):
            case "push" | "tag_push":
                return self._push(data, self.delivery(headers))
            case "merge_request":
                return self._merge_request(data, self.delivery(headers))
        return Ignored(reason=f"the event '{kind[:80]}' is neither a push nor a merge request")

    def _push(self, data: Fields, delivery: str) -> Parsed:
        ref = data.text("ref")
        branch, tag = split_ref(ref)
        # `after` of an annotated tag is the tag itself; `checkout_sha` is the commit
        commit = commit_of(data.text("checkout_sha"))
        if not commit_of(data.text("after")):
            return Ignored(reason=f"{ref} was deleted")
        if not branch and not tag:
            return Ignored(reason=f"'{ref[:200]}' is neither a branch nor a tag")
        before = commit_of(data.text("before"))
        commits = list(data.each("commits"))
        last = next((one for one in commits if one.text("id").lower() == commit), Fields({}))
        whole = bool(before) and not tag and bool(commits) and data.get("total_commits_count") == len(commits)
        return (
            SourceEvent(
                kind=Kind.TAG if tag else Kind.PUSH,
                provider=self.provider,
                delivery=delivery,
                repositories=_addresses(data.at("project")),
                ref=ref,
                branch=branch,
                tag=tag,
                commit=commit or commit_of(data.text("after")),
                before=before,
                author=last.text("author.email", "author.name"),
                sender=data.text("user_username", "user_name"),
                message=last.text("message"),
                paths=changed_paths(iter(commits)) if whole else None,
            ),
        )

    def _merge_request(self, data: Fields, delivery: str) -> Parsed:
        merge = data.at("object_attributes")
        action = merge.text("action")
        if action not in _ACTIONS:
            return Ignored(reason=f"the merge request's action is '{action[:80]}', which brings no new commit")
        if action == "update" and not merge.text("oldrev"):
            return Ignored(reason="the merge request has no new commit")
        commit = commit_of(merge.text("last_commit.id"))
        if not commit:
            return Ignored(reason="the merge request has no commit")
        number = merge.text("iid")
        return (
            SourceEvent(
                kind=Kind.PULL_REQUEST,
                provider=self.provider,
                delivery=delivery,
                repositories=_addresses(merge.at("target")) or _addresses(data.at("project")),
                ref=f"refs/merge-requests/{number}/head",
                branch=merge.text("target_branch"),
                commit=commit,
                before=commit_of(merge.text("oldrev")),
                author=merge.text("last_commit.author.email", "last_commit.author.name"),
                sender=data.text("user.username", "user.name"),
                message=merge.text("title"),
                number=number,
                action=_ACTIONS[action],
                head=merge.text("source_branch"),
                base=merge.text("target_branch"),
                is_fork=not merge.text("source_project_id")
                or merge.text("source_project_id") != merge.text("target_project_id"),
            ),
        )


def _addresses(project: Fields) -> tuple[str, ...]:
    return names(*(project.text(key) for key in ("git_http_url", "git_ssh_url", "web_url", "http_url", "ssh_url")))


FORGE = GitLab()
