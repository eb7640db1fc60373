"""A task's source triggers and what their forges were told, as they are shown. Shape only."""

from __future__ import annotations

from datetime import datetime

from taskengine.service.api.schema.common import View


class PollingView(View):
    """How asking the repository for its commits goes. `failures` are those in a row; null: never yet."""

    enabled: bool
    last_check: datetime | None
    last_change: datetime | None
    next_check: datetime | None
    failures: int
    last_error: str | None


class WebhookView(View):
    """The webhook that the service makes at the forge: waiting (to be made or changed), made, removing, or dead."""

    forge: str
    state: str
    attempts: int
    next_attempt: datetime | None
    last_error: str | None
    updated: datetime


class SourceView(View):
    """`lastDelivery` is when any forge delivered something for the task last; `webhook` is null for one that the
    service does not make."""

    name: str
    status: str
    repository_url: str
    last_delivery: datetime | None
    polling: PollingView
    webhook: WebhookView | None


class SourceList(View):
    value: list[SourceView]


class StatusView(View):
    """`told` is queued, running, succeeded, failed, canceled or error; `status` the forge's last answer, 0 for none."""

    number: int
    run: str
    source: str
    repository_url: str
    commit_id: str
    told: str
    state: str
    attempts: int
    next_attempt: datetime | None
    status: int
    last_error: str | None
    created: datetime
    done: datetime | None


class StatusList(View):
    value: list[StatusView]
    next_cursor: str | None
