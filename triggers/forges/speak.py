"""Sends what is asked of forges, and hands back what they answer. The only module here that speaks to the network.

A token goes to the forge's own host, encrypted, and nowhere else: redirects are not followed. It is in no error.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from typing import Any

from taskengine.context.model import scrubbed
from taskengine.service.outgoing import Reach, Reply, send
from triggers.forges import api_of
from triggers.forges.model import Answer, Call, Gone, Refused, Talk
from triggers.forges.place import Place

_MOST_WORDS = 300
_SECRET = frozenset({"secret", "token", "basicAuthPassword"})
#: what a forge says when it is not well, or asked too often
_LATER = frozenset({408, 425, 429, 500, 502, 503, 504})


def carry(talk: Talk, place: Place, token: str, kind: str, *, reach: Reach) -> str:
    """Carry on a conversation to its end. Raises Gone for what may be better later, Refused and InvalidInput for what
    somebody has to mend."""
    headers = api_of(place).headers(token, kind)
    secrets = (token, *token.split(":", 1)[1:], headers.get("Authorization", "").partition(" ")[2])
    try:
        call = next(talk)
        while True:
            call = talk.send(_ask(call, place, headers, secrets, reach))
    except StopIteration as end:
        return str(end.value or "")


def _ask(call: Call, place: Place, headers: Mapping[str, str], secrets: tuple[str, ...], reach: Reach) -> Answer:
    secrets = (*secrets, *_secrets_in(call.data))
    body = None if call.data is None else json.dumps(call.data).encode()
    given = {**headers, **({"Content-Type": "application/json"} if body is not None else {})}
    try:
        reply = send(call.method, place.base + call.path, headers=given, body=body, reach=reach)
    except (OSError, http.client.HTTPException) as error:
        said = scrubbed(str(error) or type(error).__name__, secrets)
        raise Gone(f"{place.base} could not be asked: {said[:_MOST_WORDS]}") from None
    data = _json(reply)
    answer = Answer(status=reply.status, data=data, words=scrubbed(_words(data), secrets))
    if reply.status in _LATER or (reply.status == 403 and reply.headers.get("x-ratelimit-remaining") == "0"):
        words = f": {answer.words}" if answer.words else ""
        raise Gone(f"{place.base} answered {reply.status}{words}", status=reply.status, seconds=_wait(reply))
    if 300 <= reply.status < 400:
        raise Refused(answer, "a request", hint="it has moved: correct repositoryUrl")
    return answer


def _secrets_in(data: Any) -> Iterator[str]:
    """What of a request's data nobody may see, should the forge say it back: the webhook's secret."""
    for name, value in data.items() if isinstance(data, Mapping) else ():
        if name in _SECRET and isinstance(value, str):
            yield value
        else:
            yield from _secrets_in(value)


def _json(reply: Reply) -> Any:
    try:
        return json.loads(reply.body) if reply.body.strip() else None
    except (ValueError, RecursionError):
        return None


def _words(data: Any) -> str:
    """What an answer says for people, in the forms of the forges; no control characters, and not long."""
    found: list[str] = []
    if isinstance(data, dict):
        for key in ("message", "error", "error_description"):
            value = data.get(key)
            if isinstance(value, dict):
                value = value.get("message")
            if isinstance(value, list):
                value = "; ".join(str(one) for one in value[:5])
            if isinstance(value, str) and value:
                found.append(value)
        for one in data.get("errors") or () if isinstance(data.get("errors"), list) else ():
            value = one.get("message") if isinstance(one, dict) else one
            if isinstance(value, str) and value:
                found.append(value)
    text = "; ".join(dict.fromkeys(found))
    return "".join(char for char in text if char.isprintable())[:_MOST_WORDS]


def _wait(reply: Reply) -> int:
    """How many seconds the forge wants to be left alone; 0 when it does not say."""
    said = reply.headers.get("retry-after", "")
    return min(int(said), 3600) if said.isascii() and said.isdigit() and len(said) < 8 else 0
