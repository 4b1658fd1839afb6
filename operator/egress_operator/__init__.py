"""egress-operator: one short EgressPolicy instead of many Istio objects for each outside host."""

__version__ = "0.1.0"
