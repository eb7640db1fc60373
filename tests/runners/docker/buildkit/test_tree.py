from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from runners.docker.buildkit.filesync import follow_links, options, selection
from runners.docker.buildkit.ignore import IgnoreMatcher
from runners.docker.buildkit.tree import FolderTree, MemoryTree, Selection, Tree, go_mode
from taskengine.errors import InvalidInput


def plant(root: Path, *names: str) -> FolderTree:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return FolderTree(str(root))


def paths(tree: Tree, *, include: list[str] | None = None, exclude: list[str] | None = None) -> list[str]:
    chosen = Selection(
        include=IgnoreMatcher(include) if include else None, exclude=IgnoreMatcher(exclude) if exclude else None
    )
    return [entry.path for entry in tree.walk(chosen)]


def test_folders_come_before_their_content_and_names_in_the_order_of_bytes(tmp_path: Path) -> None:
    tree = plant(tmp_path, "a/x", "a-b", "a.txt", "B", "é", "z")
    assert paths(tree) == ["B", "a", "a/x", "a-b", "a.txt", "z", "é"]


def test_a_memory_tree_shows_its_files_like_a_folder() -> None:
    tree = MemoryTree({"a.txt": b"", "a/x": b"1", "B": b""})
    assert paths(tree) == ["B", "a", "a/x", "a.txt"]
    assert paths(tree, include=["a/x"]) == ["a", "a/x"]
    assert list(tree.names(".")) == ["B", "a", "a.txt"]


def test_an_excepted_file_brings_its_folders_along(tmp_path: Path) -> None:
    tree = plant(tmp_path, "out/a/keep", "out/a/drop", "out/b/drop", "src")
    assert paths(tree, exclude=["out", "!out/*/keep"]) == ["out", "out/a", "out/a/keep", "src"]


def test_an_included_file_brings_its_folders_along(tmp_path: Path) -> None:
    tree = plant(tmp_path, "a/b/c", "a/d", "e/f")
    assert paths(tree, include=["a/b/c", "e/*"]) == ["a", "a/b", "a/b/c", "e", "e/f"]


def test_an_ignored_folder_is_not_even_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = plant(tmp_path, "node_modules/a/b", "src/c")
    opened: list[str] = []
    real = os.open
    monkeypatch.setattr(os, "open", lambda path, *a, **k: opened.append(str(path)) or real(path, *a, **k))
    assert paths(tree, exclude=["node_modules", "!src/keep"]) == ["src", "src/c"]
    assert "node_modules" not in opened


def test_links_travel_as_links_wherever_they_point(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    (tmp_path / "loop").symlink_to("loop")
    entries = {e.path: e for e in FolderTree(str(tmp_path)).walk(Selection())}
    assert {p: e.link for p, e in entries.items()} == {"link": "/etc/passwd", "loop": "loop"}
    assert entries["link"].mode == 1 << 27 | 0o777


def test_sockets_pipes_and_devices_stay_at_home(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "sock"))
        tree = plant(tmp_path, "file")
        assert paths(tree) == ["file"]
    assert tree.skipped == 2


def test_a_file_that_became_a_link_is_not_followed(tmp_path: Path) -> None:
    tree = plant(tmp_path, "inner/file")
    (tmp_path / "inner/file").unlink()
    (tmp_path / "inner/file").symlink_to("/etc/passwd")
    with pytest.raises(InvalidInput):
        tree.open("inner/file")


def test_a_folder_that_became_a_link_is_not_entered(tmp_path: Path) -> None:
    tree = plant(tmp_path, "real/passwd")
    (tmp_path / "inner").symlink_to("/etc")
    with pytest.raises(InvalidInput):
        tree.open("inner/passwd")


def test_a_pipe_in_a_files_place_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidInput, match="changed"):
        FolderTree(str(tmp_path)).open("pipe")


def test_an_unreadable_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = plant(tmp_path, "closed/file")
    real = os.open

    def refuse(path: object, *args: object, **options: object) -> int:
        if path == "closed":
            raise PermissionError(13, "Permission denied")
        return real(path, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(InvalidInput, match=r"'closed'.*permission denied"):
        paths(tree)


def test_a_name_that_is_no_utf8_travels_as_its_bytes(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9")).write_text("x")
    tree = FolderTree(str(tmp_path))
    assert [os.fsencode(p) for p in paths(tree)] == [b"caf\xe9"]
    with tree.open(paths(tree)[0]) as file:
        assert file.read() == b"x"


def test_modes_are_gos() -> None:
    assert go_mode(stat.S_IFREG | 0o4755) == 1 << 23 | 0o755
    assert go_mode(stat.S_IFDIR | 0o1777) == 1 << 31 | 1 << 20 | 0o777


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (["file"], ["file"]),
        (["link"], ["dir/target", "link"]),
        (["away/target"], ["away", "dir/target"]),
        (["up"], ["file", "up"]),
        (["li*"], ["dir/target", "li*"]),
        (["dir/*"], ["dir/*"]),
        (["loop"], ["loop"]),
        (["missing"], ["missing"]),
        (["top"], None),
        (["."], None),
        (["file", "."], None),
    ],
)
def test_paths_lead_on_through_links_that_stay_inside(
    tmp_path: Path, wanted: list[str], found: list[str] | None
) -> None:
    tree = plant(tmp_path, "file", "dir/target")
    for name, target in (
        ("link", "dir/target"),
        ("away", "/dir"),
        ("up", "../../file"),
        ("loop", "loop"),
        ("top", "/"),
    ):
        (tmp_path / name).symlink_to(target)
    assert follow_links(tree, wanted) == found


def test_a_request_names_paths_patterns_and_exceptions(tmp_path: Path) -> None:
    tree = plant(tmp_path, "a/1", "a/2", "b/1", "c")
    chosen = selection(tree, {"followpaths": ("a", "c"), "exclude-patterns": ("**/2",)})
    assert [e.path for e in tree.walk(chosen)] == ["a", "a/1", "c"]


def test_newer_engines_escape_what_is_not_ascii() -> None:
    metadata = [("dir-name", "context"), ("followpaths", "caf%C3%A9+1"), ("followpaths-encoded", "1"), ("x", "a%41")]
    assert options(metadata) == {
        "dir-name": ("context",),
        "followpaths": ("café 1",),
        "followpaths-encoded": ("1",),
        "x": ("a%41",),
    }
