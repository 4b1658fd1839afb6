"""How much text the objects of a policy hold: what is written once is needed again and again.

Istio matches a request by one list of conditions. So every path that is allowed is written with all
headers of its entry and all labels of `from`, for each port of each host.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from egress_operator.api.rule import Check, Finding

if TYPE_CHECKING:
    from egress_operator.api.destination import Destination
    from egress_operator.api.policy import EgressPolicySpec
    from egress_operator.api.request import AllowedRequest, HeaderChange

MOST_TEXT = 512 * 1024
"""Characters, a third of what etcd takes in one object (`--max-request-bytes`, 1.5 MiB). What
stands around the text of an object is not counted."""
CONDITION, ENTRY = 128, 16
"""Characters that are written around a condition; and around a label, a header or an endpoint."""


def _find_too_much_text(spec: "EgressPolicySpec") -> Iterator[Finding]:
    workloads = spec.from_ and spec.from_.workloads
    labels = dict(workloads.match_labels) if workloads else {}
    chosen = sum(len(key) + len(value) + ENTRY for key, value in labels.items())
    count = sum(_measure(destination, chosen) for destination in spec.destinations)
    if count > MOST_TEXT:
        yield Finding(
            f"the Istio objects of the policy would hold {count} characters, at most {MOST_TEXT} "
            "are allowed"
        )


def _measure(destination: "Destination", labels: int) -> int:
    """Measure what a destination makes; `labels`: the text of those that callers must have."""
    http, headers = destination.http, destination.http and destination.http.headers
    text = sum(
        len(endpoint.address)
        + len(endpoint.locality or "")
        + len(endpoint.service_account or "")
        + ENTRY
        for backend in destination.backends
        for endpoint in backend.endpoints
    )
    for change in (headers.request, headers.response) if headers else ():
        text += 0 if change is None else _measure_change(change)
    allow = http.allow if http else ()
    text += sum(_measure_allowed(entry, labels) for entry in allow) if allow else CONDITION + labels
    return len(destination.hosts) * len(destination.resolve_ports()) * text


def _measure_change(change: "HeaderChange") -> int:
    entries = (*change.set_, *change.add)
    return sum(len(entry.name) + len(entry.value) + ENTRY for entry in entries) + sum(
        len(name) + ENTRY for name in change.remove
    )


def _measure_allowed(entry: "AllowedRequest", labels: int) -> int:
    headers = sum(len(header.name) + len(header.value) + ENTRY for header in entry.headers)
    paths = len(entry.paths) or 1
    return paths * (CONDITION + labels + headers) + sum(map(len, entry.paths))


def _sum_cel(path: str, item: str, text: str) -> str:
    """CEL: the sum of a number over a list, 0 where the list is left out."""
    return f"(has({path}) ? {path}.map({item}, {text}).sum() : 0)"


_LABELS = "self.from.workloads.matchLabels"
_LABELS_CEL = (
    f"(has(self.from) && has(self.from.workloads) ? {_LABELS}.map(k, k.size() + {ENTRY}"
    f" + (type({_LABELS}[k]) != null_type ? {_LABELS}[k].size() : 0)).sum() : 0)"
)
"""A label without a value is told by another rule."""
_HEADER_CEL = f"h.name.size() + h.value.size() + {ENTRY}"
_ALLOWED_CEL = (
    f"(has(a.paths) ? a.paths.size() : 1) * ({CONDITION} + {_LABELS_CEL}"
    f" + {_sum_cel('a.headers', 'h', _HEADER_CEL)})"
    f" + {_sum_cel('a.paths', 'p', 'p.size()')}"
)
_ENDPOINT_CEL = (
    f"e.address.size() + {ENTRY} + (has(e.locality) ? e.locality.size() : 0)"
    " + (has(e.serviceAccount) ? e.serviceAccount.size() : 0)"
)
_BACKEND_CEL = f"b.endpoints.map(e, {_ENDPOINT_CEL}).sum()"


def _change_cel(path: str) -> str:
    return (
        f"(has({path}) ? {_sum_cel(f'{path}.set', 'h', _HEADER_CEL)}"
        f" + {_sum_cel(f'{path}.add', 'h', _HEADER_CEL)}"
        f" + {_sum_cel(f'{path}.remove', 'n', f'n.size() + {ENTRY}')} : 0)"
    )


_CHANGES_CEL = (
    "(has(d.http) && has(d.http.headers) ?"
    f" {_change_cel('d.http.headers.request')} + {_change_cel('d.http.headers.response')} : 0)"
)
_CONDITIONS_CEL = (
    "(has(d.http) && has(d.http.allow) && d.http.allow.size() > 0 ?"
    f" d.http.allow.map(a, {_ALLOWED_CEL}).sum() : {CONDITION} + {_LABELS_CEL})"
)

TEXT_CHECK = Check(
    "EG044",
    "self.destinations.map(d, (has(d.hosts) ? d.hosts.size() : 0)"
    " * (has(d.ports) ? d.ports.size() : 1)"
    f" * ({_CONDITIONS_CEL} + {_CHANGES_CEL} + {_sum_cel('d.backends', 'b', _BACKEND_CEL)}))"
    f".sum() <= {MOST_TEXT}",
    _find_too_much_text,
    "destinations",
)
"""Of the spec of a policy."""
