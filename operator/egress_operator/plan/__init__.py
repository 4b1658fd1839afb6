"""What should be there: policies in, Istio objects and verdicts out. Pure."""
