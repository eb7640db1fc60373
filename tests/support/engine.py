"""A Docker Engine of the suite's own, with a registry and a busybox; where that cannot be, a running one.

Put together from sandbox, daemon, registry and images. Must not know what is tested with it."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tempfile
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.daemon import Daemon, ask_engine
from tests.support.images import BUSYBOX_CHANGES, DOCKER_CHANGES, busybox_tar, docker_cli_tar
from tests.support.registry import Login, Registry, free_port
from tests.support.sandbox import NETWORK, Sandbox, SandboxUnavailable, claim

if TYPE_CHECKING:
    import docker

BUSYBOX = "busybox:1"
DOCKER_CLI = "docker:latest"
_FIRST_PORT = 5000
_DEFAULT_NETWORKS = frozenset({"bridge", "host", "none"})


class Engine:
    """What both kinds offer. Everything that tests may rely on is an attribute here."""

    host: str
    tcp_host: str | None = None
    inside: tuple[str, ...] = ()
    is_ours: bool

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._api: docker.APIClient | None = None
        self._registries: list[Registry] = []
        for name in ("docker-config", "task-data"):
            (folder / name).mkdir(exist_ok=True)

    @property
    def api(self) -> docker.APIClient:
        if self._api is None:
            import docker

            self._api = docker.APIClient(base_url=self.host, version="auto", timeout=60)
        return self._api

    @property
    def env(self) -> dict[str, str]:
        """A whole environment for a subprocess: this process's, but with this engine and empty settings."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("DOCKER_", "ACR_TASK_", "BUILDKIT_"))}
        return inherited | {
            "DOCKER_HOST": self.host,
            "DOCKER_CONFIG": str(self.folder / "docker-config"),
            "ACR_TASK_DATA": str(self.folder / "task-data"),
        }

    @property
    def registry(self) -> str:
        """The registry as the engine names it; a process sees the same name when run behind `inside`."""
        return self._registries[0].name

    @property
    def registry_url(self) -> str:
        """The registry as this process reaches it."""
        return self._registries[0].url

    @property
    def registry_shared(self) -> str:
        """A name of the registry that the engine and this process both reach (plain http)."""
        return self._registries[0].shared_name

    def add_registry(self, *, login: Login | None = None, extra: dict[str, Any] | None = None) -> Registry:
        """One more registry beside this engine; it ends with the engine."""
        registry = self._new_registry(login)
        self._registries.append(registry)
        registry.launch(extra)
        registry.await_ready()
        return registry

    def objects(self) -> dict[str, set[str]]:
        """The names of all that stands on the engine, for tests that nothing is left behind."""
        containers = self.api.containers(all=True)
        volumes = self.api.volumes()["Volumes"] or []
        return {
            "containers": {name.lstrip("/") for c in containers for name in c["Names"] or [c["Id"][:12]]},
            "networks": {n["Name"] for n in self.api.networks()} - _DEFAULT_NETWORKS,
            "volumes": {v["Name"] for v in volumes},
        }

    def images(self) -> set[str]:
        """Every tag on the engine."""
        return {tag for image in self.api.images() for tag in image["RepoTags"] or [] if tag != "<none>:<none>"}

    def build_base(self, tag: str, dockerfile: str = "", files: dict[str, bytes | str] | None = None) -> str:
        """Build a small image (the classic builder, so that a bad Dockerfile cannot hurt); its id."""
        import tarfile

        buffer = io.BytesIO()
        content = {"Dockerfile": dockerfile or f"FROM {BUSYBOX}\n", **(files or {})}
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
            for name, text in content.items():
                data = text.encode() if isinstance(text, str) else text
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = len(data), 0o755
                tar.addfile(entry, io.BytesIO(data))
        query = urllib.parse.urlencode({"t": tag, "rm": 1, "forcerm": 1})
        self._post(f"/build?{query}", buffer.getvalue())
        image: dict[str, Any] = self.api.inspect_image(tag)  # type: ignore[no-untyped-call]
        return str(image["Id"])

    def import_busybox(self) -> None:
        self._import(busybox_tar(), BUSYBOX, BUSYBOX_CHANGES)
        self._tag(BUSYBOX, "busybox:latest")

    def import_docker_cli(self) -> str:
        """`docker:latest`, for steps that run the docker command line."""
        self._import(docker_cli_tar(), DOCKER_CLI, DOCKER_CHANGES)
        return DOCKER_CLI

    def push(self, image: str, reference: str) -> None:
        """Tag and push."""
        self._tag(image, reference)
        name, _, tag = reference.rpartition(":")
        ask_engine(self._socket, "POST", f"/images/{name}/push?tag={tag}", headers={"X-Registry-Auth": "e30="})

    def close(self) -> None:
        if self._api is not None:
            self._api.close()
            self._api = None
        for registry in self._registries:
            registry.stop()

    @property
    def _socket(self) -> str:
        return self.host.removeprefix("unix://")

    def _new_registry(self, login: Login | None) -> Registry:
        raise NotImplementedError

    def _import(self, tar: bytes, image: str, changes: tuple[str, ...]) -> None:
        name, _, tag = image.partition(":")
        query = urllib.parse.urlencode({"fromSrc": "-", "repo": name, "tag": tag, "changes": changes}, doseq=True)
        self._post(f"/images/create?{query}", tar)

    def _tag(self, image: str, reference: str) -> None:
        name, _, tag = reference.rpartition(":")
        self._post(f"/images/{image}/tag?{urllib.parse.urlencode({'repo': name, 'tag': tag})}")

    def _post(self, target: str, body: bytes | None = None) -> None:
        ask_engine(self._socket, "POST", target, body)


class OwnEngine(Engine):
    """A dockerd of our own, whole in a sandbox; may be killed and restarted at will."""

    is_ours = True

    def __init__(self, sandbox: Sandbox, *, apart: bool = False) -> None:
        super().__init__(sandbox.folder)
        self.sandbox = sandbox
        self.inside = sandbox.inside
        # BuildKit takes no address ranges, and speaks http only where the scheme says so
        ports = range(_FIRST_PORT, _FIRST_PORT + 4)
        insecure = (NETWORK, *(f"http://{sandbox.address}:{port}" for port in ports))
        extra = tuple(word for host in insecure for word in ("--insecure-registry", host))
        self.daemon = Daemon(sandbox, apart=apart, extra=extra)
        self.host = self.daemon.host
        self.tcp_host = self.daemon.tcp_host

    @property
    def pid(self) -> int:
        return self.daemon.pid

    def launch(self, *, registry: bool, busybox: bool) -> None:
        self.daemon.launch()
        if registry:
            self._registries.append(self._new_registry(None))
            self._registries[0].launch()
        self.daemon.await_ready()
        if busybox:
            self.import_busybox()
        if registry:
            self._registries[0].await_ready()
        if registry and busybox:
            self.push(BUSYBOX, f"{self.registry}/base/busybox:1")

    def kill(self) -> None:
        """The daemon dies as in a crash; its containers live on."""
        self.daemon.kill()

    def start(self) -> None:
        self.daemon.launch()
        self.daemon.await_ready()

    def restart(self) -> None:
        self.daemon.stop()
        self.start()

    def close(self) -> None:
        super().close()
        self.daemon.kill(wait=False)  # nothing of it is needed any more, so it need not tidy up either
        self.sandbox.remove()

    def _new_registry(self, login: Login | None) -> Registry:
        port = _FIRST_PORT + len(self._registries)
        folder = self.folder / f"registry-{port}"
        return Registry(folder, address=self.sandbox.address, port=port, inside=self.inside, login=login)


class GuestEngine(Engine):
    """Somebody's running engine, where none of our own can be: what was there stays, what we bring goes with us."""

    is_ours = False
    pid = 0

    def __init__(self, host: str, folder: Path) -> None:
        super().__init__(folder)
        self.host = host
        self._images_before = self.images()
        self._objects_before = super().objects()

    def launch(self) -> None:
        self.add_registry()
        if BUSYBOX not in self._images_before:
            self.import_busybox()
        self.push(BUSYBOX, f"{self.registry}/base/busybox:1")

    def objects(self) -> dict[str, set[str]]:
        return {kind: names - self._objects_before[kind] for kind, names in super().objects().items()}

    def import_docker_cli(self) -> str:
        return DOCKER_CLI if DOCKER_CLI in self._images_before else super().import_docker_cli()

    def close(self) -> None:
        for tag in self.images() - self._images_before:
            self.api.remove_image(tag, force=True, noprune=True)
        super().close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _new_registry(self, login: Login | None) -> Registry:
        port = free_port()
        return Registry(self.folder / f"registry-{port}", address="127.0.0.1", port=port, login=login)


def own_engine(*, registry: bool = True, busybox: bool = True, apart: bool = False) -> OwnEngine:
    """A fresh engine in a sandbox of its own; whoever asks for it closes it."""
    sandbox = claim()
    try:
        engine = OwnEngine(sandbox, apart=apart)
        engine.launch(registry=registry, busybox=busybox)
    except BaseException:
        sandbox.remove()
        raise
    return engine


def any_engine() -> OwnEngine | GuestEngine:
    """An engine of our own where this machine allows it, else the one that DOCKER_HOST or the docker context names."""
    try:
        return own_engine()
    except SandboxUnavailable as error:
        host = _running_engine()
        if host is None:
            raise RuntimeError(
                f"no Docker Engine for the tests: {error}, and no running engine answers. "
                "Run the tests as root (after `make setup`), or set DOCKER_HOST."
            ) from error
        engine = GuestEngine(host, Path(tempfile.mkdtemp(prefix="acr-task-tests-")))
        engine.launch()
        return engine


def _running_engine() -> str | None:
    """The local socket of an engine that answers."""
    host = os.environ.get("DOCKER_HOST") or _context_host() or "unix:///var/run/docker.sock"
    if not host.startswith("unix://"):
        return None
    try:
        ask_engine(host.removeprefix("unix://"), "GET", "/_ping")
    except (OSError, RuntimeError):
        return None
    return host


def _context_host() -> str | None:
    command = ["docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return None
    return answer.stdout.strip() or None
