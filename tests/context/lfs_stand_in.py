"""Stands in for git-lfs in tests: speaks git's long-running filter protocol and turns `pointer` into `content`."""

from __future__ import annotations

import sys


def read() -> list[bytes]:
    packets = []
    while (head := sys.stdin.buffer.read(4)) and (size := int(head, 16)):
        packets.append(sys.stdin.buffer.read(size - 4))
    return packets if head else sys.exit(0)


def write(*packets: bytes) -> None:
    for packet in packets:
        sys.stdout.buffer.write(b"%04x" % (len(packet) + 4) + packet)
    sys.stdout.buffer.write(b"0000")
    sys.stdout.buffer.flush()


if sys.argv[1:] != ["filter-process"]:
    sys.exit(1)
read()
write(b"git-filter-server\n", b"version=2\n")
read()
write(b"capability=smudge\n")
while True:
    read()
    content = b"".join(read())
    write(b"status=success\n")
    write(content.replace(b"pointer", b"content"))
    write()
