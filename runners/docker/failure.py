"""Turns what the engine says into results that help: whose fault, which exit code, what to do."""

from __future__ import annotations

from typing import Any

from taskengine.lightpattern import pattern
from taskengine.runs.model import Reason, StepResult

#: what Go's network library says when there is no connection: no such name, nobody there, no way, no answer in time
_UNREACHABLE = pattern(
    r"\bdial (?:tcp|udp)\b|connection refused|no such host|no route to host|network is unreachable|i/o timeout"
    r"|server misbehaving|while waiting for connection|TLS handshake timeout|proxyconnect"
)


class StepFailed(Exception):
    """Ends an attempt early with a result that is already known. `retryable`: the same again may work."""

    def __init__(self, result: StepResult, *, retryable: bool = False) -> None:
        super().__init__(result.message)
        self.result = result
        self.retryable = retryable


def fail(
    reason: Reason,
    message: str,
    *,
    exit_code: int | None = None,
    hint: str = "",
    retryable: bool = False,
    unreachable: bool = False,
) -> StepFailed:
    result = StepResult(
        ok=False, exit_code=exit_code, reason=reason, message=message, hint=hint, unreachable=unreachable
    )
    return StepFailed(result, retryable=retryable)


def explanation(error: Any) -> str:
    """The engine's own sentence from a docker-py APIError, or the error's first line."""
    text = getattr(error, "explanation", None)
    if not text:
        return plain(error)
    if isinstance(text, bytes):
        text = text.decode(errors="replace")
    return str(text).strip().partition("\n")[0]


def plain(error: BaseException) -> str:
    """What a failed connection means, without the names of the libraries that it failed in."""
    text = str(error)
    for known, words in (
        ("Permission denied", "permission denied"),
        ("PermissionError", "permission denied"),
        ("FileNotFoundError", "no such socket"),
        ("No such file", "no such socket"),
        ("Connection refused", "connection refused"),
        ("ConnectionRefusedError", "connection refused"),
        ("timed out", "timed out"),
        ("CERTIFICATE_VERIFY_FAILED", "its certificate is not from an authority that is trusted here"),
        # said, or only shown, by an engine that wants a client certificate of its own authority
        ("CERTIFICATE", "it does not take our certificate, or has got none"),
        ("certificate", "it does not take our certificate, or has got none"),
        ("SSLEOFError", "it does not take our certificate, or has got none"),
        ("UNKNOWN_CA", "it does not take our certificate, or has got none"),
        ("HTTPS server", "it wants TLS: set DOCKER_TLS_VERIFY and DOCKER_CERT_PATH"),
        ("NameResolutionError", "no such host"),
        ("ConnectionResetError", "it closed the connection at once"),
        ("BrokenPipeError", "it closed the connection at once"),
    ):
        if known in text:
            return words
    return text.splitlines()[0][:200] if text else type(error).__name__


def start_failure(text: str, image: str) -> StepFailed:
    """What a failed container start means; the exit codes are those of `docker run`."""
    lower = text.lower()
    if "executable file not found" in lower or ("no such file or directory" in lower and "exec" in lower):
        return fail(
            Reason.EXIT_CODE,
            f"the program does not exist in image {image}: {_innermost(text)}",
            exit_code=127,
            hint="check the first word after the image, or the image's entry point",
        )
    if "permission denied" in lower and "exec" in lower:
        return fail(
            Reason.EXIT_CODE, f"the program in image {image} is not executable: {_innermost(text)}", exit_code=126,
            hint="set its executable bit, or run it through its interpreter",
        )  # fmt: skip
    if "port is already allocated" in lower or "address already in use" in lower:
        return fail(
            Reason.INVALID, f"a port of this step is taken on the engine: {_innermost(text)}", exit_code=125,
            hint="publish another host port, or only the container's port and let the engine choose",
        )  # fmt: skip
    return fail(Reason.INVALID, f"the container could not be started: {_innermost(text)}", exit_code=125)


def _innermost(text: str) -> str:
    """runc nests its messages; the last part says it."""
    tail = text.rsplit("caused: ", 1)[-1] if "caused: " in text else text
    return tail.removesuffix(": unknown").strip()


def sounds_unreachable(text: str) -> bool:
    """Whether an engine's words about a registry say that it got no connection to it, or to its name server."""
    return _UNREACHABLE.search(text) is not None


def registry_failure(reason: Reason, verb: str, image: str, text: str) -> StepFailed:
    """A failed pull or push: which of the two sides has to act, and whether trying again may help."""
    lower = text.lower()
    if any(word in lower for word in ("unauthorized", "denied", "no basic auth", "authentication required")):
        return fail(
            reason, f"the registry refused to {verb} {image}: {text}",
            hint="check the name; log in with `docker login`, with an account that may do this",
        )  # fmt: skip
    if any(word in lower for word in ("manifest unknown", "not found", "not exist", "name unknown", "no such image")):
        return fail(reason, f"image {image} was not found: {text}", hint="check its name and tag")
    return fail(
        reason, f"could not {verb} {image}: {text}", retryable=True, unreachable=sounds_unreachable(text),
        hint="check that the engine reaches the registry (a plain http registry must be configured on the engine)",
    )  # fmt: skip
