"""A kind of the API server by its place in the URL."""

from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True, slots=True, order=True)
class Resource:
    """`group` is empty for the core group; `plural` is the name in the URL."""

    group: str
    version: str
    plural: str

    @property
    def label(self) -> str:
        """`plural.group`, or `plural` in the core group: for logs and metric labels."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def build_path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """URL path of the collection or of one object. Empty namespace: cluster-scoped or all.

        Pure. Names are escaped, so that a slash in one cannot lead elsewhere.
        """
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{quote(namespace, safe='')}" if namespace else ""
        leaf = "".join(
            f"/{quote(part, safe=':')}" for part in (self.plural, name, subresource) if part
        )
        return root + scope + leaf
