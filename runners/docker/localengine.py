"""The Engine API over this machine's own socket, the calls of `Engine`, without docker-py and what that stands on.

Each method is one call, named as docker-py names it. Where an engine is reached over TCP, TLS or ssh, docker-py speaks.
Must not know runs.
"""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from typing import IO, Any

from runners.docker.engine import Json
from runners.docker.http1 import Answer, Body, Coming, Http1, Wire
from runners.docker.refused import NotThere, Refused

#: seconds that an engine's `stop` gives a container, where nobody says otherwise
_STOP_S = 10


class LocalEngine:
    """Thread-safe. Every method raises Refused when the engine says no, and OSError when it cannot be asked."""

    def __init__(self, path: str, *, timeout: float, headers: Mapping[str, str]) -> None:
        """`timeout` is how many seconds each answer may take, `headers` go along with every request."""
        self.base_url = "http+docker://localhost"
        self.socket_path = path
        self.timeout = timeout
        self._headers = {"Host": "docker", "User-Agent": "acr-task", **headers}
        self._http = Http1(lambda: _connect(path, self.timeout))
        self._version = ""
        self._coming: Coming | None = None

    # the way to the engine

    @property
    def api_version(self) -> str:
        return self._version

    def negotiate(self) -> None:
        """Ask for the newest version that the engine speaks: /_ping knows it at once."""
        answer = self._call("GET", "/_ping", versioned=False)
        answer.read()
        self._version = answer.headers.get("api-version") or str(self.version(api_version=False)["ApiVersion"])

    def _call(
        self,
        method: str,
        path: str,
        params: Mapping[str, object] | None = None,
        *,
        body: Body = b"",
        headers: Mapping[str, str] | None = None,
        timeout: float | None = -1,
        versioned: bool = True,
    ) -> Answer:
        query = _query(params or {})
        target = (f"/v{self._version}" if versioned and self._version else "") + urllib.parse.quote(path, safe="/:@")
        answer = self._http.request(
            method,
            target + (f"?{query}" if query else ""),
            headers={**self._headers, **(headers or {})},
            body=body,
            timeout=self.timeout if timeout == -1 else timeout,
        )
        if answer.status >= 400:
            text = answer.read().decode("utf-8", "replace")
            raise (NotThere if answer.status == 404 else Refused)(answer.status, _message(text))
        return answer

    def _json(self, method: str, path: str, params: Mapping[str, object] | None = None, **more: Any) -> Any:
        text = self._call(method, path, params, **more).read()
        return json.loads(text) if text.strip() else None

    def _post(self, path: str, data: Json, params: Mapping[str, object] | None = None) -> Any:
        body = json.dumps({key: value for key, value in data.items() if value is not None}).encode()
        return self._json("POST", path, params, body=body, headers={"Content-Type": "application/json"})

    def close(self) -> None:
        coming, self._coming = self._coming, None
        if coming is not None:
            coming.close()
        self._http.close()

    # the engine

    def info(self) -> Json:
        return self._json("GET", "/info")  # type: ignore[no-any-return]

    def expect_version(self) -> None:
        """Ask for the version, and go on: the engine starts programs to tell it. `version` then has the answer."""
        with contextlib.suppress(OSError):
            self._coming = self._http.begin(f"/v{self._version}/version", headers=self._headers, timeout=self.timeout)

    def version(self, api_version: bool = True) -> Json:
        coming, self._coming = self._coming, None
        if coming is not None:
            with contextlib.suppress(OSError, ValueError), contextlib.closing(coming.take()) as answer:
                if answer.status == 200:
                    return json.loads(answer.read())  # type: ignore[no-any-return]
        return self._json("GET", "/version", versioned=api_version)  # type: ignore[no-any-return]

    def ping(self) -> bool:
        return self._call("GET", "/_ping").read() == b"OK"

    def events(self, filters: Json | None = None, decode: bool | None = None) -> Documents:  # noqa: ARG002
        return Documents(self._call("GET", "/events", {"filters": _filters(filters)}, timeout=None))

    def ask(self, method: str, path: str, params: Mapping[str, object], *, timeout: float) -> Any:
        """What no method is for."""
        return self._json(method, path, params, timeout=timeout)

    # images

    def images(self, name: str | None = None, quiet: bool = False, all: bool = False) -> list[Any]:  # noqa: A002
        params = {"only_ids": quiet, "all": all, "filters": _filters({"reference": name} if name else None)}
        found = self._json("GET", "/images/json", params)
        return [image["Id"] for image in found] if quiet else found

    def inspect_image(self, image: str) -> Json:
        return self._json("GET", f"/images/{image}/json")  # type: ignore[no-any-return]

    def history(self, image: str) -> list[Json]:
        return self._json("GET", f"/images/{image}/history")  # type: ignore[no-any-return]

    def tag(self, image: str, repository: str, tag: str | None = None) -> bool:
        self._json("POST", f"/images/{image}/tag", {"repo": repository, "tag": tag})
        return True

    def remove_image(self, image: str, force: bool = False, noprune: bool = False) -> object:
        return self._json("DELETE", f"/images/{image}", {"force": force, "noprune": noprune})

    def import_image_from_data(
        self, data: bytes, repository: str | None = None, tag: str | None = None, changes: list[str] | None = None
    ) -> str:
        params = {"fromSrc": "-", "repo": repository, "tag": tag, "changes": changes}
        headers = {"Content-Type": "application/tar"}
        return self._call("POST", "/images/create", params, body=data, headers=headers, timeout=None).read().decode()

    def load_image(self, data: Iterable[bytes], quiet: bool | None = None) -> Iterator[Json]:
        headers = {"Content-Type": "application/x-tar"}
        return Documents(self._call("POST", "/images/load", {"quiet": quiet}, body=data, headers=headers))

    def pull(
        self,
        repository: str,
        tag: str | None = None,
        stream: bool = False,  # noqa: ARG002
        auth_config: Mapping[str, str] | None = None,
        decode: bool = False,  # noqa: ARG002
        platform: str | None = None,
    ) -> Iterator[Json]:
        params = {"fromImage": repository, "tag": tag, "platform": platform}
        return Documents(self._call("POST", "/images/create", params, headers=_login(auth_config)))

    def inspect_distribution(self, image: str, auth_config: Mapping[str, str] | None = None) -> Json:
        return self._json("GET", f"/distribution/{image}/json", headers=_login(auth_config))  # type: ignore[no-any-return]

    def push(
        self,
        repository: str,
        tag: str | None = None,
        stream: bool = False,  # noqa: ARG002
        auth_config: Mapping[str, str] | None = None,
        decode: bool = False,  # noqa: ARG002
    ) -> Iterator[Json]:
        return Documents(self._call("POST", f"/images/{repository}/push", {"tag": tag}, headers=_login(auth_config)))

    # containers

    def create_container_from_config(self, config: Json, name: str | None = None) -> Json:
        return self._post("/containers/create", config, {"name": name})  # type: ignore[no-any-return]

    def attach_socket(self, container: str, params: Json | None = None) -> Wire:
        headers = {"Connection": "Upgrade", "Upgrade": "tcp"}
        wanted = params or {"stdout": 1, "stderr": 1, "stream": 1}
        return self._call("POST", f"/containers/{container}/attach", wanted, headers=headers).take_over()

    def start(self, container: str) -> None:
        self._json("POST", f"/containers/{container}/start")

    def wait(self, container: str, timeout: float | None = None) -> Json:
        return self._json("POST", f"/containers/{container}/wait", timeout=timeout)  # type: ignore[no-any-return]

    def stop(self, container: str, timeout: int | None = None) -> None:
        params = {} if timeout is None else {"t": timeout}
        patience = self.timeout + (_STOP_S if timeout is None else timeout)
        self._json("POST", f"/containers/{container}/stop", params, timeout=patience)

    def remove_container(self, container: str, v: bool = False, force: bool = False) -> None:
        self._json("DELETE", f"/containers/{container}", {"v": v, "force": force})

    def inspect_container(self, container: str) -> Json:
        return self._json("GET", f"/containers/{container}/json")  # type: ignore[no-any-return]

    def containers(self, all: bool = False, filters: Json | None = None) -> list[Json]:  # noqa: A002
        params = {"all": all, "filters": _filters(filters)}
        return self._json("GET", "/containers/json", params)  # type: ignore[no-any-return]

    def put_archive(self, container: str, path: str, data: bytes | IO[bytes] | Iterable[bytes]) -> bool:
        self._json("PUT", f"/containers/{container}/archive", {"path": path}, body=data)
        return True

    def get_archive(self, container: str, path: str) -> tuple[Iterator[bytes], Json]:
        answer = self._call("GET", f"/containers/{container}/archive", {"path": path}, timeout=None)
        about = answer.headers.get("x-docker-container-path-stat", "")
        return iter(answer), json.loads(base64.b64decode(about)) if about else {}

    def open_log(self, container: str, *, follow: bool) -> Answer:
        """What a container printed, as the engine sends it."""
        params = {"stdout": 1, "stderr": 1, "follow": follow, "timestamps": 0, "tail": "all"}
        return self._call("GET", f"/containers/{container}/logs", params, timeout=None)

    # networks and volumes

    def networks(self, filters: Json | None = None) -> list[Json]:
        return self._json("GET", "/networks", {"filters": _filters(filters)})  # type: ignore[no-any-return]

    def create_network(
        self,
        name: str,
        driver: str | None = None,
        check_duplicate: bool | None = None,
        labels: Mapping[str, str] | None = None,
        enable_ipv6: bool = False,
    ) -> Json:
        data = {
            "Name": name, "Driver": driver, "CheckDuplicate": check_duplicate, "Labels": labels,
            "EnableIPv6": enable_ipv6 or None,
        }  # fmt: skip
        return self._post("/networks/create", data)  # type: ignore[no-any-return]

    def remove_network(self, net_id: str) -> None:
        self._json("DELETE", f"/networks/{net_id}")

    def connect_container_to_network(self, container: str, net_id: str, aliases: list[str] | None = None) -> None:
        self._post(f"/networks/{net_id}/connect", {"Container": container, "EndpointConfig": {"Aliases": aliases}})

    def disconnect_container_from_network(self, container: str, net_id: str) -> None:
        self._post(f"/networks/{net_id}/disconnect", {"Container": container})

    def volumes(self, filters: Json | None = None) -> Json:
        return self._json("GET", "/volumes", {"filters": _filters(filters)})  # type: ignore[no-any-return]

    def create_volume(
        self,
        name: str | None = None,
        driver: str | None = None,
        driver_opts: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Json:
        data = {"Name": name, "Driver": driver, "DriverOpts": driver_opts, "Labels": labels}
        return self._post("/volumes/create", data)  # type: ignore[no-any-return]

    def inspect_volume(self, name: str) -> Json:
        return self._json("GET", f"/volumes/{name}")  # type: ignore[no-any-return]

    def remove_volume(self, name: str, force: bool = False) -> None:
        self._json("DELETE", f"/volumes/{name}", {"force": force} if force else {})


class Documents:
    """The JSON documents of an answer, as they arrive. `close` ends it, from any thread."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._documents = _documents(answer)

    def __iter__(self) -> Iterator[Json]:
        return self

    def __next__(self) -> Json:
        return next(self._documents)

    def close(self) -> None:
        self._answer.close()


def _documents(pieces: Iterable[bytes]) -> Iterator[Json]:
    decoder = json.JSONDecoder()
    waiting = b""
    for piece in pieces:
        *lines, waiting = (waiting + piece).split(b"\n")
        for line in lines:
            yield from _of_line(decoder, line)
    yield from _of_line(decoder, waiting)


def _of_line(decoder: json.JSONDecoder, line: bytes) -> Iterator[Json]:
    text = line.decode("utf-8", "replace").strip()
    while text:
        found, end = decoder.raw_decode(text)
        yield found
        text = text[end:].lstrip()


def _connect(path: str, timeout: float) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout)
        sock.connect(path)
    except BaseException:
        sock.close()
        raise
    return sock


def _query(params: Mapping[str, object]) -> str:
    """None is left out; yes and no are 1 and 0; a list is the name several times."""
    return urllib.parse.urlencode(
        [
            (name, int(one) if isinstance(one, bool) else one)
            for name, value in params.items()
            for one in (value if isinstance(value, list) else (value,))
            if one is not None
        ]
    )


def _filters(filters: Json | None) -> str | None:
    if not filters:
        return None
    return json.dumps({name: value if isinstance(value, list) else [value] for name, value in filters.items()})


def _login(auth_config: Mapping[str, str] | None) -> dict[str, str]:
    if auth_config is None:
        return {}
    return {"X-Registry-Auth": base64.urlsafe_b64encode(json.dumps(dict(auth_config)).encode()).decode()}


def _message(text: str) -> str:
    """The engine's sentence out of its answer."""
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text.strip()
