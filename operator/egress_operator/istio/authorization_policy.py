"""AuthorizationPolicies on a gateway: nothing comes in but what one of them allows.

The server name that a client sends tells the tenant, and holds for HTTP and opaque payloads alike;
its certificate says who it is.
"""

from typing import Any

from egress_operator.istio.facts import Facts, Spec
from egress_operator.istio.kind import SECURITY, ObjectKey
from egress_operator.istio.name import EGRESS_DOMAIN, RESTRICTED_DOMAIN, find_gateway_label
from egress_operator.istio.traffic import Labels

API_VERSION = SECURITY
PLURAL = "authorizationpolicies"

ANYBODY = "*"

SOCKETS = "unix:"
"""Stands for those who come by a socket of the pod, and so have no address."""
_SOCKET_RULE: dict[str, Any] = {"from": [{"source": {"notIpBlocks": ["0.0.0.0/0", "::/0"]}}]}

OPEN_RULES: list[dict[str, Any]] = [{}]
"""One rule without conditions allows everything; no rule at all, nothing."""


def build_baseline_spec(selector: Labels, *, sockets: bool = False) -> dict[str, Any]:
    """Return the spec that allows nothing, so that what no other one allows is denied.

    `sockets`: but for what comes by a socket of the pod. The gateway itself has let that in, by the
    server name, before it handed it on.
    """
    return _build_spec(selector, [_SOCKET_RULE] if sockets else [])


def open_spec(spec: dict[str, Any]) -> dict[str, Any]:
    """Return the same with one rule that allows everything."""
    return {**spec, "rules": OPEN_RULES}


def build_tenant_access_spec(selector: Labels, namespace: str, domain: str) -> dict[str, Any]:
    """Return the spec that lets workloads of a namespace come under its domain."""
    source = {"namespaces": [namespace]}
    return _build_spec(selector, [_build_rule(source, [domain, f"*.{domain}"])])


def build_restricted_access_spec(
    selector: Labels, namespace: str, host: str, accounts: tuple[str, ...]
) -> dict[str, Any]:
    """Return the spec that lets service accounts of a namespace come under one name."""
    source = {"principals": [f"*/ns/{namespace}/sa/{account}" for account in accounts]}
    return _build_spec(selector, [_build_rule(source, [host])])


def read_facts(key: ObjectKey, spec: Spec) -> Facts:
    """Return whom an AuthorizationPolicy lets in, and whether it allows nothing. Pure."""
    del key
    rules = spec.get("rules") or ()
    callers = frozenset(
        _read_caller(rule) if spec.get("action", "ALLOW") == "ALLOW" else ANYBODY for rule in rules
    )
    return Facts(
        refs=callers,
        selector=tuple(sorted((spec.get("selector") or {}).get("matchLabels", {}).items())),
        is_closed=callers <= {SOCKETS},
    )


def read_names(spec: Spec) -> tuple[str, str]:
    """Return the gateway label and the namespace that an AuthorizationPolicy is for. Pure.

    Its own rule tells them, if it has the form of those that are built here; else both are empty.
    """
    rules: list[Any] = spec.get("rules") or []
    caller = _read_caller(rules[0]) if len(rules) == 1 else ANYBODY
    if caller in {ANYBODY, SOCKETS}:
        return "", ""
    return find_gateway_label(rules[0]["when"][0]["values"][0]), caller


def _read_caller(rule: dict[str, Any]) -> str:
    """Return the namespace that a rule lets in under its own names; `ANYBODY` for any other rule.

    `SOCKETS` for that of a baseline. A rule that has another form than those that are built here
    may let in more.
    """
    if rule == _SOCKET_RULE:
        return SOCKETS
    try:
        (entry,), (condition,) = rule["from"], rule["when"]
        ((_, callers),) = entry["source"].items()
        namespace = callers[0].removeprefix("*/ns/").partition("/")[0]
        spec = _build_rule(entry["source"], condition["values"])
    except (KeyError, ValueError, IndexError, TypeError, AttributeError):
        return ANYBODY
    accounts = f"*/ns/{namespace}/sa/"
    domains = tuple(f".{namespace}.{domain}" for domain in (EGRESS_DOMAIN, RESTRICTED_DOMAIN))
    known = (
        rule == spec
        and condition["values"]
        and all(value.endswith(domains) for value in condition["values"])
        and (
            entry["source"] == {"namespaces": [namespace]}
            or entry["source"] == {"principals": [c for c in callers if c.startswith(accounts)]}
        )
    )
    return namespace if known else ANYBODY


def _build_rule(source: dict[str, list[str]], names: list[str]) -> dict[str, Any]:
    return {
        "from": [{"source": source}],
        "when": [{"key": "connection.sni", "values": names}],
    }


def _build_spec(selector: Labels, rules: list[dict[str, Any]]) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "action": "ALLOW",
        "selector": {"matchLabels": dict(selector)},
    }
    return {**spec, "rules": rules} if rules else spec
