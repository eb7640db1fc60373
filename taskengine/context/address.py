"""What every run asks of every context's text: is it an address, and what of it must not be shown. Pure.

What an address means is left to `source`.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from taskengine.lightpattern import pattern

#: user names in addresses are short; what is longer is a token that stands where GitHub wants it
TOKEN_LENGTH = 20

SCHEME = pattern(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://")
TRANSPORT = pattern(r"[A-Za-z0-9+.-]+::")
SCP = pattern(r"(?P<user>[A-Za-z0-9_][A-Za-z0-9_.-]*)@(?P<host>[A-Za-z0-9][A-Za-z0-9.-]*):(?P<path>[^:].*)")


def is_remote(text: str) -> bool:
    """Whether `text` is an address and no folder's path. Never raises."""
    address = text.partition("#")[0]
    return bool(
        SCHEME.match(address)
        or TRANSPORT.match(address)
        or SCP.fullmatch(address)
        or address.lower().startswith("github.com/")
    )


def secrets_of(text: str) -> tuple[str, ...]:
    """What must not be shown of a context's text: the secret of its login, as written and as meant. Never raises."""
    found = re.match(r"[A-Za-z][A-Za-z0-9+.-]*://([^/#?]*)@", text)
    if found is None:
        return ()
    user, colon, password = found[1].partition(":")
    secret = password if colon else user if len(unquote(user)) >= TOKEN_LENGTH else ""
    return tuple(dict.fromkeys(word for word in (secret, unquote(secret)) if word))


def shown(text: str) -> str:
    """The text as it may be shown: without a login, and not endless."""
    clean = re.sub(r"(://)[^/#?]*@", r"\1", text)
    return clean if len(clean) <= 200 else f"{clean[:197]}..."
