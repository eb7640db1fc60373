"""Contexts out of archives on a web server, and on standard input."""

from __future__ import annotations

import gzip
import hashlib
import io
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from taskengine.context.model import MIB, Fetched, Limits
from taskengine.context.source import UrlLogin
from taskengine.errors import Interrupted, InvalidInput, TaskEngineError, Unreachable
from taskengine.runner import Cancel
from tests.context.servers import Answer, Server
from tests.context.test_archive import entry, folder, pack

Get = Callable[..., Fetched]
TAR = gzip.compress(pack(folder("app-1"), entry("app-1/Dockerfile", data=b"FROM scratch\n")), mtime=0)
SUM = hashlib.sha256(TAR).hexdigest()
TOKEN = "glpat-0123456789abcdefghij"


@pytest.fixture
def url(server: Server) -> str:
    server.answers["/app.tar.gz"] = Answer(body=TAR)
    return f"{server.url}/app.tar.gz"


def test_an_archive_is_downloaded_and_unpacked(get: Get, url: str) -> None:
    found = get(url)
    assert (found.folder / "app-1" / "Dockerfile").read_text() == "FROM scratch\n"
    assert (found.digest, found.commit, found.repository) == (f"sha256:{SUM}", "", "")


def test_a_folder_of_the_archive_is_the_context(get: Get, url: str) -> None:
    assert (get(f"{url}#:app-1").folder / "Dockerfile").is_file()


def test_an_address_without_an_ending_is_known_by_what_it_sends(get: Get, server: Server) -> None:
    server.answers["/download/7"] = Answer(body=TAR, headers={"Content-Type": "application/gzip"})
    assert (get(f"{server.url}/download/7").folder / "app-1").is_dir()


def test_a_server_that_calls_the_compression_an_encoding_sends_the_same_bytes(get: Get, server: Server) -> None:
    server.answers["/a.tar.gz"] = Answer(body=TAR, headers={"Content-Encoding": "gzip"})
    assert get(f"{server.url}/a.tar.gz#sha256={SUM}").digest == f"sha256:{SUM}"


def test_a_checksum_that_holds_is_silent(get: Get, url: str) -> None:
    assert get(f"{url}#sha256={SUM}:app-1").digest == f"sha256:{SUM}"


def test_a_checksum_that_does_not_hold_stops_before_anything_is_unpacked(get: Get, url: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=f"has the checksum sha256={SUM}"):
        get(f"{url}#sha256={'0' * 64}")
    assert not (tmp_path / "got").exists()


def test_a_web_page_is_no_archive(get: Get, server: Server) -> None:
    server.answers["/team/app"] = Answer(body=b"<!doctype html><html></html>")
    with pytest.raises(InvalidInput, match="but a web page") as caught:
        get(f"{server.url}/team/app")
    assert ".git" in (caught.value.hint or "")


def test_an_archive_of_this_disk_is_read(get: Get, tmp_path: Path) -> None:
    (tmp_path / "my app.tgz").write_bytes(TAR)
    assert (get(f"file://{tmp_path}/my%20app.tgz").folder / "app-1").is_dir()
    with pytest.raises(InvalidInput, match="disk"):
        get(f"file://{tmp_path}/my%20app.tgz", files=False, into="other")
    with pytest.raises(InvalidInput, match="no such file"):
        get(f"file://{tmp_path}/nosuch.tgz", into="third")


# what servers answer


def test_redirects_are_followed_a_few_times(get: Get, url: str, server: Server, other_server: Server) -> None:
    other_server.answers["/latest.tgz"] = Answer(status=302, headers={"Location": url})
    assert get(f"{other_server.url}/latest.tgz").digest == f"sha256:{SUM}"


def test_redirects_without_end_are_refused(get: Get, server: Server) -> None:
    server.answers["/a.tar"] = Answer(status=302, headers={"Location": "/a.tar"})
    with pytest.raises(InvalidInput, match="redirects more than 5 times"):
        get(f"{server.url}/a.tar")
    assert len(server.requests) == 6


def test_a_redirect_away_from_the_web_is_refused(get: Get, server: Server) -> None:
    server.answers["/a.tar"] = Answer(status=302, headers={"Location": "file:///etc/passwd"})
    with pytest.raises(InvalidInput, match="other than http"):
        get(f"{server.url}/a.tar")


@pytest.mark.parametrize(("status", "error"), [(401, Unreachable), (404, InvalidInput), (503, Unreachable)])
def test_a_refusal_is_told_with_its_status(get: Get, server: Server, status: int, error: type[TaskEngineError]) -> None:
    server.answers["/a.tar"] = Answer(status=status)
    with pytest.raises(error, match=str(status)):
        get(f"{server.url}/a.tar")


def test_a_server_that_is_not_there_is_unreachable(get: Get) -> None:
    from tests.support.registry import free_port

    with pytest.raises(Unreachable, match="cannot be fetched"):
        get(f"http://127.0.0.1:{free_port()}/a.tar")


def test_a_download_that_breaks_off_is_not_taken_for_whole(get: Get, server: Server) -> None:
    server.answers["/a.tar.gz"] = Answer(headers={"Content-Length": str(len(TAR))}, write=lambda w: w(TAR[:50]))
    with pytest.raises(Unreachable, match="broke off"):
        get(f"{server.url}/a.tar.gz")


# too much


def test_a_download_that_says_it_is_too_large_is_not_begun(get: Get, server: Server) -> None:
    server.answers["/a.tar"] = Answer(headers={"Content-Length": str(9 * MIB)}, write=lambda _: None)
    with pytest.raises(InvalidInput, match="larger than 1 MiB"):
        get(f"{server.url}/a.tar", limits=Limits(download=MIB))


def test_a_download_without_end_is_cut(get: Get, server: Server) -> None:
    def forever(write: Callable[[bytes], object]) -> None:
        while True:
            write(bytes(65536))

    server.answers["/a.tar"] = Answer(write=forever)
    with pytest.raises(InvalidInput, match="larger than 1 MiB"):
        get(f"{server.url}/a.tar", limits=Limits(download=MIB))


# logins


def test_a_token_of_the_host_is_sent_to_it(get: Get, url: str, server: Server) -> None:
    get(url, logins={server.host: UrlLogin(secret=TOKEN)})
    assert server.requests[-1].headers["Authorization"] == f"Bearer {TOKEN}"


def test_a_login_in_the_address_is_sent_as_such(get: Get, url: str, server: Server) -> None:
    get(url.replace("://", "://me:s3cret@"))
    assert server.requests[-1].headers["Authorization"] == "Basic bWU6czNjcmV0"


def test_no_other_host_sees_a_login(get: Get, url: str, server: Server, other_server: Server) -> None:
    other_server.answers["/a.tgz"] = Answer(status=302, headers={"Location": url})
    get(f"http://me:s3cret@{other_server.host}/a.tgz", logins={server.host: UrlLogin(secret=TOKEN)})
    assert "Authorization" in other_server.requests[-1].headers
    assert "Authorization" not in server.requests[-1].headers


def test_errors_hold_no_login(get: Get, server: Server) -> None:
    with pytest.raises(TaskEngineError) as caught:
        get(f"http://me:{TOKEN}@{server.host}/nosuch.tgz")
    assert TOKEN not in f"{caught.value}{caught.value.hint}"


# time


def test_a_server_that_stalls_meets_the_deadline(get: Get, server: Server) -> None:
    done = threading.Event()
    server.answers["/a.tar"] = Answer(write=lambda write: (write(b"x"), done.wait(20)))
    began = time.monotonic()
    with pytest.raises(Unreachable, match="not there within"):
        get(f"{server.url}/a.tar", limits=Limits(seconds=0.4))
    done.set()
    assert time.monotonic() - began < 5


def test_a_download_is_stopped_soon_after_it_is_asked_to(get: Get, server: Server) -> None:
    done, cancel = threading.Event(), Cancel()

    def stall(write: Callable[[bytes], object]) -> None:
        write(b"x")
        cancel.set()
        done.wait(20)

    server.answers["/a.tar"] = Answer(write=stall)
    began = time.monotonic()
    with pytest.raises(Interrupted):
        get(f"{server.url}/a.tar", stop=cancel)
    done.set()
    assert time.monotonic() - began < 5


# standard input


def test_standard_input_may_be_an_archive(get: Get) -> None:
    assert (get("-", stdin=io.BytesIO(TAR)).folder / "app-1" / "Dockerfile").is_file()


def test_standard_input_may_be_a_dockerfile(get: Get) -> None:
    found = get("-", stdin=io.BytesIO(b"FROM scratch\n"))
    assert [p.name for p in found.folder.iterdir()] == ["Dockerfile"]


@pytest.mark.parametrize("data", [b"", b"\x7fELF\0\0"])
def test_standard_input_that_is_neither_is_refused(get: Get, data: bytes) -> None:
    with pytest.raises(InvalidInput, match="standard input"):
        get("-", stdin=io.BytesIO(data))
