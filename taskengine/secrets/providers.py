"""Gets the values of a task's `secrets:` entries: each by its address, all at once, every failure told together.

The environment and the table are handed in. Values go back to the caller and nowhere else, not even into errors.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from taskengine.errors import InvalidInput, TaskEngineError, Unreachable
from taskengine.secrets.address import EnvRef, FileRef, KeyvaultRef, VaultRef, parse_address
from taskengine.secrets.keyvault import Keyvault, has_identity
from taskengine.secrets.local import from_environment, from_file
from taskengine.secrets.table import ProviderTable, Rule, fill, load_table
from taskengine.secrets.vault import Vault
from taskengine.secrets.web import Deadline

__all__ = [
    "Failure",
    "ProviderTable",
    "Resolver",
    "SecretEntry",
    "UnreachableSecrets",
    "UnresolvedSecrets",
    "load_table",
]

SECONDS_EACH = 10.0
_MOST_AT_ONCE = 16


class SecretEntry(Protocol):
    """An entry of a task's `secrets:` section, as the task's author wrote it."""

    @property
    def id(self) -> str: ...
    @property
    def keyvault(self) -> str: ...
    @property
    def client_id(self) -> str: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """Why one secret has no value."""

    id: str
    error: TaskEngineError


class UnresolvedSecrets(InvalidInput):
    """Secrets without a value, at least one through a fault in the task or the configuration."""

    def __init__(self, failures: tuple[Failure, ...]) -> None:
        super().__init__(_message(failures), hint=_hint(failures))
        self.failures = failures


class UnreachableSecrets(Unreachable):
    """Secrets without a value because their stores cannot be reached."""

    def __init__(self, failures: tuple[Failure, ...]) -> None:
        super().__init__(_message(failures), hint=_hint(failures))
        self.failures = failures


def _message(failures: tuple[Failure, ...]) -> str:
    told = [f"secret '{failure.id}': {failure.error.message}" for failure in failures]
    return told[0] if len(told) == 1 else f"{len(told)} secrets have no value\n" + "\n".join(f"  {one}" for one in told)


def _hint(failures: tuple[Failure, ...]) -> str | None:
    hints = dict.fromkeys(failure.error.hint for failure in failures if failure.error.hint)
    return "; ".join(hints) or None


@dataclass(frozen=True)
class Resolver:
    """Asks the providers. One resolver serves one run: tokens are kept as long as it lives."""

    table: ProviderTable
    environ: Mapping[str, str] = field(repr=False)
    seconds_each: float = field(default=SECONDS_EACH, kw_only=True)
    monotonic: Callable[[], float] = field(default=time.monotonic, kw_only=True)
    _keyvaults: dict[int, Keyvault] = field(default_factory=dict, repr=False, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, init=False)

    def resolve(self, specs: Sequence[SecretEntry]) -> dict[str, str]:
        """The value of every entry by its id. Raises UnresolvedSecrets or UnreachableSecrets with every failure."""
        if not specs:
            return {}
        outcomes = self._ask_all(specs)
        failures = tuple(
            Failure(id=spec.id, error=error)
            for number, spec in enumerate(specs)
            if isinstance(error := outcomes.get(number, self._too_late(spec)), TaskEngineError)
        )
        if failures:
            is_reachable = any(not isinstance(failure.error, Unreachable) for failure in failures)
            raise (UnresolvedSecrets if is_reachable else UnreachableSecrets)(failures)
        return {spec.id: value for number, spec in enumerate(specs) if isinstance(value := outcomes[number], str)}

    def _ask_all(self, specs: Sequence[SecretEntry]) -> dict[int, str | TaskEngineError]:
        """Each answer by its number. What is missing has not come in time; nobody waits for those threads."""
        waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
        done: queue.SimpleQueue[tuple[int, str | TaskEngineError]] = queue.SimpleQueue()
        for number in range(len(specs)):
            waiting.put(number)

        def work() -> None:
            while True:
                try:
                    number = waiting.get_nowait()
                except queue.Empty:
                    return
                done.put((number, self._outcome(specs[number])))

        workers = min(_MOST_AT_ONCE, len(specs))
        for _ in range(workers):
            threading.Thread(target=work, name="secret", daemon=True).start()
        rounds = -(-len(specs) // workers)
        deadline = self.monotonic() + self.seconds_each * rounds + 1
        found: dict[int, str | TaskEngineError] = {}
        while len(found) < len(specs):
            try:
                number, outcome = done.get(timeout=max(0.0, deadline - self.monotonic()))
            except queue.Empty:
                break
            found[number] = outcome
        return found

    def _too_late(self, spec: SecretEntry) -> TaskEngineError:
        return Unreachable(
            f"{spec.keyvault} gave no answer within {self.seconds_each:g} s", hint="check the address and the network"
        )

    def _outcome(self, spec: SecretEntry) -> str | TaskEngineError:
        try:
            return self.fetch(spec)
        except TaskEngineError as error:
            return error
        except Exception as error:  # noqa: BLE001 - a thread must always answer; only the kind of the error is shown
            return Unreachable(
                f"its provider failed ({type(error).__name__})", hint="this is a fault of ours; report it"
            )

    def fetch(self, spec: SecretEntry) -> str:
        """The value of one entry."""
        address = parse_address(spec.keyvault)
        deadline = Deadline.after(self.seconds_each, self.monotonic)
        if isinstance(address, KeyvaultRef):
            return self._through_table(address, spec.client_id, deadline)
        return self._directly(address, deadline)

    def _directly(self, address: EnvRef | FileRef | VaultRef, deadline: Deadline) -> str:
        direct = self.table.direct
        if isinstance(address, EnvRef):
            _allow(direct.allows_env(address.name), f"env://{address.name}")
            return from_environment(address.name, self.environ)
        if isinstance(address, FileRef):
            folders = [folder for folder in direct.files if direct.allows_file(address.path)]
            _allow(bool(folders), f"file://{address.path}")
            return _from_any(address.path, folders)
        _allow(direct.vault, "vault://")
        return Vault(options=self.table.vault, environ=self.environ).fetch(address, deadline)

    def _through_table(self, ref: KeyvaultRef, client_id: str, deadline: Deadline) -> str:
        rule = self.table.rule_for(ref)
        if rule is None:
            if client_id or has_identity(self.environ):
                return self._keyvault(None).fetch(ref, client_id, deadline)
            raise InvalidInput(
                f"nothing says how to ask {ref.vault_host}",
                hint="give the value by --secret ID=VALUE, map the vault in a provider table, or set AZURE_CLIENT_ID, "
                "AZURE_TENANT_ID and AZURE_CLIENT_SECRET",
            )
        if rule.provider == "keyvault":
            return self._keyvault(rule).fetch(ref, client_id, deadline)
        if rule.provider == "vault":
            return self._vault(rule, ref, deadline)
        return self._local(rule, ref)

    def _local(self, rule: Rule, ref: KeyvaultRef) -> str:
        if rule.provider == "env":
            return from_environment(fill(rule.options.get("variable", "{NAME}"), ref), self.environ)
        if rule.provider == "file":
            base = rule.options.get("base") or "/run/secrets"
            return from_file(fill(rule.options.get("path", "{name}"), ref), base=base)
        if ref.name in rule.values:
            return rule.values[ref.name]
        raise InvalidInput(f"the provider table has no value for {ref.name}", hint="add it to 'values:'")

    def _vault(self, rule: Rule, ref: KeyvaultRef, deadline: Deadline) -> str:
        options = {**self.table.vault, **rule.options}
        wanted = VaultRef(
            mount=options.get("mount", "secret").strip("/"),
            path=fill(options.get("path", "{vault}/{name}"), ref).strip("/"),
            field=fill(options.get("field", ""), ref),
            version=ref.version if ref.version.isdecimal() else "",
        )
        return Vault(options=options, environ=self.environ).fetch(wanted, deadline)

    def _keyvault(self, rule: Rule | None) -> Keyvault:
        """One for each rule, so that its token is asked for once."""
        with self._lock:
            key = id(rule)
            if key not in self._keyvaults:
                self._keyvaults[key] = Keyvault(options=rule.options if rule else {}, environ=self.environ)
            return self._keyvaults[key]


def _allow(allowed: bool, what: str) -> None:
    if not allowed:
        raise InvalidInput(f"{what} may not be used here", hint="the provider table's 'direct:' section can allow it")


def _from_any(path: str, folders: list[str]) -> str:
    """The file, provided that its links lead out of none of the folders that allow it."""
    for folder in folders[:-1]:
        try:
            return from_file(path, base=folder)
        except InvalidInput:
            continue
    return from_file(path, base=folders[-1])
