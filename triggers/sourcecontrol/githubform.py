"""The form of pushes and pull requests that GitHub, Gitea and Forgejo share. Pure.

What differs (names of events and actions, which repository is a fork, whether all commits were told) is the forge's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from triggers.sourcecontrol.model import Headers, Ignored, Kind, Parsed, SourceEvent
from triggers.sourcecontrol.reading import Fields, changed_paths, commit_of, names, split_ref


class GitHubForm(ABC):
    """`actions` are those of pull requests that bring new commits, in GitHub's words; `addresses` the fields in which a
    repository names its addresses."""

    provider: ClassVar[str]
    actions: ClassVar[Mapping[str, str]]
    addresses: ClassVar[tuple[str, ...]]

    def signs_body(self, headers: Headers) -> bool:  # noqa: ARG002 - all are
        return True

    def signed_at(self, headers: Headers) -> int | None:  # noqa: ARG002 - no moment is signed
        return None

    @abstractmethod
    def tells_all(self, push: Fields, commits: Sequence[Fields]) -> bool:
        """Whether these are all commits of a push that moved a branch on."""

    @abstractmethod
    def is_fork(self, pull: Fields) -> bool:
        """Whether the commits of a pull request come from another repository, or from one that is gone."""

    def push(self, data: Fields, delivery: str) -> Parsed:
        ref = data.text("ref")
        branch, tag = split_ref(ref)
        after = commit_of(data.text("after"))
        if data.flag("deleted") or not after:
            return Ignored(reason=f"{ref} was deleted")
        if not branch and not tag:
            return Ignored(reason=f"'{ref[:200]}' is neither a branch nor a tag")
        before = commit_of(data.text("before"))
        commits = list(data.each("commits"))
        whole = bool(before) and not tag and bool(commits) and self.tells_all(data, commits)
        head = data.at("head_commit")
        return (
            SourceEvent(
                kind=Kind.TAG if tag else Kind.PUSH,
                provider=self.provider,
                delivery=delivery,
                repositories=self._named(data.at("repository")),
                ref=ref,
                branch=branch,
                tag=tag,
                # `after` of an annotated tag is the tag itself
                commit=(commit_of(head.text("id")) or after) if tag else after,
                before=before,
                author=head.text("author.username", "author.email", "author.name"),
                sender=data.text("sender.login", "sender.username", "pusher.login", "pusher.name"),
                message=head.text("message"),
                paths=changed_paths(iter(commits)) if whole else None,
            ),
        )

    def pull_request(self, data: Fields, delivery: str) -> Parsed:
        action = data.text("action")
        if action not in self.actions:
            return Ignored(reason=f"the pull request was {action or 'changed'}, which brings no new commit")
        pull = data.at("pull_request")
        commit = commit_of(pull.text("head.sha"))
        if not commit:
            return Ignored(reason="the pull request has no commit")
        number = data.text("number") or pull.text("number")
        return (
            SourceEvent(
                kind=Kind.PULL_REQUEST,
                provider=self.provider,
                delivery=delivery,
                repositories=self._named(pull.at("base.repo")) or self._named(data.at("repository")),
                ref=f"refs/pull/{number}/head",
                branch=pull.text("base.ref"),
                commit=commit,
                before=commit_of(data.text("before")),
                author=pull.text("user.login", "user.username"),
                sender=data.text("sender.login", "sender.username"),
                message=pull.text("title"),
                number=number,
                action=self.actions[action],
                head=pull.text("head.ref"),
                base=pull.text("base.ref"),
                is_fork=self.is_fork(pull),
            ),
        )

    def _named(self, repository: Fields) -> tuple[str, ...]:
        return names(*(repository.text(key) for key in self.addresses))
