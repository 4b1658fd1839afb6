"""EgressPolicies in, Istio objects and verdicts out. Pure: no clock, no client, no randomness."""
