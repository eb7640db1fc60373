"""Logins for images that the service's own may not see: those that the tasks which stand on the image brought along.

A task's login is used for the images that it stands on, and for no others. Logins in secret stores are for workers, and
are not looked up here.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from taskengine.errors import NotFound
from taskengine.registry.auth import Login
from taskengine.registry.client import RegistryClient
from taskengine.registry.reference import ImageReference, auth_key
from taskengine.service.document import logins
from taskengine.service.services import Services
from taskengine.service.store import secrets, taskimages, tasks
from triggers.imagegraph import named

_TRIED = 3  # different logins for one image
_KEPT = 50  # clients that stay open


@dataclass(frozen=True, slots=True)
class _Key:
    host: str
    username: str
    secret: str = field(repr=False)


class TaskLogins:
    """Called with an image, gives clients that are logged in as its tasks are. `connect` makes a client with one login
    for one host. Thread-safe; close it."""

    def __init__(self, services: Services, connect: Callable[[str, Login], RegistryClient]) -> None:
        self._services = services
        self._connect = connect
        self._clients: OrderedDict[_Key, RegistryClient] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, image: ImageReference) -> Iterator[RegistryClient]:
        keys = dict.fromkeys(self._logins(image))
        for key in list(keys)[:_TRIED]:
            yield self._client(key)

    def close(self) -> None:
        with self._lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()

    def _client(self, key: _Key) -> RegistryClient:
        with self._lock:
            found = self._clients.get(key)
            if found is None:
                found = self._connect(key.host, Login(username=key.username, secret=key.secret))
                self._clients[key] = found
            self._clients.move_to_end(key)
            while len(self._clients) > _KEPT:
                self._clients.popitem(last=False)[1].close()
            return found

    def _logins(self, image: ImageReference) -> Iterator[_Key]:
        with self._services.database.read() as conn:
            for name in dict.fromkeys(use.task for use in taskimages.users(conn, named(image))):
                try:
                    document = tasks.get(conn, name).document
                except NotFound:
                    continue
                kept = secrets.get(conn, self._services.box, "task", name)
                for entry, text in logins(document, kept).items():
                    host, login = entry.removeprefix("login:"), json.loads(text)
                    is_plain = "usernameVault" not in login and login.get("password")
                    if is_plain and auth_key(host) == image.auth_key():
                        yield _Key(host=host, username=login.get("username", ""), secret=login["password"])
