"""The ways to an engine: Unix socket, TCP, TLS with client certificates, and an adapter that dials (ssh) by itself."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import docker
import pytest
from docker.tls import TLSConfig

from runners.docker.buildkit import BuildKit, BuildRequest, EngineRefused, LocalDir, dialer
from runners.docker.buildkit.connection import Connection, SocketConnection
from runners.docker.buildkit.dial import _upgrade
from taskengine.runner import Cancel
from tests.support.engine import Engine

from .conftest import Told

pytestmark = pytest.mark.timeout(120)


def build_over(dial: Any, folder: Path) -> None:
    """More bytes than any buffer on the way holds, there and (as log) back."""
    (folder / "big").write_bytes(os.urandom(3 << 20))
    (folder / "Dockerfile").write_text("FROM busybox\nCOPY big /\nRUN wc -c < /big; seq 20000\n")
    buildkit, told = BuildKit(dial), Told()
    try:
        assert buildkit.available()
        request = BuildRequest(context=LocalDir(path=str(folder)), no_cache=True, deadline_s=60)
        assert buildkit.build(request, cancel=Cancel(), progress=told).image_id
    finally:
        buildkit.close()
    assert told.output().splitlines()[0] == str(3 << 20)
    assert told.output().splitlines()[-1] == "20000"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "context").mkdir()
    return tmp_path / "context"


class Proxy:
    """Listens on TCP, with or without TLS, and passes on to the engine's Unix socket."""

    def __init__(self, path: str, context: ssl.SSLContext | None = None) -> None:
        self._path = path
        self._context = context
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in (tasks := asyncio.all_tasks(self._loop)):
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        engine_reader, engine_writer = await asyncio.open_unix_connection(self._path)
        await asyncio.gather(_carry(reader, engine_writer), _carry(engine_reader, writer), return_exceptions=True)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


@pytest.fixture
def proxy(engine: Engine) -> Iterator[Callable[..., Proxy]]:
    made: list[Proxy] = []

    def make(context: ssl.SSLContext | None = None) -> Proxy:
        made.append(Proxy(engine.host.removeprefix("unix://"), context))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_tcp_reaches_the_engine(proxy: Callable[..., Proxy], folder: Path) -> None:
    api = docker.APIClient(base_url=f"tcp://127.0.0.1:{proxy().port}", version="auto")
    build_over(dialer(api), folder)


def _usage() -> Any:
    from cryptography.x509 import KeyUsage

    names = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "crl_sign")
    rest = dict.fromkeys((*names, "encipher_only", "decipher_only"), False)
    return KeyUsage(digital_signature=True, key_cert_sign=True, **rest)


def _certificates(folder: Path) -> tuple[str, str]:
    """One self-signed certificate, which is the server's, the client's and their authority."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "engine")])
    begin = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begin)
        .not_valid_after(begin + dt.timedelta(days=36500))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_usage(), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, secret = folder / "cert.pem", folder / "key.pem"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return str(pem), str(secret)


def test_tls_with_a_client_certificate_reaches_the_engine(
    proxy: Callable[..., Proxy], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):  # requests lets these go before what it is told
        monkeypatch.delenv(name, raising=False)
    pem, key = _certificates(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=pem)
    context.load_cert_chain(pem, key)
    context.verify_mode = ssl.CERT_REQUIRED
    tls = TLSConfig(client_cert=(pem, key), ca_cert=pem, verify=True)
    api = docker.APIClient(base_url=f"tcp://127.0.0.1:{proxy(context).port}", version="auto", tls=tls)
    build_over(dialer(api), folder)


def test_tls_to_a_stranger_is_refused(proxy: Callable[..., Proxy], tmp_path: Path) -> None:
    pem, key = _certificates(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem, key)
    api = docker.APIClient(base_url=f"https://127.0.0.1:{proxy(context).port}", version="1.41", tls=True)
    with pytest.raises(ssl.SSLCertVerificationError):
        dialer(api)("/grpc", ())


def test_an_adapter_that_dials_by_itself_is_asked_to(engine: Engine, folder: Path) -> None:
    def dial() -> socket.socket:
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(engine.host.removeprefix("unix://"))
        return sock

    api = SimpleNamespace(
        base_url="http+docker://localhost", _version="1.41", _custom_adapter=SimpleNamespace(dial=dial)
    )
    build_over(dialer(cast(docker.APIClient, api)), folder)


@pytest.fixture
def answer() -> Iterator[Callable[[bytes], Connection]]:
    """A connection to an engine that has said this already."""
    opened: list[socket.socket] = []

    def make(text: bytes) -> Connection:
        near, far = socket.socketpair()
        opened.extend((near, far))
        far.sendall(text)
        far.shutdown(socket.SHUT_WR)
        return SocketConnection(near)

    yield make
    for sock in opened:
        sock.close()


def test_the_first_frames_may_come_with_the_answer(answer: Callable[[bytes], Connection]) -> None:
    switched = answer(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nPRI * HTTP/2.0")
    connection = _upgrade(switched, "/session", ())
    assert connection.recv(4) + connection.recv(100) == b"PRI * HTTP/2.0"


def test_an_engine_without_buildkit_is_told_from_one_that_is_gone(answer: Callable[[bytes], Connection]) -> None:
    with pytest.raises(EngineRefused) as caught:
        _upgrade(answer(b"HTTP/1.1 404 Not Found\r\n\r\nNot Found\n"), "/grpc", ())
    assert caught.value.status == 404
    with pytest.raises(ConnectionError):
        _upgrade(answer(b""), "/grpc", ())


def test_an_engine_without_buildkit_offers_none(answer: Callable[[bytes], Connection]) -> None:
    buildkit = BuildKit(lambda path, headers: _upgrade(answer(b"HTTP/1.1 404 Not Found\r\n\r\n"), path, headers))
    try:
        assert not buildkit.available()
        assert buildkit.platforms == ()
    finally:
        buildkit.close()


def test_a_header_cannot_smuggle_another(answer: Callable[[bytes], Connection]) -> None:
    with pytest.raises(ValueError, match="line"):
        _upgrade(answer(b""), "/session", [("X-A", "b\r\nX-C: d")])
