"""gRPC and the messages, imported once and quietly. Only modules that are loaded for a build import this one.

The messages are in bk.proto; compile them with protoc 25 (grpcio-tools 1.62), the newest whose output every protobuf
runtime from 4.25 on accepts:

    python -m grpc_tools.protoc -I . --python_out=. runners/docker/buildkit/bk.proto
"""

from __future__ import annotations

import os

# gRPC's core writes to standard error by itself and hooks into fork(); both are read when it is first loaded.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

import grpc

from . import bk_pb2 as pb

__all__ = ["grpc", "pb"]
