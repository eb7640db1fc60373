"""What is attached to the images that a run pushed, by its worker: provenance and bills of materials, before the run's
end is told, so that its end says whether that went well.

Must not know Docker, nor where registries are; a client for them is handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Protocol

from taskengine.context.model import Fetched
from taskengine.context.source import shown
from taskengine.errors import TaskEngineError, Unreachable
from taskengine.runs.event import Event, RunFinished
from taskengine.runs.model import RunRecord, RunStatus

if TYPE_CHECKING:
    from taskengine.client.workers import LeasedRun
    from taskengine.logs.mask import Mask
    from taskengine.provenance.statement import ContextOrigin, RunInputs
    from taskengine.registry.client import RegistryClient
    from taskengine.runner import Cancel
    from taskengine.runs.spec import RunSpec
    from taskengine.taskspec.load import LoadedTask

Registry = Callable[[], AbstractContextManager["RegistryClient"]]


class Voice(Protocol):
    """Tells the run's readers something."""

    def notice(self, message: str, level: str = "info") -> None: ...


class Attaching:
    """Between the scheduler and the spool: holds the run's end back until all is attached. `record` is that end."""

    def __init__(
        self, spool: Callable[[Event], None], wanted: tuple[str, ...], inputs: RunInputs, mask: Mask,
        registry: Registry, voice: Voice, cancel: Cancel,
    ) -> None:  # fmt: skip
        self._spool = spool
        self._wanted = wanted
        self._inputs = inputs
        self._mask = mask
        self._registry = registry
        self._tell = voice.notice
        self._cancel = cancel
        self.record: RunRecord | None = None

    def __call__(self, event: Event) -> None:
        if isinstance(event, RunFinished):
            self.record = event.record
            if not self._cancel.is_set:
                self.record = self._attached(event.record)
            event = replace(event, record=self.record)
        self._spool(event)

    def _attached(self, record: RunRecord) -> RunRecord:
        """The record as it is, or that of a run that has failed at this. As on a laptop, what a run that failed has
        pushed before is told of, too."""
        try:
            return self._attach(record)
        except TaskEngineError as error:
            return self._failed(record, "anything", error)
        except Exception as error:  # noqa: BLE001 - a bug of ours must end the run and not hang it
            bug = TaskEngineError(
                f"the worker failed unexpectedly: {type(error).__name__}: {error}",
                hint="this is a bug in the worker and not in the task: please report it",
            )
            return self._failed(record, "anything", bug)

    def _attach(self, record: RunRecord) -> RunRecord:
        from taskengine.provenance.attach import attach_to
        from taskengine.provenance.materials import pushed_images

        images = pushed_images(record)
        if not images:
            self._tell("the run pushed no image, so nothing is attached", "warning")
            return record
        failed: tuple[str, TaskEngineError] | None = None
        with self._registry() as client:
            for image in images:
                name = image.references[0]
                try:
                    done = attach_to(
                        client, image, record, self._inputs, self._mask, provenance="provenance" in self._wanted,
                        sbom="sbom" in self._wanted,
                    )  # fmt: skip
                except TaskEngineError as error:
                    self._tell(f"nothing could be attached to {name}: {self._mask.text(error.message)}", "warning")
                    failed = failed or (name, error)
                    continue
                for what, digest in done:
                    self._tell(f"attached {what} to {name}: {digest}", "info")
        return record if failed is None else self._failed(record, *failed)

    def _failed(self, record: RunRecord, name: str, why: TaskEngineError) -> RunRecord:
        if record.status is not RunStatus.SUCCEEDED:
            return record
        return replace(
            record,
            status=RunStatus.ERROR if isinstance(why, Unreachable) else RunStatus.FAILED,
            message=self._mask.text(f"nothing could be attached to {name}: {why.message}"),
            hint=self._mask.text(why.hint or ""),
            error_exit_code=why.exit_code,
        )


def inputs_of(
    leased: LeasedRun, loaded: LoadedTask, text: str | bytes, name: str, folder: Fetched | None, *, values: str | None
) -> RunInputs:
    """What the run was given, as far as it may be told: of secrets there are only the names."""
    from taskengine import __version__
    from taskengine.provenance.statement import BUILDER_WORKER, RunInputs

    spec = leased.spec
    typed = (one.partition(":")[2] for one in leased.secrets if one.startswith(("set:", "secret:")))
    known = folder or Fetched(folder=Path())
    facts = {
        "commit": spec.commit or known.commit,
        "branch": spec.branch or known.branch,
        "gitTag": spec.git_tag or known.tag,
        "repository": spec.repository or known.repository,
        "triggeredBy": spec.triggered_by,
        "taskName": spec.task_name,
    }
    return RunInputs(
        task_name=PurePath(name).name,
        task_text=text.encode() if isinstance(text, str) else text,
        is_made=spec.build is not None,
        context=_origin(spec, folder),
        values=dict(pair.split("=", 1) for pair in spec.set),
        values_file=None if values is None else values.encode(),
        secrets=tuple(dict.fromkeys((*loaded.secrets, *typed))),
        registry=spec.registry,
        platform=spec.platform,
        facts=facts,
        version=__version__,
        builder=BUILDER_WORKER,
    )


def _origin(spec: RunSpec, folder: Fetched | None) -> ContextOrigin | None:
    """Where the files came from. Of a folder that was uploaded, who asked has said it; nobody here has seen it."""
    from taskengine.provenance.statement import ContextOrigin

    if folder is None:
        return None
    if spec.context.startswith("upload:"):
        said: Mapping[str, object] = spec.origin
        changed = said.get("changed")
        return ContextOrigin(
            repository=str(said.get("repository", "")), commit=str(said.get("commit", "")),
            branch=str(said.get("branch", "")), changed=changed if isinstance(changed, bool) else None,
        )  # fmt: skip
    return ContextOrigin(
        uri=shown(spec.context), repository=folder.repository, commit=folder.commit, branch=folder.branch,
        tag=folder.tag, digest=folder.digest,
    )  # fmt: skip
