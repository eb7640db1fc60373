"""What the values of a step's properties and options mean: ports, sizes, processors, durations, mounts.

Pure: text in, plain numbers out, or InvalidInput that says what was expected. Knows neither steps nor any engine; the
compiler asks so that a mistake is told before a run, a runner asks so that both mean the same.
"""

from __future__ import annotations

import math
import re

from taskengine.errors import InvalidInput
from taskengine.lightclass import dataclass
from taskengine.lightpattern import pattern

_LAST_PORT = 65535


@dataclass(frozen=True, slots=True)
class Port:
    """One published port: `inside` is a port and its protocol as in 80/tcp, `outside` "" is any free one."""

    inside: str
    ip: str = ""
    outside: str = ""


def nano_cpus(text: str) -> int:
    """A number of processors, in billionths."""
    try:
        return int(float(text) * 1_000_000_000)
    except (ValueError, OverflowError):  # no number, or one without end
        raise InvalidInput(
            f"cpus: {text!r} is not a number", hint="write a number of processors, such as 0.5 or 2"
        ) from None


_PORT = pattern(
    r"^(?:(?:(?P<ip>\d+\.\d+\.\d+\.\d+|\[[0-9a-fA-F:]+\]):)?(?P<host>\d*(?:-\d+)?):)?"
    r"(?P<first>\d+)(?:-(?P<last>\d+))?(?:/(?P<proto>tcp|udp|sctp))?$",
    re.ASCII,
)
_EXPOSED = pattern(r"(\d+)(?:-(\d*))?(?:/(.*))?", re.ASCII)


def published(text: str) -> tuple[Port, ...]:
    """The ports of [[IP:]HOST:]CONTAINER[/PROTOCOL], where HOST and CONTAINER may be ranges."""
    match = _PORT.match(text.strip())
    if match is None or (match["host"] or "").startswith("-"):
        raise InvalidInput(
            f"port {text!r} is not understood", hint="write HOST:CONTAINER, IP:HOST:CONTAINER or CONTAINER"
        )
    inside = _range(text, match["first"], match["last"])
    outside = [str(port) for port in _range(text, *match["host"].partition("-")[::2])] if match["host"] else None
    if outside is None:
        outside = [""] * len(inside)
    if len(outside) != len(inside):
        raise InvalidInput(
            f"port {text!r}: the two ranges differ in length", hint="publish as many ports as are exposed"
        )
    ip = (match["ip"] or "").strip("[]")
    protocol = match["proto"] or "tcp"
    return tuple(Port(f"{port}/{protocol}", ip, host) for port, host in zip(inside, outside, strict=True))


def exposed(text: str) -> tuple[str, ...]:
    """The ports of FIRST[-LAST][/PROTOCOL], each with its protocol as in 80/tcp."""
    match = _EXPOSED.fullmatch(text.strip())
    if match is None:
        raise InvalidInput(f"expose: {text!r} is not a port", hint="write a port, such as 8080 or 53/udp")
    return tuple(f"{port}/{match[3] or 'tcp'}" for port in _range(text, match[1], match[2]))


def _range(text: str, first: str, last: str | None) -> range:
    # counted by digits first: a range of a million digits is no work to be done
    if max(len(first), len(last or "")) > 9 or not int(first) <= int(last or first) <= _LAST_PORT:
        raise InvalidInput(f"port {text!r} is not understood", hint=f"ports go from 0 to {_LAST_PORT}, upwards")
    return range(int(first), int(last or first) + 1)


_UNITS = {"": 1, "b": 1, "k": 1 << 10, "kb": 1 << 10, "m": 1 << 20, "mb": 1 << 20, "g": 1 << 30, "gb": 1 << 30}


def size_bytes(text: str) -> int:
    """A size such as 64m or 1.5g in bytes, as the Docker CLI reads it. -1 is itself."""
    match = re.match(r"^(-1|\d{1,300}(?:\.\d+)?)\s*([a-zA-Z]*)$", text.strip())
    if match is None or match[2].lower() not in _UNITS or not math.isfinite(float(match[1]) * (1 << 30)):
        raise InvalidInput(
            f"{text!r} is not a size", hint="write a number of bytes with an optional unit, such as 512m or 2g"
        )
    return int(float(match[1]) * _UNITS[match[2].lower()])


def number(text: str) -> int:
    """A whole number."""
    try:
        return int(text)
    except ValueError:
        raise InvalidInput(f"{text!r} is not a whole number") from None


def gpu_count(text: str) -> int:
    """How many GPUs; -1 is all."""
    return -1 if text == "all" else number(text)


def ulimit(text: str) -> tuple[str, int, int]:
    """Name, soft and hard limit of NAME=SOFT[:HARD]."""
    name, _, limits = text.partition("=")
    soft, _, hard = limits.partition(":")
    return name, number(soft), number(hard or soft)


_DURATION = pattern(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_NANOSECONDS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}


def nanoseconds(text: str) -> int:
    """A duration as Go writes it, such as 30s or 1m30s."""
    parts = _DURATION.findall(text)
    total = sum(float(n) * _NANOSECONDS[unit] for n, unit in parts)
    if not parts or "".join(n + unit for n, unit in parts) != text or not math.isfinite(total):
        raise InvalidInput(f"{text!r} is not a duration", hint="write a number with a unit, such as 30s or 1m30s")
    return round(total)


@dataclass(frozen=True, slots=True)
class Mount:
    """What --mount asks for."""

    target: str
    kind: str = "volume"
    source: str = ""
    read_only: bool = False


_MOUNT_KEYS = {"type": "type", "source": "source", "src": "source", "target": "target", "dst": "target"} | {
    "destination": "target", "readonly": "readonly", "ro": "readonly",
}  # fmt: skip


def mount(text: str) -> Mount:
    """A mount written as type=...,source=...,target=...[,readonly]. A key that has no effect is refused: whoever wrote
    it counts on it."""
    fields: dict[str, str] = {}
    for part in text.split(","):
        key, equals, value = part.partition("=")
        name = _MOUNT_KEYS.get(key.strip().lower())
        if name is None:
            known = "type, source, target and readonly"
            raise InvalidInput(f"{key!r} in {text!r} is not supported", hint=f"a mount has {known}")
        fields[name] = value if equals or name != "readonly" else "true"
    if not fields.get("target"):
        raise InvalidInput(f"{text!r} has no target", hint="write --mount type=volume,source=NAME,target=/path")
    return Mount(
        target=fields["target"],
        kind=fields.get("type", "volume"),
        source=fields.get("source", ""),
        read_only="readonly" in fields and flag(fields["readonly"] or "true"),
    )


def flag(text: str) -> bool:
    """A switch; everything but a no is a yes."""
    return text.lower() not in {"false", "0", "f"}
