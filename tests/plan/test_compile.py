"""What a task becomes: defaults, env, networks, needs, heads of cmd lines. Without YAML, from specs made by hand."""

from __future__ import annotations

import pytest

from taskengine.errors import InvalidTask
from taskengine.plan.compile import compile_plan, normalised
from taskengine.plan.model import Plan, StepType
from taskengine.taskspec.inputs import Inputs, RunFacts
from taskengine.taskspec.model import NetworkSpec, StepSpec, TaskSpec, VolumeMount, VolumeSpec


def cmd(**more: object) -> StepSpec:
    return StepSpec(cmd="x", **more)  # type: ignore[arg-type]


def plan(*steps: StepSpec, aliases: bool = False, inputs: Inputs | None = None, **task: object) -> Plan:
    return compile_plan(TaskSpec(steps=steps, **task), aliases=aliases, inputs=inputs)  # type: ignore[arg-type]


def codes(*steps: StepSpec, inputs: Inputs | None = None, **task: object) -> list[str]:
    try:
        return [problem.code for problem in plan(*steps, inputs=inputs, **task).warnings]
    except InvalidTask as invalid:
        return [problem.code for problem in invalid.problems]


def test_the_same_spec_gives_the_same_plan() -> None:
    assert plan(cmd(), cmd()) == plan(cmd(), cmd())


def test_steps_without_an_id_are_numbered_by_their_position() -> None:
    assert [step.id for step in plan(cmd(), cmd(id="b"), cmd()).steps] == ["acb_step_0", "b", "acb_step_2"]


def test_a_step_waits_for_the_one_above_unless_it_says_otherwise() -> None:
    steps = plan(cmd(id="a"), cmd(id="b", when=("-",)), cmd(id="c"), cmd(id="d", when=("b", "a", "b"))).steps
    assert [step.needs for step in steps] == [(), (), ("b",), ("a", "b")]


def test_a_step_named_dash_does_not_change_what_dash_means() -> None:
    assert plan(cmd(id="-"), cmd(when=("-",))).steps[1].needs == ()


@pytest.mark.parametrize(("own", "task", "wanted"), [(0, 0, 600), (-5, -20, 600), (0, 12, 12), (7, 12, 7)])
def test_the_time_limit_is_the_steps_then_the_tasks_then_ten_minutes(own: int, task: int, wanted: int) -> None:
    assert plan(cmd(timeout=own), step_timeout=task).steps[0].timeout == wanted


def test_a_retry_delay_of_zero_or_less_is_five_seconds() -> None:
    steps = plan(cmd(), cmd(retry_delay=-4), cmd(retry_delay=1)).steps
    assert [step.retry_delay for step in steps] == [5, 5, 1]


def test_the_working_directory_is_the_steps_then_the_tasks_then_the_command_lines() -> None:
    inputs = Inputs(working_directory="cli")
    assert plan(cmd(), inputs=inputs).steps[0].working_directory == "cli"
    assert plan(cmd(), working_directory="task", inputs=inputs).steps[0].working_directory == "task"
    assert plan(cmd(working_directory="s"), working_directory="task").steps[0].working_directory == "s"


def test_env_is_the_steps_own_then_the_tasks_then_the_command_lines() -> None:
    found = plan(cmd(env=("B=s",)), env=("A=t", "B=t"), inputs=Inputs(env=("A=c", "C=c,D=c"))).steps[0].env
    assert found == ("B=s", "A=t", "C=c", "D=c")


def test_a_value_of_the_tasks_env_may_hold_commas() -> None:
    assert plan(cmd(), env=("LIST=a,b", "J=x=1,-y=2")).steps[0].env == ("LIST=a,b", "J=x=1,-y=2")


def test_several_variables_in_one_entry_are_told_and_taken_apart() -> None:
    assert plan(cmd(), env=("A=1,B=2",)).steps[0].env == ("A=1", "B=2")
    assert codes(cmd(), env=("A=1,B=2",)) == ["W305"]


def test_a_name_alone_is_only_possible_where_nothing_is_inherited() -> None:
    assert plan(cmd(env=("NAME",))).steps[0].env == ("NAME",)
    assert codes(cmd(env=("NAME",)), env=("A=1",)) == ["E350"]
    assert codes(env=("NAME",)) == ["W301"]
    assert codes(env=("NAME",), inputs=Inputs(env=("A=1",))) == ["E350"]


def test_without_networks_one_is_made_for_every_step() -> None:
    found = plan(cmd(), cmd(network="host"))
    assert [network.name for network in found.networks] == ["acb_default_network"]
    assert [step.network for step in found.steps] == ["acb_default_network", "host"]


def test_with_networks_the_last_default_is_the_one_that_steps_join() -> None:
    networks = (NetworkSpec(name="a", is_default=True), NetworkSpec(name="b", is_default=True), NetworkSpec(name="c"))
    assert plan(cmd(), networks=networks).steps[0].network == "b"
    assert plan(cmd(), networks=networks[2:]).steps[0].network == ""


def test_a_network_of_the_command_line_is_the_default_and_not_made() -> None:
    found = plan(cmd(), networks=(NetworkSpec(name="a", is_default=True),), inputs=Inputs(network="mine"))
    assert found.steps[0].network == "mine"
    assert found.networks[1] == NetworkSpec(name="mine", driver="external", skip_creation=True, is_default=True)


@pytest.mark.parametrize(
    ("image", "wanted"),
    [
        ("app", "app:latest"),
        ("app:1", "app:1"),
        ("localhost:5000/app", "localhost:5000/app:latest"),
        ("localhost:5000/app:2", "localhost:5000/app:2"),
        ("app@sha256:" + "a" * 64, "app@sha256:" + "a" * 64),
    ],
)
def test_an_image_to_push_gets_the_tag_latest_where_it_has_none(image: str, wanted: str) -> None:
    assert normalised(image) == wanted


def test_an_image_is_pushed_once() -> None:
    assert plan(StepSpec(push=("a", "a:latest", "b:1"))).steps[0].push == ("a:latest", "b:1")


def test_a_word_at_the_head_of_a_cmd_may_stand_for_an_image() -> None:
    inputs = Inputs(image_aliases={"bash": "my/bash:5"})
    step = StepSpec(cmd=" bash  -c x")
    assert plan(step, aliases=True, inputs=inputs).steps[0].text == "my/bash:5  -c x"
    assert plan(step, aliases=False, inputs=inputs).steps[0].text == " bash  -c x"


def test_a_head_that_was_replaced_is_not_looked_up_again() -> None:
    inputs = Inputs(image_aliases={"a": "b c", "b": "never"})
    assert plan(StepSpec(cmd="a d"), aliases=True, inputs=inputs).steps[0].text == "b c d"


def test_a_build_with_cache_keeps_its_layers_beside_its_image() -> None:
    facts = RunFacts(task_name="nightly", registry="r.io")
    build = plan(StepSpec(id="b", build="-t app .", cache="Enabled"), inputs=Inputs(facts=facts)).steps[0].build
    assert build is not None
    assert build.last("cache-to") == "type=registry,ref=r.io/app:cache_nightly_b,mode=max"
    assert build.last("cache-from") == "type=registry,ref=r.io/app:cache_nightly_b"
    assert build.context == "."


def test_a_step_is_one_of_three_types() -> None:
    steps = plan(cmd(), StepSpec(build="."), StepSpec(push=("a",))).steps
    assert [step.type for step in steps] == [StepType.CMD, StepType.BUILD, StepType.PUSH]


@pytest.mark.parametrize(
    ("step", "code"),
    [
        (StepSpec(), "E305"),
        (StepSpec(cmd=""), "E305"),
        (StepSpec(cmd=" "), "E402"),
        (StepSpec(cmd="x", build="."), "E306"),
        (StepSpec(build=".", push=("a",)), "E306"),
        (cmd(retries=-1), "E307"),
        (cmd(repeat=-1), "E307"),
        (cmd(cache="on"), "E308"),
        (cmd(id="a\u00a0b"), "E303"),
        (cmd(id="a\tb"), "E303"),
        (cmd(when=("acb_root",)), "E313"),
        (cmd(volume_mounts=(VolumeMount(name="v", mount_path="/m"),)), "E341"),
        (StepSpec(push=("",)), "E421"),
    ],
)
def test_a_step_that_cannot_work_is_refused(step: StepSpec, code: str) -> None:
    assert code in codes(step)


def test_all_problems_are_told_at_once() -> None:
    found = codes(StepSpec(id="a b"), cmd(id="c", retries=-1), cmd(id="c", when=("z",)), version="v7")
    assert sorted(found) == ["E301", "E302", "E303", "E305", "E307", "E313"]


def test_a_volume_may_be_mounted_twice() -> None:
    mounts = (VolumeMount(name="v", mount_path="/a"), VolumeMount(name="v", mount_path="/b"))
    volumes = (VolumeSpec(name="v", secret=(("f", "YQ=="),)),)
    assert plan(cmd(volume_mounts=mounts), volumes=volumes).steps[0].volume_mounts == mounts


def test_properties_without_effect_are_told() -> None:
    assert codes(StepSpec(build=".", detach=True, ports=("80",))) == ["W302", "W302"]


def test_strict_makes_errors_of_warnings() -> None:
    with pytest.raises(InvalidTask):
        plan(StepSpec(build=".", detach=True), inputs=Inputs(strict=True))
