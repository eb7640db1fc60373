"""The `secrets` of a task: found and checked before the rest is rendered, and their values got.

Where a value comes from is not known here: it was handed in, or a function that was handed in asks a provider.
"""

from __future__ import annotations

from collections.abc import Mapping

from taskengine.errors import Location, TaskEngineError
from taskengine.lightpattern import pattern
from taskengine.taskspec.inputs import Inputs
from taskengine.taskspec.model import Places, SecretSpec
from taskengine.taskspec.report import Report

_GUID = pattern(r"(?:urn:uuid:)?\{?[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}\}?")


def check_secrets(secrets: tuple[SecretSpec, ...], report: Report) -> tuple[SecretSpec, ...]:
    """The secrets that are fit to be asked for; what is wrong with the others is in the report."""
    seen: dict[str, SecretSpec] = {}
    fit = []
    for spec in secrets:
        if _check(spec, seen, report):
            fit.append(spec)
        seen.setdefault(spec.id, spec)
    return tuple(fit)


def _check(spec: SecretSpec, seen: Mapping[str, SecretSpec], report: Report) -> bool:
    before = report.errors
    if not spec.id:
        report.error("E501", "this secret has no id", spec.location, hint="add 'id:'; it is used as {{.Secrets.id}}")
    elif any(char.isspace() for char in spec.id):
        report.error("E502", f"the secret id '{spec.id}' has a space in it", _at(spec, "id"))
    elif spec.id in seen:
        first = seen[spec.id].location
        related = (("first given here", first),) if first else ()
        report.error("E503", f"two secrets have the id '{spec.id}'", _at(spec, "id"), related=related)
    if not spec.keyvault:
        hint = "add 'keyvault:', the address of the secret"
        report.error("E504", f"the secret '{spec.id}' has no keyvault", spec.location, hint=hint)
    if spec.client_id and not _GUID.fullmatch(spec.client_id):
        hint = "a GUID such as 1b4e28ba-2fa1-11d2-883f-0016d3cca427"
        report.error("E505", f"the clientID of secret '{spec.id}' is no GUID", _at(spec, "clientID"), hint=hint)
    return report.errors == before


def _at(spec: SecretSpec, name: str) -> Location | None:
    places: Places | None = spec.places
    return places.of(name) if places is not None else spec.location


def secret_values(specs: tuple[SecretSpec, ...], inputs: Inputs, report: Report) -> dict[str, str]:
    """The value of each secret by id."""
    values: dict[str, str] = {}
    missing: list[SecretSpec] = []
    for spec in specs:
        given = inputs.secret_values.get(spec.id)
        if given is None:
            missing.append(spec)
        elif isinstance(given, str):
            values[spec.id] = given
        else:
            try:
                values[spec.id] = given.decode("utf-8")
            except UnicodeDecodeError:
                hint = "give it as base64, and decode it where it is used"
                report.error("E507", f"the value of secret '{spec.id}' is no text", spec.location, hint=hint)
    values.update(_ask(missing, inputs, report))
    return values


def _ask(missing: list[SecretSpec], inputs: Inputs, report: Report) -> Mapping[str, str]:
    if not missing:
        return {}
    if inputs.resolve_secrets is None:
        for spec in missing:
            hint = f"give its value by --secret {spec.id}=VALUE or --secret {spec.id}=@FILE"
            report.error("E506", f"the value of secret '{spec.id}' is not known", _at(spec, "keyvault"), hint=hint)
        return {}
    try:
        found = inputs.resolve_secrets(missing)
    except TaskEngineError as error:
        if error.exit_code != 2:  # a store that cannot be reached is no fault of the file
            raise
        _report_each(error, missing, report)
        return {}
    for spec in missing:
        if spec.id not in found:
            report.error("E506", f"no provider has the secret '{spec.id}'", _at(spec, "keyvault"))
    return found


def _report_each(error: TaskEngineError, missing: list[SecretSpec], report: Report) -> None:
    """Every secret without a value at its own line; an error that does not tell them apart, at the first."""
    from taskengine.secrets.providers import UnresolvedSecrets

    if not isinstance(error, UnresolvedSecrets):
        report.error("E506", error.message, _at(missing[0], "keyvault"), hint=error.hint)
        return
    places = {spec.id: _at(spec, "keyvault") for spec in missing}
    for failure in error.failures:
        message = f"secret '{failure.id}': {failure.error.message}"
        report.error("E506", message, places.get(failure.id), hint=failure.error.hint)
