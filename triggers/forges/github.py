"""GitHub and GitHub Enterprise (REST API 2022-11-28). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
    Told.QUEUED: "pending", Told.RUNNING: "pending", Told.SUCCEEDED: "success", Told.FAILED: "failure",
    Told.CANCELED: "error", Told.ERROR: "error",
}  # fmt: skip
_RIGHTS = "the token needs the right to webhooks (admin:repo_hook, or Webhooks: write) and to statuses (repo:status)"


class GitHub:
    def headers(self, token: str, kind: str) -> Mapping[str, str]:  # noqa: ARG002 - both go alike
        return {
            **authorization(token), "Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28",
        }  # fmt: skip

    def make_hook(self, place: Place, wanted: HookWanted, known: str) -> Talk:
        hooks = f"/repos{within(*place.path)}/hooks"
        made = self._hook(wanted)
        if not known:
            answer = expect(
                (yield Call(method="GET", path=f"{hooks}?per_page=100&limit=100")), "list webhooks", hint=_RIGHTS
            )
            known = next((number_of(one) for one in listed(answer.data) if self._url(one) == wanted.url), "")
        if known:
            answer = yield Call(method="PATCH", path=f"{hooks}/{known}", data=made)
            if expect(answer, "change the webhook", 404, hint=_RIGHTS).status != 404:
                return known
        answer = expect((yield Call(method="POST", path=hooks, data=made)), "make a webhook", hint=_RIGHTS)
        return number_of(answer.data)

    def remove_hook(self, place: Place, number: str) -> Talk:
        path = f"/repos{within(*place.path)}/hooks{within(number)}"
        expect((yield Call(method="DELETE", path=path)), "remove the webhook", 404, 410, hint=_RIGHTS)
        return ""

    def set_status(self, place: Place, wanted: StatusWanted) -> Talk:
        path = f"/repos{within(*place.path)}/statuses{within(wanted.commit)}"
        data = {
            "state": _STATES[wanted.told], "context": wanted.name, "description": wanted.description[:140],
            **({"target_url": wanted.link} if wanted.link else {}),
        }  # fmt: skip
        expect((yield Call(method="POST", path=path, data=data)), "show a status", hint=_RIGHTS)
        return ""

    def _hook(self, wanted: HookWanted) -> dict[str, Any]:
        events = [name for name, on in (("push", wanted.pushes), ("pull_request", wanted.pull_requests)) if on]
        config = {"url": wanted.url, "content_type": "json", "secret": wanted.secret, "insecure_ssl": "0"}
        return {"name": "web", "active": True, "events": events, "config": config}

    def _url(self, hook: Mapping[str, Any]) -> Any:
        return (hook.get("config") or {}).get("url")


API = GitHub()
