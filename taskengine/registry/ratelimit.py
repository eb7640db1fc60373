"""What registries say about how much more may be asked of them, and when to come back. Pure.

Three dialects: Docker Hub's (`ratelimit-remaining: 98;w=21600`), the IETF's drafts (`RateLimit: limit=10, remaining=9,
reset=30`, and `RateLimit: "name";r=9;t=30`), and the older `X-RateLimit-*`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from taskengine.lightclass import dataclass
from taskengine.lightpattern import pattern

_COUNT = pattern(r"\s*([0-9]{1,15})\s*(?:[;,]|$)")
_WINDOW = pattern(r";\s*w\s*=\s*([0-9]{1,15})")
_PAIR = pattern(r"\b(limit|remaining|reset|q|r|t|w)\s*=\s*([0-9]{1,15})")
#: what is larger is no number of seconds but a point in time
_EPOCH = 1_000_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class RateLimit:
    """None stands for what was not said. `window` and `reset` are in seconds, `reset` from the answer's arrival on."""

    limit: int | None = None
    remaining: int | None = None
    window: int | None = None
    reset: int | None = None

    @property
    def is_spent(self) -> bool:
        return self.remaining == 0


def parse_rate_limit(headers: Mapping[str, str], now: datetime) -> RateLimit | None:
    """The limit that the headers of an answer tell, or None when they tell none."""
    lower = {key.lower(): value for key, value in headers.items() if "ratelimit" in key.lower()}
    if not lower:
        return None
    joined = _joined(lower)
    limit = joined.get("limit", joined.get("q"))
    remaining = joined.get("remaining", joined.get("r"))
    window, reset = joined.get("w"), joined.get("reset", joined.get("t"))
    for prefix in ("ratelimit-", "x-ratelimit-"):
        limit = _first(limit, _count(lower.get(prefix + "limit")))
        remaining = _first(remaining, _count(lower.get(prefix + "remaining")))
        reset = _first(reset, _count(lower.get(prefix + "reset")))
        window = _first(window, _window(lower.get(prefix + "limit")), _window(lower.get(prefix + "remaining")))
    if reset is not None and reset >= _EPOCH:
        reset = max(0, reset - int(now.timestamp()))
    if limit is None and remaining is None:
        return None
    return RateLimit(limit=limit, remaining=remaining, window=window, reset=reset)


def parse_retry_after(header: str | None, now: datetime) -> float | None:
    """Seconds to wait by a `Retry-After` header, which holds seconds or a date; None when there is none."""
    text = (header or "").strip()
    if not text:
        return None
    if re.fullmatch(r"[0-9]{1,15}", text):
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, IndexError, TypeError, OverflowError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())


def _joined(lower: Mapping[str, str]) -> dict[str, int]:
    """The numbers of the one-header forms; the policy is named last, so that the state wins."""
    found: dict[str, int] = {}
    for name in ("ratelimit", "ratelimit-policy"):
        for key, number in _PAIR.findall(lower.get(name, "")):
            found.setdefault(key, int(number))
    return found


def _first(*values: int | None) -> int | None:
    return next((value for value in values if value is not None), None)


def _count(text: str | None) -> int | None:
    found = _COUNT.match(text or "")
    return int(found[1]) if found else None


def _window(text: str | None) -> int | None:
    found = _WINDOW.search(text or "")
    return int(found[1]) if found else None
