"""What users write: the models of our kinds, their rules in Python and in CEL, and the CRDs."""
