"""The tree of a rendered task file to a `TaskSpec`, driven by the tables of `catalog.py`.

Says what has the wrong shape or an unknown name, all at once, and goes on. What the values mean together (ids, needs,
networks ...) is not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from taskengine.errors import Location
from taskengine.taskspec import catalog
from taskengine.taskspec.catalog import Kind, Property
from taskengine.taskspec.model import NetworkSpec, SecretSpec, StepSpec, TaskSpec, VolumeMount, VolumeSpec
from taskengine.taskspec.nodes import Map, Node, Scalar, Seq, place_in
from taskengine.taskspec.report import Report
from taskengine.taskspec.scalar import as_bool, as_int, as_text, is_merge, is_null
from taskengine.taskspec.source import View

_MISSING: Any = object()


class NodePlaces:
    """Where the properties of one mapping stand, worked out only when asked."""

    __slots__ = ("_keys", "_node", "_values", "_view")

    def __init__(self, view: View, node: Node) -> None:
        self._view = view
        self._node = node
        self._values: dict[str, Node] = {}
        self._keys: dict[str, Scalar] = {}

    def add(self, name: str, key: Scalar, value: Node) -> None:
        self._values[name] = value
        self._keys[name] = key

    def key(self, name: str) -> Scalar | None:
        return self._keys.get(name)

    def of(self, name: str, item: int | None = None) -> Location | None:
        node = self._values.get(name)
        if node is None:
            return self._view.locate(self._node.start)
        if isinstance(node, Seq) and item is not None and item < len(node.items):
            return self._view.locate(node.items[item].start)
        if isinstance(node, Scalar) and not node.text and node.start == node.end:
            return self._view.locate(self._keys[name].start)  # nothing is written there: its name is
        return self._view.locate(node.start)

    def within(self, name: str, offset: int) -> Location | None:
        node = self._values.get(name)
        if not isinstance(node, Scalar):
            return self.of(name)
        return self._view.locate(place_in(self._view.text, node, offset))


def parse_task(root: Node | None, view: View, report: Report) -> TaskSpec:
    """The task that a tree describes, as far as it can be understood; what cannot is in the report."""
    if root is None or (isinstance(root, Scalar) and is_null(root)):
        return TaskSpec(places=NodePlaces(view, Scalar("", 0, 0, "", None)))
    if not isinstance(root, Map):
        report.error(
            "E110",
            f"a task file is a mapping of properties, not a {_shape(root)}",
            view.locate(root.start),
            hint="begin with 'version:' and 'steps:' at the first column",
        )
        return TaskSpec()
    return _Parser(view, report).task(root)


def parse_secrets(root: Node | None, view: View, report: Report) -> tuple[SecretSpec, ...]:
    """Only the `secrets` of a tree, which are wanted before the rest can be rendered."""
    if not isinstance(root, Map):
        return ()
    return _Parser(view, report).secrets(root)


class _Parser:
    def __init__(self, view: View, report: Report) -> None:
        self._view = view
        self._report = report
        self._readers: Mapping[Kind, Callable[[Node, str], Any]] = {
            Kind.TEXT: self._text,
            Kind.INTEGER: self._integer,
            Kind.BOOLEAN: self._boolean,
            Kind.TEXTS: self._texts,
            Kind.INTEGERS: self._integers,
            Kind.FILES: self._files,
            Kind.STEPS: self._steps,
            Kind.SECRETS: lambda node, where: self._specs(node, where, "secret", catalog.SECRET, SecretSpec),
            Kind.NETWORKS: lambda node, where: self._specs(node, where, "network", catalog.NETWORK, NetworkSpec),
            Kind.VOLUMES: lambda node, where: self._specs(node, where, "volume", catalog.VOLUME, VolumeSpec),
            Kind.MOUNTS: self._mounts,
            Kind.ALIAS: self._alias,
        }

    def task(self, root: Map) -> TaskSpec:
        values, places, _ = self._properties(root, catalog.TASK, "the task")
        values.pop("alias", None)
        if values.get("version") == "":
            del values["version"]
        return TaskSpec(**values, places=places)

    def secrets(self, root: Map) -> tuple[SecretSpec, ...]:
        found: tuple[SecretSpec, ...] = ()
        for key, value in self._entries(root):
            if isinstance(key, Scalar) and key.text == "secrets":
                read = self._readers[Kind.SECRETS](value, "secrets")
                found = read if isinstance(read, tuple) else ()
        return found

    # -- mappings ---------------------------------------------------------------------------------------------------

    def _entries(self, node: Map) -> Iterator[tuple[Node, Node]]:
        """Keys and values, merges (`<<`) in front of the mapping's own, so that its own win."""
        flat = node.flat
        for index in range(0, len(flat), 2):
            key = flat[index]
            if isinstance(key, Scalar) and key.text == "<<" and is_merge(key):
                yield from self._merged(flat[index + 1])
        for index in range(0, len(flat), 2):
            key = flat[index]
            if not (isinstance(key, Scalar) and key.text == "<<" and is_merge(key)):
                yield key, flat[index + 1]

    def _merged(self, value: Node) -> Iterator[tuple[Node, Node]]:
        parts = list(reversed(value.items)) if isinstance(value, Seq) else [value]  # earlier ones win
        for part in parts:
            if isinstance(part, Map):
                yield from self._entries(part)
            else:
                self._error("E107", "'<<' merges a mapping or a list of mappings", part)

    def _properties(
        self, node: Map, table: Mapping[str, Property], where: object
    ) -> tuple[dict[str, Any], NodePlaces, bool]:
        """The values by field name, their places, and whether something in them could not be understood."""
        values: dict[str, Any] = {}
        places = NodePlaces(self._view, node)
        flawed = False
        merges = any(isinstance(key, Scalar) and key.text == "<<" for key in node.flat[::2])
        flat = node.flat
        entries = self._entries(node) if merges else zip(flat[::2], flat[1::2], strict=True)
        readers = self._readers
        seen = places._values
        for key, value in entries:
            if not isinstance(key, Scalar):
                self._error("E112", f"the name of a property is a text, not a {_shape(key)}", key)
                flawed = True
                continue
            name = key.text
            entry = table.get(name)
            if entry is None:
                self._unknown(key, table, where)
                continue
            if name in seen and not merges:
                self._duplicate(name, key, places, where)
            places.add(name, key, value)
            read = readers[entry.kind](value, name)
            if read is _MISSING:
                flawed = True
            elif read is None:
                values.pop(entry.field, None)
            else:
                values[entry.field] = read
        return values, places, flawed

    def _unknown(self, key: Scalar, table: Mapping[str, Property], where: object) -> None:
        if key.text.startswith("x-"):  # a place to keep anchors, as in Compose files
            return
        few = f"known are: {', '.join(table)}" if len(table) < 12 else "the task reference lists all properties"
        hint = self._report.nearest(key.text, table) or few
        if table is catalog.STEP and key.text in catalog.TASK:
            hint = f"'{key.text}' belongs to the task, at the first column"
        elif table is catalog.TASK and key.text in catalog.STEP and not hint.startswith("did"):
            hint = f"'{key.text}' belongs to a step: indent it"
        self._report.warning("W101", f"unknown property '{key.text}' in {where}", self._at(key), hint=hint)

    def _duplicate(self, name: str, key: Scalar, places: NodePlaces, where: object) -> None:
        first = places.key(name)
        related = (("first given here", self._at(first)),) if first else ()
        self._report.warning(
            "W102",
            f"'{name}' is given twice in {where}; the last one counts",
            self._at(key),
            hint="remove one of them",
            related=related,
        )

    # -- values -----------------------------------------------------------------------------------------------------

    def _text(self, node: Node, name: str) -> Any:
        if node.__class__ is not Scalar:
            return self._mismatch(node, name, "a text")
        if not node.style and node.tag is None:
            text = node.text
            return None if text in ("", "~", "null", "Null", "NULL") else text
        return None if is_null(node) else as_text(node)

    def _integer(self, node: Node, name: str) -> Any:
        if isinstance(node, Scalar):
            if is_null(node):
                return None
            number = as_int(node)
            if number is not None:
                return number
            self._error("E108", f"'{name}' is a whole number, not '{_short(node.text)}'", node, _number_hint(node))
            return _MISSING
        return self._mismatch(node, name, "a whole number")

    def _boolean(self, node: Node, name: str) -> Any:
        if isinstance(node, Scalar):
            if is_null(node):
                return None
            truth = as_bool(node)
            if truth is not None:
                return truth
            quoted = node.style in ("'", '"') and node.text.lower() in ("true", "false", "yes", "no", "on", "off")
            hint = "remove the quotes" if quoted else "write true or false"
            self._error("E109", f"'{name}' is true or false, not '{_short(node.text)}'", node, hint)
            return _MISSING
        return self._mismatch(node, name, "true or false")

    def _texts(self, node: Node, name: str) -> Any:
        if node.__class__ is Seq:
            result = []
            for item in node.items:
                if item.__class__ is Scalar:
                    result.append(item.text if item.style and item.tag is None else as_text(item))
                else:
                    self._mismatch(item, f"an entry of '{name}'", "a text", quote=False)
            return tuple(result)
        return self._list_mismatch(node, name, "texts")

    def _integers(self, node: Node, name: str) -> Any:
        if isinstance(node, Seq):
            numbers = [self._integer(item, name) for item in node.items]
            return tuple(0 if number is None else number for number in numbers if number is not _MISSING)
        return self._list_mismatch(node, name, "whole numbers")

    def _files(self, node: Node, name: str) -> Any:
        if isinstance(node, Map):
            files: dict[str, str] = {}
            for key, value in self._entries(node):
                if isinstance(key, Scalar):
                    text = self._text(value, key.text)
                    if text is not _MISSING:
                        files[as_text(key)] = text or ""
                else:
                    self._error("E112", f"a name in '{name}' is a text, not a {_shape(key)}", key)
            return tuple(files.items())
        if isinstance(node, Scalar) and is_null(node):
            return None
        return self._mismatch(node, name, "a mapping of names and texts")

    def _alias(self, node: Node, _name: str) -> Any:
        return None if isinstance(node, Map | Scalar) else self._mismatch(node, "alias", "a mapping")

    # -- lists of mappings ------------------------------------------------------------------------------------------

    def _steps(self, node: Node, name: str) -> Any:
        if isinstance(node, Scalar) and is_null(node):
            return None
        if not isinstance(node, Seq):
            return self._list_mismatch(node, name, "steps", each="- cmd: ...")
        return tuple(self._step(item, index) for index, item in enumerate(node.items))

    def _step(self, item: Node, index: int) -> StepSpec:
        location = self._view.locate(item.start)
        if not isinstance(item, Map):
            self._not_a_mapping(item, "step", "cmd: ...")
            return StepSpec(location=location, flawed=True)
        values, places, flawed = self._properties(item, catalog.STEP, _StepName(item, index))
        return StepSpec(**values, location=location, places=places, flawed=flawed)

    def _specs(self, node: Node, name: str, one: str, table: Mapping[str, Property], make: Callable[..., Any]) -> Any:
        if isinstance(node, Scalar) and is_null(node):
            return None
        if not isinstance(node, Seq):
            return self._list_mismatch(node, name, f"{one}s", each=f"- {next(iter(table))}: ...")
        specs = []
        for item in node.items:
            if not isinstance(item, Map):
                self._not_a_mapping(item, one, f"{next(iter(table))}: ...")
                continue
            values, places, flawed = self._properties(item, table, f"this {one}")
            if not flawed:
                first = next(iter(table.values())).field
                values.setdefault(first, "")
                specs.append(make(**values, location=self._view.locate(item.start), places=places))
        return tuple(specs)

    def _mounts(self, node: Node, name: str) -> Any:
        if isinstance(node, Scalar) and is_null(node):
            return None
        if not isinstance(node, Seq):
            return self._list_mismatch(node, name, "mounts", each="- name: ...")
        mounts = []
        for item in node.items:
            if not isinstance(item, Map):
                self._not_a_mapping(item, "volume mount", "name: ...")
                continue
            values, _, flawed = self._properties(item, catalog.MOUNT, "this volume mount")
            if not flawed:
                mounts.append(VolumeMount(name=values.get("name", ""), mount_path=values.get("mount_path", "")))
        return tuple(mounts)

    # -- problems ---------------------------------------------------------------------------------------------------

    def _at(self, node: Node) -> Location:
        return self._view.locate(node.start)

    def _error(self, code: str, message: str, node: Node, hint: str | None = None) -> None:
        self._report.error(code, message, self._at(node), hint=hint)

    def _mismatch(self, node: Node, name: str, wanted: str, *, quote: bool = True) -> Any:
        subject = f"'{name}'" if quote else name
        hint = "put it in quotes, or indent it as a text" if wanted == "a text" and isinstance(node, Map) else None
        self._error("E107", f"{subject} is {wanted}, not a {_shape(node)}", node, hint)
        return _MISSING

    def _list_mismatch(self, node: Node, name: str, wanted: str, each: str | None = None) -> Any:
        if isinstance(node, Scalar):
            if is_null(node):
                return None
            one = f"write {name}: [{_quoted(node.text)}]"
            hint: str | None = one if each is None else f"write each entry as '{each}'"
        else:
            hint = f"put '- ' in front of each entry, as in '{each}'" if each else None
        self._error("E107", f"'{name}' is a list of {wanted}, not a {_shape(node)}", node, hint)
        return _MISSING

    def _not_a_mapping(self, node: Node, one: str, example: str) -> None:
        if isinstance(node, Scalar) and is_null(node):
            self._error("E111", f"this {one} is empty", node, f"write '- {example}', or remove the line")
        else:
            self._error("E107", f"a {one} is a mapping, not a {_shape(node)}", node, f"write '- {example}'")


class _StepName:
    """'step NAME', worked out only when a problem wants it: most steps have none."""

    __slots__ = ("_index", "_node", "_text")

    def __init__(self, node: Map, index: int) -> None:
        self._node = node
        self._index = index
        self._text = ""

    def __str__(self) -> str:
        if not self._text:
            self._text = self._name()
        return self._text

    def _name(self) -> str:
        flat = self._node.flat
        for key, value in zip(flat[::2], flat[1::2], strict=True):
            if isinstance(key, Scalar) and key.text == "id" and isinstance(value, Scalar):
                return f"step '{_short(value.text)}'"
        return f"step {self._index + 1}"


_UNITS = {"s": 1, "m": 60, "h": 3600}


def _number_hint(node: Scalar) -> str | None:
    text = node.text
    if node.style in ("'", '"') and text.strip("-+").isdecimal():
        return "remove the quotes"
    if len(text) < 12 and text.isascii() and text[:-1].isdigit() and text[-1] in _UNITS:
        return f"durations are whole seconds: {int(text[:-1]) * _UNITS[text[-1]]}"
    return None


def _shape(node: Node) -> str:
    if isinstance(node, Scalar):
        return "text" if node.style or as_int(node) is None else "number"
    return "list" if isinstance(node, Seq) else "mapping"


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."


def _quoted(text: str) -> str:
    return '"' + _short(text).replace("\\", "\\\\").replace('"', '\\"') + '"'
