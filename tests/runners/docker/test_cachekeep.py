"""An engine that writes caches itself (buildkitd, Docker with containerd's store) is asked to, once per build."""

from __future__ import annotations

from typing import Any, cast

import pytest

from runners.docker.buildkit import BuildFailed, BuildKit, BuildOutcome, BuildRequest, Empty, RegistryCache
from runners.docker.cachekeep import Built, CacheKeeper
from taskengine.plan.cachetarget import cache_target
from taskengine.runner import Cancel

TARGET = cache_target("type=registry,ref=reg.io/app:c,mode=max")


class Client:
    """A BuildKit that only takes requests, and ends each as it is told."""

    def __init__(self, error: str = "") -> None:
        self.asked: list[BuildRequest] = []
        self._error = error

    def build(self, request: BuildRequest, **_: Any) -> BuildOutcome:
        self.asked.append(request)
        if self._error:
            raise BuildFailed(self._error)
        return BuildOutcome(image_id="")


def keep(client: Client, *builds: Built) -> list[tuple[str, str]]:
    told: list[tuple[str, str]] = []
    keeper = CacheKeeper(cast(Any, None), cast(Any, None), cast(Any, None))
    keeper.keep(
        [TARGET], builds, cast(BuildKit, client), cancel=Cancel(), tell=lambda level, text: told.append((level, text))
    )
    return told


@pytest.fixture
def built() -> Built:
    request = BuildRequest(context=Empty(), tags=("reg.io/app:1",), platform="linux/amd64", inline_cache=True)
    return Built(request=request, dockerfile=b"FROM scratch\n", image_id="sha256:1", ran=("[2/2] RUN x",))


def test_it_writes_all_stages_and_leaves_no_second_image(built: Built) -> None:
    client = Client()
    assert keep(client, built) == [("info", "kept the layers of the build in the cache reg.io/app:c")]
    [asked] = client.asked
    assert asked.registry_cache == RegistryCache(reference="reg.io/app:c", all_stages=True)
    assert (asked.exported, asked.tags, asked.inline_cache) == (False, (), False)


def test_a_registry_that_refuses_is_a_warning(built: Built) -> None:
    [(level, text)] = keep(Client("error writing layer blob: 403 Forbidden"), built)
    assert level == "warning"
    assert "the cache reg.io/app:c was not written: error writing layer blob" in text


def test_of_several_platforms_it_keeps_the_first_and_says_so(built: Built) -> None:
    _, (level, text) = keep(Client(), built, built)
    assert (level, "holds linux/amd64 only" in text) == ("info", True)
