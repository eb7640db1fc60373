"""One attempt at one build: opens a session, asks for the build, follows it, and says how it ended.

Loads what speaks gRPC; only client.py imports this module, when there is something to build.
"""

from __future__ import annotations

import base64
import contextlib
import secrets
import threading
from collections.abc import Callable
from typing import Any

from taskengine.lightclass import dataclass
from taskengine.runner import Cancel

from . import messages as pb
from .attrs import cache_exports, entitlements, exporter_attrs, frontend_attrs
from .call import Outgoing
from .channel import Channel
from .dial import Dial, EngineRefused
from .failure import BuildCanceled, BuildFailed, BuildLost, exit_code_of, hint_for, plain, sounds_lost
from .link import CallError, Status
from .locate import line_of
from .model import BuildOutcome, BuildRequest, Progress
from .receive import Load
from .resolved import resolved
from .session import Offer, Session
from .source import Source
from .watch import Watch

#: A build without a deadline of its own ends after a day: no call may wait for ever.
_LONGEST_S = 24 * 3600.0
#: How long the end of a build waits for the last of its progress; there may be none, when the build ended at once.
_PROGRESS_S, _NO_PROGRESS_S, _CANCELED_S = 3.0, 0.5, 0.03
_DETAILS = "grpc-status-details-bin"


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What an attempt needs besides the request: the way to the engine, and the source that was read for it."""

    channel: Channel
    dial: Dial
    source: Source
    cancel: Cancel
    progress: Callable[[Progress], None]
    #: None where the engine itself builds, and keeps the image
    load: Load | None = None

    def run(self, request: BuildRequest) -> BuildOutcome:
        ident = secrets.token_hex(16)
        with contextlib.closing(self._session(request, ident)) as session:
            return _Build(self, request, session).run()

    def _session(self, request: BuildRequest, ident: str) -> Session:
        offer = Offer(
            trees=self.source.trees,
            upload=self.source.upload,
            secrets=request.secrets,
            ssh=request.ssh,
            credentials=request.credentials,
            load=self.load,
        )
        key = self.source.shared_key
        try:
            return Session(ident=ident, offer=offer, dial=self.dial, shared_key=key)
        except (OSError, EngineRefused, CallError) as error:
            raise BuildLost(f"the engine does not take a build session: {error}") from error


class _Build:
    def __init__(self, attempt: Attempt, request: BuildRequest, session: Session) -> None:
        self._attempt = attempt
        self._request = request
        self._session = session
        self._watch = Watch(attempt.progress)
        self._ref = secrets.token_hex(16)
        self._trouble: Exception | None = None
        self._solving: Any = None

    def run(self) -> BuildOutcome:
        deadline = self._request.deadline_s or _LONGEST_S
        try:
            self._solving = self._attempt.channel.solve(self._message(), timeout=deadline)
            status = self._attempt.channel.status(self._ref, timeout=deadline + _PROGRESS_S)
        except (OSError, EngineRefused, CallError) as error:
            raise BuildLost(f"the engine does not take a build: {error}") from error
        follower = threading.Thread(target=self._follow, args=(status,), name="buildkit-status", daemon=True)
        follower.start()
        stop_listening = self._attempt.cancel.listen(self._solving.cancel)
        try:
            response = dict(pb.SolveResponse.decode(self._solving.result()).ExporterResponse)
        except CallError as error:
            if error.status is Status.CANCELLED and (self._attempt.cancel.is_set or self._trouble is not None):
                follower.join(_CANCELED_S)
                raise self._stopped() from None
            self._settle(follower)
            raise self._ended(error) from error
        finally:
            stop_listening()
            self._settle(follower)
            status.cancel()
            follower.join(1)
        if self._trouble is not None:
            raise self._trouble
        return self._outcome(response)

    def _message(self) -> Any:
        request, source = self._request, self._attempt.source
        attrs = {**frontend_attrs(request), **source.attrs}
        if source.upload is not None:
            attrs["context"] = f"http://buildkit-session/{self._session.ident}"
        exports = [pb.CacheOptionsEntry(Type=kind, Attrs=more) for kind, more in cache_exports(request)]
        return pb.SolveRequest(
            Ref=self._ref,
            Session=self._session.ident,
            Frontend="dockerfile.v0",
            FrontendAttrs=attrs,
            Exporter=self._exporter(),
            ExporterAttrs=exporter_attrs(request),
            Entitlements=entitlements(request),
            Cache=pb.CacheOptions(Exports=exports),
        )

    def _exporter(self) -> str:
        if not self._request.exported:
            return ""
        return "moby" if self._attempt.load is None else "docker"

    def _follow(self, status: Outgoing) -> None:
        try:
            self._watch.follow(map(pb.StatusResponse.decode, status))
        except CallError:
            pass  # the build's own answer tells what happened
        except Exception as error:  # noqa: BLE001  (the caller's progress function failed: build() raises it)
            self._trouble = error
            self._solving.cancel()

    def _settle(self, follower: threading.Thread) -> None:
        """Wait for the rest of the progress: the stream ends by itself soon after the build."""
        if self._attempt.cancel.is_set or self._trouble is not None:
            return
        if self._watch.seen.wait(_NO_PROGRESS_S):
            follower.join(_PROGRESS_S)

    def _stopped(self) -> Exception:
        if self._trouble is not None:
            return self._trouble
        return BuildCanceled(self._attempt.cancel.reason or "canceled")

    def _ended(self, error: CallError) -> Exception:
        """Whose affair the error is: the user's who stopped it, ours, or the author's."""
        code, text = error.status, str(error)
        if self._attempt.cancel.is_set:
            return self._stopped()
        if code is Status.DEADLINE_EXCEEDED:
            return BuildCanceled(f"the build took longer than {self._request.deadline_s or _LONGEST_S:g} s")
        if self._session.failure is not None:
            return BuildFailed(self._session.failure.message, hint=self._session.failure.hint)
        culprit = self._watch.culprit()
        blamed = culprit is not None and exit_code_of(culprit.error) is not None
        gone = code in (Status.UNAVAILABLE, Status.CANCELLED) or self._session.lost
        if (gone or sounds_lost(text)) and not blamed:
            return BuildLost(f"the engine or the connection to it went away during the build: {plain(text)}")
        return self._failed(error, text)

    def _failed(self, error: CallError, text: str) -> BuildFailed:
        culprit = self._watch.culprit()
        name = culprit.name if culprit is not None else ""
        code = exit_code_of(culprit.error) if culprit is not None else None
        dockerfile = self._attempt.source.dockerfile
        line = line_of(dockerfile, message=text, vertex=name, source=_attached_source(error))
        message = plain(text) if code is None else f"{name}: exit code {code}"
        where = f"{self._request.dockerfile}:{line}: " if line is not None and f"line {line}" not in message else ""
        return BuildFailed(
            where + message,
            hint=hint_for(text),
            exit_code=code,
            vertex=name,
            line=line,
            log=self._watch.last_lines(culprit.digest) if culprit is not None else (),
        )

    def _outcome(self, response: dict[str, str]) -> BuildOutcome:
        config, manifest = response.get("containerimage.config.digest", ""), response.get("containerimage.digest", "")
        vertexes = self._watch.vertexes()
        if "containerimage.descriptor" in response and self._attempt.load is None:
            image = manifest  # containerd's store: an image is known by its manifest
        else:
            image, manifest = config or manifest, ""
        return BuildOutcome(
            image_id=image,
            digest=manifest,
            response=response,
            vertexes=vertexes,
            dockerfile=self._attempt.source.dockerfile,
            resolved=resolved(vertexes, response),
            files_sent=self._session.sent.files,
            bytes_sent=self._session.sent.bytes,
        )


def _attached_source(error: CallError) -> bytes:
    """What BuildKit attached to its error about the place in the Dockerfile: JSON, or nothing."""
    details = dict(error.trailers).get(_DETAILS)
    if details is not None:
        with contextlib.suppress(Exception):  # what cannot be read is only missing
            decoded = base64.b64decode(details + "=" * (-len(details) % 4))  # gRPC leaves the padding out
            for detail in pb.ErrorStatus.decode(decoded).details:
                if "errdefs.Source" in detail.type_url:
                    return bytes(detail.value)
    return b""
