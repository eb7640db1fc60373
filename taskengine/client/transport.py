"""One connection to a service: addresses, the token, time limits, and its problems as our errors.

Knows HTTP and `application/problem+json` (RFC 9457) and no resource of the API. Thread-safe: requests keeps a pool of
connections, and nothing else is shared.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from taskengine.errors import InvalidInput, Location, Problem, Severity, TaskEngineError, Unreachable

if TYPE_CHECKING:
    import requests

API = "/api/v1"
#: seconds to reach the service, and until it has to have answered an ordinary call
CONNECT, ANSWER = 5.0, 30.0


class Conflict(InvalidInput):
    """The service is not where the call took it to be (409); `offset` is where an upload has to go on, if it said."""

    offset: int | None = None


class Gone(InvalidInput):
    """What the call is about is not the caller's any more (410)."""


class NotFound(InvalidInput):
    """There is nothing of that name (404)."""


class Transport:
    """Calls to one service. `url` is its root; `token` the bearer token, if there is one."""

    def __init__(self, url: str, token: str = "", *, verify: bool | str = True, pool: int = 16) -> None:
        import requests
        from requests.adapters import HTTPAdapter

        self.url = url.rstrip("/")
        self._session = requests.Session()
        self._session.trust_env = False  # a netrc file or a proxy must not see the token
        self._session.verify = verify
        self._session.headers["User-Agent"] = "acr-task"
        if token:
            self._session.headers["Authorization"] = f"Bearer {token}"
        self._session.mount("http://", HTTPAdapter(pool_connections=4, pool_maxsize=pool))
        self._session.mount("https://", HTTPAdapter(pool_connections=4, pool_maxsize=pool))

    def get(self, *path: str, params: Mapping[str, Any] | None = None) -> Any:
        return self.call("GET", *path, params=params)

    def post(self, *path: str, body: Any = None, key: str = "") -> Any:
        """`key` makes it harmless to ask again (Idempotency-Key)."""
        return self.call("POST", *path, body=body, headers={"Idempotency-Key": key} if key else None)

    def call(
        self,
        method: str,
        *path: str,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        seconds: float = ANSWER,
    ) -> Any:
        """The answer as JSON data, None where it has no content.

        Raises InvalidInput (and its kinds) for what the service refused, Unreachable where it does not answer.
        """
        with self.raw(method, *path, params=params, body=body, headers=headers, seconds=seconds) as response:
            if response.status_code == 204 or not response.content:
                return None
            try:
                return response.json()
            except ValueError as error:
                raise self._strange("its answer is not JSON") from error

    def raw(
        self,
        method: str,
        *path: str,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        data: bytes | Iterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        seconds: float = ANSWER,
        stream: bool = False,
    ) -> requests.Response:
        """The response, already known to be a success; close it. `path` are segments, quoted here."""
        import requests

        address = f"{self.url}{API}/{'/'.join(quote(part, safe='') for part in path)}"
        try:
            response = self._session.request(
                method, address, params=params, json=body, data=data, headers=headers, stream=stream,
                timeout=(CONNECT, seconds), allow_redirects=False,
            )  # fmt: skip
        except requests.exceptions.SSLError as error:
            raise Unreachable(
                f"the certificate of {self.url} is not trusted: {_plain(error)}",
                hint="name its authority with ACR_TASK_CA_FILE",
            ) from error
        except (requests.RequestException, OSError) as error:
            raise self._away(error) from error
        if response.status_code >= 300:
            with response:
                raise self._problem(response)
        return response

    def reading(self, read: Callable[[], Any]) -> Any:
        """Read from a response that streams; a connection that breaks is Unreachable."""
        import requests

        try:
            return read()
        except (requests.RequestException, OSError) as error:
            raise self._away(error) from error

    def close(self) -> None:
        self._session.close()

    def _away(self, error: Exception) -> Unreachable:
        return Unreachable(
            f"the server {self.url} does not answer: {_plain(error)}",
            hint="is `acr-task serve` running there? ACR_TASK_SERVER or `acr-task login` say which server is meant",
        )

    def _strange(self, what: str) -> Unreachable:
        return Unreachable(f"{self.url} does not speak like a service of acr-task: {what}", hint="check the address")

    def _problem(self, response: requests.Response) -> TaskEngineError:
        try:
            said = json.loads(response.content)
        except ValueError:
            said = None
        if not isinstance(said, dict):
            return self._strange(f"it answered {response.status_code}")
        message = str(said.get("detail") or said.get("title") or f"the server answered {response.status_code}")
        hint = said.get("hint") if isinstance(said.get("hint"), str) else None
        if response.status_code >= 500:
            return Unreachable(f"the server {self.url}: {message}", hint=hint)
        if response.status_code in (401, 403) and hint is None:
            hint = f"log in with: acr-task login {self.url}"
        if problems := problems_of(said.get("problems")):
            from taskengine.errors import InvalidTask

            return InvalidTask(problems)
        kind = {404: NotFound, 409: Conflict, 410: Gone}.get(response.status_code, InvalidInput)
        error = kind(message, hint=hint)
        if isinstance(error, Conflict) and (offset := response.headers.get("Upload-Offset", "")).isdigit():
            error.offset = int(offset)
        return error


def problems_of(said: Any) -> tuple[Problem, ...]:
    """The problems of a task's text, or of a request's fields, as the service lists them."""
    found = []
    for one in said if isinstance(said, list) else ():
        if not isinstance(one, dict):
            continue
        place = one.get("location")
        location = None
        if isinstance(place, dict):
            location = Location(
                file=str(place.get("file", "")), line=int(place.get("line", 1)), column=int(place.get("column", 1))
            )
        message, path = str(one.get("message", "")), one.get("path")
        found.append(
            Problem(
                code=str(one.get("code", "")), message=f"{path}: {message}" if path else message, location=location,
                hint=one.get("hint"), source_line=one.get("sourceLine"),
                severity=Severity.WARNING if one.get("severity") == "warning" else Severity.ERROR,
            )
        )  # fmt: skip
    return tuple(found)


def _plain(error: Exception) -> str:
    """The innermost reason, without the wrapping of libraries."""
    reason: Any = error
    while True:
        inner = getattr(reason, "reason", None) or next(
            (arg for arg in getattr(reason, "args", ()) if isinstance(arg, BaseException)), None
        )
        if not isinstance(inner, BaseException):
            break
        reason = inner
    text = getattr(reason, "strerror", None) or str(reason)
    return text.rpartition(": ")[2] if text.startswith("<") or "object at 0x" in text else text
