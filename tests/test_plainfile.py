"""Files that strangers wrote: what is read, and what is not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from taskengine.plainfile import Folder, LeadsOut, NoPlainFile, TooLarge


@pytest.fixture
def top(tmp_path: Path) -> Path:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/f").write_text("of the host")
    folder = tmp_path / "top"
    (folder / "sub").mkdir(parents=True)
    (folder / "f").write_text("at the top")
    (folder / "sub/f").write_text("below")
    return folder


@pytest.mark.parametrize(
    ("link", "target", "path", "found"),
    [
        ("l", "f", "l", b"at the top"),
        ("l", "sub", "l/f", b"below"),
        ("sub/l", "../f", "sub/l", b"at the top"),
        ("sub/l", "..", "sub/l/sub/./f", b"below"),
    ],
)
def test_a_link_may_lead_elsewhere_in_the_folder(top: Path, link: str, target: str, path: str, found: bytes) -> None:
    (top / link).symlink_to(target)
    assert Folder(top).read(path, largest=99) == found


@pytest.mark.parametrize("target", ["../outside", "sub/../../outside", "/etc", "l2"])
def test_a_link_may_not_lead_out_of_it(top: Path, target: str) -> None:
    (top / "l2").symlink_to("../outside")
    (top / "l").symlink_to(target)
    for path in ("l/f", "l", "sub/../l/f", "../outside/f", "/etc/passwd"):
        with pytest.raises(LeadsOut):
            Folder(top).read(path, largest=99)
    with pytest.raises(LeadsOut):
        Folder(top).folder("l")


def test_links_in_a_circle_come_to_an_end(top: Path) -> None:
    (top / "l").symlink_to("l")
    with pytest.raises(OSError, match="symbolic links"):
        Folder(top).read("l", largest=99)


def test_a_pipe_is_refused_at_once(top: Path) -> None:
    os.mkfifo(top / "pipe")
    (top / "l").symlink_to("pipe")
    for path in ("pipe", "l"):
        with pytest.raises(NoPlainFile):
            Folder(top).read(path, largest=99)


def test_no_more_is_read_than_is_allowed(top: Path) -> None:
    assert Folder(top).read("f", largest=10) == b"at the top"
    with pytest.raises(TooLarge):
        Folder(top).read("f", largest=9)


def test_an_open_folder_stays_the_one_that_was_opened(top: Path) -> None:
    sub = Folder(top).folder("sub")
    (top / "sub").rename(top / "moved")
    (top / "sub").symlink_to("../outside")
    assert sub.read("f", largest=99) == b"below"


def test_a_folder_that_nobody_uses_is_closed(top: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        Folder(top).folder("sub").read("f", largest=99)
        with pytest.raises(FileNotFoundError):
            Folder(top).read("sub/none/f", largest=99)
    assert len(os.listdir("/proc/self/fd")) == before
