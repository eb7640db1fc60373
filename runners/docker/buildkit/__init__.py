"""A client for the BuildKit inside of Docker: builds from folders and archives, with secrets and private base images.

No command line tool is involved. Importing this package is cheap; gRPC is loaded with the first build.
"""

from __future__ import annotations

from .client import BuildKit
from .connection import Connection
from .daemon import Buildkitd, buildkitd_dialer, find_buildkitd
from .dial import Dial, EngineRefused, dialer
from .failure import BuildCanceled, BuildFailed, BuildLost
from .model import (
    BuildOutcome,
    BuildRequest,
    ContextSource,
    Credentials,
    Empty,
    LocalDir,
    Progress,
    RegistryCache,
    ResolvedImage,
    TarStream,
    Text,
    Ulimit,
    VertexLog,
    VertexStatus,
    VertexUpdate,
)

__all__ = [
    "BuildCanceled",
    "BuildFailed",
    "BuildKit",
    "BuildLost",
    "BuildOutcome",
    "BuildRequest",
    "Buildkitd",
    "Connection",
    "ContextSource",
    "Credentials",
    "Dial",
    "Empty",
    "EngineRefused",
    "LocalDir",
    "Progress",
    "RegistryCache",
    "ResolvedImage",
    "TarStream",
    "Text",
    "Ulimit",
    "VertexLog",
    "VertexStatus",
    "VertexUpdate",
    "buildkitd_dialer",
    "dialer",
    "find_buildkitd",
]
