"""Functions whose result nobody can foresee. All of it comes from the system's secure source."""

from __future__ import annotations

import secrets
import string

from taskengine.template.budget import Env

_ASCII = "".join(map(chr, range(32, 127)))


def _random(env: Env, alphabet: str, count: int) -> str:
    if count <= 0:
        return ""
    env.grow(count)
    env.spend(count)
    return "".join(secrets.choice(alphabet) for _ in range(count))


def rand_alpha_num(env: Env, count: int) -> str:
    return _random(env, string.ascii_letters + string.digits, count)


def rand_alpha(env: Env, count: int) -> str:
    return _random(env, string.ascii_letters, count)


def rand_ascii(env: Env, count: int) -> str:
    return _random(env, _ASCII, count)


def rand_numeric(env: Env, count: int) -> str:
    return _random(env, string.digits, count)


def shuffle(env: Env, text: str) -> str:
    env.spend(len(text))
    chars = list(text)
    secrets.SystemRandom().shuffle(chars)
    return "".join(chars)


def uuidv4(_env: Env) -> str:
    from uuid import UUID

    return str(UUID(bytes=secrets.token_bytes(16), version=4))
