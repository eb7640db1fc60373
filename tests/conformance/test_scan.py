"""The public conformance cases about Dockerfiles: what the reference finds, and what a builder means.

`expect` is what the reference does; where a case carries `correct`, that counts instead, and where it carries a
`divergence` without one, `truth` does. `truth` is checked in every case: the images that the built target needs are
exactly its `buildtime`. The reference also lists under build time what only unneeded stages name (`unused` here).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from taskengine.dockerfile.scan import Scan, scan, scan_json
from taskengine.dockerfile.source import read_dockerfile
from taskengine.errors import InvalidInput
from taskengine.registry.reference import ImageReference

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parent / "data" / "scan.json").read_text())
#: a builder refuses these, but not on account of any base image; the reference accepts them, and so does a scan
ACCEPTED_WITH_A_WARNING = {"copy-from-image-with-arg"}


def run(case: dict[str, Any], folder: Path) -> Scan:
    path = folder / case["dockerfilePath"]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(case["dockerfile"].encode())
    arguments = dict(argument.split("=", 1) for argument in case.get("buildArgs", []))
    text = read_dockerfile(folder / case.get("dockerfileArgument", case["dockerfilePath"]))
    return scan(text, build_args=arguments, target=case.get("target", ""), tags=case.get("tags", ()))


def names(images: list[dict[str, str]]) -> list[str]:
    return sorted(ImageReference.parse(image["reference"]).familiar for image in images)


#: where a case is marked as a bug of the reference and no exact answer is given, only the builder's meaning is checked
OBSERVED = [case for case in CASES if "correct" in case or "divergence" not in case]


@pytest.mark.parametrize("case", OBSERVED, ids=[case["name"] for case in OBSERVED])
def test_a_scan_finds_what_the_reference_finds(case: dict[str, Any], tmp_path: Path) -> None:
    wanted = case.get("correct") or case["expect"]
    if not wanted["ok"]:
        with pytest.raises(InvalidInput):
            run(case, tmp_path)
        return
    found = scan_json(run(case, tmp_path))
    assert found["images"] == wanted["images"]
    assert found["runtime"] == wanted["runtime"]
    buildtime = sorted(wanted["buildtime"], key=str)
    assert sorted(found["buildtime"] + found["unused"], key=str) == buildtime


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_scan_means_what_a_builder_means(case: dict[str, Any], tmp_path: Path) -> None:
    truth = case["truth"]
    if case["name"] in ACCEPTED_WITH_A_WARNING:
        assert [warning.code for warning in run(case, tmp_path).warnings] == ["W702"]
        return
    if not truth["ok"]:
        with pytest.raises(InvalidInput):
            run(case, tmp_path)
        return
    found = scan_json(run(case, tmp_path))
    assert (names([found["runtime"]])[0] if found["runtime"] else None) == truth["runtime"]
    assert names(found["buildtime"]) == sorted(truth["buildtime"])
    assert names(found["unused"]) == sorted(truth.get("unused", []))
