"""What the models share. Numbers and switches are not guessed from texts; unknown names are refused."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictInt
from pydantic.alias_generators import to_camel

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)")

Name = Annotated[str, Field(pattern=NAME, max_length=50)]
Word = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]*$", max_length=200)]
Line = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]*$", max_length=2000)]
Flag = StrictBool
Count = Annotated[StrictInt, Field(ge=0, le=2**53)]


def _as_written(value: object) -> object:
    """Pydantic would take numbers for times, and times without a date or a zone."""
    if isinstance(value, str) and not _RFC3339.fullmatch(value):
        raise ValueError("write a time as RFC 3339 has it, such as 2026-11-24T21:00:00Z")
    if not isinstance(value, str | datetime):
        raise ValueError("a time is a text, such as 2026-11-24T21:00:00Z")  # noqa: TRY004 - what pydantic hears
    return value


Moment = Annotated[datetime, BeforeValidator(_as_written)]
Labels = Annotated[dict[Word, Word], Field(max_length=50)]


class Body(BaseModel):
    """What is sent to us. Both camelCase and our own snake_case names are taken, nothing unknown is."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")


class View(BaseModel):
    """What we send. Only for the documentation: answers are made as plain data, and tests hold them to this."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")


class ProblemItem(View):
    """One thing that is wrong. `path` is the place in the request, `location` the one in a task's text."""

    code: str
    message: str
    severity: str
    path: str | None = None
    location: dict[str, Any] | None = None
    hint: str | None = None
    source_line: str | None = None


class ProblemDetails(View):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    hint: str | None = None
    problems: list[ProblemItem] | None = None
