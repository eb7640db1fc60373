"""The client against a real registry: Debian's docker-registry, without a login."""

from __future__ import annotations

import json

import pytest

from taskengine.errors import InvalidInput, Unreachable
from taskengine.registry import mediatype
from taskengine.registry.body import Content
from taskengine.registry.client import RegistryClient
from taskengine.registry.content import BrokenContent
from taskengine.registry.digest import digest_of
from taskengine.registry.endpoint import HostConfig, Registries
from taskengine.registry.failure import NotFound, Refused, Unsupported
from taskengine.registry.reference import ImageReference
from tests.registry.conftest import LAYER, MakeClient, push_image, push_index, ref
from tests.support.registry import Registry, free_port


def test_a_tag_resolves_to_digest_type_and_size(client: RegistryClient, plain: Registry) -> None:
    pushed = push_image(client, ref(plain))
    found = client.resolve(ref(plain))
    assert (found.digest, found.media_type, found.size) == (pushed.digest, mediatype.OCI_MANIFEST, pushed.size)


def test_a_manifest_comes_byte_for_byte(client: RegistryClient, plain: Registry) -> None:
    pushed = push_image(client, ref(plain, "bytes:1"))
    manifest = client.manifest(ref(plain, "bytes:1"))
    assert digest_of(manifest.raw) == manifest.digest == pushed.digest
    assert [layer.size for layer in manifest.layers] == [len("layer")]


def test_an_unchanged_tag_is_no_news(client: RegistryClient, plain: Registry) -> None:
    where = ref(plain, "news:1")
    first = push_image(client, where, "one")
    assert client.changed(where, first.digest) is None
    second = push_image(client, where, "two")
    assert client.changed(where, first.digest) == client.resolve(where)
    assert client.changed(where, second.digest) is None


def test_the_image_of_a_platform_is_found_in_an_index(client: RegistryClient, plain: Registry) -> None:
    where = ref(plain, "many:1")
    push_index(client, where, "linux/amd64", "linux/arm64")
    found = client.platform_manifest(where, "linux/aarch64")
    assert found.platform == "linux/arm64"
    assert client.manifest(where.with_digest(found.digest)).layers[0].digest == digest_of(b"layer for linux/arm64")


def test_a_platform_that_an_index_lacks_is_named_with_those_it_has(client: RegistryClient, plain: Registry) -> None:
    where = ref(plain, "few:1")
    push_index(client, where, "linux/amd64")
    with pytest.raises(NotFound, match="no image for linux/s390x") as caught:
        client.platform_manifest(where, "linux/s390x")
    assert caught.value.hint == "it has: linux/amd64"


def test_a_configuration_is_read_through_an_index(client: RegistryClient, plain: Registry) -> None:
    where = ref(plain, "config:1")
    push_index(client, where, "linux/amd64")
    assert client.config(where)["architecture"] == "amd64"


def test_what_is_not_there_is_not_found_with_a_hint(client: RegistryClient, plain: Registry) -> None:
    with pytest.raises(NotFound, match="nowhere/image:1") as caught:
        client.resolve(ref(plain, "nowhere/image:1"))
    assert caught.value.hint
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("chunk", [0, 100_000])
def test_a_blob_goes_up_whole_or_in_chunks_and_comes_back(client: RegistryClient, plain: Registry, chunk: int) -> None:
    content = Content.of_bytes(bytes(range(256)) * 1500 + str(chunk).encode())
    where = ref(plain, f"blob{chunk}:1")
    assert not client.exists(where, content.digest)
    pushed = client.push_blob(where, content, chunk=chunk)
    assert client.exists(where, content.digest)
    assert b"".join(client.blob(where, pushed)) == b"".join(content.pieces())


def test_an_empty_blob_is_a_blob(client: RegistryClient, plain: Registry) -> None:
    pushed = client.push_blob(ref(plain, "empty:1"), Content.of_bytes(b""))
    assert b"".join(client.blob(ref(plain, "empty:1"), pushed.digest)) == b""


def test_a_part_of_a_blob_can_be_read(client: RegistryClient, plain: Registry) -> None:
    where = ref(plain, "part:1")
    pushed = client.push_blob(where, Content.of_bytes(b"0123456789"))
    assert b"".join(client.blob(where, pushed, start=3, length=4)) == b"3456"
    assert b"".join(client.blob(where, pushed, start=8)) == b"89"
    assert b"".join(client.blob(where, pushed, start=8, length=100)) == b"89"


def test_a_blob_with_another_digest_than_promised_is_refused(client: RegistryClient, plain: Registry) -> None:
    lie = Content(digest=digest_of(b"one thing"), size=7, pieces=lambda: iter([b"another"]))
    with pytest.raises(Refused):
        client.push_blob(ref(plain, "lie:1"), lie)
    assert not client.exists(ref(plain, "lie:1"), lie.digest)


def test_a_blob_is_mounted_from_another_repository(client: RegistryClient, plain: Registry) -> None:
    content = Content.of_bytes(b"to be mounted")
    client.push_blob(ref(plain, "from/here:1"), content)
    assert client.mount(ref(plain, "to/there:1"), content.digest, "from/here")
    assert client.exists(ref(plain, "to/there:1"), content.digest)


def test_a_blob_that_is_nowhere_cannot_be_mounted(client: RegistryClient, plain: Registry) -> None:
    assert not client.mount(ref(plain, "to/there:1"), digest_of(b"nowhere"), "from/here")


def test_tags_are_listed(client: RegistryClient, plain: Registry) -> None:
    for tag in ("a", "b", "c"):
        push_image(client, ref(plain, f"tagged:{tag}"))
    assert sorted(client.tags(ref(plain, "tagged:a"))) == ["a", "b", "c"]


def test_a_manifest_is_deleted_by_digest_with_its_tags(client: RegistryClient, plain: Registry) -> None:
    where = ref(plain, "gone:1")
    pushed = push_image(client, where)
    client.delete(where.with_digest(pushed.digest))
    with pytest.raises(NotFound):
        client.resolve(where)
    assert list(client.tags(where)) == []


def test_a_registry_that_deletes_no_tags_says_so(client: RegistryClient, plain: Registry) -> None:
    push_image(client, ref(plain, "kept:1"))
    with pytest.raises(Unsupported) as caught:
        client.delete(ref(plain, "kept:1"))
    assert "delete the digest" in (caught.value.hint or "")


def test_a_blob_is_deleted(client: RegistryClient, plain: Registry) -> None:
    where, content = ref(plain, "blobless:1"), Content.of_bytes(b"short-lived")
    client.push_blob(where, content)
    client.delete_blob(where, content.digest)
    assert not client.exists(where, content.digest)


def test_a_manifest_is_not_put_under_another_digest(client: RegistryClient, plain: Registry) -> None:
    with pytest.raises(InvalidInput, match="the manifest is sha256"):
        client.put_manifest(ref(plain).with_digest(digest_of(b"x")), b"{}", mediatype.OCI_MANIFEST)


def test_what_is_attached_is_found_by_the_tag_scheme(client: RegistryClient, plain: Registry) -> None:
    where = ref(plain, "signed:1")
    image = push_image(client, where)
    kinds = ("application/vnd.example.signature", "application/vnd.example.statement")
    for number, kind in enumerate(kinds):
        push_image(client, where.with_tag(f"r{number}"), kind, subject=image.as_json(), artifactType=kind)
    assert [one.artifact_type for one in client.referrers(where, image.digest)] == list(kinds)
    assert [one.artifact_type for one in client.referrers(where, image.digest, kinds[1])] == [kinds[1]]
    assert client.referrers(where, digest_of(b"nothing is attached to this")) == ()


def test_an_index_is_copied_to_another_registry(client: RegistryClient, plain: Registry, other: Registry) -> None:
    src, dst = ref(plain, "source:1"), ref(other, "copied/here:2")
    index = push_index(client, src, "linux/amd64", "linux/arm64")
    done = client.copy(src, dst)
    assert done.descriptor.digest == index.digest == client.resolve(dst).digest
    assert (done.manifests, done.sent, done.mounted) == (4, 4, 0)
    image = client.platform_manifest(dst, "linux/arm64")
    assert client.config(dst.with_digest(image.digest))["os"] == "linux"


def test_a_second_copy_sends_nothing(client: RegistryClient, plain: Registry, other: Registry) -> None:
    src, dst = ref(plain, "twice:1"), ref(other, "twice:1")
    push_image(client, src, "copied twice")
    assert client.copy(src, dst).sent == 2
    assert client.copy(src, dst).sent == 0


def test_a_copy_within_a_registry_mounts_and_sends_nothing(client: RegistryClient, plain: Registry) -> None:
    src, dst = ref(plain, "near:1"), ref(plain, "nearby:1")
    push_image(client, src, "mounted, not sent")
    done = client.copy(src, dst)
    assert (done.sent, done.mounted) == (0, 2)
    assert client.resolve(dst) == client.resolve(src)


def test_a_copy_takes_what_is_attached_along_when_asked(
    client: RegistryClient, plain: Registry, other: Registry
) -> None:
    src, dst = ref(plain, "attested:1"), ref(other, "attested:1")
    image = push_image(client, src)
    kind = "application/vnd.example.statement"
    push_image(client, src.with_tag("r"), "statement", subject=image.as_json(), artifactType=kind)
    client.copy(src, dst)
    assert client.referrers(dst, image.digest) == ()
    client.copy(src, dst, referrers=True)
    assert [one.artifact_type for one in client.referrers(dst, image.digest)] == [kind]


def test_a_registry_answers_a_ping(client: RegistryClient, plain: Registry) -> None:
    answered = client.ping(plain.name)
    assert (answered.address, answered.logged_in, answered.wants_login) == (plain.url, False, False)


def test_a_registry_that_is_not_there_is_unreachable(make_client: MakeClient) -> None:
    made = make_client(tries=3, first_pause=0.5)
    nowhere = ImageReference.parse(f"127.0.0.1:{free_port()}/image:1")
    with pytest.raises(Unreachable, match="connection was refused") as caught:
        made.client.resolve(nowhere)
    assert caught.value.exit_code == 3
    assert made.pauses == [0.5, 1.0]


def test_a_mirror_is_asked_first_and_the_registry_when_it_has_nothing(
    make_client: MakeClient, plain: Registry, other: Registry
) -> None:
    hosts = {plain.name: HostConfig(mirrors=(other.url,))}
    made = make_client(registries=Registries(hosts=hosts))
    there, here = ref(other, "mirrored:1"), ref(plain, "mirrored:1")
    in_mirror = push_image(make_client().client, there, "in the mirror")
    assert made.client.resolve(here).digest == in_mirror.digest
    only_here = push_image(make_client().client, ref(plain, "unmirrored:1"), "not in the mirror")
    assert made.client.resolve(ref(plain, "unmirrored:1")).digest == only_here.digest


def test_a_mirror_that_is_down_is_told_once_and_left_alone(make_client: MakeClient, plain: Registry) -> None:
    hosts = {plain.name: HostConfig(mirrors=(f"http://127.0.0.1:{free_port()}",))}
    made = make_client(registries=Registries(hosts=hosts))
    where = ref(plain, "without-mirror:1")
    pushed = push_image(make_client().client, where)
    assert made.client.resolve(where).digest == made.client.manifest(where).digest == pushed.digest
    assert len(made.notices) == 1
    assert "mirror" in made.notices[0]


def test_a_manifest_names_each_blob_once(client: RegistryClient, plain: Registry) -> None:
    where = ref(plain, "same:1")
    layer = client.push_blob(where, Content.of_bytes(b"again and again", LAYER)).as_json()
    config = client.push_blob(where, Content.of_bytes(b"{}", mediatype.OCI_CONFIG)).as_json()
    document = {"schemaVersion": 2, "mediaType": mediatype.OCI_MANIFEST, "config": config, "layers": [layer, layer]}
    client.put_manifest(where, json.dumps(document).encode(), mediatype.OCI_MANIFEST)
    assert len(client.manifest(where).blobs) == 2


def test_a_small_blob_has_a_limit(client: RegistryClient, plain: Registry) -> None:
    pushed = client.push_blob(ref(plain, "large:1"), Content.of_bytes(b"x" * 100))
    with pytest.raises(BrokenContent, match="larger than 99 bytes"):
        client.blob_bytes(ref(plain, "large:1"), pushed, 99)
