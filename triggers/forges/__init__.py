"""What the service asks of forges: to make and remove its webhook, and to show a run's status beside a commit.

One module a forge: each says which requests are to be sent, and reads the answers. Pure; `speak.py` alone sends them.
"""

from __future__ import annotations

from importlib import import_module

from triggers.forges.model import ForgeApi
from triggers.forges.place import Place


def api_of(place: Place) -> ForgeApi:
    """How to speak to the forge of a repository."""
    found: ForgeApi = import_module(f"triggers.forges.{place.forge}").API
    return found
