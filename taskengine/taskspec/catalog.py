"""Every property of the format, declared once: name, kind of value, default, where it applies, what it means.

The parser, the JSON Schema and the reference page are made from these tables; a property that is not here does not
exist. Data only.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from taskengine.lightclass import dataclass

VERSIONS = ("1.0-preview-1", "v1.0.0", "v1.1.0")
DEFAULT_VERSION = "v1.0.0"
ALIAS_VERSION = "v1.1.0"
DEFAULT_STEP_TIMEOUT = 600
DEFAULT_RETRY_DELAY = 5


class Kind(Enum):
    """What a property's value looks like."""

    TEXT = "text"
    INTEGER = "whole number"
    BOOLEAN = "true or false"
    TEXTS = "list of texts"
    INTEGERS = "list of whole numbers"
    FILES = "mapping of texts"
    STEPS = "list of steps"
    SECRETS = "list of secrets"
    NETWORKS = "list of networks"
    VOLUMES = "list of volumes"
    MOUNTS = "list of volume mounts"
    ALIAS = "mapping"


@dataclass(frozen=True, kw_only=True, slots=True)
class Property:
    """`field` is the attribute of the model; `steps` the kinds of step that a step's property has an effect on."""

    name: str
    field: str
    kind: Kind
    help: str
    default: Any = None
    example: Any = None
    choices: tuple[str, ...] = ()
    minimum: int | None = None
    required: bool = False
    steps: tuple[str, ...] = ("cmd", "build", "push")


def _p(name: str, kind: Kind, help: str, **more: Any) -> Property:  # noqa: A002
    return Property(name=name, field=more.pop("field", _snake(name)), kind=kind, help=help, **more)


def _snake(name: str) -> str:
    return "".join("_" + char.lower() if char.isupper() else char for char in name)


def _table(*properties: Property) -> dict[str, Property]:
    return {entry.name: entry for entry in properties}


_CMD = ("cmd",)
_CONTAINER = ("cmd", "build")

TASK = _table(
    _p(
        "version",
        Kind.TEXT,
        "Version of the format. v1.1.0 switches aliases on. Upper and lower case do not matter; write it as it is, "
        "not by a template.",
        default=DEFAULT_VERSION,
        choices=VERSIONS,
        example="v1.1.0",
    ),
    _p(
        "stepTimeout",
        Kind.INTEGER,
        "Seconds that each step may take, unless it says otherwise.",
        default=DEFAULT_STEP_TIMEOUT,
        example=1200,
    ),
    _p(
        "workingDirectory",
        Kind.TEXT,
        "Directory in which steps run; relative to /workspace.",
        default="",
        example="src",
    ),
    _p(
        "env",
        Kind.TEXTS,
        "Environment variables of every step, each as NAME=value. A step's own entry wins.",
        example=["NODE_ENV=production"],
    ),
    _p(
        "secrets",
        Kind.SECRETS,
        "Secrets that are fetched before the task is rendered; used as {{.Secrets.id}}.",
        example=[{"id": "token", "keyvault": "https://myvault.vault.azure.net/secrets/token"}],
    ),
    _p(
        "networks",
        Kind.NETWORKS,
        "Networks made for the run. Without any, one default network is made and every step joins it.",
        example=[{"name": "net", "isDefault": True}],
    ),
    _p(
        "volumes",
        Kind.VOLUMES,
        "Volumes made for the run, filled with files.",
        example=[{"name": "conf", "secret": {"app.json": "e30="}}],
    ),
    _p(
        "alias",
        Kind.ALIAS,
        "Words of one's own for texts, used as $name (v1.1.0 only).",
        example={"values": {"repo": "team/app"}},
    ),
    _p(
        "steps",
        Kind.STEPS,
        "The steps. Each runs after the one above it, unless it has a `when`.",
        example=[{"build": "-t $Registry/app:$ID ."}, {"push": ["$Registry/app:$ID"]}],
    ),
)

STEP = _table(
    _p(
        "id",
        Kind.TEXT,
        "Name of the step, unique, without spaces; also its host name in the run's network. "
        "Default: acb_step_N, N counted from 0.",
        example="build-app",
    ),
    _p(
        "cmd",
        Kind.TEXT,
        "Image and arguments of a container to run; docker run options may stand before the image. No shell reads it: "
        "use sh -c '...' for pipes and the like.",
        example="bash -c 'make test'",
        steps=_CMD,
    ),
    _p(
        "build",
        Kind.TEXT,
        "Options of docker build and the context.",
        example="-t $Registry/app:$ID -f Dockerfile .",
        steps=("build",),
    ),
    _p(
        "push",
        Kind.TEXTS,
        "Images to push; latest is added where a tag is missing.",
        example=["$Registry/app:$ID"],
        steps=("push",),
    ),
    _p(
        "when",
        Kind.TEXTS,
        'Ids of steps above that must be done first. ["-"] starts at once. Without it: the step above.',
        example=["build-app"],
    ),
    _p("env", Kind.TEXTS, "Environment variables, each as NAME=value.", example=["DEBUG=1"], steps=_CONTAINER),
    _p("entryPoint", Kind.TEXT, "Replaces the image's entry point.", default="", example="/bin/sh", steps=_CMD),
    _p("user", Kind.TEXT, "User of the container, as name, uid or uid:gid.", default="", example="1000", steps=_CMD),
    _p(
        "workingDirectory",
        Kind.TEXT,
        "Directory in which the step runs; relative to /workspace.",
        default="",
        example="src",
        steps=_CONTAINER,
    ),
    _p(
        "disableWorkingDirectoryOverride",
        Kind.BOOLEAN,
        "Leave the working directory to the image.",
        default=False,
        example=True,
        steps=_CMD,
    ),
    _p(
        "network",
        Kind.TEXT,
        "Network that the step joins: a declared one, host, none, or one that exists already.",
        default="",
        example="host",
        steps=_CONTAINER,
    ),
    _p("isolation", Kind.TEXT, "Isolation of the container (Windows).", default="", example="default", steps=_CMD),
    _p("cpus", Kind.TEXT, "Limit of CPUs for the container.", default="", example="1.5", steps=_CMD),
    _p(
        "cache",
        Kind.TEXT,
        "enabled keeps the layers of a build in the registry for the next one.",
        default="",
        choices=("enabled", "disabled"),
        example="enabled",
        steps=("build",),
    ),
    _p(
        "volumeMounts",
        Kind.MOUNTS,
        "Volumes of the task to mount.",
        example=[{"name": "conf", "mountPath": "/etc/conf"}],
        steps=_CONTAINER,
    ),
    _p("expose", Kind.TEXTS, "Ports open to other containers.", example=["80"], steps=_CMD),
    _p("ports", Kind.TEXTS, "Ports published on the host, as host:container.", example=["8080:80"], steps=_CMD),
    _p("timeout", Kind.INTEGER, "Seconds that the step may take. 0 or less: the task's stepTimeout.", example=120),
    _p("startDelay", Kind.INTEGER, "Seconds to wait before the step starts.", default=0, example=5),
    _p(
        "retries",
        Kind.INTEGER,
        "Further attempts when the step fails.",
        default=0,
        minimum=0,
        example=2,
    ),
    _p(
        "retryDelay",
        Kind.INTEGER,
        "Seconds between attempts. 0 or less: 5.",
        default=DEFAULT_RETRY_DELAY,
        example=10,
    ),
    _p(
        "retryOnErrors",
        Kind.TEXTS,
        "Retry only when the output holds one of these texts.",
        example=["connection reset"],
    ),
    _p(
        "cmdDownloadRetries",
        Kind.INTEGER,
        "Further attempts to pull the image of a cmd.",
        default=0,
        example=3,
        steps=_CMD,
    ),
    _p(
        "cmdDownloadRetryDelay",
        Kind.INTEGER,
        "Seconds between attempts to pull.",
        default=0,
        example=5,
        steps=_CMD,
    ),
    _p(
        "repeat",
        Kind.INTEGER,
        "How many times more the step is run; all of them run, one failure fails the step.",
        default=0,
        minimum=0,
        example=1,
    ),
    _p("keep", Kind.BOOLEAN, "Do not remove the container when it has ended.", default=False, example=True, steps=_CMD),
    _p(
        "detach",
        Kind.BOOLEAN,
        "Run in the background: the next step starts at once, the container ends with the run.",
        default=False,
        example=True,
        steps=_CMD,
    ),
    _p(
        "privileged",
        Kind.BOOLEAN,
        "Give the container all rights on the engine's host.",
        default=False,
        example=True,
        steps=_CMD,
    ),
    _p("ignoreErrors", Kind.BOOLEAN, "Go on when the step fails.", default=False, example=True),
    _p("pull", Kind.BOOLEAN, "Pull the image even when it is there.", default=False, example=True, steps=_CONTAINER),
    _p("exitedWith", Kind.INTEGERS, "Read, but without effect, as in ACR Tasks.", example=[0], steps=_CMD),
    _p("exitedWithout", Kind.INTEGERS, "Read, but without effect, as in ACR Tasks.", example=[1], steps=_CMD),
)

NETWORK = _table(
    _p("name", Kind.TEXT, "Name of the network.", required=True, example="net"),
    _p("driver", Kind.TEXT, "Driver of the network.", default="", example="bridge"),
    _p("ipv6", Kind.BOOLEAN, "Switch IPv6 on.", default=False, example=True, field="ipv6"),
    _p("skipCreation", Kind.BOOLEAN, "The network exists: do not make it.", default=False, example=True),
    _p("isDefault", Kind.BOOLEAN, "Steps that name no network join this one.", default=False, example=True),
)

VOLUME = _table(
    _p("name", Kind.TEXT, "Name of the volume: letters, digits, - and _.", required=True, example="conf"),
    _p(
        "secret",
        Kind.FILES,
        "The volume's files: name of the file, and its content as base64.",
        required=True,
        example={"app.json": "e30="},
    ),
)

SECRET = _table(
    _p("id", Kind.TEXT, "Name of the secret, used as {{.Secrets.id}}.", required=True, example="token", field="id"),
    _p(
        "keyvault",
        Kind.TEXT,
        "Address of the secret. Which provider serves it is set up where the task runs.",
        required=True,
        example="https://myvault.vault.azure.net/secrets/token",
    ),
    _p(
        "clientID",
        Kind.TEXT,
        "Client id (a GUID) of the managed identity that may read it.",
        default="",
        example="1b4e28ba-2fa1-11d2-883f-0016d3cca427",
        field="client_id",
    ),
)

MOUNT = _table(
    _p("name", Kind.TEXT, "Name of a volume of the task.", required=True, example="conf"),
    _p("mountPath", Kind.TEXT, "Absolute path in the container.", required=True, example="/etc/conf"),
)

ALIAS = _table(
    _p("values", Kind.FILES, "Aliases: name (letters and digits) and text.", example={"repo": "team/app"}),
    _p(
        "src",
        Kind.TEXTS,
        "Files or addresses that hold more aliases, one `name: text` a line; later ones win.",
        example=["aliases.yaml"],
    ),
    _p(
        "directive",
        Kind.TEXT,
        "One character that stands before an alias instead of $.",
        default="$",
        example="@",
    ),
)

#: names of the tables, for the schema and the reference page
TABLES = {
    "task": TASK,
    "step": STEP,
    "network": NETWORK,
    "volume": VOLUME,
    "secret": SECRET,
    "volumeMount": MOUNT,
    "alias": ALIAS,
}

#: run variables: the alias, and what it stands for
RUN_ALIASES = {
    name: "{{.Run." + name + "}}"
    for name in (
        "ID",
        "SharedVolume",
        "Registry",
        "RegistryName",
        "Date",
        "OS",
        "Architecture",
        "Commit",
        "Branch",
    )
}

#: images that may be named by one word at the head of a cmd; the tags are those of the day and can be configured
IMAGE_ALIASES = {
    "acr": "mcr.microsoft.com/acr/acr-cli:0.17",
    "az": "mcr.microsoft.com/acr/azure-cli:2ff604c",
    "bash": "mcr.microsoft.com/acr/bash:2ff604c",
    "curl": "mcr.microsoft.com/acr/curl:2ff604c",
    "cssc": "mcr.microsoft.com/acr/cssc:2ff604c",
}
