"""Headers whose values look like credentials: a policy is no place for them, and says so."""

import re
from collections.abc import Iterator

from egress_operator.diagnostic import Diagnostic, build_diagnostic
from egress_operator.istio.http import HttpIntent, Pairs
from egress_operator.plan.intent import DestinationIntent

CREDENTIAL = "EG063"

_NAME = re.compile(
    r"(^|[-_])("
    r"(access|api|auth|functions|subscription)[-_]?key|apikey|authorization|cookie|credentials?"
    r"|jwt|passw(or)?d|secret|token"
    r")($|[-_])"
)
"""Words in names of headers that carry credentials, such as x-api-key and private-token."""
_VALUE = re.compile(r"(basic|bearer|digest|token) \S", re.IGNORECASE)
"""How values of Authorization begin, under whatever name they are sent."""


def check_credentials(destination: DestinationIntent) -> Iterator[Diagnostic]:
    """Find values of headers that look like credentials, each header once. Pure."""
    intents = dict.fromkeys(port.http for port in destination.ports if port.http is not None)
    path = f"spec.destinations[{destination.index}].http"
    for intent in intents:
        for field, pairs, fix in _list_pairs(intent):
            for name in dict.fromkeys(name for name, value in pairs if _is_credential(name, value)):
                yield build_diagnostic(
                    CREDENTIAL,
                    f"{path}.{field}",
                    f"the header {name} looks like a credential, and everybody who may read this "
                    "policy, or the VirtualService that is made from it, can read its value",
                    fix,
                )


def _list_pairs(intent: HttpIntent) -> Iterator[tuple[str, Pairs, str]]:
    """List what is written and what is compared, each with its field and what to do instead."""
    send = "remove it, and let the application send it"
    yield "headers.request.set", intent.request.set, send
    yield "headers.request.add", intent.request.add, send
    compared = tuple(pair for entry in intent.allow for pair in entry.headers)
    yield "allow", compared, "remove it: who can read it can send it too"


def _is_credential(name: str, value: str) -> bool:
    return _NAME.search(name) is not None or _VALUE.match(value) is not None
