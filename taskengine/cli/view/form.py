"""Answers for programs: plain data as JSON, YAML or tab-separated values. Pure; prints nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

#: what a tab or a line's end in a value would break becomes a blank
_BREAKS = str.maketrans({"\t": " ", "\n": " ", "\r": " "})


def json_text(data: Any) -> str:
    import json

    return json.dumps(data, indent=2, ensure_ascii=False)


def yaml_text(data: Any) -> str:
    """A YAML document without a newline at its end; keys in the order of the data."""
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return str(yaml.dump(data, Dumper=dumper, sort_keys=False, allow_unicode=True, width=1_000_000)).rstrip("\n")


def tsv_text(rows: Iterable[Sequence[str]]) -> str:
    """One line a row, without a head, as `az -o tsv` prints them."""
    return "\n".join("\t".join(cell.translate(_BREAKS) for cell in row) for row in rows)
