"""A zoo of archives: what is well meant is unpacked, what is not never puts a byte outside."""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import os
import stat
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from taskengine.context.archive import unpack
from taskengine.context.model import MIB, Deadline, Limits, Never
from taskengine.errors import InvalidInput


def entry(name: str, kind: bytes = tarfile.REGTYPE, *, to: str = "", data: bytes = b"", mode: int = 0o644):  # type: ignore[no-untyped-def]
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size, info.mode, info.mtime = kind, to, len(data), mode, 1_000_000
    info.uid, info.uname = 4242, "stranger"
    return info, data


def folder(name: str, mode: int = 0o755):  # type: ignore[no-untyped-def]
    return entry(name, tarfile.DIRTYPE, mode=mode)


def link(name: str, to: str):  # type: ignore[no-untyped-def]
    return entry(name, tarfile.SYMTYPE, to=to)


def hard(name: str, to: str):  # type: ignore[no-untyped-def]
    return entry(name, tarfile.LNKTYPE, to=to)


def pack(*entries: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for info, data in entries:
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def unpacked(data: bytes, tmp_path: Path, **limits: int) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    spool = tmp_path / "spool"
    spool.write_bytes(data)
    with spool.open("rb") as file:
        bounds = Limits(**limits)
        unpack(file, root, limits=bounds, deadline=Deadline(60, Never()), shown="app.tar")
    return root


def tree(root: Path) -> dict[str, str]:
    found = {}
    for path in root.rglob("*"):
        name = str(path.relative_to(root))
        found[name] = f"-> {path.readlink()}" if path.is_symlink() else "dir" if path.is_dir() else path.read_text()
    return found


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


SIMPLE = pack(folder("./"), folder("./web"), entry("./web/a", data=b"A"), entry("b", data=b"B"), link("c", "web/a"))


@pytest.mark.parametrize("squeeze", [bytes, gzip.compress, bz2.compress, lzma.compress, zstd])
def test_every_compression_is_known_by_its_bytes(tmp_path: Path, squeeze: Callable[[bytes], bytes]) -> None:
    root = unpacked(squeeze(SIMPLE), tmp_path)
    assert tree(root) == {"web": "dir", "web/a": "A", "b": "B", "c": "-> web/a"}


@pytest.mark.parametrize("squeeze", [gzip.compress, bz2.compress, lzma.compress, zstd])
def test_several_compressed_streams_in_one_file_are_one_archive(
    tmp_path: Path, squeeze: Callable[[bytes], bytes]
) -> None:
    root = unpacked(squeeze(SIMPLE[:700]) + squeeze(SIMPLE[700:]), tmp_path)
    assert tree(root)["b"] == "B"


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_format_of_tar_is_read(tmp_path: Path, form: int) -> None:
    long = "/".join(["x" * 20] * 6)
    assert tree(unpacked(pack(entry(long, data=b"L"), form=form), tmp_path))[long] == "L"


def test_what_is_unpacked_belongs_to_us_with_a_sane_mode_and_its_time(tmp_path: Path) -> None:
    root = unpacked(pack(folder("d", 0o000), entry("d/x", data=b"", mode=0o6777), entry("y", mode=0o002)), tmp_path)
    assert stat.S_IMODE((root / "d").stat().st_mode) == 0o700
    assert stat.S_IMODE((root / "d/x").stat().st_mode) == 0o755
    assert stat.S_IMODE((root / "y").stat().st_mode) == 0o600
    assert (root / "y").stat().st_uid == os.getuid()
    assert (root / "y").stat().st_mtime == 1_000_000


def test_links_within_the_archive_are_kept(tmp_path: Path) -> None:
    root = unpacked(
        pack(
            entry("a/b/file", data=b"F"), link("a/up", "../top"), link("a/b/here", "./file"), hard("same", "a/b/file")
        ),
        tmp_path,
    )
    assert tree(root)["a/up"] == "-> ../top"
    assert (root / "same").read_text() == "F"


def test_a_later_entry_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    root = unpacked(pack(entry("x", data=b"1"), link("y", "x"), entry("y", data=b"2"), entry("x", data=b"3")), tmp_path)
    assert tree(root) == {"x": "3", "y": "2"}


HOSTILE = {
    "a path that climbs": [entry("../evil", data=b"!")],
    "a path that climbs later": [entry("a/../../evil", data=b"!")],
    "an absolute path": [entry("/tmp/evil", data=b"!")],
    "an absolute path behind slashes": [entry("//evil", data=b"!")],
    "a folder that climbs": [folder("../evil")],
    "a link to an absolute path": [link("x", "/etc/passwd")],
    "a link that climbs": [link("a/x", "../../evil")],
    "a link that climbs behind a name": [folder("a"), link("x", "a/../../evil")],
    "a link that climbs by way of another": [
        folder("p"), folder("p/q"), link("p/q/d", "../.."), link("x", "p/q/d/../../evil"),
    ],
    "a file through a link": [link("out", "in"), folder("in"), entry("out/evil", data=b"!")],
    "a file through a link out": [link("out", ".."), entry("out/evil", data=b"!")],
    "a link through a link": [folder("a"), link("l", "a"), link("l/x", "../evil")],
    "a folder through a link": [folder("a"), link("l", "a"), folder("l/x")],
    "a folder that becomes a link": [folder("a"), entry("a/x", data=b"!"), link("a", "b")],
    "a hard link out": [hard("x", "../secret")],
    "an absolute hard link": [hard("x", "/etc/passwd")],
    "a hard link through a link": [folder("a"), entry("a/f"), link("l", "a"), hard("x", "l/f")],
    "a hard link to a link": [link("l", "f"), entry("f"), hard("x", "l")],
    "a hard link to what comes later": [hard("x", "later"), entry("later")],
    "a hard link to a folder": [folder("d"), hard("x", "d")],
    "a character device": [entry("null", tarfile.CHRTYPE)],
    "a block device": [entry("sda", tarfile.BLKTYPE)],
    "a named pipe": [entry("pipe", tarfile.FIFOTYPE)],
    "an entry without a name": [entry("./", data=b"!")],
    "a name that is too long": [entry("x" * 300, data=b"!")],
    "a path that is too long": [entry("/".join(["x" * 200] * 25), data=b"!")],
    "a link that is too long": [link("x", "y/" * 3000)],
    "a file as a folder": [entry("a", data=b"1"), entry("a/b", data=b"!")],
    "a folder as a file": [entry("a/b", data=b"1"), entry("a", data=b"!")],
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused_and_nothing_lands_outside(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_text("s")
    with pytest.raises(InvalidInput, match=r"^app\.tar"):
        unpacked(pack(*HOSTILE[name]), tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["root", "secret", "spool"]
    assert not any("!" in content for content in tree(tmp_path / "root").values() if name.startswith("a file through"))


def test_a_chain_of_links_longer_than_a_path_leads_nowhere(tmp_path: Path) -> None:
    """The way around Python's own filter (CVE-2025-4517): a real path longer than PATH_MAX."""
    long, entries, path = "d" * 247, [], ""
    for letter in "abcdefghijklmnop":
        entries += [folder(f"{path}{long}"), link(f"{path}{letter}", long)]
        path += f"{letter}/"
    entries += [link(f"{path}l", "../" * 16), link("escape", f"{path}l/../../evil"), entry("escape", data=b"!")]
    with pytest.raises(InvalidInput):
        unpacked(pack(*entries), tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["root", "spool"]


@pytest.mark.parametrize(
    ("squeeze", "size"),
    [(gzip.compress, 96 * MIB), (bz2.compress, 96 * MIB), (lzma.compress, 96 * MIB), (zstd, 96 * MIB)],
)
def test_a_bomb_is_refused_before_it_fills_the_disk(
    tmp_path: Path, squeeze: Callable[[bytes], bytes], size: int
) -> None:
    bomb = squeeze(pack(entry("zeros", data=bytes(size))))
    with pytest.raises(InvalidInput, match="is a bomb"):
        unpacked(bomb, tmp_path)
    assert (tmp_path / "root" / "zeros").stat().st_size <= 80 * MIB


def test_a_small_archive_of_zeros_is_no_bomb(tmp_path: Path) -> None:
    root = unpacked(gzip.compress(pack(entry("zeros", data=bytes(MIB)))), tmp_path)
    assert (root / "zeros").stat().st_size == MIB


def test_more_than_the_limit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="larger than a context may be"):
        unpacked(pack(entry("x", data=os.urandom(3 * MIB))), tmp_path, unpacked=MIB)


def test_too_many_entries_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="more than 5 entries"):
        unpacked(pack(*(entry(str(n)) for n in range(6))), tmp_path, entries=5)


def test_a_size_that_lies_is_refused(tmp_path: Path) -> None:
    info, _ = entry("x", data=b"")
    info.size = 1 << 40
    with pytest.raises(InvalidInput, match="larger than a context"):
        unpacked(info.tobuf() + bytes(1024), tmp_path)


def test_a_header_that_would_fill_memory_is_refused(tmp_path: Path) -> None:
    for kind in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME):
        info, _ = entry("x", kind)
        info.size = 1 << 33
        with pytest.raises(InvalidInput, match="a header of the archive is longer than 1 MiB"):
            unpacked(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024), _new(tmp_path, kind))


def _new(tmp_path: Path, name: bytes) -> Path:
    path = tmp_path / name.hex()
    path.mkdir()
    return path


def test_headers_without_end_are_refused(tmp_path: Path) -> None:
    info, _ = entry("x", tarfile.GNUTYPE_LONGNAME, data=b"x" * 512)
    with pytest.raises(InvalidInput, match="no archive that can be read"):
        unpacked((info.tobuf() + b"x" * 512) * 5000, tmp_path)


def test_a_sparse_file_is_refused_by_name(tmp_path: Path) -> None:
    info, _ = entry("holes", tarfile.GNUTYPE_SPARSE)
    with pytest.raises(InvalidInput, match="sparse"):
        unpacked(info.tobuf() + bytes(1024), tmp_path)
    info, data = entry("holes", data=b"1\n0\n1\n" + bytes(506))
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(1 << 50)}
    with pytest.raises(InvalidInput, match="sparse"):
        unpacked(pack((info, data)), _new(tmp_path, b"2"))


@pytest.mark.parametrize("squeeze", [bytes, gzip.compress, bz2.compress, lzma.compress, zstd])
@pytest.mark.parametrize("part", [0.3, 0.66])
def test_an_archive_that_was_cut_short_is_damaged(
    tmp_path: Path, squeeze: Callable[[bytes], bytes], part: float
) -> None:
    data = squeeze(pack(*(entry(str(n), data=os.urandom(3000)) for n in range(20))))
    with pytest.raises(InvalidInput):
        unpacked(data[: int(len(data) * part)], tmp_path)


def test_an_archive_with_a_broken_header_inside_is_not_taken_for_shorter(tmp_path: Path) -> None:
    data = bytearray(pack(entry("a"), entry("b"), entry("c")))
    data[512 + 3] ^= 0xFF
    with pytest.raises(InvalidInput, match="no archive that can be read"):
        unpacked(bytes(data), tmp_path)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is no archive"),
        (b"hello", "is no archive"),
        (b"<!DOCTYPE html><html>" + b" " * 600, "but a web page"),
        (b"PK\x03\x04" + bytes(600), "zip archive"),
        (b"\x1f\x8b" + bytes(600), "is damaged|no archive"),
        (b"\xfd7zXZ\0" + bytes(600), "is damaged|no archive"),
        (b"\x28\xb5\x2f\xfd" + b"\xff" * 600, "is damaged|no archive"),
    ],
)
def test_what_is_no_archive_is_called_by_its_name(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        unpacked(data, tmp_path)


_NAMES = st.lists(st.sampled_from(["a", "b", "..", ".", "", "c"]), min_size=1, max_size=5).map("/".join)
_ENTRIES = st.tuples(
    _NAMES, st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE]), _NAMES
)


@settings(max_examples=150, deadline=None)
@given(st.lists(_ENTRIES, max_size=8))
@example([("a", tarfile.SYMTYPE, "a//a")])
def test_no_sequence_of_entries_reaches_outside(
    tmp_path_factory: pytest.TempPathFactory, made: Iterable[tuple[str, bytes, str]]
) -> None:
    base = tmp_path_factory.mktemp("zoo")
    deep = base / "x" / "y"
    deep.mkdir(parents=True)
    data = pack(*(entry(n, k, to=t, data=b"!" if k == tarfile.REGTYPE else b"") for n, k, t in made))
    try:
        root = unpacked(data, deep)
    except InvalidInput:
        root = deep / "root"
    assert [p.name for p in base.iterdir()] == ["x"]
    assert [p.name for p in (base / "x").iterdir()] == ["y"]
    assert {p.name for p in deep.iterdir()} <= {"root", "spool"}
    for path in root.rglob("*"):
        assert _leads_in_a_circle(path) or path.resolve().is_relative_to(root.resolve())


def _leads_in_a_circle(path: Path) -> bool:
    """The system follows no such link; Python 3.11 makes up an end for some of them."""
    try:
        path.stat()
    except OSError as error:
        return error.errno == errno.ELOOP
    return False


def test_a_stream_that_goes_on_behind_the_files_is_bounded_too(tmp_path: Path) -> None:
    headers = b"".join(folder(str(n))[0].tobuf() for n in range(200))
    with pytest.raises(InvalidInput, match="holds more than"):
        unpacked(headers, tmp_path, unpacked=64 << 10)
