"""The kill test, short: whatever is killed, nothing is lost, doubled or left behind."""

from __future__ import annotations

import random

import pytest

from scripts.killtest import run, text_of

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]


def test_nothing_is_lost_while_service_and_worker_are_killed() -> None:
    report = run(4, random.Random(7), engine_too=False)
    assert report.is_clean, report
    assert "| lost runs | 0 |" in text_of(report, 7, 1.0)
