"""What the use cases and routes work with, put together once. Must not know HTTP."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from taskengine.ambient import Ambient
from taskengine.service.bell import Bell
from taskengine.service.caller import Caller
from taskengine.service.queueing import Caps
from taskengine.service.settings import ServerSettings
from taskengine.service.store import Connection, audit
from taskengine.service.store.database import Database
from taskengine.service.store.feeds import Feeds
from taskengine.service.store.retention import Rules
from taskengine.service.store.secrets import SecretBox
from taskengine.service.store.uploads import UploadFolder
from taskengine.service.triggering import Triggering


@dataclass(kw_only=True)
class Services:
    """`data` is the service's data folder. `draining` is true once no run is to be given to workers any more.
    `triggers` is who answers what only triggers know; None where the service was put together without them."""

    database: Database
    box: SecretBox = field(repr=False)
    feeds: Feeds
    uploads: UploadFolder
    data: Path
    ambient: Ambient = field(default_factory=Ambient.system)
    settings: ServerSettings = field(default_factory=ServerSettings)
    bell: Bell = field(default_factory=Bell)
    draining: bool = False
    triggers: Triggering | None = None

    def now(self) -> datetime:
        return self.ambient.now()

    @property
    def lease_term(self) -> timedelta:
        return timedelta(seconds=self.settings.lease_seconds)

    @property
    def caps(self) -> Caps:
        return Caps(owner=self.settings.per_owner or None, task=self.settings.per_task or None)

    def retention(self, days: int | None = None) -> Rules:
        """How long things are kept: as the settings say, or runs and logs for so many days."""
        kept = timedelta(days=self.settings.retention_days if days is None else days)
        return Rules(runs=kept, logs=kept)

    def note(self, conn: Connection, caller: Caller, action: str, what: str, **detail: Any) -> None:
        """One line of the audit log, in the transaction of the change that it tells of."""
        audit.note(conn, caller.name, action, what, now=self.now(), **detail)

    def close(self) -> None:
        self.bell.close()
        self.database.close()
