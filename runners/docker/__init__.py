"""Carries out steps on a Docker Engine, local or remote, without sharing a file system with it.

The engine is spoken to through docker-py (containers, images, volumes, networks) and, for builds, through BuildKit's
own gRPC. Knows nothing of schedulers, queues or command lines.
"""
