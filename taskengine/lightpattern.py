"""Regular expressions that are compiled when they are first used.

A command loads some eighty of them and uses a few; compiling them all was a tenth of its start. Must not know what they
are for.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from re import compile as pattern  # to a type checker they are one and the same
else:

    class pattern:  # noqa: N801 - it stands where `re.compile` would
        """What `re.compile` gives for the same arguments, as far as anybody can tell who only calls its methods."""

        def __init__(self, text: str | bytes, flags: int = 0) -> None:
            self._given = (text, flags)

        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            if name == "pattern":
                return self._given[0]
            compiled = re.compile(*self._given)
            for method in ("match", "fullmatch", "search", "sub", "subn", "split", "findall", "finditer"):
                setattr(self, method, getattr(compiled, method))  # the next call goes there straight
            return getattr(compiled, name)

        def __repr__(self) -> str:
            return repr(re.compile(*self._given))


__all__ = ["pattern"]
