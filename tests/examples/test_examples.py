"""Every example in examples/tasks does on a real engine what its comments say."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.examples.conftest import CLI, EXAMPLES, Example, commands
from tests.support.engine import Engine

InRegistry = Callable[[str], str]

FOLDERS = sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir())
TASKS = sorted(path for path in EXAMPLES.glob("*/*.yaml") if "\nsteps:" in path.read_text())


@pytest.mark.parametrize("task", TASKS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_an_example_is_valid_without_warnings_as_its_comment_calls_it(task: Path) -> None:
    for words in commands(task):
        options = [word for word in words[1:] if word not in {"-f", task.name, ".", "/dev/null", "--quiet"}]
        if "-o" in options:
            options = options[: options.index("-o")]
        done = subprocess.run(
            [*CLI, "validate", "--strict", task.name, *options], cwd=task.parent, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("task", TASKS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_an_example_begins_with_what_it_shows_and_how_to_run_it(task: Path) -> None:
    assert task.read_text().startswith("# ")
    assert any(words[0] == "run" for words in commands(task))


def test_the_list_of_examples_is_complete() -> None:
    listed = (EXAMPLES / "README.md").read_text()
    assert [name for name in FOLDERS if f"({name}/acb.yaml)" not in listed] == []


def test_every_example_is_run_by_a_test_here() -> None:
    text = Path(__file__).read_text()
    assert [name for name in FOLDERS if f'example("{name}"' not in text] == []


def test_hello_world_prints_from_two_containers(example: Example) -> None:
    ran = example("hello-world")
    assert ran.says("acb_step_0") == [f"Hello, run {ran.id}"]
    assert ran.says("acb_step_1") == ["ON LINUX, IN /WORKSPACE"]


def test_quickstart_pushes_both_images_after_the_check(example: Example, in_registry: InRegistry) -> None:
    ran = example("quickstart")
    assert set(ran.steps.values()) == {"succeeded"}
    assert "ok: http://web:8080/ says 'Hello from the quickstart'" in ran.says("check")
    assert ran.pushed == {
        name: in_registry(name) for name in (f"quickstart/web:{ran.id}", f"quickstart/check:{ran.id}")
    }


def test_build_push_pushes_one_image_under_two_names(example: Example, in_registry: InRegistry) -> None:
    ran = example("build-push")
    assert in_registry(f"hello:{ran.id}") == in_registry("hello:latest") == ran.pushed["hello:latest"]


def test_service_test_pushes_what_answered(example: Example, in_registry: InRegistry) -> None:
    ran = example("service-test")
    assert "Good morning" in ran.says("test")
    assert in_registry(f"greeter:{ran.id}") == ran.pushed[f"greeter:{ran.id}"]


def test_parallel_steps_overlap_and_the_report_waits_for_all(example: Example) -> None:
    ran = example("parallel")
    assert ran.says("report") == ["clean", "42 passed", "7 pages"]
    kinds = [(e["event"], e.get("step") or e.get("record", {}).get("id")) for e in ran.events]
    first_end = kinds.index(next(k for k in kinds if k[0] == "step.finished"))
    assert {s for kind, s in kinds[:first_end] if kind == "step.started"} == {"lint", "unit-tests", "docs"}


def test_multi_stage_pushes_only_the_release(example: Example, in_registry: InRegistry) -> None:
    ran = example("multi-stage")
    assert ran.says("show") == ["tool, version v1.4"]
    assert ran.pushed == {f"tool:{ran.id}": in_registry(f"tool:{ran.id}")}


def test_base_and_app_builds_the_app_on_the_base_of_the_same_run(example: Example, in_registry: InRegistry) -> None:
    ran = example("base-and-app")
    assert ran.says("test") == ["base of the house"]
    assert ran.pushed == {name: in_registry(name) for name in (f"base:{ran.id}", f"app:{ran.id}")}


def test_matrix_builds_each_combination(example: Example, in_registry: InRegistry) -> None:
    ran = example("matrix")
    names = {f"greeting:{edition}-{language}" for edition in ("small", "large") for language in ("en", "fr")}
    assert ran.pushed == {name: in_registry(name) for name in names}


def test_values_of_staging_bring_a_smoke_test(example: Example) -> None:
    ran = example("values")
    assert ran.says("deploy") == ["deploy shop to STAGING with 3 replicas"]
    assert ran.says("smoke-test") == ["testing https://staging.example.com"]
    assert ran.says("notify") == ["telling nobody"]


def test_values_of_production_bring_none(example: Example) -> None:
    ran = example("values", "--values", "production.yaml")
    assert list(ran.steps) == ["deploy", "notify"]
    assert ran.says("notify") == ["telling the team on duty"]


def test_aliases_come_from_the_file_and_from_another_file(example: Example, engine: Engine) -> None:
    ran = example("aliases")
    image = f"{engine.registry}/shop/app:{ran.id}"
    assert ran.says("names") == [f"run {ran.id}, team lighthouse, image {image}"]
    assert ran.says("head") == ["the contact is lighthouse@example.com"]


def test_aliases_may_have_another_sign(example: Example) -> None:
    ran = example("aliases", file="directive.yaml")
    assert ran.says("both") == [f"alias {ran.id}, variable shell"]


def test_secrets_reach_the_step_and_no_log(example: Example) -> None:
    ran = example("secrets")
    assert ran.says("use") == ["the key has 13 characters and is ***"]
    assert ran.says("encoded") == ["***"]


def test_secret_volume_is_seen_by_the_step_that_mounts_it(example: Example) -> None:
    ran = example("secret-volume")
    assert ran.says("with") == ["password", "settings.ini", "[server]", "host = db.example.com", "21"]
    assert ran.says("without") == ["nothing here"]


def test_retries_stop_at_the_first_success(example: Example) -> None:
    ran = example("retries")
    assert ran.says("flaky") == ["call 1", "call 2", "call 3"]
    assert (ran.step("flaky")["attempts"], ran.step("picky")["attempts"]) == (3, 2)


def test_ignore_errors_lets_the_run_succeed_and_tells_the_failure(example: Example) -> None:
    ran = example("ignore-errors")
    assert (ran.code, ran.record["status"]) == (0, "Succeeded")
    assert ran.step("style")["errorIgnored"] is True
    assert ran.step("style")["exitCode"] == 4


def test_networks_keep_steps_apart(example: Example) -> None:
    ran = example("networks")
    assert "17 rows" in ran.says("same-network")
    assert "no way to the database" in ran.says("other-network")
    assert ran.says("offline") == ["lo"]


@pytest.mark.usefixtures("docker_cli_image")
def test_docker_commands_build_tag_and_push(example: Example, in_registry: InRegistry) -> None:
    ran = example("docker-commands")
    assert in_registry(f"tagged:{ran.id}") == in_registry("tagged:stable")
    assert ran.says("inspect") == ["[echo tagged]"]
    told = [e for e in ran.events if e["event"] == "notice" and e.get("step") == "build"]
    assert "Docker socket" in told[0]["message"]


def test_workspace_is_shared_and_a_copy(example: Example) -> None:
    ran = example("workspace")
    assert ran.says("read") == ["SHARED WORDS"]
    assert ran.says("image-directory") == ["/tmp"]
    assert ran.says("as-nobody") == ["uid 65534"]
    assert ran.steps["image"] == "succeeded"
    assert not (EXAMPLES / "workspace" / "out").exists()


def test_timing_stops_the_slow_step_and_repeats_the_last(example: Example) -> None:
    ran = example("timing")
    slow = ran.step("too-slow")
    assert (slow["reason"], slow["errorIgnored"]) == ("timeout", True)
    assert ran.says("thrice") == ["1", "2", "3"]


def test_run_options_are_those_of_docker_run(example: Example) -> None:
    ran = example("run-options")
    assert ran.says("locked-down") == ["only /scratch is writable"]
    assert ran.says("environment") == ["green on painter"]
    assert ran.says("properties") == ["shell as entry point, uid 1000"]


@pytest.mark.usefixtures("docker_cli_image")
def test_nightly_cleanup_removes_old_images_with_the_label_and_no_others(example: Example, engine: Engine) -> None:
    label = "LABEL org.example.test-cleanup=1"
    engine.build_base("cleanup/labelled:1", f"FROM busybox:1\n{label}\n")
    engine.build_base("cleanup/other:1", "FROM busybox:1\nLABEL other=1\n")
    young = example("nightly-cleanup", "--set", "label=org.example.test-cleanup")
    assert young.code == 0
    assert "cleanup/labelled:1" in engine.images()
    old = example("nightly-cleanup", "--set", "label=org.example.test-cleanup", "--set", "age=0s")
    assert old.code == 0
    assert "cleanup/labelled:1" not in engine.images()
    assert "cleanup/other:1" in engine.images()
