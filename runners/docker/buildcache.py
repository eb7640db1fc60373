"""BuildKit's cache inside of the engine: how large it is, and how it is kept under a ceiling.

Its records carry no labels, so nobody can tell whose they are: only who owns the engine may ask for this.
https://docs.docker.com/reference/api/engine/ (ImageBuildCachePrune)
"""

from __future__ import annotations

from typing import Any, cast

from runners.docker.engine import Engine, Json
from runners.docker.localengine import LocalEngine

#: from this version of the API on, `GET /system/df` can be asked for the cache alone
_DF_BY_TYPE = (1, 42)
#: from this version on, a prune knows a floor and a ceiling; before, only what to keep
_FLOOR_AND_CEILING = (1, 48)
#: seconds that a prune, or an old engine's sum of all that it has, may take
_PATIENCE = 600


def prune_parameters(api_version: str, *, least: int, most: int) -> dict[str, str]:
    """The query of `POST /build/prune`: what was not used for longest goes until `most` bytes are left, and never when
    fewer than `least` are. Pure."""
    most = max(least, most)
    if version_of(api_version) >= _FLOOR_AND_CEILING:
        return {"all": "true", "reserved-space": str(least), "max-used-space": str(most)}
    return {"all": "true", "keep-storage": str(most)}


def prune(api: Engine, *, least: int, most: int) -> int:
    """Bring the cache under `most` bytes; how many were freed. What builds use right now stays. Raises what the
    engine's client raises."""
    said = _ask(api, "POST", "/build/prune", prune_parameters(api.api_version, least=least, most=most))
    return int((said or {}).get("SpaceReclaimed") or 0)


def size(api: Engine) -> int:
    """How many bytes the cache has beyond what images have too. Raises what the engine's client raises."""
    params = {"type": "build-cache"} if version_of(api.api_version) >= _DF_BY_TYPE else {}
    return size_in(_ask(api, "GET", "/system/df", params))


def _ask(api: Engine, method: str, path: str, params: dict[str, str]) -> Any:
    if isinstance(api, LocalEngine):
        return api.ask(method, path, params, timeout=_PATIENCE)
    client = cast(Any, api)  # docker-py has no method for these
    send = client._post if method == "POST" else client._get
    return client._result(send(client._url(path), params=params, timeout=_PATIENCE), json=True)


def size_in(said: Json) -> int:
    """The same, in what the engine says. Pure."""
    usage = said.get("BuildCacheUsage")
    if isinstance(usage, dict) and "BuildCache" not in said:  # the form of Docker 29
        return int(usage.get("TotalSize") or 0)
    records = said.get("BuildCache") or ()
    return sum(int(record.get("Size") or 0) for record in records if not record.get("Shared"))


def version_of(api_version: str) -> tuple[int, ...]:
    """A version of the API as numbers: `1.41`."""
    return tuple(int(part) for part in api_version.split(".") if part.isdigit())
