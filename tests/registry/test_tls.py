"""Encrypted registries: whom to trust, and what is said when the certificate is nobody's."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from taskengine.errors import Unreachable
from taskengine.registry.endpoint import HostConfig, Registries
from tests.registry.conftest import MakeClient, push_image, ref
from tests.support.registry import Registry, free_port


def certificate(folder: Path) -> None:
    """A certificate for 127.0.0.1 that signs itself: `cert.pem` and `key.pem`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
    now = datetime.now(UTC)  # noqa: TID251
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, *form))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("tls")
    certificate(made)
    return made


class Encrypted(Registry):
    """Any answer will do as a sign of life: to plain http it is 400."""

    def _status(self) -> int:
        return 200 if super()._status() == 400 else 0


@pytest.fixture(scope="module")
def encrypted(folder: Path) -> Iterator[Registry]:
    registry = Encrypted(folder / "registry", address="127.0.0.1", port=free_port())
    pair = {"certificate": str(folder / "cert.pem"), "key": str(folder / "key.pem")}
    registry.launch({"http": {"addr": registry.name, "secret": "x", "tls": pair}})
    try:
        registry.await_ready()
        yield registry
    finally:
        registry.stop()


def test_an_authority_of_ones_own_is_trusted_for_its_host(
    make_client: MakeClient, encrypted: Registry, folder: Path
) -> None:
    hosts = {encrypted.name: HostConfig(ca_file=str(folder / "cert.pem"))}
    client = make_client(registries=Registries(hosts=hosts)).client
    assert client.ping(encrypted.name).address == f"https://{encrypted.name}"
    pushed = push_image(client, ref(encrypted))
    assert client.resolve(ref(encrypted)).digest == pushed.digest


def test_a_certificate_of_nobody_is_refused_with_a_hint(
    make_client: MakeClient, encrypted: Registry, tmp_path: Path
) -> None:
    certificate(tmp_path)
    hosts = {encrypted.name: HostConfig(ca_file=str(tmp_path / "cert.pem"))}
    made = make_client(registries=Registries(hosts=hosts))
    with pytest.raises(Unreachable, match="certificate is not verified") as caught:
        made.client.resolve(ref(encrypted))
    assert "ca_file" in (caught.value.hint or "")
    assert made.pauses == []


def test_verification_is_left_out_only_where_configured(
    make_client: MakeClient, encrypted: Registry, tmp_path: Path
) -> None:
    certificate(tmp_path)
    config = HostConfig(ca_file=str(tmp_path / "cert.pem"), skip_verify=True)
    client = make_client(registries=Registries(hosts={encrypted.name: config})).client
    assert client.ping(encrypted.name)


def test_a_registry_on_loopback_that_wants_tls_gets_it(make_client: MakeClient, encrypted: Registry) -> None:
    client = make_client().client
    assert client.ping(encrypted.name).address == f"https://{encrypted.name}"
    pushed = push_image(client, ref(encrypted, "switched:1"))
    assert client.resolve(ref(encrypted, "switched:1")).digest == pushed.digest


def test_a_registry_that_speaks_no_tls_is_told_apart(make_client: MakeClient, plain: Registry, folder: Path) -> None:
    hosts = {plain.name: HostConfig(ca_file=str(folder / "cert.pem"))}
    with pytest.raises(Unreachable, match="speaks no TLS") as caught:
        make_client(registries=Registries(hosts=hosts)).client.ping(plain.name)
    assert "plain_http" in (caught.value.hint or "")


def test_a_file_that_is_no_certificate_is_named(make_client: MakeClient, encrypted: Registry, tmp_path: Path) -> None:
    (tmp_path / "none.pem").write_text("nothing")
    hosts = {encrypted.name: HostConfig(ca_file=str(tmp_path / "none.pem"))}
    with pytest.raises(Unreachable, match=r"none\.pem is no certificate"):
        make_client(registries=Registries(hosts=hosts)).client.ping(encrypted.name)
