"""The Helm chart, rendered by a real Helm.

Helm comes as a wheel with a Go library; without it a `helm` on PATH does. The library is loaded in
a child process: a Go runtime brings threads of its own, which make a later fork unsafe, and 65 MiB.
One child takes 0.4 s, so answers are kept for the life of the process.
"""

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parents[1] / "charts" / "egress-operator"
RELEASE = "egress-operator"
NAMESPACE = "egress-system"
TIMEOUT_S = 60
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""As `document.py` has it; this module also runs alone, as a child process."""


class ChartError(Exception):
    """Helm refused the values or the templates. The message is Helm's own."""


def render_chart(
    values: Mapping[str, Any] | None = None,
    *,
    release: str = RELEASE,
    namespace: str = NAMESPACE,
    chart: Path = CHART,
) -> list[dict[str, Any]]:
    """Return the objects that the chart makes of `values`, in the order of its template files.

    Raises ChartError when the schema or a template refuses the values.
    """
    text = _ask("render", values, release, namespace, chart)["manifest"]
    return [document for document in yaml.load_all(text, _LOADER) if document]


def render_notes(values: Mapping[str, Any] | None = None) -> str:
    """Return what Helm prints after an installation: empty without the wheel."""
    notes: str = _ask("render", values, RELEASE, NAMESPACE, CHART)["notes"]
    return notes


def lint_chart(values: Mapping[str, Any] | None = None, *, chart: Path = CHART) -> list[str]:
    """Warnings and errors of `helm lint --strict`; empty when it is clean."""
    findings: list[str] = _ask("lint", values, RELEASE, NAMESPACE, chart)["findings"]
    return findings


def operator_roles(values: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """Return the ClusterRole and Roles that the operator's account holds, and nobody else's."""
    objects = render_chart(values)
    held = {
        (binding["roleRef"]["kind"], binding["roleRef"]["name"], _namespace(binding))
        for binding in _bindings(objects)
    }
    return [
        role
        for role in objects
        if role["kind"] in {"ClusterRole", "Role"}
        and (role["kind"], role["metadata"]["name"], _namespace(role)) in held
    ]


def operator_access(values: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """Return all that gives the operator its rights: account, roles, bindings.

    Apply it and ask for a token of the ServiceAccount: the operator under test may then do what an
    installed one may.
    """
    objects = render_chart(values)
    accounts = [document for document in objects if document["kind"] == "ServiceAccount"]
    return [*accounts, *operator_roles(values), *_bindings(objects)]


def change_release(
    task: str, kubeconfig: Path, values: Mapping[str, Any] | None = None, *, chart: Path = CHART
) -> None:
    """`install`, `upgrade` or `uninstall` the release `RELEASE` in the namespace `NAMESPACE`.

    Does not wait for pods. Raises ChartError in Helm's own words.
    """
    job = _job(task, values, RELEASE, NAMESPACE, chart) | {"kubeconfig": str(kubeconfig)}
    _read(_run(json.dumps(job)))


def _bindings(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    deployment = next(document for document in objects if document["kind"] == "Deployment")
    account = deployment["spec"]["template"]["spec"]["serviceAccountName"]
    return [
        document
        for document in objects
        if document["kind"] in {"ClusterRoleBinding", "RoleBinding"}
        and any(subject["name"] == account for subject in document["subjects"])
    ]


def _namespace(document: dict[str, Any]) -> str:
    """Empty for the cluster-scoped: a ClusterRoleBinding and its ClusterRole then agree."""
    namespace: str = document["metadata"].get("namespace", "")
    return namespace


def _ask(
    task: str, values: Mapping[str, Any] | None, release: str, namespace: str, chart: Path
) -> dict[str, Any]:
    return _read(_answer(json.dumps(_job(task, values, release, namespace, chart), sort_keys=True)))


def _job(
    task: str, values: Mapping[str, Any] | None, release: str, namespace: str, chart: Path
) -> dict[str, Any]:
    return {
        "task": task,
        "values": dict(values or {}),
        "release": release,
        "namespace": namespace,
        "chart": str(chart),
    }


def _read(answer: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer)
    if "error" in found:
        raise ChartError(found["error"])
    return found


@lru_cache(maxsize=64)
def _answer(job: str) -> str:
    return _run(job)


def _run(job: str) -> str:
    if importlib.util.find_spec("helm_python") is not None:
        command = [sys.executable, "-I", __file__]
        return subprocess.run(
            command, input=job, capture_output=True, text=True, timeout=TIMEOUT_S, check=True
        ).stdout
    helm = shutil.which("helm")
    if helm is None:
        raise ChartError("no Helm: install requirements/dev.lock, or put `helm` on PATH")
    return json.dumps(_ask_program(helm, json.loads(job)))


def _ask_program(helm: str, job: dict[str, Any]) -> dict[str, Any]:
    """Give the same answers as `_ask_library`, but for the notes."""
    task, release, chart = job["task"], job["release"], job["chart"]
    arguments = {
        "render": ["template", release, chart],
        "lint": ["lint", "--strict", "--quiet", chart],
        "install": ["install", release, chart],
        "upgrade": ["upgrade", release, chart],
        "uninstall": ["uninstall", release],
    }[task]
    command = [helm, *arguments, "--namespace", job["namespace"]]
    if task != "uninstall":
        command += ["--values", "-"]
    if "kubeconfig" in job:
        command += ["--kubeconfig", job["kubeconfig"]]
    values = json.dumps(job["values"])
    done = subprocess.run(
        command, input=values, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    if task == "lint":
        return {"findings": done.stdout.splitlines() if done.returncode else []}
    if done.returncode:
        return {"error": done.stderr.strip()}
    return {"manifest": done.stdout, "notes": ""}


def _ask_library(job: dict[str, Any]) -> dict[str, Any]:
    """Answer one job. In the child alone."""
    import helm_python  # noqa: PLC0415 - brings a Go runtime

    try:
        if job["task"] == "render":
            return _render(helm_python.Chart.load(job["chart"]), job)
        if job["task"] == "lint":
            report = helm_python.lint(job["chart"], job["values"], strict=True)
            warning = 2
            found = [m["error"] for m in report["messages"] if m["severity"] >= warning]
            return {"findings": [*found, *report["errors"]]}
        config = helm_python.Config(kubeconfig_path=job["kubeconfig"], namespace=job["namespace"])
        if job["task"] == "install":
            config.install(job["chart"], job["release"], job["values"])
        elif job["task"] == "upgrade":
            config.upgrade(job["chart"], job["release"], job["values"])
        else:
            config.uninstall(job["release"])
    except helm_python.HelmError as error:
        return {"error": str(error)}
    return {}


def _render(chart: Any, job: dict[str, Any]) -> dict[str, Any]:  # noqa: ANN401 - not imported here
    chart.validate_schema(job["values"])
    files = chart.render(job["values"], name=job["release"], namespace=job["namespace"])
    notes = "".join(text for path, text in files.items() if path.endswith("NOTES.txt"))
    manifests = [files[path] for path in sorted(files) if path.endswith(".yaml")]
    return {"manifest": "\n---\n".join(manifests), "notes": notes}


if __name__ == "__main__":
    print(json.dumps(_ask_library(json.load(sys.stdin))))  # noqa: T201 - the answer to the parent
