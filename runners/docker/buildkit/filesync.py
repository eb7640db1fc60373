"""BuildKit's file synchronisation, the sending side: tell what is there, then send what the engine asks for.

The engine keeps the files of earlier builds and compares them by size and time, so only changed files travel. Packets
are made as the connection takes them, so nothing piles up in memory however large a file is.

Must not know builds or engines; files come from a Tree.
"""

from __future__ import annotations

import os
import posixpath
import queue
import threading
import urllib.parse
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any

from taskengine.errors import InvalidInput
from taskengine.lightclass import dataclass

from .codec import varint
from .ignore import IgnoreMatcher, tester
from .tree import Entry, Selection, Tree

STAT, REQUEST, DATA, FINISH, ERROR = range(5)
_CHUNK = 128 * 1024
#: Packet{type: FINISH}
_FINISHED = b"\x08\x03"
#: what an entry of the map of extended attributes begins with: its key
_CAPABILITY = b"\x0a\x13security.capability\x12"


@dataclass
class Sent:
    """What travelled, over all the transfers of one build."""

    files: int = 0
    bytes: int = 0


class Sender:
    """One transfer. `packets` is the answer to the engine's stream of requests."""

    def __init__(self, tree: Tree, selection: Selection, sent: Sent) -> None:
        self._tree = tree
        self._selection = selection
        self._sent = sent
        self._paths: list[str] = []
        #: ids of wanted files; -1 when the engine has all that it needs, None when the stream has ended
        self._asked: queue.SimpleQueue[int | None] = queue.SimpleQueue()

    def packets(self, requests: Iterable[Any]) -> Iterator[bytes | None]:
        """Packets as they travel, and None where the next one has to be waited for."""
        reader = threading.Thread(target=self._read, args=(requests,), name="buildkit-filesync", daemon=True)
        reader.start()
        paths, asked = self._paths, self._asked
        for entry in self._tree.walk(self._selection):
            paths.append(entry.path)
            yield stat_packet(entry)
            while not asked.empty():
                number = self._asked.get()
                if number is None:
                    return
                yield from self._file(number)
        yield b""  # a STAT of nothing: that was all
        while (number := (yield from self._next())) is not None:
            if number < 0:
                yield _FINISHED
                return
            yield from self._file(number)

    def _next(self) -> Generator[None, None, int | None]:
        """What is asked for next. Before it waits, what was said so far has to go."""
        if self._asked.empty():
            yield None
        return self._asked.get()

    def stop(self) -> None:
        """End a transfer that waits for a request which will not come."""
        self._asked.put(None)

    def _read(self, requests: Iterable[Any]) -> None:
        try:
            for packet in requests:
                if packet.type == REQUEST:
                    self._asked.put(packet.ID)
                elif packet.type == FINISH:
                    self._asked.put(-1)
                    return
                elif packet.type == ERROR:
                    return
        except Exception:  # noqa: BLE001, S110  (gRPC raises whatever; the stream is over, and that is all we need)
            pass
        finally:
            self._asked.put(None)

    def _file(self, number: int) -> Iterator[bytes]:
        """A file's content, at most as much as it had when it was opened: a log may grow faster than we send."""
        if number >= len(self._paths):
            raise InvalidInput(f"the engine asked for a file that was not offered (number {number})")
        self._sent.files += 1
        with self._tree.open(self._paths[number]) as file:
            left = _size(file)
            while left > 0 and (data := file.read(min(left, _CHUNK))):
                left -= len(data)
                self._sent.bytes += len(data)
                yield data_packet(number, data)
        yield data_packet(number, b"")


def _size(file: Any) -> int:
    try:
        return os.fstat(file.fileno()).st_size
    except (OSError, ValueError):
        return len(file.getbuffer())


# These two are made for each file, so their few fields are written out here: number and kind, then the value.


def stat_packet(entry: Entry) -> bytes:
    """Packet{type: STAT, stat: ...} for an entry."""
    path = os.fsencode(entry.path)
    stat = b"\x0a" + varint(len(path)) + path + b"\x10" + varint(entry.mode)
    if entry.size:
        stat += b"\x28" + varint(entry.size)
    if entry.mtime_ns:
        stat += b"\x30" + varint(entry.mtime_ns)
    if entry.link:
        link = os.fsencode(entry.link)
        stat += b"\x3a" + varint(len(link)) + link
    if entry.capability:
        value = _CAPABILITY + varint(len(entry.capability)) + entry.capability
        stat += b"\x52" + varint(len(value)) + value
    return b"\x12" + varint(len(stat)) + stat


def data_packet(number: int, data: bytes) -> bytes:
    """Packet{type: DATA, ID: ..., data: ...}."""
    head = b"\x08\x02\x18" + varint(number) if number else b"\x08\x02"
    return head + b"\x22" + varint(len(data)) + data if data else head


def options(metadata: Iterable[tuple[str, str | bytes]]) -> Mapping[str, tuple[str, ...]]:
    """The call's metadata by name. Newer engines escape values that are not ASCII and say so."""
    found: dict[str, list[str]] = {}
    for name, value in metadata:
        found.setdefault(name, []).append(value if isinstance(value, str) else value.decode("utf-8", "surrogateescape"))
    return {
        name: tuple(urllib.parse.unquote_plus(v) for v in values)
        if found.get(f"{name}-encoded", ["0"])[0] in ("1", "true")
        else tuple(values)
        for name, values in found.items()
    }


def selection(tree: Tree, wanted: Mapping[str, Sequence[str]]) -> Selection:
    """What a request asks for."""
    include = list(wanted.get("include-patterns", ()))
    if follow := wanted.get("followpaths", ()):
        include += follow_links(tree, follow) or []
    exclude = IgnoreMatcher(wanted.get("exclude-patterns", ()))
    return Selection(include=IgnoreMatcher(include) if include else None, exclude=exclude or None)


def follow_links(tree: Tree, paths: Iterable[str]) -> list[str] | None:
    """The paths and all that they lead to through symbolic links, as patterns; None when that is everything.

    Links are read as if the tree were the whole world: `/x` and `../../x` both mean x at its top.
    """
    resolved: set[str] = set()
    todo = list(paths)
    while todo:
        todo += _step(tree, todo.pop(), resolved)
    return None if "." in resolved else sorted(resolved)


def _step(tree: Tree, path: str, resolved: set[str]) -> list[str]:
    """Walk along one path to its first link; gives the paths that it goes on with."""
    current, rest = ".", path
    while True:
        name, _, rest = rest.partition("/")
        current = posixpath.normpath(posixpath.join(current, name))
        if current.startswith(".."):
            current = "."
        targets = _targets(tree, current)
        if (not rest or targets) and current in resolved:
            return []
        if targets:
            resolved.add(current)
            return [f"{target}/{rest}" if rest else target for target in targets]
        if not rest:
            resolved.add(current)
            return []


def _targets(tree: Tree, path: str) -> list[str]:
    """Where a link points to; with a wildcard in the last part, where all links of that name point to."""
    folder, name = posixpath.split(path)
    paths = [path]
    if set(name) & set("*?["):
        paths = [posixpath.join(folder, n) for n in filter(tester(name), tree.names(folder or "."))]
    links = ((posixpath.dirname(p), tree.read_link(p)) for p in paths)
    return [posixpath.normpath("/" + posixpath.join(at, link)).lstrip("/") or "." for at, link in links if link]
