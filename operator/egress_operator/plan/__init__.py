"""What should be there: policies in, Istio objects and results out. Pure."""
