"""Our judgement of a Dockerfile beside a real builder's. No file without FROM is among them: it would end the engine."""

from __future__ import annotations

import io
import json
import tarfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from taskengine.dockerfile.scan import check
from taskengine.errors import Severity
from tests.support.engine import Engine

pytestmark = pytest.mark.engine

FILES = [
    "ARG V=1\nFROM busybox:$V",
    "ARG V=1\nARG I=busybox:${V:-2}\nFROM ${I}",
    "ARG R=busybox V=1\nFROM $R:$V AS x\nFROM X",
    "ARG V\nFROM busybox:$V",
    "FROM busybox:1 AS A.b-c_d\nFROM scratch\nCOPY --from=a.B-c_d /bin/busybox /b",
    "FROM busybox:1\nFROM scratch\nCOPY --from=0 /bin/busybox /b",
    "FROM busybox:1\nCOPY --from=1 /a /b",
    "FROM busybox:1\nCOPY --from=0 /a /b",
    "FROM busybox:1\nCOPY --from=A /a /b",
    "FROM busybox:1 AS x\nCOPY --from=y /a /b\nFROM x AS y",
    "FROM busybox:1 AS 1x",
    "FROM busybox:1 as x y",
    "FROM busybox:1 # c",
    "FROM Busybox:1 AS unneeded\nFROM busybox:1",
    "FROM 'busybox:1'",
    'FROM "busybox:1"',
    "FROM busybox:1\\\n",
    "FROM \\\n# comment\n  busybox:1",
    "# escape=`\nFROM `\nbusybox:1\nENV a=C:\\",
    "# escape=x\nFROM busybox:1",
    "# escape=`\n# escape=`\nFROM busybox:1",
    "\ufeffFROM busybox:1\r\nENV a=b\r\n",
    "FROM --platform=linux/amd64 busybox:1",
    "FROM --platform=$TARGETPLATFORM busybox:1",
    "FROM --platform=nonsense busybox:1",
    "FROM --platform=a/b/c/d busybox:1",
    "FROM --platform busybox:1",
    "FROM busybox:1\nRUM x",
    "FROM busybox:1\nENV a",
    "FROM busybox:1\nENV a b c",
    "FROM busybox:1\nENV a=1 b",
    "FROM busybox:1\nLABEL a=b c='d e'",
    "FROM busybox:1\nEXPOSE",
    "FROM busybox:1\nUSER",
    "FROM busybox:1\nVOLUME []",
    "FROM busybox:1\nCMD []",
    "FROM busybox:1\nCMD [1]",
    "FROM busybox:1\nSHELL a",
    "FROM busybox:1\nARG",
    "FROM busybox:1\nARG a b=1 c=",
    "FROM busybox:1\nHEALTHCHECK --interval=1m CMD x",
    "FROM busybox:1\nHEALTHCHECK --interval=x CMD x",
    "FROM busybox:1\nHEALTHCHECK x",
    "FROM busybox:1\nONBUILD FROM x",
    "FROM busybox:1\nONBUILD ONBUILD RUN x",
    "FROM busybox:1\nONBUILD RUN x",
    "FROM busybox:1\nCOPY a",
    "FROM busybox:1\nCOPY --chown a b",
    "FROM busybox:1\nCOPY --nope=1 a b",
    "FROM busybox:1\nSTOPSIGNAL",
    "FROM busybox:1\nMAINTAINER a b",
    "FROM busybox:1\nRUN --mount=type=nope x",
    "FROM busybox:1\nRUN --mount=type=secret,from=a x",
    "FROM busybox:1 AS Build\nFROM Build",
    "FROM busybox:1 AS build\nFROM build",
    "FROM busybox:1\nCOPY --from=busybox:${T} /bin/busybox /b",
    "FROM busybox:1\nRUN --mount=from=busybox:${T},target=/m true",
    "FROM busybox:1\nCOPY --from=busybox:1 --chown=0 /bin/busybox /b",
    "FROM scratch\nCOPY --from=Busybox /a /b",
    "FROM busybox:1 AS x\nFROM busybox:1\nCOPY --from='x' /bin/busybox /b",
    "FROM busybox:1\nCOPY --from= Dockerfile /b",
    'FROM busybox:1\nCOPY ["Dockerfile", "/b"]',
    'FROM busybox:1\nCOPY ["Dockerfile", 1]',
    "FROM busybox:1\nWORKDIR",
    "FROM busybox:1\nWORKDIR /a b",
    'FROM busybox:1\nVOLUME [""]',
    "FROM busybox:1\nHEALTHCHECK NONE x",
    "FROM busybox:1\nHEALTHCHECK CMD",
    "FROM busybox:1\nENV =1",
    "FROM busybox:1\nARG =1",
    "FROM busybox:1\nLABEL",
    "FROM busybox:1\nENTRYPOINT",
    "FROM busybox:1\nCMD",
    "FROM busybox:1\nUSER --x=1 a",
    "FROM busybox:1\nENV a=1 \\\n\n  b=2",
    "ENV a=1\nFROM busybox:1",
    "  # comment\n\tfrom busybox:1\n\n   env a=1",
    "FROM busybox:1@sha256:00",
    "FROM busybox:",
    "FROM busybox:1+2",
    "FROM ${x:?needed}",
    "FROM ${x",
    "FROM ${x!y}",
]


def build(engine: Engine, text: str) -> str:
    """What BuildKit says against a Dockerfile; nothing when it builds. Asked over the API, for which no CLI is needed."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.GNU_FORMAT) as tar:
        entry = tarfile.TarInfo("Dockerfile")
        entry.size = len(text.encode())
        tar.addfile(entry, io.BytesIO(text.encode()))
    url = engine.api._url("/build")
    answer = engine.api.post(url, params={"version": "2"}, data=archive.getvalue(), timeout=60)
    lines = [json.loads(line) for line in answer.text.splitlines() if line.strip()]
    return "".join(str(line.get("error") or line.get("message") or "") for line in lines)


def judgement(text: str) -> list[str]:
    return [problem.message for problem in check(text) if problem.severity is Severity.ERROR]


def test_a_builder_refuses_exactly_what_we_refuse(engine: Engine) -> None:
    with ThreadPoolExecutor(6) as pool:
        refusals = list(pool.map(lambda text: build(engine, text), FILES))
    pairs = [(text, refusal, judgement(text)) for text, refusal in zip(FILES, refusals, strict=True)]
    assert [pair for pair in pairs if bool(pair[1]) is not bool(pair[2])] == []
