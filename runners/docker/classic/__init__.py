"""The classic builder of the Engine API (`POST /build`), for engines that offer no BuildKit: Podman, and old ones.

It has the face of `buildkit.BuildKit` and tells the same progress, as far as it knows: one step after another.
"""

from __future__ import annotations

from .client import ClassicBuilder

__all__ = ["ClassicBuilder"]
