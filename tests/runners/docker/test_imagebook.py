"""What a worker remembers of the images that its runs brought."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from runners.docker.imagebook import ImageBook


class Clock:
    def __init__(self) -> None:
        self.at = datetime(2026, 11, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def go(self, **span: float) -> None:
        self.at += timedelta(**span)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def book(tmp_path: Path, clock: Clock) -> ImageBook:
    return ImageBook(tmp_path / "images.json", clock)


def names(book: ImageBook) -> list[str]:
    return [f"{entry.name}={entry.image_id}" for entry in book.entries()]


def test_what_a_run_brought_is_there_after_a_restart(book: ImageBook, tmp_path: Path, clock: Clock) -> None:
    book.made("base:1", "sha256:a", "pulled", before=None)
    again = ImageBook(tmp_path / "images.json", clock)
    assert again.entries() == book.entries()
    assert (tmp_path / "images.json").stat().st_mode & 0o777 == 0o600


def test_a_name_that_the_engine_knew_before_stays_somebody_elses(book: ImageBook) -> None:
    book.made("base:1", "sha256:new", "pulled", before="sha256:old")
    assert not book.entries()


def test_a_name_that_a_run_gave_may_move_on_and_the_image_before_it_is_still_known(book: ImageBook) -> None:
    book.made("app:1", "sha256:a", "built", before=None)
    book.made("app:1", "sha256:b", "built", before="sha256:a")
    assert sorted(names(book)) == ["app:1=sha256:a", "app:1=sha256:b"]


def test_the_longest_unused_is_the_first(book: ImageBook, clock: Clock) -> None:
    book.made("a:1", "sha256:a", "pulled", before=None)
    clock.go(hours=1)
    book.made("b:1", "sha256:b", "pulled", before=None)
    clock.go(hours=1)
    book.used("a:1", "sha256:a")
    assert names(book) == ["b:1=sha256:b", "a:1=sha256:a"]


def test_using_what_is_not_in_the_book_notes_nothing(book: ImageBook) -> None:
    book.used("a:1", "sha256:a")
    assert not book.entries()


def test_what_was_used_since_it_was_read_is_not_forgotten(book: ImageBook, clock: Clock) -> None:
    book.made("a:1", "sha256:a", "pulled", before=None)
    (entry,) = book.entries()
    clock.go(hours=1)
    book.used("a:1", "sha256:a")
    assert book.is_stale(entry)
    book.forget(entry)
    assert names(book) == ["a:1=sha256:a"]


@pytest.mark.parametrize("text", ["", "{", "[1]", '[{"name": "a"}]', "\0"])
def test_a_book_that_cannot_be_read_begins_anew(tmp_path: Path, clock: Clock, text: str) -> None:
    (tmp_path / "images.json").write_text(text)
    assert not ImageBook(tmp_path / "images.json", clock).entries()


def test_a_book_that_cannot_be_written_fails_no_run(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "file").touch()
    book = ImageBook(tmp_path / "file" / "images.json", clock)
    book.made("a:1", "sha256:a", "pulled", before=None)
    assert names(book) == ["a:1=sha256:a"]
