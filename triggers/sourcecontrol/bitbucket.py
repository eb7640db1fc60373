"""Bitbucket Cloud and Data Center: pushes, tags and pull requests, signed by HMAC-SHA256. Pure.

Neither tells the changed files.
"""

from __future__ import annotations

from triggers.sourcecontrol.model import Headers, Ignored, Kind, Parsed, SourceEvent
from triggers.sourcecontrol.reading import Fields, body_of, commit_of, hmac_matches, names, split_ref

_CLOUD = {"pullrequest:created": "opened", "pullrequest:updated": "synchronize"}
_OWN = {"pr:opened": "opened", "pr:from_ref_updated": "synchronize", "pr:reopened": "reopened"}


class Bitbucket:
    provider = "Bitbucket"

    def verify(self, headers: Headers, body: bytes, secret: str) -> bool:
        return hmac_matches(headers.get("x-hub-signature", ""), body, secret)

    def delivery(self, headers: Headers) -> str:
        return headers.get("x-request-uuid", "") or headers.get("x-request-id", "")

    def signs_body(self, headers: Headers) -> bool:  # noqa: ARG002 - all are
        return True

    def signed_at(self, headers: Headers) -> int | None:  # noqa: ARG002 - no moment is signed
        return None

    def parse(self, headers: Headers, body: bytes) -> Parsed:
        key, delivery = headers.get("x-event-key", ""), self.delivery(headers)
        if key == "repo:push":
            return self._cloud_push(body_of(headers, body), delivery)
        if key == "repo:refs_changed":
            return self._own_push(body_of(headers, body), delivery)
        if key in _CLOUD:
            return self._cloud_pull_request(body_of(headers, body), delivery, _CLOUD[key])
        if key in _OWN:
            return self._own_pull_request(body_of(headers, body), delivery, _OWN[key])
        return Ignored(reason=f"the event '{key[:80]}' brings no new commit")

    def _cloud_push(self, data: Fields, delivery: str) -> Parsed:
        found = []
        for change in data.each("push.changes"):
            new = change.at("new")
            name, commit = new.text("name"), commit_of(new.text("target.hash"))
            if not commit or new.text("type") not in ("branch", "tag"):
                continue
            tag = new.text("type") == "tag"
            found.append(
                SourceEvent(
                    kind=Kind.TAG if tag else Kind.PUSH,
                    provider=self.provider,
                    delivery=delivery,
                    repositories=_cloud_addresses(data.at("repository")),
                    ref=f"refs/{'tags' if tag else 'heads'}/{name}",
                    branch="" if tag else name,
                    tag=name if tag else "",
                    commit=commit,
                    before=commit_of(change.text("old.target.hash")),
                    author=new.text("target.author.user.nickname", "target.author.raw"),
                    sender=data.text("actor.nickname", "actor.display_name"),
                    message=new.text("target.message"),
                )
            )
        return tuple(found) or Ignored(reason="the push only deleted branches or tags")

    def _own_push(self, data: Fields, delivery: str) -> Parsed:
        found = []
        for change in data.each("changes"):
            ref, commit = change.text("ref.id", "refId"), commit_of(change.text("toHash"))
            branch, tag = split_ref(ref)
            if change.text("type") == "DELETE" or not commit or not (branch or tag):
                continue
            last = data.at("toCommit") if data.text("toCommit.id").lower() == commit else Fields({})
            found.append(
                SourceEvent(
                    kind=Kind.TAG if tag else Kind.PUSH,
                    provider=self.provider,
                    delivery=delivery,
                    repositories=_own_addresses(data.at("repository")),
                    ref=ref,
                    branch=branch,
                    tag=tag,
                    commit=commit,
                    before=commit_of(change.text("fromHash")),
                    author=last.text("author.emailAddress", "author.name"),
                    sender=data.text("actor.name"),
                    message=last.text("message"),
                )
            )
        return tuple(found) or Ignored(reason="the push only deleted branches or tags")

    def _cloud_pull_request(self, data: Fields, delivery: str, action: str) -> Parsed:
        pull = data.at("pullrequest")
        commit = pull.text("source.commit.hash")
        if not commit:
            return Ignored(reason="the pull request has no commit")
        source, target = pull.text("source.repository.full_name"), pull.text("destination.repository.full_name")
        head, base = pull.text("source.branch.name"), pull.text("destination.branch.name")
        return (
            SourceEvent(
                kind=Kind.PULL_REQUEST,
                provider=self.provider,
                delivery=delivery,
                repositories=_cloud_addresses(pull.at("destination.repository"))
                or _cloud_addresses(data.at("repository")),
                ref=f"refs/heads/{head}",  # Bitbucket Cloud has no refs for pull requests
                branch=base,
                commit=_short(commit),
                author=pull.text("author.nickname", "author.display_name"),
                sender=data.text("actor.nickname", "actor.display_name"),
                message=pull.text("title"),
                number=pull.text("id"),
                action=action,
                head=head,
                base=base,
                is_fork=not source or source.lower() != target.lower(),
            ),
        )

    def _own_pull_request(self, data: Fields, delivery: str, action: str) -> Parsed:
        pull = data.at("pullRequest")
        commit = commit_of(pull.text("fromRef.latestCommit"))
        if not commit:
            return Ignored(reason="the pull request has no commit")
        source, target = pull.text("fromRef.repository.id"), pull.text("toRef.repository.id")
        head, base = pull.text("fromRef.displayId"), pull.text("toRef.displayId")
        return (
            SourceEvent(
                kind=Kind.PULL_REQUEST,
                provider=self.provider,
                delivery=delivery,
                repositories=_own_addresses(pull.at("toRef.repository")),
                ref=f"refs/pull-requests/{pull.text('id')}/from",
                branch=base,
                commit=commit,
                before=commit_of(data.text("previousFromHash")),
                author=pull.text("author.user.name"),
                sender=data.text("actor.name"),
                message=pull.text("title"),
                number=pull.text("id"),
                action=action,
                head=head,
                base=base,
                is_fork=not source or source != target,
            ),
        )


def _short(commit: str) -> str:
    """Bitbucket Cloud names the commits of pull requests by their first 12 digits."""
    if 7 <= len(commit) < 40 and all(char in "0123456789abcdef" for char in commit.lower()):
        return commit.lower()
    return commit_of(commit)


def _cloud_addresses(repository: Fields) -> tuple[str, ...]:
    full = repository.text("full_name")
    return names(repository.text("links.html.href"), f"https://bitbucket.org/{full}" if full else "")


def _own_addresses(repository: Fields) -> tuple[str, ...]:
    clones = [one.text("href") for one in repository.at("links").each("clone")]
    pages = [_from_page(one.text("href")) for one in repository.at("links").each("self")]
    return names(*clones, *pages)


def _from_page(url: str) -> str:
    """`https://host/projects/KEY/repos/SLUG/browse` is what newer versions send alone; its clone address follows."""
    host, projects, rest = url.partition("/projects/")
    key, repos, slug = rest.partition("/repos/")
    return f"{host}/scm/{key.lower()}/{slug.partition('/')[0]}.git" if projects and repos else ""


FORGE = Bitbucket()
