"""The operator's rights in the chart: templates/_rules.tpl, made from `PERMISSIONS`."""

from itertools import groupby

from pydantic.alias_generators import to_camel

from egress_operator.runtime.permission import PERMISSIONS, Permission, Reach


def build_rules() -> str:
    """Build the template: a list of rules for each `Reach`. Pure."""
    head = "{{- /* Made from operator/egress_operator/runtime/permission.py by `make gen`. */ -}}\n"
    return head + "\n".join(_build_list(reach) for reach in Reach)


def _build_list(reach: Reach) -> str:
    rows = [row for row in PERMISSIONS if row.reach is reach]
    lines: list[str] = []
    for _, alike in groupby(rows, lambda row: (row.group, row.verbs, row.resource_names)):
        first, *more = alike
        comment = f"# {first.purpose}"
        if first.purpose and comment not in lines:
            lines.append(comment)
        lines += _build_rule(first, [first.resource, *(row.resource for row in more)])
    body = "".join(f"{line}\n" for line in lines)
    return f'{{{{- define "egress-operator.{reach}" -}}}}\n{body}{{{{- end -}}}}\n'


def _build_rule(permission: Permission, resources: list[str]) -> list[str]:
    """Build the lines of one rule, for permissions that differ in nothing but the resource."""
    lines = [
        "- apiGroups: [" + (permission.group or '""') + "]",
        f"  resources: [{', '.join(resources)}]",
    ]
    names = ", ".join(permission.resource_names)
    if permission.name_setting:
        key = to_camel(permission.name_setting.replace("-", "_"))
        names = f'{{{{ default "{names}" .Values.settings.{key} }}}}'
    if names:
        lines.append(f"  resourceNames: [{names}]")
    return [*lines, f"  verbs: [{', '.join(permission.verbs)}]"]
