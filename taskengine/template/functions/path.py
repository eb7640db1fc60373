"""Slash-separated paths, as Go's package path treats them."""

from __future__ import annotations

import posixpath

from taskengine.template.budget import Env


def clean(_env: Env, path: str) -> str:
    return _clean(path)


def _clean(path: str) -> str:
    cleaned = posixpath.normpath(path) if path else "."
    # POSIX keeps two leading slashes; Go does not.
    return cleaned[1:] if cleaned.startswith("//") else cleaned


def base(_env: Env, path: str) -> str:
    if not path:
        return "."
    return path.rstrip("/").rpartition("/")[2] or "/"


def directory(_env: Env, path: str) -> str:
    head, slash, _ = path.rpartition("/")
    return _clean(head + slash)


def ext(_env: Env, path: str) -> str:
    name = path.rpartition("/")[2]
    dot = name.rfind(".")
    return name[dot:] if dot >= 0 else ""


def is_abs(_env: Env, path: str) -> bool:
    return path.startswith("/")
