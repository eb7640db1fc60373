"""Gitea and Forgejo (API v1), which is GitHub's in most. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from triggers.forges.github import GitHub
from triggers.forges.model import HookWanted, authorization


class Gitea(GitHub):
    def headers(self, token: str, kind: str) -> Mapping[str, str]:
        return {**authorization(token, "Bearer" if kind == "OAuth" else "token"), "Accept": "application/json"}

    def _hook(self, wanted: HookWanted) -> dict[str, Any]:
        pulls = ("pull_request", "pull_request_sync")
        events = [*(("push",) if wanted.pushes else ()), *(pulls if wanted.pull_requests else ())]
        config = {"url": wanted.url, "content_type": "json", "secret": wanted.secret}
        return {"type": "gitea", "active": True, "events": events, "branch_filter": "*", "config": config}


API = Gitea()
