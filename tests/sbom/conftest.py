"""Images out of files, in a real registry without an engine."""

from __future__ import annotations

import gzip
import io
import json
import sqlite3
import struct
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from taskengine.registry import mediatype
from taskengine.registry.body import Content
from taskengine.registry.client import RegistryClient
from taskengine.registry.content import Descriptor
from taskengine.registry.reference import ImageReference
from tests.support.registry import Registry

LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
Files = Mapping[str, bytes]


def layer(files: Files, *, compress: Callable[[bytes], bytes] = gzip.compress) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return compress(buffer.getvalue())


def push_layers(client: RegistryClient, ref: ImageReference, *layers: bytes, kind: str = LAYER) -> Descriptor:
    config = client.push_blob(ref, Content.of_bytes(b'{"os":"linux","architecture":"amd64"}', mediatype.OCI_CONFIG))
    blobs = [client.push_blob(ref, Content.of_bytes(one, kind)).as_json() for one in layers]
    document = {
        "schemaVersion": 2, "mediaType": mediatype.OCI_MANIFEST, "config": config.as_json(), "layers": blobs,
    }  # fmt: skip
    return client.put_manifest(ref, json.dumps(document).encode(), mediatype.OCI_MANIFEST)


PushImage = Callable[..., tuple[ImageReference, Descriptor]]


@pytest.fixture
def push(client: RegistryClient, registry: Registry, request: pytest.FixtureRequest) -> PushImage:
    """`push({path: content}, {...})`: an image with a layer for each; its reference and its descriptor."""

    def made(*files: Files | bytes) -> tuple[ImageReference, Descriptor]:
        ref = ImageReference.parse(f"{registry.name}/sbom/{abs(hash(request.node.nodeid))}:1")
        return ref, push_layers(client, ref, *(one if isinstance(one, bytes) else layer(one) for one in files))

    return made


DPKG = b"""\
Package: libc6
Status: install ok installed
Architecture: amd64
Source: glibc (2.36-9)
Version: 2.36-9+deb12u4
Description: GNU C Library
 Package: not-this-line

Package: gone
Status: deinstall ok config-files
Version: 1

Package: bash
Status: install ok installed
Architecture: amd64
Version: 5.2.15-2+b2
"""
DEBIAN = b'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n'
APK = b"C:Q1abc\nP:musl\nV:1.2.4-r2\nA:x86_64\nL:MIT\no:musl\n\nP:busybox-binsh\nV:1.36.1-r5\nA:x86_64\nL:GPL-2.0 only!\no:busybox\nF:bin\n"
ALPINE = b"ID=alpine\nVERSION_ID=3.19.1\nPRETTY_NAME='Alpine Linux v3.19'\n"


def rpm_header(fields: Mapping[int, str | int]) -> bytes:
    """A header as RPM writes it: counts, entries, data. Numbers are int32, texts strings."""
    entries, data = b"", b""
    for tag, value in fields.items():
        data += b"\0" * (-len(data) % 4)
        entries += struct.pack(">IIII", tag, 4 if isinstance(value, int) else 6, len(data), 1)
        data += struct.pack(">I", value) if isinstance(value, int) else value.encode() + b"\0"
    return struct.pack(">II", len(fields), len(data)) + entries + data


def rpm_database(folder: Path, *headers: bytes) -> bytes:
    path = folder / "made.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)")
    connection.executemany("INSERT INTO Packages(blob) VALUES (?)", [(one,) for one in headers])
    connection.commit()
    connection.close()
    return path.read_bytes()
