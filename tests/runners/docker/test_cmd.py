"""What `cmd` steps do on a real engine."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from runners.docker.upload import Upload
from taskengine.runner import Cancel
from taskengine.runs.event import Event, StepFinished, StepProgress, StepStarted
from taskengine.runs.model import Reason
from tests.runners.docker.conftest import NOTHING, Log, RunTask, remove_kept
from tests.support.engine import Engine


def test_a_step_prints_succeeds_and_leaves_nothing(run_task: RunTask) -> None:
    done = run_task("steps:\n  - id: a\n    cmd: busybox:1 echo hello\n")
    assert (done.status, done.text("a"), done.labels_left) == ("Succeeded", "hello\n", NOTHING)


def test_steps_share_the_workspace_and_see_the_context(run_task: RunTask, tmp_path: Path) -> None:
    context = tmp_path / "ctx"
    (context / "sub").mkdir(parents=True)
    (context / "sub" / "file.txt").write_text("from the author\n")
    (context / "tool.sh").write_text("#!/bin/sh\ncat sub/file.txt > copied\n")
    (context / "tool.sh").chmod(0o755)
    (context / "link").symlink_to("sub/file.txt")
    done = run_task(
        "steps:\n  - {id: a, cmd: busybox:1 ./tool.sh}\n  - {id: b, cmd: busybox:1 cat copied link}\n", context=context
    )
    assert done.text("b") == "from the author\nfrom the author\n"
    assert not (context / "copied").exists()


def test_a_step_that_waits_for_a_long_upload_tells_how_much_has_travelled(
    run_task: RunTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = tmp_path / "ctx"
    context.mkdir()
    (context / "big").write_bytes(bytes(1 << 20))
    listening = threading.Event()
    listen = Upload.listen

    def listen_and_say(upload: Upload, hearer: Any) -> Any:
        unlisten = listen(upload, hearer)
        listening.set()
        return unlisten

    class Patient:
        """Sends nothing before a step waits for it."""

        def __init__(self, api: Any) -> None:
            self._api = api

        def __getattr__(self, name: str) -> Any:
            return getattr(self._api, name)

        def put_archive(self, *args: Any) -> Any:
            assert listening.wait(30)
            return self._api.put_archive(*args)

    monkeypatch.setattr(Upload, "listen", listen_and_say)
    monkeypatch.setattr("runners.docker.upload.PAUSE", 0)
    done = run_task("steps:\n  - {id: a, cmd: busybox:1 ls}\n", context=context, wrap=Patient)
    assert done.text("a") == "big\n"
    told = [e for e in done.events if isinstance(e, StepProgress) and e.vertex == "upload:workspace"]
    assert [e.status for e in told] == ["started"] * (len(told) - 1) + ["done"]
    assert {(e.step, e.name) for e in told} == {("a", "sending the context")}
    assert told[-1].current > 1 << 20


def test_what_dockerignore_names_and_version_control_stay_at_home(run_task: RunTask, tmp_path: Path) -> None:
    context = tmp_path / "ctx"
    for name in (".git/config", "node_modules/x", "node_modules/keep", ".venv/bin/python", "src/a"):
        (context / name).parent.mkdir(parents=True, exist_ok=True)
        (context / name).write_text(name)
    (context / ".dockerignore").write_text("node_modules\n!node_modules/keep\n")
    done = run_task("steps:\n  - {id: a, cmd: busybox:1 find . -type f}\n", context=context)
    assert sorted(done.text("a").split()) == ["./.dockerignore", "./node_modules/keep", "./src/a"]


def test_a_step_may_run_as_any_user_and_write_to_the_workspace(run_task: RunTask) -> None:
    done = run_task(
        "steps:\n  - id: a\n    cmd: busybox:1 sh -c 'id -u; touch made $HOME/made && echo ok'\n    user: '1000:50'\n"
    )
    assert done.text("a") == "1000\nok\n"


def test_the_exit_code_of_a_failing_step_is_told(run_task: RunTask) -> None:
    done = run_task("steps:\n  - {id: a, cmd: busybox:1 sh -c 'echo why; exit 3'}\n  - {id: b, cmd: busybox:1 true}\n")
    failed = done.step("a")
    assert (done.status, failed.status.value, failed.exit_code, failed.last_lines) == ("Failed", "failed", 3, ("why",))
    assert done.step("b").status.value == "skipped"
    assert (done.record.failed_step, done.labels_left) == ("a", NOTHING)


def test_an_unknown_program_is_exit_code_127_with_its_name(run_task: RunTask) -> None:
    done = run_task("steps:\n  - {id: a, cmd: busybox:1 frobnicate}\n")
    assert done.step("a").exit_code == 127
    assert "frobnicate" in done.step("a").message


def test_a_missing_image_says_so(run_task: RunTask, engine: Engine) -> None:
    done = run_task(f"steps:\n  - {{id: a, cmd: {engine.registry}/no/such:1 true}}\n")
    assert (done.status, done.step("a").reason and done.step("a").reason.value) == (
        "Failed",
        "image could not be pulled",
    )
    assert "no/such:1" in done.step("a").message
    assert done.step("a").hint


def test_an_image_is_pulled_from_a_registry(run_task: RunTask, engine: Engine) -> None:
    name = f"{engine.registry}/pulled/for-this:1"
    engine.push("busybox:1", name)
    engine.api.remove_image(name, force=True) if name in engine.images() else None
    done = run_task(f"steps:\n  - {{id: a, cmd: {name} echo here}}\n")
    assert (done.status, done.text("a")) == ("Succeeded", "here\n")


def test_steps_reach_each_other_by_their_ids(run_task: RunTask, tmp_path: Path) -> None:
    context = tmp_path / "ctx"
    context.mkdir()
    (context / "index.html").write_text("served\n")
    done = run_task(
        """
steps:
  - id: web
    cmd: busybox:1 httpd -f -p 80
    detach: true
  - id: client
    cmd: busybox:1 sh -c 'until timeout 5 wget -qO- http://web/ 2>/dev/null; do :; done'
    timeout: 60
""",
        context=context,
    )
    assert (done.status, done.text("client")) == ("Succeeded", "served\n")
    assert done.labels_left == NOTHING


def test_parallel_steps_have_addresses_of_their_own(run_task: RunTask) -> None:
    done = run_task(
        """
steps:
  - id: a
    cmd: busybox:1 sh -c 'hostname -i; touch a; until [ -e b ]; do :; done'
    when: ["-"]
  - id: b
    cmd: busybox:1 sh -c 'hostname -i; touch b; until [ -e a ]; do :; done'
    when: ["-"]
"""
    )
    assert done.status == "Succeeded"
    assert done.text("a") != done.text("b")


def test_a_chain_of_steps_uses_one_namespace_and_every_name_is_one_address(run_task: RunTask) -> None:
    done = run_task(
        "steps:\n"
        + "".join(
            f"  - id: s{i}\n    cmd: busybox:1 sh -c 'nslookup s{i} | grep ^Addr | tail -n +2; hostname -i'\n"
            for i in range(4)
        )
    )
    assert done.status == "Succeeded", done.record
    for i in range(4):
        *found, own = done.text(f"s{i}").split()
        assert found == ["Address:", own], done.text(f"s{i}")


def test_an_image_built_in_the_run_is_not_pulled_but_used(run_task: RunTask, tmp_path: Path) -> None:
    context = tmp_path / "ctx"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM busybox:1\nRUN echo built > /made\n")
    done = run_task(
        "steps:\n  - {id: b, build: -t used-by-a-later-step:1 .}\n  - {id: c, cmd: used-by-a-later-step:1 cat /made}\n",
        context=context,
    )
    assert done.text("c") == "built\n"


def test_every_byte_of_output_arrives(run_task: RunTask) -> None:
    size = 20_000_000
    done = run_task(
        f"steps:\n  - id: a\n    cmd: busybox:1 sh -c 'echo first; head -c {size} /dev/zero; printf last'\n    timeout: 120\n"
    )
    output = done.log.output["a"]
    assert len(output) == size + 10
    assert output.startswith(b"first\n\0")
    assert output.endswith(b"\0last")


def test_forty_steps_may_talk_at_once(run_task: RunTask) -> None:
    steps = "".join(f"  - {{id: t{i}, cmd: busybox:1 sh -c 'seq 1 500', when: ['-']}}\n" for i in range(40))
    done = run_task("steps:\n" + steps)
    expected = "".join(f"{n}\n" for n in range(1, 501))
    assert all(done.text(f"t{i}") == expected for i in range(40))
    assert done.labels_left == NOTHING


def test_a_step_that_closes_its_output_is_waited_for(run_task: RunTask) -> None:
    done = run_task("steps:\n  - {id: a, cmd: busybox:1 sh -c 'exec >&- 2>&-; sleep 1; exit 5'}\n")
    assert done.step("a").exit_code == 5


def test_a_timeout_stops_the_container_itself(run_task: RunTask, engine: Engine) -> None:
    done = run_task("steps:\n  - id: slow\n    cmd: busybox:1 sleep 1000\n    timeout: 1\n")
    slow = done.step("slow")
    assert (done.status, slow.reason and slow.reason.value) == ("Failed", "timeout")
    assert "1 s" in slow.message
    assert done.labels_left == NOTHING


@pytest.mark.parametrize(("option", "name"), [("", "TERM"), ("--init", "TERM"), ("--stop-signal SIGINT", "INT")])
def test_a_step_that_is_stopped_has_time_to_clean_up_whatever_hears_the_signal(
    run_task: RunTask, option: str, name: str
) -> None:
    done = run_task(
        f"""
steps:
  - id: long
    cmd: {option} busybox:1 sh -c 'trap "sleep 0.5; echo cleaned; exit 0" {name}; touch up; sleep 60 & wait'
    when: ["-"]
  - id: bad
    cmd: busybox:1 sh -c 'until [ -e up ]; do :; done; exit 9'
    when: ["-"]
"""
    )
    assert (done.step("long").status.value, done.text("long")) == ("canceled", "cleaned\n")


def test_a_failing_step_stops_the_steps_that_run_beside_it(run_task: RunTask) -> None:
    done = run_task(
        """
steps:
  - id: long
    cmd: busybox:1 sh -c 'trap "echo stopped; exit 0" TERM; touch up; while :; do sleep 0.1; done'
    when: ["-"]
  - id: bad
    cmd: busybox:1 sh -c 'until [ -e up ]; do :; done; exit 9'
    when: ["-"]
  - {id: never, cmd: busybox:1 true, when: [long]}
"""
    )
    assert [done.step(s).status.value for s in ("long", "bad", "never")] == ["canceled", "failed", "skipped"]
    assert done.text("long") == "stopped\n"
    assert done.labels_left == NOTHING


def test_a_cancel_stops_the_run_and_cleans_up(run_task: RunTask) -> None:
    cancel, log = Cancel(), Log()
    threading.Thread(target=lambda: (log.wait_for("a", b"up"), cancel.set("interrupted")), daemon=True).start()
    done = run_task("steps:\n  - {id: a, cmd: busybox:1 sh -c 'echo up; sleep 1000'}\n", cancel=cancel, log=log)
    assert (done.status, done.step("a").status.value, done.labels_left) == ("Canceled", "canceled", NOTHING)


def test_retries_run_new_containers_until_one_succeeds(run_task: RunTask) -> None:
    done = run_task(
        """
steps:
  - id: flaky
    cmd: busybox:1 sh -c 'echo x >> tries; [ $(wc -l < tries) = 3 ]'
    retries: 5
    retryDelay: 1
"""
    )
    assert (done.status, done.step("flaky").attempts) == ("Succeeded", 3)


def test_an_ignored_failure_keeps_its_truth(run_task: RunTask) -> None:
    done = run_task("steps:\n  - {id: a, cmd: busybox:1 false, ignoreErrors: true}\n  - {id: b, cmd: busybox:1 true}\n")
    assert (done.status, done.step("a").error_ignored, done.step("a").exit_code) == ("Succeeded", True, 1)


def test_a_kept_container_stays_with_its_output(run_task: RunTask, engine: Engine) -> None:
    done = run_task("steps:\n  - {id: a, cmd: busybox:1 echo kept, keep: true}\n")
    try:
        assert done.labels_left["containers"] == [f"/acr-task-{done.run_id}-step-0.1-a"]
        assert done.labels_left["networks"] == []
        assert engine.api.logs(f"acr-task-{done.run_id}-step-0.1-a") == b"kept\n"
    finally:
        remove_kept(engine, done.run_id)


def test_secret_volumes_hold_bytes_exactly_and_never_touch_the_disk(run_task: RunTask, engine: Engine) -> None:
    done = run_task(
        """
volumes:
  - name: conf
    secret:
      token: JHNlY3JldCBgd2l0aGAgbm8gZW5k
      other: AAEC
steps:
  - id: a
    cmd: busybox:1 sh -c 'cat /conf/token; od -An -tx1 /conf/other; grep " /conf " /proc/mounts | cut -d" " -f3'
    volumeMounts:
      - {name: conf, mountPath: /conf}
"""
    )
    assert done.text("a") == "$secret `with` no end 00 01 02\ntmpfs\n"
    assert done.labels_left == NOTHING


def test_a_volume_value_that_is_not_base64_fails_the_run_before_any_step(run_task: RunTask) -> None:
    done = run_task("volumes:\n  - name: conf\n    secret: {a: '%%%'}\nsteps:\n  - {id: a, cmd: busybox:1 true}\n")
    assert done.status == "Error"
    assert "'a'" in done.record.message
    assert done.step("a").status.value == "skipped"


def test_docker_run_options_work(run_task: RunTask) -> None:
    done = run_task(
        """
steps:
  - id: a
    cmd: -e GREETING='hello there' --tmpfs /scratch --memory 64m --workdir /scratch busybox:1 sh -c 'echo $GREETING; pwd'
  - id: t
    cmd: -t busybox:1 sh -c 'test -t 1 && echo terminal'
"""
    )
    assert done.text("a") == "hello there\n/scratch\n"
    assert done.text("t").replace("\r", "") == "terminal\n"


def test_out_of_memory_is_named(run_task: RunTask) -> None:
    done = run_task(
        "steps:\n  - id: a\n    cmd: --memory 16m --memory-swap 16m busybox:1 sh -c 'x=$(head -c 100000000 /dev/zero | tr \"\\0\" x); echo $x'\n"
    )
    assert done.status == "Failed"
    assert done.step("a").reason is not None


def test_no_step_is_given_the_docker_socket_unless_it_runs_docker(run_task: RunTask) -> None:
    text = "steps:\n  - {id: a, cmd: 'busybox:1 ls /var/run/docker.sock', ignoreErrors: true}\n"
    assert "No such file" in run_task(text).text("a")
    assert run_task(text, grant={"allow_docker_socket": True}).text("a") == "/var/run/docker.sock\n"


@pytest.mark.parametrize("options", ["-v /:/host", "--mount type=bind,source=/,target=/host", "--privileged"])
def test_without_the_docker_socket_no_step_reaches_the_host_otherwise(run_task: RunTask, options: str) -> None:
    text = f"steps:\n  - {{id: a, cmd: '{options} busybox:1 echo ran'}}\n"
    refused = run_task(text, grant={"allow_docker_socket": False, "allow_host_access": False})
    assert (refused.step("a").reason, refused.text("a")) == (Reason.INVALID, "")
    assert "--no-docker-socket forbids" in refused.step("a").message
    assert run_task(text).text("a") == "ran\n"


def test_events_tell_of_each_step_in_order(run_task: RunTask) -> None:
    seen: list[str] = []

    def hear(event: Event) -> None:
        if isinstance(event, StepStarted):
            seen.append(f"start {event.step}")
        elif isinstance(event, StepFinished):
            seen.append(f"end {event.record.id}")

    run_task("steps:\n  - {id: a, cmd: busybox:1 true}\n  - {id: b, cmd: busybox:1 true}\n", listener=hear)
    assert seen == ["start a", "end a", "start b", "end b"]


@pytest.mark.parametrize("declared", ["", "    driver: bridge\n"])
def test_a_declared_network_is_made_for_the_run_alone(run_task: RunTask, declared: str) -> None:
    done = run_task(
        f"networks:\n  - name: mynet\n    isDefault: true\n{declared}steps:\n  - {{id: a, cmd: busybox:1 nslookup a}}\n"
    )
    assert (done.status, done.labels_left) == ("Succeeded", NOTHING)


def test_host_and_none_networks_are_the_engines_own(run_task: RunTask) -> None:
    done = run_task(
        "steps:\n  - {id: a, cmd: busybox:1 ls /sys/class/net, network: none}\n  - {id: b, cmd: busybox:1 true, network: host}\n"
    )
    assert (done.status, done.text("a").split()) == ("Succeeded", ["lo"])


_KILLED = """
import json, os, sys
from taskengine.runner import RunContext, Cancel, Attempt
from taskengine.taskspec.load import load_task
from taskengine.taskspec.inputs import Inputs, RunFacts
from taskengine.ambient import Ambient
from taskengine.scheduler.loop import execute
from taskengine import wiring

class Log:
    def write(self, step, stream, data):
        sys.stdout.write("up\\n"); sys.stdout.flush()

run_id = Ambient.system().new_id()
loaded = load_task("steps:\\n  - {id: a, cmd: busybox:1 sh -c 'echo up; sleep 1000'}\\n", file="t", inputs=Inputs(facts=RunFacts(id=run_id)))
runner = wiring.runner_for(RunContext(run_id=run_id), wiring.settings())
execute(loaded.plan, runner, run_id=run_id, listener=lambda e: None, log=Log(), cancel=Cancel(), ambient=Ambient.system())
"""


def test_the_next_command_cleans_up_after_a_killed_one(engine: Engine, tmp_path: Path) -> None:
    env = {**engine.env, "ACR_TASK_DATA": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", _KILLED], env=env, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        process.kill()
    [journal] = list((tmp_path / "runs").glob("*.json"))
    run_id = json.loads(journal.read_text())["run_id"]
    mine = {"label": f"io.acr-task.run={run_id}"}
    assert engine.api.containers(filters=mine)
    command = Path(sys.executable).with_name("acr-task")
    subprocess.run([command, "version"], env=env, check=True, capture_output=True)
    assert not engine.api.containers(all=True, filters=mine)
    assert not engine.api.networks(filters=mine)
    assert not engine.api.volumes(filters=mine)["Volumes"]
    assert not journal.exists()


def test_an_image_of_a_later_step_is_pulled_while_an_earlier_one_runs(run_task: RunTask, engine: Engine) -> None:
    name = f"{engine.registry}/pulled/ahead:1"
    engine.push("busybox:1", name)
    if name in engine.images():
        engine.api.remove_image(name)
    pulled, log = threading.Event(), Log()

    class Watched:
        """The engine, with an eye on pulls."""

        def __init__(self, api: Any) -> None:
            self._api = api

        def __getattr__(self, attribute: str) -> Any:
            return getattr(self._api, attribute)

        def pull(self, *args: Any, **kwargs: Any) -> Any:
            yield from self._api.pull(*args, **kwargs)
            pulled.set()

    def release() -> None:
        # the first step ends only once the second one's image is there
        log.wait_for("a", b"up")
        assert pulled.wait(60)
        [first] = engine.api.containers(filters={"label": "io.acr-task.step=a"})
        engine.api.exec_start(engine.api.exec_create(first["Id"], ["touch", "/go"])["Id"])

    threading.Thread(target=release, daemon=True).start()
    text = "  - id: a\n    cmd: busybox:1 sh -c 'echo up; until [ -e /go ]; do sleep 0.1; done'\n    timeout: 60\n"
    done = run_task(f"steps:\n{text}  - {{id: b, cmd: {name} echo here}}\n", wrap=Watched, log=log)
    assert (done.status, done.text("b")) == ("Succeeded", "here\n")


def test_two_hundred_megabytes_and_a_line_of_ten_arrive(run_task: RunTask) -> None:
    done = run_task(
        "steps:\n  - id: a\n    timeout: 300\n"
        "    cmd: busybox:1 sh -c 'head -c 200000000 /dev/zero; head -c 10000000 /dev/zero | tr \"\\0\" x; echo; printf end'\n"
    )
    output = done.log.output["a"]
    assert (len(output), output[-14:]) == (210_000_004, b"xxxxxxxxxx\nend")


def test_ids_that_look_like_names_of_our_own_collide_with_nothing(run_task: RunTask) -> None:
    done = run_task(
        """
steps:
  - {id: filler, cmd: busybox:1 true, when: ["-"]}
  - {id: sandbox-0, cmd: busybox:1 true, when: ["-"]}
  - {id: a, cmd: "busybox:1 sh -c 'echo x >> t; test $(wc -l < t) = 2'", retries: 1, retryDelay: 1, when: ["-"]}
  - {id: a-2, cmd: busybox:1 true, when: ["-"]}
  - {id: a/b, cmd: busybox:1 true, when: ["-"]}
  - {id: a_b, cmd: busybox:1 true, when: ["-"]}
"""
    )
    assert done.status == "Succeeded", done.record


def big(folder: Path) -> Path:
    """A context that takes its time to upload: a sparse file."""
    folder.mkdir()
    with (folder / "big").open("wb") as file:
        file.truncate(3_000_000_000)
    return folder


def test_a_cancel_ends_the_upload_of_a_context(run_task: RunTask, tmp_path: Path) -> None:
    cancel = Cancel()

    def hear(event: Event) -> None:
        if isinstance(event, StepStarted):
            threading.Thread(target=cancel.set, daemon=True).start()

    done = run_task(
        "steps:\n  - {id: a, cmd: busybox:1 true}\n", context=big(tmp_path / "ctx"), cancel=cancel, listener=hear
    )
    assert (done.status, done.labels_left) == ("Canceled", NOTHING)
    assert done.record.duration < 30  # the whole of it takes longer than that


def test_a_steps_time_does_not_run_while_the_workspace_is_filled(run_task: RunTask, tmp_path: Path) -> None:
    context = tmp_path / "ctx"
    context.mkdir()
    with (context / "big").open("wb") as file:
        file.truncate(700_000_000)
    done = run_task("steps:\n  - {id: a, cmd: busybox:1 true, timeout: 1}\n", context=context)
    assert done.status == "Succeeded", done.record
