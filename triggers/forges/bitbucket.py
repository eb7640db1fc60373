"""Bitbucket Cloud (API 2.0). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskengine.errors import InvalidInput
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
    Told.CANCELED: "STOPPED", Told.ERROR: "FAILED",
}  # fmt: skip
_RIGHTS = "the token needs the scopes webhook and repository:write"


class Bitbucket:
    def headers(self, token: str, kind: str) -> Mapping[str, str]:  # noqa: ARG002 - both go alike
        return {**authorization(token), "Accept": "application/json"}

    def make_hook(self, place: Place, wanted: HookWanted, known: str) -> Talk:
        hooks = f"/repositories{within(*place.path)}/hooks"
        events = [
            *(("repo:push",) if wanted.pushes else ()),
            *(("pullrequest:created", "pullrequest:updated") if wanted.pull_requests else ()),
        ]
        made: dict[str, Any] = {
            "description": "acr-task", "url": wanted.url, "active": True, "secret": wanted.secret, "events": events,
        }  # fmt: skip
        if not known:
            answer = expect((yield Call(method="GET", path=f"{hooks}?pagelen=100")), "list webhooks", hint=_RIGHTS)
            mine = (one for one in listed(answer.data, "values") if one.get("url") == wanted.url)
            known = next((number_of(one, "uuid") for one in mine), "")
        if known:
            answer = yield Call(method="PUT", path=f"{hooks}{within(known)}", data=made)
            if expect(answer, "change the webhook", 404, hint=_RIGHTS).status != 404:
                return known
        answer = expect((yield Call(method="POST", path=hooks, data=made)), "make a webhook", hint=_RIGHTS)
        return number_of(answer.data, "uuid")

    def remove_hook(self, place: Place, number: str) -> Talk:
        path = f"/repositories{within(*place.path)}/hooks{within(number)}"
        expect((yield Call(method="DELETE", path=path)), "remove the webhook", 404, hint=_RIGHTS)
        return ""

    def set_status(self, place: Place, wanted: StatusWanted) -> Talk:
        check_link(wanted)
        path = f"/repositories{within(*place.path)}/commit{within(wanted.commit)}/statuses/build"
        data = build(wanted, _STATES)
        expect((yield Call(method="POST", path=path, data=data)), "show a status", hint=_RIGHTS)
        return ""


def check_link(wanted: StatusWanted) -> None:
    """Raises InvalidInput for a status without a link, which Bitbucket does not take."""
    if not wanted.link:
        raise InvalidInput("Bitbucket takes no status without a link", hint="set publicUrl in settings.yaml")


def build(wanted: StatusWanted, states: Mapping[Told, str]) -> dict[str, Any]:
    """A build status. Its key is what makes a later one take its place."""
    return {
        "key": wanted.name if len(wanted.name) <= 40 else f"{wanted.name[:31]}-{_short(wanted.name)}",
        "state": states[wanted.told], "name": wanted.name[:255], "url": wanted.link,
        "description": wanted.description[:255],
    }  # fmt: skip


def _short(text: str) -> str:
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()[:8]


API = Bitbucket()
