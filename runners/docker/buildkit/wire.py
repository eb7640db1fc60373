"""The messages, imported once. Only modules that are loaded for a build import this one.

They are in bk.proto; compile it with protoc 25 (grpcio-tools 1.62), the newest whose output every protobuf runtime from
4.25 on accepts:

    python -m grpc_tools.protoc -I . --python_out=. runners/docker/buildkit/bk.proto
"""

from __future__ import annotations

from . import bk_pb2 as pb

__all__ = ["pb"]
