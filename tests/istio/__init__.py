"""Tests of the Istio objects, pure."""
