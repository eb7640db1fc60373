"""Build arguments that hold secrets: what a Dockerfile declares by ARG can be read in the image's history. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from taskengine.dockerfile.parse import parse

#: a shorter secret may stand in a value by chance
_SHORTEST_PART = 8


def exposed(dockerfile: bytes, build_args: Mapping[str, str], secrets: Iterable[str]) -> tuple[str, ...]:
    """The names of the arguments that hold a secret and that a stage of the Dockerfile declares."""
    known = [secret for secret in secrets if secret]
    secret_ones = {name for name, value in build_args.items() if _holds_one(value, known)}
    return tuple(sorted(secret_ones & _declared(dockerfile))) if secret_ones else ()


def warning(names: tuple[str, ...]) -> str:
    those = ", ".join(names)
    return (
        f"the build argument{'s' if len(names) > 1 else ''} {those} can be read in the image's history:"
        " give secrets by --secret, and read them with RUN --mount=type=secret"
    )


def _holds_one(value: str, secrets: Iterable[str]) -> bool:
    return any(value == secret or (len(secret) >= _SHORTEST_PART and secret in value) for secret in secrets)


def _declared(dockerfile: bytes) -> set[str]:
    parsed, _ = parse(dockerfile.decode("utf-8-sig", "replace"))
    found: set[str] = set()
    in_stage = False
    for instruction in parsed.instructions:
        in_stage = in_stage or instruction.keyword == "FROM"  # those above the first FROM are in no image
        if in_stage and instruction.keyword == "ARG":
            found |= {word.partition("=")[0] for word in instruction.words}
    return found
