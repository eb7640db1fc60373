"""`acr-task image` against a real registry without an engine."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import yaml

from taskengine.registry.artifact import Artifact
from taskengine.registry.client import RegistryClient
from taskengine.registry.content import Descriptor
from taskengine.registry.failure import NotFound
from taskengine.registry.reference import ImageReference
from tests.cli.conftest import Outcome
from tests.registry.conftest import push_image, push_index
from tests.support.registry import Registry, free_port

Cli = Callable[..., Outcome]
KIND = "application/vnd.example.statement"


@pytest.fixture
def ref(registry: Registry, request: pytest.FixtureRequest) -> ImageReference:
    """A repository of the test's own, with the tag 1."""
    return ImageReference.parse(f"{registry.name}/{request.node.name.split('[')[0]}:1")


def attach(client: RegistryClient, ref: ImageReference, image: Descriptor) -> str:
    artifact = Artifact(kind=KIND, media_type="application/json", document=b"{}")
    return client.attach(ref, image, [artifact]).referrers[0].digest


def test_an_image_is_shown_with_its_size_and_what_is_attached(
    cli: Cli, client: RegistryClient, ref: ImageReference
) -> None:
    image = push_image(client, ref, "eight by")
    attached = attach(client, ref, image)
    found = json.loads(cli("image", "show", str(ref), "-o", "json").out)
    assert found["digest"] == image.digest
    config = len(b'{"os":"linux","architecture":"amd64"}')
    assert found["images"] == [{"platform": "linux/amd64", "digest": image.digest, "size": config + 8}]
    assert [(one["artifactType"], one["digest"]) for one in found["attached"]] == [(KIND, attached)]
    words = cli("image", "show", str(ref)).out
    assert image.digest in words
    assert KIND in words


def test_an_index_is_shown_with_its_platforms_and_without_attestations(
    cli: Cli, client: RegistryClient, ref: ImageReference
) -> None:
    push_index(client, ref, "linux/amd64", "linux/arm64")
    found = yaml.safe_load(cli("image", "show", str(ref), "-o", "yaml").out)
    assert [one["platform"] for one in found["images"]] == ["linux/amd64", "linux/arm64"]
    assert len(cli("image", "show", str(ref), "-o", "tsv").out.splitlines()) == 2


def test_an_artifact_that_is_no_image_is_shown(cli: Cli, client: RegistryClient, ref: ImageReference) -> None:
    attached = attach(client, ref, push_image(client, ref))
    found = json.loads(cli("image", "show", str(ref.with_digest(attached)), "-o", "json").out)
    assert found["images"][0]["platform"] == ""


def test_tags_are_listed_without_those_that_only_list_attachments(
    cli: Cli, client: RegistryClient, ref: ImageReference
) -> None:
    for tag in ("b", "a"):
        image = push_image(client, ref.with_tag(tag))
    attach(client, ref, image)
    assert cli("image", "tags", ref.name).out == "a\nb\n"
    assert json.loads(cli("image", "tags", ref.name, "-o", "json").out) == ["a", "b"]
    assert len(cli("image", "tags", "--all", ref.name).out.splitlines()) == 3


@pytest.mark.parametrize("referrers", [False, True])
def test_a_copy_keeps_the_digest(cli: Cli, client: RegistryClient, ref: ImageReference, referrers: bool) -> None:
    image = push_image(client, ref, "copied")
    attach(client, ref, image)
    target = ImageReference.parse(f"{ref.name}-copy-{referrers}:2".lower())
    done = cli("image", "copy", *(["--referrers"] if referrers else []), str(ref), str(target), "-o", "json")
    assert json.loads(done.out)["digest"] == image.digest == client.resolve(target).digest
    assert len(client.referrers(target, image.digest)) == referrers
    assert "there already" in cli("image", "copy", str(ref), str(target)).out


def test_an_image_is_deleted_with_all_of_its_tags(cli: Cli, client: RegistryClient, ref: ImageReference) -> None:
    image = push_image(client, ref, "deleted")
    push_image(client, ref.with_tag("2"), "deleted")
    attached = attach(client, ref, image)
    done = cli("image", "delete", "--yes", str(ref))
    assert done.code == 0
    assert f"deleted {ref.familiar_name}@{image.digest}" in done.err
    assert "1 artifacts that were attached" in done.err
    with pytest.raises(NotFound):
        client.resolve(ref.with_tag("2"))
    assert client.resolve(ref.with_digest(attached))


def test_what_is_attached_is_deleted_on_request(cli: Cli, client: RegistryClient, ref: ImageReference) -> None:
    image = push_image(client, ref, "deleted whole")
    attached = attach(client, ref, image)
    assert cli("image", "delete", "-y", "--referrers", str(ref)).code == 0
    assert client.referrers(ref, image.digest) == ()
    with pytest.raises(NotFound):
        client.resolve(ref.with_digest(attached))


def test_nothing_is_deleted_when_nobody_can_be_asked(cli: Cli, client: RegistryClient, ref: ImageReference) -> None:
    image = push_image(client, ref)
    done = cli("image", "delete", str(ref))
    assert (done.code, "--yes" in done.err) == (2, True)
    assert client.resolve(ref).digest == image.digest


@pytest.mark.parametrize("verb", ["show", "tags", "delete"])
def test_what_is_not_there_is_wrong_input(cli: Cli, ref: ImageReference, verb: str) -> None:
    done = cli("image", verb, str(ref))
    assert done.code == 2
    assert "hint:" in done.err


def test_a_registry_that_is_away_is_unreachable(cli: Cli) -> None:
    assert cli("image", "tags", f"127.0.0.1:{free_port()}/app").code == 3


def test_an_unknown_verb_is_answered_with_the_nearest(cli: Cli) -> None:
    done = cli("image", "shwo")
    assert done.code == 2
    assert "'show'" in done.err


def test_the_group_alone_shows_its_commands(cli: Cli) -> None:
    for args in (("image",), ("image", "--help")):
        done = cli(*args)
        assert (done.code, done.err) == (0, "")
        assert "Copy an image, with all of its platforms" in done.out
