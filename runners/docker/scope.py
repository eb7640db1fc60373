"""What one run owns on the engine: its networks, volumes, sandboxes and the container that fills the volumes.

Everything is made when it is first needed, once, and labelled with the run's id, which is how it is found again.
Volumes with secrets are tmpfs, so that no secret is written to the engine's disk; a keeper holds them mounted.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import io
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from runners.docker import sandbox
from runners.docker.engine import Engine
from runners.docker.login import config_json
from runners.docker.once import Once
from runners.docker.refused import not_there, refused
from runners.docker.sweep import ROLE_LABEL, RUN_LABEL, STEP_LABEL
from runners.docker.upload import Upload
from runners.docker.workspace import pack
from taskengine.errors import InvalidInput, RunnerError
from taskengine.plan.model import HOME, WORKSPACE, Plan
from taskengine.registry.auth import Login
from taskengine.runner import RunContext

_LOGINS = f"{HOME}/.docker"


class Scope:
    """Thread-safe; every method blocks until the thing is there, and raises what `refused` names."""

    def __init__(
        self, api: Engine, context: RunContext, plan: Plan, *, architecture: Callable[[], str], is_local: bool = False
    ) -> None:
        self._api = api
        self._context = context
        self._plan = plan
        self._architecture = architecture
        self._is_local = is_local
        self._once = Once()
        #: of the context into the workspace
        self.upload = Upload()
        self._stopped = threading.Event()
        self._changed = threading.Condition()
        self._making = 0
        #: something on the engine is, or was, this run's
        self.has_made = False
        self._networks = {n.name: n for n in plan.networks}
        self._secret_volumes = {v.name: v for v in plan.volumes}
        self._logins: Callable[[], Mapping[str, Login]] = dict

    def stop(self) -> None:
        """Nothing more is wanted: an upload that is under way ends, and nothing more is begun."""
        with self._changed:
            self._stopped.set()

    def settle(self) -> None:
        """Return when nothing is being made any more. After `stop`: what a canceled step has left half made is then
        there to be found by its label."""
        with self._changed:
            self._changed.wait_for(lambda: not self._making)

    @contextlib.contextmanager
    def _make(self) -> Iterator[None]:
        """While things are made. Whoever was held up must make nothing after the clean-up: nobody would find it."""
        with self._changed:
            if self._stopped.is_set():
                raise RunnerError("the run is over: nothing more is made for it")
            self._making += 1
            self.has_made = True
        try:
            yield
        finally:
            with self._changed:
                self._making -= 1
                self._changed.notify_all()

    # names and labels

    def name(self, *parts: str) -> str:
        """A name on the engine that only this run uses."""
        return "-".join(["acr-task", self._context.run_id, *(re.sub(r"[^a-zA-Z0-9_.-]", "_", p) for p in parts)])

    def labels(self, *, step: str = "", role: str) -> dict[str, str]:
        labels = {RUN_LABEL: self._context.run_id, ROLE_LABEL: role, **self._context.labels}
        return {**labels, STEP_LABEL: step} if step else labels

    # networks

    def network(self, name: str) -> str:
        """The engine's name for a step's network. One that the task declares is made for this run alone; any other
        name is the engine's own and has to exist."""
        spec = self._networks.get(name)
        if spec is None or spec.skip_creation:
            return name
        return self._once.get(("network", name), lambda: self._make_network(name))

    def _has_network(self, full: str) -> bool:
        mine = {"label": f"{RUN_LABEL}={self._context.run_id}"}
        return any(network["Name"] == full for network in self._api.networks(filters=mine))

    def is_own_network(self, name: str) -> bool:
        spec = self._networks.get(name)
        return spec is not None and not spec.skip_creation

    def _make_network(self, name: str) -> str:
        spec = self._networks[name]
        full = self.name(name)
        with self._make():
            if self._context.resumed and self._has_network(full):
                return full
            self._api.create_network(
                full, driver=spec.driver or "bridge", enable_ipv6=spec.ipv6, labels=self.labels(role="network"),
                check_duplicate=True,
            )  # fmt: skip
            return full

    # volumes

    def workspace(self) -> str:
        """The name of the volume at /workspace, filled with the context."""
        return self._once.get("workspace", self._make_workspace)

    def _make_workspace(self) -> str:
        volume = self._workspace_volume()
        folder = self._context.context_dir
        filled = self.name("workspace", "filled")
        if self._context.resumed and self._has_volume(filled):
            return volume
        if folder is not None:
            with pack(Path(folder), prefix=WORKSPACE.lstrip("/"), stop=self._stopped.is_set) as stream:
                self._put("/", self.upload.counted(stream))
            self.upload.end()
        if self._context.durable:
            self._make_volume(filled)  # empty: that it is there says that the workspace is whole
        return volume

    def open_folders(self) -> None:
        """Let any user write to the top of the workspace and the home. The engine gives an empty volume the mode of
        the image's own folder of that name each time a container with it is created, so this follows the creation."""
        self._put("/", io.BytesIO(_tar_of_folders([WORKSPACE.lstrip("/"), HOME.lstrip("/")])))

    def _workspace_volume(self) -> str:
        return self._once.get("workspace-volume", self._make_workspace_volume)

    def _make_workspace_volume(self) -> str:
        shared = self._context.shared_volume
        if shared:
            try:
                self._api.inspect_volume(shared)
            except not_there():
                self._make_volume(shared)
            return shared
        return self._make_volume(self.name("workspace"))

    def home(self) -> str:
        """The name of the volume at /acb/home, that all steps share."""
        return self._once.get("home", lambda: self._make_volume(self.name("home")))

    def workspace_folder(self) -> Path | None:
        """The workspace's folder on this machine, if the engine shares our file system and we may read it."""
        if not self._is_local or self._context.shared_volume:
            return None  # an engine that is elsewhere could name any folder of ours, and a shared volume another's
        volume = self.workspace()
        mountpoint = self._api.inspect_volume(volume).get("Mountpoint", "")
        folder = Path(mountpoint)
        if volume not in folder.parts:
            return None
        try:
            # the name is this run's own, so a folder of that name here is the engine's and no other's
            next(iter(folder.iterdir()), None)
        except OSError:
            return None
        return folder if mountpoint else None

    def workspace_archive(self, path: str) -> Iterable[bytes]:
        """A folder of the workspace as a tar stream, from the engine."""
        self.workspace()
        stream, _ = self._api.get_archive(self._filler(), path)
        return stream

    def _has_volume(self, name: str) -> bool:
        mine = {"label": f"{RUN_LABEL}={self._context.run_id}"}
        return any(v["Name"] == name for v in (self._api.volumes(filters=mine) or {}).get("Volumes") or [])

    def _make_volume(self, name: str) -> str:
        with self._make():
            self._api.create_volume(name, driver="local", labels=self.labels(role="volume"))
            return name

    # secrets in volumes

    def offer_logins(self, logins: Callable[[], Mapping[str, Login]]) -> None:
        """Where `logins_bind` takes registry logins from. Asked once, and only if some step may have them."""
        self._logins = logins

    def logins_bind(self) -> str:
        """A bind that shows a step the registry logins as Docker's config.json, in memory only."""
        volume = self._once.get("logins", self._make_logins)
        return f"{volume}:{_LOGINS}"

    def _make_logins(self) -> str:
        return self._make_secret_volume("logins", {"config.json": config_json(self._logins())})

    def secret_volume(self, name: str) -> str:
        """The engine's name for a volume of the task, with one file per key, byte for byte."""
        return self._once.get(("secret", name), lambda: self._make_task_volume(name))

    def check_volumes(self) -> None:
        """Refuse values that are not base64 before any step starts."""
        for volume in self._secret_volumes.values():
            for key, value in volume.secret:
                _decode(volume.name, key, value)

    def secret_file(self, name: str, key: str) -> bytes:
        """One file of a volume of the task. Raises FileNotFoundError."""
        for found, value in self._secret_volumes[name].secret:
            if found == key:
                return _decode(name, key, value)
        raise FileNotFoundError(key)

    def _make_task_volume(self, name: str) -> str:
        volume = self._secret_volumes[name]
        files = {key: _decode(name, key, value) for key, value in volume.secret}
        return self._make_secret_volume(f"secret-{name}", files)

    def _make_secret_volume(self, name: str, files: Mapping[str, bytes]) -> str:
        if not sandbox.supports(self._architecture()):
            raise RunnerError(
                f"secret volumes cannot be kept in memory on this engine's architecture ({self._architecture()})",
                hint="run the task on an engine on amd64 or arm64",
            )
        full = self.name(name)
        keeper = self.name("keeper", name)
        with self._make():
            if not (self._context.resumed and self._is_kept(keeper)):
                size = sum(len(content) for content in files.values()) + (1 << 20) + 4096 * len(files)
                self._start_keeper(keeper, full, size)
            # also where it is kept: the process may have died before it did this
            self._api.put_archive(keeper, "/keep", _tar_of_files(files))
            return full

    def _start_keeper(self, keeper: str, volume: str, size: int) -> None:
        self._api.create_volume(
            volume, driver="local", labels=self.labels(role="secrets"),
            driver_opts={"type": "tmpfs", "device": "tmpfs", "o": f"size={size},mode=0755"},
        )  # fmt: skip
        body = {
            "Image": self._sandbox_image(),
            "Labels": self.labels(role="keeper"),
            "StopSignal": "SIGKILL",
            "HostConfig": {"Binds": [f"{volume}:/keep"], "NetworkMode": "none"},
        }
        self._api.start(self._api.create_container_from_config(body, keeper)["Id"])

    def _is_kept(self, keeper: str) -> bool:
        """Whether a keeper of the run's earlier life still holds its volume. One that stopped has lost what was in
        memory, and goes, so that it can be made anew."""
        try:
            if self._api.inspect_container(keeper)["State"].get("Running"):
                return True
            self._api.remove_container(keeper, v=True, force=True)
        except not_there():
            pass
        return False

    # the container through which volumes are filled and read; it is never started

    def _filler(self) -> str:
        return self._once.get("filler", self._make_filler)

    def _make_filler(self) -> str:
        binds = [f"{self._workspace_volume()}:{WORKSPACE}", f"{self.home()}:{HOME}"]
        name = self.name("filler")
        body = {
            "Image": self._sandbox_image(),
            "Labels": self.labels(role="filler"),
            "HostConfig": {"Binds": binds, "NetworkMode": "none"},
        }
        with self._make():
            try:
                return str(self._api.create_container_from_config(body, name)["Id"])
            except refused() as error:
                if (
                    self._context.resumed and getattr(error, "status_code", 0) == 409
                ):  # there since the run's earlier life
                    return str(self._api.inspect_container(name)["Id"])
                raise

    def _put(self, path: str, stream: io.BufferedIOBase | io.RawIOBase) -> None:
        self._api.put_archive(self._filler(), path, stream)

    # sandboxes

    def _sandbox_image(self) -> str:
        return self._once.get("sandbox-image", lambda: sandbox.ensure_image(self._api, self._architecture()))

    def start_sandbox(self, number: int, network: str, names: Iterable[str]) -> str:
        """Start a container that holds a network namespace with these names in the task's network; returns its id."""
        full = self.network(network)
        with self._make():
            body = {
                "Image": self._sandbox_image(),
                "Labels": self.labels(role="sandbox"),
                "StopSignal": "SIGKILL",
                "HostConfig": {"NetworkMode": full},
                "NetworkingConfig": {"EndpointsConfig": {full: {"Aliases": list(names)}}},
            }
            container = str(self._api.create_container_from_config(body, self.name("sandbox", str(number)))["Id"])
            self._api.start(container)
            return container

    def rename_sandbox(self, container: str, network: str, names: Iterable[str]) -> None:
        """Give a sandbox other names. The engine knows no other way than to take it off its network and put it back."""
        full = self.network(network)
        self._api.disconnect_container_from_network(container, full)
        self._api.connect_container_to_network(container, full, aliases=list(names))

    def remove_sandbox(self, container: str) -> None:
        self._api.remove_container(container, v=True, force=True)


def _decode(volume: str, key: str, value: str) -> bytes:
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInput(
            f"volume {volume!r}: the value of {key!r} is not base64",
            hint="secret values of volumes are written in base64: `base64 -w0 FILE`",
        ) from None


def _tar_of_folders(names: Iterable[str]) -> bytes:
    """Folders that any user may write to: a step's user need not be root."""
    import tarfile

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o777
            tar.addfile(entry)
    return buffer.getvalue()


def _tar_of_files(files: Mapping[str, bytes]) -> bytes:
    import tarfile

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o444
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
