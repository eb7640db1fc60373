"""Keys, certificates and AES, as Sprig makes them. The cryptography package is imported at the first use.

Everything here is slow on purpose, so each call takes a large part of the rendering's budget."""

from __future__ import annotations

import hmac
import secrets
from base64 import b64decode, b64encode
from datetime import timedelta
from hashlib import sha256
from ipaddress import ip_address
from typing import Any, ClassVar

from taskengine.lightclass import dataclass
from taskengine.template.budget import Env, FunctionError
from taskengine.template.functions.date import now
from taskengine.template.value import GoObject, from_bytes, to_bytes

_KEY_COST = 25_000
_LARGE_KEY_COST = 120_000
_DERIVE_COST = 60_000


@dataclass(frozen=True, slots=True)
class Certificate(GoObject):
    """A certificate and its key, both as PEM."""

    cert: str
    key: str
    go_type: ClassVar[str] = "sprig.certificate"
    go_kind: ClassVar[str] = "struct"
    fields: ClassVar[tuple[str, ...]] = ("Cert", "Key")


def gen_private_key(env: Env, kind: str) -> str:
    from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa

    if kind in {"", "rsa"}:
        env.spend(_LARGE_KEY_COST)
        return _pem(rsa.generate_private_key(65537, 4096))
    if kind == "dsa":
        env.spend(_LARGE_KEY_COST)
        return _pem(dsa.generate_private_key(2048))
    if kind == "ecdsa":
        env.spend(_KEY_COST)
        return _pem(ec.generate_private_key(ec.SECP256R1()))
    return f"Unknown type {kind}"


def _pem(key: Any) -> str:
    from cryptography.hazmat.primitives import serialization as form

    encoded: bytes = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.TraditionalOpenSSL, form.NoEncryption())
    return encoded.decode()


# Certificates


def gen_ca(env: Env, name: str, days: int) -> Certificate:
    key = _rsa(env)
    return _signed(env, name, [], [], days, key, None, is_ca=True)


def gen_self_signed_cert(env: Env, name: str, ips: list[Any] | None, names: list[Any] | None, days: int) -> Certificate:
    return _signed(env, name, ips or [], names or [], days, _rsa(env), None)


def gen_signed_cert(
    env: Env, name: str, ips: list[Any] | None, names: list[Any] | None, days: int, ca: Certificate
) -> Certificate:
    return _signed(env, name, ips or [], names or [], days, _rsa(env), ca)


def _rsa(env: Env) -> Any:
    from cryptography.hazmat.primitives.asymmetric import rsa

    env.spend(_KEY_COST)
    return rsa.generate_private_key(65537, 2048)


def _signed(
    env: Env,
    name: str,
    ips: list[Any],
    names: list[Any],
    days: int,
    key: Any,
    ca: Certificate | None,
    *,
    is_ca: bool = False,
) -> Certificate:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.x509.oid import ExtendedKeyUsageOID as Purpose

    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]) if name else x509.Name([])
    issuer, signer = (subject, key) if ca is None else _signer(ca)
    start = now(env)
    builder = x509.CertificateBuilder(
        issuer_name=issuer,
        subject_name=subject,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=start,
        not_valid_after=start + timedelta(days=days),
    )
    builder = builder.add_extension(_usage(is_ca=is_ca), critical=True)
    purposes = [Purpose.SERVER_AUTH, Purpose.CLIENT_AUTH]
    builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
    alternatives = _alternatives(ips, names)
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    certificate = builder.sign(signer, hashes.SHA256())
    return Certificate(certificate.public_bytes(serialization.Encoding.PEM).decode(), _pem(key))


def _usage(*, is_ca: bool) -> Any:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=True,
        key_encipherment=True,
        key_cert_sign=is_ca,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _alternatives(ips: list[Any], names: list[Any]) -> list[Any]:
    from cryptography import x509

    found: list[Any] = []
    for name in names:
        if not isinstance(name, str):
            raise FunctionError(f"error processing alternate dns name: {name} is not a string")
        found.append(x509.DNSName(name))
    for ip in ips:
        if not isinstance(ip, str):
            raise FunctionError(f"error parsing ip: {ip} is not a string")
        try:
            found.append(x509.IPAddress(ip_address(ip)))
        except ValueError:
            raise FunctionError(f"error parsing ip: {ip}") from None
    return found


def _signer(ca: Certificate) -> tuple[Any, Any]:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        certificate = x509.load_pem_x509_certificate(to_bytes(ca.cert))
        return certificate.subject, load_pem_private_key(to_bytes(ca.key), None)
    except (ValueError, TypeError) as error:
        raise FunctionError(f"unable to decode certificate: {error}") from None


def build_custom_cert(_env: Env, cert: str, key: str) -> Certificate:
    """A certificate that the author brings along, both parts as base64 of PEM."""
    parts = []
    for text, what in ((cert, "certificate"), (key, "private key")):
        try:
            parts.append(from_bytes(b64decode(to_bytes(text), validate=True)))
        except ValueError:
            raise FunctionError(f"unable to decode base64 {what}") from None
    made = Certificate(*parts)
    _signer(made)
    return made


# Passwords and AES

_SEED = b"com.lyndir.masterpassword"
_TEMPLATES = {
    "maximum": "anoxxxxxxxxxxxxxxxxx axxxxxxxxxxxxxxxxxno",
    "long": (
        "CvcvnoCvcvCvcv CvcvCvcvnoCvcv CvcvCvcvCvcvno CvccnoCvcvCvcv CvccCvcvnoCvcv CvccCvcvCvcvno CvcvnoCvccCvcv "
        "CvcvCvccnoCvcv CvcvCvccCvcvno CvcvnoCvcvCvcc CvcvCvcvnoCvcc CvcvCvcvCvccno CvccnoCvccCvcv CvccCvccnoCvcv "
        "CvccCvccCvcvno CvcvnoCvccCvcc CvcvCvccnoCvcc CvcvCvccCvccno CvccnoCvcvCvcc CvccCvcvnoCvcc CvccCvcvCvccno"
    ),
    "medium": "CvcnoCvc CvcCvcno",
    "short": "Cvcn",
    "basic": "aaanaaan aannaaan aaannaaa",
    "pin": "nnnn",
}
_CHARACTERS = {
    "V": "AEIOU",
    "C": "BCDFGHJKLMNPQRSTVWXYZ",
    "v": "aeiou",
    "c": "bcdfghjklmnpqrstvwxyz",
    "A": "AEIOUBCDFGHJKLMNPQRSTVWXYZ",
    "a": "AEIOUaeiouBCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz",
    "n": "0123456789",
    "o": "@&%?,=[]_:-+*$#!'^~;()/.",
    "x": "AEIOUaeiouBCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz0123456789!@#$%^&*()",
}


def derive_password(env: Env, counter: int, kind: str, password: str, user: str, site: str) -> str:
    """The Master Password algorithm: the same inputs always give the same password."""
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    templates = _TEMPLATES.get(kind)
    if templates is None:
        return f"cannot find password template {kind}"
    env.spend(_DERIVE_COST)
    salt = _SEED + _sized(user)
    key = Scrypt(salt=salt, length=64, n=32768, r=8, p=2).derive(to_bytes(password))
    message = _SEED + _sized(site) + (counter % 2**32).to_bytes(4, "big")
    seed = hmac.new(key, message, sha256).digest()
    choices = templates.split()
    template = choices[seed[0] % len(choices)]
    return "".join(_CHARACTERS[c][seed[i] % len(_CHARACTERS[c])] for i, c in enumerate(template, 1))


def _sized(text: str) -> bytes:
    data = to_bytes(text)
    return len(data).to_bytes(4, "big") + data


def _cipher(password: str, vector: bytes) -> Any:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    key = to_bytes(password)[:32].ljust(32, b"\0")
    return Cipher(algorithms.AES256(key), modes.CBC(vector))


def encrypt_aes(env: Env, password: str, text: str) -> str:
    if not text:
        return ""
    data = to_bytes(text)
    env.grow(3 * len(data))
    missing = 16 - len(data) % 16
    vector = secrets.token_bytes(16)
    encryptor = _cipher(password, vector).encryptor()
    return b64encode(vector + encryptor.update(data + bytes([missing]) * missing) + encryptor.finalize()).decode()


def decrypt_aes(env: Env, password: str, text: str) -> str:
    if not text:
        return ""
    env.grow(len(text))
    try:
        data = b64decode(to_bytes(text), validate=True)
    except ValueError:
        raise FunctionError("illegal base64 data") from None
    if len(data) < 32 or len(data) % 16:
        raise FunctionError("ciphertext is not a multiple of the block size")
    decryptor = _cipher(password, data[:16]).decryptor()
    plain: bytes = decryptor.update(data[16:]) + decryptor.finalize()
    if plain[-1] > len(plain):
        raise FunctionError("the password does not fit the text")
    return from_bytes(plain[: len(plain) - plain[-1]])
