from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from runners.docker.buildkit import BuildFailed, BuildRequest, Empty, LocalDir, TarStream, Text
from runners.docker.buildkit.archive import acceptable, read_files
from runners.docker.buildkit.source import read_source
from runners.docker.buildkit.tree import Selection
from taskengine.errors import InvalidInput


def tar_of(files: dict[str, bytes], *, kind: int = tarfile.GNU_FORMAT, mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode, format=kind, pax_headers={"comment": "x"}) as tar:  # type: ignore[call-overload]
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_files_are_found_in_an_archive_however_it_spells_them(mode: str) -> None:
    data = tar_of({"./Dockerfile": b"FROM a", "sub/x": b"1"}, mode=mode)
    assert read_files(lambda: io.BytesIO(data), ("Dockerfile", "sub/x", "y"), largest=99) == {
        "Dockerfile": b"FROM a",
        "sub/x": b"1",
    }


def test_an_archive_that_begins_with_a_pax_header_gets_a_plain_entry_first() -> None:
    data = tar_of({"Dockerfile": b"FROM a"}, kind=tarfile.PAX_FORMAT)
    assert data[156:157] == b"g"
    sent = io.BytesIO(acceptable(io.BytesIO(data)).read() + data[512:])
    with tarfile.open(fileobj=sent) as tar:
        assert [m.name for m in tar] == [".", "Dockerfile"]


def test_any_other_archive_travels_untouched() -> None:
    data = tar_of({"Dockerfile": b"FROM a"})
    stream = acceptable(io.BytesIO(data))
    assert b"".join(iter(lambda: stream.read(1000), b"")) == data


def test_what_is_no_archive_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no readable archive"):
        read_files(lambda: io.BytesIO(b"nonsense" * 200), ("Dockerfile",), largest=99)


def guard(_: bytes, __: BuildRequest) -> None: ...


def test_the_dockerfile_is_offered_as_the_bytes_that_were_checked(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/app.Dockerfile").write_text("FROM a")
    (tmp_path / "sub/app.Dockerfile.dockerignore").write_text("x")
    source = read_source(BuildRequest(context=LocalDir(path=str(tmp_path)), dockerfile="sub/app.Dockerfile"), guard)
    (tmp_path / "sub/app.Dockerfile").write_text("ARG evil")
    tree = source.trees["dockerfile"]
    assert [e.path for e in tree.walk(Selection())] == ["app.Dockerfile", "app.Dockerfile.dockerignore"]
    assert tree.open("app.Dockerfile").read() == b"FROM a"


def test_a_dockerfile_may_lie_elsewhere_or_be_text(tmp_path: Path) -> None:
    (tmp_path / "D").write_text("FROM b")
    elsewhere = BuildRequest(context=Empty(), dockerfile="D", dockerfile_dir=LocalDir(path=str(tmp_path)))
    text = BuildRequest(context=LocalDir(path=str(tmp_path)), dockerfile_dir=Text(content="FROM c"))
    assert [read_source(r, guard).dockerfile for r in (elsewhere, text)] == [b"FROM b", b"FROM c"]


def test_a_dockerfile_link_may_not_lead_out_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").symlink_to("/etc/passwd")
    with pytest.raises(BuildFailed, match="leads out"):
        read_source(BuildRequest(context=LocalDir(path=str(tmp_path))), guard)


def test_a_dockerfile_link_inside_of_its_folder_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("FROM a")
    (tmp_path / "Dockerfile").symlink_to("real")
    assert read_source(BuildRequest(context=LocalDir(path=str(tmp_path))), guard).dockerfile == b"FROM a"


@pytest.mark.parametrize("context", [Empty(), TarStream(open=lambda: io.BytesIO(tar_of({"a": b""})))])
def test_a_missing_dockerfile_is_named(context: Empty | TarStream) -> None:
    with pytest.raises(BuildFailed, match="there is no Dockerfile 'x/D'"):
        read_source(BuildRequest(context=context, dockerfile="x/D"), guard)


def test_a_missing_context_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is no folder"):
        read_source(
            BuildRequest(context=LocalDir(path=str(tmp_path / "x")), dockerfile_dir=Text(content="FROM a")), guard
        )
