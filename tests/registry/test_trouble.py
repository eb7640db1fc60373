"""Registries that are slow, busy, broken or hostile, written against the distribution specification."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from taskengine.errors import Interrupted, TaskEngineError, Unreachable
from taskengine.registry import mediatype
from taskengine.registry.body import Content
from taskengine.registry.content import BrokenContent, Descriptor
from taskengine.registry.digest import digest_of
from taskengine.registry.failure import NotFound, RateLimited, Refused, Unsupported
from taskengine.registry.limits import Limits, Stop
from tests.registry.conftest import MakeClient, MakeFake, push_image, ref
from tests.registry.fake import Asked, Fake, Say, in_turn

RAW = b'{"schemaVersion":2,"mediaType":"%s","manifests":[]}' % mediatype.OCI_INDEX.encode()
DIGEST = digest_of(RAW)
TYPE = {"Content-Type": mediatype.OCI_INDEX}
MANIFEST = Say(body=RAW, headers={**TYPE, "Docker-Content-Digest": DIGEST})
BLOB = bytes(range(256)) * 4096


def unless_head(say: Say, head: Say) -> Callable[[Asked], Say]:
    return lambda asked: head if asked.method == "HEAD" else say


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_registry_is_asked_again(make_client: MakeClient, fake: MakeFake, status: int) -> None:
    made = make_client(first_pause=0.5)
    server = fake(in_turn(Say(status=status), Say(status=status), MANIFEST))
    assert made.client.resolve(ref(server)).digest == DIGEST
    assert made.pauses == [0.5, 1.0]
    assert f"answered {status}; trying again" in made.notices[0]


def test_tries_are_bounded(make_client: MakeClient, fake: MakeFake) -> None:
    server = fake(lambda _: Say(status=500))
    with pytest.raises(Unreachable, match="answered 500"):
        make_client(tries=3).client.manifest(ref(server))
    assert len(server.asked) == 3


def test_the_registry_says_how_long_to_wait(make_client: MakeClient, fake: MakeFake) -> None:
    made = make_client()
    server = fake(in_turn(Say(status=429, headers={"Retry-After": "7"}), MANIFEST))
    made.client.resolve(ref(server))
    assert made.pauses == [7.0]


def test_a_wait_that_is_too_long_is_an_error_that_says_when(make_client: MakeClient, fake: MakeFake) -> None:
    made = make_client()
    server = fake(lambda _: Say.error(429, "TOOMANYREQUESTS", "pull rate limit", Retry_After="3600"))
    with pytest.raises(RateLimited, match="too many requests") as caught:
        made.client.resolve(ref(server))
    assert caught.value.retry_after == 3600
    assert "3600 s" in (caught.value.hint or "")
    assert made.pauses == []


def test_a_rate_limit_is_told(make_client: MakeClient, fake: MakeFake) -> None:
    limits = {"ratelimit-limit": "100;w=21600", "ratelimit-remaining": "42;w=21600"}
    server = fake(lambda _: Say(body=RAW, headers={**MANIFEST.headers, **limits}))
    client = make_client().client
    assert client.rate_limit(server.name) is None
    client.resolve(ref(server))
    found = client.rate_limit(server.name)
    assert found is not None
    assert (found.limit, found.remaining, found.window) == (100, 42, 21600)


def test_a_registry_that_hangs_costs_no_more_than_the_deadline(make_client: MakeClient, fake: MakeFake) -> None:
    release = threading.Event()
    server = fake(lambda _: Say(hang=release))
    begin = time.monotonic()
    with pytest.raises(Unreachable, match=r"gave no answer within 0\.2 s"):
        make_client(call=0.2).client.resolve(ref(server))
    release.set()
    assert time.monotonic() - begin < 5


def test_cancel_ends_a_wait_at_once(make_client: MakeClient, fake: MakeFake) -> None:
    release, stop = threading.Event(), Stop(Limits().cancel)

    def answer(_: Asked) -> Say:
        stop.set()
        return Say(hang=release)

    server = fake(answer)
    begin = time.monotonic()
    with pytest.raises(Interrupted):
        make_client().client.bound(cancel=stop).resolve(ref(server))
    release.set()
    assert time.monotonic() - begin < 5


def test_cancel_ends_a_blob_that_stalls(make_client: MakeClient, fake: MakeFake) -> None:
    stop = Stop(Limits().cancel)
    server = fake(lambda _: Say(body=BLOB[:1000], headers={"Content-Length": str(len(BLOB))}))
    pieces = make_client().client.bound(cancel=stop).blob(ref(server), digest_of(BLOB))
    threading.Timer(0.1, stop.set).start()
    with pytest.raises(Interrupted):
        list(pieces)


def test_what_is_canceled_already_is_not_asked(make_client: MakeClient, fake: MakeFake) -> None:
    stop = Stop(Limits().cancel)
    stop.set()
    server = fake(lambda _: MANIFEST)
    with pytest.raises(Interrupted):
        make_client().client.bound(cancel=stop).resolve(ref(server))
    assert server.asked == []


@pytest.mark.parametrize("status", [400, 404, 405, 501])
def test_a_refused_head_is_followed_by_a_get(make_client: MakeClient, fake: MakeFake, status: int) -> None:
    server = fake(unless_head(MANIFEST, Say(status=status)))
    assert make_client().client.resolve(ref(server)).digest == DIGEST


def test_a_head_without_a_digest_is_followed_by_a_get(make_client: MakeClient, fake: MakeFake) -> None:
    server = fake(unless_head(Say(body=RAW, headers=TYPE), Say(headers=TYPE, body=RAW)))
    found = make_client().client.resolve(ref(server))
    assert (found.digest, found.size, found.media_type) == (DIGEST, len(RAW), mediatype.OCI_INDEX)


def test_a_condition_is_asked_and_not_modified_is_understood(make_client: MakeClient, fake: MakeFake) -> None:
    server = fake(lambda asked: Say(status=304) if asked.headers.get("If-None-Match") == f'"{DIGEST}"' else MANIFEST)
    client = make_client().client
    assert client.changed(ref(server), DIGEST) is None
    assert client.changed(ref(server), digest_of(b"older")).digest == DIGEST  # type: ignore[union-attr]


def test_other_bytes_than_the_digest_says_are_refused(make_client: MakeClient, fake: MakeFake) -> None:
    server = fake(lambda _: Say(body=RAW, headers=TYPE))
    with pytest.raises(BrokenContent, match="other bytes"):
        make_client().client.manifest(ref(server).with_digest(digest_of(b"what we want")))


def test_an_answer_for_another_digest_is_refused(make_client: MakeClient, fake: MakeFake) -> None:
    server = fake(lambda _: MANIFEST)
    with pytest.raises(BrokenContent, match="answered for"):
        make_client().client.resolve(ref(server).with_digest(digest_of(b"what we want")))


def test_a_document_that_is_two_things_is_refused(make_client: MakeClient, fake: MakeFake) -> None:
    both = b'{"schemaVersion":2,"manifests":[{}],"layers":[{}]}'
    for media_type in (mediatype.OCI_INDEX, mediatype.OCI_MANIFEST):
        server = fake(lambda _, kind=media_type: Say(body=both, headers={"Content-Type": kind}))
        with pytest.raises(BrokenContent, match="at once"):
            make_client().client.manifest(ref(server))


def test_a_manifest_of_the_first_schema_is_refused_by_name(make_client: MakeClient, fake: MakeFake) -> None:
    kind = "application/vnd.docker.distribution.manifest.v1+prettyjws"
    server = fake(lambda _: Say(body=b"{}", headers={"Content-Type": kind}))
    with pytest.raises(Unsupported, match="first schema"):
        make_client().client.manifest(ref(server))


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"", b"\xff", b"[" * 100_000])
def test_a_manifest_that_is_none_is_an_error_and_no_crash(make_client: MakeClient, fake: MakeFake, body: bytes) -> None:
    server = fake(lambda _: Say(body=body, headers=TYPE))
    with pytest.raises(BrokenContent):
        make_client().client.resolve(ref(server))


def test_a_manifest_without_end_is_cut(make_client: MakeClient, fake: MakeFake) -> None:
    server = fake(lambda _: Say(body=b" " * (9 * 1024 * 1024), headers=TYPE))
    with pytest.raises(Unreachable, match="sent more than"):
        make_client().client.manifest(ref(server))


def test_a_blob_that_breaks_off_goes_on_where_it_was(make_client: MakeClient, fake: MakeFake) -> None:
    def answer(asked: Asked) -> Say:
        start = int(asked.headers.get("Range", "bytes=0-")[6:].partition("-")[0])
        length = {"Content-Length": str(len(BLOB) - start)}
        if start:
            length["Content-Range"] = f"bytes {start}-{len(BLOB) - 1}/{len(BLOB)}"
        cut = 300_000 if start < 600_000 else None
        return Say(status=206 if start else 200, body=BLOB[start:], headers=length, cut=cut)

    server = fake(answer)
    made = make_client()
    wanted = Descriptor(digest=digest_of(BLOB), size=len(BLOB))
    assert b"".join(made.client.blob(ref(server), wanted)) == BLOB
    assert any("going on at byte" in notice for notice in made.notices)


def test_a_server_without_ranges_sends_the_beginning_again(make_client: MakeClient, fake: MakeFake) -> None:
    cut = Say(body=BLOB, cut=300_000)
    server = fake(in_turn(cut, Say(body=BLOB)))
    assert b"".join(make_client().client.blob(ref(server), digest_of(BLOB))) == BLOB


def test_a_blob_that_never_comes_whole_is_given_up(make_client: MakeClient, fake: MakeFake) -> None:
    server = fake(lambda _: Say(body=BLOB, cut=0))
    made = make_client(tries=3)
    with pytest.raises(Unreachable, match="broke off"):
        list(made.client.blob(ref(server), digest_of(BLOB)))
    assert len(server.asked) <= 9


def test_a_blob_with_other_bytes_is_refused_at_its_end(make_client: MakeClient, fake: MakeFake) -> None:
    server = fake(lambda _: Say(body=b"evil bytes"))
    with pytest.raises(BrokenContent, match="other bytes"):
        list(make_client().client.blob(ref(server), digest_of(b"good bytes")))


def test_a_blob_that_is_larger_than_promised_is_cut(make_client: MakeClient, fake: MakeFake) -> None:
    server = fake(lambda _: Say(body=BLOB))
    wanted = Descriptor(digest=digest_of(BLOB), size=10)
    with pytest.raises(BrokenContent, match="larger than its manifest says"):
        list(make_client().client.blob(ref(server), wanted))


def test_tags_are_read_across_pages(make_client: MakeClient, fake: MakeFake) -> None:
    def answer(asked: Asked) -> Say:
        last = asked.query.get("last", [""])[0]
        link = {} if last else {"Link": '</v2/app/image/tags/list?n=2&last=b>; rel="next"'}
        return Say.json({"name": "app/image", "tags": ["c"] if last else ["a", "b"]}, 200, **link)

    assert list(make_client().client.tags(ref(fake(answer)))) == ["a", "b", "c"]


@pytest.mark.parametrize("link", ["</v2/app/image/tags/list?n=1000>; rel=next", "<http://example.com/v2/x>; rel=next"])
def test_pages_that_lead_nowhere_or_elsewhere_end_the_list(make_client: MakeClient, fake: MakeFake, link: str) -> None:
    server = fake(lambda _: Say.json({"tags": ["a"]}, 200, Link=link))
    with pytest.raises(BrokenContent, match="next page"):
        list(make_client().client.tags(ref(server)))


def test_the_referrers_api_is_used_where_it_is(make_client: MakeClient, fake: MakeFake) -> None:
    kinds = ("application/vnd.a", "application/vnd.b")
    entries = [
        {"digest": digest_of(kind.encode()), "size": 1, "mediaType": mediatype.OCI_MANIFEST, "artifactType": kind}
        for kind in kinds
    ]

    def answer(asked: Asked) -> Say:
        if asked.query.get("page"):
            return Say.json({"manifests": entries[1:]})
        return Say.json({"manifests": entries[:1]}, 200, Link=f"<{asked.path}?page=2>; rel=next")

    server = fake(answer)
    client = make_client().client
    assert [one.artifact_type for one in client.referrers(ref(server), DIGEST)] == list(kinds)
    assert [one.artifact_type for one in client.referrers(ref(server), DIGEST, kinds[1])] == [kinds[1]]
    assert server.count("GET", "/manifests/") == 0


def test_a_registry_that_lists_referrers_itself_is_left_to_it(make_client: MakeClient, fake: MakeFake) -> None:
    def answer(asked: Asked) -> Say:
        if asked.method == "HEAD":
            return Say()
        return Say(status=201, headers={"OCI-Subject": DIGEST})

    server = fake(answer)
    push_image(make_client().client, ref(server), subject=Descriptor(digest=DIGEST, size=1).as_json())
    assert server.count("PUT") == 1


class Uploads:
    """An upload by the specification, with troubles: the answers of `first` come before the true ones."""

    def __init__(self, *first: Say, lost: int = 0) -> None:
        self.first = list(first)
        self.lost = lost
        self.got = b""
        self.stored: set[str] = set()

    def __call__(self, asked: Asked) -> Say:
        if asked.method == "HEAD":
            return Say(status=200 if asked.path.rpartition("/")[2] in self.stored else 404)
        if asked.method == "POST":
            self.got = b""
            return Say(status=202, headers={"Location": "/v2/app/image/blobs/uploads/1?state=a"})
        if asked.method == "GET":
            return Say(status=204, headers={"Location": "/up/2", "Range": f"0-{max(0, len(self.got) - 1)}"})
        if self.first:
            if asked.method == "PATCH" and self.lost:
                self.got += asked.body[: self.lost]
            return self.first.pop(0)
        self.got += asked.body
        if asked.method == "PATCH":
            return Say(status=202, headers={"Location": "/up/2", "Range": f"0-{len(self.got) - 1}"})
        digest = asked.query["digest"][0]
        if digest != digest_of(self.got):
            return Say.error(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        self.stored.add(digest)
        return Say(status=201)


def test_an_upload_that_fails_begins_again(make_client: MakeClient, fake: MakeFake) -> None:
    uploads = Uploads(Say(status=500), Say(status=502))
    made = make_client()
    made.client.push_blob(ref(fake(uploads)), Content.of_bytes(BLOB))
    assert uploads.stored == {digest_of(BLOB)}
    assert len(made.pauses) == 2


def test_an_upload_that_arrived_in_spite_of_an_error_is_not_sent_again(make_client: MakeClient, fake: MakeFake) -> None:
    uploads = Uploads(Say(status=502))
    server = fake(uploads)
    plain = server.answer

    def answer(asked: Asked) -> Say:
        if asked.method == "PUT":
            uploads.stored.add(digest_of(BLOB))
        return plain(asked)

    server.answer = answer
    make_client().client.push_blob(ref(server), Content.of_bytes(BLOB))
    assert server.count("PUT") == 1


def test_a_chunk_that_was_cut_off_goes_on_where_the_registry_is(make_client: MakeClient, fake: MakeFake) -> None:
    uploads = Uploads(Say(status=500), lost=1000)
    server = fake(uploads)
    make_client().client.push_blob(ref(server), Content.of_bytes(BLOB), chunk=400_000)
    assert uploads.stored == {digest_of(BLOB)}
    ranges = [one.headers["Content-Range"] for one in server.asked if one.method == "PATCH"]
    assert ranges[:2] == ["0-399999", "1000-399999"]


def test_an_upload_that_the_registry_forgot_begins_again(make_client: MakeClient, fake: MakeFake) -> None:
    uploads = Uploads(Say(status=500))
    server = fake(uploads)
    server.answer = lambda asked: Say(status=404) if asked.method == "GET" else uploads(asked)
    made = make_client()
    made.client.push_blob(ref(server), Content.of_bytes(BLOB), chunk=400_000)
    assert uploads.stored == {digest_of(BLOB)}
    assert any("forgot the upload" in notice for notice in made.notices)


def test_a_mount_that_is_not_allowed_is_sent_instead(make_client: MakeClient, fake: MakeFake) -> None:
    uploads = Uploads()
    server = fake(uploads)
    server.answer = lambda asked: Say(status=403) if asked.query.get("mount") else uploads(asked)
    make_client().client.push_blob(ref(server), Content.of_bytes(BLOB), mount_from="private/app")
    assert uploads.stored == {digest_of(BLOB)}


def test_a_blob_that_is_too_large_at_once_goes_in_chunks(make_client: MakeClient, fake: MakeFake) -> None:
    uploads = Uploads(Say(status=413))
    made = make_client()
    made.client.push_blob(ref(fake(uploads)), Content.of_bytes(BLOB))
    assert uploads.stored == {digest_of(BLOB)}
    assert "in chunks" in made.notices[0]


def test_chunks_are_as_large_as_the_registry_wants_them(make_client: MakeClient, fake: MakeFake) -> None:
    uploads = Uploads()
    server = fake(uploads)
    wanted = {"Location": "/up/1", "OCI-Chunk-Min-Length": "500000"}
    server.answer = lambda asked: Say(status=202, headers=wanted) if asked.method == "POST" else uploads(asked)
    make_client().client.push_blob(ref(server), Content.of_bytes(BLOB), chunk=10)
    assert [len(one.body) for one in server.asked if one.method == "PATCH"] == [500_000, 500_000, 48_576]


def test_a_file_is_pushed_without_being_held_in_memory(make_client: MakeClient, fake: MakeFake, tmp_path: Path) -> None:
    (tmp_path / "layer").write_bytes(BLOB)
    uploads = Uploads()
    make_client().client.push_blob(ref(fake(uploads)), Content.of_file(tmp_path / "layer"))
    assert uploads.stored == {digest_of(BLOB)}


def test_a_refused_manifest_is_told_in_the_registrys_words(make_client: MakeClient, fake: MakeFake) -> None:
    server = fake(lambda _: Say.error(400, "MANIFEST_INVALID", "no such\x1b[31m schema\n"))
    with pytest.raises(Refused, match="no such") as caught:
        make_client().client.put_manifest(ref(server), RAW, mediatype.OCI_INDEX)
    assert "\x1b" not in str(caught.value)


def test_redirects_without_end_are_given_up(make_client: MakeClient, fake: MakeFake) -> None:
    server = fake(lambda asked: Say(status=307, headers={"Location": asked.path}))
    with pytest.raises(Unreachable, match="without end"):
        make_client().client.manifest(ref(server))


@pytest.mark.parametrize("location", ["", "ftp://x/", "http://user:pw@127.0.0.1/", "http://[", "http://x:port/"])
def test_a_redirect_to_no_address_is_refused(make_client: MakeClient, fake: MakeFake, location: str) -> None:
    server = fake(lambda _: Say(status=307, headers={"Location": location}))
    with pytest.raises(TaskEngineError, match="no address"):
        make_client().client.manifest(ref(server))


def test_cookies_are_not_kept(make_client: MakeClient, fake: MakeFake) -> None:
    server = fake(lambda _: Say(body=RAW, headers={**MANIFEST.headers, "Set-Cookie": "a=b"}))
    client = make_client().client
    client.manifest(ref(server))
    client.manifest(ref(server))
    assert [one.headers.get("Cookie") for one in server.asked] == [None, None]


def test_a_web_page_is_no_registry(make_client: MakeClient, fake: MakeFake) -> None:
    server = fake(lambda _: Say(status=404, body=b"<html>nothing here</html>"))
    with pytest.raises(NotFound) as caught:
        make_client().client.resolve(ref(server))
    assert "is a registry" in (caught.value.hint or "")
    with pytest.raises(Unreachable, match="which no registry does"):
        make_client().client.ping(server.name)


def test_many_threads_share_one_client(make_client: MakeClient, fake: MakeFake) -> None:
    from concurrent.futures import ThreadPoolExecutor

    server = fake(lambda _: MANIFEST)
    client = make_client().client
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: client.resolve(ref(server)).digest, range(40)))
    assert set(found) == {DIGEST}


def test_a_copy_that_fails_leaves_no_manifest(make_client: MakeClient, fake: MakeFake) -> None:
    blob = {"digest": digest_of(b"x"), "size": 1, "mediaType": mediatype.OCI_CONFIG}
    document = {"schemaVersion": 2, "mediaType": mediatype.OCI_MANIFEST, "config": blob, "layers": []}

    def answer(asked: Asked) -> Say:
        if "/manifests/" in asked.path:
            return Say.json(document, 200, Content_Type=mediatype.OCI_MANIFEST)
        return Say(body=b"y")

    source: Fake = fake(answer)
    target = fake(Uploads())
    with pytest.raises(BrokenContent):
        make_client().client.copy(ref(source), ref(target))
    assert target.count("PUT", "/manifests/") == 0
