"""The reference pages: every field of the API and every rule, as Markdown."""

from collections.abc import Iterator

from egress_operator.api.policy import API_VERSION
from egress_operator.diagnostic import Rule, Scope, read_rules
from tools.crd import CATEGORY, GATEWAY, LOWEST_KUBERNETES, POLICY, Resource
from tools.schema import Schema, build_plain_schema

_NOTE = "<!-- Written by `make gen`. -->"

_SCOPES = {
    Scope.SHAPE: "Checked in the same way by the API server (the CRD: schema and CEL) and "
    "`egressctl lint`.",
    Scope.EDIT: "Checked by the API server when an object is edited, by what it was before.",
    Scope.SETTINGS: "Checked by the operator and by `egressctl lint`: it needs the operator's "
    "settings, or it only warns. With an error the policy gets `Accepted=False`; a warning stands "
    "in the messages of `Accepted` and `Ready`.",
    Scope.CLUSTER: "Checked by the operator: it needs other objects of the cluster.",
}

_API_HEAD = f"""{_NOTE}
# API

`apiVersion: {API_VERSION}`, category `{CATEGORY}`. Needs Kubernetes {LOWEST_KUBERNETES} or later.

The CRDs hold no defaults: what a left-out field means stands in its description. A key with nothing
behind it is refused (EG033), by the API server too, on create, update and server-side apply. A
merge patch removes the field instead, before the API server checks the object: that is what
client-side `kubectl apply` and `helm upgrade` (Helm 3) send for a null when the object exists.
`kubectl apply` of 1.31 and later leaves it out of a new object too. The operator refuses a policy
whose annotation `kubectl.kubernetes.io/last-applied-configuration` has such a key.
"""

_SMALLEST_POLICY = f"""
The smallest policy allows one host on port 443 with TLS that the application opens itself:

```yaml
apiVersion: {API_VERSION}
kind: {POLICY.kind}
metadata:
  name: payments
  namespace: shop
spec:
  destinations:
  - hosts: [api.stripe.com]
```
"""

_SMALLEST_GATEWAY = f"""
The smallest gateway names its pods and their Service; nobody may use it yet:

```yaml
apiVersion: {API_VERSION}
kind: {GATEWAY.kind}
metadata:
  name: shared
spec:
  namespace: istio-egress
  selector: {{istio: egressgateway}}
  service: {{name: istio-egressgateway, port: 443}}
  authorization: Managed
```
"""

_RULES_HEAD = f"""{_NOTE}
# Rules

Codes are stable. `EG0xx` is the policy's own text, `EG1xx` conflicts, `EG2xx` combinations that are
not supported, `EG3xx` the cluster around the policy. `EG9xx` is about the files that `egressctl`
reads, in [its own reference](cli.md#rules-about-files).

The API server names a rule by its code (`EG010: ...`) where the CRD says it in CEL, with the field
and the words of these tables. `egressctl lint` judges in the same way, and its words go by the
value: what to write in its place, where that is known. EG001 to EG008 are refused by the schema and
by the API server itself, which say it in their own words and name the field. Unknown fields (EG001)
are refused with strict field validation, the default of `kubectl`; other clients
drop them with a warning.
"""


def render_api() -> str:
    """Render the page of all fields."""
    policy = _render_resource(POLICY, _SMALLEST_POLICY)
    gateway = _render_resource(GATEWAY, _SMALLEST_GATEWAY)
    return f"{_API_HEAD}\n{policy}\n{gateway}"


def _render_resource(resource: Resource, example: str) -> str:
    scope = "namespaced" if resource.namespaced else "cluster-scoped"
    spec = "\n".join(_list_rows(build_plain_schema(resource.spec), "spec"))
    status = "\n".join(_list_rows(build_plain_schema(resource.status), "status"))
    head = "| field | type | meaning |\n|---|---|---|"
    return (
        f"## {resource.kind}\n\nKind `{resource.kind}`, {scope}, plural `{resource.plural}`.\n"
        f"{example}\n### {resource.kind} spec\n\n{head}\n{spec}\n"
        f"\n### {resource.kind} status\n\n{head}\n{status}\n"
    )


def render_rules() -> str:
    """Render the page of all rules."""
    parts = [_RULES_HEAD]
    for scope, text in _SCOPES.items():
        rules = [rule for rule in read_rules().values() if rule.scope is scope]
        rows = "\n".join(_render_rule(rule) for rule in sorted(rules, key=lambda rule: rule.code))
        parts.append(
            f"## {scope}\n\n{text}\n\n"
            f"| code | level | reason | what is wrong | fix |\n|---|---|---|---|---|\n{rows}\n"
        )
    return "\n".join(parts)


def _render_rule(rule: Rule) -> str:
    cells = (rule.code, str(rule.level), rule.reason, rule.title, rule.fix)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _list_rows(schema: Schema, path: str) -> Iterator[str]:
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        inner = f"{path}.{name}"
        need = ", required" if name in required else ""
        meaning = field.get("description", "").replace("|", "\\|")
        yield f"| `{inner}` | {_name_type(field)}{need} | {meaning} |"
        if field.get("type") == "array":
            yield from _list_rows(field["items"], f"{inner}[]")
        else:
            yield from _list_rows(field, inner)


def _name_type(field: Schema) -> str:
    if field.get("type") == "array":
        bounds = _name_bounds(field, "minItems", "maxItems")
        return f"list of {_name_type(field['items'])}{bounds}"
    if "enum" in field:
        return "one of " + ", ".join(str(value) for value in field["enum"])
    if isinstance(field.get("additionalProperties"), dict):
        bounds = _name_bounds(field, "minProperties", "maxProperties")
        return f"map of {_name_type(field['additionalProperties'])}{bounds}"
    bounds = _name_bounds(field, "minimum", "maximum")
    return str(field.get("type", "")).replace("integer", "whole number") + bounds


def _name_bounds(field: Schema, least: str, most: str) -> str:
    if least in field and most in field:
        return f" ({field[least]} to {field[most]})"
    if most in field:
        return f" (at most {field[most]})"
    return f" ({field[least]} or more)" if least in field else ""
