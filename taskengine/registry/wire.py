"""One HTTP exchange: a request goes out, an answer comes back, and both deadline and cancel end it at once.

Each exchange runs in a thread of its own, so that neither a name server nor a silent peer can hold up the caller; a
socket that is given up is shut down under the thread that waits for it. Knows nothing of registries, logins or retries.
"""

from __future__ import annotations

import contextlib
import functools
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

from taskengine.errors import Interrupted
from taskengine.lightclass import dataclass
from taskengine.registry.endpoint import Endpoint, is_link_local, is_loopback
from taskengine.registry.limits import Limits

CHUNK = 256 * 1024
_LARGEST_ERROR = 64 * 1024
_CONNECTIONS = 16
_AGENT = "acr-task"


T = TypeVar("T")


class Fault(Exception):
    """An exchange brought no whole answer. `may_help`: whether trying again may."""

    def __init__(self, text: str, *, may_help: bool = True, hint: str = "check the address and the network") -> None:
        super().__init__(text)
        self.text = text
        self.may_help = may_help
        self.hint = hint


class Body(Protocol):
    """A content to send whose length is known. Read once, from its beginning."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[bytes]: ...

    def read(self, size: int = -1, /) -> bytes: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """What goes out. `stream` leaves a good answer's body on the wire, otherwise up to `largest` bytes are read."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | Body | None = field(default=None, repr=False)
    stream: bool = False
    largest: int = 1024 * 1024


class Lane:
    """The socket that one exchange holds, to be shut by whoever gives it up. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: Any = None
        self._sock: Any = None
        self.is_broken = False

    def hold(self, connection: Any) -> None:
        with self._lock:
            connection.lane = self
            self._connection, self._sock = connection, connection.sock
            broken = self.is_broken
        if broken:
            self.break_off()

    def break_off(self) -> None:
        with self._lock:
            self.is_broken = True
            # A kept connection may have gone on to another exchange since.
            mine = self._connection is not None and self._connection.lane is self
            sock = self._sock if mine else None
        if sock is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)  # past SSLSocket, which would say goodbye first


class Reply:
    """What came back. Close it, or read it to its end."""

    def __init__(self, url: str, response: Any, lane: Lane, limits: Limits) -> None:
        self.url = url
        self.status: int = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.body = b""
        self._response = response
        self._lane = lane
        self._limits = limits

    def read_all(self, largest: int) -> None:
        content = bytearray()
        while chunk := self._response.raw.read(min(CHUNK, largest + 1 - len(content)), decode_content=False):
            content += chunk
            if len(content) > largest:
                self._lane.break_off()
                raise Fault(f"sent more than {largest} bytes", may_help=False, hint="is it a registry?")
        self.body = bytes(content)
        self.close()

    def chunks(self) -> Iterator[bytes]:
        """The body as it arrives. Raises Fault when it breaks off, Interrupted when canceled."""
        unlisten = self._limits.cancel.listen(self._lane.break_off)
        try:
            while chunk := _translated(lambda: self._response.raw.read(CHUNK, decode_content=False)):
                yield chunk
                self._limits.check("reading a blob")
        except Fault:
            self._limits.check("reading a blob")
            raise
        finally:
            unlisten()
            self.close()

    def close(self) -> None:
        self._response.close()


class Wire:
    """Keeps connections open between exchanges. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._adapters: dict[tuple[Any, ...], Any] = {}

    def send(self, message: Message, endpoint: Endpoint, limits: Limits, deadline: float | None) -> Reply:
        """Exchange one message. No deadline: only silence ends it. Raises Fault, or Interrupted."""
        lane, done = Lane(), threading.Event()
        result: list[Reply | BaseException] = []

        def work() -> None:
            try:
                result.append(self._exchange(message, endpoint, limits, lane))
            except BaseException as error:  # noqa: BLE001 - handed to whoever waits
                result.append(error)
            done.set()

        unlisten = limits.cancel.listen(done.set)
        try:
            threading.Thread(target=work, name="registry", daemon=True).start()
            done.wait(None if deadline is None else max(0.0, deadline - limits.ambient.monotonic()))
        finally:
            unlisten()
        if limits.cancel.is_set or not result:
            lane.break_off()
            if limits.cancel.is_set:
                raise Interrupted("canceled while waiting for a registry")
            raise Fault(f"gave no answer within {limits.call:g} s", may_help=False)
        if isinstance(result[0], BaseException):
            raise result[0]
        return result[0]

    def close(self) -> None:
        with self._lock:
            adapters, self._adapters = list(self._adapters.values()), {}
        for adapter in adapters:
            adapter.close()

    def _exchange(self, message: Message, endpoint: Endpoint, limits: Limits, lane: Lane) -> Reply:
        import requests

        from taskengine import __version__

        # The adapter alone: a session would read ~/.netrc, keep cookies, and parse redirects of any size itself.
        # identity: what is hashed must be what was stored.
        standing = {"User-Agent": f"{_AGENT}/{__version__}", "Accept-Encoding": "identity"}
        _here.lane = lane

        def call() -> Reply:
            request = requests.Request(
                message.method, message.url, headers={**standing, **message.headers}, data=message.body
            ).prepare()
            response = self._adapter(message.url, endpoint).send(
                request, stream=True, timeout=(limits.connect, limits.stall), proxies=_proxies(message.url)
            )
            reply = Reply(message.url, response, lane, limits)
            if not (message.stream and reply.status in (200, 206)):
                reply.read_all(message.largest if reply.status < 400 else _LARGEST_ERROR)
            return reply

        try:
            return _translated(call)
        finally:
            _here.lane = None

    def _adapter(self, url: str, endpoint: Endpoint) -> Any:
        """Connections are shared by what is trusted alike. Another host is shown no certificate of ours."""
        own = endpoint.owns(url)
        trust = (
            urlsplit(url).scheme,
            own and endpoint.skip_verify,
            endpoint.ca_file,
            endpoint.client_cert if own else "",
            endpoint.client_key if own else "",
        )
        with self._lock:
            if trust not in self._adapters:
                self._adapters[trust] = _new_adapter(*trust)
            return self._adapters[trust]


_here = threading.local()


def _new_adapter(scheme: str, skip_verify: bool, ca_file: str, client_cert: str, client_key: str) -> Any:
    context = _context(skip_verify, ca_file, client_cert, client_key) if scheme == "https" else None
    return _adapter_class()(context)


def _context(skip_verify: bool, ca_file: str, client_cert: str, client_key: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    if not paths.cafile and not (paths.capath and any(Path(paths.capath).iterdir())):
        import certifi  # comes with requests; for machines that trust nobody by themselves

        context.load_verify_locations(certifi.where())
    try:
        if ca_file:
            context.load_verify_locations(ca_file)
        if client_cert:
            context.load_cert_chain(client_cert, client_key or None)
    except (OSError, ssl.SSLError):
        which = " or ".join(path for path in (ca_file, client_cert, client_key) if path)
        raise Fault(
            f"cannot be asked: {which} is no certificate", may_help=False, hint="name files in PEM form"
        ) from None
    if skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


@functools.cache
def _adapter_class() -> Any:
    """Built when first needed: the libraries cost more to import than a short command should pay."""
    from requests.adapters import HTTPAdapter
    from urllib3.connection import HTTPConnection, HTTPSConnection
    from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

    class Tracked:
        lane: Lane | None = None
        sock: Any
        is_verified: bool

        def connect(self) -> None:
            super().connect()  # type: ignore[misc]
            self.is_verified = True  # where nothing was verified the user wanted so: no warning with each request
            self._tell()

        def request(self, *args: Any, **options: Any) -> Any:
            self._tell()
            return super().request(*args, **options)  # type: ignore[misc]

        def _tell(self) -> None:
            if lane := getattr(_here, "lane", None):
                lane.hold(self)

    pools: dict[str, Any] = {
        "http": type("Http", (HTTPConnectionPool,), {"ConnectionCls": type("C", (Tracked, HTTPConnection), {})}),
        "https": type("Https", (HTTPSConnectionPool,), {"ConnectionCls": type("S", (Tracked, HTTPSConnection), {})}),
    }

    class Adapter(HTTPAdapter):
        def __init__(self, context: ssl.SSLContext | None) -> None:
            self._context = context
            super().__init__(pool_maxsize=_CONNECTIONS)

        def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:
            super().init_poolmanager(connections, maxsize, block, **options, **self._options())
            self.poolmanager.pool_classes_by_scheme = pools

        def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
            manager = super().proxy_manager_for(proxy, **options, **self._options())
            manager.pool_classes_by_scheme = pools
            return manager

        def _options(self) -> dict[str, Any]:
            return {"ssl_context": self._context} if self._context else {}

        def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
            host, _ = super().build_connection_pool_key_attributes(request, verify, cert)
            return host, {}  # the context says it all; a list of authorities here would be loaded with each connection

        def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
            """The context says it all."""

    return Adapter


def _translated(call: Callable[[], T]) -> T:
    """Whatever the libraries raise, as a Fault in words of ours."""
    import requests
    import urllib3

    try:
        return call()
    except (requests.exceptions.SSLError, urllib3.exceptions.SSLError, ssl.SSLError) as error:
        raise _tls_fault(error) from None
    except (requests.exceptions.Timeout, urllib3.exceptions.TimeoutError, TimeoutError):
        raise Fault("gave no answer in time") from None
    except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, UnicodeError):
        raise Fault("cannot be asked: this is no address", may_help=False) from None
    except requests.exceptions.ProxyError:
        raise Fault("cannot be reached through the proxy", hint="check HTTPS_PROXY and NO_PROXY") from None
    except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        raise _network_fault(error) from None


def _tls_fault(error: BaseException) -> Fault:
    text = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in text or "doesn't match" in text:
        reason = text.rpartition("CERTIFICATE_VERIFY_FAILED]")[2].partition(" (_ssl")[0].rpartition(": ")[2].strip()
        return Fault(
            f"cannot be trusted: its certificate is not verified{f' ({reason})' if reason else ''}",
            may_help=False,
            hint="name its authority as ca_file in registries.yaml",
        )
    if "WRONG_VERSION_NUMBER" in text or "UNKNOWN_PROTOCOL" in text or "record layer" in text.lower():
        return Fault(
            "speaks no TLS",
            may_help=False,
            hint="if it is a plain http registry that you trust, set plain_http for it in registries.yaml",
        )
    return Fault("broke the TLS connection off", hint="check that the port speaks https")


def _network_fault(error: BaseException) -> Fault:
    cause: BaseException | None = error
    for _ in range(10):
        if cause is None:
            break
        if isinstance(cause, socket.gaierror):
            return Fault("has no address: the name is not known", may_help=cause.errno == socket.EAI_AGAIN)
        if isinstance(cause, ConnectionRefusedError):
            return Fault("cannot be reached: the connection was refused")
        inner = getattr(cause, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((one for one in cause.args if isinstance(one, BaseException)), None)
        cause = inner or cause.__cause__ or cause.__context__
    return Fault("cannot be reached: the connection broke off")


def _proxies(url: str) -> dict[str, str]:
    from requests.utils import get_environ_proxies

    host = urlsplit(url).hostname or ""
    return {} if is_loopback(host) or is_link_local(host) else dict(get_environ_proxies(url))
