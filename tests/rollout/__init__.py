"""Tests of the order of writes, pure, and their models: a cluster in memory, its invariants."""
