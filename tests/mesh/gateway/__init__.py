"""Gateways: the operator's objects, proven by traffic."""
