"""Tests of the engine: the API server as it is, and as it fails."""
