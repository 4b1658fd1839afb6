"""What a mesh did and `explain` did not say, as a report."""

from dataclasses import dataclass

import yaml

from mesh.oracle.draw import Probe, Site
from mesh.oracle.judge import Expected
from mesh.traffic.policy import join_name
from testbed.client import Object


@dataclass(frozen=True)
class Disagreement:
    """What the mesh did and `explain` did not say. As text, all that is needed to repeat it."""

    seed: str
    probe: Probe
    expected: Expected
    seen: str
    policies: tuple[Object, ...]
    sidecars: tuple[Object, ...] = ()

    def __str__(self) -> str:
        told = self.expected.explanation
        shown = [
            {
                "policy": join_name(item),
                "created": item["metadata"]["creationTimestamp"],
                "spec": item["spec"],
            }
            for item in self.policies
        ]
        shown += [
            {
                "sidecar": join_name(item),
                "created": item["metadata"]["creationTimestamp"],
                "spec": _leave_out_others(item["spec"], self.probe.site),
            }
            for item in self.sidecars
        ]
        return (
            f"set {self.seed}: {self.probe.workload} {self.probe.payload} {self.probe.site.host}:"
            f"{self.probe.port}{self.probe.path}\n"
            f"explained: {told.fate}, {told.reason}; expected: "
            f"{' or '.join(sorted(self.expected.verdicts))}\nseen: {self.seen}\n"
            f"{yaml.safe_dump_all(shown, sort_keys=False)}"
        )


def _leave_out_others(spec: Object, site: Site) -> Object:
    """Leave the entries for the hosts of other sets out of a Sidecar."""
    egress = [
        {
            **listener,
            "hosts": [
                entry
                for entry in listener["hosts"]
                if ".set-" not in entry or entry.endswith(site.wildcard[1:])
            ],
        }
        for listener in spec.get("egress", ())
    ]
    return {**spec, **({"egress": egress} if egress else {})}
