"""Azure Repos: service hook subscriptions and statuses of Azure DevOps (REST API 7.1). Pure.

A subscription tells of one kind of event, so a webhook is several; their numbers are kept together.
"""

from __future__ import annotations

import base64
from collections.abc import Generator, Mapping
from typing import Any

from triggers.forges.model import (
    Answer,
    Call,
    HookWanted,
    StatusWanted,
    Talk,
    Told,
    authorization,
    expect,
    listed,
    number_of,
    within,
)
from triggers.forges.place import Place

_VERSION = "api-version=7.1"
_STATES = {
    Told.QUEUED: "pending", Told.RUNNING: "pending", Told.SUCCEEDED: "succeeded", Told.FAILED: "failed",
    Told.CANCELED: "error", Told.ERROR: "error",
}  # fmt: skip
_RIGHTS = "the token needs the scopes Code (read, status), and who made it the right to edit subscriptions"


class AzureDevOps:
    def headers(self, token: str, kind: str) -> Mapping[str, str]:
        if kind != "OAuth" and ":" not in token:  # a PAT is the password of nobody
            token = f":{token}"
            return {
                "Authorization": f"Basic {base64.b64encode(token.encode()).decode()}", "Accept": "application/json",
            }  # fmt: skip
        return {**authorization(token), "Accept": "application/json"}

    def make_hook(self, place: Place, wanted: HookWanted, known: str) -> Talk:
        project, repository = yield from self._numbers(place)
        kinds = [
            *(("git.push",) if wanted.pushes else ()),
            *(("git.pullrequest.created", "git.pullrequest.updated") if wanted.pull_requests else ()),
        ]
        answer = expect((yield Call(method="GET", path=f"{_HOOKS}?{_VERSION}")), "list service hooks", hint=_RIGHTS)
        before = {
            str(one.get("eventType")): number_of(one)
            for one in listed(answer.data, "value")
            if (one.get("consumerInputs") or {}).get("url") == wanted.url
            and (one.get("publisherInputs") or {}).get("repository") == repository
        }
        known_numbers = set(known.split(",")) if known else set()
        numbers = []
        for kind in kinds:
            made = _subscription(kind, project, repository, wanted)
            number = before.pop(kind, "")
            if number:
                call = Call(method="PUT", path=f"{_HOOKS}{within(number)}?{_VERSION}", data={**made, "id": number})
            else:
                call = Call(method="POST", path=f"{_HOOKS}?{_VERSION}", data=made)
            answer = expect((yield call), "make a service hook", hint=_RIGHTS)
            numbers.append(number or number_of(answer.data))
        for number in {*before.values(), *known_numbers} - set(numbers):
            yield from _remove(number)
        return ",".join(numbers)

    def remove_hook(self, place: Place, number: str) -> Talk:  # noqa: ARG002 - numbers are the organisation's
        for one in filter(None, number.split(",")):
            yield from _remove(one)
        return ""

    def set_status(self, place: Place, wanted: StatusWanted) -> Talk:
        genre, _, name = wanted.name.partition("/")
        data = {
            "state": _STATES[wanted.told], "description": wanted.description[:500],
            "context": {"name": name or genre, "genre": genre}, **({"targetUrl": wanted.link} if wanted.link else {}),
        }  # fmt: skip
        path = f"{_git(place)}/commits{within(wanted.commit)}/statuses?{_VERSION}"
        expect((yield Call(method="POST", path=path, data=data)), "show a status", hint=_RIGHTS)
        return ""

    def _numbers(self, place: Place) -> Generator[Call, Answer, tuple[str, str]]:
        """Of the project and the repository, which subscriptions want in place of names."""
        answer = yield Call(method="GET", path=f"{_git(place)}?{_VERSION}")
        data = expect(answer, "find the repository", hint=_RIGHTS).data
        return number_of(data.get("project") if isinstance(data, dict) else None), number_of(data)


_HOOKS = "/_apis/hooks/subscriptions"


def _git(place: Place) -> str:
    return f"{within(place.path[0])}/_apis/git/repositories{within(place.path[1])}"


def _subscription(kind: str, project: str, repository: str, wanted: HookWanted) -> dict[str, Any]:
    inputs = {"projectId": project, "repository": repository}
    if kind == "git.pullrequest.updated":
        inputs["notificationType"] = "PushNotification"  # new commits, and not every other change
    return {
        "publisherId": "tfs", "eventType": kind, "resourceVersion": "1.0", "consumerId": "webHooks",
        "consumerActionId": "httpRequest", "publisherInputs": inputs,
        "consumerInputs": {
            "url": wanted.url, "basicAuthUsername": "acr-task", "basicAuthPassword": wanted.secret,
        },
    }  # fmt: skip


def _remove(number: str) -> Generator[Call, Answer, None]:
    call = Call(method="DELETE", path=f"{_HOOKS}{within(number)}?{_VERSION}")
    expect((yield call), "remove the service hook", 404, hint=_RIGHTS)


API = AzureDevOps()
