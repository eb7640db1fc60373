"""What is attached to an image: by the referrers API of the specification, and by the tag scheme under many writers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from taskengine.errors import Unreachable
from taskengine.registry import mediatype, tagscheme
from taskengine.registry.artifact import Artifact
from taskengine.registry.client import RegistryClient
from taskengine.registry.content import Descriptor
from taskengine.registry.failure import NotFound
from tests.registry.conftest import MakeClient, MakeFake, push_image, ref
from tests.registry.fake import Asked, Say
from tests.registry.memory import MemoryRegistry
from tests.support.registry import Registry

KIND = "application/vnd.example.statement"


def artifact(text: str, kind: str = KIND) -> Artifact:
    return Artifact(kind=kind, media_type="application/json", document=json.dumps({"text": text}).encode())


@pytest.fixture(params=["tag scheme", "API", "API by pages that filters nothing"])
def somewhere(request: pytest.FixtureRequest, plain: Registry) -> Iterator[Registry | MemoryRegistry]:
    """A registry without the referrers API, and ones that have it."""
    if request.param == "tag scheme":
        yield plain
        return
    made = MemoryRegistry() if request.param == "API" else MemoryRegistry(page=1, filters=False)
    yield made
    made.close()


def test_what_is_attached_is_found_with_its_type_and_annotations(
    client: RegistryClient, somewhere: Registry | MemoryRegistry
) -> None:
    where = ref(somewhere, "attached/found:1")
    image = push_image(client, where)
    one = Artifact(kind=KIND, media_type="application/json", document=b"{}", annotations={"a": "b"})
    client.attach(where, image, [one, artifact("another", "application/vnd.example.other")])
    found = client.referrers(where, image.digest, KIND)
    assert [(each.artifact_type, each.annotations) for each in found] == [(KIND, {"a": "b"})]
    assert len(client.referrers(where, image.digest)) == 2
    manifest = client.manifest(where.with_digest(found[0].digest))
    assert manifest.subject is not None
    assert manifest.subject.digest == image.digest
    assert client.blob_bytes(where, manifest.layers[0], 100) == b"{}"


def test_attaching_leaves_the_image_what_it_was(client: RegistryClient, somewhere: Registry | MemoryRegistry) -> None:
    where = ref(somewhere, "attached/same:1")
    image = push_image(client, where)
    client.attach(where, image, [artifact("x")])
    found = client.resolve(where)
    assert (found.digest, found.media_type) == (image.digest, mediatype.OCI_MANIFEST)


def test_only_a_registry_without_the_api_gets_a_tag(
    client: RegistryClient, somewhere: Registry | MemoryRegistry
) -> None:
    where = ref(somewhere, "attached/tag:1")
    image = push_image(client, where)
    done = client.attach(where, image, [artifact("x")])
    expected = tagscheme.fallback_tag(image.digest) if isinstance(somewhere, Registry) else ""
    assert done.tag == expected
    assert set(client.tags(where)) == {"1"} | ({expected} if expected else set())


def test_attaching_the_same_again_changes_nothing(client: RegistryClient, somewhere: Registry | MemoryRegistry) -> None:
    where = ref(somewhere, "attached/again:1")
    image = push_image(client, where)
    first = client.attach(where, image, [artifact("x")])
    assert client.attach(where, image, [artifact("x")]) == first
    assert len(client.referrers(where, image.digest)) == 1


def test_what_is_deleted_is_attached_no_more(client: RegistryClient, somewhere: Registry | MemoryRegistry) -> None:
    where = ref(somewhere, "attached/deleted:1")
    image = push_image(client, where)
    gone, stays = client.attach(where, image, [artifact("goes"), artifact("stays")]).referrers
    client.delete(where.with_digest(gone.digest))
    assert [one.digest for one in client.referrers(where, image.digest)] == [stays.digest]
    with pytest.raises(NotFound):
        client.delete(where.with_digest(gone.digest))


def test_many_writers_at_once_lose_nothing(plain: Registry) -> None:
    where = ref(plain, "attached/crowd:1")
    with RegistryClient() as client:
        image = push_image(client, where)
        client.attach(where, image, [artifact("was there before")])

    def write(number: int) -> str:
        with RegistryClient() as mine:
            return mine.attach(where, image, [artifact(f"writer {number}")]).referrers[0].digest

    with ThreadPoolExecutor(8) as pool:
        wrote = set(pool.map(write, range(12)))
    with RegistryClient() as client:
        listed = {one.digest for one in client.referrers(where, image.digest)}
    assert wrote <= listed
    assert len(listed) == 13


class Contested:
    """The tag scheme's index on a registry where somebody else writes at chosen moments. Keeps what was put."""

    def __init__(self, *others: bytes | None) -> None:
        self.raw: bytes | None = None
        self.others = list(others)
        self.puts: list[bytes] = []

    def answer(self, asked: Asked) -> Say:
        if asked.method == "PUT":
            self.puts.append(asked.body)
            self.raw = asked.body
            return Say(status=201)
        if asked.method == "GET" and self.others:
            other = self.others.pop(0)
            self.raw = self.raw if other is None else other
        if self.raw is None:
            return Say.error(404, "MANIFEST_UNKNOWN")
        return Say(body=self.raw, headers={"Content-Type": mediatype.OCI_INDEX})


DIGEST = "sha256:" + "ab" * 32
OURS, THEIRS, EARLIER = (
    tagscheme.index_of([one]).manifests[0]
    for one in (
        Descriptor(digest="sha256:" + letter * 64, media_type=mediatype.OCI_MANIFEST, size=1) for letter in "123"
    )
)


def add(make_client: MakeClient, fake: MakeFake, contest: Contested) -> set[str]:
    server = fake(contest.answer)
    client = make_client().client
    tagscheme.add(client._site(ref(server)), DIGEST, [OURS])
    return {one.digest for one in tagscheme.find(client._site(ref(server)), DIGEST)}


def test_an_entry_that_another_writer_undid_is_entered_again(make_client: MakeClient, fake: MakeFake) -> None:
    earlier, theirs = tagscheme.index_of([EARLIER]).raw, tagscheme.index_of([EARLIER, THEIRS]).raw
    # read; looked at once more before the write; then the other writer's index stands there instead of ours
    contest = Contested(earlier, None, None, theirs)
    assert add(make_client, fake, contest) == {OURS.digest, THEIRS.digest, EARLIER.digest}
    assert len(contest.puts) == 2


def test_an_index_that_changed_since_it_was_read_is_not_overwritten(make_client: MakeClient, fake: MakeFake) -> None:
    earlier, theirs = tagscheme.index_of([EARLIER]).raw, tagscheme.index_of([EARLIER, THEIRS]).raw
    contest = Contested(earlier, theirs)
    assert add(make_client, fake, contest) == {OURS.digest, THEIRS.digest, EARLIER.digest}
    assert len(contest.puts) == 1


def test_what_others_lost_comes_back_with_ours(make_client: MakeClient, fake: MakeFake) -> None:
    contest = Contested(tagscheme.index_of([EARLIER]).raw, tagscheme.index_of([THEIRS]).raw)
    assert add(make_client, fake, contest) == {OURS.digest, THEIRS.digest, EARLIER.digest}


def test_a_list_that_never_comes_to_rest_is_given_up(
    make_client: MakeClient, fake: MakeFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tagscheme, "_MOST_LOOKS", 5)
    contest = Contested(*([tagscheme.index_of([THEIRS]).raw, tagscheme.index_of([EARLIER]).raw] * 20))
    with pytest.raises(Unreachable, match="all the time"):
        add(make_client, fake, contest)


def test_the_whole_life_of_an_image_under_each_login(logged_in: tuple[RegistryClient, Registry]) -> None:
    mine, registry = logged_in
    where, there = ref(registry, "life/app:1"), ref(registry, "life/copy:1")
    image = push_image(mine, where, f"whole life on {registry.name}")
    attached = mine.attach(where, image, [artifact("statement")])
    assert (mine.resolve(where).digest, set(mine.tags(where))) == (image.digest, {"1", attached.tag})
    copied = mine.copy(where, there, referrers=True)
    assert (copied.descriptor.digest, copied.sent) == (image.digest, 0)
    assert mine.referrers(there, image.digest) == attached.referrers
    mine.delete(where.with_digest(image.digest))
    with pytest.raises(NotFound):
        mine.resolve(where)
    assert mine.resolve(there).digest == image.digest
