"""Bitbucket Data Center (REST API, 7.4 and later; statuses of older ones too). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from triggers.forges.bitbucket import build, check_link
from triggers.forges.model import (
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

_STATES = {
    Told.QUEUED: "INPROGRESS", Told.RUNNING: "INPROGRESS", Told.SUCCEEDED: "SUCCESSFUL", Told.FAILED: "FAILED",
    Told.CANCELED: "FAILED", Told.ERROR: "FAILED",
}  # fmt: skip
_RIGHTS = "the token needs the right to administer the repository"


class BitbucketServer:
    def headers(self, token: str, kind: str) -> Mapping[str, str]:  # noqa: ARG002 - both go alike
        return {**authorization(token), "Accept": "application/json", "X-Atlassian-Token": "no-check"}

    def make_hook(self, place: Place, wanted: HookWanted, known: str) -> Talk:
        hooks = f"{_repository(place)}/webhooks"
        events = [
            *(("repo:refs_changed",) if wanted.pushes else ()),
            *(("pr:opened", "pr:from_ref_updated", "pr:reopened") if wanted.pull_requests else ()),
        ]
        made: dict[str, Any] = {
            "name": "acr-task", "url": wanted.url, "active": True, "events": events,
            "configuration": {"secret": wanted.secret},
        }  # fmt: skip
        if not known:
            answer = expect((yield Call(method="GET", path=f"{hooks}?limit=100")), "list webhooks", hint=_RIGHTS)
            mine = (one for one in listed(answer.data, "values") if one.get("url") == wanted.url)
            known = next((number_of(one) for one in mine), "")
        if known:
            answer = yield Call(method="PUT", path=f"{hooks}{within(known)}", data=made)
            if expect(answer, "change the webhook", 404, hint=_RIGHTS).status != 404:
                return known
        answer = expect((yield Call(method="POST", path=hooks, data=made)), "make a webhook", hint=_RIGHTS)
        return number_of(answer.data)

    def remove_hook(self, place: Place, number: str) -> Talk:
        path = f"{_repository(place)}/webhooks{within(number)}"
        expect((yield Call(method="DELETE", path=path)), "remove the webhook", 404, hint=_RIGHTS)
        return ""

    def set_status(self, place: Place, wanted: StatusWanted) -> Talk:
        check_link(wanted)
        data = build(wanted, _STATES)
        path = f"{_repository(place)}/commits{within(wanted.commit)}/builds"
        answer = yield Call(method="POST", path=path, data=data)
        if answer.status in (404, 405):  # before 7.4
            path = f"/rest/build-status/1.0/commits{within(wanted.commit)}"
            answer = yield Call(method="POST", path=path, data=data)
        expect(answer, "show a status", hint="the token needs the right to read the repository")
        return ""


def _repository(place: Place) -> str:
    return f"/rest/api/1.0/projects{within(place.path[0])}/repos{within(place.path[1])}"


API = BitbucketServer()
