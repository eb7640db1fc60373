"""Azure Repos: service hooks of Azure DevOps, which know their caller by basic authentication. Pure.

The hooks sign nothing and tell no changed files; the password of the hook is the secret, its user name is free.
"""

from __future__ import annotations

from triggers.sourcecontrol.model import Headers, Ignored, Kind, Parsed, SourceEvent
from triggers.sourcecontrol.reading import Fields, basic_password, body_of, commit_of, names, same, split_ref

_ACTIONS = {"git.pullrequest.created": "opened", "git.pullrequest.updated": "synchronize"}


class AzureDevOps:
    provider = "VisualStudioTeamService"

    def verify(self, headers: Headers, body: bytes, secret: str) -> bool:  # noqa: ARG002 - nothing is signed
        return same(basic_password(headers), secret)

    def delivery(self, headers: Headers) -> str:  # noqa: ARG002 - it stands in the body
        return ""

    def signs_body(self, headers: Headers) -> bool:  # noqa: ARG002 - nothing is signed
        return False

    def signed_at(self, headers: Headers) -> int | None:  # noqa: ARG002 - no moment is signed
        return None

    def parse(self, headers: Headers, body: bytes) -> Parsed:
        data = body_of(headers, body)
        event = data.text("eventType")
        if event == "git.push":
            return self._push(data)
        if event in _ACTIONS:
            return self._pull_request(data, _ACTIONS[event])
        return Ignored(reason=f"the event '{event[:80]}' is neither a push nor a pull request")

    def _push(self, data: Fields) -> Parsed:
        found = []
        for update in data.each("resource.refUpdates"):
            ref, commit = update.text("name"), commit_of(update.text("newObjectId"))
            branch, tag = split_ref(ref)
            if not commit or not (branch or tag):
                continue
            commits = data.each("resource.commits")
            last = next((one for one in commits if one.text("commitId").lower() == commit), Fields({}))
            found.append(
                SourceEvent(
                    kind=Kind.TAG if tag else Kind.PUSH,
                    provider=self.provider,
                    delivery=data.text("id"),
                    repositories=_addresses(data.at("resource.repository")),
                    ref=ref,
                    branch=branch,
                    tag=tag,
                    commit=commit,
                    before=commit_of(update.text("oldObjectId")),
                    author=last.text("author.email", "author.name"),
                    sender=data.text("resource.pushedBy.uniqueName", "resource.pushedBy.displayName"),
                    message=last.text("comment"),
                )
            )
        return tuple(found) or Ignored(reason="the push only deleted branches or tags")

    def _pull_request(self, data: Fields, action: str) -> Parsed:
        pull = data.at("resource")
        commit = commit_of(pull.text("lastMergeSourceCommit.commitId"))
        if pull.text("status") not in ("active", ""):
            return Ignored(reason=f"the pull request is {pull.text('status')[:80]}")
        if not commit:
            return Ignored(reason="the pull request has no commit")
        head, base = split_ref(pull.text("sourceRefName"))[0], split_ref(pull.text("targetRefName"))[0]
        return (
            SourceEvent(
                kind=Kind.PULL_REQUEST,
                provider=self.provider,
                delivery=data.text("id"),
                repositories=_addresses(pull.at("repository")),
                ref=pull.text("sourceRefName"),
                branch=base,
                commit=commit,
                author=pull.text("createdBy.uniqueName", "createdBy.displayName"),
                sender=pull.text("createdBy.uniqueName", "createdBy.displayName"),
                message=pull.text("title"),
                number=pull.text("pullRequestId"),
                action=action,
                head=head,
                base=base,
                is_fork=pull.get("forkSource") is not None or pull.flag("repository.isFork"),
            ),
        )


def _addresses(repository: Fields) -> tuple[str, ...]:
    return names(*(repository.text(key) for key in ("remoteUrl", "sshUrl", "webUrl")))


FORGE = AzureDevOps()
