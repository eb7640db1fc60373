"""What forges tell of their repositories, one module a forge: `verify` whom a delivery is from, `parse` what it says.

Pure: no network, no clock, no database. Bodies come from strangers: they raise nothing but InvalidInput.
"""

from __future__ import annotations

from triggers.sourcecontrol.model import Forge

#: the forges that routes know, by the name that stands in `/hooks/NAME/TASK`
FORGES = ("github", "gitlab", "gitea", "bitbucket", "azuredevops", "generic")


def forge(name: str) -> Forge | None:
    """The forge of this name; None when there is none."""
    if name not in FORGES:
        return None
    from importlib import import_module

    found: Forge = import_module(f"triggers.sourcecontrol.{name}").FORGE
    return found
