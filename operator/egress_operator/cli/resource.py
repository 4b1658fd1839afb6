"""What the input holds: policies, names of namespaces, hand-written Istio objects."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from egress_operator.cli.document import Document, Place, decode_text, parse_documents
from egress_operator.cli.file import File
from egress_operator.cli.finding import (
    FileRule,
    Finding,
    InputError,
    build_file_finding,
    quote,
)
from egress_operator.istio.kind import Kind
from egress_operator.istio.kinds import KINDS
from egress_operator.istio.object import GATEWAY_KIND, POLICY_API_VERSION, POLICY_KIND
from egress_operator.istio.observed import read_observed
from egress_operator.istio.sidecar import SIDECAR, Sidecar, read_sidecar
from egress_operator.plan.source import HandWritten, build_hand_written

_GROUP = POLICY_API_VERSION.partition("/")[0]
_OUR_KINDS = (POLICY_KIND, GATEWAY_KIND)
_ISTIO_GROUPS = frozenset(row.group for row in KINDS.values())
_MISSPELT = 0.7
"""From here on a group is taken for a misspelling of ours, and not for another product's."""
_UNREADABLE = "the Istio object cannot be read: check its fields"
_MARKS = (b"egress", b"Egress")
"""A file of a directory without these words is none of ours, even when it cannot be read."""


class Item(NamedTuple):
    """One object of the input and where it is."""

    file: str
    value: Mapping[str, Any]
    place: Place
    is_faulty: bool
    """Whether its document has faults: then `value` is a guess that must not be compiled."""
    named: bool

    @property
    def metadata(self) -> Mapping[str, Any]:
        """`metadata`, empty if it is not a mapping; null in it is left out, as by an API server."""
        metadata = self.value.get("metadata")
        if not isinstance(metadata, dict):
            return {}
        return {key: value for key, value in metadata.items() if value is not None}


class Source(NamedTuple):
    """An EgressPolicy or EgressGateway whose text is sound; its fields are not checked yet."""

    namespace: str
    """Empty for a gateway: it stands in no namespace."""
    name: str
    item: Item

    @property
    def label(self) -> str:
        """`namespace/name`; the name alone of a gateway."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


@dataclass(slots=True)
class Inventory:
    """Everything that was found. Mutable while it is filled."""

    default_namespace: str
    """Of objects that name none."""
    policies: dict[tuple[str, str], Source] = field(default_factory=dict)
    """By (namespace, name), in the order of the input."""
    gateways: dict[tuple[str, str], Source] = field(default_factory=dict)
    """By (empty, name), in the order of the input."""
    labels: dict[str, Mapping[str, str]] = field(default_factory=dict)
    """Of the namespaces that the input has as objects."""
    hand_written: dict[str, list[HandWritten]] = field(default_factory=dict)
    """By namespace."""
    sidecars: list[Sidecar] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    ignored: int = 0
    """Documents of other kinds."""
    skipped: int = 0
    """Files of directories that are not YAML and not ours."""


def build_inventory(items: Iterable[File | Finding], default_namespace: str) -> Inventory:
    """Sort what `file.Reader` read. What is wrong with it is in `findings`; nothing is raised."""
    inventory = Inventory(default_namespace)
    for item in items:
        if isinstance(item, Finding):
            inventory.findings.append(item)
            continue
        is_empty = item.named
        try:
            for document in parse_documents(decode_text(item.data, item.name), item.name):
                is_empty = False
                parts = _split_list(document, named=item.named)
                # The items of a List share the faults of its text: each is reported once.
                if sum(_add(inventory, part) for part in parts):
                    inventory.findings.extend(document.faults)
        except InputError as error:
            if item.named or any(mark in item.data for mark in _MARKS):
                inventory.findings.append(error.finding)
            else:
                inventory.skipped += 1
            continue
        if is_empty:
            inventory.findings.append(
                build_file_finding(FileRule.NOTHING, item.name, 0, 0, "the file is empty")
            )
    return inventory


def _split_list(document: Document, *, named: bool) -> Iterator[Item | Document]:
    """Yield the document, or the items of a List. A fault anywhere in a List spoils all of it."""
    value = document.value
    if not isinstance(value, dict):
        if named or document.faults:
            yield document
        return
    items = value.get("items")
    kind = value.get("kind")
    if not (isinstance(kind, str) and kind.endswith("List") and isinstance(items, list)):
        yield Item(document.file, value, document.place, bool(document.faults), named)
        return
    children = document.place.children
    places = children["items"].children if isinstance(children, dict) else None
    for index, item in enumerate(items):
        place = places[index] if isinstance(places, list) else document.place
        if isinstance(item, dict):
            yield Item(document.file, item, place, bool(document.faults), named)
        else:
            yield Document(document.file, item, place)


def _add(inventory: Inventory, item: Item | Document) -> bool:
    """Add what the item is. Whether the faults of its document have to be reported."""
    if isinstance(item, Document):
        if not item.faults:
            message = "not a Kubernetes object: write apiVersion, kind, metadata and spec"
            inventory.findings.append(_fault(item, message))
        return bool(item.faults)
    version, kind = item.value.get("apiVersion"), item.value.get("kind")
    group = version.partition("/")[0] if isinstance(version, str) else ""
    if group == _GROUP or (kind in _OUR_KINDS and _is_meant_as_ours(version)):
        return _add_ours(inventory, item)
    if version == "v1" and kind == "Namespace":
        name, labels = item.metadata.get("name"), item.metadata.get("labels")
        if isinstance(name, str):
            inventory.labels[name] = labels if isinstance(labels, dict) else {}
    elif group in _ISTIO_GROUPS and kind in (SIDECAR, *Kind):
        (_add_sidecar if kind == SIDECAR else _add_hand_written)(inventory, item)
    elif item.named and not (isinstance(version, str) and isinstance(kind, str)):
        if not item.is_faulty:
            message = (
                "not a Kubernetes object: apiVersion or kind is missing; a policy has "
                f"apiVersion: {POLICY_API_VERSION} and kind: {POLICY_KIND}"
            )
            inventory.findings.append(_fault(item, message))
        return item.is_faulty
    elif kind == "List" and (items := item.value.get("items")) is not None:
        return _refuse_list(inventory, item, items)
    else:
        inventory.ignored += 1
    return False


def _is_meant_as_ours(version: object) -> bool:
    """Whether an object of a kind that other products have too is ours: its group is misspelt."""
    if not (isinstance(version, str) and "/" in version):
        return True
    group = version.partition("/")[0]
    return bool(difflib.get_close_matches(group[:64], (_GROUP,), cutoff=_MISSPELT))


def _refuse_list(inventory: Inventory, item: Item, items: object) -> bool:
    """Report a List that was not opened: nobody would look at what is in it."""
    if not item.is_faulty:
        message = "items of a List must be a list: begin each object with a dash"
        if isinstance(items, list):
            message = "a List in a List is not supported: put its items into the outer one"
        inventory.findings.append(_fault(item, message))
    return item.is_faulty


def _add_ours(inventory: Inventory, item: Item) -> bool:
    version, kind = item.value.get("apiVersion"), item.value.get("kind")
    if group_kind_fault := _find_kind_fault(version, kind):
        inventory.findings.append(_fault(item, group_kind_fault))
    elif item.is_faulty:
        return True
    elif kind == GATEWAY_KIND:
        _add_source(inventory.gateways, inventory, item, "gateway", "")
    else:
        namespace = item.metadata.get("namespace", inventory.default_namespace)
        if isinstance(namespace, str) and namespace:
            _add_source(inventory.policies, inventory, item, "policy", namespace)
        else:
            inventory.findings.append(_fault(item, "metadata.namespace must be text, or left out"))
    return False


def _add_source(
    known: dict[tuple[str, str], Source], inventory: Inventory, item: Item, what: str, place: str
) -> None:
    name = item.metadata.get("name")
    if not (isinstance(name, str) and name):
        message = f"metadata.name must be text: give the {what} a name"
        inventory.findings.append(_fault(item, message))
        return
    source = Source(place, name, item)
    first = known.setdefault((place, name), source)
    if first is not source:
        inventory.findings.append(_build_twice(item, f"the {what} {source.label}", first.item))


def _build_twice(item: Item, what: str, first: Item) -> Finding:
    where = f"{first.file}:{first.place.line}"
    return build_file_finding(
        FileRule.TWICE,
        item.file,
        item.place.line,
        item.place.column,
        f"{what} is already in {where}: keep one, or rename one",
    )


def _find_kind_fault(version: object, kind: object) -> str | None:
    if version == POLICY_API_VERSION and kind in _OUR_KINDS:
        return None
    if kind in _OUR_KINDS:
        shown = quote(version) if isinstance(version, str) else "missing"
        return f"apiVersion is {shown}: write {POLICY_API_VERSION}"
    shown = quote(kind) if isinstance(kind, str) else "missing"
    close = difflib.get_close_matches(kind[:64], _OUR_KINDS) if isinstance(kind, str) else []
    if close:
        return f"kind is {shown}: did you mean {close[0]}?"
    return f"kind is {shown}: the group {_GROUP} has only {' and '.join(_OUR_KINDS)}"


def _add_hand_written(inventory: Inventory, item: Item) -> None:
    namespace = item.metadata.get("namespace", inventory.default_namespace)
    try:
        metadata = {**item.metadata, "namespace": namespace}
        observed = read_observed({**item.value, "metadata": metadata})
        found = build_hand_written(observed)
        readable = all(isinstance(text, str) for text in (namespace, found.name, found.created))
    except (AttributeError, KeyError, TypeError, ValueError):
        readable = False
    if not readable:
        inventory.findings.append(_fault(item, _UNREADABLE))
    elif not observed.ours:
        inventory.hand_written.setdefault(namespace, []).append(found)


def _add_sidecar(inventory: Inventory, item: Item) -> None:
    metadata = {"namespace": inventory.default_namespace, **item.metadata}
    try:
        found = read_sidecar({**item.value, "metadata": metadata})
        readable = isinstance(found.created, str)
    except (AttributeError, KeyError, TypeError, ValueError):
        readable = False
    if readable:
        inventory.sidecars.append(found)
    else:
        inventory.findings.append(_fault(item, _UNREADABLE))


def _fault(item: Item | Document, message: str) -> Finding:
    place = item.place
    rule = FileRule.NOT_AN_OBJECT
    return build_file_finding(rule, item.file, place.line, place.column, message)
