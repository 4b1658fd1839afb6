"""What stands, compared with what `egressctl render` makes of the policies that stand."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import orjson

from egress_operator.istio.kind import Kind, ObjectKey
from permission.gateway import GATEWAY
from permission.tenant import POLICY
from testbed.client import Object, read_owners
from testbed.operator import SOURCE

from .scene import Scene

RENDER_S = 60


def render(scene: Scene) -> dict[ObjectKey, Object]:
    """Call `egressctl render` with the policies, gateways and namespaces that stand."""
    policies = [{"apiVersion": POLICY[0], "kind": POLICY[1], **item} for item in scene.policies]
    gateways = [{"apiVersion": GATEWAY[0], "kind": GATEWAY[1], **item} for item in scene.gateways]
    namespaces = [{"apiVersion": "v1", "kind": "Namespace", **item} for item in scene.namespaces]
    items = [*policies, *gateways, *namespaces]
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "all.json"
        file.write_bytes(orjson.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
        command = ["-m", "egress_operator.cli", "render", "-o", "json", "-f", str(file)]
        done = subprocess.run(
            [sys.executable, *command],
            capture_output=True,
            env={"PYTHONPATH": str(SOURCE), "PATH": "/usr/bin:/bin"},
            timeout=RENDER_S,
            check=False,
        )
    assert done.stdout, done.stderr.decode()
    return {
        ObjectKey(Kind(item["kind"]), item["metadata"]["namespace"], item["metadata"]["name"]): item
        for item in orjson.loads(done.stdout)["items"]
    }


def find_render_differences(scene: Scene) -> Iterator[str]:
    """Compare all that is ours with `egressctl render`, exactly: nothing is on hold."""
    rendered = render(scene)
    ours = {key: scene.objects[key] for key, item in scene.observed.items() if item.ours}
    for key in sorted(rendered.keys() | ours.keys()):
        one, other = rendered.get(key), ours.get(key)
        if one is None or other is None:
            yield f"{key} is {'rendered' if other is None else 'there'} alone"
        elif one["spec"] != other["spec"] or read_owners(one) != read_owners(other):
            yield f"{key} is {other['spec']} of {read_owners(other)}, and rendered {one}"
