"""Platforms, `os/architecture/variant`: text to data and back, with the aliases that containerd knows."""

from __future__ import annotations

from collections.abc import Mapping

from taskengine.errors import InvalidInput
from taskengine.lightclass import dataclass
from taskengine.lightpattern import pattern

DEFAULT = "linux/amd64"
_PART = pattern(r"[A-Za-z0-9_.-]+(?:\([A-Za-z0-9_.-]*\))?")
_SYSTEMS = frozenset(
    ["aix", "android", "darwin", "dragonfly", "freebsd", "hurd", "illumos", "ios", "js", "linux", "nacl", "netbsd",
     "openbsd", "plan9", "solaris", "windows", "zos"]
)  # fmt: skip
_ARCHITECTURES = frozenset(
    ["386", "amd64", "amd64p32", "arm", "armbe", "arm64", "arm64be", "loong64", "mips", "mipsle", "mips64", "mips64le",
     "mips64p32", "mips64p32le", "ppc", "ppc64", "ppc64le", "riscv", "riscv64", "s390", "s390x", "sparc", "sparc64",
     "wasm"]
)  # fmt: skip
_ALIASES: Mapping[str, tuple[str, str]] = {
    "i386": ("386", ""),
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
}
_DEFAULT_VARIANTS = {("arm64", "8"), ("arm64", "v8"), ("amd64", "v1")}


@dataclass(frozen=True, kw_only=True, slots=True)
class Platform:
    system: str
    architecture: str
    variant: str = ""
    version: str = ""

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Read `os/arch[/variant]`; one part alone is an operating system or an architecture."""
        parts = text.split("/")
        if len(parts) > 3 or not all(_PART.fullmatch(part) for part in parts):
            raise InvalidInput(f"{text[:80]!r} is no platform", hint="write os/architecture, such as linux/arm64")
        system, _, version = parts[0].partition("(")
        system = "darwin" if system.lower() == "macos" else system.lower()
        if len(parts) == 1:
            if system in _SYSTEMS:
                return cls(system=system, architecture="amd64", version=version.rstrip(")"))
            parts = ["linux", parts[0]]
            system = "linux"
            if _normal(parts[1].lower(), "")[0] not in _ARCHITECTURES:
                raise InvalidInput(
                    f"{text[:80]!r} is neither an operating system nor an architecture",
                    hint="write os/architecture, such as linux/arm64",
                )
        variant = parts[2].lower() if len(parts) == 3 else ""
        architecture, variant = _normal(parts[1].lower(), variant)
        return cls(system=system, architecture=architecture, variant=variant, version=version.rstrip(")"))

    def __str__(self) -> str:
        return "/".join(part for part in (self.system, self.architecture, self.variant) if part)


def parse_list(text: str) -> tuple[Platform, ...]:
    """The platforms of `linux/amd64,linux/arm64`, each once; none for an empty text. Raises InvalidInput."""
    return tuple(dict.fromkeys(Platform.parse(part.strip()) for part in text.split(","))) if text.strip() else ()


def automatic_variables(target: Platform, build: Platform, stage: str) -> dict[str, str]:
    """The variables that every Dockerfile has without declaring them."""
    found = {}
    for prefix, platform in (("BUILD", build), ("TARGET", target)):
        found[f"{prefix}PLATFORM"] = str(platform)
        found[f"{prefix}OS"] = platform.system
        found[f"{prefix}OSVERSION"] = platform.version
        found[f"{prefix}ARCH"] = platform.architecture
        found[f"{prefix}VARIANT"] = platform.variant
    found["TARGETSTAGE"] = stage or "default"
    return found


def _normal(architecture: str, variant: str) -> tuple[str, str]:
    architecture, implied = _ALIASES.get(architecture, (architecture, ""))
    variant = implied or variant
    if (architecture, variant) in _DEFAULT_VARIANTS:
        return architecture, ""
    if architecture == "arm":
        variant = f"v{variant}" if variant.isdecimal() else variant or "v7"
    return architecture, variant
