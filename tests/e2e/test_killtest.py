"""The kill test, short: whatever is killed, nothing is lost, doubled or left behind."""

from __future__ import annotations

import random

import pytest

from scripts import killtest_triggers
from scripts.killtest import run, text_of, with_result

pytestmark = pytest.mark.timeout(600)


def test_no_delivery_is_lost_or_doubled_while_the_service_is_killed() -> None:
    report = killtest_triggers.run(4.0, random.Random(7), timers=False)
    assert report.is_clean, report
    assert report.kills
    assert report.deliveries
    assert "| events that did not come to an end | 0 |" in killtest_triggers.text_of(report, 7, 1.0)


def test_a_result_replaces_the_one_before_and_nothing_else() -> None:
    page = "a\n<!-- the newest result: x -->\nold\n<!-- end of x -->\nb\n<!-- the newest result: y -->\n<!-- end of y -->\n"
    once = with_result(page, "x", "new")
    assert once == page.replace("old\n", "\nnew\n", 1)
    assert with_result(once, "x", "new") == once
    with pytest.raises(SystemExit):
        with_result(page, "z", "new")


@pytest.mark.engine
def test_nothing_is_lost_while_service_and_worker_are_killed() -> None:
    report = run(4, random.Random(7), engine_too=False)
    assert report.is_clean, report
    assert "| lost runs | 0 |" in text_of(report, 7, 1.0)
