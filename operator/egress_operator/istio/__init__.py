"""Istio objects, as wanted and as the API server has them: kinds, names, specs, manifests. Pure."""
