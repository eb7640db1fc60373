"""Layer caches: on the engine across runs, in the registry across engines; and what is said of them."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from taskengine.runs.event import StepProgress
from tests.runners.docker.conftest import Outcome, RunTask, allow, forget, get, login, said
from tests.support.engine import Engine, OwnEngine
from tests.support.registry import Login, Registry

DOCKERFILE = """\
FROM busybox:1 AS deps
COPY dep /dep
RUN echo deps > /deps
FROM busybox:1
RUN echo without a name > /u
FROM deps AS build
COPY app /app
RUN cat /app /deps > /out
FROM busybox:1
COPY --from=build /out /out
COPY --from=1 /u /u
RUN cat /out /u
"""
STEPS = 8


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "ctx"
    folder.mkdir()
    (folder / "Dockerfile").write_text(DOCKERFILE)
    (folder / "dep").write_text(f"{tmp_path}\n")  # layers of its own for each test
    (folder / "app").write_text("1\n")
    return folder


def cached_build(name: str, *, cache: str = "enabled", options: str = "") -> str:
    return f"steps:\n  - {{id: b, build: {options} -t {name}:1 ., cache: {cache}}}\n"


def cached_names(done: Outcome) -> set[str]:
    return {
        e.name for e in done.events if isinstance(e, StepProgress) and e.status == "cached" and "FROM" not in e.name
    }


def test_a_rebuild_with_nothing_changed_does_no_work_and_says_so(run_task: RunTask, context: Path) -> None:
    text = "steps:\n  - {id: b, build: -t rebuilt:1 .}\n"
    first = run_task(text, context=context)
    again = run_task(text, context=context)
    assert first.step("b").note == ""
    assert again.step("b").note == f"nothing changed: {STEPS} of {STEPS} steps cached"
    assert first.step("b").images[0].image_id == again.step("b").images[0].image_id


def test_a_rebuild_with_a_change_says_how_much_was_cached(run_task: RunTask, context: Path) -> None:
    text = "steps:\n  - {id: b, build: -t rebuilt:2 .}\n"
    run_task(text, context=context)
    (context / "app").write_text("2\n")
    assert run_task(text, context=context).step("b").note == f"3 of {STEPS} steps cached"


def test_with_the_cache_enabled_a_fresh_engine_need_not_build_anything(
    run_task: RunTask, fresh_engine: Callable[..., OwnEngine], context: Path, tmp_path: Path
) -> None:
    engine = fresh_engine(registry=True)
    allow(tmp_path, engine.registry_shared)
    name = f"{engine.registry_shared}/fresh/app"
    first = run_task(cached_build(name), context=context, on=engine)
    assert f"no cache yet at {name}:cache_quickrun_b" in said(first)
    assert f"kept the layers of 3 stages in the cache {name}:cache_quickrun_b" in said(first)
    assert said(first, "warning") == []

    forget(engine)
    (context / "app").write_text("changed\n")
    changed = run_task(cached_build(name) + f"  - {{id: c, cmd: '{name}:1 cat /out'}}\n", context=context, on=engine)
    # the stages below the change, one of them without a name, come out of the cache; the image can be used
    assert cached_names(changed) == {"[deps 2/3] COPY dep /dep", "[deps 3/3] RUN echo deps > /deps",
                                     "[stage-1 2/2] RUN echo without a name > /u"}  # fmt: skip
    assert changed.text("c") == "changed\ndeps\n"
    assert any("not in it, though all before it was: [build 1/2] COPY app /app" in text for text in said(changed))


def test_the_image_itself_is_the_same_with_and_without_a_cache(
    run_task: RunTask, reachable: Engine, context: Path
) -> None:
    name = f"{reachable.registry_shared}/same/app"
    plain = run_task(f"steps:\n  - {{id: b, build: -t {name}:1 .}}\n", context=context)
    cached = run_task(cached_build(name), context=context)
    assert plain.step("b").images[0].image_id == cached.step("b").images[0].image_id


def test_nothing_but_the_cache_itself_is_left_behind(run_task: RunTask, reachable: Engine, context: Path) -> None:
    name = f"{reachable.registry_shared}/tidy/app"
    before = reachable.images(), len(reachable.api.images(filters={"dangling": True}))
    run_task(cached_build(name), context=context)
    assert reachable.images() - before[0] == {f"{name}:1"}
    assert len(reachable.api.images(filters={"dangling": True})) == before[1]


def test_without_the_cache_nothing_is_written_to_the_registry(
    run_task: RunTask, reachable: Engine, context: Path
) -> None:
    for setting in ("disabled", "''"):
        done = run_task(cached_build(f"{reachable.registry_shared}/off/app", cache=setting), context=context)
        assert done.status == "Succeeded"
        assert said(done) == []
    with pytest.raises(urllib.error.HTTPError) as caught:
        get(reachable.registry_url, "off/app/tags/list")
    assert caught.value.code == 404


def test_mode_min_keeps_the_built_stage_as_one_image(run_task: RunTask, reachable: Engine, context: Path) -> None:
    name = f"{reachable.registry_shared}/min/app"
    done = run_task(
        f"steps:\n  - {{id: b, build: '--cache-to type=registry,ref={name}:c -t {name}:1 .'}}\n", context=context
    )
    assert f"kept the layers of the built stage in the cache {name}:c" in said(done)
    assert "config" in get(reachable.registry_url, "min/app/manifests/c")


def test_an_inline_cache_travels_in_the_image(
    run_task: RunTask, fresh_engine: Callable[..., OwnEngine], context: Path
) -> None:
    engine = fresh_engine(registry=True)
    name = f"{engine.registry}/inline/app"
    text = f"steps:\n  - {{id: b, build: '--cache-to type=inline --cache-from {name}:1 -t {name}:1 .'}}\n"
    run_task(text + f"  - {{id: p, push: ['{name}:1']}}\n", context=context, on=engine)
    forget(engine)
    again = run_task(text, context=context, on=engine)
    assert again.step("b").note == f"nothing changed: {STEPS} of {STEPS} steps cached"


def test_a_private_registry_is_used_with_the_users_login(
    run_task: RunTask, fresh_engine: Callable[..., OwnEngine], context: Path, tmp_path: Path
) -> None:
    engine = fresh_engine(registry=True)
    private = engine.add_registry(login=Login(user="keeper", password="a secret:word"))
    allow(tmp_path, private.shared_name)
    login(engine, private)
    engine_push(engine, private, "busybox:1", "base/private:1")
    (context / "Dockerfile").write_text(DOCKERFILE.replace("busybox:1", f"{private.shared_name}/base/private:1"))
    name = f"{private.shared_name}/team/app"
    first = run_task(cached_build(name), context=context, on=engine)
    assert said(first, "warning") == []
    forget(engine)
    again = run_task(cached_build(name), context=context, on=engine)
    assert again.step("b").note == f"nothing changed: {STEPS} of {STEPS} steps cached"

    # the same without a login: a warning, and the build goes on
    (context / "Dockerfile").write_text(DOCKERFILE)
    refused = run_task(
        cached_build(name), context=context, on=engine, environ={"DOCKER_CONFIG": str(tmp_path / "no-logins")}
    )
    assert refused.status == "Succeeded"
    warnings = said(refused, "warning")
    assert [w for w in warnings if "was not read" in w], said(refused)
    assert [w for w in warnings if "was not written" in w], said(refused)


def engine_push(engine: Engine, registry: Registry, image: str, name: str) -> None:
    repository, _, tag = f"{registry.shared_name}/{name}".rpartition(":")
    engine.api.tag(image, repository, tag)
    auth = {"username": registry.user, "password": registry.password}
    lines = list(engine.api.push(repository, tag=tag, stream=True, decode=True, auth_config=auth))
    assert not [line for line in lines if "error" in line], lines


def test_a_cache_that_was_evicted_from_the_registry_is_said_to_be_gone(
    run_task: RunTask, fresh_engine: Callable[..., OwnEngine], context: Path, tmp_path: Path
) -> None:
    engine = fresh_engine(registry=True)
    allow(tmp_path, engine.registry_shared)
    name = f"{engine.registry_shared}/evicted/app"
    run_task(cached_build(name), context=context, on=engine)
    index = get(engine.registry_url, "evicted/app/manifests/cache_quickrun_b")
    for child in index["manifests"]:
        urllib.request.urlopen(
            urllib.request.Request(
                f"{engine.registry_url}/v2/evicted/app/manifests/{child['digest']}", method="DELETE"
            ),
            timeout=10,
        ).close()
    forget(engine)
    again = run_task(cached_build(name), context=context, on=engine)
    assert again.status == "Succeeded"
    assert again.step("b").note == ""
    assert [text for text in said(again) if "cache_quickrun_b" in text and "kept" not in text], said(again)


def test_layers_evicted_from_the_engine_are_told_by_the_count(
    run_task: RunTask, fresh_engine: Callable[..., OwnEngine], context: Path
) -> None:
    engine = fresh_engine(registry=False)
    text = "steps:\n  - {id: b, build: -t evicted:1 .}\n"
    run_task(text, context=context, on=engine)
    forget(engine)
    assert run_task(text, context=context, on=engine).step("b").note == ""


def test_a_registry_that_only_the_engine_reaches_holds_the_built_stage(
    run_task: RunTask, fresh_engine: Callable[..., OwnEngine], context: Path
) -> None:
    engine = fresh_engine(registry=True)
    name = f"{engine.registry}/refused/app"  # on the loopback of the engine's sandbox, which is not ours
    done = run_task(cached_build(name), context=context, on=engine)
    assert done.status == "Succeeded"
    (warning,) = said(done, "warning")
    assert "holds the built stage only" in warning
    assert "this machine must reach the registry" in warning


def test_a_secret_build_argument_keeps_every_stage_on_the_engine(
    run_task: RunTask, reachable: Engine, context: Path
) -> None:
    name = f"{reachable.registry_shared}/secret/app"
    done = run_task(
        cached_build(name),
        context=context,
        grant={"build_args": {"TOKEN": "hunter2-hunter2"}},
    )
    assert done.status == "Succeeded"
    (warning,) = said(done, "warning")
    assert "nothing is kept" in warning
    assert "--secret" in warning
    with pytest.raises(urllib.error.HTTPError):
        get(reachable.registry_url, "secret/app/tags/list")


def test_image_and_cache_cannot_have_one_name(run_task: RunTask, engine: Engine, context: Path) -> None:
    done = run_task("steps:\n  - {id: b, build: '--cache-to r.io/app:1 -t r.io/app:1 .'}\n", context=context)
    assert done.status == "Failed"
    assert "cannot both be called r.io/app:1" in done.step("b").message


def test_what_is_said_of_a_cache_is_said_once_a_run(run_task: RunTask, reachable: Engine, context: Path) -> None:
    missing = f"{reachable.registry_shared}/never/there:c"
    done = run_task(
        f"steps:\n  - {{id: a, build: '--cache-from {missing} .'}}\n  - {{id: b, build: '--cache-from {missing} .'}}\n",
        context=context,
    )
    assert said(done) == [f"no cache yet at {missing}"]
    assert not [e for e in done.events if isinstance(e, StepProgress) and e.status == "error"]


def test_a_failed_build_is_not_blamed_on_a_missing_cache(run_task: RunTask, reachable: Engine, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM busybox:1\nCOPY nowhere /\n")
    missing = f"{reachable.registry_shared}/never/there:c"
    done = run_task(f"steps:\n  - {{id: b, build: '--cache-from {missing} .'}}\n", context=context)
    assert done.status == "Failed"
    assert "nowhere" in done.step("b").message


def test_a_registry_that_takes_nothing_makes_a_warning(
    run_task: RunTask, fresh_engine: Callable[..., OwnEngine], context: Path, tmp_path: Path
) -> None:
    engine = fresh_engine(registry=True)
    storage = {
        "filesystem": {"rootdirectory": str(tmp_path / "read-only")},
        "maintenance": {"readonly": {"enabled": True}},
    }
    readonly = engine.add_registry(extra={"storage": storage})
    done = run_task(cached_build(f"{readonly.name}/app"), context=context, on=engine)
    assert done.status == "Succeeded"
    (warning,) = said(done, "warning")
    assert f"the cache {readonly.name}/app:cache_quickrun_b was not written" in warning


def test_a_cache_stays_whole_however_often_it_is_taken_and_kept(
    run_task: RunTask, fresh_engine: Callable[..., OwnEngine], context: Path, tmp_path: Path
) -> None:
    engine = fresh_engine(registry=True)
    allow(tmp_path, engine.registry_shared)
    name = f"{engine.registry_shared}/often/app"
    run_task(cached_build(name), context=context, on=engine)
    for number in range(3):
        # BuildKit's own record of what was taken from a cache lacks the layers that were not needed
        forget(engine)
        same = run_task(cached_build(name), context=context, on=engine)
        assert same.step("b").note == f"nothing changed: {STEPS} of {STEPS} steps cached"
        assert not [text for text in said(same) if text.startswith("kept")]
        forget(engine)
        (context / "app").write_text(f"change {number}\n")
        changed = run_task(cached_build(name), context=context, on=engine)
        assert {"[deps 3/3] RUN echo deps > /deps", "[stage-1 2/2] RUN echo without a name > /u"} <= cached_names(
            changed
        )
        assert f"kept the layers of 2 stages in the cache {name}:cache_quickrun_b" in said(changed)
    entries = get(engine.registry_url, "often/app/manifests/cache_quickrun_b")["manifests"]
    assert len(entries) == 4  # the stage that changed above what it shares with the one before: both of them


def test_an_engine_that_is_told_to_use_containerds_store_keeps_a_cache_with_it_or_without(
    run_task: RunTask, fresh_engine: Callable[..., OwnEngine], context: Path, tmp_path: Path
) -> None:
    """Docker 24 and newer have that store, and write the cache themselves; older ones pass over the setting."""
    engine = fresh_engine(registry=True)
    engine.daemon.settings["features"] = {"containerd-snapshotter": True}
    engine.restart()
    has_store = ["driver-type", "io.containerd.snapshotter.v1"] in (engine.api.info()["DriverStatus"] or [])
    engine.import_busybox()
    allow(tmp_path, engine.registry_shared)
    name = f"{engine.registry_shared}/store/app"
    first = run_task(cached_build(name), context=context, on=engine)
    what = "the build" if has_store else "3 stages"
    assert f"kept the layers of {what} in the cache {name}:cache_quickrun_b" in said(first)
    last = get(engine.registry_url, "store/app/manifests/cache_quickrun_b")["manifests"][-1]
    assert (last["mediaType"] == "application/vnd.buildkit.cacheconfig.v0") == has_store
    forget(engine)
    (context / "app").write_text("changed\n")
    changed = run_task(cached_build(name), context=context, on=engine)
    assert {"[deps 3/3] RUN echo deps > /deps", "[stage-1 2/2] RUN echo without a name > /u"} <= cached_names(changed)
    assert said(changed, "warning") == []
