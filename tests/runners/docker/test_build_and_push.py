"""What `build` and `push` steps do on a real engine with a real registry."""

from __future__ import annotations

import base64
import json
import threading
import urllib.request
from pathlib import Path

import pytest

from taskengine.runner import Cancel
from taskengine.runs.event import Event, ImageReady, Notice, StepProgress, StepRetrying
from tests.runners.docker.conftest import NOTHING, Log, RunTask
from tests.support.engine import Engine, OwnEngine
from tests.support.registry import Registry


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "ctx"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM busybox:1\nARG WHO=nobody\nCOPY f /f\nRUN echo $WHO > /who\n")
    (folder / "f").write_text("content\n")
    return folder


def digest_in(registry_url: str, name: str, tag: str) -> str:
    request = urllib.request.Request(
        f"{registry_url}/v2/{name}/manifests/{tag}",
        headers={"Accept": "application/vnd.docker.distribution.manifest.v2+json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(answer.headers["Docker-Content-Digest"])


def test_a_built_image_is_pushed_and_its_digest_is_in_the_result(
    run_task: RunTask, engine: Engine, context: Path
) -> None:
    name = f"{engine.registry}/built/one"
    done = run_task(
        f"steps:\n  - {{id: b, build: -t {name}:1 -t {name}:2 .}}\n  - {{id: p, push: ['{name}:1', '{name}:2']}}\n",
        context=context,
    )
    assert done.status == "Succeeded", done.record
    pushed = {image.reference: image.digest for image in done.step("p").images}
    assert pushed == {f"{name}:{tag}": digest_in(engine.registry_url, "built/one", tag) for tag in ("1", "2")}
    assert {(i.reference, i.digest) for i in done.record.images if i.pushed} == set(pushed.items())
    assert done.labels_left == NOTHING


def test_build_arguments_target_and_labels_reach_the_build(run_task: RunTask, engine: Engine, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM busybox:1 AS one\nARG WHO\nRUN echo $WHO > /who\nFROM one\nRUN exit 1\n")
    done = run_task(
        """
steps:
  - {id: b, build: -t args-image:1 --build-arg "WHO=two words" --target one --label team=a .}
  - {id: c, cmd: args-image:1 cat /who}
""",
        context=context,
    )
    assert done.text("c") == "two words\n"
    assert engine.api.inspect_image("args-image:1")["Config"]["Labels"]["team"] == "a"


def test_a_failed_build_names_its_instruction_and_exit_code(run_task: RunTask, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM busybox:1\nRUN echo before && exit 9\n")
    done = run_task("steps:\n  - {id: b, build: -t never:1 .}\n", context=context)
    failed = done.step("b")
    assert (done.status, failed.exit_code, failed.reason and failed.reason.value) == ("Failed", 9, "build failed")
    assert "exit 9" in failed.message
    assert any("before" in line for line in failed.last_lines)


def test_the_build_sees_what_earlier_steps_left_in_the_workspace(run_task: RunTask, context: Path) -> None:
    done = run_task(
        """
steps:
  - {id: make, cmd: busybox:1 sh -c 'echo generated > f'}
  - {id: b, build: -t from-workspace:1 .}
  - {id: c, cmd: from-workspace:1 cat /f}
""",
        context=context,
    )
    assert done.text("c") == "generated\n"


def test_a_build_in_a_subfolder_with_a_dockerfile_elsewhere(run_task: RunTask, context: Path) -> None:
    (context / "app").mkdir()
    (context / "app" / "f").write_text("of the app\n")
    (context / "docker").mkdir()
    (context / "docker" / "Prod.dockerfile").write_text("FROM busybox:1\nCOPY f /f\n")
    done = run_task(
        """
steps:
  - {id: b, build: -t sub-app:1 -f docker/Prod.dockerfile app}
  - {id: w, build: -t sub-app:2 -f ../docker/Prod.dockerfile ., workingDirectory: app}
  - {id: c, cmd: sub-app:1 cat /f}
  - {id: d, cmd: sub-app:2 cat /f}
""",
        context=context,
    )
    assert (done.text("c"), done.text("d")) == ("of the app\n", "of the app\n"), done.record


def test_a_second_build_is_cached_and_says_so(run_task: RunTask, context: Path) -> None:
    text = "steps:\n  - {id: b, build: -t cached:1 .}\n"
    run_task(text, context=context)
    again = run_task(text, context=context)
    assert "CACHED" in again.text("b")
    statuses = {e.status for e in again.events if isinstance(e, StepProgress) and "RUN" in e.name}
    assert statuses == {"cached"}


@pytest.mark.parametrize("dockerfile", ["", "# nothing\n", "ARG a=1\n"])
def test_a_dockerfile_without_from_never_reaches_the_engine(run_task: RunTask, context: Path, dockerfile: str) -> None:
    (context / "Dockerfile").write_text(dockerfile)
    done = run_task("steps:\n  - {id: b, build: -t x .}\n", context=context)
    assert done.status == "Failed"
    assert "FROM" in done.step("b").message + done.step("b").hint
    assert run_task("steps:\n  - {id: a, cmd: busybox:1 true}\n").status == "Succeeded"


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("-t x missing", "missing"),
        ("-t x -f No.dockerfile .", "No.dockerfile"),
        ("-t x ../..", "/"),
        ("-t x https://e.example/r.zip", "tar archives"),
    ],
)
def test_a_context_that_is_not_there_is_named(run_task: RunTask, context: Path, line: str, word: str) -> None:
    done = run_task(f"steps:\n  - {{id: b, build: {line}}}\n", context=context)
    assert done.status == "Failed"
    assert word in done.step("b").message


def test_a_link_cannot_lead_a_build_out_of_the_workspace(run_task: RunTask, context: Path) -> None:
    (context / "out").symlink_to("/etc")
    done = run_task("steps:\n  - {id: b, build: -t x -f Dockerfile out}\n", context=context)
    assert done.status == "Failed"


def test_a_secret_of_the_run_is_mounted_and_in_no_layer(run_task: RunTask, engine: Engine, context: Path) -> None:
    (context / "Dockerfile").write_text(
        "# syntax=docker/dockerfile:1\n".replace("# syntax=docker/dockerfile:1\n", "")
        + "FROM busybox:1\nRUN --mount=type=secret,id=token wc -c < /run/secrets/token > /size\n"
    )
    done = run_task(
        "steps:\n  - {id: b, build: --secret id=token -t with-secret:1 .}\n  - {id: c, cmd: with-secret:1 cat /size}\n",
        context=context,
        grant={"build_secrets": {"token": b"hunter2-hunter2"}},
    )
    assert done.text("c").strip() == "15", done.record
    assert "hunter2" not in json.dumps(engine.api.history("with-secret:1"))


def test_a_secret_comes_from_a_secret_volume_of_the_step(run_task: RunTask, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM busybox:1\nRUN --mount=type=secret,id=k cat /run/secrets/k > /seen\n")
    done = run_task(
        """
volumes:
  - {name: conf, secret: {key: dm9sdW1lLXNlY3JldA==}}
steps:
  - id: b
    build: --secret id=k,src=/conf/key --no-cache -t from-volume:1 .
    volumeMounts: [{name: conf, mountPath: /conf}]
  - {id: c, cmd: from-volume:1 cat /seen}
""",
        context=context,
    )
    assert done.text("c") == "volume-secret", done.record


def test_a_build_argument_without_a_value_takes_the_steps_environment(run_task: RunTask, context: Path) -> None:
    done = run_task(
        """
steps:
  - {id: b, build: --build-arg WHO -t from-env:1 ., env: [WHO=me]}
  - {id: c, cmd: from-env:1 cat /who}
  - {id: d, build: --build-arg WHO -t from-default:1 .}
  - {id: e, cmd: from-default:1 cat /who}
""",
        context=context,
    )
    assert (done.text("c"), done.text("e")) == ("me\n", "nobody\n"), done.record


def test_a_cancel_stops_a_build(run_task: RunTask, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM busybox:1\nRUN echo up && sleep 1000\n")
    cancel, log = Cancel(), Log()
    threading.Thread(target=lambda: (log.wait_for("b", b" up\n"), cancel.set()), daemon=True).start()
    done = run_task("steps:\n  - {id: b, build: -t x .}\n", context=context, cancel=cancel, log=log)
    assert (done.status, done.labels_left) == ("Canceled", NOTHING)


def test_images_are_told_as_events(run_task: RunTask, context: Path) -> None:
    seen: list[Event] = []
    run_task("steps:\n  - {id: b, build: -t told:1 .}\n", context=context, listener=seen.append)
    [ready] = [e for e in seen if isinstance(e, ImageReady)]
    assert (ready.step, ready.image.reference, ready.image.pushed) == ("b", "told:1", False)
    assert ready.image.image_id.startswith("sha256:")


# push


def login_config(tmp_path: Path, registry: Registry, password: str) -> dict[str, str]:
    auth = base64.b64encode(f"{registry.user}:{password}".encode()).decode()
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker" / "config.json").write_text(json.dumps({"auths": {registry.name: {"auth": auth}}}))
    return {"DOCKER_CONFIG": str(tmp_path / "docker")}


def test_a_registry_that_wants_a_login_gets_the_one_of_dockers_config(
    run_task: RunTask, registry_auth: Registry, tmp_path: Path, context: Path
) -> None:
    name = f"{registry_auth.name}/private/app:1"
    environ = login_config(tmp_path, registry_auth, registry_auth.password)
    done = run_task(
        f"steps:\n  - {{id: b, build: -t {name} .}}\n  - {{id: p, push: ['{name}']}}\n  - {{id: c, cmd: {name} cat /f, pull: true}}\n",
        context=context,
        environ=environ,
    )
    assert (done.status, done.text("c")) == ("Succeeded", "content\n"), done.record
    (context / "Dockerfile").write_text(f"FROM {name}\nRUN cat /f\n")
    based = run_task("steps:\n  - {id: b, build: --pull -t on-private:1 .}\n", context=context, environ=environ)
    assert based.status == "Succeeded", based.record


def test_a_wrong_password_is_told_at_once_and_not_shown(
    run_task: RunTask, registry_auth: Registry, tmp_path: Path, context: Path
) -> None:
    name = f"{registry_auth.name}/private/app:2"
    environ = login_config(tmp_path, registry_auth, "wrong-password-1")
    done = run_task(
        f"steps:\n  - {{id: b, build: -t {name} .}}\n  - {{id: p, push: ['{name}']}}\n",
        context=context,
        environ=environ,
    )
    failed = done.step("p")
    assert (done.status, failed.reason and failed.reason.value) == ("Failed", "push failed")
    assert "docker login" in failed.hint
    assert not [e for e in done.events if isinstance(e, StepRetrying)]
    assert "wrong-password-1" not in repr(done.record) + done.text("p")


def test_pushing_what_was_never_built_says_so(run_task: RunTask, engine: Engine) -> None:
    done = run_task(f"steps:\n  - {{id: p, push: ['{engine.registry}/never/built:1']}}\n")
    assert "never/built:1" in done.step("p").message
    assert "build it" in done.step("p").hint


def test_a_registry_that_does_not_answer_is_tried_three_times(
    run_task: RunTask, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runners.docker.push.FIRST_PAUSE", 0.01)
    engine.api.tag("busybox:1", "127.0.0.1:9/nobody/here", "1")
    done = run_task("steps:\n  - {id: p, push: ['127.0.0.1:9/nobody/here:1']}\n")
    assert done.status == "Failed"
    assert len([e for e in done.events if isinstance(e, StepRetrying)]) == 2


# a remote engine


def test_a_far_engine_works_as_a_near_one_does(
    run_task: RunTask, fresh_engine: pytest.FixtureRequest, context: Path
) -> None:
    far: OwnEngine = fresh_engine(apart=True, registry=True)  # type: ignore[operator]
    name = f"{far.registry}/far/app:1"
    done = run_task(
        f"""
volumes:
  - {{name: conf, secret: {{k: dg==}}}}
steps:
  - {{id: make, cmd: busybox:1 sh -c 'echo far > f'}}
  - {{id: b, build: -t {name} .}}
  - {{id: p, push: ['{name}']}}
  - {{id: c, cmd: '{name} cat /f /conf/k', volumeMounts: [{{name: conf, mountPath: /conf}}]}}
""",
        context=context,
        on=far,
        host=far.tcp_host,
    )
    assert (done.status, done.text("c")) == ("Succeeded", "far\nv"), done.record
    assert done.labels_left == NOTHING


# the docker command line inside of steps


def test_public_task_files_run_the_docker_command_line(
    run_task: RunTask, engine: Engine, docker_cli_image: str, context: Path
) -> None:
    name = f"{engine.registry}/by/cli"
    done = run_task(
        f"""
version: v1.1.0
steps:
  - {{id: build, cmd: 'docker build -t {name}:1 -f Dockerfile .'}}
  - {{id: tag, cmd: 'docker tag {name}:1 {name}:2'}}
  - {{id: push, cmd: 'docker push {name}:2'}}
  - {{id: run, cmd: '{name}:2 cat /f'}}
""",
        context=context,
    )
    assert (done.status, done.text("run")) == ("Succeeded", "content\n"), done.record
    assert digest_in(engine.registry_url, "by/cli", "2").startswith("sha256:")


def test_docker_steps_may_use_the_registry_logins_but_no_others_may(
    run_task: RunTask, registry_auth: Registry, docker_cli_image: str, tmp_path: Path, context: Path
) -> None:
    name = f"{registry_auth.name}/private/cli:1"
    environ = login_config(tmp_path, registry_auth, registry_auth.password)
    done = run_task(
        f"""
steps:
  - {{id: tag, cmd: 'docker tag busybox:1 {name}'}}
  - {{id: push, cmd: 'docker push {name}'}}
  - {{id: spy, cmd: "busybox:1 sh -c 'ls -a $HOME; cat $HOME/.docker/config.json'", ignoreErrors: true}}
""",
        environ=environ,
    )
    assert done.step("push").status.value == "succeeded", done.text("push")
    assert "auths" not in done.text("spy")
    assert done.labels_left == NOTHING


def test_an_image_of_dockers_name_that_the_run_builds_gets_neither_socket_nor_logins(
    run_task: RunTask, engine: Engine, registry_auth: Registry, tmp_path: Path, context: Path
) -> None:
    """Anybody's program may stand in it: the name alone is no reason for trust."""
    (context / "Dockerfile").write_text("FROM busybox:1\n")
    look = "sh -c 'ls /var/run/docker.sock /acb/home/.docker/config.json; true'"
    try:
        done = run_task(
            f"""
steps:
  - {{id: b, build: '-t docker:ours -t docker/buildx-bin:9 .'}}
  - {{id: one, cmd: "docker:ours {look}"}}
  - {{id: two, cmd: "docker.io/docker/buildx-bin:9 {look}"}}
""",
            context=context,
            environ=login_config(tmp_path, registry_auth, registry_auth.password),
        )
    finally:
        for name in ("docker:ours", "docker/buildx-bin:9"):
            engine.api.remove_image(name)
    assert done.status == "Succeeded", done.record
    for step in ("one", "two"):
        assert done.text(step).count("No such file") == 2
    told = [e.message for e in done.events if isinstance(e, Notice)]
    assert [m for m in told if "not given the Docker socket" in m] == told
    assert len(told) == 2


def test_a_build_never_gets_the_files_of_another_run(run_task: RunTask) -> None:
    text = """
steps:
  - id: make
    cmd: busybox:1 sh -c 'printf "FROM busybox:1\\nCOPY v /v\\n" > Dockerfile; echo {0} > v; touch -d @1000000000 v Dockerfile'
  - {{id: b, build: -t own-files:1 .}}
  - {{id: c, cmd: own-files:1 cat /v}}
"""
    assert [run_task(text.format(word)).text("c") for word in ("A1", "B2")] == ["A1\n", "B2\n"]


def test_a_secret_argument_can_be_mounted_and_is_then_nowhere_in_the_image(
    run_task: RunTask, engine: Engine, context: Path
) -> None:
    (context / "Dockerfile").write_text(
        "FROM busybox:1\nRUN --mount=type=secret,id=TOKEN test $(wc -c < /run/secrets/TOKEN) = 13\n"
    )
    secret = {"build_args": {"TOKEN": "geheim-123456"}}
    done = run_task("steps: [{id: b, build: '-t secret-arg:1 .'}]", context=context, grant=secret)
    assert done.status == "Succeeded", done.step("b")
    said = json.dumps([engine.api.history("secret-arg:1"), engine.api.inspect_image("secret-arg:1")])
    assert "geheim" not in said + done.text("b")
    engine.api.remove_image("secret-arg:1", force=True)
