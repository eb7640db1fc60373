"""Downloads an archive, checks its hash and unpacks it.

A login goes to the host that it is for and to no other, and never without encryption; redirects are followed by hand,
a few of them. What a server sends is counted while it comes.
"""

from __future__ import annotations

import hashlib
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, TypeVar
from urllib.parse import urljoin, urlsplit

from taskengine.context.archive import unpack
from taskengine.context.model import Access, Deadline, Fetched, Limits, size_of
from taskengine.context.source import Tarball, UrlLogin, shown
from taskengine.context.tree import subfolder
from taskengine.errors import Interrupted, InvalidInput, Unreachable

T = TypeVar("T")

_CHUNK = 1 << 16
_CONNECT = 15.0
_READ = 60.0
_TICK = 0.1
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def fetch_tarball(context: Tarball, into: Path, access: Access, limits: Limits, deadline: Deadline) -> Fetched:
    """The archive's content below `into`, a new or empty folder."""
    root = into / "content"
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=into) as spool:
        if context.url.startswith("file:"):
            digest = _read(context, spool, access, limits)
        else:
            digest = unless_stopped(lambda: _download(context, spool, access, limits, deadline), deadline)
        if context.sha256 and digest != context.sha256:
            raise InvalidInput(
                f"{shown(context.url)} has the checksum sha256={digest}, not the one asked for",
                hint="its content has changed, or it was not meant to be trusted",
            )
        spool.seek(0)
        unpack(spool, root, limits=limits, deadline=deadline, shown=shown(context.url))
    return Fetched(
        folder=subfolder(root, context.subdir, shown(context.url)), digest=f"sha256:{digest}"
    )  # fmt: skip


def unless_stopped(work: Callable[[], T], deadline: Deadline) -> T:
    """Do blocking work that nothing can interrupt in a thread that is left behind when it is to end sooner."""
    results: list[T] = []
    failures: list[BaseException] = []
    over = threading.Event()

    def body() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001 - handed over to the waiting thread
            failures.append(error)
        finally:
            over.set()

    off = deadline.stop.listen(over.set)
    try:
        threading.Thread(target=body, name="fetch-context", daemon=True).start()
        over.wait(deadline.left)
    finally:
        off()
    if failures:
        raise failures[0]
    if results:
        return results[0]
    deadline.check()
    raise Interrupted("fetching the context was stopped") if deadline.stop.is_set else deadline.passed()


def copy_bounded(chunks: Any, spool: IO[bytes], limits: Limits, check: Callable[[], None], what: str) -> str:
    """Write what comes and return its sha256. Raises InvalidInput when it is more than a context may be."""
    digest = hashlib.sha256()
    count = 0
    for chunk in chunks:
        check()
        count += len(chunk)
        if count > limits.download:
            raise _too_large(what, limits)
        digest.update(chunk)
        spool.write(chunk)
    spool.flush()
    return digest.hexdigest()


def _read(context: Tarball, spool: IO[bytes], access: Access, limits: Limits) -> str:
    if not access.files:
        raise InvalidInput(f"{context.url} is on this machine's disk, which is not read here", hint="use a folder")
    from urllib.parse import unquote

    try:
        with Path(unquote(urlsplit(context.url).path)).open("rb") as file:
            return copy_bounded(iter(lambda: file.read(_CHUNK), b""), spool, limits, lambda: None, context.url)
    except OSError as error:
        raise InvalidInput(f"{context.url}: {(error.strerror or str(error)).lower()}") from None


def _download(context: Tarball, spool: IO[bytes], access: Access, limits: Limits, deadline: Deadline) -> str:
    import requests

    what = shown(context.url)
    try:
        with requests.Session() as session:
            session.trust_env = False  # a ~/.netrc would send logins that nobody asked for
            session.headers.update({"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "acr-task"})
            with _open(session, context, access, limits, deadline) as response:
                _check_length(response.headers.get("Content-Length", ""), what, limits)
                chunks = response.raw.stream(_CHUNK, decode_content=False)
                return copy_bounded(chunks, spool, limits, deadline.check, what)
    except requests.exceptions.SSLError:
        raise Unreachable(
            f"the certificate of {_host(context.url)} is not trusted", hint="REQUESTS_CA_BUNDLE names other authorities"
        ) from None
    except requests.exceptions.Timeout:
        raise Unreachable(f"{what} gave no answer in time", hint="check the address and the network") from None
    except (requests.exceptions.RequestException, OSError) as error:
        if isinstance(error, OSError) and error.errno == 28:
            raise
        raise Unreachable(f"{what} cannot be fetched", hint="check the address and the network") from None
    except Exception as error:  # urllib3's own, which requests does not translate while a body is read raw
        if type(error).__module__.startswith("urllib3"):
            raise Unreachable(f"{what} broke off", hint="try it again; check the network") from None
        raise


def _open(session: Any, context: Tarball, access: Access, limits: Limits, deadline: Deadline) -> Any:
    """The response that holds the archive, behind the redirects."""
    url = context.url
    for _ in range(limits.redirects + 1):
        deadline.check()
        response = session.get(
            url,
            headers=_authorization(url, context, access),
            proxies=_proxies(url, access),
            verify=access.environ.get("REQUESTS_CA_BUNDLE") or access.environ.get("SSL_CERT_FILE") or True,
            timeout=(min(_CONNECT, deadline.left + 1), min(_READ, deadline.left + 1)),
            allow_redirects=False,
            stream=True,
        )
        if response.status_code not in _REDIRECTS:
            return _checked(response, context)
        response.close()
        target = urljoin(url, response.headers.get("Location", "")).partition("#")[0]
        if urlsplit(target).scheme not in {"http", "https"}:
            raise InvalidInput(f"{shown(context.url)} redirects to something other than http(s)")
        if url.startswith("https:") and not target.startswith("https:"):
            raise InvalidInput(
                f"{shown(context.url)} redirects to an address without encryption, on {_host(target)}",
                hint="use that address if you trust it",
            )
        url = target
    raise InvalidInput(f"{shown(context.url)} redirects more than {limits.redirects} times")


def _checked(response: Any, context: Tarball) -> Any:
    status = response.status_code
    if status == 200:
        return response
    response.close()
    what = shown(context.url)
    if status in {401, 403}:
        raise Unreachable(
            f"{what} wants a login, or refuses the one it was given (status {status})",
            hint="set ACR_TASK_GIT_TOKENS=HOST=TOKEN, or put the login into the address",
        )
    if status in {404, 410}:
        raise InvalidInput(
            f"there is nothing at {what} (status {status})",
            hint="check the address; a repository's ends in .git or has a #branch",
        )
    raise Unreachable(f"{what} answers with status {status}", hint="try it later")


def _authorization(url: str, context: Tarball, access: Access) -> dict[str, str]:
    from requests.auth import _basic_auth_str

    if urlsplit(url)[:2] != urlsplit(context.url)[:2]:
        return {}  # nobody but the user names the hosts that see a login
    login: UrlLogin | None = context.login
    if login is None or not login.secret:
        login = access.login(urlsplit(url).netloc)
    if login is None or not login.secret:
        return {}
    if urlsplit(url).scheme != "https" and urlsplit(url).hostname not in _LOOPBACK:
        raise InvalidInput(f"a login for {_host(url)} would travel without encryption", hint="use https://")
    if not login.username:
        return {"Authorization": f"Bearer {login.secret}"}
    return {"Authorization": _basic_auth_str(login.username.encode(), login.secret.encode())}


def _proxies(url: str, access: Access) -> dict[str, str]:
    """The proxy that the environment names for this address, as curl reads it."""
    from requests.utils import should_bypass_proxies

    if urlsplit(url).hostname in _LOOPBACK:
        return {}
    named = {name.lower(): value for name, value in access.environ.items() if name.lower().endswith("_proxy")}
    if should_bypass_proxies(url, no_proxy=named.get("no_proxy")):
        return {}
    scheme = urlsplit(url).scheme
    proxy = named.get(f"{scheme}_proxy") or named.get("all_proxy")
    return {scheme: proxy} if proxy else {}


def _check_length(length: str, what: str, limits: Limits) -> None:
    if length.isdecimal() and int(length) > limits.download:
        raise _too_large(what, limits)


def _too_large(what: str, limits: Limits) -> InvalidInput:
    return InvalidInput(f"{what} is larger than {size_of(limits.download)}", hint="download it, and name the folder")


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2] or "no host"
