"""The one entry for notifications: whether the sender is who it should be, and what was pushed. Pure.

Raises InvalidInput (Untrusted for a sender that proves nothing), and nothing else, whatever was sent.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Mapping

from taskengine.errors import InvalidInput
from triggers.registries import acr, distribution, dockerhub, ghcr, harbor, quay, zot
from triggers.registries.document import LARGEST_BODY
from triggers.registries.model import Delivery, ImagePushed, NoPush, Product, Reading, Untrusted

_READERS: Mapping[Product, Callable[[Delivery, str], list[ImagePushed | str]]] = {
    Product.DISTRIBUTION: distribution.read,
    Product.HARBOR: harbor.read,
    Product.ZOT: zot.read,
    Product.DOCKER_HUB: dockerhub.read,
    Product.ACR: acr.read,
    Product.GHCR: ghcr.read,
    Product.QUAY: quay.read,
}
#: products whose hooks can send no header of the user's: their secret stands in the address
_BY_ADDRESS = frozenset({Product.DOCKER_HUB, Product.QUAY})


def product(name: str) -> Product:
    """The product of a hook's address."""
    try:
        return Product(name)
    except ValueError:
        known = ", ".join(one.value for one in Product)
        raise InvalidInput(f"{name[:50]!r} is no product whose notifications we read", hint=f"use {known}") from None


def read(kind: Product, delivery: Delivery, *, registry: str = "") -> Reading:
    """What was pushed. With `registry` the hook is that registry's, whatever host the payload names."""
    results = _READERS[kind](delivery, registry)
    return Reading(
        pushed=tuple(one for one in results if isinstance(one, ImagePushed)),
        ignored=tuple(dict.fromkeys(one for one in results if isinstance(one, str))),
        idle=all(isinstance(one, NoPush) for one in results),
    )


def verify(kind: Product, delivery: Delivery, secret: str) -> None:
    """Whether the sender knows the hook's secret: by GitHub's signature, by `token=` in the address for products that
    send no headers of ours, else by the `Authorization` header (`Bearer SECRET`, `SECRET`, or Basic with it as the
    password). Raises Untrusted."""
    if not secret:
        raise Untrusted("this hook has no secret, so nobody can prove anything to it", hint="set one")
    if len(delivery.body) > LARGEST_BODY:
        raise InvalidInput(f"the notification is larger than {LARGEST_BODY} bytes", hint="is it a registry's?")
    if kind is Product.GHCR:
        signature = delivery.headers.get("x-hub-signature-256", "")
        wanted = "sha256=" + hmac.new(_bytes(secret), delivery.body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(_bytes(signature), _bytes(wanted)):
            raise Untrusted(
                "the signature in X-Hub-Signature-256 is missing or wrong", hint="give the hook the same secret"
            )
    elif kind in _BY_ADDRESS:
        if not hmac.compare_digest(_bytes(delivery.token), _bytes(secret)):
            raise Untrusted("the address has no token, or a wrong one", hint="add ?token=SECRET to the hook's address")
    elif not _authorized(delivery.headers.get("authorization", ""), secret):
        raise Untrusted(
            "the Authorization header is missing or wrong", hint="let the registry send `Authorization: Bearer SECRET`"
        )


def _authorized(header: str, secret: str) -> bool:
    scheme, _, rest = header.partition(" ")
    shown = header
    if scheme.lower() == "bearer":
        shown = rest.strip()
    elif scheme.lower() == "basic":
        try:
            shown = base64.b64decode(rest.strip(), validate=True).decode("utf-8", "replace").partition(":")[2]
        except (binascii.Error, ValueError):
            shown = ""
    return hmac.compare_digest(_bytes(shown), _bytes(secret))


def _bytes(text: str) -> bytes:
    """Text from a header may hold anything; comparing must not fail on it."""
    return text.encode("utf-8", "surrogatepass")
