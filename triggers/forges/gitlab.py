"""GitLab (API v4). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from triggers.forges.model import (
    Call,
    HookWanted,
    Refused,
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
    Told.QUEUED: "pending", Told.RUNNING: "running", Told.SUCCEEDED: "success", Told.FAILED: "failed",
    Told.CANCELED: "canceled", Told.ERROR: "failed",
}  # fmt: skip
_RIGHTS = "the token needs the scope api and the role Maintainer"


class GitLab:
    def headers(self, token: str, kind: str) -> Mapping[str, str]:  # noqa: ARG002 - both go alike
        return {**authorization(token), "Accept": "application/json"}

    def make_hook(self, place: Place, wanted: HookWanted, known: str) -> Talk:
        hooks = f"{_project(place)}/hooks"
        made: dict[str, Any] = {
            "url": wanted.url, "token": wanted.secret, "push_events": wanted.pushes, "tag_push_events": wanted.pushes,
            "merge_requests_events": wanted.pull_requests, "enable_ssl_verification": True,
        }  # fmt: skip
        if not known:
            answer = expect((yield Call(method="GET", path=f"{hooks}?per_page=100")), "list webhooks", hint=_RIGHTS)
            known = next((number_of(one) for one in listed(answer.data) if one.get("url") == wanted.url), "")
        if known:
            answer = yield Call(method="PUT", path=f"{hooks}{within(known)}", data=made)
            if expect(answer, "change the webhook", 404, hint=_RIGHTS).status != 404:
                return known
        answer = expect((yield Call(method="POST", path=hooks, data=made)), "make a webhook", hint=_RIGHTS)
        return number_of(answer.data)

    def remove_hook(self, place: Place, number: str) -> Talk:
        path = f"{_project(place)}/hooks{within(number)}"
        expect((yield Call(method="DELETE", path=path)), "remove the webhook", 404, hint=_RIGHTS)
        return ""

    def set_status(self, place: Place, wanted: StatusWanted) -> Talk:
        data = {
            "state": _STATES[wanted.told], "name": wanted.name, "description": wanted.description[:255],
            **({"target_url": wanted.link} if wanted.link else {}),
        }  # fmt: skip
        answer = yield Call(method="POST", path=f"{_project(place)}/statuses{within(wanted.commit)}", data=data)
        if answer.status == 400 and "cannot transition" in answer.words.lower():
            return ""  # it stands there already
        if not answer.ok:
            raise Refused(answer, "show a status", hint=_RIGHTS)
        return ""


def _project(place: Place) -> str:
    return f"/projects{within('/'.join(place.path))}"


API = GitLab()
