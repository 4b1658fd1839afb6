"""Metadata: what a file may hold; what only Kubernetes writes is not looked at."""

from typing import Annotated, Any, ClassVar

from pydantic import Field

from egress_operator.api.model import Model
from egress_operator.api.scalar import Label, ObjectName


class ObjectMeta(Model):
    """Metadata of an object in a namespace."""

    null_is_left_out: ClassVar[bool] = True
    name: Annotated[ObjectName, Field(examples=["payments"])]
    """The name, unique in its namespace."""
    namespace: Annotated[Label | None, Field(examples=["shop"])] = None
    """The namespace whose workloads may call."""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    creation_timestamp: Any = None
    deletion_grace_period_seconds: Any = None
    deletion_timestamp: Any = None
    finalizers: Any = None
    generate_name: Any = None
    generation: Any = None
    managed_fields: Any = None
    owner_references: Any = None
    resource_version: Any = None
    self_link: Any = None
    uid: Any = None
