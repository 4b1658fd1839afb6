"""Tests of the API: models, rules, CRD, and that Python and the API server agree."""
