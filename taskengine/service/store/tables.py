"""The tables, as SQLAlchemy Core sees them; the migrations make them, and a test holds both equal.

Times are stored as whole microseconds since 1970 in UTC (`Moment`), so that both databases sort and compare them alike
and none has an opinion about time zones. Documents are JSON text (`Json`), with sorted keys, so that equal ones are
equal to the database too.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.engine import Dialect

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Moment(TypeDecorator[datetime]):
    """An aware datetime, kept as microseconds since 1970."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002
        return None if value is None else (value - _EPOCH) // timedelta(microseconds=1)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else _EPOCH + timedelta(microseconds=int(value))


class Json(TypeDecorator[Any]):
    """Plain JSON data, kept as text in ASCII: no character that a stranger sends is one that a database refuses."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else json.dumps(value, sort_keys=True, separators=(",", ":"))

    def process_result_value(self, value: Any | None, dialect: Dialect) -> Any | None:  # noqa: ARG002
        return None if value is None else json.loads(value)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_number = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts by itself in INTEGER columns only

tokens = Table(
    "tokens", metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("hash", LargeBinary, nullable=False, unique=True),  # SHA-256 of the token, which is 256 random bits
    Column("role", String(20), nullable=False),
    Column("scopes", Json, nullable=False),
    Column("created", Moment, nullable=False),
    Column("expires", Moment),
    Column("used", Moment),
    Column("revoked", Moment),
    Column("worker", String(200), nullable=False, server_default=""),  # whose token it is: the only one it speaks for
)  # fmt: skip

tasks = Table(
    "tasks", metadata,
    Column("name", String(200), primary_key=True),
    Column("document", Json, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("owner", String(200), nullable=False),
    Column("created", Moment, nullable=False),
    Column("updated", Moment, nullable=False),
    # whether any task has changed is asked every few seconds, and is told by this alone
    Index("ix_tasks_updated_revision", "updated", "revision"),
)  # fmt: skip

# values that are never shown again: of tasks, of runs that wait, of outgoing webhooks; `kind` and `owner` say whose
secrets = Table(
    "secrets", metadata,
    Column("kind", String(20), primary_key=True),
    Column("owner", String(200), primary_key=True),
    Column("name", String(500), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("updated", Moment, nullable=False),
)  # fmt: skip

uploads = Table(
    "uploads", metadata,
    Column("id", String(32), primary_key=True),
    Column("owner", String(200), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("received", BigInteger, nullable=False),
    Column("state", String(20), nullable=False),  # open, ready, used
    Column("created", Moment, nullable=False),
    Column("expires", Moment, nullable=False, index=True),
)  # fmt: skip

runs = Table(
    "runs", metadata,
    Column("number", _number, primary_key=True, autoincrement=False),
    Column("id", String(32), nullable=False, unique=True),
    Column("type", String(20), nullable=False),
    Column("status", String(20), nullable=False),
    Column("task", String(200), nullable=False),
    Column("owner", String(200), nullable=False),
    Column("priority", Integer, nullable=False),
    Column("group_name", String(200), nullable=False),
    Column("group_limit", Integer, nullable=False),
    Column("group_policy", String(20), nullable=False),
    Column("pool", String(200), nullable=False),
    Column("labels", Json, nullable=False),
    Column("platform", String(50), nullable=False),
    Column("kind", String(32), nullable=False),  # a digest of all but priority and age on which its turn depends
    Column("upload", String(32), nullable=False),  # of its context, which stays until the run is over
    Column("spec", Json, nullable=False),
    Column("cause", Json, nullable=False),
    Column("created", Moment, nullable=False),
    Column("not_before", Moment),
    Column("expires", Moment),
    Column("started", Moment),
    Column("finished", Moment),
    Column("updated", Moment, nullable=False),
    Column("timeout", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("max_attempts", Integer, nullable=False),
    Column("worker", String(32), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("lease_until", Moment),
    Column("cancel_reason", Text, nullable=False),
    Column("cancel_at", Moment),  # when it was asked for
    Column("message", Text, nullable=False),
    Column("hint", Text, nullable=False),
    Column("feed_size", BigInteger, nullable=False),
    Column("record", Json),
    Column("archived", Boolean, nullable=False),
    Index("ix_runs_status_number", "status", "number"),
    Index("ix_runs_group_name_status", "group_name", "status"),
    Index("ix_runs_upload", "upload"),
    Index("ix_runs_finished", "finished"),
    Index(
        "ix_runs_waiting", "status", "kind", "priority", "number", "not_before", "expires",
        sqlite_where=text("status = 'Queued'"), postgresql_where=text("status = 'Queued'"),
    ),
    # lists find their numbers in these alone, without a look at the rows, which are long
    Index("ix_runs_list", "number", "status", "created", "task", "type", "owner", "archived"),
    Index("ix_runs_task_list", "task", "number", "status", "created", "type", "owner", "archived"),
    Index("ix_runs_owner_list", "owner", "number", "status", "created", "task", "type", "archived"),
)  # fmt: skip

# what became of each attempt: its worker and lease, and how much of its feed is safe here
run_attempts = Table(
    "run_attempts", metadata,
    Column("run", String(32), ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("worker", String(32), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("leased", Moment, nullable=False),
    Column("ended", Moment),
    Column("outcome", Text, nullable=False),  # empty while it is under way
    Column("feed_size", BigInteger, nullable=False),
)  # fmt: skip

run_steps = Table(
    "run_steps", metadata,
    Column("run", String(32), ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("step", String(500), primary_key=True),
    Column("position", Integer, nullable=False),
    Column("status", String(20), nullable=False),
    Column("log_size", BigInteger, nullable=False),  # bytes of its output that are safe here
    Column("record", Json),
)  # fmt: skip

run_images = Table(
    "run_images", metadata,
    Column("number", _number, ForeignKey("runs.number", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("registry", String(300), nullable=False),
    Column("repository", String(300), nullable=False),
    Column("tag", String(200), nullable=False),
    Column("digest", String(200), nullable=False),
    Index("ix_run_images_repository_number", "repository", "number"),
    Index("ix_run_images_repository_digest_number", "repository", "digest", "number"),
    Index("ix_run_images_repository_tag_number", "repository", "tag", "number"),
)  # fmt: skip

# what came too late, or from a worker that no longer holds the run: kept to be seen, and changes nothing
late_reports = Table(
    "late_reports", metadata,
    Column("number", _number, primary_key=True, autoincrement=True),
    Column("run", String(32), nullable=False, index=True),
    Column("worker", String(32), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("at", Moment, nullable=False),
    Column("what", Text, nullable=False),
)  # fmt: skip

workers = Table(
    "workers", metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(200), nullable=False, unique=True),
    Column("pool", String(200), nullable=False),
    Column("labels", Json, nullable=False),
    Column("platforms", Json, nullable=False),
    Column("capacity", Integer, nullable=False),
    Column("version", String(50), nullable=False),
    Column("state", String(20), nullable=False),
    Column("drain", Boolean, nullable=False),
    Column("health", Json, nullable=False),
    Column("registered", Moment, nullable=False),
    Column("seen", Moment, nullable=False),
)  # fmt: skip

idempotency = Table(
    "idempotency", metadata,
    Column("owner", String(200), primary_key=True),
    Column("key", String(300), primary_key=True),
    Column("fingerprint", String(64), nullable=False),  # of the request: the same key for another request is an error
    Column("run", String(32), nullable=False, index=True),
    Column("created", Moment, nullable=False, index=True),
)  # fmt: skip

audit = Table(
    "audit", metadata,
    Column("number", _number, primary_key=True, autoincrement=True),
    Column("at", Moment, nullable=False, index=True),
    Column("actor", String(200), nullable=False),
    Column("action", String(100), nullable=False),
    Column("object", String(500), nullable=False, index=True),
    Column("detail", Json, nullable=False),
)  # fmt: skip

hooks = Table(
    "hooks", metadata,
    Column("id", String(32), primary_key=True),
    Column("url", Text, nullable=False),
    Column("events", Json, nullable=False),
    Column("tasks", Json, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("created", Moment, nullable=False),
)  # fmt: skip

deliveries = Table(
    "deliveries", metadata,
    Column("number", _number, primary_key=True, autoincrement=True),
    Column("hook", String(32), ForeignKey("hooks.id", ondelete="CASCADE"), nullable=False),
    Column("event_id", String(64), nullable=False),
    Column("body", Json, nullable=False),
    Column("state", String(20), nullable=False),  # waiting, delivered, dead
    Column("attempts", Integer, nullable=False),
    Column("next_at", Moment),
    Column("status", Integer, nullable=False),  # of the last answer; 0 when there was none
    Column("error", Text, nullable=False),
    Column("created", Moment, nullable=False),
    Column("done", Moment),
    UniqueConstraint("hook", "event_id"),
    Index("ix_deliveries_state_next_at", "state", "next_at"),
)  # fmt: skip

# one row a duty that only one of several services may do at a time (retention, deliveries, timers)
duties = Table(
    "duties", metadata,
    Column("name", String(50), primary_key=True),
    Column("holder", String(64), nullable=False),
    Column("until", Moment, nullable=False),
)  # fmt: skip

# numbers that only grow: the next run's, and the turn in which an owner was last served
counters = Table(
    "counters", metadata,
    Column("name", String(50), primary_key=True),
    Column("value", BigInteger, nullable=False),
)  # fmt: skip

# an owner's last turn; a counter, not a time, so that no clock can make anybody wait
owners = Table(
    "owners", metadata,
    Column("name", String(200), primary_key=True),
    Column("served", BigInteger, nullable=False),
)  # fmt: skip

# whatever asks for runs from outside, as it came; `delivery` is the sender's number, or one of ours where it has none
events = Table(
    "events", metadata,
    Column("number", _number, primary_key=True, autoincrement=True),
    Column("source", String(50), nullable=False),
    Column("task", String(200), nullable=False),
    Column("delivery", String(200), nullable=False),
    Column("headers", Json, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("received", Moment, nullable=False, index=True),
    Column("state", String(20), nullable=False),  # received, queued, waiting, ignored, failed
    Column("reason", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", Moment),
    Column("done", Moment, index=True),
    UniqueConstraint("source", "task", "delivery"),
    Index("ix_events_state_next_at", "state", "next_at"),
    Index("ix_events_task_number", "task", "number"),
)  # fmt: skip

# what became of an event; `key` stands for its content, and is there once for all that may start a run
event_outcomes = Table(
    "event_outcomes", metadata,
    Column("number", _number, primary_key=True, autoincrement=True),
    Column("event", _number, ForeignKey("events.number", ondelete="CASCADE"), nullable=False, index=True),
    Column("task", String(200), nullable=False),
    Column("key", String(64), unique=True),
    Column("content", String(64), index=True),  # the same, kept of what started nothing too
    Column("state", String(20), nullable=False),
    Column("reason", Text, nullable=False),
    Column("run", String(32), nullable=False),
    Column("facts", Json, nullable=False),
    Column("at", Moment, nullable=False),
    Index("ix_event_outcomes_task_event", "task", "event"),
)  # fmt: skip

# how far each timer has been looked after; another schedule under the same name begins anew
timers = Table(
    "timers", metadata,
    Column("task", String(200), primary_key=True),
    Column("name", String(200), primary_key=True),
    Column("schedule", String(500), nullable=False),
    Column("seen", Moment, nullable=False),
)  # fmt: skip

# one row a timer and instant: who inserts it queues the run
timers_fired = Table(
    "timers_fired", metadata,
    Column("task", String(200), primary_key=True),
    Column("name", String(200), primary_key=True),
    Column("instant", Moment, primary_key=True),
    Column("at", Moment, nullable=False, index=True),
    Column("run", String(32), nullable=False),
)  # fmt: skip

# one row a repository that tasks watch, by its one spelling: how asking it went. `scope` says for which tasks it was
# asked (a digest of what each of them wants), `missed` when it told last of what no webhook had told
repositories = Table(
    "repositories", metadata,
    Column("repository", String(500), primary_key=True),
    Column("scope", Json, nullable=False),
    Column("checked", Moment),
    Column("changed", Moment),
    Column("missed", Moment),
    Column("next_at", Moment, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("error", Text, nullable=False),
)  # fmt: skip

# the newest commit that was seen of each watched ref
heads = Table(
    "heads", metadata,
    Column(
        "repository", String(500), ForeignKey("repositories.repository", ondelete="CASCADE"), primary_key=True
    ),
    Column("ref", String(500), primary_key=True),
    Column("commit_id", String(64), nullable=False),
    Column("seen", Moment, nullable=False),
)  # fmt: skip

# the webhooks that this service made at forges, or is to make or to remove; their tokens are in `secrets`
forge_hooks = Table(
    "forge_hooks", metadata,
    Column("task", String(200), primary_key=True),
    Column("name", String(200), primary_key=True),  # of the task's source trigger
    Column("forge", String(50), nullable=False),
    Column("repository", String(2000), nullable=False),  # its address, as the task has it
    Column("wanted", String(64), nullable=False),  # a digest of what is to be there; empty for nothing
    Column("made", String(64), nullable=False),  # a digest of what is there
    Column("remote", String(500), nullable=False),  # its number at the forge
    Column("state", String(20), nullable=False),  # waiting, made, dead, removing
    Column("attempts", Integer, nullable=False),
    Column("next_at", Moment),
    Column("error", Text, nullable=False),
    Column("updated", Moment, nullable=False),
    Index("ix_forge_hooks_next_at", "next_at"),
)  # fmt: skip

# what forges are to be told of runs, one row a run and state; of those of one commit and context, in order
commit_statuses = Table(
    "commit_statuses", metadata,
    Column("number", _number, primary_key=True, autoincrement=True),
    Column("run", String(32), nullable=False, index=True),
    Column("task", String(200), nullable=False),
    Column("source", String(200), nullable=False),  # the task's source trigger, whose token is used
    Column("repository", String(2000), nullable=False),
    Column("commit_id", String(64), nullable=False),
    Column("told", String(20), nullable=False),  # queued, running, succeeded, failed, canceled, error
    Column("description", Text, nullable=False),
    Column("state", String(20), nullable=False),  # waiting, delivered, superseded, dead
    Column("attempts", Integer, nullable=False),
    Column("next_at", Moment),
    Column("status", Integer, nullable=False),
    Column("error", Text, nullable=False),
    Column("created", Moment, nullable=False),
    Column("done", Moment),
    UniqueConstraint("run", "told"),
    Index("ix_commit_statuses_state_next_at", "state", "next_at"),
    Index("ix_commit_statuses_task_commit_id", "task", "commit_id"),
)  # fmt: skip

# how well is known what a task stands on; `due` when it is to be looked at again, none when all of it was taken in
task_scans = Table(
    "task_scans", metadata,
    Column("task", String(200), ForeignKey("tasks.name", ondelete="CASCADE"), primary_key=True),
    Column("revision", Integer, nullable=False),  # of the task, when it was looked at; 0 for never
    Column("watching", Boolean, nullable=False),  # it is enabled, and so is its base image trigger
    Column("due", Moment, index=True),
    Column("marks", Integer, nullable=False),  # how often there was something new to look at
    Column("scanned", Moment),
    Column("failures", Integer, nullable=False),
    Column("error", Text, nullable=False),
)  # fmt: skip

# what a task makes and what it stands on; an image by its full name (`docker.io/library/alpine:3`)
task_images = Table(
    "task_images", metadata,
    Column("task", String(200), ForeignKey("tasks.name", ondelete="CASCADE"), primary_key=True),
    Column("relation", String(20), primary_key=True),  # uses, makes, unwatched; unknown: `image` is the step then
    Column("image", String(500), primary_key=True),
    Column("platform", String(50), primary_key=True),
    Column("kind", String(20), nullable=False),  # runtime, buildtime, syntax, cmd; empty for what it makes
    Column("digest", String(200), nullable=False),  # that a run used last; empty for not known
    Column("platform_digest", String(200), nullable=False),
    Column("reason", Text, nullable=False),
    Index("ix_task_images_image_relation", "image", "relation"),
)  # fmt: skip

# one row a distinct image that tasks stand on, however many they are
watches = Table(
    "watches", metadata,
    Column("image", String(500), primary_key=True),
    Column("seen", Json),  # what its tag stood for
    Column("changes", Integer, nullable=False),  # how often it stood for something new: who moves `seen` counts it up
    Column("checked", Moment),
    Column("changed", Moment),
    Column("told", Moment),  # the last notice of a push
    Column("told_by", Json, nullable=False),  # whose notice has not been looked into; empty for none
    Column("next_at", Moment, nullable=False, index=True),
    Column("failures", Integer, nullable=False),
    Column("error", Text, nullable=False),
    Column("created", Moment, nullable=False),
)  # fmt: skip

# the rebuilds that one change leads to
waves = Table(
    "waves", metadata,
    Column("number", _number, primary_key=True, autoincrement=True),
    Column("event", _number, nullable=False, index=True),
    Column("state", String(20), nullable=False, index=True),  # open, over
    Column("opened", Moment, nullable=False, index=True),
    Column("ended", Moment),
    Column("images", Json, nullable=False),
    Column("plan", Json, nullable=False),
)  # fmt: skip

wave_members = Table(
    "wave_members", metadata,
    Column("wave", _number, ForeignKey("waves.number", ondelete="CASCADE"), primary_key=True),
    Column("task", String(200), primary_key=True),
    Column("level", Integer, nullable=False),
    Column("parents", Json, nullable=False),
    Column("images", Json, nullable=False),
    Column("state", String(20), nullable=False),
    Column("run", String(32), nullable=False, index=True),
    Column("reason", Text, nullable=False),
)  # fmt: skip
